"""bpf(2), and nothing else: the only module that talks to the kernel.

Each function is one command. Descriptors are plain integers that the caller owns (the kernel makes them
close-on-exec). Failures are OSErrors with the kernel's errno; what they mean is `bpfas.loader.errors`.
Layouts: union bpf_attr, struct bpf_prog_info and struct bpf_map_info of include/uapi/linux/bpf.h, cut behind the
last field in use, which the kernel allows.
"""

from __future__ import annotations

import ctypes
import enum
import errno
import functools
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_U32, _U64 = ctypes.c_uint32, ctypes.c_uint64

_SYSCALL_NUMBERS: dict[tuple[str, int], int] = {
    # (machine, bits of a pointer in this process); a 32-bit process on a 64-bit machine has its own table
    ("x86_64", 64): 321,
    ("x86_64", 32): 357,
    ("aarch64", 64): 280,
    ("aarch64", 32): 386,
    ("riscv64", 64): 280,
    ("riscv32", 32): 280,
    ("loongarch64", 64): 280,
    ("s390x", 64): 351,
    ("s390", 32): 351,
    ("ppc64", 64): 361,
    ("ppc64le", 64): 361,
    ("ppc64", 32): 361,
    ("ppc", 32): 361,
    ("mips64", 64): 5315,
    ("mips64", 32): 4355,
    ("mips", 32): 4355,
    ("sparc64", 64): 349,
    ("parisc64", 32): 341,
    ("parisc", 32): 341,
    ("alpha", 64): 515,
    ("m68k", 32): 354,
    **{(f"i{generation}86", 32): 357 for generation in range(3, 7)},
    **{(machine, 32): 386 for machine in ("armv5tel", "armv6l", "armv7l", "armv8l")},
}


class Command(enum.IntEnum):
    """enum bpf_cmd, as far as it is used."""

    MAP_CREATE = 0
    MAP_LOOKUP_ELEM = 1
    MAP_UPDATE_ELEM = 2
    MAP_DELETE_ELEM = 3
    MAP_GET_NEXT_KEY = 4
    PROG_LOAD = 5
    OBJ_GET = 7
    PROG_TEST_RUN = 10
    PROG_GET_FD_BY_ID = 13
    OBJ_GET_INFO_BY_FD = 15
    BTF_GET_FD_BY_ID = 19
    MAP_FREEZE = 22


class _MapCreate(ctypes.Structure):
    _fields_ = [
        ("map_type", _U32),
        ("key_size", _U32),
        ("value_size", _U32),
        ("max_entries", _U32),
        ("map_flags", _U32),
        ("inner_map_fd", _U32),
        ("numa_node", _U32),
        ("map_name", ctypes.c_char * 16),
    ]


class _MapElement(ctypes.Structure):
    _fields_ = [("map_fd", _U32), ("_pad", _U32), ("key", _U64), ("value", _U64), ("flags", _U64)]


class _ProgLoad(ctypes.Structure):
    _fields_ = [
        ("prog_type", _U32),
        ("insn_cnt", _U32),
        ("insns", _U64),
        ("license", _U64),
        ("log_level", _U32),
        ("log_size", _U32),
        ("log_buf", _U64),
        ("kern_version", _U32),
        ("prog_flags", _U32),
        ("prog_name", ctypes.c_char * 16),
        ("prog_ifindex", _U32),
        ("expected_attach_type", _U32),
        ("prog_btf_fd", _U32),
        ("func_info_rec_size", _U32),
        ("func_info", _U64),
        ("func_info_cnt", _U32),
        ("line_info_rec_size", _U32),
        ("line_info", _U64),
        ("line_info_cnt", _U32),
        ("attach_btf_id", _U32),
        ("attach_prog_fd", _U32),
        ("core_relo_cnt", _U32),
    ]


class _ProgTestRun(ctypes.Structure):
    _fields_ = [
        ("prog_fd", _U32),
        ("retval", _U32),
        ("data_size_in", _U32),
        ("data_size_out", _U32),
        ("data_in", _U64),
        ("data_out", _U64),
        ("repeat", _U32),
        ("duration", _U32),
        ("ctx_size_in", _U32),
        ("ctx_size_out", _U32),
        ("ctx_in", _U64),
        ("ctx_out", _U64),
        ("flags", _U32),
        ("cpu", _U32),
        ("batch_size", _U32),
    ]


