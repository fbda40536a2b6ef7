"""Programs with C headers in the running kernel: what they set, read and attach, and what they say if it fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bpfas.loader import open_image
from bpfas.loader.gen import GenOptions
from tests.loader.gen.c.support import bpftool_header, executable, header_of, run_program
from tests.loader.kernel_support import Need, needs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.kernel

FAMILIAR = """
struct point { int x, y; };
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 16); __type(key, int); __type(value, long); }
    counts SEC(".maps");
int calls = 5;
struct point origin = {3, 4};
const volatile int step = 1;
const volatile char text[8] = "hello";
long total;
SEC("raw_tp/sys_enter") int enter(void *ctx) {
    int key = 1; long value = text[0];
    calls += step; total += origin.y;
    bpf_map_update_elem(&counts, &key, &value, 0);
    return 0;
}
SEC("socket") int filter(struct __sk_buff *skb) { return calls; }
"""
FAMILIAR_DECLARATIONS = "struct point { int x, y; };\n"
FAMILIAR_PROGRAM = """
static __u32 max_entries(int map_fd) {
    struct bpf_map_info info = {};
    union bpf_attr attr = {};
    attr.info.bpf_fd = map_fd; attr.info.info_len = sizeof(info); attr.info.info = (long)&info;
    skel_sys_bpf(BPF_OBJ_GET_INFO_BY_FD, &attr, sizeof(attr));
    return info.max_entries;
}
int main(void) {
    int first = free_fd();
    struct app *skel = app__open();
    if (!skel) return 1;
    SAY("initial %d %d,%d %s %ld", skel->data->calls, skel->data->origin.x, skel->data->origin.y,
        skel->rodata->text, skel->bss->total);
    skel->data->calls = 40;
    skel->rodata->step = 2;
    skel->maps.counts.max_entries = 77;
    SAY("load %d", app__load(skel));
    SAY("entries %u", max_entries(skel->maps.counts.map_fd));
    SAY("before %d %ld", skel->data->calls, skel->bss->total);
    SAY("attach %d", app__attach(skel));
    SAY("linked %d %d", skel->links.enter_fd > 0, skel->links.filter_fd);
    getppid();
    app__detach(skel);
    SAY("ran %d %d", skel->data->calls > 40, skel->data->calls % 2);
    SAY("total %d", skel->bss->total == (skel->data->calls - 40) / 2 * 4);
    app__destroy(skel);
    app__destroy(NULL);
    skel = app__open_and_load();
    SAY("again %d", skel ? app__enter__attach(skel) > 0 : -1);
    app__destroy(skel);
    SAY("closed %d", free_fd() == first);
    return 0;
}
"""


def test_program_in_the_kernel(compile_c: Callable[..., str], tmp_path: Path) -> None:
    header = header_of(compile_c(FAMILIAR, "-g"))
    path = executable(header, FAMILIAR_PROGRAM, tmp_path, declarations=FAMILIAR_DECLARATIONS)
    assert run_program(path) == [
        "initial 5 3,4 hello 0",
        "load 0",
        "entries 77",
        "before 40 0",
        "attach 0",
        "linked 1 0",
        "ran 1 0",
        "total 1",
        "again 1",
        "closed 1",
    ]


@pytest.mark.peer
def test_program_written_for_bpftool(compile_c: Callable[..., str], tmp_path: Path) -> None:
    """One program, unchanged, with the header of bpftool and with ours, does the same."""
    path = compile_c(FAMILIAR, "-g")
    # bpftool's __detach closes descriptors that its __destroy closes again.
    program = FAMILIAR_PROGRAM.replace("app__detach(skel);\n", "")
    programs = {
        name: executable(header, program, tmp_path, declarations=FAMILIAR_DECLARATIONS, name=name)
        for name, header in (("ours", header_of(path)), ("theirs", bpftool_header(path)))
    }
    assert run_program(programs["ours"]) == run_program(programs["theirs"])


REFUSED = """
struct { __uint(type, BPF_MAP_TYPE_CPUMAP); __uint(max_entries, 1); __uint(key_size, 4); __uint(value_size, 4); }
    cpus SEC(".maps");
