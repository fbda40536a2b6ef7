"""What is wrong with an input by itself, though its file is well-formed: places that cannot be.

The passes behind this lean on it: what lies in a section lies inside it, and code is whole instructions.
Source: gABI chapter 4; what libbpf's linker refuses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpfas.btf.kinds import Kind, Linkage
from bpfas.elf.compression import compression_name, read_compression_header
from bpfas.elf.constants import SectionFlag, SymbolBinding, SymbolType
from bpfas.isa import SLOT_SIZE
from bpfas.link.layout import is_debugging
from bpfas.link.options import Strip
from bpfas.objfile import Section, SpecialSection, place
from bpfas.reloc import RELOCATION_TYPES, Field, relocation_name
from bpfas.section_names import MAPS_SECTION
from bpfas.source_lines import place_of_declaration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bpfas.diag import Diagnostics
    from bpfas.link.types import Unit
    from bpfas.objfile import ObjectFile

_TYPES_OF_CONTENTS = frozenset({SymbolType.FUNC, SymbolType.OBJECT})
_FARTHEST_LABEL = 1 << 62
"""Labels may be set behind their section, but where they come to lie must be a number of 64 bits."""
_FIELDS_OF_INSTRUCTIONS = frozenset({Field.IMM64, Field.IMM32, Field.OFF16})


def check_compression(objects: Sequence[ObjectFile], strip: Strip, diagnostics: Diagnostics) -> None:
    """An error for each object with sections that are needed and that nobody could uncompress."""
    for obj in objects:
        needed = [
            section
            for section in obj.sections
            if section.sh_flags & SectionFlag.COMPRESSED and (strip < Strip.DEBUG or not is_debugging(section))
        ]
        if not needed:
            continue
        header = read_compression_header(needed[0].data, obj.byte_order)
        method = compression_name(header.ch_type) if header is not None else "no known method"
        others = f", as are {len(needed) - 1} more sections" if len(needed) > 1 else ""
        diagnostics.error(
            f"section {needed[0].name} is compressed by {method}{others}; this version of Python cannot undo that",
            obj.name,
            ("compile with -gz=zlib or without -gz, or leave debugging information out with -S",),
        )


def check_symbols(objects: Sequence[ObjectFile], diagnostics: Diagnostics) -> None:
    """Errors for symbols that lie nowhere, and for references to nothing."""
    for obj in objects:
        for symbol in obj.symbols:
            section = symbol.section
            if not isinstance(section, Section):
                if section is SpecialSection.UNDEF and not symbol.name:
                    where = place_of_declaration(obj, symbol)
                    diagnostics.error("refers to something undefined that has no name", where)
                elif section is SpecialSection.UNDEF and symbol.st_bind is SymbolBinding.LOCAL:
                    where = place_of_declaration(obj, symbol)
                    diagnostics.error(
                        f"symbol {symbol.name} is undefined but local, so nobody can define it", where
                    )
                continue
            where = place(obj, section, symbol.st_value)
            is_content = symbol.st_type in _TYPES_OF_CONTENTS
            if symbol.st_value > (section.sh_size if is_content else _FARTHEST_LABEL):
                diagnostics.error(
                    f"symbol {symbol.name} lies behind its section, which has {section.sh_size:#x} bytes", where
                )
            elif symbol.st_type is SymbolType.FUNC and section.is_code and symbol.st_value % SLOT_SIZE:
                diagnostics.error(
                    f"function {symbol.name} begins between two instructions of {SLOT_SIZE} bytes", where
                )


def check_code(objects: Sequence[ObjectFile], diagnostics: Diagnostics) -> None:
    """Errors for relocations of instructions that apply between two of them."""
    for obj in objects:
        for section in obj.sections:
            if not section.is_code:
                continue
            for reloc in section.relocations:
                row = RELOCATION_TYPES.get(reloc.r_type)
                if reloc.r_offset % SLOT_SIZE and row is not None and row.field in _FIELDS_OF_INSTRUCTIONS:
                    diagnostics.error(
                        f"{relocation_name(reloc.r_type)} against {reloc.symbol.name} does not apply to the start "
                        "of an instruction",
                        place(obj, section, reloc.r_offset),
                    )


def check_types(units: Sequence[Unit], diagnostics: Diagnostics) -> None:
    """Errors for types of what the object does not have."""
    for unit in units:
        obj, btf = unit.obj, unit.btf
        names = {section.name for section in obj.sections}
        for table, sections in zip(unit.ext._fields, unit.ext, strict=True) if unit.ext is not None else ():
            for name, (record_size, words) in sections.items():
                where = f"{obj.name}:(.BTF.ext)"
                if name not in names:
                    diagnostics.error(f"{table} tells of section {name}, which is not there", where)
                if table == "func_info" and not all(map(btf.name, words[1 :: record_size // 4])):
                    diagnostics.error(f"{table} tells of functions of {name} that have no name", where)
                between = next((offset for offset in words[:: record_size // 4] if offset % SLOT_SIZE), None)
                if between is not None:
                    diagnostics.error(f"{table} tells of {between:#x} of {name}, which is no instruction", where)
        symbols = {symbol.name for symbol in obj.symbols}
        for datasec in btf.ids_of_kind(Kind.DATASEC):
            section_name = btf.name(datasec)
            for entry in btf.entries(datasec) if section_name in names else ():
                name = btf.name(entry.type_id)
                if section_name == MAPS_SECTION and btf.linkage(entry.type_id) is Linkage.STATIC:
                    diagnostics.warning(
                        f"map {name} is static, but loaders take global ones only; leave `static` out", obj.name
                    )
                is_global = btf.kind(entry.type_id) is Kind.VAR and btf.linkage(entry.type_id) is Linkage.GLOBAL
                if is_global and name not in symbols:
                    diagnostics.error(
                        f"variable {name} of section {section_name} has a type, but no symbol tells where it "
                        "lies; was it stripped?",
                        f"{obj.name}:(.BTF)",
                    )
