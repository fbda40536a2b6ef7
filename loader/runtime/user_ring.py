"""A user ring buffer (BPF_MAP_TYPE_USER_RINGBUF): records from user space to a program.

The layout is that of `bpfas.loader.runtime.ring` with the parts exchanged: here the kernel reads, when a program
calls bpf_user_ringbuf_drain, and this process writes.
"""

from __future__ import annotations

import contextlib
import errno
import select
import threading
import time
from typing import TYPE_CHECKING, Any

from bpfas.btf.codecs import EncodingError
from bpfas.loader.errors import Step, kernel_error
from bpfas.loader.kinds import MapType, map_type_name
from bpfas.loader.runtime.codecs import event_codec
from bpfas.loader.runtime.memory import PAGE_SIZE, Memory, barrier
from bpfas.loader.runtime.ring import BUSY, DISCARDED, HEADER_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfas.loader.runtime.maps import Map

_SHORTEST_WAIT, _LONGEST_WAIT = 0.0001, 0.05


class UserRing:
    """The writer of a user ring buffer. Threads may share it; processes may not. Raises KernelError."""

    def __init__(self, map_: Map) -> None:
        if map_.type != MapType.USER_RINGBUF:
            raise TypeError(f"map {map_.name} is no user ring buffer: it is of type {map_type_name(map_.type)}")
        self._map = map_
        self._codec = event_codec(map_.spec, map_.types)
        self.size = map_.info().max_entries
        with contextlib.ExitStack() as stack:
            try:
                counter = Memory(map_.fd, PAGE_SIZE, is_writable=False)
                stack.callback(counter.close)
                data = Memory(map_.fd, PAGE_SIZE + 2 * self.size, PAGE_SIZE)
            except OSError as error:
                raise kernel_error(Step.MAP_MEMORY, f"map {map_.name}", error) from error
            stack.callback(data.close)
            self._consumer = stack.enter_context(counter.view.cast("Q"))
            self._producer = stack.enter_context(data.view[:8].cast("Q"))
            self._records = stack.enter_context(data.view[PAGE_SIZE:])
            self._lengths = stack.enter_context(self._records.cast("I"))
            self._stack = stack.pop_all()
        self._lock = threading.Lock()

    def close(self) -> None:
        """Take the ring out of this process's memory; the map stays open."""
        self._stack.close()

    @property
    def waiting(self) -> int:
        """Bytes of records, with their headers, that no program has taken yet."""
        return self._producer[0] - self._consumer[0]

    def submit(self, value: Any, timeout: float | None = 0.0) -> None:
        """Put in a record: bytes, or a value of the type that the map's definition gives.

        Waits for up to `timeout` seconds (None: without end) for room; raises BlockingIOError if there is none.
        """
        if self._codec is not None:
            try:
                value = self._codec.encode(value)
            except EncodingError as error:
                raise error.about(f"map {self._map.name}: the record") from None
        try:
            if isinstance(value, str | int):
                raise TypeError
            data = bytes(value)
        except (TypeError, ValueError):
            raise EncodingError("a record is given in bytes", subject=f"map {self._map.name}") from None
        with self.reserve(len(data), timeout) as record:
            record[:] = data

    @contextlib.contextmanager
    def reserve(self, size: int, timeout: float | None = 0.0) -> Iterator[memoryview]:
        """Memory of a record of `size` bytes, to be filled in; programs see it when the block is left.

        If the block is left by an exception, programs do not see the record at all. Several records may be
        reserved at once; programs take them in the order in which they were reserved.
        """
        total = (size + HEADER_SIZE + 7) & ~7
        if total > self.size:
            raise ValueError(
                f"map {self._map.name}: a record of {size} bytes does not fit into a ring of {self.size}"
            )
        with self._lock:
            start = self._place(total, timeout)
        first = start + HEADER_SIZE
        record = self._records[first : first + size]
        flag = DISCARDED
        try:
            yield record
            flag = 0
        finally:
            with contextlib.suppress(BufferError):  # somebody has kept a view of it
                record.release()
            barrier()
            self._lengths[start >> 2] = size | flag

    def _place(self, total: int, timeout: float | None) -> int:
        """Where the next record begins, which is marked as unfinished."""
        end = None if timeout is None else time.monotonic() + timeout
        pause = _SHORTEST_WAIT
        while total > self.size - self.waiting:
            left = None if end is None else end - time.monotonic()
            if left is not None and left <= 0:
                raise BlockingIOError(errno.EAGAIN, f"map {self._map.name} has no room for {total} bytes")
            # The kernel wakes those who wait when a program has taken records, but says "ready" for any room.
            with select.epoll() as poll:
                poll.register(self._map.fd, select.EPOLLOUT | select.EPOLLET)
                poll.poll(pause if left is None else min(pause, left))
            time.sleep(min(pause, _LONGEST_WAIT) / 10)
            pause = min(2 * pause, _LONGEST_WAIT)
        barrier()
        at = self._producer[0]
        start = at & self.size - 1
        self._lengths[start >> 2] = (total - HEADER_SIZE) | BUSY
        self._lengths[(start >> 2) + 1] = 0
        barrier()
        self._producer[0] = at + total
        return start
