"""What a listing shows: which texts were read, and what each statement has put where. `-a` has it recorded.

Places are those of reading; where they lie finally is known after the layout, when `bpfas.asm.listing_text` makes
the text. Statements are recorded one by one, so that a source with a listing is not read in batches.
"""

from __future__ import annotations

import contextlib
import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bpfas.asm import conditionals
from bpfas.asm.debug_directives import DEBUG_DIRECTIVES
from bpfas.asm.statement import Directive

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfas.asm.assembler import Assembler
    from bpfas.asm.feed import Feed, InputStatement
    from bpfas.asm.section import SectionBuilder, Subsection
    from bpfas.asm.statement import Statement
    from bpfas.diag import Source


class Edict(enum.Enum):
    """What a directive says about the listing itself."""

    LIST = enum.auto()
    NOLIST = enum.auto()
    TITLE = enum.auto()
    SUBTITLE = enum.auto()
    EJECT = enum.auto()
    PAGE_LENGTH = enum.auto()


@dataclass(frozen=True, slots=True)
class ReadStatement:
    """A statement at offset `start` of its text, and the stretch of a subsection that it has filled.

    `first` and `last` are places (`Subsection.place`) before and behind what it has put there.
    """

    start: int
    subsection: Subsection
    first: tuple[int, int]
    last: tuple[int, int]
    is_debugging: bool
    edicts: tuple[tuple[Edict, str | int], ...]


@dataclass(eq=False, slots=True)
class ReadText:
    """A text that was read, with its statements and the texts that were read because of it, in this order.

    `start` is the offset, in the text that has asked for this one, of the end of the statement that did. Reading
    has ended behind `end`, or at the end of the text. `passed_over` are the parts that conditions have left out.
    """

    source: Source
    is_expansion: bool
    start: int | None = None
    end: int | None = None
    items: list[ReadStatement | ReadText] = field(default_factory=list)
    passed_over: list[tuple[int, int]] = field(default_factory=list)


@dataclass(slots=True)
class ListingRecord:
    """What has been read so far. `contents` are the final bytes of each section, known after the layout."""

    texts: list[ReadText] = field(default_factory=list)
    contents: dict[SectionBuilder, bytes] = field(default_factory=dict)
    _open: list[ReadText] = field(default_factory=list)
    _edicts: list[tuple[Edict, str | int]] = field(default_factory=list)

    @contextlib.contextmanager
    def reading(self, feed: Feed) -> Iterator[None]:
        """Record what is read inside as part of a text, which belongs to the one that is being read."""
        text = ReadText(feed.source, feed.is_expansion)
        (self._open[-1].items if self._open else self.texts).append(text)
        self._open.append(text)
        try:
            yield
        finally:
            self._open.pop()

    def carry_out(self, statement: Statement, assembler: Assembler) -> None:
        """Have a statement carried out, and record what it does."""
        subsection = assembler.assembly.subsection
        first = subsection.place
        assembler.carry_out(statement)
        body = statement.template.body
        is_debugging = isinstance(body, Directive) and body.name in DEBUG_DIRECTIVES
        edicts, self._edicts = tuple(self._edicts), []
        self._open[-1].items.append(
            ReadStatement(statement.start, subsection, first, subsection.place, is_debugging, edicts)
        )

    def add_edict(self, edict: Edict, value: str | int = 0) -> None:
        """Record what the statement that is being carried out says about the listing."""
        self._edicts.append((edict, value))

    def reading_goes_on(self, statement: InputStatement, position: int) -> None:
        """Record that behind a statement that chooses what is read next, reading goes on at `position`."""
        text = self._open[-1]
        for item in reversed(text.items):
            if not isinstance(item, ReadText) or item.start is not None:
                break
            item.start = position
        if statement.word in conditionals.DIRECTIVES:
            text.passed_over.append((statement.end, position))

    def reading_ends(self, statement: InputStatement) -> None:
        """Record that nothing of the text that is being read is read behind a statement."""
        self.reading_goes_on(statement, statement.end)
        self._open[-1].end = statement.end
