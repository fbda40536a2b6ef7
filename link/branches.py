"""Where code leads by itself: branches, calls and code addresses whose distance stands in the instruction.

Compilers settle these when they lie in one section, and leave no relocation. Source: RFC 9669, section 4.3; the
kernel's instruction set document for gotol, may_goto and the 64-bit immediate load of a code address.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bpfas.elf.constants import ByteOrder
from bpfas.isa import PSEUDO_CALL, SLOT_SIZE
from bpfas.reloc import RELOCATION_TYPES, Field

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfas.objfile import Section

_JUMP_CLASSES = frozenset({0x05, 0x06})  # BPF_JMP, BPF_JMP32
_CALL = 0x85
_EXIT = 0x95
_JA = 0x05
_GOTOL = 0x06
_LDDW = 0x18
_PSEUDO_FUNC = 4
"""src of a 64-bit immediate load whose immediate is the distance of a function."""
# Jumps to an address in a register, calls of such, exit: these hold no distance.
_WITHOUT_DISTANCE = frozenset({0x0D, 0x0E, 0x8D, _EXIT})
_WITHOUT_NEXT = frozenset({_JA, _GOTOL, 0x0D, _EXIT})


class Branch(NamedTuple):
    """The instruction at `place` of its section leads to `target`, both in bytes; the distance is in `field`.

    `field` is None for an instruction that just goes on to the next.
    """

    place: int
    target: int
    field: Field | None


def is_jump(opcode: int) -> bool:
    """Whether the instruction has the offset of a jump."""
    return opcode & 0x07 in _JUMP_CLASSES


def branches(section: Section, order: ByteOrder, start: int, end: int, relocated: set[int]) -> Iterator[Branch]:
    """Where the instructions from `start` to `end` of `section` lead, without those fields that are relocated.

    `relocated` is what `relocated_fields` gives. The last instruction also leads to `end` if it may go on there.
    """
    data = section.data
    place, opcode = start, _EXIT
    while place + SLOT_SIZE <= end:
        opcode, registers = data[place], data[place + 1]
        size = 2 * SLOT_SIZE if opcode == _LDDW else SLOT_SIZE
        field = _distance_field(opcode, registers >> 4 if order is ByteOrder.LITTLE else registers & 0xF)
        if field is not None:
            ((offset, width),) = field.pieces
            if place + offset not in relocated:
                raw = data[place + offset : place + offset + width]
                distance = int.from_bytes(raw, order.name_for_int, signed=True)
                yield Branch(place, place + SLOT_SIZE * (distance + 1), field)
        place += size
    if opcode not in _WITHOUT_NEXT:
        yield Branch(end - SLOT_SIZE, end, None)


def _distance_field(opcode: int, src: int) -> Field | None:
    """The field that holds the distance to where the instruction leads, if it has one."""
    if opcode == _LDDW:
        return Field.IMM32 if src == _PSEUDO_FUNC else None
    if not is_jump(opcode) or opcode in _WITHOUT_DISTANCE:
        return None
    if opcode == _CALL:
        return Field.IMM32 if src == PSEUDO_CALL else None
    return Field.IMM32 if opcode == _GOTOL else Field.OFF16


def relocated_fields(section: Section) -> set[int]:
    """Where the fields begin to which relocations of the section apply."""
    return {
        reloc.r_offset + offset
        for reloc in section.relocations
        if reloc.r_type in RELOCATION_TYPES
        for offset, _ in RELOCATION_TYPES[reloc.r_type].field.pieces
    }
