"""Names of types, members and so on as numbers: equal texts have equal numbers, whatever object they are of."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bpfas.btf.columns.distinct import first_equals
from bpfas.btf.columns.table import by_unit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bpfas.btf.btf import Btf
    from bpfas.btf.columns.table import Bools, Hashes, Indices, Table

_LANE = 8
_ONES = np.uint64(0x0101010101010101)
_HIGHS = np.uint64(0x8080808080808080)
_ONE = np.uint64(1)
_MAX_BYTES = 512
_FEW = 100
"""What names have behind so many bytes, and names as few as these, are compared as Python's bytes."""


class Names(NamedTuple):
    """Distinct texts by number, each from its start to the next zero byte of `text`. Number 0 is the empty one."""

    text: bytes
    starts: Indices

    def texts(self, numbers: Indices) -> list[bytes]:
        """The texts of these numbers."""
        text, find = self.text, self.text.find
        return [text[start : find(0, start)] for start in self.starts[numbers].tolist()]


class Texts(NamedTuple):
    """Where the names of a table are: `positions` in its words, and `offsets` in the `text` of all its objects.

    `is_outside` tells which names lie outside the strings of their objects; the offsets of those are 0.
    """

    text: bytes
    positions: Indices
    offsets: Indices
    is_outside: Bools


def texts_of(table: Table, units: Sequence[Btf]) -> Texts:
    """Of a table that has the string offsets of `units`."""
    names = table.names
    word_counts, text_lengths = [len(btf.words) for btf in units], [len(btf.strings) for btf in units]
    offsets = table.words[names].astype(np.int64)
    is_outside = offsets >= by_unit(names, word_counts, text_lengths)
    offsets += by_unit(names, word_counts, np.cumsum([0, *text_lengths[:-1]]))
    offsets[is_outside] = 0
    return Texts(b"".join([btf.strings for btf in units]) + bytes(_LANE), names, offsets, is_outside)


def number_names(table: Table, texts: Texts) -> Names:
    """Replace the string offsets in the words of `table`, whose names are `texts`, by numbers of their texts."""
    text, offsets = texts.text, texts.offsets
    used = np.zeros(len(text), np.bool_)
    used[0] = True
    used[offsets] = True
    starts = np.flatnonzero(used)
    number_at = np.empty(len(text), np.uint32)
    found, number_at[starts] = _numbered(text, starts)
    table.words[texts.positions] = number_at[offsets]
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

    Two times eight bytes are looked at at a time, so a text is the number of what is before them, and those.
    """
    lanes: Hashes = np.ndarray((len(text) - _LANE + 1,), "<u8", text, strides=(1,))
    found = np.arange(len(starts))
    pending = found.copy()
    before = np.zeros(len(starts), np.uint64)
    done = 0
    while len(pending) > _FEW and done < _MAX_BYTES:
        at = starts[pending] + done
        low = lanes[at].astype(np.uint64, copy=False)
        goes_on = _cut_at_zero(low)
        # Where the text has ended, any place does.
        at += _LANE * goes_on
        high = lanes[at].astype(np.uint64, copy=False)
        goes_on &= _cut_at_zero(high)
        firsts = first_equals(low, high, before) if done else first_equals(low, high)
        equal = pending[firsts]
        found[pending] = equal
        rest = np.flatnonzero(goes_on)
        pending = pending[rest]
        before = equal[rest].astype(np.uint64)
        done += 2 * _LANE
    seen: dict[tuple[int, bytes], int] = {}
    for index, number in zip(pending.tolist(), before.tolist(), strict=True):
        start = int(starts[index]) + done
        found[index] = seen.setdefault((number, text[start : text.index(0, start)]), index)
    return found


def _cut_at_zero(lanes: Hashes) -> Bools:
    """Clear the bytes behind the first zero byte of each; gives whether there is none."""
    zeros = (lanes - _ONES) & ~lanes & _HIGHS
    zeros &= ~zeros + _ONE
    # The bits of the bytes below the one that has the bit; all if none has one.
    lanes &= (zeros >> np.uint64(_LANE - 1)) - _ONE
    none: Bools = zeros == 0
    return none
