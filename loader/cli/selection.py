"""Choosing among the programs and maps of a loaded object by the names that a command was given."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpfas.diag import BpfasError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bpfas.loader.loading.collection import Collection
    from bpfas.loader.runtime.maps import Map
    from bpfas.loader.runtime.programs import Program


def only_program(collection: Collection, name: str | None) -> Program:
    """The program called `name`, or the only one."""
    if name is not None:
        return chosen_programs(collection, [name])[0]
    if len(collection.programs) != 1:
        raise BpfasError.of(f"which program to run? The object has: {_listed(collection)}")
    (program,) = collection.programs.values()
    return program


def chosen_programs(collection: Collection, names: Sequence[str]) -> list[Program]:
    """The programs of these names."""
    for name in names:
        if name not in collection.programs:
            raise BpfasError.of(f"there is no program '{name}'; the object has: {_listed(collection)}")
    return [collection.programs[name] for name in names]


def map_called(collection: Collection, name: str) -> Map:
    """The map of this name."""
    if name not in collection.maps:
        known = ", ".join(collection.maps) or "none"
        raise BpfasError.of(f"there is no map '{name}'; the object has: {known}")
    return collection.maps[name]


def _listed(collection: Collection) -> str:
    return ", ".join(collection.programs) or "none"
