"""The descriptors that a loader program gives back: whether they are of what its description says.

Who uses a map relies on its sizes, so these are compared with what the kernel says of the descriptor; it does so
without bpf(2), in /proc/self/fdinfo.
"""

from __future__ import annotations

import contextlib
import errno
import os
from typing import TYPE_CHECKING

from bpfas.loader.errors import LoadError, Step
from bpfas.loader.gen.running.invocation import SUBJECT
from bpfas.loader.privilege import Explanation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bpfas.loader.spec import MapSpec, ProgramSpec

_LONGEST_FACTS = 4096
_GENERATE_AGAIN = "generate the loader program again; what describes it does not fit to it"


def check_distinct(descriptors: Sequence[int]) -> None:
    """Raise LoadError if two of these are the same."""
    if len(set(descriptors)) < len(descriptors):
        cause = f"it has ended well, but two of its descriptors are the same: {sorted(descriptors)}"
        raise LoadError(Step.RUN_PROGRAM, SUBJECT, errno.EBADF, Explanation(cause, _GENERATE_AGAIN))


def check_map(spec: MapSpec, fd: int) -> None:
    """Raise LoadError unless `fd` is a map of this type and these sizes: who uses it relies on them."""
    wanted = (
        f"map_type:\t{spec.map_type:d}\nkey_size:\t{spec.key_size}\n"
        f"value_size:\t{spec.value_size}\nmax_entries:\t{spec.max_entries}\n"
    )
    _check_descriptor(f"map {spec.name}", wanted, fd)


def check_program(spec: ProgramSpec, fd: int) -> None:
    """Raise LoadError unless `fd` is a program of this type."""
    _check_descriptor(f"program {spec.name}", f"prog_type:\t{spec.program_type:d}\n", fd)


def _check_descriptor(subject: str, wanted: str, fd: int) -> None:
    """Compare what the kernel says of a descriptor, which it does without bpf(2)."""
    try:
        facts = os.open(f"/proc/self/fdinfo/{fd}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            found = os.read(facts, _LONGEST_FACTS).decode(errors="replace")
        finally:
            os.close(facts)
    except OSError:
        found = "nothing"
    if wanted not in found:
        texts = (", ".join(text.replace("\t", " ").split("\n")).strip(", ") for text in (found, wanted))
        cause = "the loader program gave back something else: {}; not {}".format(*texts)
        raise LoadError(Step.RUN_PROGRAM, subject, errno.EBADF, Explanation(cause, _GENERATE_AGAIN))


def close_all(descriptors: Sequence[int]) -> None:
    """Close those that are of BPF objects: what describes a program may be wrong about where they are."""
    for fd in descriptors:
        with contextlib.suppress(OSError):
            if fd > 0 and os.readlink(f"/proc/self/fd/{fd}").startswith("anon_inode:bpf"):
                os.close(fd)