int count = 1;
SEC("socket") int good(struct __sk_buff *skb) { return count; }
SEC("socket") int wild(struct __sk_buff *skb) { return *(int *)(long)skb->len; }
"""
REFUSED_PROGRAM = """
static char text[65536];
int main(void) {
    int first = free_fd(), err;
    struct app *skel = app__open();
    if (!skel) return 1;
    skel->ctx.log_level = 1; skel->ctx.log_size = sizeof(text); skel->ctx.log_buf = (long)text;
    err = app__load(skel);
    SAY("wild %d %s", err, app__failed_step(skel));
    SAY("log %d", strstr(text, "invalid mem access") != NULL);
    SAY("open %d", free_fd() - first);
    skel->ctx.log_level = skel->ctx.log_size = skel->ctx.log_buf = 0;
    skel->maps.cpus.max_entries = 0xffffffff;
    err = app__load(skel);
    SAY("large %d %s", err, app__failed_step(skel));
    SAY("open %d", free_fd() - first);
    skel->maps.cpus.max_entries = 0;
    skel->progs.wild.prog_fd = -1;
    err = app__load(skel);
    SAY("without %d '%s'", err, app__failed_step(skel));
    SAY("loaded %d %d", skel->progs.good.prog_fd > 0, skel->progs.wild.prog_fd);
    SAY("attach %d %d", app__wild__attach(skel), skel->data->count);
    app__destroy(skel);
    SAY("open %d", free_fd() - first);
    return 0;
}
"""


def test_failure_says_which_step(compile_c: Callable[..., str], tmp_path: Path) -> None:
    """Nothing stays open, the kernel's log is whole, and the same skeleton can be loaded otherwise."""
    path = executable(header_of(compile_c(REFUSED, "-g")), REFUSED_PROGRAM, tmp_path)
    assert run_program(path) == [
        "wild -13 failed: load program wild (BPF_PROG_LOAD)",
        "log 1",
        "open 0",
        "large -7 failed: create map cpus (BPF_MAP_CREATE)",
        "open 0",
        "without 0 ''",
        "loaded 1 0",
        "attach 0 1",
        "open 0",
    ]


@needs(Need.XDP_LINK)
def test_attaching_to_a_target(compile_c: Callable[..., str], tmp_path: Path) -> None:
    header = header_of(compile_c('SEC("xdp") int passes(struct xdp_md *ctx) { return 2; }', "-g"))
    program = """
    #include <net/if.h>
    int main(void) {
        struct app *skel = app__open_and_load();
        SAY("attach %d", app__attach(skel));
        SAY("to lo %d", app__passes__attach_to(skel, if_nametoindex("lo")) > 0);
        SAY("link %d", skel->links.passes_fd > 0);
        SAY("to nothing %d", app__passes__attach_to(skel, 0x7ffffff) < 0);
        app__destroy(skel);
        return 0;
    }
    """
    path = executable(header, program.replace("\n    #", "\n#"), tmp_path)
    assert run_program(path) == ["attach 0", "to lo 1", "link 1", "to nothing 1"]


def test_without_standard_input(compile_c: Callable[..., str], tmp_path: Path) -> None:
    """Descriptor 0 stands for none, so nothing that is loaded may get it."""
    program = """
    int main(void) {
        struct app *skel;
        close(0);
        skel = app__open_and_load();
        SAY("loaded %d %d", skel->maps.counts.map_fd > 0, skel->progs.filter.prog_fd > 0);
        app__destroy(skel);
        SAY("open %d", free_fd());
        return 0;
    }
    """.replace("free_fd()", 'open("/dev/null", O_RDONLY)')
    header = header_of(compile_c(FAMILIAR, "-g"))
    path = executable(header, program, tmp_path, declarations=FAMILIAR_DECLARATIONS)
    assert run_program(path) == ["loaded 1 1", "open 0"]


def test_token(compile_c: Callable[..., str], tmp_path: Path) -> None:
    """It is used for the loader program, too; where none is given everything is as without."""
    program = """
    int main(int argc, char **argv) {
        struct app *skel = app__open();
        int err;
        skel->loader.token_fd = argc > 1 ? atoi(argv[1]) : 0;
        err = app__load(skel);
        SAY("load %d %s", err, app__failed_step(skel));
        app__destroy(skel);
        return 0;
    }
    """
    header = header_of(compile_c(FAMILIAR, "-g"), options=GenOptions(token=True))
    path = executable(header, program, tmp_path, declarations=FAMILIAR_DECLARATIONS)
    assert run_program(path) == ["load 0 "]
    assert run_program(path, "1") == ["load -22 failed to create loader map"]


