"""Cuts a chunk of text into lines, and each line into its outline and its runs of digits, by numpy.

What is between quotes is taken out first, so that digits in strings are no runs and lines with other strings have
the same outline. Places are therefore told by line; where lines begin in the chunk is kept beside.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    Array = np.ndarray[Any, np.dtype[Any]]

# A string that is not closed goes on to the end of its line, or each quote in it would be tried for a beginning.
_STRING = re.compile(r'"((?:\\[^\n]|[^"\\\n])*+)("|\\?)')
_BLANKS = " \t\r\f\v"
_WORD = np.zeros(256, bool)
_WORD[[*range(48, 58), *range(65, 91), *range(97, 123), *b"_.$"]] = True
_HEX = np.zeros(256, bool)
_HEX[[*range(48, 58), *range(65, 71), *range(97, 103)]] = True
_HEX_VALUE = np.zeros(256, np.uint64)
for _digit in b"0123456789abcdefABCDEF":
    _HEX_VALUE[_digit] = int(chr(_digit), 16)


@dataclass(slots=True)
class Lines:
    """A chunk cut up: per line its outline, its place in the chunk and its first run; per run its number.

    `text` is the chunk without what is between quotes, `strings` that, and `line_starts` where the lines begin in
    `text`; `run_starts` and `run_ends` are places in it too. `starts` and `ends` are places in the chunk.
    """

    text: str
    strings: list[str]
    outlines: list[bytes]
    starts: Array
    ends: Array
    line_starts: Array
    line_ends: Array
    first_run: Array
    run_starts: Array
    run_ends: Array
    values: Array
    is_unusual: Array

    def values_of(self, index: int, runs: tuple[int, ...]) -> tuple[int, ...]:
        """The numbers of some of a line's runs."""
        first = int(self.first_run[index])
        return tuple(int(self.values[first + run]) for run in runs)

    def text_of(self, index: int) -> str:
        """A line without blanks around it, and without what is between quotes."""
        return self.text[self.line_starts[index] : self.line_ends[index]].strip(_BLANKS)


def cut_lines(text: str) -> Lines:
    """Find lines, outlines and runs of a text, which must be ASCII and not empty."""
    newlines = np.flatnonzero(np.frombuffer(text.encode("ascii"), np.uint8) == 10)
    starts, ends = np.concatenate(([0], newlines + 1)), np.append(newlines, len(text))
    strings: list[str] = []
    # Blanks at a line's end, where comments have been, say nothing.
    if any(f"{blank}\n" in text for blank in _BLANKS) or text[-1] in _BLANKS:
        text = "\n".join([line.rstrip(_BLANKS) for line in text.split("\n")])
    if '"' in text:
        found = _STRING.findall(text)
        strings = [string for string, end in found if end == '"']
        if len(strings) == len(found):
            text = _STRING.sub('""', text)
        else:
            # Lines with an apostrophe go the plain way, which reports what is wrong.
            text = _STRING.sub(lambda match: '""' if match[2] == '"' else "'", text)
    chunk = text.encode("ascii")
    codes = np.frombuffer(chunk, np.uint8)
    is_run = (codes - np.uint8(48)) < 10
    if b"0x" in chunk or b"0X" in chunk:
        _mark_hexadecimal(codes, is_run)
    edges = np.flatnonzero(np.diff(is_run, prepend=False, append=False))
    run_starts, run_ends = edges[::2], edges[1::2]
    kept_mask = ~is_run
    kept_mask[run_starts] = True
    # A blank before a blank says nothing either.
    blank = (codes == 32) | (codes == 9)
    kept_mask[:-1] &= ~(blank[:-1] & blank[1:])
    kept = codes.copy()
    kept[run_starts] = 48
    newlines = np.flatnonzero(codes == 10)
    line_starts = np.concatenate(([0], newlines + 1))
    values, unusual = _numbers(codes, run_starts, run_ends)
    return Lines(
        text,
        strings,
        kept[kept_mask].tobytes().split(b"\n"),
        starts,
        ends,
        line_starts,
        np.append(newlines, len(codes)),
        np.searchsorted(run_starts, line_starts),
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
