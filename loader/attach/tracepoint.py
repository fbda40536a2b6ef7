"""Tracepoints: with their records (type TRACEPOINT, by a perf event), and raw (by BPF_RAW_TRACEPOINT_OPEN).

Source: libbpf 1.8.
"""

from __future__ import annotations

import errno
import functools
import re
from typing import TYPE_CHECKING

from bpfas.loader import syscall
from bpfas.loader.attach.failure import attach_error
from bpfas.loader.attach.kernel_functions import nearest_of
from bpfas.loader.attach.link import KernelLink
from bpfas.loader.attach.perf_event import PerfType, attach_to_event, open_event
from bpfas.loader.attach.section_target import malformed, section_target
from bpfas.loader.attach.tracefs import NOT_MOUNTED, tracepoint_id, tracepoints, tracing_directory
from bpfas.loader.kernel.config_text import why_unset
from bpfas.loader.kernel.type_files import VMLINUX_BTF
from bpfas.loader.privilege import Explanation
from bpfas.loader.syscall.perf import PerfEvent

if TYPE_CHECKING:
    from pathlib import Path

    from bpfas.loader.attach.link import Link
    from bpfas.loader.attach.protocols import Attachable

_FORM = "CATEGORY/NAME"


def attach_tracepoint(
    program: Attachable,
    *,
    category: str | None = None,
    name: str | None = None,
    pid: int | None = None,
    cookie: int = 0,
) -> Link:
    """Attach a program of type TRACEPOINT to the tracepoint `category`/`name`.

    Without these, to that of the section (`tp/sched/sched_switch`). `pid` limits it to a process (0: this one);
    `cookie` is what bpf_get_attach_cookie() gives. Raises AttachError.
    """
    if (category is None) != (name is None):
        raise TypeError("attach() takes category and name together")
    if category is None or name is None:
        text = section_target(program, _FORM)
        category, slash, name = text.partition("/")
        if not slash or not category or not name:
            raise malformed(program, text, _FORM)
    target = f"tracepoint {category}/{name}"
    tracing = tracing_directory()
    if tracing is None:
        raise attach_error(program, target, errno.ENOENT, explanation=_no_tracing_files())
    try:
        number = tracepoint_id(tracing, category, name)
    except OSError as error:
        cause = Explanation(f"the process may not read {tracing}", "run it as root, or with access to these files")
        raise attach_error(program, target, error, explanation=cause) from error
    if number is None:
        raise attach_error(program, target, errno.ENOENT, explanation=_no_tracepoint(tracing, category, name))
    event = PerfEvent(PerfType.TRACEPOINT, number)
    fd = open_event(program, target, event, pid, 0 if pid is None else -1)
    return attach_to_event(program, target, fd, cookie)


def attach_raw_tracepoint(program: Attachable, *, name: str | None = None, cookie: int = 0) -> Link:
    """Attach a program of type RAW_TRACEPOINT (or …_WRITABLE) to the tracepoint `name`.

    Without it, to that of the section (`raw_tp/sched_switch`). A `cookie` needs Linux 6.9. Raises AttachError.
    """
    chosen = section_target(program, "NAME") if name is None else name
    target = f"raw tracepoint {chosen}"
    try:
        fd = syscall.raw_tracepoint_open(program.fd, chosen, cookie)
    except OSError as error:

        def cause(number: int) -> Explanation | None:
            return _raw_cause(number, chosen, cookie)

        raise attach_error(program, target, error, cause) from error
    return KernelLink(program.name, target, fd)


def _no_tracing_files() -> Explanation:
    if unset := why_unset("CONFIG_EVENT_TRACING"):
        return Explanation(
            f"this kernel has no events of tracepoints: {unset}",
            "use a kernel with CONFIG_FTRACE=y; raw tracepoints (raw_tp/NAME) may do without",
        )
    return Explanation(
        "the tracing files, which number the tracepoints, are not mounted, or the process may not read them",
        f"{NOT_MOUNTED}; a raw tracepoint (raw_tp/NAME) does without",
    )


def _no_tracepoint(tracing: Path, category: str, name: str) -> Explanation:
    known = tracepoints(tracing)
    elsewhere = [each for each in known if each.endswith(f"/{name}")]
    if elsewhere:
        return Explanation(f"there is no tracepoint '{name}' in '{category}'", f"there is {', '.join(elsewhere)}")
    if not (tracing / "events" / category).is_dir():
        categories = {each.partition("/")[0] for each in known}
        similar = nearest_of(category, categories)
        return Explanation(
            f"there are no tracepoints '{category}'",
            similar or f"their module may not be loaded; {tracing}/available_events lists the tracepoints",
        )
    names = [each for each in known if each.startswith(f"{category}/")]
    similar = nearest_of(f"{category}/{name}", names)
    return Explanation(
        f"there is no tracepoint '{category}/{name}'",
        similar or f"{tracing}/available_events lists the tracepoints",
    )


def _raw_cause(number: int, name: str, cookie: int) -> Explanation | None:
    if number == errno.ENOENT:
        known = raw_tracepoint_names()
        if "/" in name:
            return Explanation(
                f"raw tracepoints have no category: there is none called '{name}'",
                f"leave the category out: {name.rpartition('/')[2]}",
            )
        similar = nearest_of(name, known)
        remedy = similar or "its module may not be loaded"
        return Explanation(f"the kernel has no raw tracepoint '{name}'", remedy)
    if number == errno.EINVAL and cookie:
        return Explanation(
            "the program reads more arguments than the tracepoint has, or the kernel knows no cookies of raw "
            "tracepoints (they came with Linux 6.9)",
            "attach it without a cookie",
        )
    if number == errno.EINVAL:
        return Explanation(
            "the program reads or writes more than the tracepoint has",
            "look at the tracepoint's arguments: TRACE_EVENT in the kernel's include/trace/events",
        )
    return None


@functools.cache
def raw_tracepoint_names() -> frozenset[str]:
    """The tracepoints that vmlinux has types of, which are all but those of modules."""
    try:
        data = VMLINUX_BTF.read_bytes()
    except OSError:
        return frozenset()
    return frozenset(name.decode() for name in re.findall(rb"(?<=\0btf_trace_)[A-Za-z0-9_]+(?=\0)", data))
