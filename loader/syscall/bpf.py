"""The system call bpf(2): its number on this machine, its commands, and calling it.

Everything else in this package is one function for each command, on top of `bpf`. Descriptors are plain integers
that the caller owns (the kernel makes them close-on-exec). Failures are OSErrors with the kernel's errno; what
they mean is `bpfas.loader.errors`. Source: include/uapi/linux/bpf.h.
"""

from __future__ import annotations

import ctypes
import enum
import errno
import functools
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

U32, U64, S32 = ctypes.c_uint32, ctypes.c_uint64, ctypes.c_int32

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
    """enum bpf_cmd."""

    MAP_CREATE = 0
    MAP_LOOKUP_ELEM = 1
    MAP_UPDATE_ELEM = 2
    MAP_DELETE_ELEM = 3
    MAP_GET_NEXT_KEY = 4
    PROG_LOAD = 5
    OBJ_PIN = 6
    OBJ_GET = 7
    PROG_ATTACH = 8
    PROG_DETACH = 9
    PROG_TEST_RUN = 10
    PROG_GET_NEXT_ID = 11
    MAP_GET_NEXT_ID = 12
    PROG_GET_FD_BY_ID = 13
    MAP_GET_FD_BY_ID = 14
    OBJ_GET_INFO_BY_FD = 15
    PROG_QUERY = 16
    RAW_TRACEPOINT_OPEN = 17
    BTF_LOAD = 18
    BTF_GET_FD_BY_ID = 19
    TASK_FD_QUERY = 20
    MAP_LOOKUP_AND_DELETE_ELEM = 21
    MAP_FREEZE = 22
    BTF_GET_NEXT_ID = 23
    MAP_LOOKUP_BATCH = 24
    MAP_LOOKUP_AND_DELETE_BATCH = 25
    MAP_UPDATE_BATCH = 26
    MAP_DELETE_BATCH = 27
    LINK_CREATE = 28
    LINK_UPDATE = 29
    LINK_GET_FD_BY_ID = 30
    LINK_GET_NEXT_ID = 31
    ENABLE_STATS = 32
    ITER_CREATE = 33
    LINK_DETACH = 34
    PROG_BIND_MAP = 35
    TOKEN_CREATE = 36
    PROG_STREAM_READ_BY_FD = 37
    PROG_ASSOC_STRUCT_OPS = 38


@functools.cache
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


def caller() -> tuple[int, Callable[..., int]]:
    """bpf(2)'s number and the function to call it with: number, command, address and size of the attributes.

    Raises OSError where the number is not known.
    """
    number = syscall_number()
    if number is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    return number, _libc_syscall()


def bpf(command: Command, attributes: ctypes.Structure) -> int:
    """Call bpf(2). Bytes of `attributes` behind what the kernel knows must be zero. Raises OSError."""
    number, call = caller()
    result = call(number, command, ctypes.addressof(attributes), ctypes.sizeof(attributes))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def buffer(data: bytes) -> ctypes.Array[ctypes.c_char]:
    """`data` in memory of its own, without a NUL behind it."""
    return ctypes.create_string_buffer(data, len(data))


def pointer(memory: ctypes.Array[ctypes.c_char]) -> int:
    """The buffer's address; null for an empty one, as the kernel wants it where there must be nothing."""
    return ctypes.addressof(memory) if len(memory) else 0
