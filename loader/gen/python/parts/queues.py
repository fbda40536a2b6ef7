"""Maps without keys: queues, stacks and Bloom filters."""

from __future__ import annotations

import errno
import struct
from typing import TYPE_CHECKING

from bpfas.loader.gen.python.parts.kernel import BpfError, address_of, bpf
from bpfas.loader.gen.python.parts.maps import Map
from bpfas.loader.gen.python.parts.values import decoded, encoded

if TYPE_CHECKING:
    from typing import Any

LOOK, PUSH, POP = 1, 2, 21


class QueueMap(Map):
    """A queue or a stack: `push`, `pop`, `peek`."""

    def _call(self, command: int, value: bytes | bytearray, flags: int = 0) -> None:
        if self.fd < 0:
            raise OSError(errno.EBADF, "it is not loaded, or closed")
        bpf(command, struct.pack("=IxxxxQQQ", self.fd, 0, address_of(value), flags))

    def push(self, value: Any, flags: int = 0) -> None:
        """Add a value; with the flag 2 the oldest gives way where it is full. Raises BpfError."""
        try:
            self._call(PUSH, encoded(self.value, value), flags)
        except OSError as error:
            raise BpfError(f"add to map {self.name}", error.errno or 0) from None

    def pop(self, default: Any = None) -> Any:
        """Take the next value out; `default` where there is none. Raises BpfError."""
        return self._taken(POP, default)

    def peek(self, default: Any = None) -> Any:
        """The next value, which stays; `default` where there is none. Raises BpfError."""
        return self._taken(LOOK, default)

    def _taken(self, command: int, default: Any) -> Any:
        value = bytearray(self.value.size)
        try:
            self._call(command, value)
        except OSError as error:
            if error.errno == errno.ENOENT:
                return default
            raise BpfError(f"take from map {self.name}", error.errno or 0) from None
        return decoded(self.value, bytes(value))


class BloomFilter(QueueMap):
    """A Bloom filter: `push` puts values in, `value in map` tells whether one may have been."""

    def __contains__(self, value: Any) -> bool:
        try:
            self._call(LOOK, encoded(self.value, value))
        except OSError as error:
            if error.errno == errno.ENOENT:
                return False
            raise BpfError(f"look up in map {self.name}", error.errno or 0) from None
        return True
