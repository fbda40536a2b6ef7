"""Reads large sources many lines at a time: numpy finds the lines' outlines and encodes what is known of them.

The text is taken in chunks. In each, digits are collapsed to give every line its outline (`batch_lines`), a
dictionary turns outlines into templates, learnt from their first lines (`batch_shape`), and the bytes of all lines
are computed as arrays (`batch_tables`). What remains is a walk over the lines that do more than that: labels,
symbols, strings, and the lines that go the plain way, which are handed to the reader in their place. Errors come
from there too: a line with anything out of order is taken out of the batch and read plainly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bpfas.asm.batch_lines import Lines, cut_lines
from bpfas.asm.batch_shape import GUARD_BITS, MAX_SIZE, BatchTemplate, NameText, learn
from bpfas.asm.batch_tables import EMPTY, PLAIN, BatchTables
from bpfas.asm.fixup import JUMP16
from bpfas.asm.fixup_group import FixupGroup
from bpfas.asm.statement import Label, Node, Statement, Template
from bpfas.asm.strings import string_bytes

if TYPE_CHECKING:
    from bpfas.asm.assembler import Assembler
    from bpfas.asm.feed import Feed
    from bpfas.asm.fixup import FixupKind
    from bpfas.asm.symbol import AssemblySymbol
    from bpfas.diag import Span

    Array = np.ndarray[Any, np.dtype[Any]]

CHUNK_SIZE = 1 << 18
"""Characters of a chunk, up to the end of a line; more would not fit the processor's caches."""

LEARNS_FROM_SECOND_LINE = True
"""Whether the first line of an outline goes the plain way: learning takes longer than reading one line."""


class Chunk:
    """Where the lines of a chunk stand in their source; found out when an error asks."""

    def __init__(self, reader: BatchReader, offset: int, lines: Lines, numbers: list[int]) -> None:
        """`numbers` are the template numbers of the lines; the chunk begins at `offset` of the text."""
        self.reader, self.offset, self.numbers = reader, offset, numbers
        self.starts, self.ends = lines.starts, lines.ends

    def span(self, line: int) -> tuple[int, int]:
        """Start and end of a line in the source."""
        return self.offset + int(self.starts[line]), self.offset + int(self.ends[line])

    def template(self, line: int) -> BatchTemplate:
        """The template of a line that does not go the plain way."""
        template = self.reader.templates[self.numbers[line]]
        assert template is not None
        return template

    def origin(self, line: int) -> tuple[LineOrigin, Node]:
        """What tells the place of the symbol of a line, and the symbol's node."""
        use = self.template(line).symbol
        assert use is not None
        return LineOrigin(self, line), use.node


@dataclass(eq=False, slots=True)
class LineOrigin:
    """Where the operands of a line that was read in a batch stand; not frozen, for there are very many."""

    chunk: Chunk
    line: int

    def span_of(self, node: Node | Label | None) -> Span:
        """The place of `node` in the line."""
        start, end = self.chunk.span(self.line)
        feed = self.chunk.reader.feed
        template = self.chunk.template(self.line).template
        return Statement(template, [], feed.source, start, feed.text[start:end]).span_of(node)

    def label_span(self) -> Span:
        """The place of the line's label."""
        return self.span_of(self.chunk.template(self.line).template.labels[0])


