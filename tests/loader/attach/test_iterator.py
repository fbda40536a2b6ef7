"""Iterators: attached, read whole, by lines and by a pin, with what they are limited to."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bpfas.loader import load, syscall
from bpfas.loader.attach.iterator import IteratorLink
from bpfas.loader.attach.table import attach
from bpfas.loader.errors import AttachError
from tests.loader.attach_support import cgroup2_root
from tests.loader.kernel_support import Need, kernel_type, needs

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.kernel, pytest.mark.peer, needs(Need.BTF), pytest.mark.usefixtures("no_leaks")]

SOURCE = """
#include <bpf/bpf_tracing.h>
struct seq_file;
struct task_struct { int pid; int tgid; } __attribute__((preserve_access_index));
struct bpf_iter_meta { struct seq_file *seq; unsigned long long session_id, seq_num; }
    __attribute__((preserve_access_index));
struct bpf_iter__task { struct bpf_iter_meta *meta; struct task_struct *task; }
    __attribute__((preserve_access_index));
struct bpf_map;
struct bpf_iter__bpf_map_elem { struct bpf_iter_meta *meta; struct bpf_map *map; void *key; void *value; }
    __attribute__((preserve_access_index));
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 8); __type(key, unsigned);
         __type(value, unsigned); } table SEC(".maps");
SEC("iter/task") int tasks(struct bpf_iter__task *ctx)
{
    struct task_struct *task = ctx->task;
    if (task) BPF_SEQ_PRINTF(ctx->meta->seq, "%d %d\\n", task->tgid, task->pid);
    return 0;
}
SEC("iter/bpf_map_elem") int elements(struct bpf_iter__bpf_map_elem *ctx)
{
    unsigned *key = ctx->key, *value = ctx->value;
    if (key && value) BPF_SEQ_PRINTF(ctx->meta->seq, "%u=%u\\n", *key, *value);
    return 0;
}
"""
CGROUPS = """
#include <bpf/bpf_tracing.h>
struct seq_file;
struct cgroup { int level; } __attribute__((preserve_access_index));
struct bpf_iter_meta { struct seq_file *seq; } __attribute__((preserve_access_index));
struct bpf_iter__cgroup { struct bpf_iter_meta *meta; struct cgroup *cgroup; }
    __attribute__((preserve_access_index));
SEC("iter/cgroup") int cgroups(struct bpf_iter__cgroup *ctx)
{
    struct cgroup *cgroup = ctx->cgroup;
    if (cgroup) BPF_SEQ_PRINTF(ctx->meta->seq, "level %d\\n", cgroup->level);
    return 0;
}
"""


@pytest.fixture
def source(compile_c: Callable[..., str]) -> str:
    return compile_c(SOURCE, "-g")


def test_lines_and_bytes_of_all_tasks(source: str) -> None:
    with load(source) as app, attach(app.programs["tasks"], way="iterator") as link:
        lines = list(link)
        assert f"{os.getpid()} {os.getpid()}" in lines
        assert f"{os.getpid()} {os.getpid()}" in link.read().decode().splitlines()


def test_walk_by_a_descriptor(source: str) -> None:
    with (
        load(source) as app,
        attach(app.programs["tasks"], way="iterator") as link,
        os.fdopen(link.open()) as file,
    ):
        assert f"{os.getpid()} {os.getpid()}\n" in file.readlines()


@needs(kernel_type("bpf_iter_link_info"))
def test_one_process(source: str) -> None:
    with load(source) as app, attach(app.programs["tasks"], pid=os.getpid(), way="iterator") as link:
        assert {line.split()[0] for line in link} == {str(os.getpid())}


def test_elements_of_a_map(source: str) -> None:
    with load(source) as app:
        table, program = app.maps["table"], app.programs["elements"]
        for key in range(3):
            syscall.map_update_elem(table.fd, key.to_bytes(4, "little"), (10 * key).to_bytes(4, "little"))
        with attach(program, map=table, way="iterator") as link:
            assert sorted(link) == ["0=0", "1=10", "2=20"]
        with pytest.raises(AttachError, match=r"walks a map, and none is given(?s:.*)attach\(map=…\)"):
            attach(program)
        with pytest.raises(TypeError, match="one of map, pid"):
            attach(program, map=table, pid=1)


@needs(Need.CGROUP2, kernel_type("bpf_iter__cgroup"))
def test_cgroups_in_an_order(compile_c: Callable[..., str]) -> None:
    with load(compile_c(CGROUPS, "-g")) as app:
        program = app.programs["cgroups"]
        with attach(program, cgroup=cgroup2_root(), order="descendants_pre", way="iterator") as link:
            assert next(iter(link)) == "level 0"
        with attach(program, cgroup=cgroup2_root(), way="iterator") as link:
            assert list(link) == ["level 0"]
        with pytest.raises(AttachError, match="cannot open /no/cgroup"):
            attach(program, cgroup="/no/cgroup")


def test_pinned_iterator_is_a_file(source: str) -> None:
    path = Path("/sys/fs/bpf") / f"bpfas_iterator_{os.getpid()}"
    with load(source) as app, attach(app.programs["tasks"]) as link:
        link.pin(path)
        try:
            assert f"{os.getpid()} {os.getpid()}" in path.read_text().splitlines()
        finally:
            link.unpin()
        assert not path.exists()


def test_a_pin_is_opened_and_walked(source: str) -> None:
    path = Path("/sys/fs/bpf") / f"bpfas_iterator_{os.getpid()}"
    with load(source) as app, attach(app.programs["tasks"]) as link:
        link.pin(path)
        with IteratorLink.open_pinned(path) as opened:
            assert f"{os.getpid()} {os.getpid()}" in list(opened)
            opened.unpin()


def test_what_cannot_be_walked(source: str) -> None:
    with load(source) as app:
        sideways = {"cgroup": "/sys/fs/cgroup", "order": "sideways"}
        with pytest.raises(ValueError, match="order is 'sideways', not one of self_only, descendants_pre"):
            attach(app.programs["tasks"], **sideways)
        app.maps["table"].close()
        with pytest.raises(AttachError, match="EBADF: the map is closed"):
            attach(app.programs["elements"], map=app.maps["table"])


def test_program_of_a_link_is_replaced(source: str) -> None:
    with load(source) as app, load(source) as other, attach(app.programs["tasks"]) as link:
        old, new = app.programs["tasks"], other.programs["tasks"]
        link.update(new, replaced=old)
        assert link.info().prog_id == new.info().id
        with pytest.raises(AttachError, match="not the one to be replaced"):
            link.update(old, replaced=old)
