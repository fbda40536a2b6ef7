"""The symbols of an ELF file. Source: gABI chapter 4, Symbol Table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpfas.elf.constants import (
    SHN_LORESERVE,
    SHN_UNDEF,
    SHN_XINDEX,
    SectionType,
    SymbolBinding,
    SymbolType,
    SymbolVisibility,
)
from bpfas.objfile import Section, SpecialSection, Symbol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bpfas.elf.section_headers import ElfFile

_BINDINGS = {int(bind): bind for bind in SymbolBinding}
_TYPES = {int(kind): kind for kind in SymbolType}
_VISIBILITIES = {int(visibility): visibility for visibility in SymbolVisibility}
_SPECIAL_SECTIONS = {special.value: special for special in SpecialSection}


def read_symbols(file: ElfFile, sections: Mapping[int, Section]) -> list[Symbol | None]:
    """The symbols by index; the null symbol is None, and so is one that is wrong, after an error."""
    if not file.symtab_index:
        return []
    header = file.headers[file.symtab_index]
    place = file.section_names[file.symtab_index]
    extended: list[int] = []
    for other in file.headers:
        if other.sh_type == SectionType.SYMTAB_SHNDX and other.sh_link == file.symtab_index:
            extended = [index for (index,) in file.entries(other, "I")]
    symbols: list[Symbol | None] = []
    for number, entry in enumerate(file.entries(header, "IBBHQQ")):
        st_name, st_info, st_other, st_shndx, st_value, st_size = entry
        symbols.append(None)
        if number == 0:
            if any(entry):
                file.error("its first symbol is not empty, as it is in every symbol table", place)
            continue
        name = file.string(header.sh_link, st_name, "symbol", number)
        if name is None:
            continue
        bind, kind = _BINDINGS.get(st_info >> 4), _TYPES.get(st_info & 0xF)
        visibility = _VISIBILITIES.get(st_other)
        if st_shndx == SHN_XINDEX:
            st_shndx = extended[number] if number < len(extended) else SHN_XINDEX
            home: Section | SpecialSection | None = sections.get(st_shndx)
        elif st_shndx >= SHN_LORESERVE or st_shndx == SHN_UNDEF:
            home = _SPECIAL_SECTIONS.get(st_shndx)
        else:
            home = sections.get(st_shndx)
        if home is not None and bind is not None and kind is not None and visibility is not None:
            symbols[number] = Symbol(name, home, st_value, st_size, bind, kind, visibility)
            if kind is not SymbolType.SECTION or (not st_value and isinstance(home, Section)):
                continue
        shown = f"symbol {number} ({name})"
        if bind is None:
            file.error(f"{shown} has binding {st_info >> 4}; only local, global and weak are known", place)
        if kind is None:
            file.error(f"{shown} has unknown type {st_info & 0xF}", place)
        if visibility is None:
            file.error(f"{shown} has unknown visibility (st_other {st_other:#x})", place)
        if home is None:
            file.error(f"{shown} is in section {st_shndx}{file.why_not(st_shndx)}", place)
        elif kind is SymbolType.SECTION:
            file.error(f"{shown} stands for a section but is not at a section's start", place)
    return symbols
