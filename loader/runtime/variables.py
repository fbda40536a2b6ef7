"""The global variables of loaded programs, read and written while they run.

Those of maps that can be mapped into memory (which have a variable that is not static) and of arenas are accessed
where they lie. Those of others are read and written with the whole value of their map by bpf(2): what programs
write to other variables of the same section at that moment may be lost.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from bpfas.btf.codecs import EncodingError
from bpfas.elf.constants import HOST_ORDER
from bpfas.loader.errors import KernelError, Step
from bpfas.loader.image.variables import VariableDirectory
from bpfas.loader.kinds import MapFlag, MapType
from bpfas.loader.privilege import Explanation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfas.btf.btf import Btf
    from bpfas.btf.codecs import Codec
    from bpfas.loader.runtime.maps import Map

_FIRST = bytes(4)


class _Place(NamedTuple):
    """Where a variable lies; `offset` counts from the beginning of the map's memory or value."""

    name: str
    map: Map
    offset: int
    codec: Codec[Any]


class Variables(Mapping[str, Any]):
    """The variables of maps by name: `variables["threshold"] = 5`. `types` are those of the maps.

    Names are those of `bpfas.loader.image.variables`: one that several maps have is given as `MAP:NAME`. Values
    are of the types that the object's BTF gives (`bpfas.btf.values`), else bytes, for which integers are taken as
    well. Raises UnknownNameError (a KeyError) for a name that there is not or that stands for several,
    EncodingError for a value that is none of the type, KernelError for a variable that is read-only.
    """

    def __init__(self, maps: Mapping[str, Map], types: Btf | None = None) -> None:
        self._maps = maps
        self._directory = VariableDirectory((map_.spec for map_ in maps.values()), types, HOST_ORDER)
        self._places: dict[str, _Place] = {}

    def __getitem__(self, name: str) -> Any:
        place = self._place(name)
        if _is_in_memory(place.map):
            return place.codec.decode(place.map.memory.view, place.offset)
        return place.codec.decode(place.map.raw[_FIRST], place.offset)

    def __setitem__(self, name: str, value: Any) -> None:
        place = self._place(name)
        try:
            data = place.codec.encode(value)
        except EncodingError as error:
            raise error.about(f"variable {name}") from None
        if place.map.spec.frozen:
            raise _read_only(place)
        if _is_in_memory(place.map):
            memory = place.map.memory
            if not memory.is_writable:
                raise _read_only(place)
            memory.view[place.offset : place.offset + len(data)] = data
            return
        whole = bytearray(place.map.raw[_FIRST])
        whole[place.offset : place.offset + len(data)] = data
        place.map.raw[_FIRST] = bytes(whole)

    def __iter__(self) -> Iterator[str]:
        return iter(self._directory.names())

    def __len__(self) -> int:
        return len(self._directory.names())

    def __repr__(self) -> str:
        return f"<Variables: {', '.join(self)}>"

    def _place(self, name: str) -> _Place:
        if name in self._places:
            return self._places[name]
        map_name, variable, codec = self._directory.find(name)
        map_ = self._maps[map_name]
        offset = variable.offset + (map_.spec.data_offset if map_.type == MapType.ARENA else 0)
        place = self._places[name] = _Place(f"{map_name}:{variable.name}", map_, offset, codec)
        return place


def _is_in_memory(map_: Map) -> bool:
    return map_.type == MapType.ARENA or bool(map_.flags & MapFlag.MMAPABLE)


def _read_only(place: _Place) -> KernelError:
    section = place.map.spec.section or place.map.name
    explanation = Explanation(
        f"its section {section} is read-only once it is loaded, which the verifier relies on",
        "give it its value before loading, on the image",
    )
    return KernelError(Step.UPDATE, f"variable {place.name}", errno.EPERM, explanation)
