"""Named tuples as JSON and back, by their annotations: for files that others read, and that may be hostile.

A tuple is an object of its fields, without those that have their default; where one of several kinds can stand, it
has the key `kind` with the name of the class. Enumerations are numbers if they are integers, else the members'
names in lower case; a dictionary is an object. Bytes are hexadecimal text if they are few, else
`[region, offset, size]`: they lie in one of the file's regions.
"""

from __future__ import annotations

import enum
import functools
import types
import typing
from array import array
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from bpfas.elf.constants import HOST_ORDER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bpfas.elf.constants import ByteOrder

T = TypeVar("T")

_KIND = "kind"
_FEW_BYTES = 32
_LOWEST, _HIGHEST = -(1 << 63), (1 << 64) - 1


class MalformedError(Exception):
    """What is read is not what was written; the text says where and why."""


class Regions:
    """The bytes that a file has besides its JSON: given ones, and behind them what is not in these."""

    def __init__(self, given: Sequence[bytes]) -> None:
        self.given = [bytes(region) for region in given]
        self.extra = bytearray()
        self._known: dict[bytes, list[int]] = {}

    def put(self, data: bytes) -> str | list[int]:
        """What stands for `data` in JSON."""
        if len(data) <= _FEW_BYTES:
            return data.hex()
        if data not in self._known:
            self._known[data] = self._found(data)
        return self._known[data]

    def _found(self, data: bytes) -> list[int]:
        for number, region in enumerate(self.given):
            if (offset := region.find(data)) >= 0:
                return [number, offset, len(data)]
        self.extra += data
        return [len(self.given), len(self.extra) - len(data), len(data)]


class Coder(NamedTuple):
    """How the tuples of a file are written: `order` is that of words, `names` what annotations mean by a name.

    `left_out` are fields, by the class's name, that a file does not have.
    """

    order: ByteOrder
    names: Mapping[str, object]
    left_out: Mapping[str, frozenset[str]]

    def encode(self, value: object, hint: object, regions: Regions) -> Any:
        """The JSON of a value that is annotated so."""
        match value:
            case None | bool() | str():
                return value
            case enum.Enum() if not isinstance(value, int):
                return value.name.lower()
            case int():
                return int(value)
            case bytes():
                return regions.put(value)
            case array():
                return regions.put(self._swapped(value).tobytes())
            case dict():
                _, of_values = typing.get_args(hint)
                return {key: self.encode(each, of_values, regions) for key, each in value.items()}
            case tuple() if hasattr(value, "_fields"):
                fields = self.fields(type(value))
                defaults: dict[str, Any] = type(value)._field_defaults  # type: ignore[attr-defined]
                data: dict[str, Any] = {_KIND: type(value).__name__} if _is_choice(hint) else {}
                for name, of_field in fields.items():
                    each = getattr(value, name)
                    if name not in defaults or each != defaults[name]:
                        data[name] = self.encode(each, of_field, regions)
                return data
            case tuple():
                hints = _element_hints(hint, len(value))
                return [self.encode(each, of_each, regions) for each, of_each in zip(value, hints, strict=True)]
        raise TypeError(f"{value!r} cannot be written")

    def decode(self, data: object, hint: object, regions: Sequence[bytes], at: str) -> Any:
        """The value of JSON that is annotated so; `at` says where in the file it is. Raises MalformedError."""
        if _is_union(hint):
            return self._decode_choice(data, hint, regions, at)
        origin = typing.get_origin(hint)
        if origin is tuple:
            elements = _checked(data, list, at)
            hints = _element_hints(hint, len(elements))
            if len(hints) != len(elements):
                raise MalformedError(f"{at} has {len(elements)} elements, not {len(hints)}")
            return tuple(
                self.decode(each, of_each, regions, f"{at}[{index}]")
                for index, (each, of_each) in enumerate(zip(elements, hints, strict=True))
            )
        if origin is dict:
            _, of_values = typing.get_args(hint)
            members = _checked(data, dict, at)
            return {key: self.decode(each, of_values, regions, f"{at}.{key}") for key, each in members.items()}
        if origin is list:  # of words
            return self._words(_bytes(data, regions, at), at)
        assert isinstance(hint, type)
        if hint is bytes:
            return _bytes(data, regions, at)
        if hint in (bool, str):
            return _checked(data, hint, at)
        if issubclass(hint, int):
            number = _checked(data, int, at)
            if isinstance(number, bool) or not _LOWEST <= number <= _HIGHEST:
                raise MalformedError(f"{at} is {number}, which is no number of 64 bits")
            return _as_enumerated(hint, number)
        if issubclass(hint, enum.Enum):
            name = _checked(data, str, at).upper()
            if name not in hint.__members__:
                raise MalformedError(f"{at} is '{name.lower()}'; there are {', '.join(hint.__members__).lower()}")
            return hint[name]
        return self._decode_tuple(_checked(data, dict, at), hint, regions, at)

    def fields(self, cls: type) -> dict[str, object]:
        """The fields of a class that a file has, and what they are."""
        hints = _hints(cls, tuple(sorted(self.names.items(), key=lambda item: item[0])))
        left_out = self.left_out.get(cls.__name__, frozenset())
        return {name: hint for name, hint in hints.items() if name not in left_out}

    def _decode_choice(self, data: object, hint: object, regions: Sequence[bytes], at: str) -> Any:
        choices = [each for each in typing.get_args(hint) if each is not types.NoneType]
        if data is None and types.NoneType in typing.get_args(hint):
            return None
        if isinstance(data, dict) and len(choices) > 1:
            classes = {each.__name__: each for each in choices if hasattr(each, "_fields")}
            kind = data.get(_KIND)
            if not isinstance(kind, str) or kind not in classes:
                raise MalformedError(f"{at} is of kind {kind!r}; there are {', '.join(classes)}")
            members = {name: each for name, each in data.items() if name != _KIND}
            return self._decode_tuple(members, classes[kind], regions, at)
        plain = choices if len(choices) == 1 else [each for each in choices if _is_plain(each, data)]
        if not plain:
            raise MalformedError(f"{at} is {_shown(data)}, which it cannot be")
        return self.decode(data, plain[0], regions, at)

    def _decode_tuple(self, data: dict[str, Any], cls: Any, regions: Sequence[bytes], at: str) -> Any:
        fields = self.fields(cls)
        for name in data:
            if name not in fields:
                raise MalformedError(f"{at} has '{name}', which is no field of it")
        for name in fields:
            if name not in data and name not in cls._field_defaults:
                raise MalformedError(f"{at} has no '{name}'")
        return cls(
            **{name: self.decode(each, fields[name], regions, f"{at}.{name}") for name, each in data.items()}
        )

    def _words(self, data: bytes, at: str) -> array[int]:
        words = array("I")
        if len(data) % words.itemsize:
            raise MalformedError(f"{at} has {len(data)} bytes, which are no words of {words.itemsize}")
        words.frombytes(data)
        return self._swapped(words)

    def _swapped(self, words: array[int]) -> array[int]:
        """Words of this machine for the file, and the other way round."""
        if self.order is HOST_ORDER:
            return words
        swapped = array("I", words)
        swapped.byteswap()
        return swapped


