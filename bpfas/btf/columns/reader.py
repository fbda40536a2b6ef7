"""Reading of many types: `bpfas.btf.reader` for large inputs.

Records are found by the sizes that they would have at every word, so that only their starts are walked from one to
the next. Rules are checked on columns; types that may break one go to `bpfas.btf.checks`, which says what is
wrong.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

import numpy as np

from bpfas.btf.columns.checks import suspects
from bpfas.btf.columns.lot import Lot, distinct, linkable, to_nodes
from bpfas.btf.columns.names import texts_of
from bpfas.btf.columns.table import Table, by_unit, lots_of
from bpfas.btf.kinds import ENTRY_WORDS, FIXED_WORDS, MAX_VLEN, UNKNOWN_INFO_BITS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bpfas.btf.btf import Btf
    from bpfas.btf.columns.table import Indices, Words

_KINDS = 32
_TOO_LONG = 1 << 40
_STRIDE = 8

_FIXED = np.full(_KINDS, _TOO_LONG, np.int64)
_FIXED[1 : len(FIXED_WORDS)] = FIXED_WORDS[1:]
_EACH = np.zeros(_KINDS, np.int64)
_EACH[: len(ENTRY_WORDS)] = ENTRY_WORDS


def scanned(words: Sequence[array[int]]) -> Iterator[tuple[array[int], bytes] | None]:
    """For the words of each object, starts and kinds of its types as Btf has them; None if records may be bad."""
    for begin, end in lots_of([len(of_unit) for of_unit in words]):
        lot = words[begin:end]
        joined: Words = np.concatenate([np.frombuffer(of_unit, np.uint32) for of_unit in lot])
        kinds = (joined >> np.uint32(24)).astype(np.int64) & (_KINDS - 1)
        sizes = _EACH[kinds] * (joined & np.uint32(MAX_VLEN))
        sizes += _FIXED[kinds]
        sizes[joined & np.uint32(UNKNOWN_INFO_BITS) != 0] = _TOO_LONG
        found, end = _walked(np.append(sizes[1:], _TOO_LONG))
        bases = np.cumsum([0, *map(len, lot)])
        at = np.searchsorted(found, bases)
        if end != len(joined) or np.any(np.append(found, end)[at] != bases):
            yield from [None] * len(lot)
            continue
        kinds_found = kinds[1:][found].astype(np.uint8).tobytes()
        for unit, base in enumerate(bases[:-1].tolist()):
            starts = (found[at[unit] : at[unit + 1]] - base).astype(np.uint32).tobytes()
            of_types = array("I", bytes(4) + starts)
            of_types.append(len(lot[unit]))
            yield of_types, b"\0" + kinds_found[at[unit] : at[unit + 1]]


def _walked(steps: Indices) -> tuple[Indices, int]:
    """The places where one gets from the begin by these steps, at each the one there; and where the last step
    leads.

    Eight steps are made at once, and then those between.
    """
    end = len(steps)
    one = np.append(np.minimum(np.arange(end) + steps, end), end)
    two = one[one]
    four = two[two]
    eight = array("q", four[four].tobytes())
    places = array("q")
    add = places.append
    at = 0
    while at < end:
        add(at)
        at = eight[at]
    table = np.empty((len(places), _STRIDE), np.int64)
    table[:, 0] = places
    table[:, 1] = one[table[:, 0]]
    table[:, 2:4] = two[table[:, :2]]
    table[:, 4:] = four[table[:, :4]]
    found = table.ravel()
    found = found[: np.searchsorted(found, end)]
    return found, int(found[-1] + steps[found[-1]]) if len(found) else 0


def suspicious(units: Sequence[Btf]) -> Iterator[tuple[Btf, Sequence[int]]]:
    """The objects that `bpfas.btf.checks` has to look at, and the types of each that it has to.

    With no types, it is only about the length of all names.
    """
    units = [btf for btf in units if len(btf)]
    for begin, end in lots_of([len(btf.words) for btf in units]):
        yield from _suspicious_of_lot(units[begin:end])


def _suspicious_of_lot(units: Sequence[Btf]) -> Iterator[tuple[Btf, Sequence[int]]]:
    table = Table.of_units(units)
    texts = texts_of(table, units)
    references = table.references
    lengths, counts = [len(btf.words) for btf in units], [len(btf) for btf in units]
    if np.any(texts.is_outside) or np.any(table.words[references] > by_unit(references, lengths, counts)):
        yield from ((btf, range(1, len(btf) + 1)) for btf in units)
        return
    to_nodes(table, units)
    text = np.frombuffer(texts.text, np.uint8)
    within = texts.positions[(text[texts.offsets - 1] != 0) & (texts.offsets > 0)]
    if len(units) > 1 and not len(within):
        # What is equal in several objects is looked at once.
        piece = distinct(table, texts, linkable(table))
        is_suspect = suspects(piece.table)[piece.nodes]
        lot = Lot(units, piece)
        for btf in units:
            btf.lot = lot
    else:
        table.words[texts.positions[text[texts.offsets] == 0]] = 0
        is_suspect = suspects(table)
    nodes = np.flatnonzero(is_suspect)
    first = np.cumsum([0, *counts])
    ends = np.searchsorted(nodes, first, "right")
    shared = np.diff(np.searchsorted(within, np.cumsum([0, *lengths])))
    for unit, btf in enumerate(units):
        type_ids = (nodes[ends[unit] : ends[unit + 1]] - first[unit]).tolist()
        if type_ids or shared[unit]:
            yield btf, type_ids
