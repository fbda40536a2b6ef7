"""The unit that `-g` describes: .debug_info, .debug_abbrev, .debug_aranges, .debug_rnglists or .debug_ranges.

For a source without debug information of its own. GNU as and LLVM describe it differently; here is the union:

- DW_TAG_compile_unit with DW_LANG_Mips_Assembler, the language that both give whatever the machine is;
- DW_TAG_subprogram for a function that has a size, as in GNU as: with DW_AT_external, and an unspecified type,
  since without a type it would return nothing. It has a line too, which only LLVM gives, to a label in its place;
- DW_TAG_label for the other labels, as in LLVM, but within their functions, where compilers have them.

Strings stand in .debug_info itself, as in LLVM: no two are the same, and there is nothing to relocate.

The rows of the line table are the part of `bpfas.asm.source_lines`, and when there is a unit is decided in
`bpfas.asm.debug_sections`: with `.loc` in the source there are only its rows, and in GNU as this unit; LLVM gives
none. With something in .debug_info there is no unit: GNU as gives none, and LLVM one that its reader refuses.
"""

from __future__ import annotations

import struct
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic

from bpfas.asm.debug_info import (
    ADDRESS_SIZE,
    Address,
    Attribute,
    Attributes,
    Form,
    InfoWriter,
    SectionBytes,
    SectionOffset,
    SectionT,
    Tag,
)
from bpfas.leb128 import unsigned_leb128

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bpfas.elf.constants import ByteOrder

_DW_LANG_MIPS_ASSEMBLER = 0x8001
_DW_RLE_END_OF_LIST = 0
_DW_RLE_START_LENGTH = 7
_ARANGES_VERSION = 2
"""In every version of DWARF (DWARF 5 §6.1.2)."""


@dataclass(frozen=True)
class CodeRange(Generic[SectionT]):
    """The code of a section, offsets in bytes; `end` is behind it."""

    section: SectionT
    start: int
    end: int


@dataclass(frozen=True)
class CodeSymbol(Generic[SectionT]):
    """A function or a label. `size` in bytes is 0 for a label, and for a function without `.size`.

    `file` is a number of the line table; with `line` 0 it is not said where the symbol is declared.
    """

    name: str
    section: SectionT
    offset: int
    size: int
    file: int
    line: int
    is_global: bool


@dataclass(frozen=True)
class UnitDescription(Generic[SectionT]):
    """What there is to say of a source. `version` is DWARF's, 2 to 5.

    `ranges` has one range for each section that has rows in the line table; symbols outside of them are left out.
    Those that begin with `.L` are for the assembler only, and should not be among the symbols.
    """

    version: int
    name: str
    directory: str
    producer: str
    ranges: Sequence[CodeRange[SectionT]]
    symbols: Iterable[CodeSymbol[SectionT]]


def main_file(version: int) -> int:
    """The number that the source itself has in a line table of DWARF `version`."""
    return 0 if version >= 5 else 1


def unit_sections(unit: UnitDescription[SectionT], order: ByteOrder) -> list[SectionBytes[SectionT]]:
    """What the debug sections shall hold for `unit`, apart from .debug_line; nothing if there is no code."""
    if not unit.ranges:
        return []
    is_contiguous = len(unit.ranges) == 1
    list_of_ranges, first_range = _ranges_5(unit, order) if unit.version >= 5 else _ranges_4(unit)
    section_offset = Form.SEC_OFFSET if unit.version >= 4 else Form.DATA4
    entries = _entries(unit)
    writer = InfoWriter[SectionT](unit.version, order)
    writer.append(
        Tag.COMPILE_UNIT,
        [
            (Attribute.STMT_LIST, section_offset, SectionOffset(".debug_line", 0)),
            *(
                _extent(unit.version, unit.ranges[0].section, unit.ranges[0].start, unit.ranges[0].end)
                if is_contiguous
                else [(Attribute.RANGES, section_offset, SectionOffset(list_of_ranges.name, first_range))]
            ),
            (Attribute.NAME, Form.STRING, unit.name),
            (Attribute.COMP_DIR, Form.STRING, unit.directory),
            (Attribute.PRODUCER, Form.STRING, unit.producer),
            (Attribute.LANGUAGE, Form.DATA2, _DW_LANG_MIPS_ASSEMBLER),
        ],
        has_children=bool(entries),
    )
    if entries:
        _append_entries(writer, entries)
    sections = [writer.finished(), writer.abbreviations(), _address_ranges(unit, order)]
    return sections if is_contiguous else [*sections, list_of_ranges]


@dataclass(slots=True)
class _Entry(Generic[SectionT]):
    """A symbol of the unit; if it is a function, `end` is behind it and `labels` are those within."""

    symbol: CodeSymbol[SectionT]
    end: int
    labels: list[CodeSymbol[SectionT]]

    @property
    def is_function(self) -> bool:
        return self.end > self.symbol.offset


