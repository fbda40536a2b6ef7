"""Where code leads: by itself, by branches, calls and code addresses with a distance in them, or by relocations.

Compilers settle distances within a section, and leave no relocation. What follows from where code leads is for
others to say: `bpfas.link.gc`, `bpfas.link.relocate`, `bpfas.link.program_sizes`. Source: RFC 9669, section 4.3;
the kernel's instruction set document for gotol, may_goto and the 64-bit immediate load of a code address.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bpfas.elf.constants import ByteOrder
from bpfas.isa import BY_NAME, PSEUDO_CALL, PSEUDO_FUNC, SLOT_SIZE
from bpfas.objfile import Section
from bpfas.reloc import RELOCATION_TYPES, Field, addend_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfas.objfile import Relocation

_JUMP_CLASSES = frozenset({0x05, 0x06})  # BPF_JMP, BPF_JMP32
CALL = BY_NAME["call"].code
LDDW = BY_NAME["lddw"].code
_EXIT = BY_NAME["exit"].code
_JA = BY_NAME["ja"].code
_GOTOL = BY_NAME["jal"].code
_GOTOX = BY_NAME["gotox"].code
# Jumps to an address in a register, calls of such, exit: these hold no distance.
_WITHOUT_DISTANCE = frozenset({_GOTOX, 0x0E, BY_NAME["callx"].code, _EXIT})
_WITHOUT_NEXT = frozenset({_JA, _GOTOL, _GOTOX, _EXIT})


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
        size = 2 * SLOT_SIZE if opcode == LDDW else SLOT_SIZE
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
    if opcode == LDDW:
        return Field.IMM32 if src == PSEUDO_FUNC else None
    if not is_jump(opcode) or opcode in _WITHOUT_DISTANCE:
        return None
    if opcode == CALL:
        return Field.IMM32 if src == PSEUDO_CALL else None
    return Field.IMM32 if opcode == _GOTOL else Field.OFF16


def relocated_target(reloc: Relocation, section: Section, order: ByteOrder) -> tuple[Section, int] | None:
    """The section and the offset in it that a relocation of `section` leads to; None if it leads to no section."""
    row, home = RELOCATION_TYPES.get(reloc.r_type), reloc.symbol.section
    if row is None or not isinstance(home, Section):
        return None
    addend = addend_of(row, reloc.r_addend, section.data, reloc.r_offset, order)
    return home, reloc.symbol.st_value + addend


def relocated_fields(section: Section) -> set[int]:
    """Where the fields begin to which relocations of the section apply."""
    return {
        reloc.r_offset + offset
        for reloc in section.relocations
        if reloc.r_type in RELOCATION_TYPES
        for offset, _ in RELOCATION_TYPES[reloc.r_type].field.pieces
    }
