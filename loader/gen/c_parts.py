"""The parts of a C header that only some objects need, in the order in which they are done."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from bpfas.loader.gen.c_data import SectionStruct
    from bpfas.loader.gen.c_skeleton import Part, Skeleton

_PARTS: tuple[Callable[[Skeleton, dict[str, SectionStruct]], Part | None], ...] = ()


def parts_of(skeleton: Skeleton, sections: dict[str, SectionStruct]) -> list[Part]:
    """The parts that the skeleton's object needs; `sections` are the structs of its data by the names of maps."""
    return [part for make in _PARTS if (part := make(skeleton, sections)) is not None]
