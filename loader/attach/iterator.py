"""Iterators: programs that the kernel runs on each of its objects (tasks, maps, …) while somebody reads.

Reading makes the kernel walk: each `read()`, `open()` or loop is a walk of its own.
Source: the kernel's document bpf_iterators.rst; union bpf_iter_link_info of include/uapi/linux/bpf.h.
"""

from __future__ import annotations

import ctypes
import enum
import errno
import os
import struct
from typing import TYPE_CHECKING

from bpfas.loader import syscall
from bpfas.loader.attach.failure import attach_error, link_error
from bpfas.loader.attach.link import KernelLink
from bpfas.loader.errors import Step
from bpfas.loader.kinds import AttachType
from bpfas.loader.privilege import Explanation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfas.loader.attach.protocols import Attachable, HasDescriptor

_CHUNK = 1 << 16


class CgroupOrder(enum.IntEnum):
    """enum bpf_cgroup_iter_order: which cgroups an iterator visits, from the one that it is given on."""

    SELF_ONLY = 1
    DESCENDANTS_PRE = 2
    DESCENDANTS_POST = 3
    ANCESTORS_UP = 4
    CHILDREN = 5


class IteratorLink(KernelLink):
    """An attached iterator. Looping over it gives the lines that a walk prints, without their ends."""

    def open(self) -> int:
        """The descriptor of a new walk, to be read to its end and closed by the caller. Raises AttachError."""
        try:
            return syscall.iter_create(self._fd)
        except OSError as error:
            raise link_error(Step.READ_ITERATOR, self, error) from error

    def read(self) -> bytes:
        """All that one walk prints. Raises AttachError."""
        return b"".join(self.chunks())

    def chunks(self) -> Iterator[bytes]:
        """What one walk prints, as the kernel gives it. Raises AttachError."""
        fd = self.open()
        try:
            while True:
                try:
                    chunk = os.read(fd, _CHUNK)
                except BlockingIOError:
                    continue  # so many objects at once without any output; the kernel wants to be asked again
                except OSError as error:
                    raise link_error(Step.READ_ITERATOR, self, error, _read_cause(error.errno or 0)) from error
                if not chunk:
                    return
                yield chunk
        finally:
            os.close(fd)

    def __iter__(self) -> Iterator[str]:
        rest = b""
        for chunk in self.chunks():
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                yield line.decode(errors="replace")
        if rest:
            yield rest.decode(errors="replace")


def attach_iterator(
    program: Attachable,
    *,
    map: HasDescriptor | int | None = None,  # noqa: A002
    cgroup: str | os.PathLike[str] | int | None = None,
    order: CgroupOrder | str = CgroupOrder.SELF_ONLY,
    tid: int | None = None,
    pid: int | None = None,
    pid_fd: int | None = None,
) -> IteratorLink:
    """Attach an iterator to the kind of objects that it was loaded for (section `iter/task`).

    Those over the elements or storages of a map need `map` (or its descriptor); those over cgroups may begin at
    `cgroup` (a path or descriptor), in `order` (CgroupOrder or its name in small letters); those over tasks and
    their files or memory may be for one: a thread `tid`, or the threads of a process by `pid` or `pid_fd`. Raises
    AttachError.
    """
    target = f"iterator of {program.spec.attach_target or 'what it was loaded for'}"
    given = [name for name, value in (("map", map), ("cgroup", cgroup), ("tid", tid), ("pid", pid)) if value]
    if pid_fd is not None:
        given.append("pid_fd")
    if len(given) > 1:
        raise TypeError(f"attach() of an iterator takes one of {', '.join(given)}")
    number = _cgroup_order(order)
    map_fd = map if isinstance(map, int) else -1 if map is None else map.fd
    if map is not None and map_fd < 0:
        raise attach_error(program, target, errno.EBADF, explanation=Explanation("the map is closed"))
    cgroup_fd = _open_cgroup(program, target, cgroup)
    try:
        if map is not None:
            info = struct.pack("=I12x", map_fd)
        elif cgroup is not None:
            info = struct.pack("=IIQ", number, cgroup_fd, 0)
        elif given:
            info = struct.pack("=III4x", tid or 0, pid or 0, pid_fd or 0)
        else:
            info = b""
        memory = ctypes.create_string_buffer(info, max(len(info), 1))
        options = struct.pack("=QI", ctypes.addressof(memory), len(info)) if info else b""

        def cause(code: int) -> Explanation | None:
            return _cause(code, given)

        try:
            fd = syscall.link_create(program.fd, 0, AttachType.TRACE_ITER, 0, options)
        except OSError as error:
            raise attach_error(program, target, error, cause) from error
        return IteratorLink(program.name, target, fd)
    finally:
        if cgroup_fd >= 0:
            os.close(cgroup_fd)


def _cgroup_order(given: CgroupOrder | str) -> CgroupOrder:
    names = {order.name.lower(): order for order in CgroupOrder}
    if isinstance(given, str) and given not in names:
        raise ValueError(f"order is {given!r}, not one of {', '.join(names)}")
    return names[given] if isinstance(given, str) else given


def _open_cgroup(program: Attachable, target: str, cgroup: str | os.PathLike[str] | int | None) -> int:
    if cgroup is None:
        return -1
    try:
        return os.dup(cgroup) if isinstance(cgroup, int) else os.open(cgroup, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        cause = Explanation(f"cannot open {cgroup}: {error.strerror}", "give a directory of a cgroup2 file system")
        raise attach_error(program, target, error, explanation=cause) from error


def _cause(number: int, given: list[str]) -> Explanation | None:
    if number == errno.EBADF and not given:
        return Explanation("this iterator walks a map, and none is given", "say which: attach(map=…)")
    if number == errno.EBADF and given == ["cgroup"]:
        return Explanation("that is no cgroup of version 2", "give a directory of a cgroup2 file system")
    if number == errno.EBADF:
        return Explanation(f"the {given[0]} is closed, or none")
    if number == errno.EINVAL and given:
        return Explanation(
            f"the iterator takes no {given[0]}, or not this one (a map of another type, or with smaller values "
            "than the program reads)",
            "leave it out, or give another",
        )
    if number == errno.EACCES:
        return Explanation(
            "the program reads or writes more than the map's keys and values hold", "give another map"
        )
    if number in (errno.ESRCH, errno.ENOENT):
        return Explanation("there is no such process or thread", "check its number")
    return None


def _read_cause(number: int) -> Explanation | None:
    if number == errno.E2BIG:
        return Explanation(
            "the program prints more about one object than the kernel has room for (8 pages)",
            "print less for each, or several times",
        )
    return None
