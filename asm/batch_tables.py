"""The templates of a source as columns of numbers, and the fields of many lines computed from them by numpy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bpfas.elf.constants import ByteOrder
from bpfas.isa import SLOT_SIZE

if TYPE_CHECKING:
    from bpfas.asm.batch_lines import Lines
    from bpfas.asm.batch_shape import BatchTemplate

    Array = np.ndarray[Any, np.dtype[Any]]

_SHIFTS = {
    ByteOrder.LITTLE: {"opcode": 0, "dst": 8, "src": 12, "off": 16, "imm": 32, "imm_low": 32, "imm_high": 48},
    ByteOrder.BIG: {"opcode": 56, "dst": 52, "src": 48, "off": 32, "imm": 0, "imm_low": 0, "imm_high": 16},
}
"""Where each field lies in the 64-bit word of an instruction slot."""

_WIDTHS = {"dst": 4, "src": 4, "off": 16, "imm": 32, "imm_low": 16, "imm_high": 16}

PLAIN, EMPTY = 0, 1
"""Numbers of the templates that every table begins with: lines that go the plain way, and blank ones."""

_RUNS_AT_MOST = 4


_Row = tuple[list[int], list[list[int]], list[int]]
"""Of a template: words, first word, does more; for each run its index, sign, shift, width, bounds; equal runs."""


class BatchTables:
    """The templates as columns, for numpy to look fields up by template number."""

    def __init__(self, order: ByteOrder) -> None:
        self.shifts = _SHIFTS[order]
        self.templates: list[BatchTemplate | None] = [None, None]
        self._rows = [self._row(None), self._row(None)]
        self._arrays: tuple[Array, Array, Array] | None = None

    def add(self, template: BatchTemplate | None) -> int:
        """The number of a new template."""
        if template is None or len(template.runs) > _RUNS_AT_MOST or len(template.equal_runs) > 1:
            return PLAIN
        self.templates.append(template)
        self._rows.append(self._row(template))
        self._arrays = None
        return len(self.templates) - 1

    def _row(self, template: BatchTemplate | None) -> _Row:
        runs = [[-1, 0, 0, 0, 0, 0] for _ in range(_RUNS_AT_MOST)]
        equal = [-1, -1]
        if template is None or template.row is None:
            return [0, 0, int(template is not None)], runs, equal
        row = template.row
        word = row.code << self.shifts["opcode"]
        for name, value in {**template.constants, **row.fixed}.items():
            word |= (value & (1 << _WIDTHS[name]) - 1) << self.shifts[name]
        for index, run in enumerate(template.runs):
            kind = run.kind
            low, high = kind.low, max(kind.high, kind.unsigned_high)
            width = 64 if row.is_wide and kind.field == "imm" else _WIDTHS[kind.field]
            # Runs that need all 64 bits go the plain way, so bounds beyond 63 bits never matter here.
            runs[index] = [
                run.run,
                run.sign,
                self.shifts[kind.field],
                width,
                max(low, -(1 << 62)),
                min(high, 1 << 62),
            ]
        if template.equal_runs:
            equal = list(template.equal_runs[0])
        words = row.size // SLOT_SIZE
        does_more = template.symbol is not None or template.label is not None
        return [words, word - (1 << 64) if word >> 63 else word, int(does_more)], runs, equal

    def counts(self, numbers: Array) -> tuple[Array, Array]:
        """For lines by template number: how many words they encode to, and whether they do more than that."""
        first = self._columns()[0][numbers]
        return first[:, 0], (numbers == PLAIN) | (first[:, 2] != 0)

    def _columns(self) -> tuple[Array, Array, Array]:
        if self._arrays is None:
            first, runs, equal = zip(*self._rows, strict=True)
            self._arrays = (np.array(first, np.int64), np.array(runs, np.int64), np.array(equal, np.int64))
        return self._arrays

    def encode(self, lines: Lines, numbers: Array) -> tuple[tuple[Array, Array], Array]:
        """The first and the second word of every line, and which lines must go the plain way after all."""
        first, runs, equal = self._columns()
        words = first[numbers, 1].view(np.uint64)
        second = np.zeros(len(numbers), np.uint64)
        is_plain = numbers == PLAIN
        if not len(lines.values):
            return (words, second), is_plain
        for column in range(_RUNS_AT_MOST):
            fields = runs[numbers, column]
            used = np.flatnonzero(fields[:, 0] >= 0)
            run, sign, shift, width, low, high = fields[used].T
            at = lines.first_run[used] + run
            value = lines.values[at] * sign
            is_plain[used] |= (value < low) | (value > high) | lines.is_unusual[at]
            bits = value.view(np.uint64)
            is_wide = width > 32
            mask = (np.uint64(1) << np.minimum(width, 32).astype(np.uint64)) - np.uint64(1)
            words[used] |= (bits & mask) << shift.astype(np.uint64)
            second[used[is_wide]] = bits[is_wide] >> np.uint64(32) << shift[is_wide].astype(np.uint64)
        pair = equal[numbers]
        used = np.flatnonzero(pair[:, 0] >= 0)
        at = lines.first_run[used]
        one, other = at + pair[used, 0], at + pair[used, 1]
        is_plain[used] |= (lines.values[one] != lines.values[other]) | lines.is_unusual[other]
        return (words, second), is_plain
