"""uprobes and uretprobes, one function (or offset) of an executable or library at a time.

By a perf event of the source `uprobe` (since Linux 4.17), else by an event of the tracing files.
Sources: libbpf 1.8; the kernel's document uprobetracer.rst.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, NamedTuple

from bpfas.diag import BpfasError
from bpfas.loader.attach.binary import open_binary
from bpfas.loader.attach.binary_functions import FunctionNotFoundError, function_offset
from bpfas.loader.attach.failure import attach_error
from bpfas.loader.attach.perf_event import attach_to_event, open_event, source_bit, source_type
from bpfas.loader.attach.probe_file import Probe, attach_by_tracing_file, has_probe_file
from bpfas.loader.attach.section_target import (
    is_number,
    is_return,
    malformed,
    parse_number,
    section_target,
    split_offset,
)
from bpfas.loader.attach.tracefs import NOT_MOUNTED
from bpfas.loader.kernel.config_text import why_unset
from bpfas.loader.privilege import Explanation
from bpfas.loader.syscall.perf import PerfEvent

if TYPE_CHECKING:
    from bpfas.loader.attach.kprobe import Through
    from bpfas.loader.attach.link import Link
    from bpfas.loader.attach.protocols import Attachable

_FORM = "PATH:FUNCTION[+OFFSET]"
_COUNTER_SHIFT = 32
"""Where the offset of a semaphore begins in config, if the event source does not say (ref_ctr_offset)."""
_FOUR_GIB = 1 << 32


class UserPlace(NamedTuple):
    """An instruction of a file, and what it is called; `semaphore` is the offset of a counter, 0 for none."""

    path: str
    offset: int
    name: str
    semaphore: int = 0


def attach_uprobe(
    program: Attachable,
    *,
    path: str | os.PathLike[str] | None = None,
    function: str | None = None,
    offset: int = 0,
    pid: int | None = None,
    retprobe: bool | None = None,
    cookie: int = 0,
    semaphore: int = 0,
    through: Through | None = None,
) -> Link:
    """Attach a program of type KPROBE to a function of an executable or library, `offset` bytes behind its start.

    Without `path`, to that of the section (`uprobe/libc.so.6:malloc`). A `path` without `/` is searched on PATH,
    or where libraries are; `app.apk!/lib.so` is a file in an archive. `function` may say a version (`name@V`);
    without it `offset` counts from the file's start. `pid` limits it to a process (0: this one). With `retprobe`
    (default: as the section says) it runs when the function returns. `cookie` is what bpf_get_attach_cookie()
    gives, `semaphore` the offset of a counter that is raised as long as it is attached. Raises AttachError.
    """
    returns = is_return(program) if retprobe is None else retprobe
    if path is None:
        file, function, offset = _from_section(program)
    else:
        file = os.fspath(path)
    kind = "uretprobe" if returns else "uprobe"
    target = f"{kind} {file}:{_place_name(function, offset)}"
    if returns and function is not None and offset:
        explanation = Explanation("a function returns to one place, so a uretprobe has no offset", "leave it out")
        raise attach_error(program, target, errno.EINVAL, explanation=explanation)
    if function is None and not offset:
        cause = "neither a function nor an offset says where in the file: at its start there are no instructions"
        explanation = Explanation(cause, "say it: function=NAME, or offset=N")
        raise attach_error(program, target, errno.EINVAL, explanation=explanation)
    place = find_place(program, target, file, function, offset)
    return attach_at(
        program,
        target,
        place._replace(semaphore=semaphore),
        pid,
        cookie,
        is_return=returns,
        through=through,
    )


def find_place(program: Attachable, target: str, file: str, function: str | None, offset: int) -> UserPlace:
    """The instruction `offset` bytes behind the start of `function`, or of the file. Raises AttachError."""
    try:
        with open_binary(file) as binary:
            start = binary.start if function is None else function_offset(binary, function)
            return UserPlace(binary.path, start + offset, _place_name(function, offset))
    except BpfasError as error:
        raise binary_error(program, target, error) from error


def binary_error(program: Attachable, target: str, error: BpfasError) -> Exception:
    """The AttachError for a file that cannot be read, or a function that it does not have."""
    if isinstance(error, FunctionNotFoundError):
        return attach_error(program, target, error.errno, explanation=Explanation(error.cause, error.remedy))
    cause = "; ".join(diagnostic.message for diagnostic in error.diagnostics)
    return attach_error(program, target, errno.ENOENT, explanation=Explanation(cause, "check the path"))


def attach_at(
    program: Attachable,
    target: str,
    place: UserPlace,
    pid: int | None,
    cookie: int,
    *,
    is_return: bool,
    through: Through | None = None,
) -> Link:
    """Attach the program to an instruction of a file. Raises AttachError."""
    process = os.getpid() if pid == 0 else pid

    def cause(number: int) -> Explanation | None:
        return _cause(number, place, process)

    if through == "perf" or (through is None and source_type("uprobe") is not None):
        event = _perf_event(program, target, place, is_return=is_return)
        cpu = 0 if process is None else -1
        fd = open_event(program, target, event, process, cpu, cause)
        return attach_to_event(program, target, fd, cookie)
    if not has_probe_file("uprobe"):
        raise attach_error(program, target, errno.ENOENT, explanation=no_uprobes())
    counter = f"({place.semaphore:#x})" if place.semaphore else ""
    probe = Probe("uprobe", place.name, f"{place.path}:{place.offset:#x}{counter}", is_return)
    return attach_by_tracing_file(program, target, probe, process, cookie, cause)


def has_semaphores() -> bool:
    """Whether the kernel raises a probe's semaphore by itself (since Linux 4.20)."""
    return source_bit("uprobe", "ref_ctr_offset") is not None


