"""Merging of many types: `bpfas.btf.merge` for large inputs.

What lots of objects have left (`bpfas.btf.columns.lot`) is joined, and of that equal types are found again.
"""

from __future__ import annotations

from itertools import pairwise
from operator import is_
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bpfas.btf.columns.dedup import TYPEDEF_TAG, AmbiguousError, NotFoundError, first_of_class, tags_of
from bpfas.btf.columns.distinct import first_equals
from bpfas.btf.columns.lot import add_bases, piece_of
from bpfas.btf.columns.names import joined_names
from bpfas.btf.columns.table import Table, by_unit, lots_of
from bpfas.btf.dedup import representatives
from bpfas.btf.graph import GONE, UNIQUE, Graph

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bpfas.btf.btf import Btf
    from bpfas.btf.columns.lot import Lot, Piece
    from bpfas.btf.columns.names import Names
    from bpfas.btf.columns.table import Indices, Words


class Output(NamedTuple):
    """The types of an output, as columns: words, where each type begins, strings with their offsets.

    `ids` has the id in the output for every node of the input.
    """

    words: Words
    starts: Indices
    strings: dict[bytes, int]
    ids: Indices


def merged_columns(units: Sequence[Btf], first: Sequence[int], targets: Mapping[int, int]) -> Output | None:
    """What `bpfas.btf.merge` has to know; None if types have to be looked at one by one.

    `targets` has the nodes that are replaced. That is also the result where a reference leads to one that is gone.
    """
    replaced = np.array(sorted(targets), np.int64)
    try:
        joined = _Joined(_pieces(units, first, replaced), targets)
        try:
            found = first_of_class(joined.table, joined.targets, joined.is_unique, resolve=True)
        except AmbiguousError as error:
            # What they mean depends on the object they are in, so those of different objects must not be one yet.
            declared = np.flatnonzero(np.isin(joined.nodes, error.nodes))
            joined = _Joined(_pieces(units, first, np.union1d(replaced, declared)), targets)
            found = _found_one_by_one(joined, declared, first)
    except NotFoundError:
        return None
    return joined.output(found)


def _pieces(units: Sequence[Btf], first: Sequence[int], apart: Indices) -> list[Piece]:
    """The distinct types of all objects, lot by lot; the nodes in `apart` are kept apart from equal ones."""
    pieces = []
    begin = 0
    while begin < len(units):
        end, lot = _lot_at(units, begin)
        low, high = np.searchsorted(apart, (first[begin], first[end]), "right")
        of_lot = apart[low:high] - first[begin]
        if lot is not None and np.all(lot.is_apart(of_lot)):
            pieces.append(lot.piece)
        else:
            pieces.append(piece_of(units[begin:end], of_lot))
        begin = end
    return pieces


def _lot_at(units: Sequence[Btf], begin: int) -> tuple[int, Lot | None]:
    """Where the objects end that are taken together from `begin` on, and what was found when they were read."""
    lot = units[begin].lot
    if lot is not None:
        end = begin + len(lot.units)
        if end <= len(units) and all(map(is_, lot.units, units[begin:end])):
            return end, lot
    _, length = next(lots_of([len(btf.words) for btf in units[begin:]]))
    return begin + length, None


