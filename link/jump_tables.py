"""The tables of computed jumps (`gotox`), whose words count from the start of the code's section.

LLVM puts them into the section `.jumptables`, a symbol of type OBJECT for each, and leaves no relocations: whose
code a table is of is told by the load of its address alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpfas.elf.constants import SymbolType
from bpfas.objfile import Section, place
from bpfas.reloc import RelocationNumber
from bpfas.section_names import JUMP_TABLES_SECTION

if TYPE_CHECKING:
    from bpfas.diag import Diagnostics
    from bpfas.link.layout import Layout
    from bpfas.objfile import ObjectFile, Symbol

_WORD = 8


def move_jump_tables(obj: ObjectFile, layout: Layout, diagnostics: Diagnostics) -> None:
    """Bring the tables of `obj` up to date in the output's sections.

    A table that no code uses, or only code that the output goes without, stays as it is.
    """
    for symbol, code in _users(obj, layout).items():
        section = symbol.section
        assert isinstance(section, Section)
        placement, home = layout.placements[section], layout.placements[code]
        start, end = symbol.st_value, symbol.st_value + symbol.st_size
        output = placement.at(start)
        data = placement.section.data
        assert isinstance(data, bytearray)  # the layout made it
        assert output is not None  # tables are not cut
        if end > section.sh_size or symbol.st_size % _WORD:
            diagnostics.error(
                f"{symbol.name} has {symbol.st_size} bytes; a table of jumps is whole words of {_WORD} in its "
                "section",
                place(obj, section, start),
            )
            continue
        for at in range(output, output + symbol.st_size, _WORD):
            offset = int.from_bytes(data[at : at + _WORD], obj.byte_order.name_for_int)
            target = home.at(offset) if offset < code.sh_size else None
            if target is None:
                diagnostics.error(
                    f"{symbol.name} leads to {offset:#x} of section {code.name}, where the output has no code",
                    place(obj, section, start + at - output),
                )
                break
            data[at : at + _WORD] = target.to_bytes(_WORD, obj.byte_order.name_for_int)


def _users(obj: ObjectFile, layout: Layout) -> dict[Symbol, Section]:
    """The tables of `obj` whose address is loaded by code that stays, with the section of that code."""
    tables = {
        symbol
        for symbol in obj.symbols
        if symbol.st_type is SymbolType.OBJECT
        and symbol.section in layout.placements
        and symbol.section.name == JUMP_TABLES_SECTION
    }
    if not tables:
        return {}
    return {
        reloc.symbol: section
        for section in obj.sections
        if section.is_code and section in layout.placements
        for reloc in section.relocations
        if reloc.symbol in tables
        and reloc.r_type == RelocationNumber.R_BPF_64_64
        and layout.placements[section].at(reloc.r_offset) is not None
    }
