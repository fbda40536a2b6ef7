"""The instruction table against `instructions.txt`, a second one that was typed by hand; and its soundness."""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from bpfas.elf.constants import ByteOrder
from bpfas.isa import (
    BY_NAME,
    OPCODES,
    OPERAND_KINDS,
    Dialect,
    Instruction,
    decode,
    encode,
    format_instruction,
    template_form,
)

MAP_ROWS = {"lddw_map", "ldimm64_map"}
"""Rows whose operand is a symbol: without an assembler they have no text with a number."""


@dataclass(frozen=True)
class Expected:
    """A line of instructions.txt. `alias` names the row where decoding gives another one."""

    fields: str
    alias: str
    version: str
    normal: str
    pseudoc: str

    def encoded(self, order: ByteOrder) -> bytes:
        """The bytes, put together from the fields without `bpfas.isa`."""
        code, dst, src, off, imm = (int(text, 16) for text in self.fields.split())
        registers = src << 4 | dst if order is ByteOrder.LITTLE else dst << 4 | src
        slot = struct.pack(f"{order.value}BBHI", code, registers, off, imm & 0xFFFFFFFF)
        return slot if code != 0x18 else slot + struct.pack(f"{order.value}II", 0, imm >> 32)

    def instruction(self, order: ByteOrder) -> Instruction:
        """The instruction that the table has for the bytes, of the row that the line names."""
        decoded = decode(self.encoded(order), 0, order)
        return decoded._replace(opcode=BY_NAME[self.alias]) if self.alias else decoded


def _read() -> list[Expected]:
    lines = Path(__file__).with_name("instructions.txt").read_text().splitlines()
    expected = []
    for line in lines:
        if line and not line.startswith("#"):
            # Only the last column may hold bars of its own (`|=`).
            fields, version, normal, pseudoc = (part.strip() for part in line.split("|", 3))
            *alias, version = version.split()
            expected.append(Expected(fields, "".join(alias), version, normal, pseudoc))
    return expected


EXPECTED = _read()


@pytest.mark.parametrize("expected", EXPECTED, ids=lambda expected: expected.normal or expected.pseudoc)
def test_row_has_the_specified_bits_texts_and_version(expected: Expected) -> None:
    for order in ByteOrder:
        instruction = expected.instruction(order)
        assert encode(instruction, order) == expected.encoded(order)
        assert format_instruction(instruction, Dialect.NORMAL) == expected.normal
        assert format_instruction(instruction, Dialect.PSEUDOC) == expected.pseudoc
        assert instruction.opcode.isa.spelling == expected.version


def test_every_row_is_in_the_hand_written_table() -> None:
    written = {expected.instruction(ByteOrder.LITTLE).opcode.name for expected in EXPECTED}
    assert {row.name for row in OPCODES} - written == MAP_ROWS


def test_names_are_unique() -> None:
    assert [name for name, count in Counter(row.name for row in OPCODES).items() if count > 1] == []


def test_every_row_has_a_text() -> None:
    assert [row.name for row in OPCODES if not row.normal and not row.pseudoc] == []


def test_every_row_that_decoding_gives_has_a_text_in_both_dialects() -> None:
    assert [row.name for row in OPCODES if not row.is_alias and not (row.normal and row.pseudoc)] == []


def test_all_texts_of_a_row_have_the_same_fields() -> None:
    for row in OPCODES:
        fields = [
            {OPERAND_KINDS[operand.name].field for operand in operands if operand.name}
            for _, operands in row.forms()
        ]
        assert all(found == fields[0] for found in fields), row.name


def test_no_two_rows_have_the_same_form_with_the_same_literals() -> None:
    owners: dict[tuple[str, tuple[int | None, ...]], set[str]] = {}
    for row in OPCODES:
        for text in filter(None, {row.normal, row.pseudoc}):
            form, operands = template_form(text)
            owners.setdefault((form, tuple(operand.literal for operand in operands)), set()).add(row.name)
    assert [names for names in owners.values() if len(names) > 1] == []


def test_the_opcode_tells_apart_what_the_kernel_writes_alike() -> None:
    owners: dict[tuple[str, tuple[int | None, ...], int], set[str]] = {}
    for row in OPCODES:
        for form, operands in row.forms():
            literals = tuple(operand.literal for operand in operands)
            owners.setdefault((form, literals, row.code), set()).add(row.name)
    assert [names for names in owners.values() if len(names) > 1] == []


def test_every_placeholder_kind_is_used() -> None:
    used = {operand.name for row in OPCODES for _, operands in row.forms() for operand in operands}
    assert set(OPERAND_KINDS) - used == set()


def test_a_field_is_either_fixed_or_an_operand() -> None:
    for row in OPCODES:
        assert not row.fixed.keys() & {name.partition("_")[0] for name in row.kinds}, row.name


@pytest.mark.parametrize(
    ("kind", "value", "wrapped"),
    [("imm", 0xFFFFFFFF, -1), ("imm", 0x7FFFFFFF, 0x7FFFFFFF), ("off", 0xFFFF, -1), ("imm64", 2**64 - 1, -1)],
)
def test_a_source_may_write_the_bits_unsigned(kind: str, value: int, wrapped: int) -> None:
    assert OPERAND_KINDS[kind].accepts(value)
    assert OPERAND_KINDS[kind].wrap(value) == wrapped


@pytest.mark.parametrize(("kind", "value"), [("imm", 2**32), ("imm", -(2**31) - 1), ("off", 0x10000), ("dst", 12)])
def test_a_source_may_not_write_more_bits_than_the_field_has(kind: str, value: int) -> None:
    assert not OPERAND_KINDS[kind].accepts(value)
