"""What maps, programs, links and BTF objects have in common: pins, ids, descriptors by id, information.

Layouts: union bpf_attr of include/uapi/linux/bpf.h.
"""

from __future__ import annotations

import ctypes
import errno
import os
from typing import TYPE_CHECKING

from bpfas.loader.syscall.bpf import S32, U32, U64, Command, bpf

if TYPE_CHECKING:
    from collections.abc import Iterator

_NEXT_ID = {
    Command.PROG_GET_FD_BY_ID: Command.PROG_GET_NEXT_ID,
    Command.MAP_GET_FD_BY_ID: Command.MAP_GET_NEXT_ID,
    Command.BTF_GET_FD_BY_ID: Command.BTF_GET_NEXT_ID,
    Command.LINK_GET_FD_BY_ID: Command.LINK_GET_NEXT_ID,
}


class _GetInfo(ctypes.Structure):
    _fields_ = [("bpf_fd", U32), ("info_len", U32), ("info", U64)]


class _ById(ctypes.Structure):
    _fields_ = [("id", U32), ("next_id", U32), ("open_flags", U32), ("_pad", U32)]


class _AnyInfo(ctypes.Structure):
    _fields_ = [("first", U32)]


class _Object(ctypes.Structure):
    _fields_ = [("pathname", U64), ("bpf_fd", U32), ("file_flags", U32), ("path_fd", S32)]


def get_info(fd: int, info: ctypes.Structure) -> ctypes.Structure:
    """BPF_OBJ_GET_INFO_BY_FD: fills in `info`, and gives it back."""
    attributes = _GetInfo(bpf_fd=fd, info_len=ctypes.sizeof(info), info=ctypes.addressof(info))
    bpf(Command.OBJ_GET_INFO_BY_FD, attributes)
    return info


def is_object(fd: int) -> bool:
    """Whether a descriptor is of a map, program, link or BTF object."""
    try:
        get_info(fd, _AnyInfo())
    except OSError:
        return False
    return True


def obj_pin(path: str, fd: int) -> None:
    """BPF_OBJ_PIN: a name for the object in a BPF file system."""
    name = ctypes.create_string_buffer(os.fsencode(path))
    bpf(Command.OBJ_PIN, _Object(pathname=ctypes.addressof(name), bpf_fd=fd))


def obj_get(path: str) -> int:
    """BPF_OBJ_GET: a descriptor of the map, program or link that is pinned at `path`."""
    name = ctypes.create_string_buffer(os.fsencode(path))
    return bpf(Command.OBJ_GET, _Object(pathname=ctypes.addressof(name)))


def fd_by_id(command: Command, object_id: int) -> int:
    """BPF_*_GET_FD_BY_ID: a descriptor of what the kernel lists by this number."""
    if not 0 <= object_id < 1 << 32:
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
    return bpf(command, _ById(id=object_id))


def prog_get_fd_by_id(prog_id: int) -> int:
    """BPF_PROG_GET_FD_BY_ID."""
    return fd_by_id(Command.PROG_GET_FD_BY_ID, prog_id)


def map_get_fd_by_id(map_id: int) -> int:
    """BPF_MAP_GET_FD_BY_ID."""
    return fd_by_id(Command.MAP_GET_FD_BY_ID, map_id)


def btf_get_fd_by_id(btf_id: int) -> int:
    """BPF_BTF_GET_FD_BY_ID."""
    return fd_by_id(Command.BTF_GET_FD_BY_ID, btf_id)


def link_get_fd_by_id(link_id: int) -> int:
    """BPF_LINK_GET_FD_BY_ID."""
    return fd_by_id(Command.LINK_GET_FD_BY_ID, link_id)


def ids(command: Command) -> Iterator[int]:
    """All ids that the BPF_*_GET_FD_BY_ID command `command` can open, ascending."""
    attributes = _ById()
    while True:
        try:
            bpf(_NEXT_ID[command], attributes)
        except OSError as error:
            if error.errno == errno.ENOENT:
                return
            raise
        yield attributes.next_id
        attributes = _ById(id=attributes.next_id)
