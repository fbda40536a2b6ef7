"""Maps and programs by name, with the errors of names that there are not."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, TypeVar

from bpfas.loader.image.variables import unknown_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bpfas.loader.runtime.maps import Map
    from bpfas.loader.runtime.programs import Program

_T = TypeVar("_T")


class Named(dict[str, _T]):
    """A dictionary that raises UnknownNameError, a KeyError, for a name that it has not, with those that it has.

    `others` are names of the same things by which they are found as well, but not listed.
    """

    def __init__(self, what: str, things: Mapping[str, _T], others: Mapping[str, str] | None = None) -> None:
        super().__init__(things)
        self._what = what
        self._others = others or {}

    def __missing__(self, name: str) -> _T:
        if name in self._others:
            return self[self._others[name]]
        raise unknown_name(self._what, str(name), self)


def named_maps(maps: Mapping[str, Map]) -> Named[Map]:
    """Maps by name; those of global data also by the kernel's names for them, as `app.rodata`."""
    data = {name: map_.spec.kernel_name for name, map_ in maps.items() if map_.spec.section}
    count = Counter(data.values())
    return Named("map", maps, {other: name for name, other in data.items() if count[other] == 1})


def named_programs(programs: Mapping[str, Program]) -> Named[Program]:
    """Programs by name."""
    return Named("program", programs)
