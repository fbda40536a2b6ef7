"""The data of a loader program: a table of descriptors, cells, prebuilt attributes and what they point to.

What the program's instructions often refer to comes first, near enough for the 16-bit offset of a load or store;
everything lies on a multiple of 8. Which bytes there are is `bpfas.loader.gen.script`'s part.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpfas.loader.gen.script import Cell, CellKind, Item

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bpfas.elf.constants import ByteOrder

_ALIGNMENT = 8
DESCRIPTOR_SIZE = 4
NUMBER_SIZE = 8
OUTCOME_SIZE = 2 * NUMBER_SIZE


class DataLayout:
    """Where everything lies in the data; offsets in bytes from its start.

    `attributes` are the bpf_attr of each call by the call's number, as far as they are known before the program
    runs. `fallible` are the numbers of the steps that can fail. Items that are there already under the same name
    are put in once; bytes that are equal and nobody changes (`constants`) are, too.
    """

    def __init__(
        self, table: Sequence[Cell], numbers: Iterable[Cell], fallible: Iterable[int], order: ByteOrder
    ) -> None:
        self._cells = {cell.name: DESCRIPTOR_SIZE * index for index, cell in enumerate(table)}
        self._data = bytearray(_aligned(DESCRIPTOR_SIZE * len(table)))
        for cell in numbers:
            assert cell.kind is CellKind.NUMBER
            if cell.name not in self._cells:
                self._cells[cell.name] = self._append(bytes(NUMBER_SIZE))
        self.outcomes = len(self._data)
        """Where the outcomes are: what a step gave and its number, in the steps' order, and one of no step."""
        self._outcomes: dict[int, int] = {}
        for number in (*fallible, 0):
            self._outcomes[number] = self._append(
                bytes(NUMBER_SIZE) + number.to_bytes(NUMBER_SIZE, order.name_for_int)
            )
        self._items: dict[str, int] = {}
        self._constants: dict[bytes, int] = {}

    def cell(self, cell: Cell) -> int:
        """The offset of a cell."""
        return self._cells[cell.name]

    def outcome(self, number: int) -> int:
        """The offset of what the step of that number gave."""
        return self._outcomes[number]

    def item(self, item: Item) -> int:
        """The offset of an item, which is put in if it is new."""
        if item.name not in self._items:
            self._items[item.name] = self._append(item.data)
        return self._items[item.name]

    def constant(self, data: bytes) -> int:
        """The offset of bytes that nothing changes."""
        if data not in self._constants:
            self._constants[data] = self._append(data)
        return self._constants[data]

    def attributes(self, image: bytes) -> int:
        """The offset of the attributes of one call."""
        return self._append(image)

    def content(self) -> bytes:
        """All of it."""
        return bytes(self._data)

    def _append(self, data: bytes) -> int:
        offset = len(self._data)
        self._data += data.ljust(_aligned(len(data)), b"\0")
        return offset


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
