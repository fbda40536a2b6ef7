"""Encoding and decoding are each other's inverse, on every row and on every pattern of bits."""

from __future__ import annotations

import itertools
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpfas.elf.constants import ByteOrder
from bpfas.isa import (
    BY_NAME,
    OPCODES,
    SLOT_SIZE,
    DecodeError,
    Dialect,
    Instruction,
    Opcode,
    decode,
    encode,
    format_instruction,
)
from tests.strategies import byte_orders, dialects, extremes, instructions, instructions_of, rows

REGISTERS = (0, 1, 10, 11, 12, 15)
OFFSETS = (0, 1, 2, 8, 16, 32, 64, 0x7FFF, -0x8000, -1)
IMMEDIATES = (
    *(0, 1, 2, 8, 16, 32, 64, 0x7FFFFFFF, -0x80000000, -1, 0x10000, 0xFFFF),
    *(0x40, 0x41, 0x50, 0x51, 0xA0, 0xA1, 0xE0, 0xE1, 0xF0, 0xF1, 0x100, 0x110, 0x101, 0x111),
)
FIELD_NAMES = ("opcode", "dst", "src", "off", "imm", "registers")


def pack(code: int, dst: int, src: int, off: int, imm: int, order: ByteOrder) -> bytes:
    """One slot, put together without `bpfas.isa`."""
    registers = src << 4 | dst if order is ByteOrder.LITTLE else dst << 4 | src
    return struct.pack(f"{order.value}BBhi", code, registers, off, imm)


def assert_decodes_or_is_refused(data: bytes, order: ByteOrder) -> None:
    """The bytes are an instruction that encodes to them, or the refusal names a field."""
    refusal = ""
    try:
        instruction = decode(data, 0, order)
    except DecodeError as error:
        refusal = str(error)
    if refusal:
        assert any(name in refusal for name in FIELD_NAMES), refusal
        return
    assert encode(instruction, order) == data[: instruction.opcode.size]
    for dialect in Dialect:
        assert format_instruction(instruction, dialect)


@given(instructions(lambda row: not row.is_alias), byte_orders)
def test_decoding_gives_the_encoded_instruction(instruction: Instruction, order: ByteOrder) -> None:
    assert decode(encode(instruction, order), 0, order) == instruction


@given(instructions(), byte_orders)
def test_encoding_gives_the_decoded_bytes(instruction: Instruction, order: ByteOrder) -> None:
    data = encode(instruction, order)
    assert len(data) == instruction.opcode.size
    assert encode(decode(data, 0, order), order) == data


@pytest.mark.parametrize("row", OPCODES, ids=lambda row: row.name)
def test_every_row_survives_with_extreme_operands(row: Opcode) -> None:
    for instruction in extremes(row):
        for order in ByteOrder:
            decoded = decode(encode(instruction, order), 0, order)
            expected = instruction._replace(opcode=decoded.opcode, **row.fixed) if row.is_alias else instruction
            assert decoded == expected


@pytest.mark.parametrize("order", ByteOrder)
def test_every_opcode_with_every_interesting_field(order: ByteOrder) -> None:
    """One field after the other takes each interesting value, with the others at zero; and pairs of registers."""
    patterns = [
        *((dst, src, 0, 0) for dst, src in itertools.product(REGISTERS, REGISTERS)),
        *((0, 0, off, imm) for off, imm in itertools.product(OFFSETS, IMMEDIATES)),
        *((1, 2, off, imm) for off, imm in itertools.product((0, 1, -1), (0, 1, 16, 0x100, -1))),
    ]
    for code, (dst, src, off, imm) in itertools.product(range(256), patterns):
        assert_decodes_or_is_refused(pack(code, dst, src, off, imm, order) + bytes(SLOT_SIZE), order)


@given(st.integers(0, 255), st.binary(min_size=2 * SLOT_SIZE - 1, max_size=2 * SLOT_SIZE - 1), byte_orders)
def test_random_bytes_decode_or_are_refused(code: int, rest: bytes, order: ByteOrder) -> None:
    assert_decodes_or_is_refused(bytes([code]) + rest, order)


