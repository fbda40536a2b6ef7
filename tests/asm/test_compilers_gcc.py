"""gcc's assembly gives the same object as GNU as makes of it, but for what is named here; and gcc can call ours.

gcc 12 comes with binutils 2.40, whose relocations have other numbers, and whose addends for a global symbol
include the symbol's value.
"""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

import pytest

from bpfas.asm import assemble
from bpfas.elf.constants import ByteOrder, SectionType, SymbolBinding
from bpfas.elf.reader import read_object
from bpfas.elf.writer import write_object
from bpfas.objfile import SpecialSection
from bpfas.reloc import RELOCATION_TYPES, RelocationNumber, write_field
from tests.asm.compilers import FOLDER, Case, Compiled, Compiler, assembled, parameters, sections
from tests.objdump.compare import symbols
from tests.peers import Peer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from bpfas.objfile import ObjectFile

ALL_OPTIONS = (
    "-O1",
    "-O3",
    "-Os",
    "-Og -g",
    "-O0 -g",
    "-O2 -g -gdwarf-2",
    "-O2 -g -gdwarf-3",
    "-O2 -g -gdwarf-4",
    "-O2 -g -gsplit-dwarf",
    "-O2 -ggnu-pubnames -g1",
    "-O2 -gbtf",
    "-O2 -gctf",
    "-O2 -ffunction-sections -fdata-sections",
    "-O2 -fno-zero-initialized-in-bss -fcommon",
    "-O2 -falign-functions=32 -falign-loops=16",
    "-O2 -frecord-gcc-switches -fno-ident",
    "-O2 -mkernel=4.0",
    "-O2 -malu32 -mjmp32 -mjmpext",
    "-O2 -flto -ffat-lto-objects",
    "-O2 -ggdb3",
    "-O2 -g -gas-loc-support -gas-locview-support",
    "-O2 -fpatchable-function-entry=2",
    "-O2 -fverbose-asm",
    "-O2 -g -dA",
)
WITH_ALL_OPTIONS = ("types", "control_flow", "linkage", "functions", "escapes", "globals", "inline_assembly")
REFUSED = {
    "inline_assembly.c": "the one in pseudo-C is not for GNU as 2.40",
    "maps.c -O0": "gcc 12 sees an indirect call where clang sees a constant",
    "tables.c": "it calls functions through a table, which gcc 12 refuses",
}


def cases() -> Iterator[Case]:
    for program in Compiler.GCC.programs:
        if program.parent == FOLDER and program.name in REFUSED:
            continue
        for options in ("-O0", "-O2 -g"):
            if f"{program.name} {options}" not in REFUSED:
                for order in ByteOrder:
                    yield Case(Compiler.GCC, program, options, order)
        for options in ALL_OPTIONS if program.stem in WITH_ALL_OPTIONS else ():
            yield Case(Compiler.GCC, program, options)


def rows(obj: ObjectFile) -> list[str]:
    """The rows of the line table."""
    shown = Peer.LLVM_DWARFDUMP.run("--debug-line", "-", stdin=write_object(obj)).text
    found = re.findall(r"^0x[0-9a-f]{16} .*", shown, re.MULTILINE)
    assert found
    return found


NUMBERS_OF_2_40 = {
    1: RelocationNumber.R_BPF_64_64,
    4: RelocationNumber.R_BPF_GNU_64_16,
    10: RelocationNumber.R_BPF_64_32,
    11: RelocationNumber.R_BPF_64_ABS32,
    12: RelocationNumber.R_BPF_64_ABS64,
}


def as_of_today(obj: ObjectFile) -> ObjectFile:
    """An object of binutils 2.40 with today's relocations."""
    for section in obj.sections:
        data = bytearray(section.data)
        for relocation in section.relocations:
            relocation.r_type = NUMBERS_OF_2_40[relocation.r_type]
            symbol, field = relocation.symbol, RELOCATION_TYPES[relocation.r_type].addend_field
            if symbol.st_bind is not SymbolBinding.LOCAL and symbol.section is not SpecialSection.COMMON:
                ((offset, width),) = field.pieces
                place = relocation.r_offset + offset
                in_place = int.from_bytes(data[place : place + width], obj.byte_order.name_for_int)
                write_field(field, data, relocation.r_offset, in_place - symbol.st_value, obj.byte_order)
        section.data = data
    return obj


