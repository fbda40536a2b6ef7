"""Reads large sources many lines at a time: numpy finds the lines' outlines and encodes what is known of them.

The text is taken in chunks. In each, digits are collapsed to give every line its outline, a dictionary turns
outlines into templates (learnt by `bpfas.asm.batch_shape`), and the fields of all instructions are computed as
arrays. What remains is a walk over the lines that do more than encode: labels, symbols, and the lines that go the
plain way, which are handed to the assembler in their place. Errors come from there too: a line with anything
out of order is taken out of the batch and read plainly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bpfas.asm.batch_shape import GUARD_BITS, BatchTemplate, NameText, SymbolUse, learn
from bpfas.asm.fixup import JUMP16, Fixup
from bpfas.asm.statement import Node, Statement
from bpfas.diag import Source, Span
from bpfas.elf.constants import ByteOrder, SectionType

if TYPE_CHECKING:
    from bpfas.asm.assembler import Assembler
    from bpfas.asm.symbol import AssemblySymbol

    Array = np.ndarray[Any, np.dtype[Any]]

CHUNK_SIZE = 1 << 21
"""Characters of a chunk, up to the end of a line."""

_WORD_SIZE = 8

_SHIFTS = {
    ByteOrder.LITTLE: {"opcode": 0, "dst": 8, "src": 12, "off": 16, "imm": 32, "imm_low": 32, "imm_high": 48},
    ByteOrder.BIG: {"opcode": 56, "dst": 52, "src": 48, "off": 32, "imm": 0, "imm_low": 0, "imm_high": 16},
}
"""Where each field lies in the 64-bit word of an instruction slot."""

_WIDTHS = {"dst": 4, "src": 4, "off": 16, "imm": 32, "imm_low": 16, "imm_high": 16}

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

_PLAIN, _EMPTY = 0, 1
"""Numbers of the templates that every table begins with: lines that go the plain way, and blank ones."""

_RUNS_AT_MOST = 4


@dataclass(frozen=True, slots=True)
class LineOrigin:
    """Where the operands of a line that was read in a batch stand; found out when an error asks."""

    reader: BatchReader
    start: int
    end: int
    batch: BatchTemplate

    def span_of(self, node: Node | None) -> Span:
        """The place of `node` in the line."""
        text = self.reader.blanked[self.start : self.end]
        return Statement(self.batch.template, [], self.reader.source, self.start, text).span_of(node)


_Row = tuple[list[int], list[list[int]], list[int]]
"""Of a template: words, first word, does more; for each run its index, sign, shift, width, bounds; equal runs."""


class _Tables:
    """The templates as columns, for numpy to look fields up by template number."""

    def __init__(self, order: ByteOrder) -> None:
        self.shifts = _SHIFTS[order]
        self.templates: list[BatchTemplate | None] = [None, None]
        self._rows = [self._row(None), self._row(None)]
        self._arrays: tuple[Array, Array, Array] | None = None

    def add(self, template: BatchTemplate | None) -> int:
        """The number of a new template."""
        if template is None or len(template.runs) > _RUNS_AT_MOST or len(template.equal_runs) > 1:
            return _PLAIN
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
        words = row.size // _WORD_SIZE
        does_more = template.symbol is not None or template.label is not None
        return [words, word - (1 << 64) if word >> 63 else word, int(does_more)], runs, equal

    def counts(self, numbers: Array) -> tuple[Array, Array]:
        """For lines by template number: how many words they encode to, and whether they do more than that."""
        first = self._columns()[0][numbers]
        return first[:, 0], (numbers == _PLAIN) | (first[:, 2] != 0)

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
        is_plain = numbers == _PLAIN
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


class BatchReader:
    """Reads one source into an assembly, many lines at a time."""

    def __init__(self, assembler: Assembler, source: Source, blanked: str) -> None:
        """`blanked` is the text of `source` with blanks in place of comments; it must be ASCII."""
        self.assembler = assembler
        self.assembly = assembler.assembly
        self.source = source
        self.blanked = blanked
        self._tables = _Tables(self.assembly.order)
        # Outlines by number: a template's, or a negative one that leads to the outlines with guards.
        self._numbers: dict[bytes, int] = {b"": _EMPTY}
        self._guarded: list[_Guarded] = []

    def read(self) -> None:
        """Carry out all statements of the source."""
        start = 0
        while start < len(self.blanked):
            end = self.blanked.find("\n", start + CHUNK_SIZE)
            end = len(self.blanked) if end < 0 else end
            if self.assembly.section.sh_type == SectionType.NOBITS:
                self.read_plainly(start, end)
            else:
                self._read_chunk(start, cut_lines(self.blanked[start:end]))
            start = end + 1

    def template(self, number: int) -> BatchTemplate | None:
        """The template of a number; None for lines that go the plain way."""
        return self._tables.templates[number]

    def read_plainly(self, start: int, end: int) -> None:
        """Have the statements at `start` to `end` of the source read one by one."""
        self.assembler.read_lines(self.source, self.blanked, start, end)

    def _read_chunk(self, offset: int, lines: Lines) -> None:
        numbers = self._template_numbers(lines)
        words, is_plain = self._tables.encode(lines, numbers)
        numbers = np.where(is_plain, _PLAIN, numbers)
        counts, does_more = self._tables.counts(numbers)
        places = np.concatenate(([0], np.cumsum(counts)))
        flat = np.zeros(places[-1], np.uint64)
        for word in (0, 1):
            having = np.flatnonzero(counts > word)
            flat[places[having] + word] = words[word][having]
        data = flat.astype(f"{self.assembly.order.value}u8").tobytes()
        _Walk(self, offset, lines, numbers.tolist(), (places * _WORD_SIZE).tolist(), data).run(
            np.flatnonzero(does_more).tolist()
        )

    def _template_numbers(self, lines: Lines) -> Array:
        """For each line the number of its template; lines of new outlines are learnt from."""
        numbers = list(map(self._numbers.get, lines.outlines))
        if None in numbers:
            for index, number in enumerate(numbers):
                if number is None:
                    numbers[index] = self._number_of_new(lines, index)
        result = np.array(numbers, np.int64)
        members = np.flatnonzero(result < 0)
        members = members[np.argsort(result[members], kind="stable")]
        _, first = np.unique(result[members], return_index=True)
        for group in np.split(members, first[1:]):
            if len(group):
                guarded = self._guarded[-int(result[group[0]]) - 1]
                result[group] = self._choose_by_guards(guarded, group, lines)
        return result

    def _number_of_new(self, lines: Lines, index: int) -> int:
        outline = lines.outlines[index]
        number = self._numbers.get(outline)
        if number is None:
            guards, template = self._learn(lines, index)
            number = self._tables.add(template)
            if guards:
                self._guarded.append(_Guarded(guards, {lines.values_of(index, guards): number}))
                number = -len(self._guarded)
            self._numbers[outline] = number
        return number

    def _learn(self, lines: Lines, index: int) -> tuple[tuple[int, ...], BatchTemplate | None]:
        text = lines.text[lines.starts[index] : lines.ends[index]].strip()
        if any(mark in text for mark in ";`\"'"):
            return (), None
        return learn(text, self.assembler.parser, self.assembler.encoder)

    def _choose_by_guards(self, guarded: _Guarded, members: Array, lines: Lines) -> Array:
        """The template numbers of lines of one outline that has several templates."""
        key = np.zeros(len(members), np.int64)
        fits = np.ones(len(members), bool)
        for guard in guarded.guards:
            at = lines.first_run[members] + guard
            fits &= (lines.values[at] < 1 << GUARD_BITS) & ~lines.is_unusual[at]
            key = key << GUARD_BITS | np.where(fits, lines.values[at], 0)
        _, where, inverse = np.unique(key, return_index=True, return_inverse=True)
        chosen = [self._number_by_guards(guarded, lines, index) for index in members[where].tolist()]
        return np.where(fits, np.array(chosen)[inverse], _PLAIN)

    def _number_by_guards(self, guarded: _Guarded, lines: Lines, index: int) -> int:
        values = lines.values_of(index, guarded.guards)
        number = guarded.variants.get(values)
        if number is None:
            guards, template = self._learn(lines, index)
            number = self._tables.add(template) if guards == guarded.guards else _PLAIN
            guarded.variants[values] = number
        return number


@dataclass(frozen=True, slots=True)
class _Guarded:
    """An outline whose template depends on some of its runs: which, and the template numbers by their values."""

    guards: tuple[int, ...]
    variants: dict[tuple[int, ...], int]


class _Walk:
    """Puts a chunk's bytes into their sections, and does what lines do besides."""

    def __init__(
        self, reader: BatchReader, offset: int, lines: Lines, numbers: list[int], places: list[int], data: bytes
    ) -> None:
        """`places` are the offsets in `data` of the lines' bytes, `offset` is the chunk's in the source."""
        self.reader, self.assembly = reader, reader.assembly
        self.offset, self.numbers, self.places, self.data = offset, numbers, places, data
        self.text = lines.text
        self.starts, self.ends, self.first_run = (
            lines.starts.tolist(),
            lines.ends.tolist(),
            lines.first_run.tolist(),
        )
        self.run_starts, self.run_ends = lines.run_starts.tolist(), lines.run_ends.tolist()
        self.done = 0
        # What a place in `data` is more in the current section.
        self.shift = self.assembly.section.size

    def run(self, indices: list[int]) -> None:
        """Walk over the lines that do more than encode."""
        for index in indices:
            template = self.reader.template(self.numbers[index])
            if template is None or not self._carry_out(template, index):
                self._read_plainly(index)
                if self.assembly.section.sh_type == SectionType.NOBITS:
                    # Instructions there are errors, which the plain way reports.
                    self.reader.read_plainly(self.offset + self.ends[index], self.offset + len(self.text))
                    return
        self._flush(len(self.data))

    def _read_plainly(self, index: int) -> None:
        """Have a line read plainly, in place of what the batch has made of it."""
        self._flush(self.places[index])
        self.reader.read_plainly(self.offset + self.starts[index], self.offset + self.ends[index])
        self.done = self.places[index + 1]
        self.shift = self.assembly.section.size - self.done

    def _flush(self, place: int) -> None:
        if place > self.done:
            self.assembly.append(self.data[self.done : place])
        self.done = place

    def _name(self, name: NameText, index: int) -> str:
        if name.constant is not None:
            return name.constant
        run = self.first_run[index]
        return self.text[
            self.run_starts[run + name.first] - name.before : self.run_ends[run + name.last] + name.after
        ]

    def _carry_out(self, template: BatchTemplate, index: int) -> bool:
        """Define the line's label and leave its fixup; False, with nothing done, where the plain way must."""
        label = None if template.label is None else self._name(template.label, index)
        if label is not None and not template.label_is_numeric:
            self.assembly.symbols.named(label)  # symbols come in the order in which they are named
        fixup = None
        if template.symbol is not None:
            fixup = self._fixup(template, template.symbol, index)
            if fixup is None:
                return False
        if label is not None and not self._define(template, label, index):
            return False
        if fixup is not None:
            self.assembly.section.fixups.append(fixup)
            if fixup.jump is not None:
                self.assembly.jump_count += 1
        return True

    def _define(self, template: BatchTemplate, name: str, index: int) -> bool:
        """Define a label; False where that is an error."""
        symbols = self.assembly.symbols
        if template.label_is_numeric:
            if not name.isdigit():  # 0x1f: is none, though it has the outline of 1:
                return False
            symbol = symbols.next_numeric(name)
        else:
            symbol = symbols.named(name)
            if symbol.is_defined:
                return False
            start = self.offset + self.text.index(name, self.starts[index])
            symbol.defined_at = Span(self.reader.source, start, start + len(name))
        symbol.section, symbol.offset = self.assembly.section, self.places[index] + self.shift
        return True

    def _fixup(self, template: BatchTemplate, use: SymbolUse, index: int) -> Fixup | None:
        """The fixup for the symbol of an instruction; None where that is a number by now, too far, or an error."""
        name = self._name(use.name, index)
        assembly = self.assembly
        symbol: AssemblySymbol | None
        if use.local is None:
            symbol = assembly.symbols.named(name)
        else:
            symbol = assembly.symbols.numeric(name, is_forward=use.local.is_forward)
        if symbol is None or symbol.expression is not None:
            return None
        jump = None
        if use.kind is JUMP16 and assembly.long_jumps is not None:
            jump = assembly.jump_count
            if jump in assembly.long_jumps:
                return None
        start, end = self.offset + self.starts[index], self.offset + self.ends[index]
        origin = LineOrigin(self.reader, start, end, template)
        return Fixup(use.kind, self.places[index] + self.shift, symbol, origin, use.node, jump)
