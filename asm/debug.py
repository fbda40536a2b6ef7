"""What the debugging directives of an assembly have said: source locations, and where functions begin and end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bpfas.asm.line_table import LineFlag, LineTable, SourceLocation

if TYPE_CHECKING:
    from bpfas.asm.frames import Procedure
    from bpfas.asm.section import SectionBuilder
    from bpfas.asm.statement import Statement


@dataclass(slots=True)
class DebugInformation:
    """Line table and procedures so far.

    `location` is what the last `.loc` said, until an instruction, a datum or the next `.loc` comes; `flags` are
    those that go on to the next `.loc`. `open_procedure` is where a `.cfi_startproc` stands that waits for its
    end: the section and the offset.
    """

    lines: LineTable = field(default_factory=LineTable)
    location: SourceLocation | None = None
    flags: LineFlag = LineFlag.IS_STMT
    procedures: list[Procedure] = field(default_factory=list)
    open_procedure: tuple[SectionBuilder, int] | None = None
    open_statement: Statement | None = None
    has_frame_section: bool = False
    first_statement: Statement | None = None