def test_what_is_not_made(compile_c: Callable[..., str], tmp_path: Path) -> None:
    """Maps that are not created and programs that are not loaded have their places all the same."""
    source = """
    SEC(".data.spare") int spare = 1;
    int used = 2;
    SEC("?socket") int optional(struct __sk_buff *skb) { return 0; }
    SEC("socket") int filter(struct __sk_buff *skb) { return used; }
    """
    program = """
    int main(void) {
        struct app *skel = app__open_and_load();
        SAY("%d %d", skel->maps.data_spare.map_fd, skel->maps.data.map_fd > 0);
        SAY("%d %d", skel->progs.optional.prog_fd, skel->progs.filter.prog_fd > 0);
        SAY("%d %d", app__attach(skel), skel->data->used);
        app__destroy(skel);
        return 0;
    }
    """
    image = open_image(compile_c(source, "-g"))
    image.set_map(".data.spare", autocreate=False)
    assert run_program(executable(header_of(image), program, tmp_path)) == ["0 1", "0 1", "0 2"]


INTERRUPTED = """
#include <errno.h>
#include <bpf/skel_internal.h>
static int runs;
static int interrupted_run(struct bpf_load_and_run_opts *opts)
{
    return ++runs < 3 ? -EAGAIN : bpf_load_and_run(opts);
}
#define bpf_load_and_run interrupted_run
"""


def test_signals_do_not_keep_it_from_loading(compile_c: Callable[..., str], tmp_path: Path) -> None:
    """The kernel says EAGAIN where one comes while it verifies."""
    header = header_of(compile_c('SEC("socket") int prog(void *ctx) { return 0; }', "-g"))
    program = """
    int main(void) {
        struct app *skel = app__open_and_load();
        SAY("%d %d", skel && skel->progs.prog.prog_fd > 0, runs);
        app__destroy(skel);
        return 0;
    }
    """
    assert run_program(executable(header, program, tmp_path, declarations=INTERRUPTED)) == ["1 3"]


def test_loaded_once(compile_c: Callable[..., str], tmp_path: Path) -> None:
    header = header_of(compile_c('SEC("socket") int prog(void *ctx) { return 0; }', "-g"))
    program = """
    int main(void) {
        int first = free_fd();
        struct app *skel = app__open_and_load();
        int fd = skel->progs.prog.prog_fd;
        SAY("%d %d", app__load(skel) == -EALREADY, skel->progs.prog.prog_fd == fd);
        SAY("%s", app__failed_step(skel));
        app__destroy(skel);
        SAY("%d", free_fd() == first);
        return 0;
    }
    """
    assert run_program(executable(header, program, tmp_path)) == ["1 1", "it is loaded already", "1"]


REFUSED_ONCE = """
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 4); __type(key, int); __type(value, int); }
    table SEC(".maps"), other SEC(".maps");
SEC("socket") int refused(struct __sk_buff *skb) { return *(volatile int *)((char *)skb + 4096); }
SEC("socket") int prog(struct __sk_buff *skb) { int key = 1; return !bpf_map_lookup_elem(&table, &key); }
"""


def test_what_was_said_before_a_failure_counts_afterwards(compile_c: Callable[..., str], tmp_path: Path) -> None:
    program = """
    int main(void) {
        int first = free_fd(), err;
        struct app *skel = app__open();
        skel->progs.refused.prog_fd = -1;
        skel->maps.other.max_entries = -1;
        err = app__load(skel);
        SAY("%d %s", err < 0, app__failed_step(skel));
        SAY("%d", free_fd() == first);
        skel->maps.other.max_entries = 0;
        err = app__load(skel);
        SAY("%d %s", err, app__failed_step(skel));
        SAY("%d", skel->progs.refused.prog_fd);
        app__destroy(skel);
        return 0;
    }
    """
    lines = run_program(executable(header_of(compile_c(REFUSED_ONCE, "-g")), program, tmp_path))
    assert lines == ["1 failed: create map other (BPF_MAP_CREATE)", "1", "0 ", "0"]
