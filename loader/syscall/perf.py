"""perf_event_open(2): its number on this machine, and calling it.

The one other system call that programs are attached by. Source: include/uapi/linux/perf_event.h.
"""

from __future__ import annotations

import ctypes
import errno
import os
from dataclasses import dataclass

from bpfas.loader.syscall.bpf import U32, U64

_NUMBERS: dict[tuple[str, int], int] = {
    # (machine, bits of a pointer in this process)
    ("x86_64", 64): 298,
    ("x86_64", 32): 336,
    ("aarch64", 64): 241,
    ("aarch64", 32): 364,
    ("riscv64", 64): 241,
    ("riscv32", 32): 241,
    ("loongarch64", 64): 241,
    ("s390x", 64): 331,
    ("s390", 32): 331,
    ("ppc64", 64): 319,
    ("ppc64le", 64): 319,
    ("ppc64", 32): 319,
    ("ppc", 32): 319,
    ("mips64", 64): 5292,
    ("mips64", 32): 4333,
    ("mips", 32): 4333,
    ("sparc64", 64): 327,
    ("parisc64", 32): 318,
    ("parisc", 32): 318,
    ("alpha", 64): 493,
    ("m68k", 32): 332,
    **{(f"i{generation}86", 32): 336 for generation in range(3, 7)},
    **{(machine, 32): 364 for machine in ("armv5tel", "armv6l", "armv7l", "armv8l")},
}
_FREQUENCY = 1 << 10
_CLOSE_ON_EXEC = 1 << 3
_NO_GROUP = -1


class _Attributes(ctypes.Structure):
    """struct perf_event_attr as of Linux 3.2 (PERF_ATTR_SIZE_VER0 and config2)."""

    _fields_ = [
        ("type", U32),
        ("size", U32),
        ("config", U64),
        ("sample_period", U64),
        ("sample_type", U64),
        ("read_format", U64),
        ("flags", U64),
        ("wakeup_events", U32),
        ("bp_type", U32),
        ("config1", U64),
        ("config2", U64),
    ]


@dataclass(frozen=True, slots=True)
class PerfEvent:
    """What perf_event_open(2) is asked for.

    `name`, of a probe, goes where config1 points to; `config1` is for others. `period` counts events between
    samples, or with `is_frequency` samples a second.
    """

    type: int
    config: int = 0
    name: bytes | None = None
    config1: int = 0
    config2: int = 0
    period: int = 0
    is_frequency: bool = False
    sample_type: int = 0
    wakeup_events: int = 0


def perf_event_open(event: PerfEvent, pid: int = -1, cpu: int = -1) -> int:
    """A descriptor of a perf event, which the caller owns; of all processes for pid -1, all processors for cpu -1.

    Raises OSError.
    """
    number = _NUMBERS.get((os.uname().machine, 8 * ctypes.sizeof(ctypes.c_void_p)))
    if number is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    name = None if event.name is None else ctypes.create_string_buffer(event.name)
    attributes = _Attributes(
        type=event.type,
        size=ctypes.sizeof(_Attributes),
        config=event.config,
        sample_period=event.period,
        sample_type=event.sample_type,
        flags=_FREQUENCY if event.is_frequency else 0,
        wakeup_events=event.wakeup_events,
        config1=event.config1 if name is None else ctypes.addressof(name),
        config2=event.config2,
    )
    call = ctypes.CDLL(None, use_errno=True).syscall
    call.restype = ctypes.c_long
    call.argtypes = [ctypes.c_long, ctypes.c_void_p, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_ulong]
    fd: int = call(number, ctypes.addressof(attributes), pid, cpu, _NO_GROUP, _CLOSE_ON_EXEC)
    if fd < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return fd
