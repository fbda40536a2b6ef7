"""All maps of an object: definitions in `.maps` and `maps` sections, global data, and instances of struct_ops.

Each kind has its own reader: `bpfas.loader.image.btf_maps`, `legacy_maps`, `data_maps`, `arenas`,
`struct_ops_open`. Here they are put together, in the order in which they are created.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpfas.loader.image.arenas import place_arena
from bpfas.loader.image.btf_maps import describe_btf_maps
from bpfas.loader.image.data_maps import describe_data_map
from bpfas.objfile import place
from bpfas.reloc import RelocationNumber
from bpfas.section_names import MAPS_SECTION, OLD_MAPS_SECTION, is_struct_ops_section

if TYPE_CHECKING:
    from bpfas.btf.btf import Btf
    from bpfas.diag import Diagnostics
    from bpfas.loader.spec import MapSpec
    from bpfas.objfile import ObjectFile, Relocation, Section


class MapTable:
    """The maps by name, and by where in the object they are referred to.

    `definitions` are, of each `.maps` or `maps` section, the maps that are defined at offsets in bytes, `data` the
    maps that hold data sections; of arena data the arena. `arena` is the name of the map that is one, if any is.
    """

    def __init__(self) -> None:
        self.by_name: dict[str, MapSpec] = {}
        self.definitions: dict[Section, dict[int, MapSpec]] = {}
        self.data: dict[Section, MapSpec] = {}
        self.arena = ""

    def add(self, other: MapTable) -> None:
        """Take in the maps of another object, whose names are others."""
        self.by_name.update(other.by_name)
        self.definitions.update(other.definitions)
        self.data.update(other.data)
        self.arena = self.arena or other.arena


def describe_maps(
    obj: ObjectFile,
    object_name: str,
    diagnostics: Diagnostics,
    prefix: str = "",
    types: Btf | None = None,
    *,
    relaxed: bool = False,
) -> MapTable:
    """The maps of `obj`: those of `.maps`, of `maps` sections, one for each data section that is not empty, and
    one for each instance of struct_ops.

    `object_name` is what the kernel names of data maps begin with, `prefix` what our own names of all maps begin
    with. `types` are the object's own; the maps' types are ids there. `relaxed` lets members of definitions pass
    that are no attributes. Errors go to `diagnostics`.
    """
    table = MapTable()
    for section in obj.sections:
        if section.name == MAPS_SECTION and section.sh_size:
            table.definitions[section] = describe_btf_maps(
                obj, section, types, prefix, diagnostics, relaxed=relaxed
            )
    for section in obj.sections:
        if section.name == OLD_MAPS_SECTION and section.sh_size:
            from bpfas.loader.image.legacy_maps import describe_legacy_maps  # few objects have such maps

            table.definitions[section] = describe_legacy_maps(obj, section, prefix, diagnostics)
            _refuse_addresses(obj, section, diagnostics)
    for section in obj.sections:
        spec = describe_data_map(obj, section, object_name, prefix, types, diagnostics)
        if spec is not None:
            table.data[section] = spec
            _warn_of_addresses(obj, section, diagnostics)
    arena, arena_data = place_arena(obj, table.definitions, types, diagnostics)
    table.arena = arena.name if arena else ""
    if arena and arena_data:
        table.data[arena_data] = arena
        _warn_of_addresses(obj, arena_data, diagnostics)
    for section, definitions in table.definitions.items():
        for offset, spec in definitions.items():
            _enter(table, spec, place(obj, section, offset), diagnostics)
    for section, spec in table.data.items():
        _enter(table, spec, place(obj, section, 0), diagnostics)
    for section in obj.sections:
        if is_struct_ops_section(section.name) and section.sh_size:
            from bpfas.loader.image.struct_ops import describe_struct_ops  # few objects have any

            for offset, spec in describe_struct_ops(obj, section, types, prefix, diagnostics).items():
                _enter(table, spec, place(obj, section, offset), diagnostics)
    return table


def _enter(table: MapTable, spec: MapSpec, at: str, diagnostics: Diagnostics) -> None:
    if table.by_name.setdefault(spec.name, spec) is not spec:
        diagnostics.error(f"a second map is called '{spec.name}'", at, ("give one of them another name",))


def _addresses(section: Section) -> list[Relocation]:
    return [relocation for relocation in section.relocations if relocation.r_type != RelocationNumber.R_BPF_NONE]


def _name_of(relocation: Relocation) -> str:
    return relocation.symbol.name or relocation.symbol.section.name


def _refuse_addresses(obj: ObjectFile, section: Section, diagnostics: Diagnostics) -> None:
    for relocation in _addresses(section):
        message = f"section '{section.name}' holds the address of '{_name_of(relocation)}', which it cannot hold"
        diagnostics.error(message, place(obj, section, relocation.r_offset))


def _warn_of_addresses(obj: ObjectFile, section: Section, diagnostics: Diagnostics) -> None:
    """Say that addresses in data are not filled in; compilers write some that no program ever uses."""
    addresses = _addresses(section)
    if not addresses:
        return
    first, more = addresses[0], len(addresses) - 1
    others = f" and {more} more {'addresses' if more > 1 else 'address'}" if more else ""
    message = f"section '{section.name}' holds the address of '{_name_of(first)}'{others}"
    diagnostics.warning(
        f"{message}, which data in a map cannot hold",
        place(obj, section, first.r_offset),
        ("programs find there what the file has, mostly 0; take addresses in code, by a 64-bit immediate load",),
    )
