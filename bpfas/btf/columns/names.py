"""Names of types, members and so on as numbers: equal texts have equal numbers, whatever object they are of."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bpfas.btf.columns.distinct import first_equals
from bpfas.btf.columns.table import by_unit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bpfas.btf.btf import Btf
    from bpfas.btf.columns.table import Hashes, Indices, Table

_LANE = 8
_ONES = np.uint64(0x0101010101010101)
_HIGHS = np.uint64(0x8080808080808080)
_ONE = np.uint64(1)
_MAX_LANES = 64
_FEW = 500
"""What is longer than these lanes, and these names when they are few, are compared as Python's bytes."""


class Names(NamedTuple):
    """Distinct texts by number, each from its start to the next zero byte of `text`. Number 0 is the empty one."""

    text: bytes
    starts: Indices

    def texts(self, numbers: Indices) -> list[bytes]:
        """The texts of these numbers."""
        text, find = self.text, self.text.find
        return [text[start : find(0, start)] for start in self.starts[numbers].tolist()]


def number_names(table: Table, units: Sequence[Btf]) -> Names:
    """Replace the string offsets in the words of `table`, that of `units`, by numbers of their texts."""
    text = b"".join([btf.strings for btf in units]) + bytes(_LANE)
    names = table.names
    word_counts, text_lengths = [len(btf.words) for btf in units], [len(btf.strings) for btf in units]
    offsets = table.words[names] + by_unit(names, word_counts, np.cumsum([0, *text_lengths[:-1]]))
    used = np.zeros(len(text), np.bool_)
    used[0] = True
    used[offsets] = True
    starts = np.flatnonzero(used)
    number_at = np.empty(len(text), np.uint32)
    found, number_at[starts] = _numbered(text, starts)
    table.words[names] = number_at[offsets]
    return found


def joined_names(parts: Sequence[Names]) -> tuple[Names, list[Indices]]:
    """The distinct texts of all parts, and for each part, what its numbers have become."""
    bases = np.cumsum([0, *(len(part.text) for part in parts[:-1])])
    starts = np.concatenate([part.starts + base for part, base in zip(parts, bases, strict=True)])
    found, numbers = _numbered(b"".join([part.text for part in parts]), starts)
    return found, np.split(numbers, np.cumsum([len(part.starts) for part in parts[:-1]]))


def _numbered(text: bytes, starts: Indices) -> tuple[Names, Indices]:
    """The distinct ones of the texts that begin at `starts`, and the number of each."""
    firsts = _first_equal_texts(text, starts)
    is_first = firsts == np.arange(len(starts))
    return Names(text, starts[is_first]), (np.cumsum(is_first) - 1)[firsts]


def _first_equal_texts(text: bytes, starts: Indices) -> Indices:
    """For the texts that begin at `starts`, ascending, and end with a zero byte, the first ones that are equal.

    Eight bytes are looked at at a time, so a text is the number of the text before them and those eight.
    """
    lanes: Hashes = np.ndarray((len(text) - _LANE + 1,), "<u8", text, strides=(1,))
    found = np.arange(len(starts))
    pending = found.copy()
    before = np.zeros(len(starts), np.uint64)
    lane = 0
    while len(pending) > _FEW and lane < _MAX_LANES:
        loaded = lanes[starts[pending] + lane * _LANE].astype(np.uint64, copy=False)
        zeros = (loaded - _ONES) & ~loaded & _HIGHS
        lowest = zeros & (~zeros + _ONE)
        # The bits of the bytes below the lowest one that is zero; all if none is.
        loaded &= (lowest >> np.uint64(_LANE - 1)) - _ONE
        going_on = np.flatnonzero(lowest == 0)
        firsts = first_equals(before, loaded) if lane else first_equals(loaded)
        equal = pending[firsts]
        found[pending] = equal
        pending = pending[going_on]
        before = equal[going_on].astype(np.uint64)
        lane += 1
    seen: dict[tuple[int, bytes], int] = {}
    for index, number in zip(pending.tolist(), before.tolist(), strict=True):
        start = int(starts[index]) + lane * _LANE
        found[index] = seen.setdefault((number, text[start : text.index(0, start)]), index)
    return found
