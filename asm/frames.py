"""Call frame information: the sections .debug_frame (DWARF 5 §6.4) and .eh_frame (Linux Standard Base 5, §10.6).

The bytes are those that LLVM's assembler writes, with a common information entry (CIE) for functions that have the
same attributes, and a frame description entry (FDE) for each. .debug_frame has one CIE where LLVM has one; only
where return columns differ, which LLVM forgets, it has more.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bpfas.asm.call_frame import CODE_ALIGNMENT_FACTOR, DATA_ALIGNMENT_FACTOR, advance_location
from bpfas.asm.debug import DEBUG_FRAME, EH_FRAME
from bpfas.leb128 import signed_leb128, unsigned_leb128

if TYPE_CHECKING:
    from bpfas.asm.call_frame import EncodedPointer, FrameAttributes
    from bpfas.asm.section import SectionBuilder
    from bpfas.elf.constants import ByteOrder

_RETURN_COLUMN = 11
"""The register number that LLVM has for the return address, which no register holds."""
_ALIGNMENT = 8
_CIE_ALIGNMENT = {DEBUG_FRAME: _ALIGNMENT, EH_FRAME: 4}
_NO_CIE = 0xFFFFFFFF
_DW_EH_PE_SDATA8 = 0x0C
_LAST = 1 << 32


@dataclass(frozen=True, slots=True)
class Procedure:
    """A function between .cfi_startproc and .cfi_endproc; offsets in bytes, `instructions` each with its own."""

    section: SectionBuilder
    start: int
    end: int
    attributes: FrameAttributes
    instructions: list[tuple[int, bytes]]


@dataclass(slots=True)
class FrameBytes:
    """What is to be appended to a section of call frames.

    `section_fields` are the offsets of 4-byte fields, each with the offset in this data that it shall refer to;
    `address_fields` those of 8-byte fields, each with the section and the offset in it whose address it shall
    hold; `pointer_fields` those of fields for what directives have named.
    """

    data: bytearray = field(default_factory=bytearray)
    section_fields: list[tuple[int, int]] = field(default_factory=list)
    address_fields: list[tuple[int, SectionBuilder, int]] = field(default_factory=list)
    pointer_fields: list[tuple[int, EncodedPointer]] = field(default_factory=list)


def frame_bytes(name: str, procedures: list[Procedure], base: int, version: int, order: ByteOrder) -> FrameBytes:
    """Write the call frame information for the section `name`, from its offset `base` on; `version` is DWARF's."""
    writer = _Writer(name, base, version, order)
    last: FrameAttributes | None = None
    cie = 0
    for procedure in sorted(procedures, key=lambda procedure: _order(procedure.attributes)):
        attributes = procedure.attributes
        if last is None or not writer.shares_cie(last, attributes):
            cie = writer.append_cie(attributes)
            last = attributes
        writer.append_fde(procedure, cie)
    return writer.result


def _order(attributes: FrameAttributes) -> tuple[str | int, ...]:
    """Procedures come in LLVM's order, so that those of one CIE stand together."""
    personality, lsda = attributes.personality, attributes.lsda
    return (
        personality.symbol.name if personality else "",
        personality.encoding if personality else 0,
        lsda.encoding if lsda else _LAST,
        attributes.is_signal_frame,
        attributes.is_simple,
        _LAST if attributes.return_column is None else attributes.return_column,
    )


class _Writer:
    def __init__(self, name: str, base: int, version: int, order: ByteOrder) -> None:
        self.is_eh = name == EH_FRAME
        self.name, self.base, self.prefix = name, base, order.value
        self.cie_version = 1 if self.is_eh or version < 3 else min(version, 4)
        self.result = FrameBytes()

    def shares_cie(self, one: FrameAttributes, other: FrameAttributes) -> bool:
        if self.is_eh:
            return _order(one) == _order(other)
        return one.return_column == other.return_column

    def append_cie(self, attributes: FrameAttributes) -> int:
        """Append a CIE, and give its offset in the data."""
        data = self.result.data
        start = len(data)
        data += struct.pack(f"{self.prefix}II", 0, 0 if self.is_eh else _NO_CIE)
        data.append(self.cie_version)
        personality, lsda = attributes.personality, attributes.lsda
        if self.is_eh:
            letters = ("z", "P" * bool(personality), "L" * bool(lsda), "R", "S" * attributes.is_signal_frame)
            data += "".join(letters).encode()
        data.append(0)
        if self.cie_version == 4:
            data += bytes((8, 0))  # address size, segment selector size
        data += unsigned_leb128(CODE_ALIGNMENT_FACTOR) + signed_leb128(DATA_ALIGNMENT_FACTOR)
        data += unsigned_leb128(_RETURN_COLUMN if attributes.return_column is None else attributes.return_column)
        if self.is_eh:
            data += unsigned_leb128((1 + personality.width if personality else 0) + bool(lsda) + 1)
            if personality:
                data.append(personality.encoding)
                self._append_pointer(personality)
            if lsda:
                data.append(lsda.encoding)
            data.append(_DW_EH_PE_SDATA8)
        self._finish(start, _CIE_ALIGNMENT[self.name])
        return start

    def append_fde(self, procedure: Procedure, cie: int) -> None:
        data = self.result.data
        start = len(data)
        data += bytes(4)
        if self.is_eh:
            data += struct.pack(f"{self.prefix}I", len(data) - cie)
        else:
            self.result.section_fields.append((len(data), cie))
            data += bytes(4)
        self.result.address_fields.append((len(data), procedure.section, procedure.start))
        data += struct.pack(f"{self.prefix}QQ", 0, procedure.end - procedure.start)
        if self.is_eh:
            lsda = procedure.attributes.lsda
            data += unsigned_leb128(lsda.width if lsda else 0)
            if lsda:
                self._append_pointer(lsda)
        location = procedure.start
        for offset, instruction in procedure.instructions:
            data += advance_location(offset - location, self.prefix) + instruction
            location = offset
        self._finish(start, _ALIGNMENT)

    def _append_pointer(self, pointer: EncodedPointer) -> None:
        self.result.pointer_fields.append((len(self.result.data), pointer))
        self.result.data += bytes(pointer.width)

    def _finish(self, start: int, alignment: int) -> None:
        """Fill the entry at `start` with DW_CFA_nop (0) to the alignment, and write its length."""
        data = self.result.data
        data += bytes(-(self.base + len(data)) % alignment)
        struct.pack_into(f"{self.prefix}I", data, start, len(data) - start - 4)
