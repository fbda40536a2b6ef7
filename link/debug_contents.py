"""Debugging sections of an object as they are read and changed: words, LEB128 numbers, and addresses of code.

What changes keeps its size, so that nothing else in a section moves. Addresses stand where relocations apply; they
are of the input, as all distances are. What removed functions make of these, `bpfas.link.holes` says.
Source: DWARF 5, chapter 7.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpfas.leb128 import unsigned_leb128
from bpfas.link.holes import Address
from bpfas.objfile import Relocation, Section
from bpfas.reloc import RELOCATION_TYPES

if TYPE_CHECKING:
    from bpfas.elf.constants import ByteOrder

ADDRESS_SIZE = 8
_MAX_LEB128 = 10
_LENGTH_FOLLOWS = 0xFFFFFFFF
"""As the length of a unit: it is of the 64-bit format, and its length comes next."""


class MalformedDebugInfo(ValueError):
    """Debugging information that does not say what the standard has for it."""


class DebugContents:
    """A debugging section that is read, and changed in `data` and `relocations`."""

    def __init__(self, section: Section, order: ByteOrder) -> None:
        self.section = section
        self.order = order
        self.data = bytearray(section.data)
        self.relocations = {reloc.r_offset: reloc for reloc in section.relocations}
        self.is_changed = False

    def number(self, at: int, size: int) -> int:
        """The unsigned number of `size` bytes at `at`."""
        if at < 0 or at + size > len(self.data):
            raise MalformedDebugInfo(f"{self.section.name} ends within what begins at {at:#x}")
        return int.from_bytes(self.data[at : at + size], self.order.name_for_int)

    def set_number(self, at: int, size: int, value: int) -> None:
        """Put a number where `number` finds it."""
        self.is_changed = True
        self.data[at : at + size] = value.to_bytes(size, self.order.name_for_int)

    def unit(self, at: int) -> tuple[int, int, int]:
        """Of the unit or table at `at`: the size of its offsets, where it begins behind its length, its end."""
        length, size, start = self.number(at, 4), 4, at + 4
        if length == _LENGTH_FOLLOWS:
            length, size, start = self.number(start, 8), 8, start + 8
        if start + length > len(self.data):
            raise MalformedDebugInfo(f"{self.section.name} ends within the unit at {at:#x}")
        return size, start, start + length

    def leb128(self, at: int, signed: bool = False) -> tuple[int, int]:
        """The LEB128 number at `at`, and where it ends."""
        value = shift = 0
        for end in range(at, at + _MAX_LEB128):
            byte = self.number(end, 1)
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value - (1 << shift if signed and byte & 0x40 else 0), end + 1
        raise MalformedDebugInfo(f"{self.section.name} has a number of more than {_MAX_LEB128} bytes at {at:#x}")

    def set_leb128(self, at: int, end: int, value: int) -> None:
        """Put an unsigned number where `leb128` finds it, in as many bytes as there are; it must have room."""
        self.is_changed = True
        self.data[at:end] = unsigned_leb128(value, end - at)

    def address(self, at: int) -> Address | None:
        """The place that the address at `at` is of; None for a mere number, and for what lies elsewhere."""
        reloc = self.relocations.get(at)
        if reloc is None or not isinstance(reloc.symbol.section, Section):
            return None
        return Address(reloc.symbol.section, reloc.symbol.st_value + self._addend(reloc))

    def set_address(self, at: int, place: Address) -> None:
        """Let the address at `at`, which is of the same section, be of another place."""
        self.is_changed = True
        reloc = self.relocations[at]
        addend = place.offset - reloc.symbol.st_value
        if reloc.r_addend is None:
            self.set_number(at, ADDRESS_SIZE, addend % (1 << 8 * ADDRESS_SIZE))
        else:
            self.relocations[at] = Relocation(at, reloc.r_type, reloc.symbol, addend)

    def copy_address(self, source: int, at: int) -> None:
        """Let the address at `at` be the one at `source`."""
        self.is_changed = True
        self.data[at : at + ADDRESS_SIZE] = self.data[source : source + ADDRESS_SIZE]
        reloc = self.relocations[source]
        self.relocations[at] = Relocation(at, reloc.r_type, reloc.symbol, reloc.r_addend)

    def offset(self, at: int, size: int) -> int:
        """The offset in another debugging section that stands at `at`."""
        reloc = self.relocations.get(at)
        if reloc is None or not isinstance(reloc.symbol.section, Section):
            return self.number(at, size)
        return reloc.symbol.st_value + self._addend(reloc)

    def _addend(self, reloc: Relocation) -> int:
        if reloc.r_addend is not None:
            return reloc.r_addend
        row = RELOCATION_TYPES.get(reloc.r_type)
        return self.number(reloc.r_offset, row.field.width // 8 if row else ADDRESS_SIZE)

    def changed_section(self) -> Section:
        """The section as it has become."""
        old = self.section
        changed = Section(old.name, old.sh_type, old.sh_flags, old.sh_addralign, old.sh_entsize, self.data)
        changed.relocations = list(self.relocations.values())
        return changed
