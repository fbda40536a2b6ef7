r"""Takes the body of a macro or loop apart, so that each call only has to put the arguments in.

As in GNU as, `\name`, `&name` and `&name&` are replaced, and `\@` and `\+` by counts; `\()` is empty, and
`\(text)` is the text as it stands. That holds in strings too, but not in characters: `'\a'` is a character. In
alternate mode names alone are replaced as well, and in macros the statement `LOCAL a, b` gives its names to new
symbols from there on. Names that are no parameters stay as they are.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bpfas.asm.feed import MacroError
from bpfas.asm.macro_arguments import NAME
from bpfas.asm.source import CHARACTER, STRING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True, slots=True)
class Template:
    """A body taken apart: `parts` has literal text in even places, and in odd ones the names of what to put there.

    Beside parameters these are `@`, `+` and the names of `LOCAL`, `local_names`.
    """

    parts: tuple[str, ...]
    local_names: tuple[str, ...]

    def fill(self, values: Mapping[str, str]) -> str:
        """The text with the values of the names."""
        parts = list(self.parts)
        parts[1::2] = map(values.__getitem__, parts[1::2])
        return "".join(parts)


def macro_template(body: str, parameters: Iterable[str], *, is_alternate: bool) -> Template:
    """The template of a macro's body.

    Raises MacroError for `\\(` without `)` and for a `LOCAL` that does not name new symbols, with its place.
    """
    return _template(body, parameters, *(_MACRO_ALTERNATE if is_alternate else _PLAIN))


def loop_template(body: str, parameter: str, *, is_alternate: bool) -> Template:
    """The template of the body of `.irp` or `.irpc`, in which GNU as knows no `LOCAL`.

    Raises MacroError for `\\(` without `)`, with its place.
    """
    return _template(body, [parameter], *(_LOOP_ALTERNATE if is_alternate else _PLAIN))


def _pattern(*, passed_over: str = "", name_end: str = "", ampersand: str = "", bare: str = "") -> re.Pattern[str]:
    """What is replaced in a text; with a name go the signs that end it."""
    return re.compile(
        rf"""{passed_over}
        \\(?: (?P<counter>[@+])
            | \((?P<literal>[^)\n]*)\)
            | (?P<open>\([^\n]*)
            | (?P<escaped>{NAME}){ampersand}{name_end}
            | & )
        | &(?: & | (?P<joined>{NAME}){ampersand}&? )
        {bare}""",
        re.VERBOSE,
    )


_UNITS = rf"(?P<string>{STRING}) | {CHARACTER} |"
_LOCAL = r"(?P<local>(?i:local)[ \t]+[^\n;`]*) |"
_LOCAL_SEPARATOR = re.compile(r"\s*,\s*|\s+")
_BARE = rf"| (?P<bare>{NAME})&?"
_NAME = re.compile(NAME)

# A `'` behind a name in a string ends it and is dropped, `"\name'text"`; elsewhere it begins a character.
# In alternate mode a `&` does the same everywhere.
_STRING = _pattern(name_end="'?")
_STRING_ALTERNATE = _pattern(name_end="'?", ampersand="&?", bare=f"{_BARE}'?")
# For a kind of body the pattern for what is outside of strings, and for strings.
_PLAIN = _pattern(passed_over=_UNITS), _STRING
_MACRO_ALTERNATE = _pattern(passed_over=_UNITS + _LOCAL, ampersand="&?", bare=_BARE), _STRING_ALTERNATE
_LOOP_ALTERNATE = _pattern(passed_over=_UNITS, ampersand="&?", bare=_BARE), _STRING_ALTERNATE


def _template(
    text: str, parameters: Iterable[str], outside: re.Pattern[str], in_string: re.Pattern[str]
) -> Template:
    builder = _TemplateBuilder(parameters, in_string)
    builder.add(outside, text, 0, len(text))
    return builder.template()


class _TemplateBuilder:
    def __init__(self, parameters: Iterable[str], in_string: re.Pattern[str]) -> None:
        self._known = set(parameters)
        self._in_string = in_string
        self._parts: list[str] = []
        self._literal: list[str] = []
        self._local_names: list[str] = []

    def template(self) -> Template:
        return Template((*self._parts, "".join(self._literal)), tuple(self._local_names))

    def add(self, pattern: re.Pattern[str], text: str, start: int, end: int) -> None:
        while match := pattern.search(text, start, end):
            self._literal.append(text[start : match.start()])
            start = match.end()
            match match.lastgroup:
                case "string":
                    self.add(self._in_string, text, *match.span())
                case "counter":
                    self._add_slot(match["counter"])
                case "escaped" | "joined" | "bare" as group if match[group] in self._known:
                    self._add_slot(match[group])
                case "escaped" | "bare" as group:
                    # What would end a parameter's name is a sign like any other behind this one.
                    start = match.end(group)
                    self._literal.append(text[match.start() : start])
                case "literal":
                    self._literal.append(match["literal"])
                case "open":
                    raise MacroError(r"`\(` has no closing `)` in its line", *match.span())
                case "local":
                    self._add_local_names(match)
                case _:
                    self._literal.append(match[0])
        self._literal.append(text[start:end])

    def _add_slot(self, name: str) -> None:
        self._parts += ("".join(self._literal), name)
        self._literal.clear()

    def _add_local_names(self, match: re.Match[str]) -> None:
        _, *names = _LOCAL_SEPARATOR.split(match[0].rstrip(" \t,"))
        for name in names:
            if not _NAME.fullmatch(name):
                raise MacroError(f"LOCAL needs names of symbols, not `{name}`", *match.span())
            if name in self._known:
                raise MacroError(f"`{name}` is already a parameter or a LOCAL symbol", *match.span())
            self._known.add(name)
            self._local_names.append(name)
