"""Reads what stands behind `.macro`, `.irp`, `.irpc` and the name of a called macro, argument by argument.

GNU as has the last word on what an argument is; its manual says little ("Macro", "Altmacro"), so the tests hold
this module to what it does. Before GNU as looks for arguments it takes away every blank that does not stand
between two words and writes characters such as `'a'` as numbers: so `a + b` is one argument and `1 2` are two,
but `1 -1` and `%r1 %r2` are one. Brackets keep blanks from separating, though not commas.

What the arguments are for, macros.py knows.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bpfas.asm.feed import MacroError
from bpfas.asm.source import CHARACTER, STRING
from bpfas.asm.strings import character_value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# What else ASCII has: compiling a class with all that is not ASCII in it takes a tenth of a second.
_NO_NAME = r"\x00-#%-\-/:-@\[-\^`{-\x7f"
_LETTER = rf"[^0-9{_NO_NAME}]"
NAME_CHARACTER = rf"[^{_NO_NAME}]"
NAME = rf"{_LETTER}{NAME_CHARACTER}*+"
"""A regular expression for the names of macros and their parameters."""

_BLANK = r"[ \t\r\f\v]"


def _unit(apostrophes: str) -> re.Pattern[str]:
    """What is not itself in the normal form, and the strings, in which all is itself."""
    return re.compile(
        rf"""{STRING}
        |{apostrophes}
        |(?P<character>{CHARACTER}){_BLANK}*
        |(?P<separator>(?<=[^{_NO_NAME}]|"){_BLANK}+(?={NAME_CHARACTER}|["'\\]))
        |{_BLANK}+""",
        re.VERBOSE,
    )


_UNIT = _unit("(?P<apostrophes>(?!))")
# Apostrophes about a whole argument of more than one character are quotes in alternate mode.
_UNIT_ALTERNATE = _unit(r"""(?<![^\s,])(?!'(?:\\.|.)')'(?P<apostrophes>[^'"\n]+)'(?![^\s,])""")
_NAME = re.compile(NAME)
_WORD = re.compile(NAME_CHARACTER)
_COMMA = re.compile(r" ?,? ?")
_SIGN = re.compile(rf"{STRING}|[][() ,<]")
_STRING_CONTENT = re.compile(r'"((?:\\[^\n]|""|[^"\\\n])*+)"')
_STRING_CONTENT_ALTERNATE = re.compile(r'"((?:![^\n]|\\[^\n]|""|[^"\\!\n])*+)"')
_UNDOUBLED = re.compile(r'(\\.)|""')
_UNESCAPED = re.compile(r'(\\.)|""|!(.)')
_ANGLE = re.compile(r"![^\n]|[<>]")
_EXCLAMATION = re.compile(r"!([^\n])")
_OPENING = {")": "(", "]": "["}


@dataclass(frozen=True, slots=True)
class AlternateMode:
    """What `.altmacro` asks of the assembler; where None stands in its place, the mode is off.

    `evaluate` gives the value of an expression, for `%expression`; a MacroError of it gets the place of
    the argument.
    `new_local` gives a symbol name that nothing else has, for `LOCAL`.
    """

    evaluate: Callable[[str], int]
    new_local: Callable[[], str]


class ArgumentReader:
    """A place in a text of names and arguments, that moves on with what is read."""

    def __init__(self, text: str, alternate: AlternateMode | None) -> None:
        self._original = text
        self._alternate = alternate
        self._unit = _UNIT_ALTERNATE if alternate else _UNIT
        self._text = _normal_form(text, self._unit)
        self._at = 0

    @property
    def at_end(self) -> bool:
        """Whether all is read."""
        return self._at == len(self._text)

    @property
    def at(self) -> int:
        """The place reached, for `error`."""
        return self._at

    def name(self) -> str:
        """The name that stands here; empty where none does."""
        match = _NAME.match(self._text, self._at)
        if not match:
            return ""
        self._at = match.end()
        return match[0]

    def keyword(self) -> str:
        """The name that stands here before a `=`; empty where none does. Never in alternate mode, as in GNU as."""
        match = None if self._alternate else _NAME.match(self._text, self._at)
        if not match or self._text[match.end() : match.end() + 1] != "=":
            return ""
        self._at = match.end() + 1
        return match[0]

    def skip(self, sign: str) -> bool:
        """Whether the character `sign` stood here; it is skipped."""
        found = self._text.startswith(sign, self._at)
        self._at += found
        return found

    def skip_comma(self) -> bool:
        """Whether blanks or a comma stood here; they are skipped."""
        before = self._at
        match = _COMMA.match(self._text, before)
        self._at = match.end() if match else before
        return self._at > before

    def rest(self) -> str:
        """All that is left, for a parameter that takes all further arguments."""
        before, self._at = self._at, len(self._text)
        return self._text[before:]

    def argument(self) -> str:
        """The argument that stands here, without its quotes; empty before a comma and at the end.

        Raises MacroError for a quote or `<` that nothing closes, and `%` before nothing.
        """
        start = self._at
        sign = self._text[start : start + 1]
        if self._alternate and sign == "%":
            self._at += 1
            expression = self._expression()
            if not expression:
                raise self.error("`%` needs an expression after it", start)
            try:
                return str(self._alternate.evaluate(expression))
            except MacroError as error:
                raise self.error(str(error), start) from None
        if sign == '"':
            content = self._quoted()
            # GNU as keeps these quotes in alternate mode, so that the argument may be an operand of .ascii.
            return f'"{content}"' if self._alternate else content
        if self._alternate and sign == "<":
            return self._quoted()
        return self._bare()

    def error(self, message: str, start: int) -> MacroError:
        """An error whose fault lies from `start`, a former `at`, up to here."""
        first = _original_place(self._original, start, self._unit)
        if self._at == start:
            return MacroError(message, first, first)
        return MacroError(message, first, _original_place(self._original, self._at - 1, self._unit) + 1)

    def _bare(self) -> str:
        """The text up to a comma, in alternate mode a `<`, or a blank outside of brackets."""
        stops = ",<" if self._alternate else ","
        start = self._at
        self._at = len(self._text)
        for match, depth in self._signs(start):
            if match[0] in stops or (match[0] == " " and not depth):
                self._at = match.start()
                break
        return self._text[start : self._at]

    def _expression(self) -> str:
        """The text up to a comma, to a blank outside of brackets, or to a word behind a `)`."""
        start = self._at
        self._at = len(self._text)
        for match, depth in self._signs(start):
            if match[0] == "," or (match[0] == " " and not depth):
                self._at = match.start()
                break
            if match[0] == ")" and _WORD.match(self._text, match.end()):
                self._at = match.end()
                break
        return self._text[start : self._at]

    def _signs(self, start: int) -> Iterator[tuple[re.Match[str], int]]:
        """The signs and strings from `start` on, each with the number of brackets open behind it."""
        brackets: list[str] = []
        for match in _SIGN.finditer(self._text, start):
            sign = match[0]
            if sign[0] == '"':
                self._check_closed(match)
            elif sign in "([":
                brackets.append(sign)
            elif sign in _OPENING and brackets and brackets[-1] == _OPENING[sign]:
                brackets.pop()
            yield match, len(brackets)

    def _check_closed(self, string: re.Match[str]) -> None:
        if not _STRING_CONTENT.fullmatch(string[0]):
            self._at = string.end()
            raise self.error('the string has no closing `"`', string.start())

    def _quoted(self) -> str:
        """The contents of the strings, and in alternate mode the texts in `<>`, that stand here with no gap."""
        pieces: list[str] = []
        while not self.at_end:
            sign = self._text[self._at]
            if sign == '"':
                pieces.append(self._string())
            elif sign == "<" and self._alternate:
                pieces.append(self._angles())
            else:
                break
        return "".join(pieces)

    def _string(self) -> str:
        pattern = _STRING_CONTENT_ALTERNATE if self._alternate else _STRING_CONTENT
        match = pattern.match(self._text, self._at)
        if not match:
            start, self._at = self._at, len(self._text)
            raise self.error('the string has no closing `"`', start)
        self._at = match.end()
        if self._alternate:
            return _UNESCAPED.sub(lambda escape: escape[1] or escape[2] or '"', match[1])
        return _UNDOUBLED.sub(lambda escape: escape[1] or '"', match[1])

    def _angles(self) -> str:
        start = self._at
        depth = 0
        for match in _ANGLE.finditer(self._text, start):
            if match[0] == "<":
                depth += 1
            elif match[0] == ">":
                depth -= 1
                if not depth:
                    self._at = match.end()
                    return _EXCLAMATION.sub(r"\1", self._text[start + 1 : match.start()])
        self._at = len(self._text)
        raise self.error("the `<` has no closing `>`", start)


def _normal_form(text: str, unit: re.Pattern[str]) -> str:
    """The text as GNU as reads it: blanks that separate nothing taken away, characters written as numbers."""
    return unit.sub(_normal_unit, text)


def _normal_unit(match: re.Match[str]) -> str:
    if match["character"]:
        return str(character_value(match["character"]))
    if match["apostrophes"]:
        return f'"{match["apostrophes"]}"'
    if match["separator"]:
        return " "
    return match[0] if match[0][0] == '"' else ""


def _original_place(text: str, place: int, unit: re.Pattern[str]) -> int:
    """Where in `text` stands what stands at `place` in its normal form."""
    shift = 0
    for match in unit.finditer(text):
        normal = _normal_unit(match)
        if match.start() - shift + len(normal) > place:
            return min(place + shift, match.end() - 1)
        shift += len(match[0]) - len(normal)
    return place + shift
