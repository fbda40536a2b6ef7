"""The elements of maps that have keys: as in a dictionary."""

from __future__ import annotations

import errno
import struct
from typing import TYPE_CHECKING

from bpfas.loader.gen.python.parts.kernel import BpfError, address_of, bpf
from bpfas.loader.gen.python.parts.maps import Map
from bpfas.loader.gen.python.parts.values import decoded, encoded

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

LOOKUP, UPDATE, DELETE, NEXT_KEY, LOOKUP_AND_DELETE = 1, 2, 3, 4, 21
NOEXIST, EXIST = 1, 2  # flags of update()


class ElementMap(Map):
    """A map with keys: `map[key]`, `map[key] = value`, `del map[key]`, `key in map`, loops over its keys."""

    def _call(self, command: int, key: bytes, value: bytes | bytearray, flags: int = 0) -> None:
        if self.fd < 0:
            raise OSError(errno.EBADF, "")
        bpf(command, struct.pack("=IxxxxQQQ", self.fd, address_of(key), address_of(value), flags))

    def _error(self, words: str, error: OSError) -> BpfError:
        return BpfError(words, error.errno or 0, "" if self.fd >= 0 else "it is not loaded: load() comes first")

    def _encoded_key(self, key: Any) -> bytes:
        try:
            return encoded(self.key, key)
        except (ValueError, TypeError) as error:
            raise type(error)(f"key of map {self.name}: {error}") from None

    def _get(self, command: int, key: Any, default: Any, words: str) -> Any:
        value = bytearray(self.value.size)
        try:
            self._call(command, self._encoded_key(key), value)
        except OSError as error:
            if error.errno == errno.ENOENT:
                return default
            raise self._error(f"{words} map {self.name}", error) from None
        return decoded(self.value, bytes(value))

    def get(self, key: Any, default: Any = None) -> Any:
        """The value of a key, `default` where there is none. Raises BpfError."""
        return self._get(LOOKUP, key, default, "look up in")

    def pop(self, key: Any, default: Any = None) -> Any:
        """The value of a key, which is deleted (Linux 5.14 or later for hashes). Raises BpfError."""
        return self._get(LOOKUP_AND_DELETE, key, default, "take an element out of")

    def update(self, key: Any, value: Any, flags: int = 0) -> None:
        """Give a key its value; flags: 1 only a new one, 2 only one that is there. Raises BpfError."""
        encoded_key = self._encoded_key(key)
        try:
            encoded_value = encoded(self.value, value)
        except (ValueError, TypeError) as error:
            raise type(error)(f"value of map {self.name}: {error}") from None
        try:
            self._call(UPDATE, encoded_key, encoded_value, flags)
        except OSError as error:
            raise self._error(f"update map {self.name}", error) from None

    def delete(self, key: Any) -> None:
        """Delete a key. Raises KeyError where it is not there, BpfError."""
        try:
            self._call(DELETE, self._encoded_key(key), b"")
        except OSError as error:
            if error.errno == errno.ENOENT:
                raise KeyError(key) from None
            raise self._error(f"delete an element of map {self.name}", error) from None

    def __getitem__(self, key: Any) -> Any:
        missing = object()
        value = self.get(key, missing)
        if value is missing:
            raise KeyError(key)
        return value

    __setitem__ = update
    __delitem__ = delete

    def __contains__(self, key: Any) -> bool:
        missing = object()
        return self.get(key, missing) is not missing

    def __iter__(self) -> Iterator[Any]:
        key = b""
        while True:
            following = bytearray(self.key.size)
            try:
                self._call(NEXT_KEY, key, following)
            except OSError as error:
                if error.errno == errno.ENOENT:
                    return
                raise self._error(f"walk through map {self.name}", error) from None
            key = bytes(following)
            yield decoded(self.key, key)

    def keys(self) -> Iterator[Any]:
        """The keys; those that come and go meanwhile may be missed, or come again."""
        return iter(self)

    def items(self) -> Iterator[tuple[Any, Any]]:
        """The keys with their values, but for those that are deleted meanwhile."""
        missing = object()
        for key in self:
            value = self.get(key, missing)
            if value is not missing:
                yield key, value

    def values(self) -> Iterator[Any]:
        """The values."""
        return (value for _, value in self.items())
