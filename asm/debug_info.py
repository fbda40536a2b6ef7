"""Entries that describe a program: the sections .debug_info and .debug_abbrev (DWARF 5 §7.5).

How an entry is written, and the tags, attributes and forms that a unit of assembly has. Which entries there are is
`bpfas.asm.compile_unit`'s part.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

from bpfas.leb128 import unsigned_leb128

if TYPE_CHECKING:
    from bpfas.elf.constants import ByteOrder

SectionT = TypeVar("SectionT", bound=Hashable)
"""What stands for a section of code: whatever the caller has.

Frozen classes that are generic in it have no slots: in Python 3.11 one with both cannot be called with its type.
"""

ADDRESS_SIZE = 8
_DW_UT_COMPILE = 1


class Tag(enum.IntEnum):
    """What an entry describes (DWARF 5 §7.5.3)."""

    LABEL = 0x0A
    COMPILE_UNIT = 0x11
    SUBPROGRAM = 0x2E
    UNSPECIFIED_TYPE = 0x3B


class Attribute(enum.IntEnum):
    """DWARF 5 §7.5.4."""

    NAME = 0x03
    STMT_LIST = 0x10
    LOW_PC = 0x11
    HIGH_PC = 0x12
    LANGUAGE = 0x13
    COMP_DIR = 0x1B
    PRODUCER = 0x25
    DECL_FILE = 0x3A
    DECL_LINE = 0x3B
    EXTERNAL = 0x3F
    TYPE = 0x49
    RANGES = 0x55


class Form(enum.IntEnum):
    """How a value is written (DWARF 5 §7.5.6)."""

    ADDR = 0x01
    DATA2 = 0x05
    DATA4 = 0x06
    STRING = 0x08
    FLAG = 0x0C
    UDATA = 0x0F
    REF4 = 0x13
    SEC_OFFSET = 0x17


@dataclass(slots=True)
class SectionBytes(Generic[SectionT]):
    """What is to be appended to the section `name`, which has no flags and the alignment 1.

    The fields hold 0. `address_fields` are the offsets of 8-byte fields, each with the section and the offset in
    it whose address it shall hold. `section_fields` are those of 4-byte fields, each with the name of a debug
    section and an offset in what this unit appends to that section.
    """

    name: str
    data: bytearray = field(default_factory=bytearray)
    address_fields: list[tuple[int, SectionT, int]] = field(default_factory=list)
    section_fields: list[tuple[int, str, int]] = field(default_factory=list)

    def append_address(self, section: SectionT, offset: int) -> None:
        """Append a field for an address."""
        self.address_fields.append((len(self.data), section, offset))
        self.data += bytes(ADDRESS_SIZE)

    def append_section_offset(self, name: str, offset: int) -> None:
        """Append a field for an offset in a debug section."""
        self.section_fields.append((len(self.data), name, offset))
        self.data += bytes(4)


@dataclass(frozen=True)
class Address(Generic[SectionT]):
    """A value that is an address."""

    section: SectionT
    offset: int


@dataclass(frozen=True, slots=True)
class SectionOffset:
    """A value that is an offset in a debug section."""

    name: str
    offset: int


Value = int | str | Address[SectionT] | SectionOffset
Attributes = list[tuple[Attribute, Form, Value[SectionT]]]
"""An entry's attributes, in the order in which they are written."""

_INTEGER_FORMATS = {Form.FLAG: "B", Form.DATA2: "H", Form.REF4: "I"}


class InfoWriter(Generic[SectionT]):
    """.debug_info under construction: entries one after the other, and the abbreviations that they have needed."""

    def __init__(self, version: int, order: ByteOrder) -> None:
        self.version = version
        self._prefix = order.value
        self._info = SectionBytes[SectionT](".debug_info")
        self._abbreviations: dict[bytes, int] = {}
        self._info.data += struct.pack(f"{self._prefix}IH", 0, version)  # the length is not known yet
        if version >= 5:
            self._info.data += bytes((_DW_UT_COMPILE, ADDRESS_SIZE))
        self._info.append_section_offset(".debug_abbrev", 0)
        if version < 5:
            self._info.data.append(ADDRESS_SIZE)

    def append(self, tag: Tag, attributes: Attributes[SectionT], *, has_children: bool = False) -> int:
        """Append an entry, and give its offset in the unit. Children follow it, and `end_children`."""
        offset = len(self._info.data)
        shape = unsigned_leb128(tag) + bytes((has_children,))
        shape += b"".join(bytes((attribute, form)) for attribute, form, _ in attributes)
        self._info.data += unsigned_leb128(self._abbreviations.setdefault(shape, len(self._abbreviations) + 1))
        for _, form, value in attributes:
            match value:
                case Address():
                    self._info.append_address(value.section, value.offset)
                case SectionOffset():
                    self._info.append_section_offset(value.name, value.offset)
                case str():
                    self._info.data += value.encode("utf-8", "surrogateescape") + b"\0"
                case _ if form is Form.UDATA:
                    self._info.data += unsigned_leb128(value)
                case _:
                    self._info.data += struct.pack(f"{self._prefix}{_INTEGER_FORMATS[form]}", value)
        return offset

    def end_children(self) -> None:
        """End the children of the entry that has been appended with some."""
        self._info.data.append(0)

    def finished(self) -> SectionBytes[SectionT]:
        """.debug_info, with its length."""
        struct.pack_into(f"{self._prefix}I", self._info.data, 0, len(self._info.data) - 4)
        return self._info

    def abbreviations(self) -> SectionBytes[SectionT]:
        """.debug_abbrev (DWARF 5 §7.5.3)."""
        section = SectionBytes[SectionT](".debug_abbrev")
        for shape, code in self._abbreviations.items():
            section.data += unsigned_leb128(code) + shape + b"\0\0"
        section.data.append(0)
        return section
