"""Attaching, each way tried with a program that returns at once, and undone before the next one.

Programs are attached to functions that the kernel has for tests, to a file that nobody runs, to a new cgroup. What
needs a network namespace of its own is in `network`. Sources: perf_event_open(2), include/uapi/linux/bpf.h.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import struct
import tempfile
from typing import TYPE_CHECKING

from bpfas.btf.kinds import Kind
from bpfas.loader import syscall
from bpfas.loader.attach.perf_event import PerfType, source_type
from bpfas.loader.attach.tracefs import NOT_MOUNTED, tracepoint_id, tracing_directory
from bpfas.loader.doctor.finding import Finding, Need
from bpfas.loader.doctor.machine import mounts
from bpfas.loader.doctor.network import NETWORK_WAYS, new_network
from bpfas.loader.doctor.operations import register_congestion_control
from bpfas.loader.doctor.targets import load_for, replacement
from bpfas.loader.doctor.way import NotTriedError, Way, load, returning
from bpfas.loader.kernel.trial import closing
from bpfas.loader.kinds import AttachType, MapType, ProgramType
from bpfas.loader.syscall.perf import PerfEvent, perf_event_open

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_P, _A = ProgramType, AttachType
_TEST_FUNCTION = "bpf_fentry_test1"
_TRACEPOINT = "task_rename"
_ALLOW = 1
_SOFTWARE_CLOCK = 0
_FIRST_CPU = 0
_SET_BPF = 0x40042408  # PERF_EVENT_IOC_SET_BPF
_SIZE_OF_FILE = 4096


def examine_attaching() -> Iterator[Finding]:
    """Each way of attaching."""
    for way in _WAYS:
        yield way.tried()
    with new_network() as call:
        for way in NETWORK_WAYS:
            yield _inside(way, call).tried()


def _inside(way: Way, call: Callable[[Callable[[], None]], None]) -> Way:
    """The same way, tried where `call` has it tried."""
    return way._replace(attach=lambda: call(way.attach))


def _close_both(fd: int, attach: Callable[[int], int]) -> None:
    """Attach a program, and close its descriptor and that of the link."""
    with closing(fd):
        os.close(attach(fd))


def _perf(program_type: ProgramType, event: PerfEvent, pid: int = -1, cpu: int = _FIRST_CPU) -> None:
    """Attach a program to a perf event, by a link or as kernels before 5.15 do it; and close both."""
    with closing(load(program_type)) as fd, closing(perf_event_open(event, pid, cpu)) as event_fd:
        try:
            os.close(syscall.link_create(fd, event_fd, _A.PERF_EVENT))
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            fcntl.ioctl(event_fd, _SET_BPF, fd)


def _source(name: str) -> int:
    number = source_type(name)
    if number is None:
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
    return number


def _tracing() -> Path:
    directory = tracing_directory()
    if directory is None:
        raise NotTriedError("tracefs is not mounted", NOT_MOUNTED)
    return directory


def _tracepoint() -> None:
    number = tracepoint_id(_tracing(), "task", _TRACEPOINT)
    if number is None:
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
    _perf(_P.TRACEPOINT, PerfEvent(PerfType.TRACEPOINT, number))


def _raw_tracepoint() -> None:
    _close_both(load(_P.RAW_TRACEPOINT), lambda fd: syscall.raw_tracepoint_open(fd, _TRACEPOINT))


def _perf_event() -> None:
    event = PerfEvent(PerfType.SOFTWARE, _SOFTWARE_CLOCK, period=1_000_000_000)
    _perf(_P.PERF_EVENT, event, pid=0, cpu=-1)


def _kprobe() -> None:
    _perf(_P.KPROBE, PerfEvent(_source("kprobe"), name=_TEST_FUNCTION.encode()))


def _written(name: str) -> Callable[[], None]:
    """Opening a file of tracefs that probes are written to."""

    def attach() -> None:
        os.close(os.open(_tracing() / name, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC))

    return attach


def _kprobe_multi(attach_type: AttachType) -> Callable[[], None]:
    def attach() -> None:
        name = ctypes.create_string_buffer(_TEST_FUNCTION.encode())
        names = ctypes.c_uint64(ctypes.addressof(name))
        options = struct.pack("=IIQQQ", 0, 1, ctypes.addressof(names), 0, 0)
        fd = load(_P.KPROBE, attach_type)
        _close_both(fd, lambda fd: syscall.link_create(fd, 0, attach_type, options=options))

    return attach


@contextlib.contextmanager
def _file() -> Iterator[str]:
    """The path of a file that could be code, but that nobody runs."""
    with tempfile.NamedTemporaryFile(prefix="bpfas-doctor-") as file:
        file.write(bytes(_SIZE_OF_FILE))
        file.flush()
        yield file.name


def _uprobe() -> None:
    with _file() as path:
        _perf(_P.KPROBE, PerfEvent(_source("uprobe"), name=os.fsencode(path)))


def _uprobe_multi(attach_type: AttachType) -> Callable[[], None]:
    def attach() -> None:
        with _file() as path:
            name, offset = ctypes.create_string_buffer(os.fsencode(path)), ctypes.c_uint64(0)
            addresses = (ctypes.addressof(name), ctypes.addressof(offset), 0, 0)
            options = struct.pack("=4QIIiI", *addresses, 1, 0, 0, 0)
            fd = load(_P.KPROBE, attach_type)
            _close_both(fd, lambda fd: syscall.link_create(fd, 0, attach_type, options=options))

    return attach


def _trampoline(program_type: ProgramType, attach_type: AttachType, target: str) -> Callable[[], None]:
    return lambda: _close_both(
        load_for(program_type, attach_type, target), lambda fd: syscall.raw_tracepoint_open(fd, None)
    )


def _typed_tracepoint() -> None:
    fd = load_for(_P.TRACING, _A.TRACE_RAW_TP, f"btf_trace_{_TRACEPOINT}", Kind.TYPEDEF)
    _close_both(fd, lambda fd: syscall.raw_tracepoint_open(fd, None))


def _replaced_function() -> None:
    with replacement() as programs:
        os.close(syscall.raw_tracepoint_open(programs.program, None))


def _iterator() -> None:
    with (
        closing(load_for(_P.TRACING, _A.TRACE_ITER, "bpf_iter_bpf_map")) as fd,
        closing(syscall.link_create(fd, 0, _A.TRACE_ITER)) as link,
        closing(syscall.iter_create(link)) as output,
    ):
        os.read(output, 1)


@contextlib.contextmanager
def _cgroup() -> Iterator[int]:
    """A descriptor of a new cgroup without processes."""
    places = [mount.place for mount in mounts() if mount.kind == "cgroup2"]
    if not places:
        raise NotTriedError("no cgroup2 is mounted", "mount -t cgroup2 cgroup2 /sys/fs/cgroup")
    try:
        path = tempfile.mkdtemp(prefix="bpfas-doctor-", dir=places[-1])
    except OSError as error:
        why = f"no cgroup can be made in {places[-1]}: {error.strerror}"
        raise NotTriedError(why, "run it as root") from error
    try:
        with closing(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)) as fd:
            yield fd
    finally:
        os.rmdir(path)


def _cgroup_link() -> None:
    with _cgroup() as cgroup, closing(load(_P.CGROUP_SKB, 0, returning(_ALLOW))) as fd:
        os.close(syscall.link_create(fd, cgroup, _A.CGROUP_INET_INGRESS))


def _cgroup_attach() -> None:
    with _cgroup() as cgroup, closing(load(_P.CGROUP_SKB, 0, returning(_ALLOW))) as fd:
        syscall.prog_attach(cgroup, fd, _A.CGROUP_INET_INGRESS)
        syscall.prog_detach(cgroup, fd, _A.CGROUP_INET_INGRESS)


def _sockmap() -> None:
    attach_type = _A.SK_SKB_STREAM_VERDICT
    with (
        closing(syscall.map_create("", MapType.SOCKMAP, 4, 4, 1)) as sockets,
        closing(load(_P.SK_SKB, attach_type, returning(_ALLOW))) as fd,
    ):
        syscall.prog_attach(sockets, fd, attach_type)
        syscall.prog_detach(sockets, fd, attach_type)


def _test_run() -> None:
    with closing(load(_P.XDP, 0, returning(2))) as fd:
        syscall.prog_test_run(fd, bytes(64), 64, b"", 0, 1)


_KPROBES = ("CONFIG_KPROBE_EVENTS",)
_UPROBES = ("CONFIG_UPROBE_EVENTS",)
_TRAMPOLINES = ("CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS",)
_TO_TEST = f"a program was attached to {_TEST_FUNCTION}"
_TO_FILE = "a program was attached to a file that nobody runs"
_WAYS = (
    Way("test run", "a program was run once on a packet", _test_run, _P.XDP, Need("4.12")),
    Way("tracepoint", f"a program was attached to task/{_TRACEPOINT} by perf", _tracepoint, _P.TRACEPOINT),
    Way("raw tracepoint", f"a program was attached to {_TRACEPOINT}", _raw_tracepoint, _P.RAW_TRACEPOINT),
    Way("tp_btf", f"a program was attached to {_TRACEPOINT}", _typed_tracepoint, _P.TRACING, Need("5.5")),
    Way("perf event", "a program was attached to the software clock of this process", _perf_event, _P.PERF_EVENT),
    Way("kprobe: perf", f"{_TO_TEST} by perf", _kprobe, _P.KPROBE, Need("4.17", _KPROBES)),
    Way(
        "kprobe: tracefs",
        "kprobe_events was opened for writing",
        _written("kprobe_events"),
        _P.KPROBE,
        Need("4.1", _KPROBES),
    ),
    Way(
        "kprobe.multi",
        f"{_TO_TEST} by a link",
        _kprobe_multi(_A.TRACE_KPROBE_MULTI),
        _P.KPROBE,
        Need("5.18", ("CONFIG_FPROBE",)),
    ),
    Way(
        "kprobe.session",
        f"{_TO_TEST} by a link",
        _kprobe_multi(_A.TRACE_KPROBE_SESSION),
        _P.KPROBE,
        Need("6.10", ("CONFIG_FPROBE",)),
    ),
    Way("uprobe: perf", f"{_TO_FILE} by perf", _uprobe, _P.KPROBE, Need("4.17", _UPROBES)),
    Way(
        "uprobe: tracefs",
        "uprobe_events was opened for writing",
        _written("uprobe_events"),
        _P.KPROBE,
        Need("4.3", _UPROBES),
    ),
    Way(
        "uprobe.multi",
        f"{_TO_FILE} by a link",
        _uprobe_multi(_A.TRACE_UPROBE_MULTI),
        _P.KPROBE,
        Need("6.6", _UPROBES),
    ),
    Way(
        "uprobe.session",
        f"{_TO_FILE} by a link",
        _uprobe_multi(_A.TRACE_UPROBE_SESSION),
        _P.KPROBE,
        Need("6.13", _UPROBES),
    ),
    Way(
        "fentry",
        _TO_TEST,
        _trampoline(_P.TRACING, _A.TRACE_FENTRY, _TEST_FUNCTION),
        _P.TRACING,
        Need("5.5", _TRAMPOLINES),
    ),
    Way(
        "fexit",
        _TO_TEST,
        _trampoline(_P.TRACING, _A.TRACE_FEXIT, _TEST_FUNCTION),
        _P.TRACING,
        Need("5.5", _TRAMPOLINES),
    ),
    Way(
        "fmod_ret",
        "a program was attached to security_syslog",
        _trampoline(_P.TRACING, _A.MODIFY_RETURN, "security_syslog"),
        _P.TRACING,
        Need("5.7", _TRAMPOLINES),
    ),
    Way(
        "lsm",
        "a program was attached to the hook syslog",
        _trampoline(_P.LSM, _A.LSM_MAC, "bpf_lsm_syslog"),
        _P.LSM,
        Need("5.7", ("CONFIG_BPF_LSM",)),
    ),
    Way(
        "freplace",
        "a function of a program was replaced",
        _replaced_function,
        _P.EXT,
        Need("5.6", _TRAMPOLINES),
    ),
    Way("iterator", "a program for each map was attached and read", _iterator, _P.TRACING, Need("5.8")),
    Way(
        "struct_ops",
        "a congestion control was registered",
        register_congestion_control,
        _P.STRUCT_OPS,
        Need("5.6", ("CONFIG_BPF_JIT",)),
    ),
    Way("cgroup: link", "a link to a new cgroup was made", _cgroup_link, _P.CGROUP_SKB, Need("5.7")),
    Way("cgroup: no link", "a program was attached to a new cgroup", _cgroup_attach, _P.CGROUP_SKB, Need("4.10")),
    Way("sockmap", "a program was attached to a map of sockets", _sockmap, _P.SK_SKB, Need("4.14")),
)
