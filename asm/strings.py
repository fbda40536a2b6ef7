"""Strings and characters of a source: quotes taken away and escapes replaced (GNU as manual, "Strings")."""

from __future__ import annotations

import re

_ESCAPE = re.compile(r"\\(?:[xX]([0-9a-fA-F]*)|([0-9]{1,3})|(.))", re.DOTALL)
_CHARACTER = re.compile(r"'(?:\\(.)|([^\\]))'?", re.DOTALL)
_LETTERS = {"b": 8, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11}
_CHARACTER_ESCAPES = {letter: code for letter, code in _LETTERS.items() if letter != "v"}


def string_bytes(text: str) -> bytes:
    """The bytes of a string in quotes, UTF-8 where it is not ASCII.

    `\\n` and the like; `\\101` (octal, in which GNU as takes an 8 for 8 ones too) and `\\x41` (hexadecimal of any
    length), of which the low eight bits count; any other escaped character stands for itself.
    """
    pieces: list[bytes] = []
    at = 1
    for match in _ESCAPE.finditer(text, 1, len(text) - 1):
        pieces.append(_encode(text[at : match.start()]))
        pieces.append(_escaped(match))
        at = match.end()
    pieces.append(_encode(text[at:-1]))
    return b"".join(pieces)


def string_text(text: str) -> str:
    """The same as text."""
    return string_bytes(text).decode("utf-8", "surrogateescape")


def name_text(text: str) -> str:
    """A name, which may stand in quotes. Raises ValueError where it cannot be one."""
    name = string_text(text) if text.startswith('"') else text
    if not name or any(character < " " for character in name):
        raise ValueError("a name cannot be empty or have control characters")
    return name


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _escaped(match: re.Match[str]) -> bytes:
    hexadecimal, octal, other = match.groups()
    if hexadecimal is not None:
        return bytes((int(hexadecimal[-2:] or "0", 16),))
    if octal:
        return bytes((sum(int(digit) << 3 * place for place, digit in enumerate(reversed(octal))) & 0xFF,))
    return bytes((_LETTERS[other],)) if other in _LETTERS else _encode(other)


def character_value(text: str) -> int:
    r"""The number that `'a`, `'a'`, `'\n'` or `'\'` (a quote) stands for.

    No digits belong to an escape here: `'\1` is the digit 1, and `'\v` the letter v, as in GNU as.
    """
    match = _CHARACTER.fullmatch(text)
    assert match is not None
    escaped, plain = match.groups()
    return ord(plain) if escaped is None else _CHARACTER_ESCAPES.get(escaped, ord(escaped))
