"""The relocations of an ELF file, checked: each names a symbol of it, and its field lies inside its section.

Debugging information has tens of thousands of them, so what is looked at is columns, and only where those show
that something is wrong, each relocation. What types mean is for others. Source: gABI chapter 4, Relocation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpfas.elf.constants import SectionType
from bpfas.objfile import Relocation, RelocationTable
from bpfas.reloc import RELOCATION_TYPES, RelocationNumber, relocation_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bpfas.elf.section_headers import ElfFile, SectionHeader
    from bpfas.objfile import Section, Symbol

_FIELD_ENDS = {number: row.field.end for number, row in RELOCATION_TYPES.items()}


def relocated_section(file: ElfFile, index: int, sections: Mapping[int, Section]) -> Section | None:
    """The section that the relocations in section `index` apply to, or None after an error."""
    header, place = file.headers[index], file.section_names[index]
    target = sections.get(header.sh_info)
    if target is None:
        file.error(f"relocates section {header.sh_info}{file.why_not(header.sh_info)}", place)
    elif target.sh_type == SectionType.NOBITS and header.sh_size:
        file.error(f"relocates {target.name}, which has no contents (SHT_NOBITS)", place)
    elif header.sh_link != file.symtab_index or not file.symtab_index:
        file.error(f"takes its symbols from section {header.sh_link}, not the symbol table", place)
    else:
        return target
    return None


def read_relocations(file: ElfFile, header: SectionHeader, target: Section, symbols: list[Symbol | None]) -> None:
    """Add the relocations of a section to `target`, with an error for each that is wrong."""
    has_addends = header.sh_type == SectionType.RELA
    if target.relocation_table is None and not target.relocations:
        entries = bytes(file.contents(header))
        table = RelocationTable(entries, symbols, file.order, has_addends)
        if _is_faultless(table, target.sh_size):
            target.relocation_table = table
            return
    for r_offset, r_info, *addend in file.entries(header, "QQq" if has_addends else "QQ"):
        r_type, r_sym = r_info & 0xFFFFFFFF, r_info >> 32
        if r_sym == 0 and r_type == RelocationNumber.R_BPF_NONE:
            continue  # what a linker leaves of a relocation that it has dropped
        symbol = symbols[r_sym] if r_sym < len(symbols) else None
        at = f"{target.name}+{r_offset:#x}"
        if symbol is None:
            file.error(
                f"{relocation_name(r_type)} names symbol {r_sym}; symbols go from 1 to {len(symbols) - 1}", at
            )
        elif r_offset + _FIELD_ENDS.get(r_type, 0) > target.sh_size:
            file.error(f"{relocation_name(r_type)} lies beyond the section's end at {target.sh_size:#x}", at)
        else:
            target.relocations.append(Relocation(r_offset, r_type, symbol, *addend))


def _is_faultless(table: RelocationTable, size: int) -> bool:
    """Whether all relocations of a section of `size` bytes certainly are as they should be."""
    words, each = table.words(), table.words_each
    kinds = set(words[1::each])  # r_info: the symbol's number and the type
    if not all(_is_symbol(r_info >> 32, table.symbols) for r_info in kinds):
        return False
    longest = max((_FIELD_ENDS.get(r_info & 0xFFFFFFFF, 0) for r_info in kinds), default=0)
    return max(words[::each], default=0) + longest <= size


def _is_symbol(number: int, symbols: Sequence[Symbol | None]) -> bool:
    return number < len(symbols) and symbols[number] is not None
