"""What gcc and clang compile, our assembler assembles: the kernel takes it, and it computes what the C says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bpfas.asm import assemble
from bpfas.loader import load
from bpfas.loader.cli import main
from tests.peers import Peer

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.kernel, pytest.mark.peer, pytest.mark.usefixtures("no_leaks")]

PROGRAM = """
struct map { unsigned type, key_size, value_size, max_entries; };
struct map counts __attribute__((section("maps"), used)) = {2, 4, 8, 1};
static void *(*const lookup)(void *, const void *) = (void *)1;
static const int table[] = {3, 5, 7, 11};
static unsigned long long seen;
int start = 100;
const char text[] = "abc";
static __attribute__((noinline)) int square(int x) { return x * x; }
__attribute__((noinline)) int weigh(int x) { return square(x) + table[x & 3]; }
__attribute__((section("xdp"), used)) int entry(void *context) {
    unsigned key = 0;
    unsigned long long *value = lookup(&counts, &key);
    seen++;
    if (value)
        *value += 2;
    return weigh(6) + start + text[1] + (int)seen;
}
char _license[] __attribute__((section("license"), used)) = "GPL";
"""


@pytest.mark.parametrize(
    ("compiler", "options"),
    [
        *((Peer.GCC, options) for options in ("-O1", "-O2 -g", "-Os -gbtf", "-O3 -ffunction-sections")),
        *((Peer.CLANG, f"--target=bpf -mcpu={version} -O2 -g") for version in ("v1", "v2", "v3", "v4")),
    ],
)
def test_kernel_runs_what_was_compiled(compiler: Peer, options: str, tmp_path: Path) -> None:
    program, source = tmp_path / "prog.c", tmp_path / "prog.s"
    program.write_text(PROGRAM)
    compiler.run(*options.split(), "-S", program, "-o", source)
    with load(assemble(source.read_text())) as loaded:
        assert loaded.programs["entry"].test_run(bytes(64)).retval == 6 * 6 + 7 + 100 + ord("b") + 1
        assert loaded.maps["counts"][bytes(4)] == (2).to_bytes(8, "little")


@pytest.mark.parametrize("options", ["-O2", "-O2 -g", "-O2 -gbtf"])
def test_kernel_runs_what_gcc_compiled_and_gnu_as_assembled(
    options: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """GNU as 2.40 writes values of symbols into fields; `more` and `start` cannot both have the value 0."""
    source, path = tmp_path / "prog.c", tmp_path / "prog.o"
    source.write_text(
        PROGRAM.replace("int start = 100;", "int more = 30, start = 70;").replace("start +", "start + more +")
    )
    Peer.GCC.run(*options.split(), "-c", source, "-o", path)
    with load(path) as loaded:
        assert loaded.programs["entry"].test_run(bytes(64)).retval == 6 * 6 + 7 + 100 + ord("b") + 1
    assert main(["load", str(path)]) == 0
    assert "prog.o: warning: assembled by GNU as before 2.41" in capsys.readouterr().err
