"""A map in the kernel: looked up, updated, deleted from and listed, keys and values as bytes.

Element operations are as bpf(2) has them; how a map came to be is `bpfas.loader.collection`.
"""

from __future__ import annotations

import errno
import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING

from bpfas.loader import syscall
from bpfas.loader.errors import KernelError, Step, explain
from bpfas.loader.kinds import PER_CPU_MAP_TYPES, UpdateFlag, map_type_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfas.loader.spec import MapSpec

_POSSIBLE_CPUS = Path("/sys/devices/system/cpu/possible")
_PER_CPU_ALIGNMENT = 8


@functools.cache
def possible_cpu_count() -> int:
    """How many CPUs the kernel has made room for; per-CPU values have one part for each."""
    text = _POSSIBLE_CPUS.read_text().strip()
    count = 0
    for part in text.split(","):
        first, _, last = part.partition("-")
        count += int(last or first) - int(first) + 1
    return count


class Map:
    """A map and its descriptor, which it closes in `close()`.

    A key is `key_size` bytes, b"" for queues and stacks. A value is `value_size` bytes; in a per-CPU map it is
    one part for every possible CPU, each filled up to a multiple of 8 bytes, `value_buffer_size` bytes in all.
    Other lengths are a ValueError. What the kernel refuses is a KernelError, a key that is not there a KeyError
    in subscription and in `delete`.
    """

    def __init__(self, spec: MapSpec, fd: int, types: object = None) -> None:  # noqa: ARG002
        self.name = spec.name
        self.kernel_name = spec.kernel_name
        self.type = spec.map_type
        self.key_size = spec.key_size
        self.value_size = spec.value_size
        self.max_entries = spec.max_entries
        self.flags = spec.map_flags
        self._fd = fd

    def __repr__(self) -> str:
        return f"<Map {self.name!r}: {map_type_name(self.type)}, {self.max_entries} entries, fd {self._fd}>"

    @property
    def fd(self) -> int:
        """The descriptor, -1 once the map is closed."""
        return self._fd

    def close(self) -> None:
        """Close the descriptor; the kernel drops the map when nothing else refers to it."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    @property
    def id(self) -> int:
        """The number by which the kernel lists the map."""
        try:
            return syscall.map_info(self._fd).id
        except OSError as error:
            raise self._error(Step.GET_INFO, error) from error

    @property
    def is_per_cpu(self) -> bool:
        """Whether every element has a value for each CPU."""
        return self.type in PER_CPU_MAP_TYPES

    @property
    def value_buffer_size(self) -> int:
        """Bytes of a value as it is looked up and updated, all CPUs together."""
        if not self.is_per_cpu:
            return self.value_size
        return _aligned(self.value_size) * possible_cpu_count()

    def lookup(self, key: bytes) -> bytes | None:
        """The value of `key`, None if it is not there."""
        self._check_length("key", key, self.key_size)
        try:
            return syscall.map_lookup_elem(self._fd, key, self.value_buffer_size)
        except OSError as error:
            if error.errno == errno.ENOENT:
                return None
            raise self._error(Step.LOOK_UP, error) from error

    def lookup_per_cpu(self, key: bytes) -> list[bytes] | None:
        """The values of `key` in a per-CPU map, one of `value_size` bytes for each possible CPU."""
        value = self.lookup(key)
        if value is None:
            return None
        step = _aligned(self.value_size)
        return [value[start : start + self.value_size] for start in range(0, len(value), step)]

    def update(self, key: bytes, value: bytes, flag: UpdateFlag = UpdateFlag.ANY) -> None:
        """Set `key` to `value`; `flag` restricts it to new or to existing keys."""
        self._check_length("key", key, self.key_size)
        self._check_length("value", value, self.value_buffer_size)
        try:
            syscall.map_update_elem(self._fd, key, value, flag)
        except OSError as error:
            raise self._error(Step.UPDATE, error) from error

    def delete(self, key: bytes) -> None:
        """Take out `key`; KeyError if it is not there."""
        self._check_length("key", key, self.key_size)
        try:
            syscall.map_delete_elem(self._fd, key)
        except OSError as error:
            if error.errno == errno.ENOENT:
                raise KeyError(key) from error
            raise self._error(Step.DELETE, error) from error

    def keys(self) -> Iterator[bytes]:
        """All keys, in the kernel's order. The key just given may be deleted on the way."""
        key = self._next_key(None)
        while key is not None:
            following = self._next_key(key)
            yield key
            key = following

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """All keys with their values; keys that vanish on the way are left out."""
        for key in self.keys():
            value = self.lookup(key)
            if value is not None:
                yield key, value

    def __iter__(self) -> Iterator[bytes]:
        return self.keys()

    def __contains__(self, key: bytes) -> bool:
        return self.lookup(key) is not None

    def __getitem__(self, key: bytes) -> bytes:
        value = self.lookup(key)
        if value is None:
            raise KeyError(key)
        return value

    def __setitem__(self, key: bytes, value: bytes) -> None:
        self.update(key, value)

    def __delitem__(self, key: bytes) -> None:
        self.delete(key)

    def _next_key(self, key: bytes | None) -> bytes | None:
        try:
            return syscall.map_get_next_key(self._fd, key, self.key_size)
        except OSError as error:
            if error.errno == errno.ENOENT:
                return None
            raise self._error(Step.NEXT_KEY, error) from error

    def _check_length(self, what: str, data: bytes, length: int) -> None:
        if len(data) != length:
            raise ValueError(f"map {self.name}: the {what} has {len(data)} bytes, not {length}")

    def _error(self, step: Step, error: OSError) -> KernelError:
        number = error.errno or 0
        return KernelError(step, f"map {self.name}", number, explain(step, number))


def _aligned(size: int) -> int:
    return -(-size // _PER_CPU_ALIGNMENT) * _PER_CPU_ALIGNMENT
