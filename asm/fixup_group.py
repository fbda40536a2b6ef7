"""Fixups of one kind that a batch has left together, as columns instead of objects.

Most of them are jumps to labels near by, which are filled in here many at a time. The others, and all of a section
whose layout differs from what was read, are taken apart into single fixups, which mean the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from bpfas.asm.fixup import REACH16, Fixup, FixupKind, Origin
from bpfas.isa import SLOT_SIZE

if TYPE_CHECKING:
    from bpfas.asm.section import Subsection
    from bpfas.asm.statement import Node
    from bpfas.asm.symbol import AssemblySymbol
    from bpfas.elf.constants import ByteOrder

    Array = np.ndarray[Any, np.dtype[Any]]


class LineOrigins(Protocol):
    """What can say where the operand stands that the fixup of a line is for."""

    def origin(self, line: int) -> tuple[Origin, Node]:
        """The origin and the operand."""
        ...


@dataclass(eq=False, slots=True)
class FixupGroup:
    """Fixups of `kind` behind `after` fragments of a subsection: for each its offset, symbol, and line."""

    kind: FixupKind
    after: int
    may_be_lengthened: bool
    origins: LineOrigins
    offsets: list[int] = field(default_factory=list)
    symbols: list[AssemblySymbol] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)

    def fixups(self) -> list[Fixup]:
        """The single fixups."""
        return [self._fixup(index) for index in range(len(self.offsets))]

    def _fixup(self, index: int) -> Fixup:
        origin, node = self.origins.origin(self.lines[index])
        offset, symbol = self.offsets[index], self.symbols[index]
        return Fixup(self.kind, offset, symbol, origin, node, self.after, self.may_be_lengthened)

    def has_jump_too_far(self, subsection: Subsection) -> bool:
        """Whether a jump in it does not reach; targets must be where they were read."""
        if not self.may_be_lengthened:
            return False
        _, distances, _ = self._near(subsection)
        return bool(np.any((distances < -REACH16) | (distances >= REACH16)))

    def _near(self, subsection: Subsection) -> tuple[Array, Array, Array]:
        """Which targets lie in the subsection for good; their distances in instructions, the bytes left over."""
        interposable = self.kind.interposable
        is_near = np.array(
            [
                symbol.subsection is subsection
                and symbol.expression is None
                and (symbol.binding is None or symbol.binding not in interposable)
                for symbol in self.symbols
            ]
        )
        targets = np.array([symbol.offset + symbol.displacement for symbol in self.symbols], np.int64)
        offsets = np.array(self.offsets, np.int64)
        near = np.flatnonzero(is_near)
        distances, rest = np.divmod(targets[near] - offsets[near], SLOT_SIZE)
        return near, distances - 1, rest

    def fill_near(self, subsection: Subsection, order: ByteOrder) -> list[Fixup]:
        """Fill in the fields whose targets lie in the same subsection, where they were read; the other fixups."""
        row = self.kind.row
        if not self.kind.is_near or row is None:
            return self.fixups()
        ((at, width),) = row.field.pieces
        offsets = np.array(self.offsets, np.int64)
        near, distances, rest = self._near(subsection)
        low, high = row.bounds
        fits = (distances >= low) & (distances <= high) & (rest == 0) & ((offsets[near] + at) % width == 0)
        near, distances = near[fits], distances[fits]
        fields = np.frombuffer(subsection.data, f"{order.value}i{width}", count=len(subsection.data) // width)
        fields[(offsets[near] + at) // width] = distances
        is_left = np.ones(len(offsets), bool)
        is_left[near] = False
        return [self._fixup(index) for index in np.flatnonzero(is_left).tolist()]
