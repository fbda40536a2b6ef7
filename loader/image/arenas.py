"""The arena of an object, and the global data that lies in it.

Data of `.addr_space.1` gets no map of its own: it lies in the one map of type ARENA, where it is copied to once
that is in memory. Source: libbpf 1.8.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpfas.loader.image.data_maps import describe_data
from bpfas.loader.kinds import MapType
from bpfas.objfile import place
from bpfas.section_names import ARENA_SECTION

if TYPE_CHECKING:
    from bpfas.btf.btf import Btf
    from bpfas.diag import Diagnostics
    from bpfas.loader.spec import MapSpec
    from bpfas.objfile import ObjectFile, Section

_DEFINE_ONE = (
    "define one: struct { __uint(type, BPF_MAP_TYPE_ARENA); __uint(map_flags, BPF_F_MMAPABLE); "
    '__uint(max_entries, PAGES); } arena SEC(".maps");'
)


def place_arena(
    obj: ObjectFile,
    definitions: dict[Section, dict[int, MapSpec]],
    types: Btf | None,
    diagnostics: Diagnostics,
) -> tuple[MapSpec | None, Section | None]:
    """The arena among `definitions`, where it gets the object's arena data, and the section that has the data.

    Errors go to `diagnostics`.
    """
    arenas = [
        (section, offset)
        for section, specs in definitions.items()
        for offset, spec in specs.items()
        if spec.map_type == MapType.ARENA
    ]
    names = [definitions[section][offset].name for section, offset in arenas]
    for (section, offset), name in list(zip(arenas, names, strict=True))[1:]:
        message = f"map '{name}' is a second arena, '{names[0]}' the first; a program can use one"
        diagnostics.error(message, place(obj, section, offset), ("keep one of them",))
    data = next((each for each in obj.sections if each.name == ARENA_SECTION and each.sh_size), None)
    if data is None or not arenas:
        if data is not None:
            message = f"section '{data.name}' holds data of an arena, but no map is an arena"
            diagnostics.error(message, place(obj, data, 0), (_DEFINE_ONE,))
        return (definitions[arenas[0][0]][arenas[0][1]] if arenas else None), None
    section, offset = arenas[0]
    found = describe_data(obj, data, types, diagnostics)
    contents = bytes(data.data) or bytes(data.sh_size)
    spec = definitions[section][offset]._replace(contents=contents, section=data.name, variables=found.variables)
    definitions[section][offset] = spec
    return spec, data
