"""A map as a dictionary: looked up, updated, deleted from, walked through, one by one and in batches.

A MapView gives keys and values by its codecs. It closes nothing and opens nothing: the descriptor is
`bpfas.loader.runtime.maps`'s.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from bpfas.btf.codecs import EncodingError
from bpfas.loader.errors import ENOTSUPP, KernelError, Step, explain
from bpfas.loader.kinds import MapType, UpdateFlag
from bpfas.loader.privilege import Explanation
from bpfas.loader.runtime.codecs import INDEXED, PerCpu, aligned
from bpfas.loader.syscall import Command

if TYPE_CHECKING:
    from bpfas.btf.codecs import Codec
    from bpfas.loader.spec import MapSpec
    from bpfas.loader.syscall import Elements

K = TypeVar("K")
V = TypeVar("V")
D = TypeVar("D")

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
_UNSUPPORTED = (ENOTSUPP, errno.EOPNOTSUPP, errno.ENOSYS)
_FIRST_BATCH, _LARGEST_BATCH = 64, 4096
_BATCH_BYTES = 1 << 22
_MISSING: Any = object()
_CPU_SHIFT = 32
_NO_SINGLE_CPU = Explanation(
    "this kernel does not set the value of one CPU alone", "set the values of all CPUs, as a list"
)


class MapView(Generic[K, V]):
    """The elements of a map, as a dictionary of `K` and `V`.

    What the kernel refuses is a KernelError; a key that is not there is a KeyError in subscription, `pop` and
    `delete`; a key or value that is none of its type is an EncodingError, which is a ValueError. Walks give every
    element once that is there all the while, whatever is deleted or added meanwhile.
    """

    def __init__(self, spec: MapSpec, elements: Elements, key: Codec[K], value: Codec[V], cpus: int) -> None:
        self._spec = spec
        self._elements = elements
        self._key = key
        self._value = value
        self._cpus = cpus
        """The number of values that an element has, 1 but for per-CPU maps."""
        self._encode_key, self._encode_value = key.encode, value.encode
        self._decode_key, self._decode_value = key.decode, value.decode
        self._lookup = elements.lookup

    def __getitem__(self, key: K) -> V:
        try:
            value = self._lookup(self._encode_key(key))
        except (OSError, EncodingError) as error:
            raise self._failure(Step.LOOK_UP, error) from None
        if value is None:
            raise KeyError(key)
        return self._decode_value(value)

    def __setitem__(self, key: K, value: V) -> None:
        try:
            self._elements.update(self._key_bytes(key), self._encode_value(value))
        except (OSError, EncodingError) as error:
            raise self._failure(Step.UPDATE, error) from None

    def __delitem__(self, key: K) -> None:
        self.delete(key)

    def __contains__(self, key: object) -> bool:
        """Whether the key is there; whether the value may be in a Bloom filter."""
        try:
            if self._spec.map_type == MapType.BLOOM_FILTER:
                return self._elements.contains_value(self._value_bytes(key))
            return self._elements.lookup(self._key_bytes(key)) is not None
        except (OSError, EncodingError) as error:
            raise self._failure(Step.LOOK_UP, error) from None

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

    def lookup(self, key: K, flag: UpdateFlag = UpdateFlag.ANY) -> V | None:
        """The value of `key`, None if it is not there. With LOCK it is read under its spin lock."""
        try:
            value = self._elements.lookup(self._key_bytes(key), int(flag))
        except (OSError, EncodingError) as error:
            raise self._failure(Step.LOOK_UP, error) from None
        return None if value is None else self._decode_value(value)

    @overload
    def get(self, key: K) -> V | None: ...
    @overload
    def get(self, key: K, default: V | D) -> V | D: ...
    def get(self, key: K, default: Any = None) -> Any:
        """The value of `key`, `default` if it is not there."""
        value = self.lookup(key)
        return default if value is None else value

    def update(self, key: K, value: V, flag: UpdateFlag = UpdateFlag.ANY) -> None:
        """Set `key` to `value`; `flag` restricts it to new or to existing keys, or writes under the spin lock."""
        try:
            self._elements.update(self._key_bytes(key), self._value_bytes(value), int(flag))
        except (OSError, EncodingError) as error:
            raise self._failure(Step.UPDATE, error) from None

    def lookup_cpu(self, key: K, cpu: int) -> Any:
        """One CPU's value of `key` in a per-CPU map, None if the key is not there."""
        each = self._each(cpu)
        try:
            encoded = self._key_bytes(key)
            try:
                value = self._elements.lookup(encoded, UpdateFlag.CPU | cpu << _CPU_SHIFT)
            except OSError as error:
                if error.errno != errno.EINVAL:  # of kernels that give the values of all CPUs alone
                    raise
                whole = self._elements.lookup(encoded)
                value = None if whole is None else whole[cpu * aligned(each.size) :]
        except (OSError, EncodingError) as error:
            raise self._failure(Step.LOOK_UP, error) from None
        return None if value is None else each.decode(value)

    def update_cpu(self, key: K, value: Any, cpu: int | None = None) -> None:
        """Set one CPU's value of `key` in a per-CPU map, or all CPUs' to the same one (`cpu` None).

        Only kernels since 7.0 set one CPU's value alone; others refuse that with a KernelError.
        """
        each = self._each(cpu or 0)
        try:
            encoded = self._key_bytes(key)
            data = each.encode(value).ljust(aligned(each.size), b"\0")
            if cpu is None:
                self._elements.update(encoded, data * self._cpus)
                return
            whole = data.ljust(self._value.size, b"\0")
            self._elements.update(encoded, whole, UpdateFlag.CPU | cpu << _CPU_SHIFT)
        except (OSError, EncodingError) as error:
            if isinstance(error, OSError) and error.errno == errno.EINVAL and cpu is not None:
                raise KernelError(Step.UPDATE, f"map {self._spec.name}", errno.EINVAL, _NO_SINGLE_CPU) from None
            raise self._failure(Step.UPDATE, error) from None

    def setdefault(self, key: K, default: V) -> V:
        """The value of `key`, which is set to `default` if it is not there."""
        while True:
            try:
                self.update(key, default, UpdateFlag.NOEXIST)
            except KernelError as error:
                if error.errno != errno.EEXIST:
                    raise
            else:
                return default
            value = self.lookup(key)
            if value is not None:  # somebody else may have deleted it since
                return value

    def delete(self, key: K) -> None:
        """Take out `key`; KeyError if it is not there."""
        try:
            was_there = self._delete(self._key_bytes(key))
        except (OSError, EncodingError) as error:
            raise self._failure(Step.DELETE, error) from None
        if not was_there:
            raise KeyError(key)

    @overload
    def pop(self) -> V: ...
    @overload
    def pop(self, key: K) -> V: ...
    @overload
    def pop(self, key: K, default: D) -> V | D: ...
    def pop(self, key: Any = _MISSING, default: Any = _MISSING) -> Any:
        """Take out `key` and give its value, in one step where the kernel can (5.14 and later).

        KeyError, or `default`, if it is not there. Of a queue or stack, which has no keys: take out the next
        value; IndexError if it is empty.
        """
        if key is _MISSING:
            return self._popped(Command.MAP_LOOKUP_AND_DELETE_ELEM)
        try:
            value = self._taken_out(self._key_bytes(key))
        except (OSError, EncodingError) as error:
            raise self._failure(Step.POP, error) from None
        if value is not None:
            return self._decode_value(value)
        if default is _MISSING:
            raise KeyError(key)
        return default

    def peek(self) -> V:
        """The next value of a queue or stack, which stays there; IndexError if it is empty."""
        return self._popped(Command.MAP_LOOKUP_ELEM)

    def push(self, value: V, *, replace_oldest: bool = False) -> None:
        """Put a value into a queue, stack or Bloom filter; a full one may drop its oldest for it."""
        flag = UpdateFlag.EXIST if replace_oldest else UpdateFlag.ANY
        try:
            self._without_key()
            self._elements.update(b"", self._value_bytes(value), flag)
        except (OSError, EncodingError) as error:
            raise self._failure(Step.PUSH, error) from None

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
            if number not in _UNSUPPORTED and not (number == errno.EINVAL and not done):
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
        keys = self._keys_one_by_one()
        while chunk := list(islice(keys, _LARGEST_BATCH)):
            self._deleted(chunk)

    def _each(self, cpu: int) -> Codec[Any]:
        """The codec of one CPU's value."""
        if not isinstance(self._value, PerCpu):
            raise TypeError(f"map {self._spec.name} has one value for all CPUs")
        if not 0 <= cpu < self._cpus:
            raise ValueError(f"there is no CPU {cpu}; the machine may have {self._cpus}")
        return self._value.each

    def _without_key(self) -> None:
        """Raise TypeError for a map whose elements have keys."""
        if self._key.size:
            raise TypeError(f"map {self._spec.name} has keys: say which")

    def _popped(self, command: Command) -> V:
        self._without_key()
        try:
            value = self._elements.lookup(b"", 0, command)
        except OSError as error:
            raise self._failure(Step.POP, error) from None
        if value is None:
            raise IndexError(f"map {self._spec.name} is empty")
        return self._decode_value(value)

    def _delete(self, key: bytes) -> bool:
        """Delete a key; whether it was there. Raises OSError."""
        try:
            return self._elements.delete(key)
        except OSError as error:
            # Of a place without a socket the kernel says that it is invalid.
            if error.errno == errno.EINVAL and self._spec.map_type == MapType.SOCKMAP:
                return False
            raise

    def _taken_out(self, key: bytes) -> bytes | None:
        try:
            return self._elements.lookup(key, 0, Command.MAP_LOOKUP_AND_DELETE_ELEM)
        except OSError as error:
            if error.errno not in (*_UNSUPPORTED, errno.EINVAL):
                raise
        value = self._elements.lookup(key)
        if value is not None and not self._delete(key):
            return None
        return value

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
            elif number in _UNSUPPORTED or (number == errno.EINVAL and not done):
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
                    if error.errno not in (*_UNSUPPORTED, errno.ENOSPC):  # ENOSPC: sockets of 4 bytes
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
                if token is None and error.errno in (*_UNSUPPORTED, errno.EINVAL):
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

    def _key_bytes(self, key: Any) -> bytes:
        try:
            return self._encode_key(key)
        except EncodingError as error:
            raise error.about(f"map {self._spec.name}: the key") from None

    def _value_bytes(self, value: Any) -> bytes:
        try:
            return self._encode_value(value)
        except EncodingError as error:
            raise error.about(f"map {self._spec.name}: the value") from None

    def _failure(self, step: Step, error: OSError | EncodingError) -> KernelError | EncodingError:
        """What is raised for an error of one operation."""
        if isinstance(error, OSError):
            return self._refusal(step, error.errno or 0)
        if error.subject:
            return error
        return error.about(f"map {self._spec.name}: the {'key' if step is Step.LOOK_UP else 'value'}")

    def _refusal(self, step: Step, number: int, details: str = "") -> KernelError:
        return KernelError(step, f"map {self._spec.name}{details}", number, explain(step, number))
