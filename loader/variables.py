"""Global variables by name: which map one is in, where there, and how its values lie in bytes.

A name that several maps have is told apart by `MAP:NAME`. Of variables of one name the one that is not static is
meant. Typed ones have the values of their types (`bpfas.btf.values`); without types, the value is bytes, and
integers are taken as well.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, NamedTuple

from bpfas.btf.codecs import EncodingError, shown, too_short
from bpfas.btf.values import codec_of
from bpfas.diag import BpfasError, Diagnostic, Severity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from bpfas.btf.btf import Btf
    from bpfas.btf.codecs import Buffer, Codec
    from bpfas.elf.constants import ByteOrder
    from bpfas.loader.spec import MapSpec, Variable

_MAX_LISTED = 10


class UnknownNameError(BpfasError, KeyError):
    """A name of a map, a program or a variable that there is not, or that stands for several."""

    def __init__(self, message: str, *notes: str) -> None:
        super().__init__([Diagnostic(Severity.ERROR, message, None, notes)])


def unknown_name(what: str, name: str, known: Iterable[str]) -> UnknownNameError:
    """The error of a name that is not among the `known` ones."""
    names = list(dict.fromkeys(known))
    near = difflib.get_close_matches(name, names, n=1)
    if near:
        note = f"did you mean '{near[0]}'?"
    else:
        more = f", and {len(names) - _MAX_LISTED} more" if len(names) > _MAX_LISTED else ""
        note = f"there are: {', '.join(names[:_MAX_LISTED])}{more}" if names else "there is none"
    return UnknownNameError(f"there is no {what} '{name}'", note)


class VariablePlace(NamedTuple):
    """A variable, the name of the map that its value lies in, and how values of it are made."""

    map_name: str
    variable: Variable
    codec: Codec[Any]

    @property
    def end(self) -> int:
        """Where in the map's value it ends, in bytes."""
        return self.variable.offset + self.variable.size


class VariableDirectory:
    """The variables of some maps. `types` are those that the variables' types are ids of."""

    def __init__(self, maps: Iterable[MapSpec], types: Btf | None, order: ByteOrder) -> None:
        self._types = types
        self._order = order
        self._places: dict[str, list[tuple[str, Variable]]] = {}
        self._found: dict[str, VariablePlace] = {}
        for spec in maps:
            for variable in spec.variables:
                self._places.setdefault(variable.name, []).append((spec.name, variable))

    def find(self, name: str) -> VariablePlace:
        """The variable called `name` or `MAP:NAME`. Raises UnknownNameError."""
        place = self._found.get(name)
        if place is None:
            map_name, variable = self._find(name)
            place = self._found[name] = VariablePlace(map_name, variable, self._codec(variable))
        return place

    def names(self) -> list[str]:
        """A name for each variable, by which `find` finds it."""
        return [
            name if self._meant(places) == (map_name, variable) else f"{map_name}:{name}"
            for name, places in self._places.items()
            for map_name, variable in places
        ]

    def _find(self, name: str) -> tuple[str, Variable]:
        places = self._places.get(name)
        if places is None:
            map_name, _, own_name = name.rpartition(":")
            places = [place for place in self._places.get(own_name, ()) if place[0] == map_name]
            if not places:
                raise unknown_name("variable", name, self.names())
        meant = self._meant(places)
        if meant is None:
            maps = [f"{map_name}:{variable.name}" for map_name, variable in places]
            if len(set(maps)) < len(maps):
                raise UnknownNameError(f"{len(maps)} static variables are called '{name}'", "rename one of them")
            raise UnknownNameError(f"there are several variables '{name}'", f"say which: {' or '.join(maps)}")
        return meant

    @staticmethod
    def _meant(places: list[tuple[str, Variable]]) -> tuple[str, Variable] | None:
        """Which of several of a name is meant."""
        shared = [place for place in places if not place[1].is_static]
        candidates = shared or places
        return candidates[0] if len(candidates) == 1 else None

    def _codec(self, variable: Variable) -> Codec[Any]:
        if self._types is None or not variable.type_id:
            return _Untyped(variable.size, self._order)
        codec = codec_of(self._types, variable.type_id)
        # A flexible array at the end of a struct has its elements behind the struct.
        return codec if codec.size == variable.size else _Untyped(variable.size, self._order)


class _Untyped:
    """Bytes of which no type is known."""

    finish: Callable[[Any], Any] | None = None

    def __init__(self, size: int, order: ByteOrder) -> None:
        self.size = size
        self.format = f"{size}s"
        self._order = order

    def encode(self, value: Any) -> bytes:
        """Bytes as they are, an integer in as many bytes as there are."""
        if isinstance(value, bytes | bytearray | memoryview) or hasattr(value, "_b_base_"):
            data = bytes(value)
            if len(data) != self.size:
                raise EncodingError(f"it has {self.size} bytes, not {len(data)}")
            return data
        if not isinstance(value, int):
            raise EncodingError(f"{shown(value)} is neither bytes nor an integer, and no type says what it is")
        try:
            return int.to_bytes(value, self.size, self._order.name_for_int, signed=value < 0)
        except OverflowError:
            raise EncodingError(f"{value} does not fit into {self.size} bytes") from None

    def decode(self, data: Buffer, at: int = 0) -> bytes:
        """The bytes at `at`."""
        if at + self.size > len(data):
            raise too_short("it", self.size, data, at)
        return bytes(data[at : at + self.size])
