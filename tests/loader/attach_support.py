"""What the tests of attaching share: a program that counts, a library to probe, the tracing files."""

from __future__ import annotations

import ctypes
import os
import struct
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from bpfas.loader import syscall
from bpfas.loader.attach.tracefs import tracing_directory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfas.loader import Collection

HIT = """\
#include <bpf/bpf_tracing.h>
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 4); __type(key, unsigned);
         __type(value, unsigned long long [2]); } hits SEC(".maps");
static __always_inline int count(unsigned key, unsigned long long cookie)
{
    unsigned long long *found = bpf_map_lookup_elem(&hits, &key);
    if (found) { __sync_fetch_and_add(found, 1); found[1] = cookie; }
    return 0;
}
static __always_inline int hit(void *ctx) { return count(0, bpf_get_attach_cookie(ctx)); }
static __always_inline int is_me(unsigned pid) { return bpf_get_current_pid_tgid() >> 32 == pid; }
"""
"""C, behind the prelude of `compile_c`: `hit(ctx)` counts in the map `hits` and stores the attachment's cookie."""


class Hits(NamedTuple):
    """How often a program ran, and the cookie that it saw last."""

    times: int
    cookie: int


def read_hits(app: Collection, key: int = 0) -> Hits:
    """What `count(key, …)` has counted."""
    return Hits(*struct.unpack("=QQ", syscall.map_lookup_elem(app.maps["hits"].fd, struct.pack("=I", key), 16)))


def times_of_a_stat(app: Collection) -> int:
    """How often a program ran while a file was looked at once."""
    before = read_hits(app).times
    os.stat("/")
    return read_hits(app).times - before


def function_behind_unlink() -> str:
    """What does the work of unlink(2) in the running kernel: newer ones call it otherwise."""
    names = {"do_unlinkat", "filename_unlinkat"}
    with Path("/proc/kallsyms").open() as symbols:
        return next(name for line in symbols if (name := line.split()[2]) in names)


class Library:
    """A shared library that this process has loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.functions = ctypes.CDLL(str(path))

    def call(self, *names: str) -> None:
        """Call functions of it, each with 1."""
        for name in names:
            getattr(self.functions, name)(1)


def compile_library(directory: Path, source: str, *flags: str) -> Path:
    """A shared library out of C."""
    source_path, library = directory / "target.c", directory / "libtarget.so"
    source_path.write_text(source)
    subprocess.run(["/usr/bin/gcc", "-O1", "-shared", "-fPIC", *flags, "-o", library, source_path], check=True)
    return library


def cgroup2_root() -> str:
    """Where control groups of version 2 are mounted; the test is skipped where they are not."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    root = next((fields[1] for fields in mounts if fields[2] == "cgroup2"), None)
    if root is None:
        pytest.skip("no cgroup2 file system is mounted")
    return root


@pytest.fixture
def tracefs(tmp_path: Path) -> Iterator[None]:
    """The tracing files, mounted for this test where they are not."""
    if tracing_directory() is not None:
        yield
        return
    place = tmp_path / "tracefs"
    place.mkdir()
    mounted = subprocess.run(
        ["/usr/bin/mount", "-t", "tracefs", "tracefs", place], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount tracefs: {mounted.stderr.decode()}")
    yield
    subprocess.run(["/usr/bin/umount", place], check=True)
