"""The text of one instruction in its section: relocations become symbolic operands, branch targets labels.

A relocation is written as the operand from which the assembler makes it again. One that no operand stands for
(its type is not the one for this instruction, or bits that the assembler leaves zero are in use) is refused here,
and the caller prints the bare bits. The two cases where the meaning is kept and the bits are not: a relocation
against a local symbol by name becomes one against its section, and a branch that is relocated though its target
is local and in the same section becomes a resolved one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bpfas.elf.constants import SymbolType
from bpfas.isa import (
    BY_NAME,
    OPERAND_KINDS,
    PSEUDO_MAP_FD,
    SLOT_SIZE,
    Dialect,
    Instruction,
    Opcode,
    format_instruction,
)
from bpfas.reloc import RelocationNumber

if TYPE_CHECKING:
    from bpfas.objdump.labels import Labels
    from bpfas.objfile import Relocation, Section


@dataclass(frozen=True, slots=True)
class SymbolicOperand:
    """How a relocated instruction is written: the row, which operand is symbolic, bytes to add to the symbol."""

    opcode: Opcode
    operand: str
    addend: int


def symbolic_operand(instruction: Instruction, offset: int, relocation: Relocation) -> SymbolicOperand | None:
    """The operand of the instruction at `offset` (bytes) that stands for the relocation; None if there is none."""
    row = instruction.opcode
    in_place: int
    match relocation.r_type, relocation.r_offset - offset:
        case RelocationNumber.R_BPF_64_64, 0 if row.is_wide and 0 <= instruction.imm < 1 << 32:
            operand, in_place = "imm64", (instruction.imm ^ 1 << 31) - (1 << 31)
        case RelocationNumber.R_BPF_64_32, 0 if row.name == "call_pseudo":
            row, operand, in_place = BY_NAME["call"], "imm", (instruction.imm + 1) * SLOT_SIZE
        case RelocationNumber.R_BPF_64_32, 0 if "disp32" in row.operands:
            operand, in_place = "disp32", (instruction.imm + 1) * SLOT_SIZE
        case RelocationNumber.R_BPF_GNU_64_16, 0 if "disp16" in row.operands:
            operand, in_place = "disp16", (instruction.off + 1) * SLOT_SIZE
        case RelocationNumber.R_BPF_GNU_64_16, 0 if "off" in row.operands:
            operand, in_place = "off", instruction.off
        case RelocationNumber.R_BPF_64_ABS32, 4 if "imm" in row.operands and not row.name.startswith("call"):
            operand, in_place = "imm", instruction.imm
        case _:
            return None
    addend = in_place if relocation.r_addend is None else relocation.r_addend
    is_by_name = relocation.symbol.st_type is not SymbolType.SECTION
    if row.is_wide and instruction.src == PSEUDO_MAP_FD and addend == 0 and is_by_name:
        return SymbolicOperand(BY_NAME["lddw_map"], "map", 0)
    return SymbolicOperand(row, operand, addend)


def relocated_text(
    instruction: Instruction, relocation: Relocation, symbolic: SymbolicOperand, labels: Labels, dialect: Dialect
) -> str:
    """The instruction with the relocation's symbol in place of the operand."""
    text = labels.expression(relocation.symbol, symbolic.addend)
    if symbolic.operand == "map":
        text = f"%map({text})"
    elif symbolic.operand == "off":
        text = f"+{text}" if dialect is Dialect.NORMAL else f" + {text}"
    return _format(instruction, symbolic.opcode, {symbolic.operand: text}, dialect)


def branch_target(instruction: Instruction, offset: int) -> int | None:
    """Where the instruction at `offset` jumps to or which function of the section it calls; all in bytes."""
    row = instruction.opcode
    next_offset = offset + row.size
    if row.name == "call_pseudo":
        return next_offset + instruction.imm * SLOT_SIZE
    for name in row.operands:
        if OPERAND_KINDS[name].is_target:
            return next_offset + SLOT_SIZE * (instruction.off if name == "disp16" else instruction.imm)
    return None


def plain_text(instruction: Instruction, offset: int, section: Section, labels: Labels, dialect: Dialect) -> str:
    """The instruction without a relocation; a label in place of a branch target where one can stand."""
    target = branch_target(instruction, offset)
    if target is None or not labels.can_label(section, target):
        return format_instruction(instruction, dialect)
    label = labels.local(section, target)
    if instruction.opcode.name == "call_pseudo":
        return _format(instruction, BY_NAME["call"], {"imm": label}, dialect)
    return format_instruction(instruction, dialect, {"disp16": label, "disp32": label})


def _format(instruction: Instruction, row: Opcode, texts: dict[str, str], dialect: Dialect) -> str:
    fields = Instruction(row, instruction.dst, instruction.src, instruction.off, instruction.imm)
    return format_instruction(fields, dialect, texts)
