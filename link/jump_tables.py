"""The tables of computed jumps (`gotox`), whose words count from the start of the code's section.

LLVM puts them into the section `.jumptables`, a symbol of type OBJECT for each, and leaves no relocations: whose
code a table is of is told by the load of its address alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpfas.elf.constants import SymbolType
from bpfas.objfile import place
from bpfas.reloc import RelocationNumber

if TYPE_CHECKING:
    from bpfas.diag import Diagnostics
    from bpfas.link.layout import Layout
    from bpfas.objfile import ObjectFile, Section, Symbol

_SECTION = ".jumptables"
_WORD = 8


def move_jump_tables(obj: ObjectFile, layout: Layout, diagnostics: Diagnostics) -> None:
    """Bring the tables of `obj` up to date in the output's sections.

    A table that no code uses, or only code that the output goes without, stays as it is.
    """
    users = _users(obj, layout)
    for symbol, code in users.items():
        section = symbol.section
        placement, home = layout.placements[section], layout.placements[code]  # type: ignore[index]
        data = placement.section.data
        assert isinstance(data, bytearray)  # the layout made it
        for at in range(symbol.st_value, symbol.st_value + symbol.st_size, _WORD):
            output = placement.at(at)
            assert output is not None  # tables are not cut
            word = data[output : output + _WORD]
            target = home.at(int.from_bytes(word, obj.byte_order.name_for_int))
            if len(word) < _WORD or target is None or target > home.section.sh_size:
                diagnostics.error(
                    f"{symbol.name} leads out of section {code.name}",
                    place(obj, section, at),  # type: ignore[arg-type]
                )
                break
            data[output : output + _WORD] = target.to_bytes(_WORD, obj.byte_order.name_for_int)


def _users(obj: ObjectFile, layout: Layout) -> dict[Symbol, Section]:
    """The tables of `obj` whose address is loaded by code that stays, with the section of that code."""
    tables = {
        symbol
        for symbol in obj.symbols
        if symbol.st_type is SymbolType.OBJECT
        and symbol.section in layout.placements
        and symbol.section.name == _SECTION
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
