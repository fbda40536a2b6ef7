"""Which functions the output goes without."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from bpfas.objfile import ObjectFile, Section


class Removed(NamedTuple):
    """The bytes `start` (included) to `end` (excluded) of an input's section that the output goes without."""

    obj: ObjectFile
    section: Section
    start: int
    end: int
    name: str
    reason: str