def _entries(unit: UnitDescription[SectionT]) -> list[_Entry[SectionT]]:
    """The unit's symbols by address, each label within its function.

    Ranges of subprograms may neither overlap nor go beyond the unit's. A function of which that is not true, such
    as another name of one, is described as a label.
    """
    symbols = defaultdict[SectionT, list[CodeSymbol[SectionT]]](list)
    for symbol in unit.symbols:
        symbols[symbol.section].append(symbol)
    entries: list[_Entry[SectionT]] = []
    for code in unit.ranges:
        last: _Entry[SectionT] | None = None
        for symbol in sorted(symbols[code.section], key=lambda at: (at.offset, -at.size, not at.is_global)):
            if last is not None and symbol.offset < last.end:
                last.labels.append(symbol)
            elif code.start <= symbol.offset <= code.end:
                end = symbol.offset + symbol.size
                last = _Entry(symbol, end if end <= code.end else symbol.offset, [])
                entries.append(last)
    return entries


def _extent(version: int, section: SectionT, start: int, end: int) -> Attributes[SectionT]:
    """Where code begins and ends: from version 4 on the end is a length, which needs no relocation."""
    low: Attributes[SectionT] = [(Attribute.LOW_PC, Form.ADDR, Address(section, start))]
    if version >= 4:
        return [*low, (Attribute.HIGH_PC, Form.UDATA, end - start)]
    return [*low, (Attribute.HIGH_PC, Form.ADDR, Address(section, end))]


def _declaration(symbol: CodeSymbol[SectionT]) -> Attributes[SectionT]:
    """The symbol's name, and where it is declared."""
    name: Attributes[SectionT] = [(Attribute.NAME, Form.STRING, symbol.name)]
    if not symbol.line:
        return name
    return [
        *name,
        (Attribute.DECL_FILE, Form.UDATA, symbol.file),
        (Attribute.DECL_LINE, Form.UDATA, symbol.line),
    ]


def _append_entries(writer: InfoWriter[SectionT], entries: list[_Entry[SectionT]]) -> None:
    """Append the children of the unit, and end them."""
    unspecified = None
    for entry in entries:
        if not entry.is_function:
            _append_label(writer, entry.symbol)
            continue
        if unspecified is None:
            unspecified = writer.append(Tag.UNSPECIFIED_TYPE, [])
        function = entry.symbol
        attributes = _declaration(function)
        if function.is_global:
            attributes.append((Attribute.EXTERNAL, Form.FLAG, 1))
        attributes.append((Attribute.TYPE, Form.REF4, unspecified))
        attributes += _extent(writer.version, function.section, function.offset, entry.end)
        writer.append(Tag.SUBPROGRAM, attributes, has_children=bool(entry.labels))
        if entry.labels:
            for label in entry.labels:
                _append_label(writer, label)
            writer.end_children()
    writer.end_children()


def _append_label(writer: InfoWriter[SectionT], label: CodeSymbol[SectionT]) -> None:
    low_pc = (Attribute.LOW_PC, Form.ADDR, Address(label.section, label.offset))
    writer.append(Tag.LABEL, [*_declaration(label), low_pc])


def _address_ranges(unit: UnitDescription[SectionT], order: ByteOrder) -> SectionBytes[SectionT]:
    """.debug_aranges (DWARF 5 §6.1.2): addresses and lengths, from an offset that is a multiple of their size."""
    section = SectionBytes[SectionT](".debug_aranges")
    header_size, entry_size = 16, 2 * ADDRESS_SIZE
    length = header_size + (len(unit.ranges) + 1) * entry_size - 4
    section.data += struct.pack(f"{order.value}IH", length, _ARANGES_VERSION)
    section.append_section_offset(".debug_info", 0)
    section.data += bytes((ADDRESS_SIZE, 0))
    section.data += bytes(header_size - len(section.data))
    for code in unit.ranges:
        section.append_address(code.section, code.start)
        section.data += struct.pack(f"{order.value}Q", code.end - code.start)
    section.data += bytes(entry_size)
    return section


def _ranges_5(unit: UnitDescription[SectionT], order: ByteOrder) -> tuple[SectionBytes[SectionT], int]:
    """.debug_rnglists (DWARF 5 §2.17.3, §7.28) with one list, and where that begins."""
    section = SectionBytes[SectionT](".debug_rnglists")
    section.data += struct.pack(f"{order.value}IHBBI", 0, unit.version, ADDRESS_SIZE, 0, 0)
    first = len(section.data)
    for code in unit.ranges:
        section.data.append(_DW_RLE_START_LENGTH)
        section.append_address(code.section, code.start)
        section.data += unsigned_leb128(code.end - code.start)
    section.data.append(_DW_RLE_END_OF_LIST)
    struct.pack_into(f"{order.value}I", section.data, 0, len(section.data) - 4)
    return section, first


def _ranges_4(unit: UnitDescription[SectionT]) -> tuple[SectionBytes[SectionT], int]:
    """.debug_ranges (DWARF 4 §2.17.3) with one list, and where that begins. The unit has no base address but 0."""
    section = SectionBytes[SectionT](".debug_ranges")
    for code in unit.ranges:
        section.append_address(code.section, code.start)
        section.append_address(code.section, code.end)
    section.data += bytes(2 * ADDRESS_SIZE)
    return section, 0