class BatchReader:
    """Reads one source into an assembly, many lines at a time."""

    def __init__(self, assembler: Assembler, feed: Feed) -> None:
        """`feed` must have an ASCII text."""
        self.assembler = assembler
        self.assembly = assembler.assembly
        self.feed = feed
        self._tables = BatchTables(self.assembly.order)
        # Outlines by number: a template's, or a negative one that leads to the outlines with guards.
        self._numbers: dict[bytes, int] = {b"": EMPTY}
        self._guarded: list[_Guarded] = []
        self._seen_once: set[bytes] = set()

    def read(self) -> None:
        """Carry out all statements of the source."""
        start = 0
        while start < len(self.feed.text):
            end = self.feed.text.find("\n", start + CHUNK_SIZE)
            end = len(self.feed.text) if end < 0 else end
            if self.must_read_plainly:
                read_to = self.read_plainly(start, end)
            else:
                read_to = self._read_chunk(start, cut_lines(self.feed.text[start:end]))
            start = max(read_to, end + 1)

    @property
    def must_read_plainly(self) -> bool:
        """Whether lines may do more now than batches know of."""
        assembly = self.assembly
        return (
            assembly.section.is_nobits or assembly.debug.marks_labels or self.assembler.reader.has_reserved_macro
        )

    @property
    def templates(self) -> list[BatchTemplate | None]:
        """The templates by number; None for lines that go the plain way."""
        return self._tables.templates

    def read_plainly(self, start: int, end: int) -> int:
        """Have the statements at `start` to `end` of the source read one by one; where reading goes on."""
        return self.assembler.reader.read_lines(self.feed, start, end)

    def _read_chunk(self, offset: int, lines: Lines) -> int:
        """Carry out the lines of a chunk, which begins at `offset` of the text; where reading goes on."""
        numbers = self._template_numbers(lines)
        contents, is_plain = self._tables.encode(lines, numbers)
        numbers = np.where(is_plain, PLAIN, numbers)
        sizes, does_more = self._tables.counts(numbers)
        places = np.concatenate(([0], np.cumsum(sizes)))
        data = contents[np.arange(MAX_SIZE) < sizes[:, None]].tobytes()
        return _Walk(self, offset, lines, numbers, places, data).run(np.flatnonzero(does_more))

    def _template_numbers(self, lines: Lines) -> Array:
        """For each line the number of its template; lines of new outlines are learnt from."""
        numbers = self._numbers
        if new := set(lines.outlines).difference(numbers):
            count = len(lines.outlines)
            first_lines = dict(zip(reversed(lines.outlines), range(count - 1, -1, -1), strict=True))
            last_lines = dict(zip(lines.outlines, range(count), strict=True))
            once = {outline for outline in new if first_lines[outline] == last_lines[outline]} - self._seen_once
            once = once if LEARNS_FROM_SECOND_LINE else set()
            self._seen_once = (self._seen_once - new) | once
            for outline in new - once:
                self._learn_outline(outline, lines, first_lines[outline])
            numbers = {**numbers, **dict.fromkeys(once, PLAIN)} if once else numbers
        result = np.fromiter(map(numbers.__getitem__, lines.outlines), np.int64, len(lines.outlines))
        members = np.flatnonzero(result < 0)
        members = members[np.argsort(result[members], kind="stable")]
        _, first = np.unique(result[members], return_index=True)
        for group in np.split(members, first[1:]):
            if len(group):
                guarded = self._guarded[-int(result[group[0]]) - 1]
                result[group] = self._choose_by_guards(guarded, group, lines)
        return result

    def _learn_outline(self, outline: bytes, lines: Lines, index: int) -> None:
        """Give an outline its number, by the first line that has it."""
        guards, template = self._learn(lines, index)
        number = self._tables.add(template)
        if guards:
            self._guarded.append(_Guarded(guards, {lines.values_of(index, guards): number}))
            number = -len(self._guarded)
        self._numbers[outline] = number

    def _learn(self, lines: Lines, index: int) -> tuple[tuple[int, ...], BatchTemplate | None]:
        text = lines.text_of(index)
        if any(mark in text for mark in ";`'"):
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
        self, reader: BatchReader, offset: int, lines: Lines, numbers: Array, places: Array, data: bytes
    ) -> None:
        """`places` are the offsets in `data` of the lines' bytes, `offset` is the chunk's in the source."""
        self.reader, self.assembly = reader, reader.assembly
        self.chunk = Chunk(reader, offset, lines, numbers.tolist())
        self.lines = lines
        self.numbers, self.places, self.data = numbers, places, data
        self.end = offset + int(lines.ends[-1])
        self.done = 0
        # What a place in `data` is more in the current section.
        self.shift = self.assembly.subsection.size
        self.groups: dict[FixupKind, FixupGroup] = {}

    def run(self, indices: Array) -> int:
        """Walk over the lines that do more than encode; the offset in the text at which reading goes on."""
        templates = self.reader.templates
        numbers = self.numbers[indices]
        labels = self._names(indices, [template.label if template else None for template in templates])
        uses = [template.symbol if template else None for template in templates]
        names = self._names(indices, [use.name if use else None for use in uses])
        string_numbers = self._string_numbers(indices)
        first_unread = 0
        for index, number, place, label, name, string in zip(
            indices.tolist(),
            numbers.tolist(),
            self.places[indices].tolist(),
            labels,
            names,
            string_numbers,
            strict=True,
        ):
            if index < first_unread:
                continue
            template = templates[number]
            if template is not None:
                if template.string_end is not None:
                    self._append_string(self.lines.strings[string], template.string_end, place)
                    continue
                if template.slots is None and self._carry_out(template, index, place, label, name):
                    continue
            if template is not None and template.slots is not None:
                self._carry_out_statement(template.template, template.slots, index, place)
                if not self._cannot_go_on():
                    continue
                read_to = self.chunk.span(index)[1]
            else:
                read_to = self._read_plainly(index, place)
            if self._cannot_go_on():
                return read_to if read_to >= self.end else self.reader.read_plainly(read_to, self.end)
            # What the line begins may have its end further on, as a macro's definition does.
            first_unread = int(np.searchsorted(self.lines.starts, read_to - self.chunk.offset))
            if first_unread == len(self.lines.starts):
                return read_to
            self.done = int(self.places[first_unread])
            self.shift = self.assembly.subsection.size - self.done
        self._flush(len(self.data))
        return self.end

    def _names(self, indices: Array, names: list[NameText | None]) -> list[str | None]:
        """For each of some lines the name that its template, by the number, tells; None where it tells none."""
        lines = self.lines
        numbers = self.numbers[indices]
        columns = np.array(
            [
                (-1, 0, 0, 0) if name is None or name.constant is not None
                else (name.first, name.last, name.before, name.after)
                for name in names
            ]
        )  # fmt: skip
        found: list[str | None] = [names[number] and names[number].constant for number in numbers.tolist()]
        having = np.flatnonzero(columns[numbers, 0] >= 0)
        first, last, before, after = columns[numbers[having]].T
        runs = lines.first_run[indices[having]]
        starts, ends = lines.run_starts[runs + first] - before, lines.run_ends[runs + last] + after
        text = lines.text
        for position, start, end in zip(having.tolist(), starts.tolist(), ends.tolist(), strict=True):
            found[position] = text[start:end]
        return found

    def _string_numbers(self, indices: Array) -> list[int]:
        """For each of some lines the number of its first string among those of the chunk."""
        if not self.lines.strings:
            return [0] * len(indices)
        quotes = np.flatnonzero(np.frombuffer(self.lines.text.encode("ascii"), np.uint8) == ord('"'))
        numbers: list[int] = (np.searchsorted(quotes, self.lines.line_starts[indices]) // 2).tolist()
        return numbers

    def _cannot_go_on(self) -> bool:
        """Whether the batch may mean something else now; the plain way knows what, and reports what is wrong."""
        return self.reader.must_read_plainly

    def _read_plainly(self, index: int, place: int) -> int:
        """Have a line read plainly, in place of what the batch has made of it; where reading goes on.

        That is the end of a line, or behind the chunk.
        """
        self._flush(place)
        subsection, after = self.assembly.subsection, len(self.assembly.subsection.fragments)
        start, end = self.chunk.span(index)
        read_to = start
        while read_to < end:
            read_to = self.reader.read_plainly(read_to, end)
            line = int(np.searchsorted(self.lines.starts, read_to - self.chunk.offset, "right")) - 1
            end = self.chunk.span(line)[1]
        if self.assembly.subsection is not subsection or len(subsection.fragments) != after:
            self.groups = {}
        return read_to

    def _flush(self, place: int) -> None:
        if place > self.done:
            self.assembly.append(self.data[self.done : place])
        self.done = place

    def _append_string(self, string: str, end: bytes, place: int) -> None:
        self._flush(place)
        data = (string_bytes(f'"{string}"') if "\\" in string else string.encode("ascii")) + end
        self.assembly.append(data)
        self.shift += len(data)

    def _carry_out_statement(
        self, template: Template, slots: tuple[NameText, ...], index: int, place: int
    ) -> None:
        """Carry out a statement without parsing it."""
        self._flush(place)
        texts = [self._slot_text(slot, index) for slot in slots]
        start, end = self.chunk.span(index)
        feed = self.reader.feed
        text = feed.text[start:end]
        start += len(text) - len(text.lstrip())
        subsection, after = self.assembly.subsection, len(self.assembly.subsection.fragments)
        self.reader.assembler.carry_out(Statement(template, texts, feed.source, start, text.strip()))
        if self.assembly.subsection is not subsection or len(subsection.fragments) != after:
            self.groups = {}
        self.shift = self.assembly.subsection.size - place

    def _slot_text(self, slot: NameText, index: int) -> str:
        if slot.constant is not None:
            return slot.constant
        lines = self.lines
        first_run = lines.first_run[index]
        start = lines.run_starts[first_run + slot.first] - slot.before
        return lines.text[start : lines.run_ends[first_run + slot.last] + slot.after]

    def _carry_out(
        self, template: BatchTemplate, index: int, place: int, label: str | None, name: str | None
    ) -> bool:
        """Define the line's label and leave its fixup; False, with nothing done, where the plain way must."""
        symbols = self.assembly.symbols
        named = symbols.symbols
        label_symbol: AssemblySymbol | None = None
        if label is not None:
            if template.label_is_numeric:
                if not label.isdigit():  # 0x1f: is none, though it has the outline of 1:
                    return False
            else:
                label_symbol = named.get(label) or symbols.named(label)  # in the order in which they are named
                if label_symbol.is_defined:
                    return False
        if name is not None:
            use = template.symbol
            assert use is not None
            if use.local is None:
                symbol = named.get(name) or symbols.named(name)
            elif (found := symbols.numeric(name, is_forward=use.local.is_forward)) is None:
                return False
            else:
                symbol = found
            if symbol.expression is not None:
                return False
            group = self.groups.get(use.kind) or self._new_group(use.kind)
            group.offsets.append(place + self.shift)
            group.symbols.append(symbol)
            group.lines.append(index)
        if label is not None:
            if label_symbol is None:
                label_symbol = symbols.next_numeric(label)
                assert label_symbol is not None  # only those with a `$` may be defined already
            else:
                symbols.end_dollar_labels(label_symbol)
                label_symbol.defined_at = LineOrigin(self.chunk, index)
            subsection = self.assembly.subsection
            label_symbol.subsection, label_symbol.offset = subsection, place + self.shift
            label_symbol.after = len(subsection.fragments)
        return True

    def _new_group(self, kind: FixupKind) -> FixupGroup:
        subsection = self.assembly.subsection
        may_be_lengthened = kind is JUMP16 and self.assembly.options.lengthens_jumps
        group = FixupGroup(kind, len(subsection.fragments), may_be_lengthened, self.chunk)
        subsection.fixup_groups.append(group)
        self.groups[kind] = group
        return group
