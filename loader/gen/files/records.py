"""Named tuples as JSON and back, by their annotations: for files that others read, and that may be hostile.

A tuple is an object of its fields, without those that have their default; where one of several kinds can stand, it
has the key `class` with the name of the class. Enumerations are numbers if they are integers, else the members'
names in lower case; a dictionary is an object. Bytes are hexadecimal text if they are few, else
`[region, offset, size]`: they lie in one of the file's regions.
"""

from __future__ import annotations

import enum
import types
import typing
from array import array
from typing import TYPE_CHECKING, Any, TypeVar

from bpfas.elf.constants import HOST_ORDER

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from bpfas.elf.constants import ByteOrder

    _Decoder = Callable[[Any, Sequence[bytes]], Any]

T = TypeVar("T")

_CLASS = "class"
_FEW_BYTES = 32
_LOWEST, _HIGHEST = -(1 << 63), (1 << 64) - 1


class MalformedError(Exception):
    """What is read is not what was written; as text where, and why."""

    def __init__(self, why: str, where: str = "") -> None:
        super().__init__(why)
        self.why = why
        self.where = where

    def __str__(self) -> str:
        return f"{self.where} {self.why}".lstrip()


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


class Coder:
    """How the tuples of a file are written: `order` is that of words, `names` what annotations mean by a name.

    `left_out` are fields, by the class's name, that a file does not have.
    """

    def __init__(
        self, order: ByteOrder, names: Mapping[str, object], left_out: Mapping[str, frozenset[str]]
    ) -> None:
        self.order = order
        self._names = dict(names)
        self._left_out = left_out
        self._fields: dict[type, dict[str, object]] = {}
        self._decoders: dict[type, dict[str, _Decoder]] = {}

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
                defaults: dict[str, Any] = type(value)._field_defaults  # type: ignore[attr-defined]
                data: dict[str, Any] = {_CLASS: type(value).__name__} if len(_choices(hint)) > 1 else {}
                for name, of_field in self.fields(type(value)).items():
                    each = getattr(value, name)
                    if name not in defaults or each != defaults[name]:
                        data[name] = self.encode(each, of_field, regions)
                return data
            case tuple():
                of_elements = typing.get_args(hint)
                hints = [of_elements[0]] * len(value) if of_elements[-1] is Ellipsis else of_elements
                return [self.encode(each, of_each, regions) for each, of_each in zip(value, hints, strict=True)]
        raise TypeError(f"{value!r} cannot be written")

    def decode(self, data: object, cls: type[T], regions: Sequence[bytes]) -> T:
        """The tuple of a class that JSON stands for. Raises MalformedError."""
        decoded: T = self._tuple(cls)(data, regions)
        return decoded

    def fields(self, cls: type) -> dict[str, object]:
        """The fields of a class that a file has, and what they are."""
        if cls not in self._fields:
            left_out = self._left_out.get(cls.__name__, frozenset())
            hints = typing.get_type_hints(cls, localns=self._names)
            self._fields[cls] = {name: hint for name, hint in hints.items() if name not in left_out}
        return self._fields[cls]

    def _decoder(self, hint: object) -> _Decoder:
        """What makes of JSON, and of the regions, a value that is annotated so."""
        choices = _choices(hint)
        if choices:
            return self._choice(choices, has_none=types.NoneType in typing.get_args(hint))
        origin = typing.get_origin(hint)
        if origin is tuple:
            of_elements = typing.get_args(hint)
            if of_elements[-1] is Ellipsis:
                return _sequence(self._decoder(of_elements[0]))
            return _fixed([self._decoder(each) for each in of_elements])
        if origin is dict:
            return _mapping(self._decoder(typing.get_args(hint)[1]))
        if origin is list:
            return self._words
        assert isinstance(hint, type)
        if hint is bytes:
            return _bytes
        if hint is str:
            return _text
        if hint is bool:
            return _plain(hint)
        if issubclass(hint, int):
            return _number(hint)
        return _member(hint) if issubclass(hint, enum.Enum) else self._tuple(hint)

    def _tuple(self, cls: Any) -> _Decoder:
        known, defaults = self._decoders, cls._field_defaults

        def decode(data: Any, regions: Sequence[bytes]) -> Any:
            decoders = known.get(cls)
            if decoders is None:  # not before: classes may be made of themselves
                decoders = known[cls] = {name: self._decoder(hint) for name, hint in self.fields(cls).items()}
            values = {}
            for name, each in _checked(data, dict).items():
                if name not in decoders:
                    raise MalformedError(f"has '{name}', which is no field of it")
                try:
                    values[name] = decoders[name](each, regions)
                except MalformedError as error:
                    raise MalformedError(error.why, f".{name}{error.where}") from None
            for name in decoders:
                if name not in values and name not in defaults:
                    raise MalformedError(f"has no '{name}'")
            return cls(**values)

        return decode

    def _choice(self, choices: Sequence[Any], *, has_none: bool) -> _Decoder:
        """One of several: tuples say of which class they are, others are told apart by how JSON has them."""
        decoders = [self._decoder(each) for each in choices]
        tuples = {
            each.__name__: decoder
            for each, decoder in zip(choices, decoders, strict=True)
            if hasattr(each, "_fields")
        }
        is_only = len(choices) == 1
        of_text = next(
            (decoder for each, decoder in zip(choices, decoders, strict=True) if each in (str, bytes)), None
        )
        of_number = next((decoder for each, decoder in zip(choices, decoders, strict=True) if each is int), None)

        def decode(data: Any, regions: Sequence[bytes]) -> Any:
            if data is None and has_none:
                return None
            if is_only:
                return decoders[0](data, regions)
            if isinstance(data, dict):
                kind = data.get(_CLASS)
                if not isinstance(kind, str) or kind not in tuples:
                    raise MalformedError(f"is of class {_shown(kind)}; there are {', '.join(tuples)}")
                return tuples[kind]({name: each for name, each in data.items() if name != _CLASS}, regions)
            plain = of_text if isinstance(data, str | list) else of_number
            if plain is None:
                raise _wrong(data)
            return plain(data, regions)

        return decode

    def _words(self, data: Any, regions: Sequence[bytes]) -> array[int]:
        words, contents = array("I"), _bytes(data, regions)
        if len(contents) % words.itemsize:
            raise MalformedError(f"has {len(contents)} bytes, which are no words of {words.itemsize}")
        words.frombytes(contents)
        return self._swapped(words)

    def _swapped(self, words: array[int]) -> array[int]:
        """Words of this machine for the file, and the other way round."""
        if self.order is HOST_ORDER:
            return words
        swapped = array("I", words)
        swapped.byteswap()
        return swapped


