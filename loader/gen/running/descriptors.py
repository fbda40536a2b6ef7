"""The descriptors that a loader program gives back: whether they are of what its description says.

Who uses a map relies on its sizes, so these are compared with what the kernel says of the descriptor: in
/proc/self/fdinfo, which takes no call of bpf(2), or by bpf(2) where there is no /proc.
"""

from __future__ import annotations

import contextlib
import errno
import os
from typing import TYPE_CHECKING

from bpfas.loader import syscall
from bpfas.loader.errors import LoadError, Step
from bpfas.loader.gen.running.invocation import SUBJECT
from bpfas.loader.kinds import MapFlag
from bpfas.loader.privilege import Explanation
from bpfas.loader.syscall.objects import is_object

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bpfas.loader.spec import MapSpec, ProgramSpec

_DESCRIPTORS = "/proc/self/fdinfo"
_LONGEST_FACTS = 4096
_GENERATE_AGAIN = "generate the loader program again; what describes it does not fit to it"

_Facts = dict[str, int]
"""What the kernel says of a descriptor, by its names in /proc/self/fdinfo."""


def check_distinct(descriptors: Sequence[int]) -> None:
    """Raise LoadError if two of these are the same."""
    if len(set(descriptors)) < len(descriptors):
        cause = f"it has ended well, but two of its descriptors are the same: {sorted(descriptors)}"
        raise LoadError(Step.RUN_PROGRAM, SUBJECT, errno.EBADF, Explanation(cause, _GENERATE_AGAIN))


def check_map(spec: MapSpec, fd: int) -> None:
    """Raise LoadError unless `fd` is a map of this type and these sizes: who uses it relies on them."""
    wanted = {"map_type": int(spec.map_type), "key_size": spec.key_size, "value_size": spec.value_size}
    if not spec.map_flags & MapFlag.NO_COMMON_LRU:  # which has the kernel give each CPU as many
        wanted["max_entries"] = spec.max_entries
    _check_descriptor(f"map {spec.name}", wanted, fd, _facts_of_map)


def check_program(spec: ProgramSpec, fd: int) -> None:
    """Raise LoadError unless `fd` is a program of this type."""
    _check_descriptor(f"program {spec.name}", {"prog_type": int(spec.program_type)}, fd, _facts_of_program)


def _check_descriptor(subject: str, wanted: _Facts, fd: int, ask: Callable[[int], _Facts]) -> None:
    """Compare what the kernel says of a descriptor; `ask` finds it out by bpf(2)."""
    try:
        known = _facts_in_proc(fd) if os.path.exists(_DESCRIPTORS) else ask(fd)
    except OSError:
        known = {}
    other = {name: number for name, number in wanted.items() if known.get(name) != number}
    if other:
        found = {name: known[name] for name in other if name in known}
        cause = f"the loader program gave back something else: {_words(found)}; not {_words(other)}"
        raise LoadError(Step.RUN_PROGRAM, subject, errno.EBADF, Explanation(cause, _GENERATE_AGAIN))


def _words(facts: _Facts) -> str:
    return ", ".join(f"{name} {number}" for name, number in facts.items()) or "nothing of the kind"


def _facts_in_proc(fd: int) -> _Facts:
    file = os.open(f"{_DESCRIPTORS}/{fd}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        lines = os.read(file, _LONGEST_FACTS).decode(errors="replace").splitlines()
    finally:
        os.close(file)
    fields = (line.partition(":\t") for line in lines)
    return {name: int(number) for name, _, number in fields if number.isdecimal()}


def _facts_of_map(fd: int) -> _Facts:
    info = syscall.map_info(fd)
    return {
        "map_type": info.type,
        "key_size": info.key_size,
        "value_size": info.value_size,
        "max_entries": info.max_entries,
    }


def _facts_of_program(fd: int) -> _Facts:
    return {"prog_type": syscall.prog_info(fd).type}


def close_all(descriptors: Sequence[int]) -> None:
    """Close those that are of BPF objects: what describes a program may be wrong about where they are."""
    for fd in descriptors:
        with contextlib.suppress(OSError):
            if fd > 0 and is_object(fd):
                os.close(fd)
