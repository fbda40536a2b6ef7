"""A section's contents cut into what can be written one below the other: instructions, data, relocated fields.

A slot of a code section that is no instruction, or that holds a relocated address, is data. Labels can stand
between pieces only. Their texts are made by `bpfas.objdump.operands` and `bpfas.objdump.disassemble`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bpfas.isa import SLOT_SIZE, DecodeError, Instruction, decode
from bpfas.objdump.operands import symbolic_operand
from bpfas.reloc import RELOCATION_TYPES, Field

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfas.elf.constants import ByteOrder
    from bpfas.objfile import Relocation, Section

_DATA_FIELDS = (Field.DATA32, Field.DATA64)


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes `offset` to `offset + size` of a code section; data where there is no instruction.

    `reason` says what keeps bytes that look like code from being an instruction.
    """

    offset: int
    size: int
    instruction: Instruction | None
    relocations: tuple[Relocation, ...]
    reason: str = ""


def data_width(relocation: Relocation) -> int:
    """Bytes of the datum that the relocation fills; 0 if it is of a type for instructions."""
    row = RELOCATION_TYPES.get(relocation.r_type)
    return row.field.width // 8 if row and row.field in _DATA_FIELDS else 0


def code_pieces(section: Section, order: ByteOrder) -> Iterator[Piece]:
    """The pieces of a code section, in order."""
    by_slot: dict[int, list[Relocation]] = {}
    for relocation in section.relocations:
        by_slot.setdefault(relocation.r_offset // SLOT_SIZE, []).append(relocation)
    offset = 0
    while offset < len(section.data):
        piece = _piece(section, offset, by_slot, order)
        yield piece
        offset += piece.size


def _piece(section: Section, offset: int, by_slot: dict[int, list[Relocation]], order: ByteOrder) -> Piece:
    slot = offset // SLOT_SIZE
    relocations = tuple(by_slot.get(slot, ()))
    size = min(SLOT_SIZE, len(section.data) - offset)
    try:
        instruction = decode(section.data, offset, order)
    except DecodeError as error:
        reason = "" if any(map(data_width, relocations)) else str(error)
        return Piece(offset, size, None, relocations, reason)
    if instruction.opcode.is_wide:
        relocations += tuple(by_slot.get(slot + 1, ()))
    for relocation in relocations:
        if data_width(relocation) and not symbolic_operand(instruction, offset, relocation):
            return Piece(offset, size, None, tuple(by_slot.get(slot, ())))
    return Piece(offset, instruction.opcode.size, instruction, relocations)


def label_places(section: Section, pieces: list[Piece]) -> set[int]:
    """Where labels can stand in a code section: the offsets, in bytes, of its pieces and of its end."""
    return {piece.offset for piece in pieces} | {section.sh_size}


def inside_fields(section: Section) -> set[int]:
    """Where labels cannot stand in a data section: the offsets, in bytes, inside its relocated fields."""
    return {
        relocation.r_offset + byte
        for relocation in section.relocations
        for byte in range(1, data_width(relocation))
    }
