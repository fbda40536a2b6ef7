"""Places in sources, messages about them, and the exception that carries all messages of a phase.

A phase (parse, assemble, read, link, …) collects what it finds in a `Diagnostics` and ends with
`raise_if_errors()`, so that one run reports every error of that phase. Rendered, a message is
`file:line:col: error: message`, the source line and a caret; a program gets it as data. What a command does with
it is `bpfas.cli`'s part.
"""

from __future__ import annotations

import enum
import math
import re
from bisect import bisect_right
from functools import cached_property
from typing import NamedTuple

_PLACE_IN_SOURCE = r"(?:.*, used at )?(.+):([0-9]{1,9}) \(.+\)"
"""A place of an object with the file and the line of its source in front."""

_LONGEST_EXCERPT = 240
"""Characters of a source line that are shown with a message."""

_LONGEST_MESSAGE = 1000

_LONGEST_CHAIN = 10
"""Places of expansions that are shown with a message."""

_PLACE = r'([0-9]{1,9})[ \t]+"((?:\\.|[^"\\\n])*)"'
_LINE_MARKER = rf"(?m)^(?:#[ \t]*(?:line[ \t]+)?|[ \t]*\.linefile[ \t]+){_PLACE}"

SEMICOLON_LINE_MARKER = rf"(?m)^;[ \t]*{_PLACE}[ \t0-9]*\r?$"
"""A line marker as a GCC before 14 writes it for BPF; nothing else may stand in the line."""


