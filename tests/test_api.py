"""`bpfas.assemble`, `link` and `load`: texts, bytes and paths, in any order, without temporary files."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import bpfas
from bpfas.elf.writer import write_object

if TYPE_CHECKING:
    from pathlib import Path

MAIN = """
    .section socket,"ax",@progbits
    .globl main
    .type main,@function
main:
    call answer
    exit
    .size main, .-main
"""
LIBRARY = """
    .globl answer
    .type answer,@function
answer:
    r0 = 42
    exit
    .size answer, .-answer
"""


def test_every_name_is_there() -> None:
    for name in bpfas.__all__:
        assert getattr(bpfas, name).__name__ in (name, "bpfas.link")
    with pytest.raises(AttributeError, match="module 'bpfas' has no attribute 'nothing'"):
        bpfas.nothing  # noqa: B018


@pytest.mark.parametrize("first", ["pass", "import bpfas.link.linker", "bpfas.link", "bpfas.load"])
def test_link_is_called_whatever_was_imported_before(first: str) -> None:
    code = f"""
import bpfas
{first}
for _ in range(2):
    print(bpfas.link(bpfas.assemble("r0 = 1; exit"), name="out.o").name)
from bpfas import link
from bpfas.link.linker import link_objects
print(link("/nothing/there.o"))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "out.o\nout.o\n"
    assert "BpfasError" in done.stderr.splitlines()[-1]
    assert "/nothing/there.o" in done.stderr


def test_texts_bytes_and_paths(tmp_path: Path) -> None:
    source, library, archive = tmp_path / "main.s", tmp_path / "answer.o", tmp_path / "out.o"
    source.write_text(MAIN)
    library.write_bytes(write_object(bpfas.assemble(LIBRARY.encode())))
    before = sorted(tmp_path.iterdir())
    linked = [
        write_object(bpfas.link(main, answer, name="out.o"))
        for main in (bpfas.assemble(source, name="main.s"), bpfas.assemble(MAIN, name="main.s"))
        for answer in (library, str(library), library.read_bytes(), bpfas.assemble(LIBRARY))
    ]
    assert len(set(linked)) == 1
    archive.write_bytes(linked[0])
    images = [bpfas.open_image(each) for each in (linked[0], archive, str(archive))]
    assert [list(image.programs) for image in images] == [["main"]] * 3
    archive.unlink()
    assert sorted(tmp_path.iterdir()) == before


def test_errors_name_the_source() -> None:
    with pytest.raises(bpfas.BpfasError, match="<string>:1"):
        bpfas.assemble("nonsense here")
    with pytest.raises(bpfas.BpfasError, match="mine:1"):
        bpfas.assemble(b"nonsense here", name="mine")
    with pytest.raises(bpfas.BpfasError, match="there is nothing to link"):
        bpfas.link()


@pytest.mark.kernel
def test_what_is_assembled_and_linked_is_loaded() -> None:
    with bpfas.load(bpfas.link(bpfas.assemble(MAIN), bpfas.assemble(LIBRARY))) as app:
        assert app.programs["main"].test_run(bytes(64)).retval == 42
        with bpfas.Program.from_id(app.programs["main"].id) as program:
            assert program.name == "main"
