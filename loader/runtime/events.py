"""Reading events of ring buffers and perf buffers: one by one, through callbacks, with asyncio.

One EventReader waits for any number of buffers at once. What a buffer is, byte by byte, is
`bpfas.loader.runtime.ring`'s and `bpfas.loader.runtime.perf_buffer`'s.
"""

from __future__ import annotations

import contextlib
import os
import select
import sys
import threading
import time
from collections import deque
from operator import length_hint
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self

from bpfas.loader.errors import Step, kernel_error
from bpfas.loader.kinds import MapType, map_type_name
from bpfas.loader.runtime.codecs import event_codec, given_codec
from bpfas.loader.runtime.perf_buffer import DEFAULT_PAGES, PerfBuffer
from bpfas.loader.runtime.ring import Ring

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

    from bpfas.loader.runtime.maps import Map

_AT_ONCE = 4096
"""Events that are taken from a buffer before another has its turn."""
_ALL = sys.maxsize

_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.00005, 0.002
"""Seconds between looks at a record that a program has begun: the kernel says "ready", but it is not."""


class _Buffer(Protocol):
    """What events are taken from."""

    @property
    def is_blocked(self) -> bool: ...

    def descriptors(self) -> list[int]: ...

    def take(self, limit: int) -> Sequence[Any]: ...

    def close(self) -> None: ...


class _Source(NamedTuple):
    """A buffer, the map that it is, and what becomes of its events."""

    map: Map
    buffer: _Buffer
    event_of: Callable[[Any], Any] | None
    callback: Callable[[Any], object] | None


