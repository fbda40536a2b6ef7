"""Which maps every kernel that has loader programs takes with the types of their keys and values.

Others are tried again without the types when the kernel refuses them: the fields that kernels look for (locks,
timers, pointers to their objects) came one after the other. Source: map_check_btf and array_map_check_btf of Linux
5.14 and 6.18.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpfas.btf.kinds import Kind
from bpfas.btf.sizes import size_of
from bpfas.loader.kinds import MapType

if TYPE_CHECKING:
    from bpfas.btf.btf import Btf
    from bpfas.loader.spec import MapSpec

_ARRAYS = frozenset({MapType.ARRAY, MapType.PERCPU_ARRAY})
_HASHES = frozenset({MapType.HASH, MapType.PERCPU_HASH, MapType.LRU_HASH, MapType.LRU_PERCPU_HASH})
_SPECIAL_PREFIX = "bpf_"
"""What the names of structs begin with that the kernel looks for."""

_NUMBERS = frozenset({Kind.INT, Kind.ENUM, Kind.ENUM64, Kind.FLOAT})


def takes_types(spec: MapSpec, types: Btf) -> bool:
    """Whether every kernel takes the types of a map's key and value."""
    if types.kind(spec.value_type) == Kind.DATASEC:
        entries = types.entries(spec.value_type)
        # An empty one is no DATASEC any more when the kernel gets it.
        return bool(entries) and all(_is_plain(types, types.size_or_type(entry.type_id)) for entry in entries)
    if spec.map_type not in _ARRAYS | _HASHES or not spec.key_type or not spec.value_type:
        return False
    sizes = (size_of(types, spec.key_type), size_of(types, spec.value_type))
    if sizes != (spec.key_size, spec.value_size):
        return False
    is_number = types.kind(types.without_qualifiers(spec.key_type)) == Kind.INT
    return (spec.map_type in _HASHES or is_number) and _is_plain(types, spec.value_type)


def _is_plain(types: Btf, type_id: int) -> bool:
    type_id = types.without_qualifiers(type_id)
    match types.kind(type_id):
        case Kind.STRUCT | Kind.UNION:
            if types.name(type_id).startswith(_SPECIAL_PREFIX):
                return False
            return all(_is_plain(types, member.type_id) for member in types.members(type_id))
        case Kind.ARRAY:
            return _is_plain(types, types.array(type_id).element)
        case Kind.PTR:
            return types.kind(types.size_or_type(type_id)) != Kind.TYPE_TAG
        case kind:
            return kind in _NUMBERS
