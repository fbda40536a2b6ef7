"""How Python values lie in bytes: numbers, text, bytes, arrays, and the codecs that structs are made of.

A Codec turns values of one type into bytes and back. The bytes themselves are taken for a value of any type, if
they have its size. What a type of BTF is made into is `bpfas.btf.values`; structs and unions are
`bpfas.btf.compounds`.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

from bpfas.btf.records import Enumerated
from bpfas.diag import BpfasError, Diagnostic, Severity
from bpfas.elf.constants import ByteOrder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

Buffer = bytes | bytearray | memoryview
"""What holds the bytes of values."""

_SHOWN = 80
_INT_FORMATS = {1: "b", 2: "h", 4: "i", 8: "q"}
_FLOAT_FORMATS = {2: "e", 4: "f", 8: "d"}


class EncodingError(BpfasError, ValueError):
    """A value that is none of its type; `path` leads from the outermost value to it (`.stats[3].count`)."""

    def __init__(self, reason: str, path: str = "", subject: str = "") -> None:
        self.reason = reason
        self.path = path
        self.subject = subject
        message = ": ".join(part for part in (subject, path.removeprefix("."), reason) if part)
        super().__init__([Diagnostic(Severity.ERROR, message, None, ())])

    def within(self, step: str) -> EncodingError:
        """The same error of what the value is part of: `.member` or `[index]`."""
        return EncodingError(self.reason, step + self.path, self.subject)

    def about(self, subject: str) -> EncodingError:
        """The same error with what the whole value is for: `map counts: the key`."""
        return EncodingError(self.reason, self.path, subject)


class Codec(Protocol[T_co]):
    """Values of one type as bytes.

    `format` is what struct has for the type (without byte order), empty where it has none; where struct gives
    something else than `decode`, `finish` makes the one of the other.
    """

    @property
    def size(self) -> int:
        """The bytes of a value."""
        ...

    @property
    def format(self) -> str:
        """The struct format of the type."""
        ...

    @property
    def finish(self) -> Callable[[Any], Any] | None:
        """What is done to what struct gives."""
        ...

    def encode(self, value: Any) -> bytes:
        """The bytes of a value, `size` of them. Raises EncodingError."""
        ...

    def decode(self, data: Buffer, at: int = 0) -> T_co:
        """The value whose bytes begin at offset `at`. Raises EncodingError where they end too soon."""
        ...


def shown(value: object) -> str:
    """A value for a message, not too long."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def raw_bytes(value: Any, size: int, what: str) -> bytes | None:
    """The bytes that stand for a value of `what`, None if it is not given in bytes (or as a ctypes object)."""
    if isinstance(value, bytes | bytearray | memoryview) or hasattr(value, "_b_base_"):
        data = bytes(value)
        if len(data) != size:
            raise EncodingError(f"{what} has {size} bytes, not {len(data)}")
        return data
    return None


def too_short(what: str, size: int, data: Buffer, at: int) -> EncodingError:
    """The error of bytes that end before the value does."""
    return EncodingError(f"{what} has {size} bytes, but there are {max(len(data) - at, 0)}")


class Number:
    """An integer, a boolean or a floating point number that struct knows."""

    finish: Callable[[Any], Any] | None = None

    def __init__(self, format_: str, order: ByteOrder, name: str) -> None:
        self.format = format_
        self.name = name
        self._struct = struct.Struct(order.value + format_)
        self.size = self._struct.size
        self._pack, self._unpack = self._struct.pack, self._struct.unpack_from

    def encode(self, value: Any) -> bytes:
        """The bytes of a number."""
        try:
            return self._pack(value)
        except (struct.error, OverflowError, TypeError):
            data = raw_bytes(value, self.size, f"'{self.name}'")
            if data is None:
                raise self._refusal(value) from None
            return data

    def decode(self, data: Buffer, at: int = 0) -> Any:
        """The number at `at`."""
        try:
            return self._unpack(data, at)[0]
        except struct.error:
            raise too_short(f"'{self.name}'", self.size, data, at) from None

    def _refusal(self, value: object) -> EncodingError:
        if self.format in "efd":
            return EncodingError(f"{shown(value)} is no number that '{self.name}' can hold")
        bits = 8 * self.size
        low, high = (-1 << bits - 1, (1 << bits - 1) - 1) if self.format.islower() else (0, (1 << bits) - 1)
        if isinstance(value, int):
            return EncodingError(f"{value} does not fit into '{self.name}' ({low} to {high})")
        return EncodingError(f"{shown(value)} is no integer, which '{self.name}' asks for")


