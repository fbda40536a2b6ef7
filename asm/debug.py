"""What is known for debuggers of an assembly: source locations and the frames of functions."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bpfas.asm.call_frame import CallFrame
    from bpfas.asm.line_table import LineTable, SourceLocation, SubsectionRows
    from bpfas.asm.source_lines import SourceLines
    from bpfas.asm.statement import Statement
    from bpfas.diag import Source

DEBUG_FRAME = ".debug_frame"
EH_FRAME = ".eh_frame"

MARK_LABELS = ".loc_mark_labels"
"""The directive after which every label begins a basic block."""


@dataclass(slots=True)
class DebugInformation:
    """Line table and procedures so far.

    `rows` are the source locations by subsection, each with its place there. `location` is what the last `.loc`
    said, until an instruction, a datum or the next `.loc` comes; `last_location` is the same, and stays. With
    `marks_labels` every label begins a basic block (`.loc_mark_labels`).
    `file_statements` are the `.file` of each number. `source_lines` is what `-g` makes of a source without `.loc`,
    and None without `-g`; `prefixes` are beginnings of paths, each with what it is replaced by.
    `frames` are those of functions that have ended, `open_frame` is the one of a function whose end has not come
    yet; `frame_sections` are what `.cfi_sections` wants, or else .eh_frame.
    """

    rows: SubsectionRows = field(default_factory=dict)
    location: SourceLocation | None = None
    last_location: SourceLocation | None = None
    marks_labels: bool = False
    reported_md5: bool = False
    file_statements: dict[int, Statement] = field(default_factory=dict)
    source_lines: SourceLines | None = None
    prefixes: Sequence[tuple[str, str]] = ()
    frames: list[CallFrame] = field(default_factory=list)
    open_frame: CallFrame | None = None
    frame_sections: tuple[str, ...] = (EH_FRAME,)
    _lines: LineTable | None = None

    @property
    def lines(self) -> LineTable:
        """The line table that `.file` and `.loc` make."""
        if self._lines is None:
            from bpfas.asm.line_table import LineTable

            self._lines = LineTable()
        return self._lines

    @property
    def is_empty(self) -> bool:
        """Whether neither the source nor the options have anything for debuggers."""
        has_lines = self._lines is not None or self.rows or self.source_lines is not None
        return not (has_lines or self.frames or self.open_frame is not None)

    def describe_source(self, main: Source, version: int, prefixes: Sequence[tuple[str, str]]) -> None:
        """Have the lines of a source, which `main` is or begins, noted in DWARF `version` (-g)."""
        from bpfas.asm.source_lines import SourceLines, main_name, working_directory

        self.lines.version = version
        self.prefixes = prefixes
        self.source_lines = SourceLines(version, main_name(main), working_directory())

    def mark_label(self) -> None:
        """Let the source location that waits, or else the last one, be that of a label: a basic block."""
        location = self.location
        if location is None and self.last_location is not None:
            location = self.last_location.continued()
        if location is not None:
            from bpfas.asm.line_table import LineFlag

            self.location = dataclasses.replace(location, flags=location.flags | LineFlag.BASIC_BLOCK)

    def remapped(self, path: str) -> str:
        """`path` as it shall be shown: of the prefixes that fit the one that was given last is replaced."""
        for old, new in reversed(self.prefixes):
            if path.startswith(old):
                return new + path[len(old) :]
        return path
