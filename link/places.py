"""Places in objects, as messages name them: `a.o:(.text+0x18)`, with the source line where DWARF tells it."""

from __future__ import annotations

import io
from bisect import bisect_right
from functools import lru_cache
from typing import Any

from bpfas.elf.writer import write_object
from bpfas.isa import SLOT_SIZE
from bpfas.objfile import ObjectFile, Section, Symbol, place
from bpfas.reloc import RELOCATION_TYPES, read_addend, write_field


def place_of_symbol(obj: ObjectFile, symbol: Symbol) -> str:
    """Where `obj` defines `symbol`: in a section, or as a number."""
    if isinstance(symbol.section, Section):
        return place(obj, symbol.section, symbol.st_value)
    return f"{obj.name}:(absolute {symbol.st_value:#x})"


def place_in_source(obj: ObjectFile, section: Section, offset: int) -> str:
    """`file:line (obj:(section+0x…))` if the line is known, else the place in the object alone."""
    where = place(obj, section, offset)
    rows = _lines(obj).get(section, [])
    index = bisect_right(rows, offset, key=lambda row: row[0]) - 1
    return f"{rows[index][1]} ({where})" if index >= 0 and rows[index][1] else where


@lru_cache(maxsize=16)
def _lines(obj: ObjectFile) -> dict[Section, list[tuple[int, str]]]:
    """For each section of code, its (offset, `file:line`) in order of offset; an empty text ends a sequence."""
    if obj.section(".debug_line") is None:
        return {}
    # Only a link that fails comes here, so only then is reading DWARF paid for.
    from elftools.elf.elffile import ELFFile

    spread, bases = _with_addresses(obj)
    rows: dict[Section, list[tuple[int, str]]] = {section: [] for section in bases}
    starts = list(bases.items())
    try:
        dwarf = ELFFile(io.BytesIO(write_object(spread))).get_dwarf_info(follow_links=False)
        for program in filter(None, map(dwarf.line_program_for_CU, dwarf.iter_CUs())):
            for entry in program.get_entries():
                if entry.state is None:
                    continue
                section, base = starts[bisect_right(starts, entry.state.address, key=lambda start: start[1]) - 1]
                line = f"{_file_name(program.header, entry.state.file)}:{entry.state.line}"
                rows[section].append((entry.state.address - base, "" if entry.state.end_sequence else line))
    except Exception:
        # The line is a courtesy, so debug information that cannot be made out costs only that. What pyelftools
        # raises on such, failed assertions included, is not documented.
        return {}
    for table in rows.values():
        table.sort(key=lambda row: row[0])
    return rows


def _with_addresses(obj: ObjectFile) -> tuple[ObjectFile, dict[Section, int]]:
    """The debug sections of `obj`, relocated as if its code lay at the addresses that come with them."""
    bases: dict[Section, int] = {}
    address = 0
    for section in obj.sections:
        if section.is_code:
            bases[section] = address
            address += section.sh_size + SLOT_SIZE  # a gap, so that one's end is not the next one's start
    relocated = []
    for section in obj.sections:
        if not section.name.startswith(".debug_"):
            continue
        data = bytearray(section.data)
        for reloc in section.relocations:
            row = RELOCATION_TYPES.get(reloc.r_type)
            if row is None or not isinstance(reloc.symbol.section, Section):
                continue
            addend = reloc.r_addend
            if addend is None:
                addend = read_addend(row, data, reloc.r_offset, obj.byte_order)
            target = bases.get(reloc.symbol.section, 0) + reloc.symbol.st_value + addend
            write_field(row.field, data, reloc.r_offset, target, obj.byte_order)
        relocated.append(Section(section.name, section.sh_type, sh_entsize=section.sh_entsize, data=data))
    return ObjectFile(obj.name, obj.byte_order, relocated), bases


def _file_name(header: Any, number: int) -> str:
    """The name of a line table's file, with its directory unless that is where the compiler ran."""
    first = 0 if header.version >= 5 else 1  # DWARF 5 counts from 0 (section 6.2.4)
    entry = header.file_entry[number - first]
    name: str = entry.name.decode(errors="replace")
    if name.startswith("/") or entry.dir_index == 0:
        return name
    directory: str = header.include_directory[entry.dir_index - first].decode(errors="replace")
    return f"{directory}/{name}"
