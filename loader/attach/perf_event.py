"""Perf events, as far as programs are attached to them: opening one, attaching, and what remains of it as a Link.

Kernels since 5.15 make a link of it (which may carry a cookie); before, the program is attached by an ioctl and
stays as long as the event's descriptor is open. Sources: perf_event_open(2), include/uapi/linux/perf_event.h.
"""

from __future__ import annotations

import ctypes
import enum
import errno
import fcntl
import functools
import os
import struct
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from bpfas.loader import syscall
from bpfas.loader.attach.failure import attach_error, link_error
from bpfas.loader.attach.link import KernelLink, Link, LinkGroup
from bpfas.loader.errors import Step
from bpfas.loader.kinds import AttachType
from bpfas.loader.privilege import Explanation
from bpfas.loader.runtime.cpus import online_cpus
from bpfas.loader.syscall.perf import PerfEvent, perf_event_open

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from bpfas.loader.attach.protocols import Attachable

_EVENT_SOURCES = Path("/sys/bus/event_source/devices")


class PerfType(enum.IntEnum):
    """enum perf_type_id."""

    HARDWARE = 0
    SOFTWARE = 1
    TRACEPOINT = 2
    HW_CACHE = 3
    RAW = 4
    BREAKPOINT = 5


_HARDWARE = [
    "cpu-cycles",
    "instructions",
    "cache-references",
    "cache-misses",
    "branch-instructions",
    "branch-misses",
    "bus-cycles",
    "stalled-cycles-frontend",
    "stalled-cycles-backend",
    "ref-cycles",
]
_SOFTWARE = [
    "cpu-clock",
    "task-clock",
    "page-faults",
    "context-switches",
    "cpu-migrations",
    "minor-faults",
    "major-faults",
    "alignment-faults",
    "emulation-faults",
    "dummy",
    "bpf-output",
    "cgroup-switches",
]
_ALIASES = {
    "cycles": "cpu-cycles",
    "branches": "branch-instructions",
    "faults": "page-faults",
    "cs": "context-switches",
}
EVENTS: dict[str, tuple[PerfType, int]] = {
    **{name: (PerfType.HARDWARE, number) for number, name in enumerate(_HARDWARE)},
    **{name: (PerfType.SOFTWARE, number) for number, name in enumerate(_SOFTWARE)},
}
"""The events that have names of their own: type and config."""

_DEFAULT_FREQUENCY = 99
_ENABLE, _DISABLE, _SET_BPF = 0, 1, 8
"""The numbers of the requests of ioctl(2)."""


@functools.cache
def source_type(name: str) -> int | None:
    """The perf type of an event source (`kprobe`, `uprobe`); None where the kernel has no such source."""
    try:
        return int((_EVENT_SOURCES / name / "type").read_text())
    except OSError:
        return None


@functools.cache
def source_bit(name: str, field: str) -> int | None:
    """The first bit of config that a field of an event source lies in; None where it has no such field."""
    try:
        text = (_EVENT_SOURCES / name / "format" / field).read_text()
    except OSError:
        return None
    bits = text.strip().removeprefix("config:")
    return int(bits.partition("-")[0])


class PerfEventLink(Link):
    """A program attached to a perf event by ioctl(2): it stays as long as the event's descriptor is open."""

    def _close(self) -> None:
        fd, self._fd = self._fd, -1
        if self._is_disconnected:
            return
        try:
            fcntl.ioctl(fd, _request(_DISABLE), 0)
        except OSError as error:
            raise link_error(Step.DETACH, self, error) from error
        finally:
            os.close(fd)


def attach_to_event(program: Attachable, target: str, event_fd: int, cookie: int = 0) -> Link:
    """Attach `program` to the event that `event_fd` stands for, and enable it.

    Takes over the descriptor, on failure too. Raises AttachError.
    """
    with ExitStack() as stack:
        stack.callback(os.close, event_fd)
        try:
            fd = _link(program, event_fd, cookie)
            if fd is not None:
                stack.callback(os.close, fd)
            fcntl.ioctl(event_fd, _request(_ENABLE), 0)
        except OSError as error:
            raise attach_error(program, target, error, functools.partial(_cause, cookie)) from error
        stack.pop_all()
    if fd is None:
        return PerfEventLink(program.name, target, event_fd)
    # The link holds the event.
    os.close(event_fd)
    return KernelLink(program.name, target, fd)


def _link(program: Attachable, event_fd: int, cookie: int) -> int | None:
    """The descriptor of a link to the event; None where the kernel has no such links: then without one."""
    options = struct.pack("=Q", cookie)
    try:
        return syscall.link_create(program.fd, event_fd, AttachType.PERF_EVENT, 0, options)
    except OSError as error:
        # A kernel without perf links knows neither the attach type, nor, with a cookie, so much.
        if error.errno not in (errno.EINVAL, errno.E2BIG) or cookie:
            raise
        refused = error
    try:
        fcntl.ioctl(event_fd, _request(_SET_BPF), program.fd)
    except OSError as error:
        raise (refused if error.errno == errno.EINVAL else error) from refused
    return None


