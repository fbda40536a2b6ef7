"""The templates of a source as columns of numbers, and the bytes of many lines computed from them by numpy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bpfas.asm.batch_shape import FIELDS_AT_MOST, MAX_SIZE

if TYPE_CHECKING:
    from bpfas.asm.batch_lines import Lines
    from bpfas.asm.batch_shape import BatchTemplate
    from bpfas.elf.constants import ByteOrder

    Array = np.ndarray[Any, np.dtype[Any]]

PLAIN, EMPTY = 0, 1
"""Numbers of the templates that every table begins with: lines that go the plain way, and blank ones."""

_Row = tuple[list[int], list[list[int]], list[int]]
"""Of a template: size, words, does more; for each field run its columns; equal runs."""

_UNUSED = [-1, 0, 0, 0, 0, 0, 0, 0]


class BatchTables:
    """The templates as columns, for numpy to look fields up by template number."""

    def __init__(self, order: ByteOrder) -> None:
        self.order = order
        self.templates: list[BatchTemplate | None] = [None, None]
        self._rows = [_row(None), _row(None)]
        self._arrays: tuple[Array, Array, Array] | None = None

    def add(self, template: BatchTemplate | None) -> int:
        """The number of a new template."""
        if template is None:
            return PLAIN
        self.templates.append(template)
        self._rows.append(_row(template))
        self._arrays = None
        return len(self.templates) - 1

    def counts(self, numbers: Array) -> tuple[Array, Array]:
        """For lines by template number: how many bytes they have, and whether they do more than that."""
        first = self._columns()[0][numbers]
        return first[:, 0], (numbers == PLAIN) | (first[:, 1] != 0)

    def _columns(self) -> tuple[Array, Array, Array]:
        if self._arrays is None:
            first, runs, equal = zip(*self._rows, strict=True)
            self._arrays = (np.array(first, np.int64), np.array(runs, np.int64), np.array(equal, np.int64))
        return self._arrays

    def encode(self, lines: Lines, numbers: Array) -> tuple[Array, Array]:
        """For each line 16 bytes, of which those count that its template has; and which must go the plain way."""
        first, runs, equal = self._columns()
        words = first[numbers, 2:].view(np.uint64)
        is_plain = numbers == PLAIN
        for column in range(FIELDS_AT_MOST if len(lines.values) else 0):
            used = np.flatnonzero(runs[:, column, 0][numbers] >= 0)
            run, sign, low, high, word, shift, width, skip = runs[numbers[used], column].T
            at = lines.first_run[used] + run
            value = lines.values[at] * sign
            is_plain[used] |= (value < low) | (value > high) | lines.is_unusual[at]
            mask = (~np.uint64(0)) >> (64 - width).astype(np.uint64)
            bits = (value >> skip).view(np.uint64) & mask
            words[used, word] |= bits << shift.astype(np.uint64)
        pair = equal[numbers]
        used = np.flatnonzero(pair[:, 0] >= 0)
        at = lines.first_run[used]
        one, other = at + pair[used, 0], at + pair[used, 1]
        is_plain[used] |= (lines.values[one] != lines.values[other]) | lines.is_unusual[other]
        return words.astype(f"{self.order.value}u8").view(np.uint8).reshape(-1, MAX_SIZE), is_plain


def _row(template: BatchTemplate | None) -> _Row:
    runs = [_UNUSED] * FIELDS_AT_MOST
    if template is None:
        return [0, 0, 0, 0], runs, [-1, -1]
    for index, run in enumerate(template.runs):
        # Runs that need all 64 bits go the plain way, so bounds beyond 63 bits never matter here.
        low, high = max(run.low, -(1 << 62)), min(run.high, 1 << 62)
        runs[index] = [run.run, run.sign, low, high, run.word, run.shift, run.width, run.skip]
    does_more = any(
        part is not None for part in (template.symbol, template.label, template.string_end, template.slots)
    )
    words = [word - (1 << 64) if word >> 63 else word for word in template.words]
    equal = list(template.equal_runs[0]) if template.equal_runs else [-1, -1]
    return [template.size, int(does_more), *words], runs, equal