class _GetInfo(ctypes.Structure):
    _fields_ = [("bpf_fd", _U32), ("info_len", _U32), ("info", _U64)]


class _GetFdById(ctypes.Structure):
    _fields_ = [("id", _U32), ("next_id", _U32), ("open_flags", _U32), ("_pad", _U32)]


class _ObjGet(ctypes.Structure):
    _fields_ = [("pathname", _U64), ("bpf_fd", _U32), ("file_flags", _U32)]


class _BtfInfo(ctypes.Structure):
    _fields_ = [("btf", _U64), ("btf_size", _U32), ("id", _U32)]


class _ProgInfo(ctypes.Structure):
    _fields_ = [
        ("type", _U32),
        ("id", _U32),
        ("tag", ctypes.c_uint8 * 8),
        ("jited_prog_len", _U32),
        ("xlated_prog_len", _U32),
        ("jited_prog_insns", _U64),
        ("xlated_prog_insns", _U64),
        ("load_time", _U64),
        ("created_by_uid", _U32),
        ("nr_map_ids", _U32),
        ("map_ids", _U64),
        ("name", ctypes.c_char * 16),
        ("ifindex", _U32),
        ("gpl_compatible", _U32),
        ("netns_dev", _U64),
        ("netns_ino", _U64),
        ("nr_jited_ksyms", _U32),
        ("nr_jited_func_lens", _U32),
        ("jited_ksyms", _U64),
        ("jited_func_lens", _U64),
        ("btf_id", _U32),
        ("func_info_rec_size", _U32),
        ("func_info", _U64),
        ("nr_func_info", _U32),
        ("nr_line_info", _U32),
        ("line_info", _U64),
        ("jited_line_info", _U64),
        ("nr_jited_line_info", _U32),
        ("line_info_rec_size", _U32),
        ("jited_line_info_rec_size", _U32),
        ("nr_prog_tags", _U32),
        ("prog_tags", _U64),
        ("run_time_ns", _U64),
        ("run_cnt", _U64),
        ("recursion_misses", _U64),
        ("verified_insns", _U32),
    ]


class _MapInfo(ctypes.Structure):
    _fields_ = [
        ("type", _U32),
        ("id", _U32),
        ("key_size", _U32),
        ("value_size", _U32),
        ("max_entries", _U32),
        ("map_flags", _U32),
        ("name", ctypes.c_char * 16),
    ]


@dataclass(frozen=True, slots=True)
class ProgramInfo:
    """What the kernel says of a loaded program. Sizes are in bytes.

    `jited_size` is 0 where the program is interpreted or the caller may not know; `verified_instructions` counts
    what the verifier walked through, and is 0 on kernels before 5.16.
    """

    id: int
    tag: str
    jited_size: int
    xlated_size: int
    verified_instructions: int


@dataclass(frozen=True, slots=True)
class RawTestRun:
    """What BPF_PROG_TEST_RUN gave back; `duration` is the mean of the runs in nanoseconds."""

    retval: int
    data: bytes
    context: bytes
    duration: int


class OutputTooSmallError(OSError):
    """ENOSPC of a test run: `needed` is the size in bytes of the data that did not fit."""

    def __init__(self, needed: int) -> None:
        super().__init__(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.needed = needed


def syscall_number() -> int | None:
    """bpf(2)'s number for this machine and process, None where it is not known."""
    if os.name != "posix":
        return None
    return _SYSCALL_NUMBERS.get((os.uname().machine, 8 * ctypes.sizeof(ctypes.c_void_p)))


@functools.cache
def _libc_syscall() -> Callable[..., int]:
    function = ctypes.CDLL(None, use_errno=True).syscall
    function.restype = ctypes.c_long
    function.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_uint]
    return function


def _bpf(command: Command, attributes: ctypes.Structure) -> int:
    number = syscall_number()
    if number is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    result = _libc_syscall()(number, command, ctypes.addressof(attributes), ctypes.sizeof(attributes))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def _buffer(data: bytes) -> ctypes.Array[ctypes.c_char]:
    return ctypes.create_string_buffer(data, len(data))


