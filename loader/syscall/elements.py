"""Elements of a map, one by one and in batches, with memory that is made once and used again.

Making buffers takes longer than the system call itself. Each thread that is inside of a call has a set of them to
itself; sets that are free wait in a list (its `pop` and `append` are atomic).
Layouts: union bpf_attr of include/uapi/linux/bpf.h.
"""

from __future__ import annotations

import ctypes
import errno
import os
from typing import NamedTuple

from bpfas.loader.syscall.bpf import U32, U64, Command, caller
from bpfas.loader.syscall.maps import MapElement

_LEAST_TOKEN = 8
"""Bytes of the place where the kernel notes how far a batch has come: 4 or a key, by the type of the map."""


class _Batch(ctypes.Structure):
    _fields_ = [
        ("in_batch", U64),
        ("out_batch", U64),
        ("keys", U64),
        ("values", U64),
        ("count", U32),
        ("map_fd", U32),
        ("elem_flags", U64),
        ("flags", U64),
    ]


class _Scratch:
    """The memory of one call."""

    __slots__ = ("address", "attributes", "key", "key_view", "keyless", "value", "value_view")

    def __init__(self, fd: int, key_size: int, value_size: int) -> None:
        # Two keys: BPF_MAP_GET_NEXT_KEY writes one to where lookups have the value.
        self.key = ctypes.create_string_buffer(max(key_size, 1))
        self.value = ctypes.create_string_buffer(max(value_size, key_size, 1))
        self.key_view = memoryview(self.key).cast("B")[:key_size]
        self.value_view = memoryview(self.value).cast("B")[:value_size]
        self.keyless = not key_size
        self.attributes = MapElement(
            map_fd=fd,
            key=ctypes.addressof(self.key) if key_size else 0,
            value=ctypes.addressof(self.value),
        )
        self.address = ctypes.addressof(self.attributes)


_WHOLE = ctypes.sizeof(MapElement)
_UP_TO_KEY = 16
"""Bytes of the attributes that deletions have; those behind would have to be zero."""


class BatchResult(NamedTuple):
    """What a batch gave: keys and values of `size` elements, where to go on, and whether that was all."""

    keys: bytes
    values: bytes
    size: int
    token: bytes
    is_last: bool


