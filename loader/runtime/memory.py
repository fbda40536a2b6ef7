"""Memory that user space and programs share: of array maps, arenas, ring buffers, perf events.

Numbers that the kernel or programs change meanwhile are read and written whole, in one access. Processors that
reorder memory accesses get a barrier on each side; that of x86 does not need one.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import threading
from typing import TYPE_CHECKING

from bpfas.loader.syscall.memory import map_at, unmap

if TYPE_CHECKING:
    from collections.abc import Callable

PAGE_SIZE = mmap.PAGESIZE
_IN_ORDER = ("x86_64", "i386", "i486", "i586", "i686")


def whole_pages(size: int) -> int:
    """`size` bytes rounded up to whole pages."""
    return -(-size // PAGE_SIZE) * PAGE_SIZE


class Memory:
    """`size` bytes of a descriptor from `offset` on, in this process; `address` 0 lets the kernel choose where.

    `view` are the bytes. It must not be used any more once the memory is closed; that of memory at a given address
    would lead nowhere. Raises OSError.
    """

    def __init__(self, fd: int, size: int, offset: int = 0, address: int = 0, *, is_writable: bool = True) -> None:
        self.size = size
        self.is_writable = is_writable
        protection = mmap.PROT_READ | (mmap.PROT_WRITE if is_writable else 0)
        self._mapping: mmap.mmap | None = None
        self._fixed = 0
        if address:
            self.address = self._fixed = map_at(address, size, protection, fd, offset)
            self.view = memoryview((ctypes.c_ubyte * size).from_address(address)).cast("B")
            return
        self._mapping = mmap.mmap(fd, size, mmap.MAP_SHARED, protection, offset=offset)
        self.view = memoryview(self._mapping)
        self.address = _address(self.view) if is_writable else 0

    @property
    def contents(self) -> mmap.mmap:
        """The bytes of memory that lies where the kernel has chosen: slices of it are bytes."""
        assert self._mapping is not None
        return self._mapping

    def close(self) -> None:
        """Take the memory out of this process. A second time it does nothing."""
        fixed, self._fixed = self._fixed, 0
        mapping, self._mapping = self._mapping, None
        try:
            self.view.release()
        except BufferError:
            return  # what users have made of the view keeps the memory
        if fixed:
            unmap(fixed, self.size)
        if mapping is not None:
            # Views that users have kept keep the memory, until they go.
            with contextlib.suppress(BufferError):
                mapping.close()


def _address(view: memoryview) -> int:
    """Where memory lies; what is used for it lets go of it at once."""
    return ctypes.addressof(ctypes.c_ubyte.from_buffer(view))


def _nothing() -> None:
    """No barrier."""


def _make_barrier() -> Callable[[], None]:
    if os.uname().machine in _IN_ORDER:
        return _nothing
    lock = threading.Lock()

    def barrier() -> None:
        # Taking a lock that is free is an atomic exchange, with all that is ordered before and behind it.
        with lock:
            pass

    return barrier


barrier = _make_barrier()
"""Keeps what is read behind it from being read before; nothing where the processor does so by itself."""
