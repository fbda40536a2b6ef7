"""Cuts a chunk of text into lines, and each line into its outline and its runs of digits, by numpy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    Array = np.ndarray[Any, np.dtype[Any]]

_DIGIT = np.zeros(256, bool)
_DIGIT[48:58] = True
_HEX = _DIGIT.copy()
_HEX[[*range(65, 71), *range(97, 103)]] = True
_WORD = np.zeros(256, bool)
_WORD[[*range(48, 58), *range(65, 91), *range(97, 123), *b"_.$"]] = True
_BLANK = np.zeros(256, bool)
_BLANK[list(b" \t\r\f\v")] = True
_BLANK_OR_NEWLINE = _BLANK.copy()
_BLANK_OR_NEWLINE[10] = True
_HEX_VALUE = np.zeros(256, np.uint64)
for _digit in b"0123456789abcdefABCDEF":
    _HEX_VALUE[_digit] = int(chr(_digit), 16)


@dataclass(slots=True)
class Lines:
    """A chunk cut up: per line its outline, its place and its first run; per run its place and its number."""

    text: str
    outlines: list[bytes]
    starts: Array
    ends: Array
    first_run: Array
    run_starts: Array
    run_ends: Array
    values: Array
    is_unusual: Array

    def values_of(self, index: int, runs: tuple[int, ...]) -> tuple[int, ...]:
        """The numbers of some of a line's runs."""
        first = int(self.first_run[index])
        return tuple(int(self.values[first + run]) for run in runs)


def cut_lines(text: str) -> Lines:
    """Find lines, outlines and runs of a text, which must be ASCII and not empty."""
    chunk = text.encode("ascii")
    codes = np.frombuffer(chunk, np.uint8)
    is_run = _DIGIT[codes]
    if b"0x" in chunk or b"0X" in chunk:
        _mark_hexadecimal(codes, is_run)
    before = np.empty_like(is_run)
    before[0], before[1:] = False, is_run[:-1]
    begins = is_run & ~before
    run_starts = np.flatnonzero(begins)
    run_ends = np.flatnonzero(before & ~is_run)
    if len(codes) and is_run[-1]:
        run_ends = np.append(run_ends, len(codes))
    # Blanks before a blank or at a line's end say nothing.
    blank = _BLANK[codes]
    blank[:-1] &= _BLANK_OR_NEWLINE[codes[1:]]
    kept = np.where(begins, np.uint8(48), codes)[(begins | ~is_run) & ~blank]
    newlines = np.flatnonzero(codes == 10)
    starts = np.concatenate(([0], newlines + 1))
    ends = np.append(newlines, len(codes))
    values, unusual = _numbers(codes, run_starts, run_ends)
    return Lines(
        text,
        kept.tobytes().split(b"\n"),
        starts,
        ends,
        np.searchsorted(run_starts, starts),
        run_starts,
        run_ends,
        values,
        unusual,
    )


def _mark_hexadecimal(codes: Array, is_run: Array) -> None:
    """Add the digits of numbers such as 0x1f to the runs."""
    marks = np.flatnonzero((codes == 120) | (codes == 88))
    marks = marks[(marks > 0) & (marks + 1 < len(codes))]
    marks = marks[(codes[marks - 1] == 48) & _HEX[codes[marks + 1]]]
    marks = marks[(marks < 2) | ~_WORD[codes[marks - 2]]]
    if not len(marks):
        return
    others = np.append(np.flatnonzero(~_HEX[codes]), len(codes))
    ends = others[np.searchsorted(others, marks + 1)]
    change = np.zeros(len(codes) + 1, np.int8)
    change[marks] = 1
    change[ends] -= 1
    is_run |= np.cumsum(change[:-1], dtype=np.int8) > 0


def _numbers(codes: Array, starts: Array, ends: Array) -> tuple[Array, Array]:
    """The runs' numbers, and which of them are unusual: octal, or too large for this arithmetic."""
    lengths = ends - starts
    values = np.zeros(len(starts), np.uint64)
    if not len(starts):
        return values.astype(np.int64), values.astype(bool)
    second = codes[np.minimum(starts + 1, len(codes) - 1)]
    is_hexadecimal = (lengths > 2) & ((second == 120) | (second == 88))
    begins_with_0 = (codes[starts] == 48) & (lengths > 1)
    unusual = (begins_with_0 & ~is_hexadecimal) | (lengths > 17)
    for base, chosen, skip in ((10, ~is_hexadecimal, 0), (16, is_hexadecimal, 2)):
        index = np.flatnonzero(chosen & ~unusual)
        at, end = starts[index] + skip, ends[index]
        while len(index):
            values[index] = values[index] * np.uint64(base) + _HEX_VALUE[codes[at]]
            at = at + 1
            more = at < end
            index, at, end = index[more], at[more], end[more]
    unusual |= values >> np.uint64(62) != 0
    return values.astype(np.int64), unusual
