"""Programs at perf events: kprobes, uprobes, tracepoints, samples."""

from __future__ import annotations

import errno
import os
import struct
from typing import TYPE_CHECKING

from bpfas.loader.gen.python.parts.cpus import online_cpus
from bpfas.loader.gen.python.parts.kernel import AttachError, read_text
from bpfas.loader.gen.python.parts.links import attach_error, link_create
from bpfas.loader.gen.python.parts.perf_events import PerfEvent, enable_event
from bpfas.loader.gen.python.parts.programs import Program

if TYPE_CHECKING:
    from bpfas.loader.gen.python.parts.links import Link

ATTACH_PERF_EVENT = 41
EVENT_SOURCES = "/sys/bus/event_source/devices"
SYSCALL_PREFIXES = (
    "__x64_sys",
    "__arm64_sys",
    "__arm_sys",
    "__s390x_sys",
    "__riscv_sys",
    "__powerpc64_sys",
    "__powerpc_sys",
    "__mips_sys",
    "__ia32_sys",
    "__se_sys",
    "sys",
    "SyS",
)
TRACING_FILES = ("/sys/kernel/tracing", "/sys/kernel/debug/tracing")


def link_to_event(
    program: Program, words: str, event: PerfEvent, pid: int = -1, cpu: int = 0, cookie: int = 0
) -> Link:
    """A link to a perf event, which holds the event. Raises AttachError."""
    fd = program.descriptor()
    try:
        event_fd = event.open(pid, cpu)
    except OSError as error:
        reasons = {
            errno.ENOENT: "there is no such function, event or file",
            errno.EACCES: "it takes root, or CAP_PERFMON (/proc/sys/kernel/perf_event_paranoid)",
            errno.EINVAL: "the kernel cannot probe there, or has no such event",
        }
        number = error.errno or 0
        raise AttachError(f"attach {words}", number, reasons.get(number, error.strerror or "")) from None
    try:
        link = link_create(words, fd, event_fd, ATTACH_PERF_EVENT, 0, struct.pack("=Q", cookie))
        try:
            enable_event(event_fd)
        except OSError as error:
            link.close()
            raise attach_error(words, error) from None
        return program.attached(link)
    finally:
        os.close(event_fd)


def probe_event(words: str, source: str, name: str, offset: int, returns: bool) -> PerfEvent:
    """The event of a kprobe or uprobe. Raises AttachError where the kernel has none."""
    try:
        kind = int(read_text(f"{EVENT_SOURCES}/{source}/type"))
        bit = int(read_text(f"{EVENT_SOURCES}/{source}/format/retprobe").strip().partition(":")[2])
    except OSError:
        reason = f"this kernel has no {source}s (CONFIG_{source.upper()}_EVENTS)"
        raise AttachError(f"attach {words}", errno.EOPNOTSUPP, reason) from None
    return PerfEvent(kind, 1 << bit if returns else 0, name, offset)


def split_place(place: str) -> tuple[str, int]:
    """`NAME+OFFSET` in its parts."""
    name, _, offset = place.partition("+")
    return name, int(offset, 0) if offset else 0


class EventProgram(Program):
    """A program whose section says which event."""

    @property
    def attaches_by_section(self) -> bool:  # type: ignore[override]
        """Whether the section says to what."""
        return bool(self.target)

    def place(self, given: str, form: str) -> str:
        """What is given, or what the section says. Raises AttachError where that is nothing."""
        if not (given or self.target):
            raise AttachError(f"attach {self.name}", errno.EINVAL, f"say to what: attach('{form}')")
        return given or self.target


class KprobeProgram(EventProgram):
    """A program of section kprobe or kretprobe."""

    def attach(self, function: str = "", retprobe: bool | None = None, cookie: int = 0) -> Link:
        """Attach it to a function of the kernel, `NAME` or `NAME+OFFSET` (default: as the section says).

        With `retprobe` (default: as the section says) it runs when the function returns. Raises AttachError.
        """
        name, offset = split_place(self.place(function, "FUNCTION"))
        returns = self.section.startswith("kret") if retprobe is None else retprobe
        words = f"{self.name} to {'kretprobe' if returns else 'kprobe'} {name}"
        return link_to_event(self, words, probe_event(words, "kprobe", name, offset, returns), cookie=cookie)


class KsyscallProgram(EventProgram):
    """A program of section ksyscall or kretsyscall."""

    def attach(self, syscall: str = "", cookie: int = 0) -> Link:
        """Attach it to the kernel's function for a system call (default: as the section says).

        Raises AttachError.
        """
        name = self.place(syscall, "openat")
        wanted = [f"{prefix}_{name}" for prefix in SYSCALL_PREFIXES]
        try:
            symbols = read_text("/proc/kallsyms").splitlines()
        except OSError:
            symbols = []  # the most usual name may do
        known = {line.split()[2] for line in symbols if line.endswith(name)}
        function = next((each for each in wanted if each in known), wanted[0])
        returns = self.section.startswith("kret")
        words = f"{self.name} to system call {name}"
        return link_to_event(self, words, probe_event(words, "kprobe", function, 0, returns), cookie=cookie)


class TracepointProgram(EventProgram):
    """A program of section tracepoint."""

    def attach(self, tracepoint: str = "", cookie: int = 0) -> Link:
        """Attach it to a tracepoint, `CATEGORY/NAME` (default: as the section says). Raises AttachError."""
        name = self.place(tracepoint, "syscalls/sys_enter_openat")
        words = f"{self.name} to tracepoint {name}"
        for directory in TRACING_FILES:
            try:
                number = int(read_text(f"{directory}/events/{name}/id"))
            except OSError:
                continue
            return link_to_event(self, words, PerfEvent(2, number), cookie=cookie)
        reason = f"there is no such tracepoint, or the tracing files are not mounted ({TRACING_FILES[0]})"
        raise AttachError(f"attach {words}", errno.ENOENT, reason)


class SampleProgram(Program):
    """A program of section perf_event."""

    def attach(self, frequency: int = 99, kind: int = 1, config: int = 0, cookie: int = 0) -> list[Link]:
        """Attach it to a perf event on every CPU that is online, so many times a second; the links.

        `kind` and `config` are type and config of struct perf_event_attr, by default those of cpu-clock. Raises
        AttachError.
        """
        links: list[Link] = []
        try:
            for cpu in online_cpus():
                event = PerfEvent(kind, config, frequency=frequency)
                links.append(link_to_event(self, f"{self.name} to CPU {cpu}", event, cpu=cpu, cookie=cookie))
        except BaseException:
            for link in links:
                link.close()
            raise
        return links
