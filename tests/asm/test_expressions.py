"""The values of expressions, alone and beside GNU as."""

from __future__ import annotations

import random
import struct
from typing import TYPE_CHECKING

import pytest

from bpfas.asm import assemble
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
        ("-0x8000000000000000", -(1 << 63)),
    ],
)
def test_value(expression: str, expected: int) -> None:
    assert value(expression) == expected


@pytest.mark.parametrize(
    "expression",
    ["0x8000000000000000 + 0x8000000000000000", "-0x8000000000000001", "0x10000000000000000", "1 << -1", "1 % 0"],
)
def test_what_64_bits_do_not_hold_is_an_error(expression: str) -> None:
    with pytest.raises(BpfasError):
        value(expression)


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
    "077",
    "0b11",
)


def _operand(choose: random.Random, depth: int) -> str:
    if depth and choose.random() < 0.25:
        return f"({_expression(choose, depth - 1)})"
    if depth and choose.random() < 0.25:
        return f"{choose.choice('-~+')}{_operand(choose, depth - 1)}"
    return choose.choice(_NUMBERS)


def _expression(choose: random.Random, depth: int) -> str:
    text = _operand(choose, depth)
    for _ in range(choose.randrange(4)):
        operator = choose.choice(_OPERATORS)
        # GNU as dies of some divisions; divisors here are plain.
        operand = choose.choice("2379") if operator in "/%" else _operand(choose, depth)
        text += f" {operator} {operand}"
    return text


@pytest.mark.peer
def test_gnu_as_gives_the_same_values(tmp_path: Path) -> None:
    choose = random.Random(2)  # noqa: S311
    expected: dict[str, int] = {}
    for _ in range(1500):
        expression = _expression(choose, 2)
        try:
            expected[expression] = value(expression)
        except BpfasError:
            continue  # GNU as goes on with the low 64 bits
    assert len(expected) > 800
    source, output = tmp_path / "x.s", tmp_path / "x.o"
    source.write_text(".data\n" + "".join(f".quad {expression}\n" for expression in expected))
    Peer.GNU_AS.run("-EL", source, "-o", output)
    section = read_object(output.read_bytes(), "x.o").section(".data")
    assert section
    theirs = [
        int.from_bytes(section.data[at : at + 8], "little", signed=True) for at in range(0, section.sh_size, 8)
    ]
    found = dict(zip(expected, theirs, strict=True))
    assert found == expected


def test_a_remainder_needs_no_blanks() -> None:
    section = assemble(".set A, 3\n.quad 11%A, 11 %A, 11 % A, 11% A\n").section(".text")
    assert section
    assert struct.unpack("<4Q", section.data) == (2, 2, 2, 2)