def split_path(text: str) -> tuple[str, str] | None:
    """`PATH:REST` in its parts; None where one is missing."""
    path, _, rest = text.partition(":")
    return (path, rest) if path and rest else None


def _from_section(program: Attachable) -> tuple[str, str | None, int]:
    text = section_target(program, _FORM)
    parts = split_path(text)
    if parts is None:
        raise malformed(program, text, _FORM)
    path, place = parts
    if is_number(place):
        return path, None, parse_number(place)
    function, offset = split_offset(place)
    return path, function, offset


def _place_name(function: str | None, offset: int) -> str:
    if function is None:
        return f"{offset:#x}"
    return f"{function}+{offset:#x}" if offset else function


def _perf_event(program: Attachable, target: str, place: UserPlace, *, is_return: bool) -> PerfEvent:
    kind = source_type("uprobe")
    if kind is None:
        raise attach_error(program, target, errno.ENOENT, explanation=no_uprobes())
    config = 1 << (source_bit("uprobe", "retprobe") or 0) if is_return else 0
    if place.semaphore:
        if place.semaphore >= _FOUR_GIB or not has_semaphores():
            cause = "the kernel raises no semaphore there: that came with Linux 4.20, for offsets below 4 GiB"
            raise attach_error(program, target, errno.EINVAL, explanation=Explanation(cause))
        config |= place.semaphore << (source_bit("uprobe", "ref_ctr_offset") or _COUNTER_SHIFT)
    return PerfEvent(kind, config, name=os.fsencode(place.path), config2=place.offset)


def no_uprobes() -> Explanation:
    """Why there are no uprobes."""
    for name in ("CONFIG_UPROBES", "CONFIG_UPROBE_EVENTS"):
        if unset := why_unset(name):
            return Explanation(f"this kernel has no uprobes: {unset}", f"use a kernel with {name}=y")
    return Explanation(
        "the kernel offers no uprobes: neither the perf event source 'uprobe' nor the file uprobe_events is there",
        f"use a kernel with CONFIG_UPROBE_EVENTS=y; {NOT_MOUNTED} where that file system is missing",
    )


def _cause(number: int, place: UserPlace, pid: int | None) -> Explanation | None:
    where = f"{place.path} at {place.offset:#x}"
    if number == errno.ENOENT:
        return Explanation(f"there is no file {place.path}", "check the path, also from inside a container")
    if number == errno.ESRCH:
        return Explanation(f"there is no process {pid}", "check the pid")
    if number in (errno.EINVAL, errno.EIO, errno.ENOEXEC, errno.EILSEQ, errno.ENOTSUP):
        return Explanation(
            f"the kernel cannot probe {where}: no instruction begins there, the offset is beyond the file's end, "
            "it is no file on a disk, or the instruction is not one that can be probed",
            "give the offset of the first byte of another instruction, as objdump -d lists them",
        )
    return None
