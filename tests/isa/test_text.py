"""What is printed assembles to the same bytes: every row, both dialects, both byte orders, and the peers agree."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given

from bpfas.asm import assemble
from bpfas.elf.constants import ByteOrder
from bpfas.isa import OPCODES, Dialect, Instruction, Opcode, encode, format_instruction
from tests.isa.test_peers import gnu_as, gnu_samples, gnu_text, llvm_mc, llvm_samples, llvm_text, text_section
from tests.strategies import byte_orders, dialects, extremes, programs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NUMERIC = [row for row in OPCODES if "map" not in row.operands]
"""Rows whose operands can all be written as numbers; `%map()` takes a symbol."""


def assembled(text: str, order: ByteOrder) -> bytes:
    """What our assembler makes of the text, in .text; nothing for a text of nothing."""
    section = assemble(text, byte_order=order).section(".text")
    return bytes(section.data) if section else b""


@pytest.mark.parametrize("dialect", Dialect)
@pytest.mark.parametrize("row", NUMERIC, ids=lambda row: row.name)
def test_every_row_assembles_from_its_text_with_extreme_operands(row: Opcode, dialect: Dialect) -> None:
    if not row.template(dialect):
        return
    for instruction in extremes(row):
        text = format_instruction(instruction, dialect)
        for order in ByteOrder:
            assert assembled(text, order).hex(" ") == encode(instruction, order).hex(" "), text


@given(programs(lambda row: row in NUMERIC), dialects, byte_orders)
def test_a_program_assembles_from_its_text(program: list[Instruction], dialect: Dialect, order: ByteOrder) -> None:
    program = [instruction for instruction in program if instruction.opcode.template(dialect)]
    text = "".join(f"{format_instruction(instruction, dialect)}\n" for instruction in program)
    data = b"".join(encode(instruction, order) for instruction in program)
    assert assembled(f".text\n{text}", order).hex(" ", 8) == data.hex(" ", 8)


@given(programs(lambda row: bool(row in NUMERIC and row.normal and row.pseudoc)), byte_orders)
def test_a_program_may_mix_the_dialects(program: list[Instruction], order: ByteOrder) -> None:
    both = tuple(Dialect)
    text = "".join(f"{format_instruction(i, both[number % 2])}\n" for number, i in enumerate(program))
    assert assembled(text, order) == b"".join(encode(instruction, order) for instruction in program)


@pytest.mark.peer
@pytest.mark.parametrize("order", ByteOrder)
@pytest.mark.parametrize(
    ("assemble_peer", "choose", "text"),
    [
        pytest.param(llvm_mc, llvm_samples, llvm_text, id="llvm-mc"),
        pytest.param(gnu_as, gnu_samples, gnu_text, id="gnu-as"),
    ],
)
def test_the_same_source_gives_the_peers_bytes(
    assemble_peer: Callable[..., str],
    choose: Callable[[], list[Instruction]],
    text: Callable[[Instruction], str],
    order: ByteOrder,
    tmp_path: Path,
) -> None:
    lines = [text(instruction) for instruction in choose()]
    assemble_peer(lines, order, tmp_path / "peer.o")
    ours = assembled("".join(f"{line}\n" for line in lines), order)
    assert ours.hex(" ", 8) == text_section(tmp_path / "peer.o").hex(" ", 8)
