"""What the debugging directives of an assembly have said: source locations, and where functions begin and end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bpfas.asm.line_table import LineFlag, LineTable, SourceLocation

if TYPE_CHECKING:
    from bpfas.asm.section import Subsection
    from bpfas.asm.statement import Statement
    from bpfas.asm.symbol import AssemblySymbol


@dataclass(slots=True)
class DebugInformation:
    """Line table and procedures so far.

    `rows` are the source locations by subsection, each with its place there. `location` is what the last `.loc`
    said, until an instruction, a datum or the next `.loc` comes; `flags` are those that go on to the next `.loc`.
    `procedures` are the places where functions begin and end; `open_procedure` is one whose end has not come yet.
    """

    lines: LineTable = field(default_factory=LineTable)
    rows: dict[Subsection, list[tuple[int, int, SourceLocation]]] = field(default_factory=dict)
    location: SourceLocation | None = None
    flags: LineFlag = LineFlag.IS_STMT
    procedures: list[tuple[AssemblySymbol, AssemblySymbol]] = field(default_factory=list)
    open_procedure: AssemblySymbol | None = None
    open_statement: Statement | None = None
    has_frame_section: bool = False
    first_statement: Statement | None = None
