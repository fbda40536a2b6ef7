"""The holes that removed functions leave in sections of inputs, and what they make of offsets and distances.

Which functions are removed is `bpfas.link.gc`'s part, where what stays comes to lie `bpfas.link.layout`'s.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bpfas.link.gc import Removed
    from bpfas.objfile import Section


class Address(NamedTuple):
    """The place at `offset` bytes of an input's section."""

    section: Section
    offset: int


class Holes:
    """What is removed of the sections of all inputs."""

    def __init__(self, removed: Iterable[Removed]) -> None:
        by_section: dict[Section, list[tuple[int, int]]] = {}
        for item in removed:
            by_section.setdefault(item.section, []).append((item.start, item.end))
        self._holes = {section: sorted(found) for section, found in by_section.items()}
        self._starts = {section: [start for start, _ in found] for section, found in self._holes.items()}
        self._gone = {
            section: list(accumulate((end - start for start, end in found), initial=0))
            for section, found in self._holes.items()
        }

    def __bool__(self) -> bool:
        return bool(self._holes)

    def __contains__(self, section: Section) -> bool:
        return section in self._holes

    def _hole_before(self, at: Address) -> int:
        return bisect_right(self._starts[at.section], at.offset) - 1

    def cover(self, at: Address) -> bool:
        """Whether the byte there is removed."""
        index = self._hole_before(at) if at.section in self else -1
        return index >= 0 and at.offset < self._holes[at.section][index][1]

    def position(self, at: Address) -> int:
        """The offset without what is removed before it. In a hole, that is where its section goes on."""
        if at.section not in self:
            return at.offset
        index = self._hole_before(at)
        if index < 0:
            return at.offset
        start, end = self._holes[at.section][index]
        return at.offset - self._gone[at.section][index] - (min(at.offset, end) - start)

    def distance(self, start: Address, length: int) -> int:
        """What is left of the `length` bytes from `start` on."""
        return self.position(Address(start.section, start.offset + length)) - self.position(start)

    def following(self, at: Address) -> Address:
        """`at`, or if that is removed the next place that is not, or the section's end."""
        while self.cover(at):
            at = Address(at.section, self._holes[at.section][self._hole_before(at)][1])
        return at
