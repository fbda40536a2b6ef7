"""Relocations of what is not loaded, very many at a time: debugging information has them by the million.

For references through section symbols this does to whole columns what `bpfas.link.relocate` does to each
relocation; the others are left to that. It imports numpy, which pays from tens of thousands of relocations on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bpfas.elf.constants import SymbolType
from bpfas.objfile import RelocationColumns, RelocationTable, Section
from bpfas.reloc import RELOCATION_TYPES, Field

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from bpfas.elf.constants import ByteOrder
    from bpfas.link.layout import Placement
    from bpfas.objfile import ObjectFile, Relocation, Symbol

    Numbers = NDArray[np.int64]
    Truths = NDArray[np.bool_]

_WORD_SIZES = {
    int(number): row.field.width // 8
    for number, row in RELOCATION_TYPES.items()
    if row.field in (Field.DATA32, Field.DATA64)
}


class BulkRelocator:
    """Relocates tables of relocations, and gathers what is left of them for the output.

    `section_symbol` gives the symbol of a section of the output.
    """

    def __init__(
        self, placements: Mapping[Section, Placement], section_symbol: Callable[[Section], Symbol]
    ) -> None:
        self._placements = placements
        self._section_symbol = section_symbol
        self._kept: dict[Section, list[RelocationColumns]] = {}
        self._symbols: dict[Symbol, int] = {}

    def relocate(self, obj: ObjectFile, section: Section, nowhere: int) -> Sequence[Relocation]:
        """Apply the relocations of `section`, which has a table of them and lies in the output in one piece.

        References to what the output goes without become `nowhere`. Gives the relocations that are left alone.
        """
        table = section.relocation_table
        assert table is not None
        columns = table.columns()
        kinds, kind_of = np.unique(columns.r_sym << 32 | columns.r_type, return_inverse=True)
        rest = np.zeros(len(kind_of), np.bool_)
        for index, kind in enumerate(kinds.tolist()):
            rows = np.flatnonzero(kind_of == index)
            symbol = table.symbols[kind >> 32]
            size = _WORD_SIZES.get(kind & 0xFFFFFFFF)
            if size and symbol and symbol.st_type is SymbolType.SECTION and isinstance(symbol.section, Section):
                words = _Words(section, columns.r_offset[rows], size, obj.byte_order)
                addends = words.read() if columns.r_addend is None else columns.r_addend[rows]
                done = self._relocate_words(words, addends, kind & 0xFFFFFFFF, symbol.section, nowhere)
                rest[rows[~done]] = True
            else:
                rest[rows] = True
        left = RelocationColumns(
            columns.r_offset[rest],
            columns.r_type[rest],
            columns.r_sym[rest],
            None if columns.r_addend is None else columns.r_addend[rest],
        )
        return list(RelocationTable.of_columns(left, table.symbols, table.order))

    def _relocate_words(self, words: _Words, addends: Numbers, r_type: int, home: Section, nowhere: int) -> Truths:
        """Let words that count from the start of `home` count from the output's; gives which have room for it."""
        site = self._placements[words.section]
        assert site.outputs[0] is not None  # it lies there in one piece
        places = words.offsets + site.outputs[0]
        target = self._placements.get(home)
        if target is None:
            words.write(site.section, places, np.full_like(addends, nowhere))
            return np.ones(len(addends), np.bool_)
        values, kept = _moved(target, addends)
        limit = 1 << 8 * words.size - 1
        fits = np.ones(len(values), np.bool_) if words.size == 8 else (values >= -limit) & (values < limit)
        words.write(site.section, places, np.where(kept, values, nowhere), fits)
        kept &= fits
        symbol = self._section_symbol(target.section)
        number = self._symbols.setdefault(symbol, len(self._symbols))
        self._kept.setdefault(site.section, []).append(
            RelocationColumns(places[kept], np.full(kept.sum(), r_type), np.full(kept.sum(), number))
        )
        return fits

    def finish(self, order: ByteOrder) -> None:
        """Give the output's sections their relocations, with those that they have already, in order of place."""
        for section, parts in self._kept.items():
            others = section.relocations
            for reloc in others:
                self._symbols.setdefault(reloc.symbol, len(self._symbols))
            parts.append(
                RelocationColumns(
                    np.array([reloc.r_offset for reloc in others], np.int64),
                    np.array([reloc.r_type for reloc in others], np.int64),
                    np.array([self._symbols[reloc.symbol] for reloc in others], np.int64),
                )
            )
            joined = [np.concatenate(column) for column in zip(*(part[:3] for part in parts), strict=True)]
            order_of_place = np.argsort(joined[0], kind="stable")
            columns = RelocationColumns(*(column[order_of_place] for column in joined))
            section.relocations = []
            section.relocation_table = RelocationTable.of_columns(columns, list(self._symbols), order)


class _Words(NamedTuple):
    """Words of `size` bytes at `offsets` of an input section."""

    section: Section
    offsets: Numbers
    size: int
    order: ByteOrder

    def read(self) -> Numbers:
        """The words, as signed numbers."""
        contents = np.frombuffer(self.section.data, np.uint8)
        raw = contents[self.offsets[:, None] + np.arange(self.size)]
        words: Numbers = raw.view(f"{self.order.value}i{self.size}").ravel().astype(np.int64)
        return words

    def write(self, output: Section, places: Numbers, values: Numbers, chosen: Truths | None = None) -> None:
        """Put `values` at `places` of `output`, those that are `chosen`; without their high bits."""
        if chosen is not None:
            places, values = places[chosen], values[chosen]
        raw = values.astype(f"{self.order.value}i8").view(np.uint8).reshape(-1, 8)
        low = raw[:, : self.size] if self.order.value == "<" else raw[:, 8 - self.size :]
        assert isinstance(output.data, bytearray)  # the layout made it
        np.frombuffer(output.data, np.uint8)[places[:, None] + np.arange(self.size)] = low


def _moved(placement: Placement, offsets: Numbers) -> tuple[Numbers, Truths]:
    """What Placement.at gives for all `offsets`, and where that is something."""
    starts = np.array(placement.starts, np.int64)
    gone = np.array([output is None for output in placement.outputs])
    outputs = np.array([output or 0 for output in placement.outputs], np.int64)
    index = np.maximum(np.searchsorted(starts, offsets, "right") - 1, 0)
    values = outputs[index] + offsets - starts[index]
    kept = ~gone[index]
    if gone[-1]:
        end = placement.at(placement.size)
        at_end = offsets == placement.size
        values[at_end], kept[at_end] = end or 0, end is not None
    return values, kept
