"""mmap(2) where Python's own module does not reach: at a given address, and without keeping a descriptor."""

from __future__ import annotations

import ctypes
import errno
import functools
import mmap
import os
import weakref

_MAP_FIXED_NOREPLACE = 0x100000
_MAP_NORESERVE = 0x4000
_MAP_FAILED = ctypes.c_void_p(-1).value


def map_at(address: int, size: int, protection: int, fd: int, offset: int) -> int:
    """Share memory at an address at which there is nothing yet. Raises OSError."""
    found = _map(address, size, protection, mmap.MAP_SHARED | _MAP_FIXED_NOREPLACE, fd, offset)
    if found != address:  # kernels before 4.17 take the address for a wish
        unmap(found, size)
        raise OSError(errno.EEXIST, os.strerror(errno.EEXIST))
    return address


def reserve(size: int, limit: int) -> int:
    """The address of `size` bytes, across no multiple of `limit`, that nothing comes to lie in until `unmap`.

    Raises OSError.
    """
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE
    start = _map(None, 2 * size, 0, flags, -1, 0)
    boundary = -(-start // limit) * limit
    address = boundary if start < boundary < start + size else start
    for unused, length in ((start, address - start), (address + size, start + size - address)):
        if length:
            unmap(unused, length)
    return address


def map_file(fd: int, size: int) -> memoryview:
    """The first bytes of a file, to be read where they lie, for as long as anybody has the view or a part of it.

    Unlike Python's own mappings, this one keeps no descriptor open. Raises OSError for what cannot be mapped.
    """
    address = _map(None, size, mmap.PROT_READ, mmap.MAP_PRIVATE | mmap.MAP_POPULATE, fd, 0)
    contents = (ctypes.c_ubyte * size).from_address(address)
    weakref.finalize(contents, unmap, address, size).atexit = False
    return memoryview(contents).cast("B").toreadonly()


def unmap(address: int, size: int) -> None:
    """Take memory out of this process."""
    _libc().munmap(ctypes.c_void_p(address), ctypes.c_size_t(size))


def _map(address: int | None, size: int, protection: int, flags: int, fd: int, offset: int) -> int:
    found: int | None = _libc().mmap(address, size, protection, flags, fd, offset)
    if found is None or found == _MAP_FAILED:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return found


@functools.cache
def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [
        ctypes.c_void_p,
        ctypes.c_size_t,
        ctypes.c_int,
        ctypes.c_int,
        ctypes.c_int,
        ctypes.c_long,
    ]
    return libc
