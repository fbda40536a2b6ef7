"""A ring buffer (BPF_MAP_TYPE_RINGBUF) from the reader's side.

Programs write records behind one another, each behind a header of 8 bytes: its length with two bits, one while
it is not finished and one if it was given up, and an offset that is the kernel's own. How far has been written and
how far read are counted in bytes from the start, without end. The pages of the data follow one another twice in
memory, so that a record which wraps around lies in one piece.
Source: Documentation/bpf/ringbuf.rst of Linux, and the layout of kernel/bpf/ringbuf.c.
"""

from __future__ import annotations

from bpfas.loader.runtime.memory import PAGE_SIZE, Memory, barrier

HEADER_SIZE = 8
BUSY = 1 << 31
DISCARDED = 1 << 30
_LENGTH = DISCARDED - 1


class Ring:
    """The reader of one ring buffer of `size` bytes; records are copied out, which frees their place.

    `fd` stays the caller's. Only one reader, in one process, may be there at a time. Raises OSError.
    """

    def __init__(self, fd: int, size: int) -> None:
        self.fd = fd
        self.size = size
        self._counter = Memory(fd, PAGE_SIZE)
        try:
            self._data = Memory(fd, PAGE_SIZE + 2 * size, PAGE_SIZE, is_writable=False)
        except OSError:
            self._counter.close()
            raise
        self._consumer = self._counter.view.cast("Q")
        self._producer = self._data.view[:8].cast("Q")
        self._records = self._data.contents
        self._lengths = self._data.view[PAGE_SIZE:].cast("I")

    def close(self) -> None:
        """Take the ring out of this process's memory; the map stays open."""
        for view in (self._consumer, self._producer, self._lengths):
            view.release()
        self._counter.close()
        self._data.close()

    def descriptors(self) -> list[int]:
        """What is ready for reading when there are records."""
        return [self.fd]

    @property
    def waiting(self) -> int:
        """Bytes that are written and not read yet, headers and unfinished records among them."""
        return self._producer[0] - self._consumer[0]

    def take(self, limit: int) -> list[bytes]:
        """The records that are finished, up to the first that is not, at most `limit`; they leave the ring."""
        taken: list[bytes] = []
        append = taken.append
        records, lengths = self._records, self._lengths
        mask = self.size - 1
        begin = at = self._consumer[0]
        # Memory of the ring is freed in pieces, so that programs need not wait for the whole of it to be read.
        end = min(self._producer[0], begin + (self.size >> 1))
        barrier()
        while at < end and limit > 0:
            start = at & mask
            length = lengths[start >> 2]
            if length & BUSY:
                break
            barrier()
            size = length & _LENGTH
            if not length & DISCARDED:
                start += PAGE_SIZE + HEADER_SIZE
                append(records[start : start + size])
                limit -= 1
            at += (size + HEADER_SIZE + 7) & ~7
        if at != begin:
            barrier()
            self._consumer[0] = at
        return taken

    @property
    def is_blocked(self) -> bool:
        """Whether the next record is one that a program has not finished yet."""
        at = self._consumer[0]
        return at < self._producer[0] and bool(self._lengths[(at & self.size - 1) >> 2] & BUSY)
