"""What BTF says of the variables of a section, by their places.

The places are complete already, as far as the symbol table has them (`bpfas.loader.image.object_btf`).
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from bpfas.btf.kinds import Kind, Linkage
from bpfas.btf.sizes import size_of
from bpfas.objfile import place

if TYPE_CHECKING:
    from bpfas.btf.btf import Btf
    from bpfas.diag import Diagnostics
    from bpfas.objfile import ObjectFile, Section


class SectionVariable(NamedTuple):
    """A VAR of a DATASEC: its place in the section and its size, in bytes."""

    var_id: int
    name: str
    offset: int
    size: int
    is_static: bool


def datasec_named(types: Btf, name: str) -> int:
    """The DATASEC called `name`; 0 where there is none."""
    return _datasecs(types).get(name, 0)


@lru_cache(maxsize=1)  # all sections of an object are asked for in a row, and there may be thousands
def _datasecs(types: Btf) -> dict[str, int]:
    return {types.name(datasec): datasec for datasec in reversed(types.ids_of_kind(Kind.DATASEC))}


def section_variables(
    obj: ObjectFile, section: Section, types: Btf, datasec: int, diagnostics: Diagnostics
) -> list[SectionVariable]:
    """The variables of `section`, which `datasec` lists, by their places; what is wrong goes to `diagnostics`."""
    has_places = bool(types.size_or_type(datasec))
    symbols = set() if has_places else {symbol.name for symbol in obj.symbols if symbol.section is section}
    found: list[SectionVariable] = []
    for entry in types.entries(datasec):
        # Compilers list what is only declared to be in a section as well, functions among it.
        if types.kind(entry.type_id) is not Kind.VAR or types.linkage(entry.type_id) is Linkage.EXTERN:
            continue
        name, is_static = types.name(entry.type_id), types.linkage(entry.type_id) is Linkage.STATIC
        size = entry.size or size_of(types, entry.type_id) or 0
        end = entry.offset + size
        if not is_static and not has_places and name not in symbols:
            message = f"no symbol says where in section '{section.name}' the variable '{name}' lies"
            diagnostics.error(message, types.place, (f"give '{name}' a global symbol of type @object",))
        elif end > section.sh_size:
            message = f"variable '{name}' reaches to {end:#x}, but the section has {section.sh_size:#x} bytes"
            diagnostics.error(message, place(obj, section, entry.offset))
        else:
            found.append(SectionVariable(entry.type_id, name, entry.offset, size, is_static))
    return sorted(found, key=_place_of)


def _place_of(variable: SectionVariable) -> int:
    return variable.offset