def _pointer(buffer: ctypes.Array[ctypes.c_char]) -> int:
    """The buffer's address; null for an empty one, as the kernel wants it where there must be nothing."""
    return ctypes.addressof(buffer) if len(buffer) else 0


def map_create(
    name: str, map_type: int, key_size: int, value_size: int, max_entries: int, map_flags: int = 0
) -> int:
    """BPF_MAP_CREATE: the descriptor of a new map. Sizes are in bytes."""
    return _bpf(
        Command.MAP_CREATE,
        _MapCreate(
            map_type=map_type,
            key_size=key_size,
            value_size=value_size,
            max_entries=max_entries,
            map_flags=map_flags,
            map_name=name.encode(),
        ),
    )


def map_lookup_elem(map_fd: int, key: bytes, value_size: int, flags: int = 0) -> bytes:
    """BPF_MAP_LOOKUP_ELEM: the value of `key`, `value_size` bytes of it (for all CPUs together)."""
    key_buffer, value = _buffer(key), ctypes.create_string_buffer(value_size)
    _bpf(
        Command.MAP_LOOKUP_ELEM,
        _MapElement(map_fd=map_fd, key=_pointer(key_buffer), value=ctypes.addressof(value), flags=flags),
    )
    return value.raw


def map_update_elem(map_fd: int, key: bytes, value: bytes, flags: int = 0) -> None:
    """BPF_MAP_UPDATE_ELEM: set `key` to `value` (for all CPUs together)."""
    key_buffer, value_buffer = _buffer(key), _buffer(value)
    _bpf(
        Command.MAP_UPDATE_ELEM,
        _MapElement(map_fd=map_fd, key=_pointer(key_buffer), value=_pointer(value_buffer), flags=flags),
    )


def map_delete_elem(map_fd: int, key: bytes) -> None:
    """BPF_MAP_DELETE_ELEM."""
    key_buffer = _buffer(key)
    _bpf(Command.MAP_DELETE_ELEM, _MapElement(map_fd=map_fd, key=_pointer(key_buffer)))


def map_get_next_key(map_fd: int, key: bytes | None, key_size: int) -> bytes:
    """BPF_MAP_GET_NEXT_KEY: the key after `key`, the first one for None; ENOENT behind the last."""
    key_buffer, following = _buffer(key or b""), ctypes.create_string_buffer(key_size)
    _bpf(
        Command.MAP_GET_NEXT_KEY,
        _MapElement(map_fd=map_fd, key=_pointer(key_buffer), value=ctypes.addressof(following)),
    )
    return following.raw


def map_freeze(map_fd: int) -> None:
    """BPF_MAP_FREEZE: no more writes by bpf(2)."""
    _bpf(Command.MAP_FREEZE, _MapElement(map_fd=map_fd))


@dataclass(slots=True)
class LogBuffer:
    """Where the verifier writes its log. At level 2 it says of every instruction what it knows, and more."""

    size: int
    text: str = ""
    level: int = 1


def prog_load(
    name: str,
    program_type: int,
    instructions: bytes,
    license_text: bytes,
    *,
    expected_attach_type: int = 0,
    flags: int = 0,
    kernel_version: int = 0,
    attach_prog_fd: int = 0,
    attach_btf_id: int = 0,
    log: LogBuffer | None = None,
) -> int:
    """BPF_PROG_LOAD: the descriptor of a new program.

    `attach_prog_fd` and `attach_btf_id` are the program and the function in its BTF that a program of type EXT
    replaces.
    With `log` the verifier's text is put there, also on failure; ENOSPC then says that
    the buffer was too small for it.
    """
    code, license_buffer = _buffer(instructions), ctypes.create_string_buffer(license_text)
    attributes = _ProgLoad(
        prog_type=program_type,
        insn_cnt=len(instructions) // 8,
        insns=_pointer(code),
        license=ctypes.addressof(license_buffer),
        kern_version=kernel_version,
        prog_flags=flags,
        prog_name=name.encode(),
        expected_attach_type=expected_attach_type,
        attach_prog_fd=attach_prog_fd,
        attach_btf_id=attach_btf_id,
    )
    if log is None:
        return _bpf(Command.PROG_LOAD, attributes)
    log_buffer = ctypes.create_string_buffer(log.size)
    attributes.log_level, attributes.log_size = log.level, log.size
    attributes.log_buf = ctypes.addressof(log_buffer)
    try:
        return _bpf(Command.PROG_LOAD, attributes)
    finally:
        log.text = log_buffer.value.decode(errors="replace")


