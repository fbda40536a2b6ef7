"""What compilers write: clang's and gcc's assembly gives the same object as their own assemblers make of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bpfas.asm import assemble
from bpfas.elf.constants import ByteOrder, SymbolType
from bpfas.elf.reader import read_object
from bpfas.elf.writer import write_object
from tests.objdump.compare import section_facts, symbols
from tests.peers import Peer

if TYPE_CHECKING:
    from bpfas.objfile import ObjectFile

PROGRAMS = sorted((Path(__file__).parent / "compiled").glob("*.c"))


def versions(program: Path) -> list[str]:
    """The values of -mcpu for a program: all, or those that it names."""
    match = re.search(r"^// mcpu: (.*)$", program.read_text(), re.MULTILINE)
    return match[1].split() if match else ["v1", "v2", "v3", "v4"]


CASES = [(program, version) for program in PROGRAMS for version in versions(program)]


def ours(text: str, order: ByteOrder) -> ObjectFile:
    return read_object(write_object(assemble(text, byte_order=order)), "ours.o")


def sections(obj: ObjectFile) -> dict[str, object]:
    """The sections that say something, by name."""
    return {section.name: section_facts(section) for section in obj.sections if section.sh_size}


@pytest.mark.peer
@pytest.mark.parametrize("order", ByteOrder)
@pytest.mark.parametrize("level", ["-O0", "-O2", "-O2 -g"])
@pytest.mark.parametrize(("program", "version"), CASES, ids=[f"{path.stem}-{version}" for path, version in CASES])
def test_clang(program: Path, version: str, level: str, order: ByteOrder, tmp_path: Path) -> None:
    target = f"--target=bpf{'el' if order is ByteOrder.LITTLE else 'eb'}"
    source, expected = tmp_path / "prog.s", tmp_path / "prog.o"
    Peer.CLANG.run(target, f"-mcpu={version}", *level.split(), "-w", "-S", program, "-o", source)
    found = ours(source.read_text(), order)
    # clang prints the move that zero-extends with the wide register's name, and cannot read that itself.
    source.write_text(re.sub(r"^(\t+)r(\d+ = w\d+)$", r"\1w\2", source.read_text(), flags=re.MULTILINE))
    Peer.CLANG.run(target, f"-mcpu={version}", "-c", source, "-o", expected)
    theirs = read_object(expected.read_bytes(), "clang.o")
    assert sections(found) == sections(theirs)
    assert symbols(found) == symbols(theirs)
    assert numbers_of_listed_symbols(found) == numbers_of_listed_symbols(theirs)


def numbers_of_listed_symbols(obj: ObjectFile) -> list[str]:
    """The bytes of .llvm_addrsig: the same if the symbols come in the same order."""
    return [bytes(section.data).hex() for section in obj.sections if section.name == ".llvm_addrsig"]


NOT_FOR_GCC = {
    ("inline_assembly", "-O0"): "its pseudo-C is not for GNU as 2.40",
    ("inline_assembly", "-O2"): "its pseudo-C is not for GNU as 2.40",
    ("maps", "-O0"): "gcc 12 sees an indirect call where clang sees a constant",
}
GCC_CASES = [
    (path, level) for path in PROGRAMS for level in ("-O0", "-O2") if (path.stem, level) not in NOT_FOR_GCC
]


@pytest.mark.peer
@pytest.mark.parametrize("order", ByteOrder)
@pytest.mark.parametrize(("program", "level"), GCC_CASES, ids=[f"{path.stem}{level}" for path, level in GCC_CASES])
def test_gcc(program: Path, level: str, order: ByteOrder, tmp_path: Path) -> None:
    """gcc 12's assembler numbers relocations otherwise, so sections with relocations are not compared here."""
    source, expected = tmp_path / "prog.s", tmp_path / "prog.o"
    endian = "little" if order is ByteOrder.LITTLE else "big"
    Peer.GCC.run(f"-m{endian}-endian", level, "-w", "-S", program, "-o", source)
    Peer.GNU_AS.run("-EL" if order is ByteOrder.LITTLE else "-EB", source, "-o", expected)
    found, theirs = ours(source.read_text(), order), read_object(expected.read_bytes(), "gcc.o")
    assert set(sections(found)) == set(sections(theirs))
    for section in theirs.sections:
        same = found.section(section.name)
        if section.sh_size and not section.relocations:
            assert same
            padding = -same.sh_size % same.sh_addralign  # GNU as pads a section to its alignment
            assert section.sh_size - same.sh_size in (0, padding)
            assert bytes(section.data[: same.sh_size]) == same.data
            assert not any(section.data[same.sh_size :])
            assert (section.sh_type, section.sh_flags, section.sh_addralign, section.sh_entsize) == (
                *(same.sh_type, same.sh_flags, same.sh_addralign, same.sh_entsize),
            )
    assert names(found) == names(theirs)


def names(obj: ObjectFile) -> list[tuple[object, ...]]:
    """Symbols with what they are, without those that stand for sections and files."""
    return [row for row in symbols(obj) if row[5] is not SymbolType.FILE]
