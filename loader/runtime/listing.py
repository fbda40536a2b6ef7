"""What is in the kernel of this machine: all maps, programs, links and BTF objects, and what is pinned where.

Needs CAP_SYS_ADMIN; what vanishes while it is listed is left out.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from bpfas.loader import syscall
from bpfas.loader.errors import Step, kernel_error
from bpfas.loader.runtime.opening import ObjectKind, kind_of_descriptor
from bpfas.loader.syscall import Command

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bpfas.loader.syscall import BtfInfo, LinkInfo, MapInfo, ProgramInfo

T = TypeVar("T")

DEFAULT_ROOT = "/sys/fs/bpf"


class Pinned(NamedTuple):
    """A name in a BPF file system: its path, of what kind of object it is, and the object's id."""

    path: str
    kind: ObjectKind
    id: int


def list_maps() -> list[MapInfo]:
    """What the kernel says of every map, by ascending id. Raises KernelError."""
    return list(_listed(Command.MAP_GET_FD_BY_ID, syscall.map_info, "maps"))


def list_programs() -> list[ProgramInfo]:
    """What the kernel says of every program, by ascending id. Raises KernelError."""
    return list(_listed(Command.PROG_GET_FD_BY_ID, syscall.prog_info, "programs"))


def list_links() -> list[LinkInfo]:
    """What the kernel says of every link, by ascending id. Raises KernelError."""
    return list(_listed(Command.LINK_GET_FD_BY_ID, syscall.link_info, "links"))


def list_btf() -> list[BtfInfo]:
    """What the kernel says of every BTF object (its own, modules', programs'). Raises KernelError."""
    return list(_listed(Command.BTF_GET_FD_BY_ID, syscall.btf_info, "BTF objects"))


def list_pins(root: str | os.PathLike[str] = DEFAULT_ROOT) -> list[Pinned]:
    """The names of maps, programs and links below `root`, sorted by their paths."""
    found = []
    for directory, _, names in os.walk(root):
        for name in names:
            path = os.path.join(directory, name)
            pinned = _pinned(path)
            if pinned is not None:
                found.append(pinned)
    return sorted(found)


def _listed(command: Command, info: Callable[[int], T], what: str) -> Iterator[T]:
    try:
        for object_id in syscall.ids(command):
            try:
                fd = syscall.fd_by_id(command, object_id)
            except OSError as error:
                if error.errno == errno.ENOENT:
                    continue
                raise
            try:
                yield info(fd)
            finally:
                os.close(fd)
    except OSError as error:
        raise kernel_error(Step.LIST, what, error) from error


_INFO: dict[ObjectKind, Callable[[int], MapInfo | ProgramInfo | LinkInfo]] = {
    ObjectKind.MAP: syscall.map_info,
    ObjectKind.PROGRAM: syscall.prog_info,
    ObjectKind.LINK: syscall.link_info,
}


def _pinned(path: str) -> Pinned | None:
    """What is pinned at `path`; None for other files, and for what this process may not open."""
    try:
        fd = syscall.obj_get(path)
    except OSError:
        return None
    try:
        kind = kind_of_descriptor(fd)
        return Pinned(path, kind, _INFO[kind](fd).id) if kind in _INFO else None
    except OSError:
        return None
    finally:
        os.close(fd)
