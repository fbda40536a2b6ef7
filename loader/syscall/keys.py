"""The kernel's keys: add_key(2) and keyctl(2), as far as certificates and keyrings need them.

Failures are OSErrors with the kernel's errno. Source: include/uapi/linux/keyctl.h; the tables of system calls of
each architecture.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
from typing import TYPE_CHECKING, NamedTuple

from bpfas.loader.syscall.bpf import buffer

if TYPE_CHECKING:
    from collections.abc import Callable

_DESCRIBE, _CLEAR, _UNLINK, _INVALIDATE = 6, 7, 9, 21
"""Commands of keyctl(2)."""


class _Numbers(NamedTuple):
    add_key: int
    keyctl: int


_GENERIC, _ARM, _X86_32 = _Numbers(217, 219), _Numbers(309, 311), _Numbers(286, 288)
_NUMBERS: dict[tuple[str, int], _Numbers] = {
    # (machine, bits of a pointer in this process), as in bpfas.loader.syscall.bpf
    ("x86_64", 64): _Numbers(248, 250),
    ("x86_64", 32): _X86_32,
    ("aarch64", 64): _GENERIC,
    ("aarch64", 32): _ARM,
    ("riscv64", 64): _GENERIC,
    ("riscv32", 32): _GENERIC,
    ("loongarch64", 64): _GENERIC,
    ("s390x", 64): _Numbers(278, 280),
    ("s390", 32): _Numbers(278, 280),
    ("ppc64", 64): _Numbers(269, 271),
    ("ppc64le", 64): _Numbers(269, 271),
    ("ppc64", 32): _Numbers(269, 271),
    ("ppc", 32): _Numbers(269, 271),
    ("mips64", 64): _Numbers(5239, 5241),
    ("mips64", 32): _Numbers(4280, 4282),
    ("mips", 32): _Numbers(4280, 4282),
    ("sparc64", 64): _Numbers(281, 283),
    ("parisc64", 32): _Numbers(264, 266),
    ("parisc", 32): _Numbers(264, 266),
    ("alpha", 64): _Numbers(439, 441),
    ("m68k", 32): _Numbers(279, 281),
    **{(f"i{generation}86", 32): _X86_32 for generation in range(3, 7)},
    **{(machine, 32): _ARM for machine in ("armv5tel", "armv6l", "armv7l", "armv8l")},
}


def add_key(kind: str, description: str, payload: bytes, keyring: int) -> int:
    """The number of a new key of a type (`asymmetric`, `keyring`), linked into `keyring`.

    One of that type and description that is there already is given new contents, or is replaced.
    """
    memory = buffer(payload)
    return _call(
        _numbers().add_key,
        ctypes.c_char_p(kind.encode()),
        ctypes.c_char_p(os.fsencode(description)),
        memory if payload else None,
        ctypes.c_size_t(len(payload)),
        ctypes.c_long(keyring),
    )


def unlink_key(key: int, keyring: int) -> None:
    """KEYCTL_UNLINK: take a key out of a keyring; what is in none is gone."""
    _call(_numbers().keyctl, *map(ctypes.c_long, (_UNLINK, key, keyring)))


def clear_keyring(keyring: int) -> None:
    """KEYCTL_CLEAR: take all keys out of a keyring."""
    _call(_numbers().keyctl, *map(ctypes.c_long, (_CLEAR, keyring)))


def invalidate_key(key: int) -> None:
    """KEYCTL_INVALIDATE: the kernel takes a key or keyring out of all keyrings, a little later."""
    _call(_numbers().keyctl, *map(ctypes.c_long, (_INVALIDATE, key)))


def describe_key(key: int) -> str:
    """KEYCTL_DESCRIBE: `type;uid;gid;permissions;description` of a key or keyring."""
    size = 256
    while True:
        memory = ctypes.create_string_buffer(size)
        needed = _call(
            _numbers().keyctl,
            ctypes.c_long(_DESCRIBE),
            ctypes.c_long(key),
            memory,
            ctypes.c_size_t(size),
        )
        if needed <= size:
            return os.fsdecode(memory.value)
        size = needed


@functools.cache
def _numbers() -> _Numbers:
    found = None
    if os.name == "posix":
        found = _NUMBERS.get((os.uname().machine, 8 * ctypes.sizeof(ctypes.c_void_p)))
    if found is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    return found


@functools.cache
def _libc_syscall() -> Callable[..., int]:
    # Without types of its arguments, as those of keyctl(2) depend on the command.
    function = ctypes.CDLL(None, use_errno=True).syscall
    function.restype = ctypes.c_long
    return function


def _call(number: int, *arguments: object) -> int:
    result = _libc_syscall()(ctypes.c_long(number), *arguments)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result
