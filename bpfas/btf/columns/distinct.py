"""Which rows of some columns are equal, exactly, in a time that is linear but for hostile input."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from bpfas.btf.columns.table import Hashes, Indices

_ODD = np.uint64(0x9E3779B97F4A7C15)
_HALF = np.uint64(32)
_FIRST_BITS = 16
_MORE_BITS = 2
_MAX_BITS = 24
_MAX_ROUNDS = 32
"""Rounds of looking for a free place; the few rows that are left are compared one by one."""


def mixed(values: Hashes) -> Hashes:
    """Hashes whose high and low bits depend on all bits of `values`; different values have different ones."""
    hashes = values ^ values >> _HALF
    hashes *= _ODD
    hashes ^= hashes >> _HALF
    hashes *= _ODD
    return hashes


def run_starts(values: Indices) -> Indices:
    """Where in `values` one begins that is not like the one before; they are some."""
    begins = np.empty(len(values), np.bool_)
    begins[0] = True
    np.not_equal(values[1:], values[:-1], out=begins[1:])
    return np.flatnonzero(begins)


def first_equals(*columns: Hashes) -> Indices:
    """For each row the index of the first row that is equal to it.

    Rows are put into a table by hash and compared with what is there. The table is small at first, so that it
    stays in the cache: mostly few rows are different.
    """
    count = len(columns[0])
    found = np.arange(count)
    hashes = columns[0] * _ODD
    for column in columns[1:]:
        hashes ^= hashes >> _HALF
        hashes += column
        hashes *= _ODD
    # Where several rows share a place, the last one that is put there stays: so begin with the last row.
    pending = np.arange(count - 1, -1, -1)
    compared = [column[::-1] for column in columns]
    hashes = hashes[::-1]
    bits = _FIRST_BITS
    for _ in range(_MAX_ROUNDS):
        slots = (hashes >> np.uint64(64 - bits)).astype(np.int64)
        places = np.empty(1 << bits, np.int64)
        places[slots] = pending
        holders = places[slots]
        equal = columns[0][holders] == compared[0]
        for column, own in zip(columns[1:], compared[1:], strict=True):
            equal &= column[holders] == own
        found[pending[equal]] = holders[equal]
        others = np.flatnonzero(~equal)
        if not len(others):
            return found
        pending = pending[others]
        compared = [own[others] for own in compared]
        hashes = mixed(hashes[others] + _ODD)
        bits = min(bits + _MORE_BITS, _MAX_BITS, max(_FIRST_BITS, len(others).bit_length() + 1))
    seen: dict[tuple[int, ...], int] = {}
    for row in pending[::-1].tolist():
        found[row] = seen.setdefault(tuple([int(column[row]) for column in columns]), row)
    return found
