"""Events that programs write with bpf_perf_event_output: one ring of the perf subsystem for each CPU.

A ring is a page that says how far has been written and read, and the records behind one another, which may wrap
around. When a ring is full, events are lost; the kernel then says how many.
Source: perf_event_open(2).
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from typing import TYPE_CHECKING, Literal, NamedTuple

from bpfas.loader.errors import Step, kernel_error
from bpfas.loader.privilege import Explanation
from bpfas.loader.runtime.cpus import online_cpus
from bpfas.loader.runtime.memory import PAGE_SIZE, Memory, barrier
from bpfas.loader.syscall.perf import PerfEvent, perf_event_open

if TYPE_CHECKING:
    from bpfas.loader.runtime.maps import Map

DEFAULT_PAGES = 8
"""Pages of each CPU's ring, without that of the counters."""

_TYPE_SOFTWARE, _COUNT_BPF_OUTPUT, _SAMPLE_RAW = 1, 10, 1 << 10
_HEAD, _TAIL = 1024 // 8, 1032 // 8
"""Where the page has data_head and data_tail, in words of 8 bytes."""
_LOST, _SAMPLE = 2, 9
_ORDER: Literal["little", "big"] = sys.byteorder
_HEADER_SIZE = 8


class Sample(NamedTuple):
    """What a program has written on a CPU; up to 7 bytes may follow that fill it up."""

    cpu: int
    data: bytes


class _CpuRing:
    """The ring of one CPU."""

    def __init__(self, cpu: int, pages: int) -> None:
        self.cpu = cpu
        self.fd = perf_event_open(
            PerfEvent(_TYPE_SOFTWARE, _COUNT_BPF_OUTPUT, period=1, sample_type=_SAMPLE_RAW, wakeup_events=1),
            cpu=cpu,
        )
        try:
            self._memory = Memory(self.fd, (1 + pages) * PAGE_SIZE)
        except OSError:
            os.close(self.fd)
            raise
        self._counters = self._memory.view[:PAGE_SIZE].cast("Q")
        self._size = pages * PAGE_SIZE

    def close(self) -> None:
        self._counters.release()
        self._memory.close()
        os.close(self.fd)

    def take(self, limit: int) -> tuple[list[Sample], int]:
        """Samples, at most `limit`, and how many events were lost between them; they leave the ring."""
        head = self._counters[_HEAD]
        barrier()
        at, lost = self._counters[_TAIL], 0
        samples: list[Sample] = []
        while at < head and len(samples) < limit:
            header = self._bytes(at, _HEADER_SIZE)
            kind, size = int.from_bytes(header[:4], _ORDER), int.from_bytes(header[6:], _ORDER)
            if size < _HEADER_SIZE:
                at = head  # nothing that the kernel writes
                break
            body = self._bytes(at + _HEADER_SIZE, size - _HEADER_SIZE)
            if kind == _SAMPLE:
                length = int.from_bytes(body[:4], _ORDER)
                samples.append(Sample(self.cpu, body[4 : 4 + length]))
            elif kind == _LOST:
                lost += int.from_bytes(body[8:16], _ORDER)
            at += size
        barrier()
        self._counters[_TAIL] = at
        return samples, lost

    def _bytes(self, at: int, size: int) -> bytes:
        start = at % self._size
        contents = self._memory.contents
        first = contents[PAGE_SIZE + start : PAGE_SIZE + min(start + size, self._size)]
        return first + contents[PAGE_SIZE : PAGE_SIZE + size - len(first)]


class PerfBuffer:
    """The reader of a map of perf events: a ring of `pages` pages (a power of two) for each CPU that is running.

    It puts its own events into the map; those of a reader before it are gone. `lost` counts events for which there
    was no room. Raises KernelError.
    """

    is_blocked = False

    def __init__(self, map_: Map, pages: int = DEFAULT_PAGES) -> None:
        if pages < 1 or pages & pages - 1:
            raise ValueError(f"a perf buffer has 1, 2, 4, 8, … pages, not {pages}")
        self.lost = 0
        self._map = map_
        with contextlib.ExitStack() as stack:
            cpus = [cpu for cpu in online_cpus() if cpu < map_.max_entries]
            if not cpus:
                raise ValueError(f"map {map_.name} has no entry for any of the CPUs that are running")
            self._rings = [self._open(cpu, pages, stack) for cpu in cpus]
            self._stack = stack.pop_all()

    def close(self) -> None:
        """Close the events; what programs send to the map from then on is refused to them."""
        self._stack.close()

    def descriptors(self) -> list[int]:
        """What is ready for reading when there are events."""
        return [ring.fd for ring in self._rings]

    def take(self, limit: int) -> list[Sample]:
        """Samples of all CPUs, at most `limit`; they leave the rings."""
        taken: list[Sample] = []
        for ring in self._rings:
            samples, lost = ring.take(limit - len(taken))
            self.lost += lost
            taken += samples
            if len(taken) >= limit:
                break
        # The CPU whose turn is over goes behind the others, so that none is left waiting for ever.
        self._rings.append(self._rings.pop(0))
        return taken

    def _open(self, cpu: int, pages: int, stack: contextlib.ExitStack) -> _CpuRing:
        try:
            ring = _CpuRing(cpu, pages)
        except OSError as error:
            subject = f"map {self._map.name}, CPU {cpu}"
            raise kernel_error(Step.OPEN_BUFFER, subject, error, _CAUSES) from error
        stack.callback(ring.close)
        self._map[cpu] = ring.fd
        return ring


_CAUSES = {
    errno.EACCES: Explanation(
        "the process may not open perf events of all processes",
        "run it with CAP_PERFMON (or CAP_SYS_ADMIN), or lower /proc/sys/kernel/perf_event_paranoid",
    ),
    errno.EPERM: Explanation(
        "the process may not open perf events, or may not lock so much memory for them",
        "run it with CAP_PERFMON and CAP_IPC_LOCK, or ask for fewer pages",
    ),
    errno.EINVAL: Explanation("the kernel does not take so many pages", "ask for fewer pages, a power of two"),
}
