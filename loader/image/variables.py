"""Global variables by name: which map one is in, where there, and how its values lie in bytes.

A name that several maps have is told apart by `MAP:NAME`. Of variables of one name the one that is not static is
meant; if all are static, none. Typed ones have the values of their types (`bpfas.btf.values`); without types, the
value is bytes, and integers are taken as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from bpfas.btf.untyped import Raw
from bpfas.btf.values import codec_of
from bpfas.diag import BpfasError, Diagnostic, Severity
from bpfas.loader.nearest import close_matches

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bpfas.btf.btf import Btf
    from bpfas.btf.codecs import Codec
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
    near = close_matches(name, names)
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
        """A name for each variable that one leads to, by which `find` finds it."""
        found = []
        for name, places in self._places.items():
            meant = self._meant(places)
            found += [name if place == meant else f"{place[0]}:{name}" for place in self._told_apart(places)]
        return found

    def _find(self, name: str) -> tuple[str, Variable]:
        places = self._places.get(name)
        if places is None:
            map_name, _, own_name = str(name).rpartition(":")
            places = [place for place in self._places.get(own_name, ()) if place[0] == map_name]
            if not places:
                raise unknown_name("variable", str(name), self.names())
        meant = self._meant(places)
        if meant is None:
            forms = [f"{map_name}:{variable.name}" for map_name, variable in self._told_apart(places)]
            if not forms:
                raise UnknownNameError(f"{len(places)} static variables are called '{name}'", "rename one of them")
            raise UnknownNameError(f"there are several variables '{name}'", f"say which: {' or '.join(forms)}")
        return meant

    def _told_apart(self, places: list[tuple[str, Variable]]) -> list[tuple[str, Variable]]:
        """Those of several of a name that are meant if it is asked for with their map."""
        return [
            place for place in places if place == self._meant([each for each in places if each[0] == place[0]])
        ]

    @staticmethod
    def _meant(places: list[tuple[str, Variable]]) -> tuple[str, Variable] | None:
        """Which of several of a name is meant."""
        shared = [place for place in places if not place[1].is_static]
        candidates = shared or places
        return candidates[0] if len(candidates) == 1 else None

    def _codec(self, variable: Variable) -> Codec[Any]:
        if self._types is None or not variable.type_id:
            return Raw(variable.size, self._order)
        codec = codec_of(self._types, variable.type_id)
        # A flexible array at the end of a struct has its elements behind the struct.
        return codec if codec.size == variable.size else Raw(variable.size, self._order)
