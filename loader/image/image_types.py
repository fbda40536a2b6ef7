"""The types of an Image: those of its object, or of several objects as one.

A name that one object declares and another one defines has the type of the definition; what the kernel is to have
(`.ksyms`, `.kconfig`) is listed once. Data sections stay apart, as the maps that they become do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpfas.btf.kinds import Kind, Linkage
from bpfas.btf.reader import read_btf
from bpfas.loader.image.records import ObjectRecords
from bpfas.section_names import EXTERN_SECTION, KCONFIG_SECTION, KSYMS_SECTION

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from bpfas.btf.btf import Btf
    from bpfas.btf.merge import Merged
    from bpfas.loader.image.object_btf import ObjectTypes
    from bpfas.loader.spec import MapSpec
    from bpfas.objfile import ObjectFile

_LISTS = (KSYMS_SECTION, KCONFIG_SECTION)
_Type = tuple[int, int]  # number of the object, id there


class ImageTypes:
    """The types of the objects `types_of` as one; nothing where there are none."""

    def __init__(self, types_of: Mapping[ObjectFile, ObjectTypes]) -> None:
        self._own = next(iter(types_of.values())).btf if len(types_of) == 1 else None
        self._name = next(iter(types_of)).name if types_of else ""
        self._merged: Merged | None = None
        self._ids: dict[ObjectFile, Sequence[int] | None] = dict.fromkeys(types_of)
        if len(types_of) > 1:
            units = [types.btf for types in types_of.values()]
            self._merged = _merge(units)
            self._ids = dict(zip(types_of, self._merged.ids, strict=True))
            self._order = units[0].order
        self.records = {obj: self._records(obj, types) for obj, types in types_of.items()}
        """What each object says of its instructions."""

    def type_id(self, obj: ObjectFile, own_id: int) -> int:
        """The id here of a type of `obj`."""
        ids = self._ids.get(obj)
        return ids[own_id] if ids is not None else own_id

    def finish(self) -> Btf | None:
        """All types; None where no object has any. From here on no more strings can be asked for."""
        if self._merged is None:
            return self._own
        return read_btf(self._merged.write(self._order), self._order, self._name)

    def _records(self, obj: ObjectFile, types: ObjectTypes) -> ObjectRecords:
        merged = self._merged
        if merged is None:
            return ObjectRecords(types)
        return ObjectRecords(types, self._ids[obj], lambda offset: merged.string(types.btf.string(offset)))


def _merge(units: Sequence[Btf]) -> Merged:
    """All types, each once."""
    replaced = _declared_elsewhere(units)
    lists: dict[str, list[_Type]] = {}
    gone: list[dict[int, _Type | None]] = [{**types} for types in replaced]
    for number, btf in enumerate(units):
        for datasec in btf.ids_of_kind(Kind.DATASEC):
            name = btf.name(datasec)
            if name in (*_LISTS, EXTERN_SECTION):
                gone[number][datasec] = None
            if name in _LISTS:
                lists.setdefault(name, []).extend(
                    (number, entry.type_id)
                    for entry in btf.entries(datasec)
                    if entry.type_id not in replaced[number]
                )
    from bpfas.btf.merge import merge  # most objects are loaded alone

    merged = merge(units, gone)
    for name, types in lists.items():
        ids = dict.fromkeys(merged.ids[number][type_id] for number, type_id in types)
        merged.add_datasec(name, 0, [(type_id, 0, 0) for type_id in ids])
    return merged


def _declared_elsewhere(units: Sequence[Btf]) -> list[dict[int, _Type]]:
    """By object, the declarations that another object's definition, or an earlier declaration, stands for."""
    known: dict[tuple[Kind, str], _Type] = {}
    for linkage in (Linkage.GLOBAL, Linkage.EXTERN):
        for number, btf in enumerate(units):
            for kind in (Kind.FUNC, Kind.VAR):
                for type_id in btf.ids_of_kind(kind):
                    if btf.linkage(type_id) is linkage:
                        known.setdefault((kind, btf.name(type_id)), (number, type_id))
    replaced: list[dict[int, _Type]] = [{} for _ in units]
    for number, btf in enumerate(units):
        for kind in (Kind.FUNC, Kind.VAR):
            for type_id in btf.ids_of_kind(kind):
                if btf.linkage(type_id) is Linkage.EXTERN:
                    first = known[kind, btf.name(type_id)]
                    if first != (number, type_id):
                        replaced[number][type_id] = first
    return replaced


def renumbered_map(spec: MapSpec, type_id: Callable[[int], int]) -> MapSpec:
    """`spec` with other ids of types; `type_id` leads to them."""
    return spec._replace(
        key_type=type_id(spec.key_type),
        value_type=type_id(spec.value_type),
        inner=renumbered_map(spec.inner, type_id) if spec.inner else None,
        variables=tuple(each._replace(type_id=type_id(each.type_id)) for each in spec.variables),
        struct_ops=spec.struct_ops._replace(type_id=type_id(spec.struct_ops.type_id)) if spec.struct_ops else None,
    )