class Severity(enum.Enum):
    """How grave a message is; only ERROR keeps a phase from giving a result."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class ExpansionKind(enum.Enum):
    """What a text is that is not an input itself."""

    INCLUSION = enum.auto()
    MACRO = enum.auto()
    REPETITION = enum.auto()


class Expansion(NamedTuple):
    """How a text came to be read that is not an input itself: `what` (such as `included from`) at a place.

    A text that was made out of lines of `origin`, such as a macro's body, has the line numbers there: its first
    line is `first_line`, and after `period` lines it begins again (0: never).
    """

    what: str
    at: Span
    first_line: int = 1
    period: int = 0
    kind: ExpansionKind = ExpansionKind.INCLUSION


class Source:
    """A text and the name it goes by in messages (`-` is shown as `<stdin>` by who makes it)."""

    def __init__(self, name: str, text: str, expansion: Expansion | None = None) -> None:
        self.name = name
        self.text = text
        self.expansion = expansion

    @cached_property
    def _line_starts(self) -> list[int]:
        starts = [0]
        find = self.text.find
        at = find("\n")
        while at >= 0:
            starts.append(at + 1)
            at = find("\n", at + 1)
        return starts

    def line_and_column(self, offset: int) -> tuple[int, int]:
        """Line and column, both from 1, of the character at `offset`."""
        line = bisect_right(self._line_starts, offset)
        return line, offset - self._line_starts[line - 1] + 1

    @cached_property
    def _line_markers(self) -> list[tuple[int, str, int]]:
        """What a preprocessor says of lines: from this line on, the text is of that file from that line on."""
        markers: list[tuple[int, str, int]] = []
        found = [*re.finditer(_LINE_MARKER, self.text), *re.finditer(SEMICOLON_LINE_MARKER, self.text)]
        for match in sorted(found, key=re.Match.start):
            physical = self.line_and_column(match.start())[0] + 1
            # An empty name ends what a compiler has put in from an inline assembly.
            markers.append((physical, match[2], int(match[1])) if match[2] else (physical, self.name, physical))
        return markers

    def origin_of_line(self, line: int) -> tuple[str, int]:
        """The file and the line in it that line `line` of this text comes from (both lines from 1).

        That is told by line markers (`# 12 "file.c"`, as a preprocessor writes them, `; 12 "file.c"`, as GCC 12
        does, or `.linefile 12 "file.c"`), or of what a macro or a repetition has been made into, by the expansion.
        """
        if self.expansion is not None and self.expansion.kind is not ExpansionKind.INCLUSION:
            turn = (line - 1) % self.expansion.period if self.expansion.period else line - 1
            return self.name, self.expansion.first_line + turn
        index = bisect_right(self._line_markers, line, key=lambda marker: marker[0])
        if not index:
            return self.name, line
        physical, name, shown = self._line_markers[index - 1]
        return name, shown + line - physical

    def line_text(self, line: int) -> str:
        """The text of line `line` (from 1), without its end-of-line."""
        start = self._line_starts[line - 1]
        end = self.text.find("\n", start)
        return self.text[start : end if end >= 0 else len(self.text)].removesuffix("\r")


class Span(NamedTuple):
    """The characters `start` (included) to `end` (excluded) of a source."""

    source: Source
    start: int
    end: int

    @property
    def place(self) -> str:
        """`file:line:col`."""
        return ":".join(map(str, self._origin_of(self.start)))

    def as_data(self) -> dict[str, object]:
        """File, first line and column, and the line and column behind the last character, all counted from 1."""
        file, line, column = self._origin_of(self.start)
        _, end_line, end_column = self._origin_of(self.end)
        return {"file": file, "line": line, "column": column, "end_line": end_line, "end_column": end_column}

    def _origin_of(self, offset: int) -> tuple[str, int, int]:
        line, column = self.source.line_and_column(offset)
        return *self.source.origin_of_line(line), column

    def expansions(self) -> list[Expansion]:
        """How the text came to be read, from the innermost macro or included file to the outermost."""
        chain: list[Expansion] = []
        expansion = self.source.expansion
        while expansion is not None:
            chain.append(expansion)
            expansion = expansion.at.source.expansion
        return chain

    def excerpt(self) -> str:
        """The source line with a caret line below it; a span that goes on is marked to its line's end.

        Of a very long line it is the part about the span. Characters that a terminal does not show are replaced.
        """
        line, column = self.source.line_and_column(self.start)
        text = self.source.line_text(line)
        if len(text) > _LONGEST_EXCERPT:
            first = max(0, column - 1 - _LONGEST_EXCERPT // 2)
            text, column = text[first : first + _LONGEST_EXCERPT], column - first
        text = "".join(
            char if char.isprintable() or char == "\t" else "\N{REPLACEMENT CHARACTER}" for char in text
        )
        # Tabs are kept in the caret line so that the caret stands below its character in any terminal.
        lead = "".join("\t" if char == "\t" else " " for char in text[: column - 1])
        width = max(1, min(self.end - self.start, len(text) - column + 1))
        return f"{text}\n{lead}^{'~' * (width - 1)}"


class Diagnostic(NamedTuple):
    """One message.

    `at` is a Span for a place in a source, or a text such as `a.o:(.text+0x18)` for one in an object; where the
    source line is known too, `a.c:4 (a.o:(.text+0x18))`. `notes` are further lines, each complete in itself, shown
    below with the linker's `>>> ` in front. `first_place` is such a text that the notes tell of, for who reads
    messages as data; the text of one that is `at` no place has it in the notes only.
    """

    severity: Severity
    message: str
    at: Span | str | None = None
    notes: tuple[str, ...] = ()
    first_place: str | None = None

    def render(self) -> str:
        """The message as text of one or more lines, without a final newline."""
        message = self._shortened_message
        match self.at:
            case Span() as span:
                lines = [f"{span.place}: {self.severity.value}: {message}", span.excerpt()]
                lines += _chain_lines(span.expansions())
            case str(place):
                lines = [f"{place}: {self.severity.value}: {message}"]
            case None:
                lines = [f"{self.severity.value}: {message}"]
        lines.extend(f">>> {note}" for note in self.notes)
        return "\n".join(lines)

    @property
    def _shortened_message(self) -> str:
        message = self.message
        if len(message) <= _LONGEST_MESSAGE:
            return message
        half = _LONGEST_MESSAGE // 2  # it quotes something endless
        return f"{message[:half]} … {message[-half:]}"

    def as_data(self) -> dict[str, object]:
        """The message for a program to read; docs/diagnostics.md describes it."""
        place: dict[str, object] = dict.fromkeys(("file", "line", "column", "end_line", "end_column"))
        chain: list[Expansion] = []
        at = self.at or self.first_place
        match at:
            case Span() as span:
                place = span.as_data()
                chain = span.expansions()
            case str(text):
                in_source = re.fullmatch(_PLACE_IN_SOURCE, text)
                if in_source:
                    place.update(file=in_source[1], line=int(in_source[2]))
                else:
                    place["file"] = text.partition(":(")[0]
        return {
            "severity": self.severity.value,
            "message": self._shortened_message,
            **place,
            "place": at.place if isinstance(at, Span) else at,
            "notes": list(self.notes),
            "chain": [{"what": expansion.what, **expansion.at.as_data()} for expansion in chain],
        }


def _chain_lines(chain: list[Expansion]) -> list[str]:
    """Lines that say how a place was come to; the middle of a very long chain is left out."""
    lines = [f">>> {expansion.what} {expansion.at.place}" for expansion in chain]
    if len(lines) > _LONGEST_CHAIN:
        left_out = len(lines) - _LONGEST_CHAIN
        half = _LONGEST_CHAIN // 2
        lines[half : half + left_out] = [f">>> ({left_out} more)"]
    return lines


class BpfasError(Exception):
    """What a phase raises when its input is at fault: every diagnostic it collected, errors and warnings."""

    def __init__(self, diagnostics: list[Diagnostic]) -> None:
        super().__init__(diagnostics)
        self.diagnostics = diagnostics

    def __str__(self) -> str:
        return "\n".join(diagnostic.render() for diagnostic in self.diagnostics)

    @classmethod
    def of(cls, message: str, at: Span | str | None = None, notes: tuple[str, ...] = ()) -> BpfasError:
        """The exception for a single error."""
        return cls([Diagnostic(Severity.ERROR, message, at, notes)])


class Diagnostics:
    """Collects the messages of one phase."""

    __slots__ = ("items",)

    def __init__(self) -> None:
        self.items: list[Diagnostic] = []

    def error(
        self,
        message: str,
        at: Span | str | None = None,
        notes: tuple[str, ...] = (),
        first_place: str | None = None,
    ) -> None:
        """Note an error; the phase goes on to find the next one."""
        self.items.append(Diagnostic(Severity.ERROR, message, at, notes, first_place))

    def warning(
        self,
        message: str,
        at: Span | str | None = None,
        notes: tuple[str, ...] = (),
        first_place: str | None = None,
    ) -> None:
        """Note something that does not keep the phase from giving a result."""
        self.items.append(Diagnostic(Severity.WARNING, message, at, notes, first_place))

    @property
    def has_errors(self) -> bool:
        """Whether any message is an error."""
        return any(item.severity is Severity.ERROR for item in self.items)

    def raise_if_errors(self) -> None:
        """Raise BpfasError with all that was collected, in source order, if any of it is an error."""
        if self.has_errors:
            raise BpfasError(self.in_source_order())

    def in_source_order(self) -> list[Diagnostic]:
        """The messages, those of one input sorted by place; the others stay where they are, behind."""

        inputs: dict[int, int] = {}

        def key(item: Diagnostic) -> tuple[float, ...]:
            if not isinstance(item.at, Span):
                return (math.inf,)
            places = [*(expansion.at for expansion in reversed(item.at.expansions())), item.at]
            return (inputs.setdefault(id(places[0].source), len(inputs)), *(place.start for place in places))

        return sorted(self.items, key=key)
