"""What an object says, in a form in which the work of two linkers can be compared.

The order of symbols and sections, numbers of types, and how a reference is expressed (symbol and addend) are left
out; where each reference leads to is kept. `known_differences` says why.
"""

from __future__ import annotations

import struct
from collections import Counter
from typing import TYPE_CHECKING

from bpfas.elf.constants import SectionFlag, SectionType, SymbolType
from bpfas.objfile import Section
from bpfas.reloc import RelocationNumber
from tests.link.known_differences import LEFT_OUT_SECTIONS

if TYPE_CHECKING:
    from bpfas.objfile import ObjectFile, Relocation, Symbol

STRINGS = SectionFlag.MERGE | SectionFlag.STRINGS
CALL = 0x85
WIDE_LOAD = 0x18
TO_FUNCTION = 1

Place = tuple[object, ...]
"""Where a reference leads: a section and an offset, a string of a section of strings, or an undefined name."""


def compared_sections(obj: ObjectFile) -> list[Section]:
    """The sections that a loader reads."""
    return [
        section
        for section in obj.sections
        if not section.name.startswith(tuple(LEFT_OUT_SECTIONS)) and (section.sh_size or section.relocations)
    ]


def section_heads(obj: ObjectFile) -> dict[str, tuple[object, ...]]:
    """Type, flags, alignment, size of an entry, and size. That of sections of strings differs."""
    return {
        section.name: (
            section.sh_type,
            section.sh_flags,
            section.sh_addralign,
            section.sh_entsize,
            None if section.sh_flags & STRINGS == STRINGS else section.sh_size,
        )
        for section in compared_sections(obj)
    }


def symbols(obj: ObjectFile) -> Counter[tuple[object, ...]]:
    """All symbols but those of sections and files."""
    return Counter(
        (
            symbol.name,
            symbol.section.name,
            symbol.st_value,
            symbol.st_size,
            symbol.st_bind.name,
            symbol.st_type.name,
            symbol.st_visibility.name,
        )
        for symbol in obj.symbols
        if symbol.st_type not in (SymbolType.SECTION, SymbolType.FILE)
        and not symbol.section.name.startswith((*LEFT_OUT_SECTIONS, ".rodata.str"))
    )


def contents(obj: ObjectFile) -> dict[str, bytes]:
    """The bytes of sections, with zeros where there are references; calls of functions are references."""
    found = {}
    for section in compared_sections(obj):
        if section.sh_type == SectionType.NOBITS or section.sh_flags & STRINGS == STRINGS:
            continue
        data = bytearray(section.data)
        for relocation in section.relocations:
            start, size = _field(section, relocation)
            data[start : start + size] = bytes(size)
        for offset, _ in _near_calls(obj, section):
            data[offset + 4 : offset + 8] = bytes(4)
        found[section.name] = bytes(data)
    return found


def references(obj: ObjectFile) -> dict[str, list[tuple[object, ...]]]:
    """Of each section the references: offset, type, and where it leads."""
    found = {}
    for section in compared_sections(obj):
        listed: list[tuple[object, ...]] = [
            (relocation.r_offset, RelocationNumber(relocation.r_type).name, _target(obj, section, relocation))
            for relocation in section.relocations
        ]
        listed += [
            (offset, RelocationNumber.R_BPF_64_32.name, (section.name, target))
            for offset, target in _near_calls(obj, section)
        ]
        if listed:
            found[section.name] = sorted(listed, key=str)
    return found


def _field(section: Section, relocation: Relocation) -> tuple[int, int]:
    """Start and size of the bytes that the relocation is about, as far as linkers store addends there."""
    if section.is_code:
        return relocation.r_offset + 4, 4
    return relocation.r_offset, 4 if relocation.r_type == RelocationNumber.R_BPF_64_ABS32 else 8


def _near_calls(obj: ObjectFile, section: Section) -> list[tuple[int, int]]:
    """The calls of functions in the same section that need no relocation: their offsets, and where they lead."""
    if not section.is_code:
        return []
    relocated = {relocation.r_offset for relocation in section.relocations}
    found = []
    offset = 0
    while offset < len(section.data):
        opcode, registers = section.data[offset : offset + 2]
        source = registers >> 4 if obj.byte_order.name_for_int == "little" else registers & 15
        imm = _imm(obj, section, offset)
        if opcode == CALL and source == TO_FUNCTION and offset not in relocated:
            found.append((offset, offset + 8 + 8 * imm))
        offset += 16 if opcode == WIDE_LOAD else 8
    return found


def _imm(obj: ObjectFile, section: Section, offset: int) -> int:
    imm: int = struct.unpack_from(f"{obj.byte_order.value}i", section.data, offset + 4)[0]
    return imm


def _target(obj: ObjectFile, section: Section, relocation: Relocation) -> Place:
    symbol = relocation.symbol
    if not isinstance(symbol.section, Section):
        return (symbol.name,)
    start, size = _field(section, relocation)
    addend = int.from_bytes(section.data[start : start + size], obj.byte_order.name_for_int, signed=True)
    if relocation.r_type == RelocationNumber.R_BPF_64_32:
        addend = 8 + 8 * addend
    return place(symbol, addend)


def place(symbol: Symbol, addend: int = 0) -> Place:
    """The place `addend` bytes behind a symbol of the object."""
    assert isinstance(symbol.section, Section)
    offset = symbol.st_value + addend
    if symbol.section.sh_flags & STRINGS == STRINGS:
        data = bytes(symbol.section.data)
        return symbol.section.name, data[offset : data.index(b"\0", offset)]
    return symbol.section.name, offset
