"""The system call bpf(2), and what it is told by: errors, addresses of memory.

Source: include/uapi/linux/bpf.h.
"""

from __future__ import annotations

import ctypes
import errno
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

SYSCALL_NUMBERS = {  # (bpf, perf_event_open) by the machine and the bits of a pointer in this process
    ("x86_64", 64): (321, 298),
    ("x86_64", 32): (357, 336),
    ("aarch64", 64): (280, 241),
    ("aarch64", 32): (386, 364),
    ("riscv64", 64): (280, 241),
    ("riscv32", 32): (280, 241),
    ("loongarch64", 64): (280, 241),
    ("s390x", 64): (351, 331),
    ("s390", 32): (351, 331),
    ("ppc64", 64): (361, 319),
    ("ppc64le", 64): (361, 319),
    ("ppc64", 32): (361, 319),
    ("ppc", 32): (361, 319),
    ("mips64", 64): (5315, 5292),
    ("mips64", 32): (4355, 4333),
    ("mips", 32): (4355, 4333),
    ("sparc64", 64): (349, 327),
    ("parisc64", 32): (341, 318),
    ("parisc", 32): (341, 318),
    ("alpha", 64): (515, 493),
    ("m68k", 32): (354, 332),
    **{(f"i{generation}86", 32): (357, 336) for generation in range(3, 7)},
    **{(machine, 32): (386, 364) for machine in ("armv5tel", "armv6l", "armv7l", "armv8l")},
}
ENOTSUPP = 524  # the kernel's own, which no errno.h has


LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.syscall.restype = ctypes.c_long


def errno_name(number: int) -> str:
    """`EPERM` and so on."""
    return "ENOTSUPP" if number == ENOTSUPP else errno.errorcode.get(number, f"errno {number}")


def errno_words(number: int) -> str:
    """What an errno means."""
    return "the kernel does not support that" if number == ENOTSUPP else os.strerror(number)


class BpfError(OSError):
    """Something that the kernel, or the machine, has refused: `step` in words, `errno_name`, `reason`."""

    def __init__(self, step: str, number: int, reason: str = "") -> None:
        super().__init__(number, reason or errno_words(number))
        self.step = step
        self.errno_name = errno_name(number)
        self.reason = reason or errno_words(number)

    def __str__(self) -> str:
        return f"cannot {self.step}: {self.errno_name}: {self.reason}"


class LoadError(BpfError):
    """Why an object is not loaded; `log` is all that the kernel says of it."""

    def __init__(self, step: str, number: int, reason: str = "", log: str = "") -> None:
        super().__init__(step, number, reason)
        self.log = log

    def __str__(self) -> str:
        return f"{super().__str__()}\n{self.log}".rstrip()


class AttachError(BpfError):
    """Why a program is not attached."""


def system_call(index: int, *arguments: Any) -> int:
    """Call bpf(2) (`index` 0) or perf_event_open(2) (1). Raises OSError."""
    pointer_bits = 8 * ctypes.sizeof(ctypes.c_void_p)
    numbers = SYSCALL_NUMBERS.get((os.uname().machine, pointer_bits))
    if numbers is None:
        raise OSError(errno.ENOSYS, f"the number of the system call is not known on {os.uname().machine}")
    result: int = LIBC.syscall(ctypes.c_long(numbers[index]), *arguments)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def bpf(command: int, attributes: bytes | bytearray) -> int:
    """Call bpf(2); what it answers in the attributes is in `attributes` if that is a bytearray. Raises OSError."""
    size = len(attributes)
    return system_call(0, ctypes.c_int(command), ctypes.c_void_p(address_of(attributes)), ctypes.c_uint(size))


def address_of(memory: bytes | bytearray) -> int:
    """Where the bytes are; null for none. The caller keeps them as long as the kernel looks there."""
    if not memory:
        return 0
    if isinstance(memory, bytearray):
        return ctypes.addressof(ctypes.c_char.from_buffer(memory))
    return ctypes.cast(ctypes.c_char_p(memory), ctypes.c_void_p).value or 0


def read_text(path: str) -> str:
    """What a file says. Raises OSError."""
    return read_file(path).decode(errors="replace")


def read_file(path: str) -> bytes:
    """The bytes of a file, also of one in /proc or /sys. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        pieces = []
        while piece := os.read(fd, 1 << 20):
            pieces.append(piece)
        return b"".join(pieces)
    finally:
        os.close(fd)
