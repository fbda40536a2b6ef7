"""Maps: their sizes before loading, their descriptors afterwards."""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING

from bpfas.loader.gen.python.parts.kernel import BpfError
from bpfas.loader.gen.python.parts.links import pin

if TYPE_CHECKING:
    from typing import Any


class Map:
    """A map of the object; `fd` is its descriptor, -1 while it is not loaded.

    `key` and `value` are the types of its elements (None for maps that have none).
    """

    is_sized = True  # and has not the one value that it is for

    def __init__(
        self, name: str, entry: int, map_type: str, max_entries: int, key: Any = None, value: Any = None
    ) -> None:
        self.name = name
        self.type = map_type
        self.key = key
        self.value = value
        self.fd = -1
        self.is_shared = False  # was there before, with what others have put into it
        self._entry = entry
        self._max_entries = max_entries
        self._is_resized = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}, {f'descriptor {self.fd}' if self.fd >= 0 else 'not loaded'}>"

    @property
    def max_entries(self) -> int:
        """How many elements it may have (bytes, of a ring buffer); to be set before loading."""
        return self._max_entries

    @max_entries.setter
    def max_entries(self, number: int) -> None:
        if self.fd >= 0:
            raise ValueError(f"map {self.name} has its size already: it is to be set before load()")
        if not self.is_sized:
            raise ValueError(f"map {self.name} has one value, and no size to be set")
        if not 0 < number < 1 << 32:
            raise ValueError(f"map {self.name} cannot have {number} entries, only 1 to {(1 << 32) - 1}")
        self._max_entries, self._is_resized = number, True

    def prepare(self, context: bytearray) -> None:
        """Tell the loader program what is to be otherwise than in the object."""
        if self._is_resized:
            struct.pack_into("=I", context, self._entry + 4, self._max_entries)

    def take(self, context: bytearray) -> None:
        """Own the descriptor that the loader program has made."""
        (fd,) = struct.unpack_from("=i", context, self._entry)
        self.fd = fd if fd > 0 else -1

    def finish(self) -> None:
        """Nothing is left to do once it is loaded."""

    def close(self) -> None:
        """Close it; a second time that does nothing."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def pin(self, path: str) -> None:
        """Keep it under a name in a BPF file system. Raises BpfError."""
        if self.fd < 0:
            raise BpfError(f"pin map {self.name} at {path}", 9, "it is not loaded")
        pin(self.fd, path, f"map {self.name}")
