"""Programs in C compiled to assembly, and that made into objects by the compiler's own assembler and by ours.

The tests say which cases there are and what is compared. All cases that pytest is about to run are compiled ahead,
by as many processes as there are processors, while the tests assemble and compare.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bpfas.asm import Options, assemble_sources
from bpfas.diag import Source
from bpfas.elf.constants import ByteOrder, SectionFlag
from bpfas.elf.reader import read_object
from bpfas.elf.writer import write_object
from tests.objdump.compare import section_facts
from tests.peers import Peer

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bpfas.objfile import ObjectFile, Section

WIDE = b"\x18"
JA_0 = bytes((5, 0, 0, 0, 0, 0, 0, 0))
FOLDER = Path(__file__).parent / "compiled"


class Compiler(enum.Enum):
    """A compiler, and the 64-bit number that its assembler fills up code with when it aligns."""

    CLANG = 0x15000000
    GCC = 0

    def require(self) -> None:
        """Skip the running test where the compiler or its assembler is not installed."""
        for peer in (Peer.CLANG,) if self is Compiler.CLANG else (Peer.GCC, Peer.GNU_AS):
            peer.require()

    @property
    def programs(self) -> list[Path]:
        """The programs for this compiler: those for both, and its own."""
        return sorted([*FOLDER.glob("*.c"), *(FOLDER / self.name.lower()).glob("*.c")])


@dataclass(frozen=True, slots=True)
class Case:
    """One way to compile one program."""

    compiler: Compiler
    program: Path
    options: str
    order: ByteOrder = ByteOrder.LITTLE

    def __str__(self) -> str:
        return f"{self.program.stem} {self.order.name_for_int} {self.options}"


@dataclass(frozen=True, slots=True)
class Compiled:
    """The files that a case gave: the compiler's assembly, and what its own assembler made of that."""

    source: Path
    expected: Path


class CompilerError(Exception):
    """A compiler, or its assembler, refused its input; the text is what it said."""


def compile_case(case: Case, path: Path) -> Compiled:
    """Compile; the files are called as `path`, with .s and .o behind it. Raises CompilerError."""
    compiled = Compiled(path.with_suffix(".s"), path.with_suffix(".o"))
    options = case.options.split()
    if case.compiler is Compiler.GCC:
        big = ["-mbig-endian"] if case.order is ByteOrder.BIG else []
        run(Peer.GCC, *big, *options, "-w", "-S", case.program, "-o", compiled.source, directory=path.parent)
        order = "-EB" if case.order is ByteOrder.BIG else "-EL"
        run(Peer.GNU_AS, order, compiled.source, "-o", compiled.expected)
        return compiled
    target = f"--target=bpf{'eb' if case.order is ByteOrder.BIG else 'el'}"
    run(Peer.CLANG, target, *options, "-w", "-S", case.program, "-o", compiled.source, directory=path.parent)
    readable = path.with_suffix(".readable.s")
    readable.write_bytes(as_clang_reads_it(compiled.source.read_bytes()))
    version = [option for option in options if option.startswith(("-mcpu=", "-gdwarf-"))]
    # Else it leaves out a directory that is its working directory, where the source has no `.file 0`.
    elsewhere = "-fdebug-compilation-dir=/elsewhere"
    run(Peer.CLANG, target, *version, elsewhere, "-c", readable, "-o", compiled.expected)
    return compiled


def run(peer: Peer, *arguments: str | Path, directory: Path | None = None) -> None:
    """Run a tool in a process that is no test's, where pytest's exceptions would be lost. Raises CompilerError.

    Some options write further files into the current directory.
    """
    result = peer.run(*arguments, check=False, directory=directory)
    if result.status:
        raise CompilerError(f"{peer.value} {' '.join(map(str, arguments))}\n{result.errors}")


def as_clang_reads_it(text: bytes) -> bytes:
    """clang's assembly in the words that its assembler understands, which are not all that it prints.

    It prints the move that zero-extends with the wide register's name, and `.set` as an assignment.
    """
    text = re.sub(rb"^(\t+)r(\d+ = w\d+)$", rb"\1w\2", text, flags=re.MULTILINE)
    return re.sub(rb"^([\w.$]+) = (.*)$", rb"\t.set \1, \2", text, flags=re.MULTILINE)


def assembled(files: Compiled, case: Case) -> ObjectFile:
    """Our object, as it reads from the file that it would be.

    The version of DWARF is told to clang's own assembler too.
    """
    version = re.search(r"-gdwarf-(\d)", case.options) if case.compiler is Compiler.CLANG else None
    options = Options(case.order, debug_version=int(version[1]) if version else None)
    text = files.source.read_text(errors="surrogateescape")
    made = assemble_sources([Source(str(files.source), text)], "ours.o", options)
    return read_object(write_object(made.object_file), "ours.o")


def sections(obj: ObjectFile, filling: int) -> dict[str, list[object]]:
    """The sections that say something, by name, with code filled up our way; `filling` is the object's own."""
    found: dict[str, list[object]] = {}
    for section in obj.sections:
        if section.sh_size:
            facts = section_facts(refilled(section, filling.to_bytes(8, obj.byte_order.name_for_int)))
            found.setdefault(section.name, []).append(facts)
    return found


def refilled(section: Section, filling: bytes) -> Section:
    """The section with `ja +0` for each `filling` in its code that is no wide instruction's second half."""
    if not section.sh_flags & SectionFlag.EXECINSTR:
        return section
    data = bytearray(section.data)
    for place in range(0, len(data), 8):
        if data[place : place + 8] == filling and data[place - 8 : place - 7] != WIDE:
            data[place : place + 8] = JA_0
    section.data = data
    return section


def parameters(cases: Iterable[Case]) -> Sequence[object]:
    """The cases as pytest's parameters."""
    return [pytest.param(case, id=re.sub(r"\W+", "-", str(case))) for case in cases]
