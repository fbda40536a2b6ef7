"""Programs around which functions were removed, run by the kernel: they do what they did."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bpfas.elf.reader import read_object
from bpfas.link.linker import link_objects
from bpfas.link.options import LinkOptions
from bpfas.loader import load
from tests.peers import Peer

if TYPE_CHECKING:
    from pathlib import Path

    from bpfas.link.linker import Linked

pytestmark = [pytest.mark.kernel, pytest.mark.peer]

PRELUDE = '#define SEC(name) __attribute__((section(name), used))\nchar _license[] SEC("license") = "GPL";\n'
LAST = """
__attribute__((noinline)) int second(int x) { volatile int y = x; return y + 5; }
static __attribute__((noinline)) int unused_too(int x) { volatile int y = x; return y; }
__attribute__((noinline)) int unused(int x) { return unused_too(x) * second(x); }
"""
# Between functions that call each other at distances that the compiler has settled, and through their section.
FIRST = """
static __attribute__((noinline)) int before(int x) { volatile int y = x; return y * 3; }
__attribute__((weak, noinline)) int second(int x) { volatile int y = x; y++; y *= 9; return before(y); }
static __attribute__((noinline)) int after(int x) { volatile int y = x; return before(y) + 100 + second(y); }
__attribute__((weak, noinline)) int second_too(int x) { volatile int y = x; return before(after(y)); }
static __attribute__((noinline)) int last(int x) { volatile int y = x; return after(y) + before(y); }
const char *texts[] = { "unlike", "like" };
SEC("xdp") int prog(void *ctx) { return last(7) + after(1) + before(2) + texts[1][0]; }
"""
RESULT = (21 + 100 + 12 + 21) + (3 + 100 + 6) + 6 + ord("l")


def linked(directory: Path, options: LinkOptions, *sources: str) -> Linked:
    objects = []
    for number, source in enumerate(sources):
        path = directory / f"{number}.o"
        Peer.CLANG.run(
            *("--target=bpf", "-O2", "-g", "-c", "-x", "c", "-", "-o", path), stdin=(PRELUDE + source).encode()
        )
        objects.append(read_object(path.read_bytes(), path.name))
    return link_objects(objects, options=options)


@pytest.mark.parametrize("options", [LinkOptions(), LinkOptions(gc_functions=True), LinkOptions(gc_weak=False)])
def test_calls_over_what_was_removed(options: LinkOptions, tmp_path: Path) -> None:
    out = linked(
        tmp_path, options, FIRST.replace("const char *texts[] = ", "static const char texts[][8] = "), LAST
    )
    gone = {removed.name for removed in out.removed}
    assert gone == (
        {"second", "second_too", "unused", "unused_too"}
        if options.gc_functions
        else {"second"}
        if options.gc_weak
        else set()
    )
    with load(out.output) as app:
        assert app.programs["prog"].test_run(bytes(64)).retval == RESULT