def _cause(cookie: int, number: int) -> Explanation | None:
    if number == errno.EINVAL and cookie:
        return Explanation(
            "the program is not of a type for this event, or the kernel knows no cookies (they came with Linux "
            "5.15)",
            "check the program's section name; or attach it without a cookie",
        )
    if number == errno.EINVAL:
        return Explanation(
            "the program is not of a type for this event, or it reads beyond the event's record",
            "check the program's section name, and what it reads of its context",
        )
    if number == errno.EEXIST:
        return Explanation("a program is attached to this perf event already", "open another event")
    return _CAUSES.get(number)


def open_event(
    program: Attachable,
    target: str,
    event: PerfEvent,
    pid: int | None,
    cpu: int,
    explain: Callable[[int], Explanation | None] | None = None,
) -> int:
    """A descriptor of `event`; of all processes where `pid` is None (0: this one). Raises AttachError.

    `explain` says more of some errnos.
    """

    def cause(number: int) -> Explanation | None:
        return (explain(number) if explain else None) or _CAUSES.get(number)

    try:
        return perf_event_open(event, -1 if pid is None else pid, cpu)
    except OSError as error:
        raise attach_error(program, target, error, cause) from error


_PARANOID = Path("/proc/sys/kernel/perf_event_paranoid")
_CAUSES = {
    errno.EACCES: Explanation(
        "the process may not open perf events of others",
        f"run it with CAP_PERFMON (or as root); {_PARANOID} says who may",
    ),
    errno.EPERM: Explanation(
        "the process may not open this perf event",
        f"run it with CAP_PERFMON (or as root), outside of containers that filter it; {_PARANOID} says who may",
    ),
    errno.ESRCH: Explanation("there is no such process", "check the pid"),
    errno.ENOENT: Explanation("this machine has no such event", "perf list shows those that it has"),
    errno.ENODEV: Explanation("there is no such processor, or it is offline"),
    errno.EOPNOTSUPP: Explanation(
        "the machine cannot sample this event (a virtual machine has often no hardware counters)",
        "sample a software event: cpu-clock",
    ),
    errno.ENOSYS: Explanation("the kernel has no perf events: it is built without CONFIG_PERF_EVENTS"),
}


def attach_perf_event(
    program: Attachable,
    *,
    event: str | int,
    frequency: int | None = None,
    period: int | None = None,
    pid: int | None = None,
    cpus: Iterable[int] | None = None,
    cookie: int = 0,
) -> Link:
    """Attach a program of type PERF_EVENT to a perf event.

    `event` is the descriptor of an event that is open (it stays the caller's), or the name of one to open:
    `cpu-clock`, `cache-misses`, `raw:HEX`, … (EVENTS). That is sampled `frequency` times a second (default 99), or
    each time that it has counted `period`; of the process `pid` (default: of all), on `cpus` (default: wherever
    that process runs, or on all). Raises AttachError.
    """
    if isinstance(event, int):
        return attach_to_event(program, f"perf event of descriptor {event}", os.dup(event), cookie)
    target = f"perf event {event}"
    event_type, config = _event_of(program, event)
    if frequency is not None and frequency < 1:
        explanation = Explanation(
            f"the frequency is {frequency}, and once a second is the least", "leave it out: 99"
        )
        raise attach_error(program, target, errno.EINVAL, explanation=explanation)
    if period is None:
        opened = PerfEvent(event_type, config, period=frequency or _DEFAULT_FREQUENCY, is_frequency=True)
    else:
        opened = PerfEvent(event_type, config, period=period)
    if cpus is None:
        cpus = online_cpus() if pid is None else (-1,)
    links: list[Link] = []
    with ExitStack() as stack:
        for cpu in cpus:
            fd = open_event(program, target, opened, pid, cpu)
            links.append(stack.enter_context(attach_to_event(program, f"{target} on CPU {cpu}", fd, cookie)))
        stack.pop_all()
    return links[0] if len(links) == 1 else LinkGroup(program.name, target, links)


def _event_of(program: Attachable, name: str) -> tuple[int, int]:
    kind, _, number = name.partition(":")
    if kind == "raw":
        try:
            return PerfType.RAW, int(number, 16)
        except ValueError:
            pass
    elif found := EVENTS.get(_ALIASES.get(name, name)):
        return found
    explanation = Explanation(
        f"'{name}' is none of the events with names",
        f"they are {', '.join(EVENTS)} and raw:HEX; or open one yourself",
    )
    raise attach_error(program, f"perf event {name}", errno.ENOENT, explanation=explanation)


@functools.cache
def _request(number: int) -> int:
    """The number of a request of ioctl(2) to a perf event, whose direction bits differ by machine."""
    machine = os.uname().machine
    none, write, shift = 0, 1, 30
    if machine.startswith(("alpha", "mips", "ppc", "sparc")):
        none, write, shift = 1, 4, 29
    if number == _SET_BPF:
        return write << shift | ctypes.sizeof(ctypes.c_uint32) << 16 | ord("$") << 8 | number
    return none << shift | ord("$") << 8 | number
