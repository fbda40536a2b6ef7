"""A map as a dictionary: walked through, updated and emptied, many elements with few system calls.

What is done to one element by its key is `bpfas.loader.runtime.element_view`'s.
"""

from __future__ import annotations

import contextlib
import errno
import sys
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from bpfas.btf.codecs import EncodingError
from bpfas.loader.errors import Step
from bpfas.loader.kinds import MapType, UpdateFlag
from bpfas.loader.runtime.codecs import INDEXED
from bpfas.loader.runtime.element_view import UNSUPPORTED, ElementView, K, V
from bpfas.loader.syscall import Command

_WALKED_IN_BATCHES = frozenset(
    {
        MapType.HASH,
        MapType.LRU_HASH,
        MapType.PERCPU_HASH,
        MapType.LRU_PERCPU_HASH,
        MapType.HASH_OF_MAPS,
        MapType.ARRAY,
        MapType.PERCPU_ARRAY,
    }
)
"""Types that the kernel walks through by itself, so that deletions meanwhile make no difference to the rest."""

_ALWAYS_FULL = frozenset({MapType.ARRAY, MapType.PERCPU_ARRAY, MapType.INSN_ARRAY})
_FIRST_BATCH, _LARGEST_BATCH = 64, 4096
_BATCH_BYTES = 1 << 22


