"""The line table that `-g` makes of a source without `.loc`: a row for each instruction, where the source has it.

- A row stands where an instruction begins, with IS_STMT and column 0, as in LLVM. GNU as leaves out the rows that
  repeat the line before. Labels and data have no rows, nor has a section without EXECINSTR.
- An instruction that a macro has made is where the outermost macro was called, in both. One within `.rept` or
  `.irp` has in GNU as its own line, in LLVM that of `.rept`: the former tells more.
- One of an included file has that file's number and line, as in GNU as; LLVM takes the line, but the number of
  the main file. After `# 33 "main.c"` both count on from there, in a file of that name.
- The source is file 0 in version 5 and file 1 before (`main_file`), with its path as it was given; directory 0 is
  the directory of compilation. LLVM adds the MD5 sum of the source in version 5.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bpfas.asm.compile_unit import main_file
from bpfas.asm.line_table import LineFlag, LineTable, SourceFile, SourceLocation
from bpfas.diag import ExpansionKind, Source, Span

if TYPE_CHECKING:
    from bpfas.asm.line_table import SubsectionRows
    from bpfas.asm.section import Subsection


def line_of(source: Source, offset: int) -> tuple[str, int]:
    """The file and the line that a debugger shows for what stands at `offset` of a text."""
    place = (source, offset)
    expansion = source.expansion
    while expansion is not None and expansion.kind is not ExpansionKind.INCLUSION:
        at = expansion.at
        if expansion.kind is ExpansionKind.MACRO:
            place = (at.source, at.start)
        expansion = at.source.expansion
    source, offset = place
    return source.origin_of_line(source.line_and_column(offset)[0])


@dataclass(slots=True)
class SourceLines:
    """Rows so far, by subsection. `name` is the file that the main source comes from, `directory` where it is."""

    version: int
    name: str
    directory: str
    table: LineTable = field(init=False)
    rows: SubsectionRows = field(default_factory=dict)
    _numbers: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.table = LineTable(self.version, directories=[self.directory])
        self._number(self.name)

    def add(self, subsection: Subsection, source: Source, offset: int) -> None:
        """Add a row for the instruction that comes next in `subsection`, and stands at `offset` of a source."""
        name, line = line_of(source, offset)
        location = SourceLocation(self._number(name), line, 0, LineFlag.IS_STMT)
        self.rows.setdefault(subsection, []).append((*subsection.place, location))

    def declaration(self, span: Span) -> tuple[int, int]:
        """The file by its number, and the line, of what is declared at a place."""
        name, line = line_of(span.source, span.start)
        return self._number(name), line

    def _number(self, name: str) -> int:
        number = self._numbers.get(name)
        if number is None:
            number = self._numbers[name] = main_file(self.version) + len(self._numbers)
            self.table.files[number] = SourceFile(name)
        return number


def main_name(source: Source) -> str:
    """The file that a source comes from: its own name, or what a line marker in its first line says."""
    return source.origin_of_line(2)[0]


def working_directory() -> str:
    """The directory that names of files are relative to; empty if there is none any more."""
    try:
        return os.getcwd()
    except OSError:
        return ""
