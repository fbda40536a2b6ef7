"""The values of expressions, alone and beside GNU as."""

from __future__ import annotations

import random
import struct
from typing import TYPE_CHECKING

import pytest

from bpfas.asm import assemble
from bpfas.asm.expression import ExpressionError, parse_number
from bpfas.diag import BpfasError
from bpfas.elf.reader import read_object
from tests.peers import Peer

if TYPE_CHECKING:
    from pathlib import Path


def value(expression: str) -> int:
    section = assemble(f".data\n.quad {expression}\n").section(".data")
    assert section
    return int.from_bytes(section.data, "little", signed=True)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("0x1F + 0b101 + 017 + 9", 31 + 5 + 15 + 9),
        ("'a' + '\\n'", 97 + 10),
        ("2 + 3 * 4", 14),
        ("(2 + 3) * 4", 20),
        ("10 - 3 - 2", 5),
        ("1 << 2 + 1", 5),
        ("1 | 6 + 8", 15),
        ("7 & 3 ^ 1", 2),
        ("12 | 3 & 1", 1),
        ("5 ! 3", -3),
        ("-7 / 2", -3),
        ("-7 % 3", -1),
        ("0xffffffffffffffff / 2", 0),
        ("-1 >> 60", 15),
        ("1 << 63", -(1 << 63)),
        ("0xff << 60", -(1 << 60)),
        ("~0", -1),
        ("~0xffffffffffffffff", 0),
        ("!5 + !0", 1),
        ("- - 5", 5),
        ("+5", 5),
        ("1 == 1", -1),
        ("1 != 1", 0),
        ("1 <> 2", -1),
        ("2 < 1 + 5", -1),
        ("2 >= 3", 0),
        ("0xffffffffffffffff < 1", -1),
        ("3 && 0 || 2", 1),
        ("1 || 0 && 0", 1),
        ("1 == 1 && 2 > 1", 1),
        ("0x7fffffffffffffff", (1 << 63) - 1),
        ("0x8000000000000000 + 0x8000000000000000", 0),
        ("-0x8000000000000000 - 1", (1 << 63) - 1),
        ("(0xcbf29ce484222325 ^ 97) * 0x100000001b3", 0xAF63DC4C8601EC8C - (1 << 64)),
        ("0x8000000000000000 / -1", -(1 << 63)),
        ("0x8000000000000000 % -1", 0),
        ("5 -- 3", 8),
        ("5 +- 3", 2),
        ("!~3 - -~3", -4),
        ("1 == 1 == 1", 0),
        ("1 < 2 < 3", -1),
        (r"""'\'' + '"'""", 39 + 34),
        ("'a + 'b", 97 + 98),
        (r"'\'", 39),
        (r"'\' + '\\ + '\\'", 39 + 92 + 92),
        (r"'\1 + '\8'", 49 + 56),
        (r"'\v + '\x'", 118 + 120),
        ("0X1F + 0B11 + 00", 34),
        ("-0x8000000000000000", -(1 << 63)),
        ("-0x8000000000000001", (1 << 63) - 1),
        ("-(0xffffffffffffffff)", 1),
        ("-(0x8000000000000000 + 1) - -0xffffffffffffffff", (1 << 63) - 2),
    ],
)
def test_value(expression: str, expected: int) -> None:
    assert value(expression) == expected


@pytest.mark.parametrize(
    "expression",
    [
        "-0x10000000000000000",
        "0x10000000000000000",
        "0x10000000000000000 - 1",
        "1 << -1",
        "1 >> 64",
        "1 % 0",
        "a * 2",
        "-a",
        "a + b",
        "a == u",
        "u - v",
        "a && 1",
    ],
)
def test_what_has_no_value_of_64_bits_is_an_error(expression: str) -> None:
    with pytest.raises(BpfasError):
        assemble(f".data\na: .byte 1\nb: .quad {expression}\n")


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("b - a", 24),
        ("(a - b) / 8", -3),
        ("(b - a) * 2 - (. - a)", 48),
        ("b + 1 - a - 1", 24),
        ("2 + (a - b) * 3", -70),
        ("a < b", -1),
        ("a >= b", 0),
        ("a + 24 == b", -1),
        ("!(b - a)", 0),
        ("~(b - a)", -25),
        ("b - a && 1", 1),
        ("u - u", 0),
        ("1 + u - u", 1),
        ("u == u", -1),
        ("u + 1 != u + 1", 0),
        ("-x", 1),
        ("-(x + a - b)", 25),
        ("1f - 1b", 24),
        ("7$ - 1b", 0),
        ("a - .", 0),
    ],
)
def test_what_is_known_of_symbols(expression: str, expected: int) -> None:
    section = assemble(
        f"x = 0xffffffffffffffff\n.data\na: 1: 7$:\n.quad {expression}\n.quad 0, 0\nb: 1:\n"
    ).section(".data")
    assert section
    assert int.from_bytes(section.data[:8], "little", signed=True) == expected


@pytest.mark.parametrize(
    ("text", "message"), [("018", "018 is octal because of its leading 0"), ("0b12", "`0b12` is no number")]
)
def test_what_spells_no_number(text: str, message: str) -> None:
    with pytest.raises(ExpressionError, match=message):
        parse_number(text)


