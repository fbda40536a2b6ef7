"""Text of Python: strings, bytes, and calls laid out on as many lines as they take."""

from __future__ import annotations

import binascii
import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

WIDTH = 115
_SHORT = 64
_ZEROS = re.compile(rb"\0{32,}")
_STEP = 4


class Call(NamedTuple):
    """A call: a function's name, and its arguments as expressions."""

    function: str
    arguments: tuple[Expression, ...]


class Table(NamedTuple):
    """A dictionary: keys with their values as expressions."""

    items: tuple[tuple[str, Expression], ...]


class Keyword(NamedTuple):
    """An argument by its name."""

    name: str
    value: Expression


Expression = str | Call | Table | Keyword


def laid_out(expression: Expression, indent: int, column: int, after: int = 0) -> str:
    """An expression that begins at `column` of a line indented by `indent`, with `after` characters behind it.

    It is on one line if there is room, else each of its parts is on lines of its own.
    """
    line = _on_one_line(expression)
    if "\n" not in line and column + len(line) + after <= WIDTH:
        return line
    match expression:
        case Call(function, arguments):
            opening, closing, parts = f"{function}(", ")", [("", each) for each in arguments]
        case Table(items):
            opening, closing, parts = "{", "}", [(f"{key}: ", value) for key, value in items]
        case Keyword(name, value):
            return f"{name}={laid_out(value, indent, column + len(name) + 1, after)}"
        case _:
            return line
    inner = indent + _STEP
    lines = [f"{' ' * inner}{lead}{laid_out(each, inner, inner + len(lead), 1)},\n" for lead, each in parts]
    return f"{opening}\n{''.join(lines)}{' ' * indent}{closing}"


def assigned(name: str, expression: Expression, indent: int = 0) -> str:
    """`name = …`, on lines indented so far."""
    lead = f"{' ' * indent}{name} = "
    return lead + laid_out(expression, indent, len(lead))


def _on_one_line(expression: Expression) -> str:
    match expression:
        case Call(function, arguments):
            return f"{function}({', '.join(map(_on_one_line, arguments))})"
        case Table(items):
            return "{" + ", ".join(f"{key}: {_on_one_line(value)}" for key, value in items) + "}"
        case Keyword(name, value):
            return f"{name}={_on_one_line(value)}"
    return expression


def quoted(text: str) -> str:
    """A string, in double quotes."""
    return f'"{"".join(map(_escaped, text))}"'


def _escaped(char: str) -> str:
    return f"\\{char}" if char in '"\\' else ascii(char)[1:-1] if char != "'" else char


def packed_text(data: bytes) -> str:
    """A string that `unpacked` of parts/loader.py takes: base64, and `*N*` for N zeros.

    Compressed, it would differ by the version of zlib.
    """
    text = "".join(_packed_pieces(data))
    if len(text) <= _SHORT:
        return f'"{text}"'
    lines = (text[start : start + WIDTH] for start in range(0, len(text), WIDTH))
    return '"""\\\n' + "\n".join(lines) + '\n"""'


def _packed_pieces(data: bytes) -> Iterator[str]:
    start = 0
    for zeros in _ZEROS.finditer(data):
        yield binascii.b2a_base64(data[start : zeros.start()], newline=False).decode()
        yield f"*{len(zeros[0])}*"
        start = zeros.end()
    yield binascii.b2a_base64(data[start:], newline=False).decode()


def bytes_expression(data: bytes) -> Expression:
    """An expression for `data`: short as they are, zeros by their number, others in base64."""
    if not any(data):
        return f"bytes({len(data)})"
    if len(data) <= _SHORT // 2:
        return f'bytes.fromhex("{data.hex()}")'
    return Call("unpacked", (packed_text(data),))