class _Joined:
    """The types that pieces have together, one piece behind the other, with one void.

    `table` has numbers of `names` for names. `nodes` has for each input node the one here, and `targets` the nodes
    that the references lead to, where `replaced` types have been replaced already; those are kept, but
    `is_unique`. Raises NotFoundError if a reference leads to a type that is gone.
    """

    def __init__(self, pieces: Sequence[Piece], replaced: Mapping[int, int]) -> None:
        tables = [piece.table for piece in pieces]
        counts = [len(table) - 1 for table in tables]
        lengths = [len(table.words) for table in tables]
        bases = np.cumsum([0, *lengths[:-1]])
        table = self.table = Table(
            np.concatenate([table.words for table in tables]),
            np.concatenate([[0], *(table.starts[1:] + base for table, base in zip(tables, bases, strict=True))]),
            np.concatenate([np.zeros(1, np.uint8), *(table.kinds[1:] for table in tables)]),
        )
        add_bases(table, lengths, counts)
        self.names, numbers = joined_names([piece.names for piece in pieces])
        positions = table.names
        bases = np.cumsum([0, *(len(of_piece) for of_piece in numbers[:-1])])
        table.words[positions] = np.concatenate(numbers)[
            table.words[positions] + by_unit(positions, lengths, bases)
        ]
        bases = np.cumsum([0, *counts[:-1]])
        nodes = [piece.nodes[1:] + base for piece, base in zip(pieces, bases, strict=True)]
        self.nodes: Indices = np.concatenate([[0], *nodes])

        target_of = np.arange(len(table))
        self._is_replaced = np.zeros(len(table), np.bool_)
        if replaced:
            sources = self.nodes[list(replaced)]
            self._is_replaced[sources] = True
            target_of[sources] = [GONE if target == GONE else self.nodes[target] for target in replaced.values()]
        self.targets: Indices = target_of[table.words[table.references]]
        gone = self.targets == GONE
        if np.any(gone & ~self._is_replaced[table.owners[table.references]]):
            raise NotFoundError
        self.targets[gone] = 0
        target_of[target_of == GONE] = 0
        self._target_of = target_of
        self.is_unique = np.isin(table.kinds, list(UNIQUE)) | self._is_replaced

    def output(self, found: Indices) -> Output:
        """The output, where `found` has for each node the one that is equal to it and stays."""
        table = self.table
        kept = (found == np.arange(len(table))) & ~self._is_replaced
        new_ids = np.cumsum(kept) - 1
        new_ids[~kept] = 0
        table.words[table.references] = new_ids[found[self.targets]]
        is_name = np.zeros(len(table.words), np.bool_)
        is_name[table.names] = True
        kept_words = np.repeat(kept, table.lengths)
        words = table.words[kept_words]
        strings = _with_offsets(words, np.flatnonzero(is_name[kept_words]), self.names)
        lengths = table.lengths[kept]
        ids = new_ids[found[self._target_of[self.nodes]]]
        return Output(words, np.cumsum(lengths) - lengths, strings, ids)


def _found_one_by_one(joined: _Joined, declared: Indices, first: Sequence[int]) -> Indices:
    """For each node the first that is equal to it; `declared` are the input nodes of ambiguous declarations."""
    table = joined.table
    tags, is_forward = tags_of(table)
    is_forward &= ~joined.is_unique
    is_tagged = (tags < TYPEDEF_TAG) & ~joined.is_unique
    forwards = dict.fromkeys(np.flatnonzero(is_forward).tolist(), 0)
    units = np.searchsorted(first, declared) - 1
    forwards.update(zip(joined.nodes[declared].tolist(), units.tolist(), strict=True))
    tagged = np.flatnonzero(is_tagged)
    names = table.words[table.starts[tagged]].tolist()
    words = table.words.copy()
    words[table.references] = 0
    all_words, starts = words.tolist(), [*table.starts.tolist(), len(words)]
    targets = joined.targets.tolist()
    ends = np.searchsorted(table.references, table.starts, "left").tolist()
    graph = Graph(
        [
            node if is_unique else tuple(all_words[start:end])
            for node, (is_unique, (start, end)) in enumerate(
                zip(joined.is_unique.tolist(), pairwise(starts), strict=True)
            )
        ],
        [targets[begin:end] for begin, end in pairwise([*ends, len(targets)])],
        dict(zip(tagged.tolist(), zip(tags[tagged].tolist(), names, strict=True), strict=True)),
        forwards,
    )
    return np.array(representatives(graph))


def _with_offsets(words: Words, positions: Indices, names: Names) -> dict[bytes, int]:
    """Replace the numbers of names by offsets of texts in the order in which they appear; gives those."""
    numbers = words[positions]
    distinct = numbers[first_equals(numbers.astype(np.uint64)) == np.arange(len(numbers))]
    distinct = distinct[distinct > 0]
    texts = names.texts(distinct)
    ends = np.cumsum([1, *(len(text) + 1 for text in texts)])
    offsets = np.zeros(len(names.starts), np.uint32)
    offsets[distinct] = ends[:-1]
    words[positions] = offsets[numbers]
    return {b"": 0, **dict(zip(texts, ends.tolist(), strict=False))}
