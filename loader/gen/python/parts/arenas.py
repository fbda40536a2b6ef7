"""Arenas: memory that programs and this process have at the same address."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import struct
from typing import TYPE_CHECKING

from bpfas.loader.gen.python.parts.kernel import LoadError
from bpfas.loader.gen.python.parts.maps import Map
from bpfas.loader.gen.python.parts.values import Memory

if TYPE_CHECKING:
    from typing import Any

MAP_NORESERVE = 0x4000
MAP_FIXED = 0x10
MAP_FIXED_NOREPLACE = 0x100000
PROT_NONE = 0
FOUR_GIB = 1 << 32


class ArenaMap(Map):
    """An arena; its global data is in `memory`, at `address` once it is loaded, unless it is shared by a pin.

    `wanted` is the address that the object asks for, 0 for any.
    """

    def __init__(
        self,
        name: str,
        entry: int,
        max_entries: int,
        fact: int,
        contents: bytes,
        offset: int,
        values: Any,
        wanted: int = 0,
    ) -> None:
        super().__init__(name, entry, "arena", max_entries)
        self.memory = Memory(bytearray(contents))
        self.values_type = values
        self.address = 0
        self._fact = fact
        self._offset = offset
        self._wanted = wanted
        self._reserved: tuple[int, int] | None = None

    @property
    def size(self) -> int:
        """Bytes of the whole arena."""
        return self.max_entries * mmap.PAGESIZE

    @property
    def view(self) -> memoryview:
        """All of it, once it is loaded and until it is closed; not to be used afterwards."""
        if not self.address:
            raise ValueError(f"map {self.name} is not loaded")
        return memoryview((ctypes.c_char * self.size).from_address(self.address)).cast("B")

    @property
    def variables(self) -> Any:
        """The variables, as attributes."""
        return self.values_type.read(self.memory, 0)

    def prepare(self, context: bytearray) -> None:
        """Reserve addresses, and tell the loader program of them. Raises LoadError."""
        super().prepare(context)
        if self._offset + len(self.memory.buffer) > self.size:
            reason = f"its {self.max_entries} pages have no room for {len(self.memory.buffer)} bytes of data"
            raise LoadError(f"create map {self.name}", errno.ENOSPC, reason)
        self._reserve()
        struct.pack_into("=Q", context, self._fact, self.address)

    def _reserve(self) -> None:
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_NORESERVE
        if self._wanted:
            self.address = map_memory(self._wanted, self.size, PROT_NONE, flags | MAP_FIXED_NOREPLACE, -1)
            self._reserved = (self.address, self.size)
            return
        # Twice the size has a piece that does not reach over a multiple of 4 GiB.
        start = map_memory(0, 2 * self.size, PROT_NONE, flags, -1)
        self._reserved = (start, 2 * self.size)
        border = -(-start // FOUR_GIB) * FOUR_GIB
        self.address = border if start < border < start + self.size else start

    def finish(self) -> None:
        """Have a new arena at its address, and its data in it."""
        if self.is_shared:
            self._release()
            return
        shared = mmap.MAP_SHARED | MAP_FIXED
        map_memory(self.address, self.size, mmap.PROT_READ | mmap.PROT_WRITE, shared, self.fd)
        data = bytes(self.memory.buffer)
        if data:
            self.memory.buffer = self.view[self._offset : self._offset + len(data)]
            self.memory.buffer[:] = data

    def close(self) -> None:
        """Close it, and give its addresses back."""
        if self._reserved is not None:
            if self.fd >= 0 and not isinstance(self.memory.buffer, bytearray):
                self.memory.buffer = None
            self._release()
        super().close()

    def _release(self) -> None:
        assert self._reserved is not None
        ctypes.CDLL(None).munmap(ctypes.c_void_p(self._reserved[0]), ctypes.c_size_t(self._reserved[1]))
        self._reserved, self.address = None, 0


def map_memory(address: int, size: int, protection: int, flags: int, fd: int) -> int:
    """mmap(2), which Python's own does not offer with an address. Raises OSError."""
    call = ctypes.CDLL(None, use_errno=True).mmap
    call.restype = ctypes.c_void_p
    at = call(
        ctypes.c_void_p(address),
        ctypes.c_size_t(size),
        ctypes.c_int(protection),
        ctypes.c_int(flags),
        ctypes.c_int(fd),
        ctypes.c_long(0),
    )
    if at is None or at == ctypes.c_void_p(-1).value:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return int(at)
