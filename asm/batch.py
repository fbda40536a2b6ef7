"""Reads large sources many lines at a time: numpy finds the lines' outlines and encodes what is known of them.

The text is taken in chunks. In each, digits are collapsed to give every line its outline (`batch_lines`), a
dictionary turns outlines into templates, learnt from their first lines (`batch_shape`), and the fields of all
instructions are computed as arrays (`batch_tables`). What remains is a walk over the lines that do more than
encode: labels, symbols, and the lines that go the plain way, which are handed to the assembler in their place.
Errors come from there too: a line with anything out of order is taken out of the batch and read plainly.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bpfas.asm.batch_lines import Lines, cut_lines
from bpfas.asm.batch_shape import GUARD_BITS, BatchTemplate, NameText, SymbolUse, learn
from bpfas.asm.batch_tables import EMPTY, PLAIN, BatchTables
from bpfas.asm.fixup import JUMP16, Fixup
from bpfas.asm.statement import Node, Statement
from bpfas.diag import Span
from bpfas.isa import SLOT_SIZE

if TYPE_CHECKING:
    from bpfas.asm.assembler import Assembler
    from bpfas.asm.feed import Feed
    from bpfas.asm.symbol import AssemblySymbol

    Array = np.ndarray[Any, np.dtype[Any]]

CHUNK_SIZE = 1 << 21
"""Characters of a chunk, up to the end of a line."""


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


class BatchReader:
    """Reads one source into an assembly, many lines at a time."""

    def __init__(self, assembler: Assembler, feed: Feed) -> None:
        """`feed` must have an ASCII text."""
        self.assembler = assembler
        self.assembly = assembler.assembly
        self.feed = feed
        self.source = feed.source
        self.blanked = feed.text
        self._tables = BatchTables(self.assembly.order)
        # Outlines by number: a template's, or a negative one that leads to the outlines with guards.
        self._numbers: dict[bytes, int] = {b"": EMPTY}
        self._guarded: list[_Guarded] = []

    def read(self) -> None:
        """Carry out all statements of the source."""
        start = 0
        while start < len(self.blanked):
            end = self.blanked.find("\n", start + CHUNK_SIZE)
            end = len(self.blanked) if end < 0 else end
            if self.assembly.section.is_nobits or self.assembler.reader.has_reserved_macro:
                read_to = self.read_plainly(start, end)
            else:
                read_to = self._read_chunk(start, cut_lines(self.blanked[start:end]))
            start = max(read_to, end + 1)

    def template(self, number: int) -> BatchTemplate | None:
        """The template of a number; None for lines that go the plain way."""
        return self._tables.templates[number]

    def read_plainly(self, start: int, end: int) -> int:
        """Have the statements at `start` to `end` of the source read one by one; where reading goes on."""
        return self.assembler.reader.read_lines(self.feed, start, end)

    def _read_chunk(self, offset: int, lines: Lines) -> int:
        """Carry out the lines of a chunk, which begins at `offset` of the text; where reading goes on."""
        numbers = self._template_numbers(lines)
        words, is_plain = self._tables.encode(lines, numbers)
        numbers = np.where(is_plain, PLAIN, numbers)
        counts, does_more = self._tables.counts(numbers)
        places = np.concatenate(([0], np.cumsum(counts)))
        flat = np.zeros(places[-1], np.uint64)
        for word in (0, 1):
            having = np.flatnonzero(counts > word)
            flat[places[having] + word] = words[word][having]
        data = flat.astype(f"{self.assembly.order.value}u8").tobytes()
        walk = _Walk(self, offset, lines, numbers.tolist(), (places * SLOT_SIZE).tolist(), data)
        return walk.run(np.flatnonzero(does_more).tolist())

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
        return np.where(fits, np.array(chosen)[inverse], PLAIN)

    def _number_by_guards(self, guarded: _Guarded, lines: Lines, index: int) -> int:
        values = lines.values_of(index, guarded.guards)
        number = guarded.variants.get(values)
        if number is None:
            guards, template = self._learn(lines, index)
            number = self._tables.add(template) if guards == guarded.guards else PLAIN
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
        self.starts: list[int] = lines.starts.tolist()
        self.ends: list[int] = lines.ends.tolist()
        self.first_run: list[int] = lines.first_run.tolist()
        self.run_starts, self.run_ends = lines.run_starts.tolist(), lines.run_ends.tolist()
        self.done = 0
        # What a place in `data` is more in the current section.
        self.shift = self.assembly.subsection.size

    def run(self, indices: list[int]) -> int:
        """Walk over the lines that do more than encode; the offset in the text at which reading goes on."""
        first_unread = 0
        for index in indices:
            if index < first_unread:
                continue
            template = self.reader.template(self.numbers[index])
            if template is None or not self._carry_out(template, index):
                read_to = self._read_plainly(index)
                if self._cannot_go_on():
                    end = self.offset + len(self.text)
                    return read_to if read_to >= end else self.reader.read_plainly(read_to, end)
                # What the line begins may have its end further on, as a macro's definition does.
                first_unread = bisect_left(self.starts, read_to - self.offset)
                if first_unread == len(self.starts):
                    return read_to
                self.done = self.places[first_unread]
                self.shift = self.assembly.subsection.size - self.done
        self._flush(len(self.data))
        return self.offset + len(self.text)

    def _cannot_go_on(self) -> bool:
        """Whether the batch may mean something else now; the plain way knows what, and reports what is wrong."""
        return self.assembly.section.is_nobits or self.reader.assembler.reader.has_reserved_macro

    def _read_plainly(self, index: int) -> int:
        """Have a line read plainly, in place of what the batch has made of it; where reading goes on.

        That is the end of a line, or behind the chunk.
        """
        self._flush(self.places[index])
        read_to = self.starts[index]
        while read_to < self.ends[index]:
            read_to = self.reader.read_plainly(self.offset + read_to, self.offset + self.ends[index]) - self.offset
            index = bisect_right(self.starts, read_to) - 1
        return self.offset + read_to

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
            self.assembly.subsection.fixups.append(fixup)
        return True

    def _define(self, template: BatchTemplate, name: str, index: int) -> bool:
        """Define a label; False where that is an error."""
        symbols = self.assembly.symbols
        if template.label_is_numeric:
            if not name.isdigit():  # 0x1f: is none, though it has the outline of 1:
                return False
            numeric = symbols.next_numeric(name)
            if numeric is None:
                return False
            symbol = numeric
        else:
            symbol = symbols.named(name)
            if symbol.is_defined:
                return False
            if not symbol.is_temporary:
                symbols.end_dollar_labels()
            start = self.offset + self.text.index(name, self.starts[index])
            symbol.defined_at = Span(self.reader.source, start, start + len(name))
        subsection = self.assembly.subsection
        symbol.subsection, symbol.offset = subsection, self.places[index] + self.shift
        symbol.after = len(subsection.fragments)
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
        start, end = self.offset + self.starts[index], self.offset + self.ends[index]
        origin = LineOrigin(self.reader, start, end, template)
        may_be_lengthened = use.kind is JUMP16 and assembly.lengthens_jumps
        after = len(assembly.subsection.fragments)
        offset = self.places[index] + self.shift
        return Fixup(use.kind, offset, symbol, origin, use.node, after, may_be_lengthened)
