"""What BTF says of the variables of a section, with their places taken from where they are known best.

Compilers leave the places of global variables in a DATASEC to be filled in (and its size 0): the symbol table has
them. Source: loader.md §1.6.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bpfas.btf.kinds import Kind, Linkage
from bpfas.btf.sizes import size_of
from bpfas.elf.constants import SymbolBinding, SymbolType, SymbolVisibility
from bpfas.objfile import place

if TYPE_CHECKING:
    from bpfas.btf.btf import Btf
    from bpfas.diag import Diagnostics
    from bpfas.objfile import ObjectFile, Section

_HIDDEN = frozenset({SymbolVisibility.HIDDEN, SymbolVisibility.INTERNAL})


class SectionVariable(NamedTuple):
    """A VAR of a DATASEC: its place in the section and its size, in bytes.

    `is_static` is what the kernel is to be told: that the object keeps the variable to itself, which it does with
    hidden ones as well. `linkage` is what BTF says; an EXTERN one has no place here.
    """

    var_id: int
    name: str
    offset: int
    size: int
    linkage: Linkage
    is_static: bool


def datasec_named(types: Btf, name: str) -> int:
    """The DATASEC called `name`; 0 where there is none."""
    return next((datasec for datasec in types.ids_of_kind(Kind.DATASEC) if types.name(datasec) == name), 0)


def section_variables(
    obj: ObjectFile, section: Section, types: Btf, datasec: int, diagnostics: Diagnostics
) -> list[SectionVariable]:
    """The variables of `section`, which `datasec` lists, by their places; what is wrong goes to `diagnostics`."""
    symbols = {
        symbol.name: symbol
        for symbol in obj.symbols
        if symbol.section is section
        and symbol.st_type is SymbolType.OBJECT
        and symbol.st_bind is not SymbolBinding.LOCAL
    }
    has_places = bool(types.size_or_type(datasec))
    found: list[SectionVariable] = []
    for entry in types.entries(datasec):
        name = types.name(entry.type_id)
        if types.kind(entry.type_id) is not Kind.VAR:
            message = f"function '{name}' is listed among the variables of section '{section.name}'"
            diagnostics.error(message, types.place)
            continue
        linkage = types.linkage(entry.type_id)
        offset, is_static = entry.offset, linkage is Linkage.STATIC
        size = entry.size or size_of(types, entry.type_id) or 0
        if linkage is Linkage.EXTERN:
            found.append(SectionVariable(entry.type_id, name, offset, size, linkage, is_static))
            continue
        if not is_static:
            symbol = symbols.get(name)
            if symbol is not None:
                offset, is_static = symbol.st_value, symbol.st_visibility in _HIDDEN
            elif not has_places:
                message = f"no symbol says where in section '{section.name}' the variable '{name}' lies"
                diagnostics.error(message, types.place, (f"give '{name}' a global symbol of type @object",))
                continue
        if offset + size > section.sh_size:
            message = (
                f"variable '{name}' reaches to {offset + size:#x}, but the section has {section.sh_size:#x} bytes"
            )
            diagnostics.error(message, place(obj, section, offset))
            continue
        found.append(SectionVariable(entry.type_id, name, offset, size, linkage, is_static))
    return sorted(found, key=_place_of)


def _place_of(variable: SectionVariable) -> int:
    return variable.offset
