"""What sections of an ELF file say about other sections, and about symbols, by their numbers.

Those are groups, SHF_LINK_ORDER, and LLVM's list of the symbols whose addresses matter. Source: gABI chapter 4;
LLVM's document on its extensions of ELF.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpfas.elf.constants import GRP_COMDAT, SectionFlag, SectionType
from bpfas.leb128 import unsigned_numbers
from bpfas.objfile import Group

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bpfas.elf.section_headers import ElfFile, SectionHeader
    from bpfas.objfile import Section, Symbol


def read_references(file: ElfFile, sections: Mapping[int, Section], symbols: Sequence[Symbol | None]) -> None:
    """Give `sections` the sections and symbols that they name, with an error for each number that is wrong."""
    grouped: set[Section] = set()
    for index, section in sections.items():
        header, place = file.headers[index], section.name
        if header.sh_flags & SectionFlag.LINK_ORDER and header.sh_link:
            section.link_order = sections.get(header.sh_link)
            if section.link_order is None:
                file.error(f"is ordered after section {header.sh_link}{file.why_not(header.sh_link)}", place)
        if header.sh_type == SectionType.GROUP:
            section.sh_info = 0
            section.group = _read_group(file, index, sections, symbols, grouped)
        # A list without a symbol table (sh_link 0) is one that a tool like objcopy has invalidated.
        if header.sh_type == SectionType.LLVM_ADDRSIG and header.sh_link:
            section.listed_symbols = _read_listed_symbols(file, header, section, symbols)


def _read_group(
    file: ElfFile,
    index: int,
    sections: Mapping[int, Section],
    symbols: Sequence[Symbol | None],
    grouped: set[Section],
) -> Group | None:
    """The group in section `index` (gABI, Section Groups); `grouped` are the members of all groups so far."""
    header, place = file.headers[index], file.section_names[index]
    if header.sh_link != file.symtab_index or not file.symtab_index:
        file.error(f"takes its signature from section {header.sh_link}, not the symbol table", place)
        return None
    signature = symbols[header.sh_info] if header.sh_info < len(symbols) else None
    if signature is None:
        last = len(symbols) - 1
        file.error(f"has symbol {header.sh_info} as its signature; symbols go from 1 to {last}", place)
        return None
    flags, *members = [number for (number,) in file.entries(header, "I")] or [0]
    if flags & ~GRP_COMDAT:
        file.error(f"has unknown flags of a group, {flags:#x}", place)
    group = Group(signature, [], bool(flags & GRP_COMDAT))
    for number in members:
        member = sections.get(number)
        if _is_of_relocations(file, number):
            continue  # goes with the section that it relocates
        if member is None or member.sh_type == SectionType.GROUP:
            file.error(f"has section {number} as a member{file.why_not(number)}", place)
        elif member in grouped:
            file.error(f"has {member.name} as a member, which is in a group already", place)
        else:
            grouped.add(member)
            group.members.append(member)
    return group


def _is_of_relocations(file: ElfFile, number: int) -> bool:
    exists = 0 < number < len(file.headers)
    return exists and file.headers[number].sh_type in (SectionType.REL, SectionType.RELA)


def _read_listed_symbols(
    file: ElfFile, header: SectionHeader, section: Section, symbols: Sequence[Symbol | None]
) -> list[Symbol]:
    """The symbols that .llvm_addrsig lists by number, as unsigned LEB128."""
    place = section.name
    listed: list[Symbol] = []
    if header.sh_link != file.symtab_index:
        file.error(f"takes its symbols from section {header.sh_link}, not the symbol table", place)
        return listed
    try:
        numbers = list(unsigned_numbers(section.data))
    except ValueError as error:
        file.error(f"its list of symbols {error}", place)
        return listed
    for number in numbers:
        symbol = symbols[number] if number < len(symbols) else None
        if symbol is None:
            file.error(f"lists symbol {number}; symbols go from 1 to {len(symbols) - 1}", place)
            return listed
        listed.append(symbol)
    return listed
