"""A text that is being read, and a statement in it that says what is read next."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bpfas.diag import Source, Span

if TYPE_CHECKING:
    from bpfas.asm.conditionals import Condition


EXPANSION_LIMIT = 1 << 28
"""Characters that all expansions of an assembly may have together."""


@dataclass(eq=False, slots=True)
class Feed:
    """A text that is being read: its source, its text without comments, and the conditions that it has opened."""

    source: Source
    text: str
    is_expansion: bool = False
    conditions: list[Condition] = field(default_factory=list)

    def span(self, start: int, end: int) -> Span:
        """A part of the text."""
        return Span(self.source, start, end)


@dataclass(frozen=True, slots=True)
class InputStatement:
    """A statement that says what is read next, or calls a macro: `word` and what stands behind it."""

    feed: Feed
    word: str
    start: int
    argument_start: int
    end: int

    @property
    def span(self) -> Span:
        """The statement without its labels."""
        return self.feed.span(self.start, self.end)

    @property
    def argument(self) -> str:
        """The text behind the word, which may begin with blanks."""
        return self.feed.text[self.argument_start : self.end]

    def place_of(self, error: MacroError) -> Span:
        """What is at fault, by the offsets in the argument that the error has; the statement where it has none."""
        if error.start is None or error.end is None:
            return self.span
        return self.feed.span(self.argument_start + error.start, self.argument_start + error.end)


class MacroError(ValueError):
    """A definition, call or body that has no expansion, with the reason.

    `start` and `end` are the offsets of what is at fault in the text handed in, or None where no part of it is.
    """

    def __init__(self, message: str, start: int | None = None, end: int | None = None) -> None:
        super().__init__(message)
        self.start = start
        self.end = end


class EndOfExpansion(Exception):
    """`.exitm`: the expansion that is being read ends here."""


class EndOfSource(Exception):
    """`.end`: the file that is being read ends here."""


class EndOfReading(Exception):
    """Nothing more shall be read: after `.abort`, or when a limit has been passed."""
