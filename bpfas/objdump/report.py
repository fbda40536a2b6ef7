"""An object's section headers, symbols, relocations and contents as tables for reading, and as data for machines.

Each table has a function that gives its rows (`dict`, for --json) and one that lays them out. The text that
assembles again is `bpfas.objdump.disassemble`'s part.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpfas.elf.constants import SECTION_TYPE_NAMES, SectionType, SymbolType
from bpfas.objdump.directives import flag_letters, printable
from bpfas.objfile import Group, ObjectFile, Section, SpecialSection, Symbol
from bpfas.reloc import RELOCATION_TYPES, read_addend, relocation_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Row = dict[str, str | int]

_BYTES_PER_LINE = 16


def section_rows(obj: ObjectFile) -> list[Row]:
    """The section headers; sizes and alignments in bytes.

    `group` is the signature of the group that a section is in, `link` the section that it goes with; both are
    empty where there is none.
    """
    groups = {
        member: _signature(section.group)
        for section in obj.sections
        if section.group
        for member in (section, *section.group.members)
    }
    return [
        {
            "index": index,
            "name": section.name,
            "type": _type_name(section.sh_type),
            "flags": flag_letters(section.sh_flags),
            "size": section.sh_size,
            "align": section.sh_addralign,
            "relocations": len(section.relocations),
            "group": groups.get(section, ""),
            "link": section.link_order.name if section.link_order else "",
        }
        for index, section in enumerate(obj.sections, 1)
    ]


def _signature(group: Group) -> str:
    name = _home(group.signature) if group.signature.st_type is SymbolType.SECTION else group.signature.name
    return f"{name} (comdat)" if group.is_comdat else name


def _type_name(sh_type: int) -> str:
    if sh_type == SectionType.GROUP:
        return "group"
    return SECTION_TYPE_NAMES.get(sh_type, f"{sh_type:#x}")


def symbol_rows(obj: ObjectFile) -> list[Row]:
    """The symbols; value and size in bytes."""
    return [
        {
            "value": symbol.st_value,
            "size": symbol.st_size,
            "type": symbol.st_type.name.lower(),
            "binding": symbol.st_bind.name.lower(),
            "visibility": symbol.st_visibility.name.lower(),
            "section": _home(symbol),
            "name": symbol.name,
        }
        for symbol in obj.symbols
    ]


def _home(symbol: Symbol) -> str:
    home = symbol.section
    return f"*{home.name}*" if isinstance(home, SpecialSection) else home.name


def relocation_rows(obj: ObjectFile) -> list[Row]:
    """The relocations of every section; offset and addend in bytes, the addend as it takes part in the sum."""
    rows: list[Row] = []
    for section in obj.sections:
        for relocation in section.relocations:
            addend = relocation.r_addend
            row = RELOCATION_TYPES.get(relocation.r_type)
            if addend is None and row:
                addend = read_addend(row, section.data, relocation.r_offset, obj.byte_order)
            symbol = relocation.symbol
            rows.append(
                {
                    "section": section.name,
                    "offset": relocation.r_offset,
                    "type": relocation_name(relocation.r_type),
                    "symbol": _home(symbol) if symbol.st_type is SymbolType.SECTION else symbol.name,
                    "addend": addend or 0,
                }
            )
    return rows


_HEXADECIMAL = ("value", "offset")
_NUMBERS = ("index", "size", "align", "relocations", "addend", *_HEXADECIMAL)


def table(title: str, rows: list[Row], columns: Iterable[str]) -> Iterator[str]:
    """The rows below a title and the columns' names, numbers to the right; values and offsets are hexadecimal."""
    yield f"{title}: {len(rows)}"
    if not rows:
        return
    names = list(columns)
    cells = [names] + [
        [f"{row[name]:#x}" if name in _HEXADECIMAL else printable(str(row[name])) for name in names]
        for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        parts = (
            f"{cell:>{width}}" if name in _NUMBERS else f"{cell:<{width}}"
            for name, cell, width in zip(names, line, widths, strict=True)
        )
        yield f"  {'  '.join(parts)}".rstrip()


def contents(section: Section) -> Iterator[str]:
    """The section's bytes, sixteen a line, as hexadecimal and as text."""
    if section.sh_type == SectionType.NOBITS:
        yield f"Contents of section {printable(section.name)}: {section.sh_size} zero bytes, not in the file"
        return
    yield f"Contents of section {printable(section.name)}: {section.sh_size} bytes"
    for at in range(0, section.sh_size, _BYTES_PER_LINE):
        data = bytes(section.data[at : at + _BYTES_PER_LINE])
        text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in data)
        yield f"  {at:06x}  {data.hex(' ', 4):<35}  {text}"