def prog_test_run(
    prog_fd: int,
    data: bytes,
    data_size_out: int,
    context: bytes,
    context_size_out: int,
    repeat: int,
) -> RawTestRun:
    """BPF_PROG_TEST_RUN. Sizes of 0 stand for no buffer at all.

    Without `context_size_out` the context in the result is the one given, as the program has changed it. Raises
    OutputTooSmallError if the data that comes out is longer than `data_size_out`.
    """
    data_in, data_out = (
        _buffer(data),
        ctypes.create_string_buffer(data_size_out) if data_size_out else _buffer(b""),
    )
    ctx_in = _buffer(context)
    ctx_out = ctypes.create_string_buffer(context_size_out) if context_size_out else _buffer(b"")
    attributes = _ProgTestRun(
        prog_fd=prog_fd,
        data_size_in=len(data),
        data_in=_pointer(data_in),
        data_size_out=data_size_out,
        data_out=_pointer(data_out),
        ctx_size_in=len(context),
        ctx_in=_pointer(ctx_in),
        ctx_size_out=context_size_out,
        ctx_out=_pointer(ctx_out),
        repeat=repeat,
    )
    try:
        _bpf(Command.PROG_TEST_RUN, attributes)
    except OSError as error:
        if error.errno == errno.ENOSPC and attributes.data_size_out > data_size_out:
            raise OutputTooSmallError(attributes.data_size_out) from error
        raise
    context_after = ctx_out.raw[: attributes.ctx_size_out] if context_size_out else ctx_in.raw
    return RawTestRun(
        attributes.retval, data_out.raw[: attributes.data_size_out], context_after, attributes.duration
    )


def prog_info(prog_fd: int) -> ProgramInfo:
    """BPF_OBJ_GET_INFO_BY_FD of a program."""
    info: Any = _get_info(prog_fd, _ProgInfo())
    return ProgramInfo(
        info.id, bytes(info.tag).hex(), info.jited_prog_len, info.xlated_prog_len, info.verified_insns
    )


def obj_get(path: str) -> int:
    """BPF_OBJ_GET: a descriptor of the map or program that is pinned at `path`."""
    name = ctypes.create_string_buffer(os.fsencode(path))
    return _bpf(Command.OBJ_GET, _ObjGet(pathname=ctypes.addressof(name)))


def prog_get_fd_by_id(prog_id: int) -> int:
    """BPF_PROG_GET_FD_BY_ID: a descriptor of the program that the kernel lists by this number."""
    return _bpf(Command.PROG_GET_FD_BY_ID, _GetFdById(id=prog_id))


def prog_btf(prog_fd: int) -> bytes:
    """The BTF that a program was loaded with; empty for one without."""
    program: Any = _get_info(prog_fd, _ProgInfo())
    if not program.btf_id:
        return b""
    fd = _bpf(Command.BTF_GET_FD_BY_ID, _GetFdById(id=program.btf_id))
    try:
        sized: Any = _get_info(fd, _BtfInfo())
        data = ctypes.create_string_buffer(sized.btf_size)
        _get_info(fd, _BtfInfo(btf=ctypes.addressof(data), btf_size=len(data)))
        return data.raw
    finally:
        os.close(fd)


def map_id(map_fd: int) -> int:
    """BPF_OBJ_GET_INFO_BY_FD of a map: its id."""
    info: Any = _get_info(map_fd, _MapInfo())
    return int(info.id)


def _get_info(fd: int, info: ctypes.Structure) -> ctypes.Structure:
    attributes = _GetInfo(bpf_fd=fd, info_len=ctypes.sizeof(info), info=ctypes.addressof(info))
    _bpf(Command.OBJ_GET_INFO_BY_FD, attributes)
    return info