def _choices(hint: object) -> list[Any]:
    """The types that stand for a choice, but for None; none for what leaves no choice."""
    if typing.get_origin(hint) not in (typing.Union, types.UnionType):
        return []
    return [each for each in typing.get_args(hint) if each is not types.NoneType]


def _sequence(decoder: _Decoder) -> _Decoder:
    def decode(data: Any, regions: Sequence[bytes]) -> Any:
        values = []
        for each in _checked(data, list):
            try:
                values.append(decoder(each, regions))
            except MalformedError as error:
                raise MalformedError(error.why, f"[{len(values)}]{error.where}") from None
        return tuple(values)

    return decode


def _fixed(decoders: Sequence[_Decoder]) -> _Decoder:
    def decode(data: Any, regions: Sequence[bytes]) -> Any:
        elements = _checked(data, list)
        if len(elements) != len(decoders):
            raise MalformedError(f"has {len(elements)} elements, not {len(decoders)}")
        return tuple([decoder(each, regions) for decoder, each in zip(decoders, elements, strict=True)])

    return decode


def _mapping(decoder: _Decoder) -> _Decoder:
    def decode(data: Any, regions: Sequence[bytes]) -> Any:
        values = {}
        for key, each in _checked(data, dict).items():
            try:
                values[key] = decoder(each, regions)
            except MalformedError as error:
                raise MalformedError(error.why, f".{key}{error.where}") from None
        return values

    return decode


def _plain(cls: type) -> _Decoder:
    def decode(data: Any, _: Sequence[bytes]) -> Any:
        return _checked(data, cls)

    return decode


def _text(data: Any, _: Sequence[bytes]) -> str:
    text = _checked(data, str)
    try:
        text.encode(errors="surrogateescape")
    except UnicodeEncodeError:
        raise MalformedError(f"is {_shown(ascii(text))}, which is no text") from None
    return text


def _number(cls: type[int]) -> _Decoder:
    is_flags, members = issubclass(cls, enum.IntFlag), set(cls) if issubclass(cls, enum.IntEnum) else set()

    def decode(data: Any, _: Sequence[bytes]) -> Any:
        number = _checked(data, int)
        if isinstance(number, bool) or not _LOWEST <= number <= _HIGHEST:
            raise MalformedError(f"is {number}, which is no number of 64 bits")
        # A number that an enumeration lacks stays one.
        return cls(number) if number in members or (is_flags and number >= 0) else number

    return decode


def _member(cls: type[enum.Enum]) -> _Decoder:
    def decode(data: Any, _: Sequence[bytes]) -> Any:
        name = _checked(data, str).upper()
        if name not in cls.__members__:
            raise MalformedError(f"is '{name.lower()}'; there are {', '.join(cls.__members__).lower()}")
        return cls[name]

    return decode


def _bytes(data: Any, regions: Sequence[bytes]) -> bytes:
    if isinstance(data, str):
        try:
            return bytes.fromhex(data)
        except ValueError:
            raise MalformedError(f"is {_shown(data)}, which is not hexadecimal") from None
    place = _checked(data, list)
    if len(place) != 3 or not all(isinstance(each, int) and each >= 0 for each in place):
        raise MalformedError(f"is no place of bytes: {_shown(data)}")
    region, offset, size = place
    if region >= len(regions) or offset + size > len(regions[region]):
        raise MalformedError(f"lies outside of the file: {size} bytes at {offset} of region {region}")
    return regions[region][offset : offset + size]


def _checked(data: object, cls: type[T]) -> T:
    if not isinstance(data, cls):
        raise _wrong(data)
    return data


def _wrong(data: object) -> MalformedError:
    return MalformedError(f"is {_shown(data)}, which it cannot be")


def _shown(data: object) -> str:
    text = repr(data)
    return text if len(text) <= 60 else f"{text[:60]}…"
