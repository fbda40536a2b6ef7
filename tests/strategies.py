"""Hypothesis strategies that the tests share: rows of the instruction table, instructions, programs."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from hypothesis import strategies as st

from bpfas.elf.constants import ByteOrder
from bpfas.isa import OPCODES, OPERAND_KINDS, Dialect, Instruction, Opcode, OperandKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

byte_orders = st.sampled_from(ByteOrder)
dialects = st.sampled_from(Dialect)


def rows(accept: Callable[[Opcode], bool] = lambda _: True) -> st.SearchStrategy[Opcode]:
    """A row of the table that `accept` takes, aliases included."""
    return st.sampled_from([row for row in OPCODES if accept(row)])


def _bounded(low: int, high: int) -> st.SearchStrategy[int]:
    """A number within the bounds; its bounds and the numbers about zero more often than by chance."""
    edges = sorted({value for value in (low, low + 1, -1, 0, 1, high - 1, high) if low <= value <= high})
    return st.sampled_from(edges) | st.integers(low, high)


@st.composite
def instructions_of(draw: st.DrawFn, row: Opcode) -> Instruction:
    """An instruction of `row` with any operands that it may have."""
    fields: dict[str, int] = {}
    for name in row.operands:
        kind = OPERAND_KINDS[name]
        value = draw(_bounded(kind.low, kind.high), label=name)
        match kind.field:
            case "imm_high":
                fields["imm"] = fields.get("imm", 0) | value << 16
            case "imm_low":
                fields["imm"] = fields.get("imm", 0) | value
            case field_name:
                fields[field_name] = value
    return Instruction(row, **fields)


def instructions(accept: Callable[[Opcode], bool] = lambda _: True) -> st.SearchStrategy[Instruction]:
    """An instruction of any row that `accept` takes."""
    return rows(accept).flatmap(instructions_of)


def programs(
    accept: Callable[[Opcode], bool] = lambda _: True, max_size: int = 20
) -> st.SearchStrategy[list[Instruction]]:
    """Instructions one after the other; where their jumps lead is left to chance."""
    return st.lists(instructions(accept), min_size=1, max_size=max_size)


def extremes(row: Opcode) -> Iterator[Instruction]:
    """Instructions of `row` with each operand at its bounds and at zero, in every combination."""
    kinds = {kind.field: kind for kind in row.kinds.values()}
    if "imm_high" in kinds:  # two address spaces are one number in an Instruction
        del kinds["imm_high"], kinds["imm_low"]
        kinds["imm"] = OperandKind("I", "imm", 0, 0x7FFFFFFF)
    for values in itertools.product(*({kind.low, max(kind.low, 0), kind.high} for kind in kinds.values())):
        yield Instruction(row, **dict(zip(kinds, values, strict=True)))