class MapView(ElementView[K, V]):
    """The elements of a map, as a dictionary of `K` and `V`.

    Walks give every element once that is there all the while, whatever is deleted or added meanwhile. What is
    raised is as for an ElementView.
    """

    origin: MapView[Any, Any] | None = None
    """The map that this is another view of, which stays open while this one is used."""

    def __iter__(self) -> Iterator[Any]:
        return self.keys()

    def __bool__(self) -> bool:
        """Always true: whether there are elements is not known without walking."""
        return True

    def __len__(self) -> int:
        """How many elements there are, found out by walking through them (but for arrays)."""
        if self._spec.map_type in _ALWAYS_FULL:
            return self._spec.max_entries
        return sum(1 for _ in self.keys())

    def keys(self) -> Iterator[K]:
        """All keys, in the kernel's order."""
        if self._spec.map_type in INDEXED:
            return map(self._decode_key, self._indexes())
        if self._spec.map_type in _WALKED_IN_BATCHES:
            return (key for key, _ in self.items())
        return map(self._decode_key, self._walked())

    def values(self) -> Iterator[V]:
        """The values of all keys."""
        return (value for _, value in self.items())

    def items(self) -> Iterator[tuple[K, V]]:
        """All keys with their values; keys that vanish on the way are left out."""
        if self._spec.map_type in _WALKED_IN_BATCHES:
            return self._items_in_batches(Command.MAP_LOOKUP_BATCH)
        return self._items_one_by_one()

    def update_many(self, items: Mapping[K, V] | Iterable[tuple[K, V]], flag: UpdateFlag = UpdateFlag.ANY) -> None:
        """Set many keys, with as few system calls as the kernel allows (5.6 and later: one for thousands)."""
        pairs = iter(items.items() if isinstance(items, Mapping) else items)
        while chunk := list(islice(pairs, self._batch_capacity(_LARGEST_BATCH))):
            try:
                keys = [self._key_bytes(key) for key, _ in chunk]
                values = [self._value_bytes(value) for _, value in chunk]
            except EncodingError as error:
                raise self._failure(Step.UPDATE, error) from None
            done, number = self._elements.put_batch(b"".join(keys), b"".join(values), len(chunk), flags=int(flag))
            if not number:
                continue
            if number not in UNSUPPORTED and not (number == errno.EINVAL and not done):
                raise self._refusal(Step.UPDATE, number, f", key {chunk[done][0]!r}")
            for key, value in chunk[done:]:
                self.update(key, value, flag)

    def delete_many(self, keys: Iterable[K]) -> int:
        """Take out many keys, with few system calls. Gives how many were there."""
        found, waiting = 0, iter(keys)
        while chunk := list(islice(waiting, self._batch_capacity(_LARGEST_BATCH))):
            try:
                encoded = [self._key_bytes(key) for key in chunk]
            except EncodingError as error:
                raise self._failure(Step.DELETE, error) from None
            found += self._deleted(encoded)
        return found

    def drain(self) -> Iterator[tuple[K, V]]:
        """Take out all elements, and give them; what is not given on leaving early may be out already."""
        if self._spec.map_type in _WALKED_IN_BATCHES - INDEXED:
            yield from self._items_in_batches(Command.MAP_LOOKUP_AND_DELETE_BATCH)
        else:
            yield from self._drained_one_by_one()

    def clear(self) -> None:
        """Take out all elements."""
        if self._spec.map_type in _WALKED_IN_BATCHES - INDEXED:
            for _ in self.drain():
                pass
            return
        if not self._key.size:
            with contextlib.suppress(IndexError):
                while True:
                    self.pop()
            return
        keys = self._keys_one_by_one()
        while chunk := list(islice(keys, _LARGEST_BATCH)):
            self._deleted(chunk)

    def _deleted(self, keys: list[bytes]) -> int:
        """Delete keys in as few calls as it takes, around those that are not there."""
        found = at = 0
        while at < len(keys):
            rest = keys[at:]
            done, number = self._elements.put_batch(b"".join(rest), b"", len(rest), Command.MAP_DELETE_BATCH)
            found, at = found + done, at + done
            if not number:
                break
            if number == errno.ENOENT:
                at += 1
            elif number in UNSUPPORTED or (number == errno.EINVAL and not done):
                try:
                    return found + sum(self._delete(key) for key in keys[at:])
                except OSError as error:
                    raise self._failure(Step.DELETE, error) from None
            else:
                raise self._refusal(Step.DELETE, number)
        return found

    def _indexes(self) -> Iterator[bytes]:
        """The keys of an array; of one that need not be full, those that hold something, if that can be told."""
        for index in range(self._spec.max_entries):
            key = index.to_bytes(self._spec.key_size, sys.byteorder)
            if self._spec.map_type not in _ALWAYS_FULL:
                try:
                    if self._elements.lookup(key) is None:
                        continue
                except OSError as error:
                    if error.errno not in (*UNSUPPORTED, errno.ENOSPC):  # ENOSPC: sockets of 4 bytes
                        raise self._failure(Step.NEXT_KEY, error) from None
            yield key

    def _walked(self) -> Iterator[bytes]:
        """Keys one after another.

        Asked for what comes behind a key that is gone, the kernel begins anew; what was given already is then
        left out. The key after the one just given is asked for before that is given, since it is likely to be
        deleted.
        """
        seen: set[bytes] = set()
        key: bytes | None = None
        try:
            key = self._elements.next_key(None)
            while key is not None:
                following = self._elements.next_key(key)
                if key not in seen:
                    seen.add(key)
                    yield key
                key = following
        except OSError as error:
            raise self._failure(Step.NEXT_KEY, error) from None

    def _items_one_by_one(self) -> Iterator[tuple[K, V]]:
        for key in self._keys_one_by_one():
            try:
                value = self._elements.lookup(key)
            except OSError as error:
                raise self._failure(Step.LOOK_UP, error) from None
            if value is not None:
                yield self._decode_key(key), self._decode_value(value)

    def _drained_one_by_one(self) -> Iterator[tuple[K, V]]:
        for key in self._keys_one_by_one():
            try:
                value = self._taken_out(key)
            except OSError as error:
                raise self._failure(Step.POP, error) from None
            if value is not None:
                yield self._decode_key(key), self._decode_value(value)

    def _keys_one_by_one(self) -> Iterator[bytes]:
        return self._indexes() if self._spec.map_type in INDEXED else self._walked()

    def _items_in_batches(self, command: Command) -> Iterator[tuple[K, V]]:
        """All elements, walked through by the kernel; without its help where it has none to give."""
        token: bytes | None = None
        capacity = self._batch_capacity(_FIRST_BATCH)
        largest = max(self._spec.max_entries, _LARGEST_BATCH)  # maps may hold a few more than they were made for
        key_size, value_size = self._key.size, self._value.size
        while True:
            try:
                batch = self._elements.take_batch(token, capacity, command)
            except OSError as error:
                if error.errno == errno.ENOSPC and capacity < largest:
                    # The elements of one bucket of the hash do not fit.
                    capacity = min(2 * capacity, largest)
                    continue
                if token is None and error.errno in (*UNSUPPORTED, errno.EINVAL):
                    is_lookup = command is Command.MAP_LOOKUP_BATCH
                    yield from self._items_one_by_one() if is_lookup else self._drained_one_by_one()
                    return
                raise self._failure(Step.NEXT_KEY, error) from None
            for number in range(batch.size):
                yield (
                    self._decode_key(batch.keys, number * key_size),
                    self._decode_value(batch.values, number * value_size),
                )
            if batch.is_last:
                return
            token = batch.token
            capacity = max(capacity, self._batch_capacity(min(4 * capacity, _LARGEST_BATCH)))

    def _batch_capacity(self, wanted: int) -> int:
        each = self._key.size + self._value.size
        return max(1, min(wanted, self._spec.max_entries or wanted, _BATCH_BYTES // max(each, 1)))
