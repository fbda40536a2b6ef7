"""Single elements of a map, by their keys or (of queues, stacks and Bloom filters) without.

An ElementView gives keys and values by its codecs. It closes nothing and opens nothing: the descriptor is
`bpfas.loader.runtime.maps`'s. Walking through all elements is `bpfas.loader.runtime.view`'s.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from bpfas.btf.codecs import EncodingError
from bpfas.loader.errors import ENOTSUPP, KernelError, Step, explain
from bpfas.loader.kinds import MapType, UpdateFlag
from bpfas.loader.privilege import Explanation
from bpfas.loader.runtime.codecs import PerCpu, aligned
from bpfas.loader.syscall import Command

if TYPE_CHECKING:
    from bpfas.btf.codecs import Codec
    from bpfas.loader.spec import MapSpec
    from bpfas.loader.syscall import Elements

K = TypeVar("K")
V = TypeVar("V")
D = TypeVar("D")

UNSUPPORTED = (ENOTSUPP, errno.EOPNOTSUPP, errno.ENOSYS)
"""What the kernel says of operations that a type of map does not have."""

_MISSING: Any = object()
_CPU_SHIFT = 32
_NO_SINGLE_CPU = Explanation(
    "this kernel does not set the value of one CPU alone", "set the values of all CPUs, as a list"
)


_OTHER_MAP = Explanation(
    "the map is not like those that this one was made for", "give one of their type, sizes, flags and entries"
)
_INVALID_VALUES: dict[int, Explanation] = {
    MapType.ARRAY_OF_MAPS: _OTHER_MAP,
    MapType.HASH_OF_MAPS: _OTHER_MAP,
    MapType.PROG_ARRAY: Explanation(
        "the program is not like those that are in it, or that call it",
        "programs of one array are of one type and attach type, and all of them with or without the JIT",
    ),
}
"""What a value that the kernel calls invalid is."""


class ElementView(Generic[K, V]):
    """The elements of a map, one by one, as those of a dictionary of `K` and `V`.

    What the kernel refuses is a KernelError; a key that is not there is a KeyError in subscription, `pop` and
    `delete`; a key or value that is none of its type is an EncodingError, which is a ValueError.
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
            if error.errno not in (*UNSUPPORTED, errno.EINVAL):
                raise
        value = self._elements.lookup(key)
        if value is not None and not self._delete(key):
            return None
        return value

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
        explanation = explain(step, number)
        if step is Step.UPDATE and number == errno.EINVAL:
            explanation = _INVALID_VALUES.get(self._spec.map_type) or explanation
        return KernelError(step, f"map {self._spec.name}{details}", number, explanation)
