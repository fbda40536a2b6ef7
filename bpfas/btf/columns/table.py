"""The records of the types of some objects as columns: where they are, and where in them names and references are.

Types are numbered as in `bpfas.btf.graph`: node 0 is void, type `id` of object `unit` is node `first[unit] + id`.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bpfas.btf.kinds import ENTRY_WORDS, HEADER_WORDS, MAX_VLEN, TYPE_IN_THIRD, Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from bpfas.btf.btf import Btf

Bools = npt.NDArray[np.bool_]
Bytes = npt.NDArray[np.uint8]
Indices = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint32]
Hashes = npt.NDArray[np.uint64]


LOT_WORDS = 300_000
"""As many words as have their columns in the cache of a processor's core."""


class Entries(NamedTuple):
    """All entries of some kinds: of which nodes, how many each of these has, and where each entry begins."""

    nodes: Indices
    counts: Indices
    positions: Indices

    def spread(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """For each entry, what `values` has for its node; there is one value for each of `nodes`."""
        return np.repeat(values, self.counts)


class Table:
    """The columns.

    `words` are those of all types. By node, `starts` has the index of a type's first word, `kinds` its kind,
    `infos` its second word, `vlens` the number of its entries (of a FUNC its linkage), `lengths` that of its
    words.
    """

    def __init__(self, words: Words, starts: Indices, kinds: Bytes) -> None:
        self.words = words
        self.starts = starts
        self.kinds = kinds
        self.infos: Words = words[starts + 1]
        self.infos[0] = 0
        self.vlens: Indices = (self.infos & np.uint32(MAX_VLEN)).astype(np.int64)
        self.lengths: Indices = np.diff(starts, append=len(words))

    def __len__(self) -> int:
        return len(self.starts)

    @classmethod
    def of_units(cls, units: Sequence[Btf]) -> Table:
        """The columns of some objects, with type ids and string offsets as they are there."""
        bases = np.cumsum([0, *(len(btf.words) for btf in units)]).tolist()
        return cls(
            np.concatenate([np.frombuffer(btf.words, np.uint32) for btf in units]),
            np.concatenate(
                [
                    np.zeros(1, np.int64),
                    *(
                        np.frombuffer(btf.starts, np.uint32)[1:-1] + base
                        for btf, base in zip(units, bases, strict=False)
                    ),
                ]
            ),
            np.frombuffer(b"\0" + b"".join([btf.kinds[1:] for btf in units]), np.uint8),
        )

    def nodes_of(self, *kinds: int) -> Indices:
        """The nodes of any of these kinds, ascending."""
        chosen = np.zeros(256, np.bool_)
        chosen[list(kinds)] = True
        return np.flatnonzero(chosen[self.kinds])

    @cached_property
    def thirds(self) -> Indices:
        """The nodes whose third word is a reference."""
        return self.nodes_of(*TYPE_IN_THIRD)

    @cached_property
    def arrays(self) -> Indices:
        """The ARRAYs."""
        return self.nodes_of(Kind.ARRAY)

    @cached_property
    def members(self) -> Entries:
        """The members of all STRUCTs and UNIONs."""
        return self._entries(Kind.STRUCT, Kind.UNION)

    @cached_property
    def parameters(self) -> Entries:
        """The parameters of all FUNC_PROTOs."""
        return self._entries(Kind.FUNC_PROTO)

    @cached_property
    def section_entries(self) -> Entries:
        """The entries of all DATASECs."""
        return self._entries(Kind.DATASEC)

    @cached_property
    def named_entries(self) -> tuple[Entries, ...]:
        """The entries whose first word is a name."""
        return (self.members, self.parameters, self._entries(Kind.ENUM), self._entries(Kind.ENUM64))

    @cached_property
    def references(self) -> Indices:
        """Where in the words references are, ascending."""
        is_reference = np.zeros(len(self.words), np.bool_)
        arrays = self.starts[self.arrays] + HEADER_WORDS
        is_reference[self.starts[self.thirds] + 2] = True
        is_reference[arrays] = True
        is_reference[arrays + 1] = True
        is_reference[self.members.positions + 1] = True
        is_reference[self.parameters.positions + 1] = True
        is_reference[self.section_entries.positions] = True
        return np.flatnonzero(is_reference)

    @cached_property
    def names(self) -> Indices:
        """Where in the words names are, ascending."""
        is_name = np.zeros(len(self.words), np.bool_)
        is_name[self.starts[1:]] = True
        for entries in self.named_entries:
            is_name[entries.positions] = True
        return np.flatnonzero(is_name)

    @cached_property
    def owners(self) -> Indices:
        """By word, the node whose record it is in."""
        return np.repeat(np.arange(len(self)), self.lengths)

    def _entries(self, kind: Kind, *alike: Kind) -> Entries:
        nodes = self.nodes_of(kind, *alike)
        counts = self.vlens[nodes]
        each = ENTRY_WORDS[kind]
        firsts = np.cumsum(counts) - counts
        positions = np.repeat(self.starts[nodes] + HEADER_WORDS - each * firsts, counts)
        positions += np.arange(0, each * len(positions), each)
        return Entries(nodes, counts, positions)


def by_unit(positions: Indices, lengths: Iterable[int], values: npt.ArrayLike) -> Indices:
    """For each of `positions`, ascending, the value of its unit; they count from the first unit's begin.

    Units have these lengths and one of `values` each.
    """
    ends = np.searchsorted(positions, np.cumsum(list(lengths)))
    return np.repeat(np.asarray(values, np.int64), np.diff(ends, prepend=0))


def lots_of(lengths: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Ranges of units that are best taken together; `lengths` are their words. All have some, if any unit has."""
    begin, words = 0, 0
    for index, length in enumerate(lengths):
        if length and words >= LOT_WORDS:
            yield begin, index
            begin, words = index, 0
        words += length
    if lengths:
        yield begin, len(lengths)
