"""Maps of perf events, which have an entry for each possible CPU; and the records that programs write to them.

A buffer begins with a page that says how far it is written and read, in bytes without end.
"""

from __future__ import annotations

import errno
import mmap
import os
import struct
import sys
from typing import TYPE_CHECKING

from bpfas.loader.gen.python.parts.cpus import online_cpus, possible_cpus
from bpfas.loader.gen.python.parts.elements import ElementMap
from bpfas.loader.gen.python.parts.kernel import BpfError
from bpfas.loader.gen.python.parts.perf_events import PerfEvent, enable_event

if TYPE_CHECKING:
    from typing import Any

SOFTWARE_EVENT, BPF_OUTPUT, RAW_SAMPLES = 1, 10, 1 << 10
WRITTEN, READ = 1024, 1032
POSITION_IN_BUFFER = struct.Struct("=Q")
RECORD = struct.Struct("=IHH")
LOST_RECORD, SAMPLE_RECORD = 2, 9


class PerfEventArray(ElementMap):
    """A map of perf events: `map[cpu] = descriptor`; or `open_buffers()` and `read()` what programs write.

    It has an entry for each possible CPU unless another number is set. `lost` counts records that found no room.
    """

    lost = 0
    _buffers: dict[int, tuple[int, Any]] = {}

    def prepare(self, context: bytearray) -> None:
        """Tell the loader program how many CPUs there are."""
        if not self._max_entries:
            self.max_entries = possible_cpus()
        super().prepare(context)

    def open_buffers(self, pages: int = 64) -> None:
        """Have a buffer of so many pages (a power of two) for each CPU. Raises BpfError."""
        if self._buffers or self.fd < 0:
            reason = "they are open" if self._buffers else "it is not loaded"
            raise BpfError(f"open the buffers of map {self.name}", errno.EINVAL, reason)
        self._buffers = {}
        event = PerfEvent(SOFTWARE_EVENT, BPF_OUTPUT, sample_type=RAW_SAMPLES)
        try:
            for cpu in online_cpus():
                fd = event.open(-1, cpu)
                try:
                    memory = mmap.mmap(fd, (1 + pages) * mmap.PAGESIZE)
                except BaseException:
                    os.close(fd)
                    raise
                self._buffers[cpu] = (fd, memory)
                self[cpu] = fd
                enable_event(fd)
        except OSError as error:
            self._close_buffers()
            raise BpfError(f"open the buffers of map {self.name}", error.errno or 0) from None

    def read(self) -> list[tuple[int, bytes]]:
        """All records that are there, with the numbers of the CPUs; each is filled up to a multiple of 4 bytes."""
        records = []
        for cpu, (_, memory) in self._buffers.items():
            size = len(memory) - mmap.PAGESIZE
            (end,) = POSITION_IN_BUFFER.unpack_from(memory, WRITTEN)
            (at,) = POSITION_IN_BUFFER.unpack_from(memory, READ)
            while at < end:
                kind, _, length = RECORD.unpack(self._piece(memory, size, at, RECORD.size))
                body = self._piece(memory, size, at + RECORD.size, length - RECORD.size)
                if kind == SAMPLE_RECORD:
                    records.append((cpu, body[4 : 4 + int.from_bytes(body[:4], sys.byteorder)]))
                elif kind == LOST_RECORD:
                    self.lost += POSITION_IN_BUFFER.unpack_from(body, 8)[0]
                at += length
            POSITION_IN_BUFFER.pack_into(memory, READ, at)
        return records

    def _piece(self, memory: Any, size: int, at: int, length: int) -> bytes:
        """Bytes that may go on at the beginning of the buffer."""
        start = at % size
        whole: bytes = memory[mmap.PAGESIZE + start : mmap.PAGESIZE + min(start + length, size)]
        rest: bytes = memory[mmap.PAGESIZE : mmap.PAGESIZE + length - len(whole)]
        return whole + rest

    def wait(self, timeout: float | None = None) -> list[tuple[int, bytes]]:
        """As `read`, but wait for the first record, at most so many seconds."""
        import select

        records = self.read()
        if not records:
            poll = select.poll()
            for fd, _ in self._buffers.values():
                poll.register(fd, select.POLLIN)
            poll.poll(None if timeout is None else 1000 * timeout)
            records = self.read()
        return records

    def _close_buffers(self) -> None:
        for fd, memory in self._buffers.values():
            memory.close()
            os.close(fd)
        self._buffers = {}

    def close(self) -> None:
        """Close it, and its buffers."""
        self._close_buffers()
        super().close()
