"""Maps of global variables: their values before loading, and where they are afterwards."""

from __future__ import annotations

import mmap
import struct
from typing import TYPE_CHECKING

from bpfas.loader.gen.python.parts.elements import ElementMap
from bpfas.loader.gen.python.parts.kernel import ENOTSUPP, address_of
from bpfas.loader.gen.python.parts.values import Bytes, Integer, Memory

if TYPE_CHECKING:
    from typing import Any


class DataMap(ElementMap):
    """A section of global variables; `values` has them, live in the kernel's memory once it is loaded.

    Where the kernel does not give its memory (the section has only static variables, or a lock), they are read and
    written with the whole value of the map, and what programs write at that moment may be lost.
    """

    is_sized = False

    def __init__(
        self,
        name: str,
        entry: int,
        contents: bytes,
        values: Any,
        is_mapped: bool,
        is_frozen: bool,
        is_filled: bool = True,
    ) -> None:
        super().__init__(name, entry, "array", 1, Integer(4), Bytes(len(contents)))
        self.memory = Memory(bytearray(contents))
        self.values_type = values
        self._contents = contents
        self._is_mapped = is_mapped
        self._is_filled = (
            is_filled  # with what the loader program is given; others are changed once they are there
        )
        self.is_frozen = is_frozen

    @property
    def variables(self) -> Any:
        """The variables, as attributes."""
        return self.values_type.read(self.memory, 0)

    def prepare(self, context: bytearray) -> None:
        """Give the loader program the values, if they are others than those of the object."""
        if self._is_filled and self.memory.buffer != self._contents:
            struct.pack_into("=Q", context, self._entry + 8, address_of(self.memory.buffer))

    def finish(self) -> None:
        """From now on the variables are those of the kernel."""
        given = bytes(self.memory.buffer)
        if self.fd >= 0 and self._is_mapped:
            protection = mmap.PROT_READ if self.is_frozen else mmap.PROT_READ | mmap.PROT_WRITE
            try:
                self.memory.buffer = mmap.mmap(self.fd, len(self._contents), mmap.MAP_SHARED, protection)
            except OSError as error:
                if error.errno != ENOTSUPP:  # a section with a lock or a timer is not mapped
                    raise
                self.memory.buffer = ElementBuffer(self)
        elif self.fd >= 0:
            self.memory.buffer = ElementBuffer(self)
        if self.fd >= 0 and not self._is_filled and given != self._contents:
            self.memory.write(0, given)

    def close(self) -> None:
        """Close it, and its memory."""
        if isinstance(self.memory.buffer, mmap.mmap):
            self.memory.buffer.close()
        if not isinstance(self.memory.buffer, bytearray):
            self.memory.buffer = None
        super().close()


class ElementBuffer:
    """The value of a map's only element, read and written as a whole for each access."""

    def __init__(self, owner: DataMap) -> None:
        self._owner = owner

    def __getitem__(self, place: slice) -> bytes:
        value: bytes = self._owner[0]
        return value[place]

    def __setitem__(self, place: slice, data: bytes) -> None:
        if self._owner.is_frozen:
            raise TypeError
        value = bytearray(self._owner[0])
        value[place] = data
        self._owner[0] = bytes(value)