@functools.cache
def _hints(cls: type, names: tuple[tuple[str, object], ...]) -> dict[str, object]:
    return typing.get_type_hints(cls, localns=dict(names))


def _is_union(hint: object) -> bool:
    return typing.get_origin(hint) in (typing.Union, types.UnionType)


def _is_choice(hint: object) -> bool:
    """Whether a tuple has to say of which class it is."""
    return _is_union(hint) and len([each for each in typing.get_args(hint) if each is not types.NoneType]) > 1


def _is_plain(hint: object, data: object) -> bool:
    """Whether JSON that is no object can be one of these."""
    if hint is bytes:
        return isinstance(data, str | list)
    return hint in (int, str) and isinstance(data, hint)


def _element_hints(hint: object, count: int) -> Sequence[object]:
    """Of what the elements of a tuple are."""
    of_elements = typing.get_args(hint)
    return [of_elements[0]] * count if len(of_elements) == 2 and of_elements[1] is Ellipsis else of_elements


def _checked(data: object, cls: type[T], at: str) -> T:
    if not isinstance(data, cls):
        raise MalformedError(f"{at} is {_shown(data)}, which it cannot be")
    return data


def _as_enumerated(hint: type[int], number: int) -> int:
    """A member of an enumeration, or flags together; a number that it lacks stays one."""
    if issubclass(hint, enum.IntFlag):
        return hint(number) if number >= 0 else number
    is_known = issubclass(hint, enum.IntEnum) and number in set(hint)
    return hint(number) if is_known else number


def _bytes(data: object, regions: Sequence[bytes], at: str) -> bytes:
    if isinstance(data, str):
        try:
            return bytes.fromhex(data)
        except ValueError:
            raise MalformedError(f"{at} is {_shown(data)}, which is not hexadecimal") from None
    place = _checked(data, list, at)
    if len(place) != 3 or not all(isinstance(each, int) and each >= 0 for each in place):
        raise MalformedError(f"{at} is no place of bytes: {_shown(data)}")
    region, offset, size = place
    if region >= len(regions) or offset + size > len(regions[region]):
        raise MalformedError(f"{at} lies outside of the file: {size} bytes at {offset} of region {region}")
    return regions[region][offset : offset + size]


def _shown(data: object) -> str:
    text = repr(data)
    return text if len(text) <= 60 else f"{text[:60]}…"