def integer(size: int, order: ByteOrder, name: str, *, is_signed: bool) -> Codec[int]:
    """The codec of an integer of `size` bytes."""
    if size not in _INT_FORMATS:
        return WideInteger(size, order, name, is_signed=is_signed)
    return Number(_INT_FORMATS[size] if is_signed else _INT_FORMATS[size].upper(), order, name)


def floating(size: int, order: ByteOrder, name: str) -> Codec[Any]:
    """The codec of a floating point number; Python has none of more than 8 bytes, which stay bytes."""
    if size not in _FLOAT_FORMATS:
        return Bytes(size, name)
    return Number(_FLOAT_FORMATS[size], order, name)


class Boolean(Number):
    """A boolean, False for zero and True for all else."""

    def __init__(self, size: int, order: ByteOrder, name: str) -> None:
        super().__init__("?" if size == 1 else _INT_FORMATS[size].upper(), order, name)
        if size > 1:
            self.finish = bool

    def encode(self, value: Any) -> bytes:
        """The bytes of True, False, 1 or 0."""
        if value is True or value is False or (isinstance(value, int) and value in (0, 1)):
            return self._pack(value)
        data = raw_bytes(value, self.size, f"'{self.name}'")
        if data is None:
            raise EncodingError(f"{shown(value)} is neither true nor false, as '{self.name}' has to be")
        return data

    def decode(self, data: Buffer, at: int = 0) -> bool:
        """The boolean at `at`."""
        return bool(super().decode(data, at))


class WideInteger:
    """An integer of a size for which struct has no format, such as 16 bytes."""

    format = ""
    finish: Callable[[Any], Any] | None = None

    def __init__(self, size: int, order: ByteOrder, name: str, *, is_signed: bool) -> None:
        self.size = size
        self.name = name
        self._is_signed = is_signed
        self._order: Literal["little", "big"] = "little" if order is ByteOrder.LITTLE else "big"

    def encode(self, value: Any) -> bytes:
        """The bytes of an integer."""
        data = raw_bytes(value, self.size, f"'{self.name}'")
        if data is not None:
            return data
        try:
            return int.to_bytes(value, self.size, self._order, signed=self._is_signed)
        except OverflowError:
            raise EncodingError(f"{value} does not fit into '{self.name}' of {self.size} bytes") from None
        except TypeError:
            raise EncodingError(f"{shown(value)} is no integer, which '{self.name}' asks for") from None

    def decode(self, data: Buffer, at: int = 0) -> int:
        """The integer at `at`."""
        if at + self.size > len(data):
            raise too_short(f"'{self.name}'", self.size, data, at)
        return int.from_bytes(data[at : at + self.size], self._order, signed=self._is_signed)


class Pointer(Number):
    """A pointer, as a number; None stands for null."""

    def __init__(self, size: int, order: ByteOrder, name: str) -> None:
        super().__init__(_INT_FORMATS[size].upper(), order, name)

    def encode(self, value: Any) -> bytes:
        """The bytes of an address."""
        return super().encode(0 if value is None else value)


class Enumeration(Number):
    """An enumeration: given by an enumerator's name or by number; numbers that know their names come out."""

    def __init__(
        self, size: int, order: ByteOrder, name: str, values: Mapping[str, int], *, is_signed: bool
    ) -> None:
        super().__init__(_INT_FORMATS[size] if is_signed else _INT_FORMATS[size].upper(), order, name)
        self._values = values
        self._known = {
            number: Enumerated(number, enumerator) for enumerator, number in reversed(list(values.items()))
        }
        self.finish = self.named

    def encode(self, value: Any) -> bytes:
        """The bytes of a number or of an enumerator's value."""
        if isinstance(value, str):
            if value not in self._values:
                raise EncodingError(f"'{self.name}' has no '{value}'{similar(value, list(self._values))}")
            value = self._values[value]
        return super().encode(value)

    def decode(self, data: Buffer, at: int = 0) -> Enumerated:
        """The number at `at` with its name."""
        return self.named(super().decode(data, at))

    def named(self, number: int) -> Enumerated:
        """A number with its name."""
        return self._known.get(number) or Enumerated(number, "")


