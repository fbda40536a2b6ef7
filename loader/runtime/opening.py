"""Descriptors of what is in the kernel already: pinned, or by its id.

What becomes of the descriptor is for `bpfas.loader.runtime.maps` and `bpfas.loader.runtime.programs`. The kernel
says what a descriptor is of by the name of its file.
"""

from __future__ import annotations

import enum
import errno
import os
from typing import TYPE_CHECKING

from bpfas.btf.reader import read_btf
from bpfas.diag import BpfasError
from bpfas.elf.constants import HOST_ORDER
from bpfas.loader import syscall
from bpfas.loader.errors import KernelError, Step, kernel_error
from bpfas.loader.privilege import Explanation

if TYPE_CHECKING:
    from bpfas.btf.btf import Btf


class ObjectKind(enum.Enum):
    """What a descriptor of bpf(2) is of; the value is how the kernel calls its file."""

    MAP = "bpf-map"
    PROGRAM = "bpf-prog"
    LINK = "bpf-link"
    BTF = "btf"

    @property
    def word(self) -> str:
        """How messages call it."""
        return _WORDS[self]


_WORDS = {
    ObjectKind.MAP: "map",
    ObjectKind.PROGRAM: "program",
    ObjectKind.LINK: "link",
    ObjectKind.BTF: "BTF object",
}
_STEPS = {ObjectKind.MAP: Step.OPEN_MAP, ObjectKind.PROGRAM: Step.OPEN_PROGRAM, ObjectKind.LINK: Step.OPEN_LINK}
_BY_ID = {
    ObjectKind.MAP: syscall.Command.MAP_GET_FD_BY_ID,
    ObjectKind.PROGRAM: syscall.Command.PROG_GET_FD_BY_ID,
    ObjectKind.LINK: syscall.Command.LINK_GET_FD_BY_ID,
}
_CAUSES = {
    errno.ENOENT: Explanation(
        "there is nothing of that name or number", "bpf-load maps and bpf-load progs list what there is"
    ),
    errno.EACCES: Explanation(
        "it is not pinned there, or this process may not open it", "give a path below /sys/fs/bpf"
    ),
    errno.EINVAL: Explanation("the path is not on a BPF file system", "give a path below /sys/fs/bpf"),
}


def kind_of_descriptor(fd: int) -> ObjectKind | None:
    """What a descriptor is of, None for what is not bpf(2)'s. Raises OSError where /proc is not mounted."""
    target = os.readlink(f"/proc/self/fd/{fd}").removeprefix("anon_inode:").strip("[]").replace("_", "-")
    return ObjectKind(target) if target in {kind.value for kind in ObjectKind} else None


def open_pinned(path: str | os.PathLike[str], kind: ObjectKind) -> int:
    """A descriptor of the map, program or link that is pinned at `path`. Raises KernelError."""
    name = os.fspath(path)
    subject = f"{kind.word} {name}"
    try:
        fd = syscall.obj_get(name)
    except OSError as error:
        raise kernel_error(_STEPS[kind], subject, error, _CAUSES) from error
    try:
        found = kind_of_descriptor(fd)
    except OSError as error:
        os.close(fd)
        raise kernel_error(_STEPS[kind], subject, error, _CAUSES) from error
    if found is not kind:
        os.close(fd)
        what = f"a {found.word}" if found else "something else"
        explanation = Explanation(f"what is pinned there is {what}, not a {kind.word}")
        raise KernelError(_STEPS[kind], subject, errno.EINVAL, explanation)
    return fd


def open_by_id(object_id: int, kind: ObjectKind) -> int:
    """A descriptor of what the kernel lists by this number. Raises KernelError."""
    subject = f"{kind.word} {object_id}"
    try:
        return syscall.fd_by_id(_BY_ID[kind], object_id)
    except OSError as error:
        raise kernel_error(_STEPS[kind], subject, error, _CAUSES) from error


def types_of(btf_id: int, name: str) -> Btf | None:
    """The types that the kernel has by this number; None where it has none, or none that may or can be read."""
    if not btf_id:
        return None
    try:
        return read_btf(syscall.btf_data_by_id(btf_id), HOST_ORDER, name)
    except (OSError, BpfasError):
        return None
