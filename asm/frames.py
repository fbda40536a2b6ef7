"""Call frame information of `.cfi_startproc` and `.cfi_endproc`: the section .debug_frame (DWARF 5 §6.4).

A BPF function's frame cannot be described further (the kernel keeps it), so what there is to say of a function is
where it begins and ends. The bytes are those that LLVM's assembler writes.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bpfas.leb128 import signed_leb128, unsigned_leb128

if TYPE_CHECKING:
    from bpfas.asm.section import SectionBuilder
    from bpfas.elf.constants import ByteOrder

_CODE_ALIGNMENT_FACTOR = 8
_DATA_ALIGNMENT_FACTOR = -4
_RETURN_ADDRESS_COLUMN = 11
_ALIGNMENT = 8
_NO_CIE = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Procedure:
    """A function between .cfi_startproc and .cfi_endproc; offsets in bytes."""

    section: SectionBuilder
    start: int
    end: int


@dataclass(slots=True)
class FrameBytes:
    """The contents of .debug_frame.

    `section_fields` are the offsets of 4-byte fields that hold an offset in .debug_frame itself; `address_fields`
    those of 8-byte fields, each with the section and the offset in it whose address it shall hold.
    """

    data: bytearray
    section_fields: list[int]
    address_fields: list[tuple[int, SectionBuilder, int]]


def frame_bytes(procedures: list[Procedure], version: int, order: ByteOrder) -> FrameBytes:
    """Write the call frame information for DWARF `version`."""
    prefix = order.value
    common = struct.pack(f"{prefix}I", _NO_CIE)
    if version >= 4:
        common += bytes((4, 0, 8, 0))  # CIE version, augmentation, address size, segment selector size
    else:
        common += bytes((3 if version == 3 else 1, 0))
    common += unsigned_leb128(_CODE_ALIGNMENT_FACTOR) + signed_leb128(_DATA_ALIGNMENT_FACTOR)
    common += unsigned_leb128(_RETURN_ADDRESS_COLUMN)
    data = bytearray(_entry(common, prefix))
    result = FrameBytes(data, [], [])
    for procedure in procedures:
        at = len(data) + 4
        result.section_fields.append(at)
        result.address_fields.append((at + 4, procedure.section, procedure.start))
        data += _entry(struct.pack(f"{prefix}IQQ", 0, 0, procedure.end - procedure.start), prefix)
    return result


def _entry(body: bytes, prefix: str) -> bytes:
    """An entry with its length in front, filled with DW_CFA_nop (0) to the alignment."""
    body += bytes(-(len(body) + 4) % _ALIGNMENT)
    return struct.pack(f"{prefix}I", len(body)) + body