class Bytes:
    """Bytes, as many as the type has."""

    finish: Callable[[Any], Any] | None = None

    def __init__(self, size: int, name: str) -> None:
        self.size = size
        self.name = name
        self.format = f"{size}s"

    def encode(self, value: Any) -> bytes:
        """The bytes, also as a sequence of numbers."""
        data = raw_bytes(value, self.size, f"'{self.name}'")
        if data is not None:
            return data
        try:
            if not isinstance(value, list | tuple):
                raise TypeError
            data = bytes(value)
        except (TypeError, ValueError):
            raise EncodingError(f"{shown(value)} is not bytes, which '{self.name}' asks for") from None
        return raw_bytes(data, self.size, f"'{self.name}'") or b""

    def decode(self, data: Buffer, at: int = 0) -> bytes:
        """The bytes at `at`."""
        if at + self.size > len(data):
            raise too_short(f"'{self.name}'", self.size, data, at)
        return bytes(data[at : at + self.size])


def text_of(data: bytes) -> str:
    """The text up to the first NUL; what is no UTF-8 is kept as surrogates."""
    return data.partition(b"\0")[0].decode(errors="surrogateescape")


class Text:
    """An array of `char`: given as text or bytes that may be shorter, what comes out ends before the first NUL."""

    def __init__(self, size: int, name: str) -> None:
        self.size = size
        self.name = name
        self.format = f"{size}s"
        self.finish: Callable[[Any], Any] | None = text_of

    def encode(self, value: Any) -> bytes:
        """The bytes of a text, with zeros behind it."""
        if isinstance(value, str):
            value = value.encode(errors="surrogateescape")
        elif hasattr(value, "_b_base_"):
            value = bytes(value)
        if not isinstance(value, bytes | bytearray | memoryview):
            raise EncodingError(f"{shown(value)} is neither text nor bytes, which '{self.name}' asks for")
        if len(value) > self.size:
            raise EncodingError(f"'{self.name}' has room for {self.size} bytes, not {len(value)}")
        return bytes(value).ljust(self.size, b"\0")

    def decode(self, data: Buffer, at: int = 0) -> str:
        """The text at `at`."""
        if at + self.size > len(data):
            raise too_short(f"'{self.name}'", self.size, data, at)
        return text_of(bytes(data[at : at + self.size]))


class Sequenced:
    """An array, whose elements come out as a tuple; what is given must have all of them."""

    format = ""
    finish: Callable[[Any], Any] | None = None

    def __init__(self, element: Codec[Any], count: int, name: str, order: ByteOrder) -> None:
        self.size = element.size * count
        self.name = name
        self._element = element
        self._count = count
        is_simple = element.format and element.finish is None and element.size
        self._struct = struct.Struct(order.value + element.format * count) if is_simple and count <= 4096 else None

    def encode(self, value: Any) -> bytes:
        """The bytes of all elements."""
        data = raw_bytes(value, self.size, f"'{self.name}'")
        if data is not None:
            return data
        if not isinstance(value, list | tuple | range):
            raise EncodingError(f"{shown(value)} is no list, which '{self.name}' asks for")
        if len(value) != self._count:
            raise EncodingError(f"'{self.name}' has {self._count} elements, not {len(value)}")
        return b"".join(self._encoded(value))

    def decode(self, data: Buffer, at: int = 0) -> tuple[Any, ...]:
        """The elements from `at` on."""
        if at + self.size > len(data):
            raise too_short(f"'{self.name}'", self.size, data, at)
        if self._struct is not None:
            return self._struct.unpack_from(data, at)
        step, decode = self._element.size, self._element.decode
        return tuple(decode(data, start) for start in range(at, at + self.size, step)) if step else ()

    def _encoded(self, values: Sequence[Any]) -> list[bytes]:
        parts = []
        for index, value in enumerate(values):
            try:
                parts.append(self._element.encode(value))
            except EncodingError as error:
                raise error.within(f"[{index}]") from None
        return parts


def similar(name: str, names: Sequence[str]) -> str:
    """Words behind a message on a name that is not there: what is meant, or what there is."""
    import difflib  # of use only where something is wrong

    near = difflib.get_close_matches(name, names, n=1)
    if near:
        return f"; did you mean '{near[0]}'?"
    return f"; it has {', '.join(names[:12])}{', …' if len(names) > 12 else ''}" if names else ""