class Elements:
    """Access to a map's elements. Keys and values must have `key_size` and `value_size` bytes.

    `value_size` is for all CPUs together. Failures are OSErrors. The descriptor stays the caller's, who says
    `close` before closing it.
    """

    __slots__ = ("_call", "_fd", "_free", "_key_size", "_number", "_value_size")

    def __init__(self, fd: int, key_size: int, value_size: int) -> None:
        self._fd = fd
        self._key_size = key_size
        self._value_size = value_size
        self._free: list[_Scratch] = []
        self._number, self._call = caller()

    def close(self) -> None:
        """Let every later call fail with EBADF. Calls under way give their memory back to the list of before."""
        self._fd = -1
        self._free = []

    def lookup(self, key: bytes, flags: int = 0, command: int = Command.MAP_LOOKUP_ELEM) -> bytes | None:
        """BPF_MAP_LOOKUP_ELEM (or …_AND_DELETE_ELEM): the value, None for a key that is not there."""
        free = self._free
        try:
            scratch = free.pop()
        except IndexError:
            scratch = self._new()
        scratch.key_view[:] = key
        if flags:
            scratch.attributes.flags = flags
        failed = self._call(self._number, command, scratch.address, _WHOLE) < 0
        number = ctypes.get_errno() if failed else 0
        value = scratch.value_view.tobytes()
        if flags:
            scratch.attributes.flags = 0
        free.append(scratch)
        if not failed:
            return value
        if number == errno.ENOENT:
            return None
        raise OSError(number, os.strerror(number))

    def update(self, key: bytes, value: bytes, flags: int = 0) -> None:
        """BPF_MAP_UPDATE_ELEM."""
        free = self._free
        try:
            scratch = free.pop()
        except IndexError:
            scratch = self._new()
        scratch.key_view[:] = key
        scratch.value_view[:] = value
        scratch.attributes.flags = flags
        failed = self._call(self._number, Command.MAP_UPDATE_ELEM, scratch.address, _WHOLE) < 0
        number = ctypes.get_errno() if failed else 0
        scratch.attributes.flags = 0
        free.append(scratch)
        if failed:
            raise OSError(number, os.strerror(number))

    def delete(self, key: bytes) -> bool:
        """BPF_MAP_DELETE_ELEM: whether the key was there."""
        free = self._free
        try:
            scratch = free.pop()
        except IndexError:
            scratch = self._new()
        scratch.key_view[:] = key
        failed = self._call(self._number, Command.MAP_DELETE_ELEM, scratch.address, _UP_TO_KEY) < 0
        number = ctypes.get_errno() if failed else 0
        free.append(scratch)
        if failed and number != errno.ENOENT:
            raise OSError(number, os.strerror(number))
        return not failed

    def next_key(self, key: bytes | None) -> bytes | None:
        """BPF_MAP_GET_NEXT_KEY: the key after `key`, the first one for None; None behind the last."""
        scratch = self._new()
        if key is None:
            scratch.attributes.key = 0
        else:
            scratch.key_view[:] = key
        if self._call(self._number, Command.MAP_GET_NEXT_KEY, scratch.address, _WHOLE) < 0:
            number = ctypes.get_errno()
            if number == errno.ENOENT:
                return None
            raise OSError(number, os.strerror(number))
        return scratch.value.raw[: self._key_size]

    def contains_value(self, value: bytes) -> bool:
        """BPF_MAP_LOOKUP_ELEM of a Bloom filter, which is given the value: whether it may be in it."""
        scratch = self._new()
        scratch.value_view[:] = value
        if self._call(self._number, Command.MAP_LOOKUP_ELEM, scratch.address, _WHOLE) < 0:
            number = ctypes.get_errno()
            if number == errno.ENOENT:
                return False
            raise OSError(number, os.strerror(number))
        return True

    def take_batch(
        self, token: bytes | None, capacity: int, command: int = Command.MAP_LOOKUP_BATCH
    ) -> BatchResult:
        """BPF_MAP_LOOKUP_BATCH (or …_AND_DELETE_BATCH): up to `capacity` elements from `token` on.

        `token` is that of the batch before, None for the first. ENOSPC asks for a larger capacity.
        """
        token_size = max(self._key_size, _LEAST_TOKEN)
        before = ctypes.create_string_buffer(token or b"", token_size)
        after = ctypes.create_string_buffer(token_size)
        keys = ctypes.create_string_buffer(max(capacity * self._key_size, 1))
        values = ctypes.create_string_buffer(max(capacity * self._value_size, 1))
        attributes = self._batch(keys, values, capacity)
        attributes.in_batch = 0 if token is None else ctypes.addressof(before)
        attributes.out_batch = ctypes.addressof(after)
        is_last = False
        if self._call(self._number, command, ctypes.addressof(attributes), ctypes.sizeof(attributes)) < 0:
            number = ctypes.get_errno()
            if number != errno.ENOENT:
                raise OSError(number, os.strerror(number))
            is_last = True
        count = attributes.count
        return BatchResult(
            memoryview(keys).cast("B")[: count * self._key_size].tobytes(),
            memoryview(values).cast("B")[: count * self._value_size].tobytes(),
            count,
            after.raw,
            is_last,
        )

    def put_batch(
        self, keys: bytes, values: bytes, count: int, command: int = Command.MAP_UPDATE_BATCH, flags: int = 0
    ) -> tuple[int, int]:
        """BPF_MAP_UPDATE_BATCH (or BPF_MAP_DELETE_BATCH, without values): how many were done, and the errno.

        The errno, 0 if all are done, is of the first element that is not.
        """
        key_memory = ctypes.create_string_buffer(keys, max(len(keys), 1))
        value_memory = ctypes.create_string_buffer(values, max(len(values), 1))
        attributes = self._batch(key_memory, value_memory, count, flags)
        if self._call(self._number, command, ctypes.addressof(attributes), ctypes.sizeof(attributes)) < 0:
            number = ctypes.get_errno()
            # What was there before the call is left in the count where the kernel does not know the command.
            return (attributes.count if attributes.count < count else 0), number
        return count, 0

    def _batch(
        self, keys: ctypes.Array[ctypes.c_char], values: ctypes.Array[ctypes.c_char], count: int, flags: int = 0
    ) -> _Batch:
        return _Batch(
            map_fd=self._fd & 0xFFFFFFFF,
            keys=ctypes.addressof(keys),
            values=ctypes.addressof(values),
            count=count,
            elem_flags=flags,
        )

    def _new(self) -> _Scratch:
        return _Scratch(self._fd & 0xFFFFFFFF, self._key_size, self._value_size)
