"""Merging of many types: `bpfas.btf.merge` for large inputs.

What lots of objects have left (`bpfas.btf.columns.lot`) is joined, and of that equal types are found again.
"""

from __future__ import annotations

from operator import is_
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bpfas.btf.columns.dedup import NotFoundError, first_of_class
from bpfas.btf.columns.distinct import first_equals
from bpfas.btf.columns.lot import add_bases, piece_of
from bpfas.btf.columns.names import joined_names
from bpfas.btf.columns.table import Table, by_unit, lots_of
from bpfas.btf.graph import GONE, UNIQUE

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
    pieces = []
    begin = 0
    while begin < len(units):
        end, lot = _lot_at(units, begin)
        low, high = np.searchsorted(replaced, (first[begin], first[end]), "right")
        of_lot = replaced[low:high] - first[begin]
        if lot is not None and np.all(lot.is_apart(of_lot)):
            pieces.append(lot.piece)
        else:
            pieces.append(piece_of(units[begin:end], of_lot))
        begin = end
    table, names, nodes = _joined(pieces)
    return _output(table, names, nodes, targets)


def _lot_at(units: Sequence[Btf], begin: int) -> tuple[int, Lot | None]:
    """Where the objects end that are taken together from `begin` on, and what was found when they were read."""
    lot = units[begin].lot
    if lot is not None:
        end = begin + len(lot.units)
        if end <= len(units) and all(map(is_, lot.units, units[begin:end])):
            return end, lot
    _, length = next(lots_of([len(btf.words) for btf in units[begin:]]))
    return begin + length, None


def _joined(pieces: Sequence[Piece]) -> tuple[Table, Names, Indices]:
    """One behind the other, with one void: the columns, texts of names, and for each input node the one here."""
    tables = [piece.table for piece in pieces]
    counts = [len(table) - 1 for table in tables]
    lengths = [len(table.words) for table in tables]
    word_bases = np.cumsum([0, *lengths[:-1]])
    joined = Table(
        np.concatenate([table.words for table in tables]),
        np.concatenate([[0], *(table.starts[1:] + base for table, base in zip(tables, word_bases, strict=True))]),
        np.concatenate([np.zeros(1, np.uint8), *(table.kinds[1:] for table in tables)]),
    )
    add_bases(joined, lengths, counts)
    names, numbers = joined_names([piece.names for piece in pieces])
    positions = joined.names
    piece_bases = np.cumsum([0, *(len(of_piece) for of_piece in numbers[:-1])])
    joined.words[positions] = np.concatenate(numbers)[
        joined.words[positions] + by_unit(positions, lengths, piece_bases)
    ]
    bases = np.cumsum([0, *counts[:-1]])
    nodes = [piece.nodes[1:] + base for piece, base in zip(pieces, bases, strict=True)]
    return joined, names, np.concatenate([[0], *nodes])


def _output(table: Table, names: Names, nodes: Indices, replaced: Mapping[int, int]) -> Output | None:
    references = table.references
    target_of = np.arange(len(table))
    is_replaced = np.zeros(len(table), np.bool_)
    if replaced:
        sources = nodes[list(replaced)]
        is_replaced[sources] = True
        target_of[sources] = [GONE if target == GONE else nodes[target] for target in replaced.values()]
    targets = target_of[table.words[references]]
    gone = targets == GONE
    if np.any(gone & ~is_replaced[table.owners[references]]):
        return None
    targets[gone] = 0
    unique = np.isin(table.kinds, list(UNIQUE)) | is_replaced
    try:
        found = first_of_class(table, targets, unique, resolve=True)
    except NotFoundError:
        return None
    kept = (found == np.arange(len(table))) & ~is_replaced
    new_ids = np.cumsum(kept) - 1
    new_ids[~kept] = 0
    table.words[references] = new_ids[found[targets]]
    target_of[target_of == GONE] = 0
    is_name = np.zeros(len(table.words), np.bool_)
    is_name[table.names] = True
    kept_words = np.repeat(kept, table.lengths)
    words = table.words[kept_words]
    strings = _with_offsets(words, np.flatnonzero(is_name[kept_words]), names)
    lengths = table.lengths[kept]
    return Output(words, np.cumsum(lengths) - lengths, strings, new_ids[found[target_of[nodes]]])


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