@given(st.sampled_from([row.code for row in OPCODES]), st.data(), byte_orders)
def test_near_misses_decode_or_are_refused(code: int, data: st.DataObject, order: ByteOrder) -> None:
    dst, src = data.draw(st.integers(0, 15)), data.draw(st.integers(0, 15))
    off, imm = data.draw(st.sampled_from(OFFSETS)), data.draw(st.sampled_from(IMMEDIATES))
    second = data.draw(st.sampled_from([pack(0, 0, 0, 0, 0, order), pack(0, 0, 0, 0, -1, order)]))
    assert_decodes_or_is_refused(pack(code, dst, src, off, imm, order) + second, order)


def test_opcodes_of_no_row_are_refused() -> None:
    codes = {row.code for row in OPCODES}
    for code in set(range(256)) - codes:
        with pytest.raises(DecodeError, match=f"opcode 0x{code:02x} is no instruction"):
            decode(bytes([code]) + bytes(15))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("bf10030000000000", "mov_reg: off is 3, not 0 or 1 or 8 or 16 or 32"),
        ("bf10080005000000", "movs_8: imm is 5, not 0"),
        ("0710000000000000", "add_imm: src is 1, not 0"),
        ("070c000000000000", "add_imm: dst is 12, but registers end at 11"),
        ("0700010000000000", "add_imm: off is 1, not 0"),
        ("9501000000000000", "exit: dst is 1, not 0"),
        ("8550000000000000", "call: src is 5, not 0 or 1 or 2"),
        ("852000ff00000000", "call_kfunc: off is -256, not in the range 0 to 32767"),
        ("d400000011000000", "endle16: imm is 17, not 16 or 32 or 64"),
        ("bf00010000000080", "addr_space_cast: imm is -2147483648, but an address space is not negative"),
        ("ff00000000000000", "opcode 0xff is no instruction"),
        ("1800000000000000", "the second half of a 64-bit immediate load is missing"),
        ("18000000000000000100000000000000", "opcode of the second half of a 64-bit immediate load is 0x1, not 0"),
        (
            "18000000000000000001000000000000",
            "registers of the second half of a 64-bit immediate load is 0x1, not 0",
        ),
        ("18000000000000000000010000000000", "off of the second half of a 64-bit immediate load is 0x1, not 0"),
        ("07000000", "4 bytes are left; an instruction has 8"),
    ],
)
def test_refusal_names_the_field_its_value_and_what_it_may_be(data: str, message: str) -> None:
    with pytest.raises(DecodeError) as caught:
        decode(bytes.fromhex(data))
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("name", "operands"),
    [
        ("add_imm", {"imm": 1 << 31}),
        ("add_imm", {"src": 1}),
        ("add_reg", {"src": 12}),
        ("ja", {"off": 1 << 15}),
        ("lddw", {"imm": 1 << 63}),
        ("ld_pseudo", {"src": 0}),
        ("addr_space_cast", {"imm": -1}),
        ("exit", {"dst": 1}),
    ],
)
def test_encoding_refuses_what_the_row_cannot_hold(name: str, operands: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=f"{name}: {next(iter(operands))} cannot be"):
        encode(Instruction(BY_NAME[name], **operands))


@given(st.data(), dialects)
def test_a_caller_may_replace_an_operands_text(data: st.DataObject, dialect: Dialect) -> None:
    row = data.draw(rows(lambda row: "disp16" in row.operands))
    text = format_instruction(data.draw(instructions_of(row)), dialect, {"disp16": "loop"})
    assert text.endswith("loop")


def test_a_caller_may_leave_an_operand_out() -> None:
    instruction = Instruction(BY_NAME["ldindw"], src=6)
    assert format_instruction(instruction, Dialect.PSEUDOC, {"immoff": ""}) == "r0 = *(u32 *)skb[r6]"
