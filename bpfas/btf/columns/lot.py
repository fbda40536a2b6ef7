"""The types of a few objects, equal ones once.

That is done where objects are read, as many at a time as have their columns in the processor's cache, since rules
have to be checked once for equal types, and then for all objects together. Forward declarations are left as they
are, since only all objects tell what they mean.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bpfas.btf.columns.dedup import NotFoundError, first_of_class
from bpfas.btf.columns.names import Names, number_names, texts_of
from bpfas.btf.columns.table import Table, by_unit
from bpfas.btf.graph import UNIQUE
from bpfas.btf.kinds import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bpfas.btf.btf import Btf
    from bpfas.btf.columns.names import Texts
    from bpfas.btf.columns.table import Bools, Indices


class Piece(NamedTuple):
    """The distinct types of a lot.

    `table` has numbers of `names` for names, and its own nodes for references. `nodes` has for each node of the
    lot which of these it has become.
    """

    table: Table
    names: Names
    nodes: Indices


class Lot:
    """Objects that were read together, and their distinct types."""

    __slots__ = ("piece", "units")

    def __init__(self, units: Sequence[Btf], piece: Piece) -> None:
        self.units = units
        self.piece = piece

    def is_apart(self, nodes: Indices) -> Bools:
        """Whether each of these nodes of the lot is equal to no other of it."""
        counts = np.bincount(self.piece.nodes)
        apart: Bools = counts[self.piece.nodes[nodes]] == 1
        return apart


def linkable(table: Table) -> Bools:
    """By node, what a linker may replace: variables, functions, their prototypes and tags."""
    found = np.isin(table.kinds, [*UNIQUE, Kind.FUNC, Kind.DECL_TAG])
    found[table.words[table.starts[table.nodes_of(Kind.FUNC)] + 2]] = True
    return found


def piece_of(units: Sequence[Btf], replaced: Indices) -> Piece:
    """The distinct types of objects; the nodes in `replaced` are kept apart from equal ones."""
    table = Table.of_units(units)
    texts = texts_of(table, units)
    to_nodes(table, units)
    is_apart = np.isin(table.kinds, list(UNIQUE))
    is_apart[replaced] = True
    return distinct(table, texts, is_apart)


def to_nodes(table: Table, units: Sequence[Btf]) -> None:
    """Make nodes of type ids."""
    add_bases(table, [len(btf.words) for btf in units], [len(btf) for btf in units])


def add_bases(table: Table, lengths: Iterable[int], counts: Sequence[int]) -> None:
    """Make nodes of the numbers of types in parts that have been put behind one another."""
    references = table.references
    ids = table.words[references]
    table.words[references] = ids + by_unit(references, lengths, np.cumsum([0, *counts[:-1]])) * (ids > 0)


def distinct(table: Table, texts: Texts, is_apart: Bools) -> Piece:
    """The distinct types of a table; those that are `is_apart` are equal to no others."""
    names = number_names(table, texts)
    references = table.references
    targets = table.words[references].astype(np.int64)
    try:
        found = first_of_class(table, targets, is_apart, resolve=False)
    except NotFoundError:
        found = np.arange(len(table))
    kept = found == np.arange(len(table))
    nodes = (np.cumsum(kept) - 1)[found]
    table.words[references] = nodes[targets]
    words = table.words[np.repeat(kept, table.lengths)]
    lengths = table.lengths[kept]
    return Piece(Table(words, np.cumsum(lengths) - lengths, table.kinds[kept]), names, nodes)
