"""Ring buffers, from the reader's side.

Records lie behind one another, each behind its length (with two bits: being written, given up) and 4 bytes more.
A page with how far it is read, one with how far it is written, then the data, twice.
"""

from __future__ import annotations

import errno
import mmap
import struct
from typing import TYPE_CHECKING

from bpfas.loader.gen.python.parts.kernel import BpfError
from bpfas.loader.gen.python.parts.maps import Map

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

BUSY, DISCARDED = 1 << 31, 1 << 30
POSITION = struct.Struct("=Q")
LENGTH = struct.Struct("=I")


class RingBuffer(Map):
    """A ring buffer: `read()` takes out what is there, a loop over it waits for more without end."""

    _consumer: Any = None
    _producer: Any = None

    def prepare(self, context: bytearray) -> None:
        """A power of two, and whole pages."""
        if self._max_entries:
            self._max_entries = max(mmap.PAGESIZE, 1 << (self._max_entries - 1).bit_length())
        super().prepare(context)

    def _map(self) -> None:
        if self.fd < 0:
            raise BpfError(f"read map {self.name}", errno.EBADF, "it is not loaded, or closed")
        if self._consumer is None:
            size = mmap.PAGESIZE + 2 * self._max_entries
            self._producer = mmap.mmap(self.fd, size, mmap.MAP_SHARED, mmap.PROT_READ, offset=mmap.PAGESIZE)
            self._consumer = mmap.mmap(self.fd, mmap.PAGESIZE)

    def read(self) -> list[bytes]:
        """All records that are finished, which leave the buffer. Raises BpfError."""
        self._map()
        records = []
        (at,) = POSITION.unpack_from(self._consumer)
        (end,) = POSITION.unpack_from(self._producer)
        while at < end:
            place = mmap.PAGESIZE + at % self._max_entries
            (length,) = LENGTH.unpack_from(self._producer, place)
            if length & BUSY:
                break
            size = length & ~DISCARDED
            if not length & DISCARDED:
                records.append(self._producer[place + 8 : place + 8 + size])
            at += (size + 8 + 7) & ~7
            POSITION.pack_into(self._consumer, 0, at)
        return records

    def wait(self, timeout: float | None = None) -> list[bytes]:
        """As `read`, but wait for the first record, at most so many seconds. Raises BpfError."""
        import select

        records = self.read()
        if not records:
            poll = select.poll()
            poll.register(self.fd, select.POLLIN)
            poll.poll(None if timeout is None else 1000 * timeout)
            records = self.read()
        return records

    def __iter__(self) -> Iterator[bytes]:
        while True:
            yield from self.wait()

    def close(self) -> None:
        """Close it, and its memory."""
        for memory in (self._consumer, self._producer):
            if memory is not None:
                memory.close()
        self._consumer = self._producer = None
        super().close()
