"""Probes made by a line in the tracing files, for kernels whose perf events make none (before Linux 4.17).

The probe is an event like a tracepoint; it is taken away when the attachment ends.
Source: the kernel's documents kprobetrace.rst and uprobetracer.rst.
"""

from __future__ import annotations

import errno
import functools
import itertools
import os
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bpfas.loader.attach.failure import attach_error
from bpfas.loader.attach.perf_event import PerfType, attach_to_event, open_event
from bpfas.loader.attach.tracefs import NOT_MOUNTED, append, tracing_directory
from bpfas.loader.privilege import Explanation
from bpfas.loader.syscall.perf import PerfEvent

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bpfas.loader.attach.link import Link
    from bpfas.loader.attach.protocols import Attachable

_LONGEST_STEM = 32
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Probe:
    """A probe: `group` is `kprobe` or `uprobe`, `stem` a part of its name, `place` as the file wants it."""

    group: str
    stem: str
    place: str
    is_return: bool


def attach_by_tracing_file(
    program: Attachable,
    target: str,
    probe: Probe,
    pid: int | None,
    cookie: int,
    explain: Callable[[int], Explanation | None],
) -> Link:
    """Make the probe, and attach the program to it. Raises AttachError."""
    tracing = tracing_directory()
    if tracing is None:
        explanation = Explanation("the tracing files, by which probes are made, are not mounted", NOT_MOUNTED)
        raise attach_error(program, target, errno.ENOENT, explanation=explanation)
    with ExitStack() as stack:
        try:
            event_id = _make(tracing, probe, stack)
        except OSError as error:
            raise attach_error(program, target, error, explain) from error
        event = PerfEvent(PerfType.TRACEPOINT, event_id)
        fd = open_event(program, target, event, pid, 0 if pid is None else -1)
        link = attach_to_event(program, target, fd, cookie)
        link.add_cleanup(stack.pop_all())
        return link


@functools.cache
def has_probe_file(group: str) -> bool:
    """Whether probes of `group` (`kprobe`, `uprobe`) can be made by writing to the tracing files."""
    tracing = tracing_directory()
    return tracing is not None and os.access(tracing / f"{group}_events", os.W_OK)


def _make(tracing: Path, probe: Probe, stack: ExitStack) -> int:
    """The number of the new event; what takes it away again is put on `stack`. Raises OSError."""
    file = tracing / f"{probe.group}_events"
    name = f"{probe.group}s/bpfas_{os.getpid()}_{next(_numbers)}_{_plain(probe.stem)}"
    append(file, f"{'r' if probe.is_return else 'p'}:{name} {probe.place}")
    stack.callback(append, file, f"-:{name}")
    return int((tracing / "events" / name / "id").read_text())


def _plain(name: str) -> str:
    """`name` as part of an event's name."""
    return "".join(char if char.isascii() and char.isalnum() else "_" for char in name)[-_LONGEST_STEM:]