def in_the_manner_of_gnu(obj: ObjectFile) -> ObjectFile:
    """Our object with sections filled up to their alignment, and one type of relocation for 32-bit addresses."""
    for section in obj.sections:
        missing = -section.sh_size % section.sh_addralign
        if section.sh_type == SectionType.NOBITS:
            section.nobits_size += missing
        else:
            section.data = bytes(section.data) + bytes(missing)
        for relocation in section.relocations:
            if relocation.r_type == RelocationNumber.R_BPF_64_NODYLD32:
                relocation.r_type = RelocationNumber.R_BPF_64_ABS32
    return obj


@pytest.mark.peer
@pytest.mark.parametrize("case", parameters(cases()))
def test_gcc(case: Case, compiled: Callable[[Case], Compiled]) -> None:
    files = compiled(case)
    found = in_the_manner_of_gnu(assembled(files, case))
    theirs = as_of_today(read_object(files.expected.read_bytes(), "gcc.o"))
    ours, expected = (sections(obj, Compiler.GCC.value) for obj in (found, theirs))
    if "-gas-loc-support" in case.options:
        # GNU as writes the same rows with other opcodes.
        del ours[".debug_line"], expected[".debug_line"]
        assert rows(found) == rows(theirs)
    assert ours == expected
    assert symbols(found) == symbols(theirs)


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A folder for -B, where gcc and clang find our assembler by the name `as`."""
    command = tmp_path / "tools" / "as"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m bpfas.asm "$@"\n')
    command.chmod(0o755)
    return command.parent


@pytest.mark.peer
@pytest.mark.parametrize(
    "options",
    [
        "-O2",
        "-O2 -g -mbig-endian",
        "-gdwarf-4 -pipe",
        "-gbtf -Wa,-mno-relax",
        "-v",
        "-w",
        "-gz=none",
        "-mxbpf",
    ],
)
def test_gcc_calls_ours(options: str, tools: Path, tmp_path: Path) -> None:
    """Each of these options changes what gcc calls the assembler with, or is a common one."""
    program, text, made = FOLDER / "functions.c", tmp_path / "prog.s", tmp_path / "prog.o"
    Peer.GCC.run(*options.split(), "-S", program, "-o", text)
    Peer.GCC.run(f"-B{tools}/", *options.split(), "-c", program, "-o", made)
    order = ByteOrder.BIG if "-mbig-endian" in options else ByteOrder.LITTLE
    assert made.read_bytes() == write_object(assemble(text.read_text(), byte_order=order))


@pytest.mark.peer
@pytest.mark.parametrize("options", ["", "-g", "-I ."])
def test_gcc_calls_ours_for_assembly(options: str, tools: Path, tmp_path: Path) -> None:
    """gcc's own preprocessor reads a source whose name ends in .S; from standard input the file's name is `-`."""
    source = b"#define TWO 2\n\tmov %r0, TWO\n\texit\n"
    (tmp_path / "prog.S").write_bytes(source)
    arguments = (f"-B{tools}/", *options.split(), "-c", "-o", str(tmp_path / "prog.o"))
    expected = write_object(assemble("mov %r0, 2\nexit", byte_order=ByteOrder.LITTLE))
    Peer.GCC.run(*arguments, tmp_path / "prog.S")
    assert (tmp_path / "prog.o").read_bytes() == expected
    Peer.GCC.run(*arguments, "-x", "assembler", "-", stdin=source.replace(b"TWO", b"2").partition(b"\n")[2])
    assert (tmp_path / "prog.o").read_bytes() == expected


@pytest.mark.peer
@pytest.mark.parametrize(
    ("target", "options"),
    [("bpfel", "-O2"), ("bpfeb", "-O2 -Wa,-EB"), ("bpfel", "-O2 -g")],
)
def test_clang_calls_ours(target: str, options: str, tools: Path, tmp_path: Path) -> None:
    """With -fno-integrated-as clang calls `as`, whose byte order must be told."""
    program, text, made = FOLDER / "functions.c", tmp_path / "prog.s", tmp_path / "prog.o"
    arguments = (f"--target={target}", f"-B{tools}/", "-fno-integrated-as", *options.split(), "-w")
    Peer.CLANG.run(*arguments, "-S", program, "-o", text)
    Peer.CLANG.run(*arguments, "-c", program, "-o", made)
    order = ByteOrder.BIG if target == "bpfeb" else ByteOrder.LITTLE
    assert made.read_bytes() == write_object(assemble(text.read_text(), byte_order=order))
