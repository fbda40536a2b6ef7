"""BTF objects in the kernel: loading, and reading those that are there.

Layouts: union bpf_attr and struct bpf_btf_info of include/uapi/linux/bpf.h.
"""

from __future__ import annotations

import ctypes
import os
from typing import TYPE_CHECKING, Any, NamedTuple

from bpfas.loader.syscall.bpf import S32, U32, U64, Command, bpf, buffer, pointer
from bpfas.loader.syscall.objects import btf_get_fd_by_id, get_info
from bpfas.loader.syscall.programs import prog_info

if TYPE_CHECKING:
    from bpfas.loader.syscall.programs import LogBuffer

_NAME_SIZE = 128


class _BtfLoad(ctypes.Structure):
    _fields_ = [
        ("btf", U64),
        ("btf_log_buf", U64),
        ("btf_size", U32),
        ("btf_log_size", U32),
        ("btf_log_level", U32),
        ("btf_log_true_size", U32),
        ("btf_flags", U32),
        ("btf_token_fd", S32),
    ]


class _BtfInfo(ctypes.Structure):
    _fields_ = [
        ("btf", U64),
        ("btf_size", U32),
        ("id", U32),
        ("name", U64),
        ("name_len", U32),
        ("kernel_btf", U32),
    ]


class BtfInfo(NamedTuple):
    """What the kernel says of a BTF object: `name` is `vmlinux`, a module's, or empty for what users loaded."""

    id: int
    name: str
    is_kernel: bool
    size: int


def btf_load(data: bytes, log: LogBuffer | None = None, token_fd: int = 0) -> int:
    """BPF_BTF_LOAD: the descriptor of a new BTF object. With `log` the kernel's text is put there."""
    memory = buffer(data)
    attributes = _BtfLoad(btf=pointer(memory), btf_size=len(data), btf_token_fd=token_fd)
    if token_fd:
        attributes.btf_flags = _TOKEN_FD
    if log is None:
        return bpf(Command.BTF_LOAD, attributes)
    log_buffer = ctypes.create_string_buffer(log.size)
    attributes.btf_log_level, attributes.btf_log_size = log.level, log.size
    attributes.btf_log_buf = ctypes.addressof(log_buffer)
    try:
        return bpf(Command.BTF_LOAD, attributes)
    finally:
        log.text = log_buffer.value.decode(errors="replace")


_TOKEN_FD = 1 << 16


def btf_info(btf_fd: int) -> BtfInfo:
    """BPF_OBJ_GET_INFO_BY_FD of a BTF object."""
    name = ctypes.create_string_buffer(_NAME_SIZE)
    info: Any = get_info(btf_fd, _BtfInfo(name=ctypes.addressof(name), name_len=len(name)))
    return BtfInfo(info.id, name.value.decode(errors="replace"), bool(info.kernel_btf), info.btf_size)


def btf_data(btf_fd: int) -> bytes:
    """The contents of a BTF object."""
    sized: Any = get_info(btf_fd, _BtfInfo())
    data = ctypes.create_string_buffer(sized.btf_size)
    get_info(btf_fd, _BtfInfo(btf=ctypes.addressof(data), btf_size=len(data)))
    return data.raw


def btf_data_by_id(btf_id: int) -> bytes:
    """The contents of the BTF object that the kernel lists by this number."""
    fd = btf_get_fd_by_id(btf_id)
    try:
        return btf_data(fd)
    finally:
        os.close(fd)


def prog_btf(prog_fd: int) -> bytes:
    """The BTF that a program was loaded with; empty for one without."""
    btf_id = prog_info(prog_fd).btf_id
    return btf_data_by_id(btf_id) if btf_id else b""