def data(statements: str) -> bytes:
    section = assemble(f".data\n{statements}\n").section(".data")
    assert section
    return bytes(section.data)


def test_a_dollar_label_lasts_until_the_next_ordinary_label() -> None:
    assert data("55$: .byte 1\na: 055$: .byte 2\n.byte 55$ - a") == b"\1\2\0"
    assert data(".byte 55$ - .\n55$:") == b"\1"
    assert data("55$: .byte 1\n.La: 1: b = 5\n.byte 55$ - .") == b"\1\xff"
    assert data("a: .byte 1$ - .\nb: .byte 1$ - .\n1$: c: .byte 2, 1$ - .\n1$:") == b"\2\1\2\1"
    with pytest.raises(BpfasError, match=r"label `1\$` is defined already since the last ordinary label"):
        assemble("1$: 1$: exit\n")
    with pytest.raises(BpfasError, match=r"label `1\$` is not defined"):
        assemble("1$: a: .long 1$\n")


_OPERATORS = (
    "+",
    "-",
    "*",
    "/",
    "%",
    "<<",
    ">>",
    "|",
    "&",
    "^",
    "!",
    "==",
    "!=",
    "<>",
    "<",
    ">",
    "<=",
    ">=",
    "&&",
    "||",
)
_NUMBERS = (
    "0",
    "1",
    "2",
    "5",
    "31",
    "63",
    "0xff",
    "0x7fffffff",
    "0xffffffff",
    "0x7fffffffffffffff",
    "0x8000000000000000",
    "0xcbf29ce484222325",
    "0xffffffffffffffff",
    "'a'",
    "(b - a)",
    "(a - c)",
    "(e - d)",
    "(1f - d)",
    "(a < b)",
    "(c <> a)",
    "077",
    "0b11",
)


def _operand(choose: random.Random, depth: int) -> str:
    if depth and choose.random() < 0.25:
        return f"({_expression(choose, depth - 1)})"
    if depth and choose.random() < 0.25:
        return f"{choose.choice('-~+!')}{_operand(choose, depth - 1)}"
    return choose.choice(_NUMBERS)


def _expression(choose: random.Random, depth: int) -> str:
    text = _operand(choose, depth)
    for _ in range(choose.randrange(4)):
        operator = choose.choice(_OPERATORS)
        # GNU as dies of some divisions; divisors here are plain.
        operand = choose.choice("2379") if operator in "/%" else _operand(choose, depth)
        text += f" {operator} {operand}"
    return text


_SOURCE = ".data\na:\n.quad 1, 2\nb:\n.quad 3\nc:\n{}\nd:\n.quad 4\n1:\ne:\n"
"""What the symbols of `_NUMBERS` need about an expression's statement."""


def _is_comparable(expression: str) -> bool:
    """Whether it has a value here, and GNU as one by its own rules.

    Of what is an error here, such as a shift by 64, it makes something or other; "or not" it takes for "and not"
    where an operand is known later, or is a literal that negation took out of 64 bits.
    """
    if " ! " in expression and ("d)" in expression or "-0xffffffffffffffff" in expression):
        return False
    try:
        assemble(_SOURCE.format(f".quad {expression}"))
    except BpfasError:
        return False
    return True


@pytest.mark.peer
def test_gnu_as_gives_the_same_values(tmp_path: Path) -> None:
    choose = random.Random(2)  # noqa: S311
    expressions = [text for text in (_expression(choose, 2) for _ in range(2000)) if _is_comparable(text)]
    assert len(expressions) > 1200
    text = _SOURCE.format("\n".join(f".quad {expression}" for expression in expressions))
    source, output = tmp_path / "x.s", tmp_path / "x.o"
    source.write_text(text)
    Peer.GNU_AS.run("-EL", source, "-o", output)
    theirs, ours = read_object(output.read_bytes(), "x.o").section(".data"), assemble(text).section(".data")
    assert theirs
    assert ours
    values = [struct.unpack_from(f"<{len(expressions)}q", section.data, 24) for section in (ours, theirs)]
    assert dict(zip(expressions, values[0], strict=True)) == dict(zip(expressions, values[1], strict=True))


def test_a_remainder_needs_no_blanks() -> None:
    section = assemble(".set A, 3\n.quad 11%A, 11 %A, 11 % A, 11% A\n").section(".text")
    assert section
    assert struct.unpack("<4Q", section.data) == (2, 2, 2, 2)


@pytest.mark.peer
def test_gnu_as_gives_the_same_characters(tmp_path: Path) -> None:
    characters = [chr(code) for code in range(0x21, 0x7F)]
    lines = [f".byte {quote}{end}" for c in characters for quote in (f"'{c}", f"'\\{c}") for end in ("", "'")]
    lines.remove(".byte '\\")  # to GNU as an escaped line end
    source, output = tmp_path / "x.s", tmp_path / "x.o"
    source.write_text("\n".join((".data", *lines, "")))
    Peer.GNU_AS.run(source, "-o", output)
    theirs = read_object(output.read_bytes(), "x.o").section(".data")
    assert theirs
    assert dict(zip(lines, data("\n".join(lines)), strict=True)) == dict(zip(lines, theirs.data, strict=True))
