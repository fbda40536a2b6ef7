"""Places in objects, as messages name them: `a.o:(.text+0x18)`, with the source line where DWARF tells it.

The lines that the output's DWARF tells are `bpfas.link.debug_lines`' part.
"""

from __future__ import annotations

import io
from bisect import bisect_right
from functools import lru_cache
from typing import Any

from bpfas.btf.ext import read_btf_ext
from bpfas.btf.reader import read_btf
from bpfas.diag import BpfasError
from bpfas.elf.constants import SectionFlag
from bpfas.elf.writer import write_object
from bpfas.isa import SLOT_SIZE
from bpfas.objfile import ObjectFile, Section, Symbol, place
from bpfas.reloc import RELOCATION_TYPES, addend_of, write_field
from bpfas.section_names import BTF_EXT_SECTION, BTF_SECTION

_DECLARING_TAGS = frozenset({"DW_TAG_subprogram", "DW_TAG_variable"})
_DECLARING_ATTRIBUTES = frozenset({"DW_AT_name", "DW_AT_decl_file", "DW_AT_decl_line"})


def place_of_symbol(obj: ObjectFile, symbol: Symbol) -> str:
    """Where `obj` defines `symbol`: in a section, or as a number."""
    if isinstance(symbol.section, Section):
        return place(obj, symbol.section, symbol.st_value)
    return f"{obj.name}:(absolute {symbol.st_value:#x})"


def place_of_declaration(obj: ObjectFile, symbol: Symbol) -> str:
    """Where `obj` defines or declares what `symbol` names: the line if debug information tells, and the object.

    Of a declaration without a line, the first use is told.
    """
    line = source_line(obj, symbol)
    if symbol.is_defined:
        where = place_of_symbol(obj, symbol)
        return f"{line} ({where})" if line else where
    if line is not None:
        return f"{line} ({obj.name})"
    for section in obj.sections:
        if section.sh_flags & SectionFlag.ALLOC:
            for reloc in section.relocations:
                if reloc.symbol is symbol:
                    return f"{obj.name}, used at {place_in_source(obj, section, reloc.r_offset)}"
    return obj.name


def source_line(obj: ObjectFile, symbol: Symbol) -> str | None:
    """The `file:line` at which the source of `obj` defines or declares what `symbol` names, if that is known."""
    line = _declared_lines(obj).get(symbol.name)
    if line is None and isinstance(symbol.section, Section):
        found = line_of(obj, symbol.section, symbol.st_value)
        line = found and f"{found[0]}:{found[1]}"
    return line


def line_of(obj: ObjectFile, section: Section, offset: int) -> tuple[str, int] | None:
    """The file and line of the instruction at `offset` of `section`, if debug or line information tells."""
    rows = _lines(obj).get(section, [])
    index = bisect_right(rows, offset, key=lambda row: row[0]) - 1
    if index < 0 or not rows[index][1]:
        return None
    file, _, line = rows[index][1].rpartition(":")
    return file, int(line)


def place_in_source(obj: ObjectFile, section: Section, offset: int) -> str:
    """`file:line (obj:(section+0x…))` if the line is known, else the place in the object alone."""
    where = place(obj, section, offset)
    line = line_of(obj, section, offset)
    return f"{line[0]}:{line[1]} ({where})" if line else where


@lru_cache(maxsize=64)
def _lines(obj: ObjectFile) -> dict[Section, list[tuple[int, str]]]:
    """For each section of code, its (offset, `file:line`) in order of offset; an empty text ends a sequence."""
    if obj.section(".debug_line") is None:
        return _lines_of_btf(obj)
    # Only a link that fails comes here, so only then is reading DWARF paid for.
    from elftools.elf.elffile import ELFFile

    rows: dict[Section, list[tuple[int, str]]] = {}
    try:
        spread, bases = _with_addresses(obj)
        rows = {section: [] for section in bases}
        starts = list(bases.items())
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


def _lines_of_btf(obj: ObjectFile) -> dict[Section, list[tuple[int, str]]]:
    """What `_lines` gives, by line information of `.BTF.ext`."""
    section, ext_section = obj.section(BTF_SECTION), obj.section(BTF_EXT_SECTION)
    if section is None or ext_section is None:
        return {}
    try:
        btf = read_btf(bytes(section.data), obj.byte_order, obj.name)
        ext = read_btf_ext(bytes(ext_section.data), obj.byte_order, btf, obj.name)
    except BpfasError:
        return {}
    rows: dict[Section, list[tuple[int, str]]] = {}
    for name, (record_size, words) in ext.line_info.items():
        code = obj.section(name)
        if code is not None:
            step = record_size // 4
            records = zip(words[::step], words[1::step], words[3::step], strict=True)
            rows[code] = sorted((at, f"{btf.string(file)}:{line >> 10}") for at, file, line in records)
    return rows


@lru_cache(maxsize=64)
def _declared_lines(obj: ObjectFile) -> dict[str, str]:
    """By the name of a global function or variable, the `file:line` of its definition, or of a declaration."""
    if obj.section(".debug_info") is None:
        return {}
    from elftools.elf.elffile import ELFFile

    found: dict[str, str] = {}
    try:
        spread, _ = _with_addresses(obj)
        dwarf = ELFFile(io.BytesIO(write_object(spread))).get_dwarf_info(follow_links=False)
        for unit in dwarf.iter_CUs():
            program = dwarf.line_program_for_CU(unit)
            if program is None:
                continue
            for entry in unit.get_top_DIE().iter_children():
                attributes = entry.attributes
                if entry.tag in _DECLARING_TAGS and _DECLARING_ATTRIBUTES.issubset(attributes):
                    name = attributes["DW_AT_name"].value.decode(errors="replace")
                    file = _file_name(program.header, attributes["DW_AT_decl_file"].value)
                    line = f"{file}:{attributes['DW_AT_decl_line'].value}"
                    if "DW_AT_declaration" in attributes:
                        found.setdefault(name, line)
                    else:
                        found[name] = line
    except Exception:
        # As for _lines: what cannot be made out costs only the line.
        return found
    return found


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
            addend = addend_of(row, reloc.r_addend, data, reloc.r_offset, obj.byte_order)
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
