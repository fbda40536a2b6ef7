"""Perf events: perf_event_open(2).

Source: include/uapi/linux/perf_event.h.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import struct

from bpfas.loader.gen.python.parts.kernel import address_of, system_call

CLOSE_ON_EXEC, EVENT_BY_FREQUENCY = 1 << 3, 1 << 10
PERF_ATTRIBUTES = struct.Struct("=IIQQQQQIIQQ")


class PerfEvent:
    """What perf_event_open(2) is asked for: samples at a frequency, or of each event if `sample_type` is given."""

    def __init__(
        self, kind: int, config: int, name: str = "", config2: int = 0, frequency: int = 0, sample_type: int = 0
    ) -> None:
        self.kind = kind
        self.config = config
        self.name = name
        self.config2 = config2
        self.frequency = frequency
        self.sample_type = sample_type

    def open(self, pid: int, cpu: int) -> int:
        """A descriptor of the event. Raises OSError."""
        name = os.fsencode(self.name) + b"\0" if self.name else b""
        is_sampled = int(self.sample_type != 0)
        attributes = PERF_ATTRIBUTES.pack(
            self.kind,
            PERF_ATTRIBUTES.size,
            self.config,
            self.frequency or is_sampled,
            self.sample_type,
            0,
            EVENT_BY_FREQUENCY if self.frequency else 0,
            is_sampled,
            0,
            address_of(name),
            self.config2,
        )
        pointer = ctypes.c_void_p(address_of(attributes))
        where = (ctypes.c_int(pid), ctypes.c_int(cpu), ctypes.c_int(-1))
        return system_call(1, pointer, *where, ctypes.c_ulong(CLOSE_ON_EXEC))


def enable_event(fd: int) -> None:
    """PERF_EVENT_IOC_ENABLE, which machines number in two ways. Raises OSError."""
    other = os.uname().machine.startswith(("alpha", "mips", "ppc", "sparc"))
    fcntl.ioctl(fd, (1 << 29 if other else 0) | ord("$") << 8, 0)