class EventReader:
    """Events of one or several buffers, as they come.

    Iterated (`for` and `async for`) it gives events without end, until `close()`. `read` gives those that are
    there, `poll` hands them to callbacks. Events of one CPU come in their order. What was taken out of a buffer
    and not been given yet (because a loop was left, or a callback failed) is given next time.
    A context manager, which closes the buffers but not their maps. It is for one thread at a time, but `close()`
    may be called from others and from signal handlers: loops and calls that wait for events then end. Raises
    KernelError.
    """

    def __init__(self) -> None:
        self._sources: list[_Source] = []
        self._waiting: deque[tuple[_Source, Iterator[Any]]] = deque()
        """What was taken out of buffers; the iterators know what of it has not been given yet."""
        self._is_closed = False
        self._lock = threading.RLock()
        self._users = 0
        """How many look at the buffers, or wait for them; the last one closes what is closed meanwhile."""
        self._wake = -1
        """An eventfd that ends waiting."""
        try:
            self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
            self._poll = select.epoll()
        except OSError as error:
            wake, self._wake = self._wake, -1
            if wake >= 0:
                os.close(wake)
            raise kernel_error(Step.OPEN_BUFFER, "a reader of events", error) from error
        self._poll.register(self._wake, select.EPOLLIN)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self._release()

    def close(self) -> None:
        """Close all buffers, and end all waiting for them. A second time it does nothing."""
        self._is_closed = True
        for _, chunk in tuple(self._waiting):
            deque(chunk, maxlen=0)  # loops that are in the middle of it end here
        self._waiting.clear()
        with self._lock:
            if self._users:
                os.eventfd_write(self._wake, 1)
                return
        self._release()

    @property
    def is_closed(self) -> bool:
        """Whether no more events will come."""
        return self._is_closed

    @property
    def lost(self) -> int:
        """Events for which there was no room in perf buffers (ring buffers tell the program itself)."""
        buffers = (source.buffer for source in self._sources)
        return sum(buffer.lost for buffer in buffers if isinstance(buffer, PerfBuffer))

    def fileno(self) -> int:
        """A descriptor that is ready for reading when there are events, for other event loops."""
        return self._poll.fileno()

    def add(
        self,
        map_: Map,
        callback: Callable[[Any], object] | None = None,
        *,
        value: Any = None,
        with_cpu: bool = False,
        pages: int = DEFAULT_PAGES,
    ) -> None:
        """Wait for the events of a ring buffer or a perf event array, too.

        `callback` is called by `poll` with each event. `value` says of what type events are, as for `Map.typed()`
        (default: what the map's definition says, else bytes); it may also be a function that makes them of bytes.
        `with_cpu` gives events of perf buffers as pairs with the CPU they are from; `pages` is the size of each
        CPU's buffer. Raises KernelError.
        """
        self._check_open()
        decode = _decoder(map_, value)
        if map_.type == MapType.RINGBUF:
            buffer: _Buffer = _open_ring(map_)
            event_of = decode
        elif map_.type == MapType.PERF_EVENT_ARRAY:
            buffer = PerfBuffer(map_, pages)
            event_of = _of_sample(decode, with_cpu=with_cpu)
        else:
            raise TypeError(f"map {map_.name} has no events: it is of type {map_type_name(map_.type)}")
        try:
            for fd in buffer.descriptors():
                self._poll.register(fd, select.EPOLLIN)
        except OSError as error:
            buffer.close()
            raise kernel_error(Step.OPEN_BUFFER, f"map {map_.name}", error) from error
        self._sources.append(_Source(map_, buffer, event_of, callback))

    def poll(self, timeout: float | None = None) -> int:
        """Wait up to `timeout` seconds (None: without end) for events, and hand them to the callbacks.

        Gives how many were handed over. Events of buffers without a callback wait for `read` or iteration.
        """
        self._check_open()
        self._gather(timeout)
        handed = 0
        others: deque[tuple[_Source, Iterator[Any]]] = deque()
        try:
            while self._waiting:
                source, chunk = self._waiting[0]
                if source.callback is None:
                    others.append((source, chunk))
                else:
                    for data in chunk:
                        handed += 1
                        source.callback(source.event_of(data) if source.event_of else data)
                if self._waiting and self._waiting[0][1] is chunk:
                    self._waiting.popleft()
        finally:
            if not self._is_closed:
                self._waiting.extendleft(reversed(others))
        return handed

    def read(self, timeout: float | None = 0.0) -> list[Any]:
        """All events that are there; if there are none, those that come first within `timeout` seconds."""
        self._check_open()
        self._gather(timeout, _ALL)
        with self._in_use():
            self._take(_ALL)  # a ring gives half of what it may hold at a time
        events: list[Any] = []
        try:
            while self._waiting:
                source, chunk = self._waiting[0]
                events.extend(map(source.event_of, chunk) if source.event_of else chunk)
                self._waiting.popleft()
        except BaseException:
            # What came out before the one at fault is given next time.
            done = source._replace(event_of=None)
            self._waiting.appendleft((done, iter(events)))
            raise
        return events

    def __iter__(self) -> Iterator[Any]:
        waiting = self._waiting
        while not self._is_closed:
            while waiting:
                source, chunk = waiting[0]
                if source.event_of is None:
                    yield from chunk
                else:
                    yield from map(source.event_of, chunk)
                if waiting and waiting[0][1] is chunk:
                    waiting.popleft()
            if not self._is_closed:
                self._gather(None)

    async def __aiter__(self) -> AsyncIterator[Any]:
        import asyncio  # takes long to import, and most programs have no use for it

        waiting = self._waiting
        pause = _SHORTEST_PAUSE
        while not self._is_closed:
            while waiting:
                source, chunk = waiting[0]
                for data in chunk:
                    yield source.event_of(data) if source.event_of else data
                if waiting and waiting[0][1] is chunk:
                    waiting.popleft()
            with self._in_use():
                found, is_blocked = self._take(), self._is_blocked()
            if found:
                pause = _SHORTEST_PAUSE
            elif is_blocked:
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
            elif not self._is_closed:
                await self._ready()

    async def _ready(self) -> None:
        """Wait until a buffer has something, or the reader is closed."""
        import asyncio

        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()

        def wake() -> None:
            if not ready.done():
                ready.set_result(None)

        with self._in_use():
            if self._is_closed:
                return
            descriptor = self._poll.fileno()
            loop.add_reader(descriptor, wake)
            try:
                await ready
            finally:
                loop.remove_reader(descriptor)

    def _gather(self, timeout: float | None, limit: int = _AT_ONCE) -> None:
        """Take what the buffers have, waiting up to `timeout` seconds for the first event."""
        while self._waiting and not length_hint(self._waiting[0][1]):
            self._waiting.popleft()
        with self._in_use():
            if self._take(limit) or self._waiting:
                return
            end = None if timeout is None else time.monotonic() + timeout
            pause = _SHORTEST_PAUSE
            while not self._is_closed:
                left = None if end is None else max(end - time.monotonic(), 0.0)
                self._poll.poll(left)
                if self._take(limit) or left == 0.0:
                    return
                if self._is_blocked():
                    time.sleep(pause if left is None else min(pause, left))
                    pause = min(2 * pause, _LONGEST_PAUSE)

    def _take(self, limit: int = _AT_ONCE) -> bool:
        """Take what the buffers have, without waiting; whether that was anything."""
        found = False
        for source in self._sources:
            if self._is_closed:
                return False
            chunk = source.buffer.take(limit)
            if chunk:
                self._waiting.append((source, iter(chunk)))
                found = True
        return found

    def _is_blocked(self) -> bool:
        return any(source.buffer.is_blocked for source in self._sources)

    def _check_open(self) -> None:
        if self._is_closed:
            raise ValueError("the event reader is closed")

    @contextlib.contextmanager
    def _in_use(self) -> Iterator[None]:
        """Have the buffers stay until the block is left, whoever closes the reader meanwhile."""
        with self._lock:
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                is_last = self._is_closed and not self._users
            if is_last:
                self._release()

    def _release(self) -> None:
        """Close the descriptors and the buffers. A second time it does nothing."""
        with self._lock:
            sources, self._sources = self._sources, []
            wake, self._wake = self._wake, -1
        for source in sources:
            source.buffer.close()
        if wake >= 0:
            self._poll.close()
            os.close(wake)


def _decoder(map_: Map, value: Any) -> Callable[[bytes], Any] | None:
    """What makes an event of a record's bytes; None where it is the bytes."""
    if value is bytes:
        return None
    if (
        value is not None
        and not isinstance(value, type | str)
        and not hasattr(value, "decode")
        and callable(value)
    ):
        function: Callable[[bytes], Any] = value
        return function
    codec = event_codec(map_.spec, map_.types) if value is None else given_codec(value, None, map_.types)
    return None if codec is None else codec.decode


def _of_sample(decode: Callable[[bytes], Any] | None, *, with_cpu: bool) -> Callable[[Any], Any]:
    if with_cpu:
        return lambda sample: (sample.cpu, decode(sample.data) if decode else sample.data)
    return lambda sample: decode(sample.data) if decode else sample.data


def _open_ring(map_: Map) -> Ring:
    try:
        return Ring(map_.fd, map_.info().max_entries)
    except OSError as error:
        raise kernel_error(Step.OPEN_BUFFER, f"map {map_.name}", error) from error
