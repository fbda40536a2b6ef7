"""Values in memory by their types: of global variables, of the keys and values of maps.

A type has a `size` in bytes and reads and writes at a place of a Memory. Bytes of that size are taken for a value
of every type. Structs and arrays are views: what is assigned to their members goes to the memory itself.
"""

from __future__ import annotations

import operator
import struct
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

BYTE_ORDER = sys.byteorder  # of values; a module is for machines of one byte order, and says which


class Memory:
    """Bytes that values are in: `buffer`, which may be replaced; None once the object is closed."""

    __slots__ = ("buffer",)

    def __init__(self, buffer: Any) -> None:
        self.buffer = buffer

    def read(self, at: int, size: int) -> bytes:
        """Some of the bytes."""
        if self.buffer is None:
            raise ValueError("the object is closed")
        return bytes(self.buffer[at : at + size])

    def write(self, at: int, data: bytes) -> None:
        """Change some of the bytes."""
        if self.buffer is None:
            raise ValueError("the object is closed")
        try:
            self.buffer[at : at + len(data)] = data
        except TypeError:
            raise TypeError("it is read-only once it is loaded: give it its value before that") from None


def raw_value(value: Any, size: int, what: str) -> bytes | None:
    """The bytes of a value that is given as such; None if it is given otherwise."""
    if not isinstance(value, (bytes, bytearray, memoryview)):
        return None
    if len(value) != size:
        raise ValueError(f"{what} takes {size} bytes, not {len(value)}")
    return bytes(value)


class Integer:
    """A number of `size` bytes; enumerators may be given by their names."""

    def __init__(self, size: int, is_signed: bool = False, names: Mapping[str, int] | None = None) -> None:
        self.size = size
        self.is_signed = is_signed
        self.names = names or {}

    def read(self, memory: Memory, at: int) -> Any:
        """The number."""
        return int.from_bytes(memory.read(at, self.size), BYTE_ORDER, signed=self.is_signed)

    def write(self, memory: Memory, at: int, value: Any) -> None:
        """Write a number. Raises ValueError for one that does not fit, TypeError for what is none."""
        data = raw_value(value, self.size, f"a number of {self.size} bytes")
        if data is None:
            if isinstance(value, str) and value in self.names:
                value = self.names[value]
            elif isinstance(value, str) and self.names:
                raise ValueError(f"{value!r} is none of {', '.join(self.names)}")
            data = packed_number(value, 8 * self.size, self.is_signed).to_bytes(self.size, BYTE_ORDER)
        memory.write(at, data)


def packed_number(value: Any, bits: int, is_signed: bool) -> int:
    """A number as `bits` bits. Raises ValueError for one that does not fit, TypeError for what is none."""
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{value!r} is no whole number") from None
    low, high = (-(1 << bits - 1), 1 << bits - 1) if is_signed else (0, 1 << bits)
    if not low <= number < high:
        raise ValueError(f"{number} is not from {low} to {high - 1}")
    return number & (1 << bits) - 1


class Boolean(Integer):
    """True and False."""

    def read(self, memory: Memory, at: int) -> bool:
        """Whether it is not zero."""
        return bool(super().read(memory, at))

    def write(self, memory: Memory, at: int, value: Any) -> None:
        """Write True or False (1 or 0)."""
        if not isinstance(value, (bytes, bytearray, memoryview)) and value not in (0, 1):
            raise ValueError(f"{value!r} is neither True nor False")
        super().write(memory, at, value)


class Bits(Integer):
    """A bit-field: `count` bits from the bit `start` on, as machines of the byte order count them."""

    def __init__(self, start: int, count: int, is_signed: bool) -> None:
        super().__init__(-(-(start + count) // 8), is_signed)
        self.count = count
        self.shift = start if BYTE_ORDER == "little" else 8 * self.size - start - count
        self.mask = (1 << count) - 1

    def read(self, memory: Memory, at: int) -> int:
        """The number."""
        number = int.from_bytes(memory.read(at, self.size), BYTE_ORDER) >> self.shift & self.mask
        return number - (1 << self.count) if self.is_signed and number >> self.count - 1 else number

    def write(self, memory: Memory, at: int, value: Any) -> None:
        """Write a number, and leave the bits around it as they are."""
        number = packed_number(value, self.count, self.is_signed)
        whole = int.from_bytes(memory.read(at, self.size), BYTE_ORDER) & ~(self.mask << self.shift)
        memory.write(at, (whole | number << self.shift).to_bytes(self.size, BYTE_ORDER))


class Floating:
    """A number of floating point."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._format = ("<" if BYTE_ORDER == "little" else ">") + {2: "e", 4: "f", 8: "d"}[size]

    def read(self, memory: Memory, at: int) -> Any:
        """The number."""
        return struct.unpack(self._format, memory.read(at, self.size))[0]

    def write(self, memory: Memory, at: int, value: Any) -> None:
        """Write a number."""
        data = raw_value(value, self.size, "a number of floating point")
        memory.write(at, struct.pack(self._format, value) if data is None else data)


class Bytes:
    """Bytes without a type."""

    def __init__(self, size: int) -> None:
        self.size = size

    def read(self, memory: Memory, at: int) -> Any:
        """The bytes."""
        return memory.read(at, self.size)

    def write(self, memory: Memory, at: int, value: Any) -> None:
        """Write bytes; fewer than there are places for are filled up with zeros."""
        data = value if isinstance(value, bytes) else bytes(iter(value))
        if len(data) > self.size:
            raise ValueError(f"there is room for {self.size} bytes, not {len(data)}")
        memory.write(at, data.ljust(self.size, b"\0"))


class Text(Bytes):
    """An array of char: text up to the first NUL."""

    def read(self, memory: Memory, at: int) -> str:
        """The text."""
        return memory.read(at, self.size).partition(b"\0")[0].decode(errors="surrogateescape")

    def write(self, memory: Memory, at: int, value: Any) -> None:
        """Write text, or bytes as they are."""
        if isinstance(value, str):
            value = value.encode(errors="surrogateescape")
            if len(value) >= self.size:
                raise ValueError(f"there is room for {self.size - 1} bytes of text, not {len(value)}")
        super().write(memory, at, value)


class Array:
    """`count` values of one type behind one another."""

    def __init__(self, element: Any, count: int) -> None:
        self.element = element
        self.count = count
        self.size = element.size * count

    def read(self, memory: Memory, at: int) -> ArrayView:
        """The elements, where they are."""
        return ArrayView(self, memory, at)

    def write(self, memory: Memory, at: int, value: Any) -> None:
        """Write all elements."""
        data = raw_value(value, self.size, f"an array of {self.count}")
        if data is not None:
            memory.write(at, data)
            return
        values = list(value)
        if len(values) != self.count:
            raise ValueError(f"an array of {self.count} takes that many values, not {len(values)}")
        for index, each in enumerate(values):
            self.element.write(memory, at + index * self.element.size, each)


class ArrayView:
    """The elements of an array in memory."""

    __slots__ = ("_at", "_memory", "_type")

    def __init__(self, type_: Array, memory: Memory, at: int) -> None:
        self._type, self._memory, self._at = type_, memory, at

    def __len__(self) -> int:
        return self._type.count

    def _place(self, index: Any) -> int:
        number = operator.index(index)
        if not -len(self) <= number < len(self):
            raise IndexError(f"{number} is not an index of {len(self)} elements")
        place: int = self._at + number % len(self) * self._type.element.size
        return place

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        return self._type.element.read(self._memory, self._place(index))

    def __setitem__(self, index: Any, value: Any) -> None:
        self._type.element.write(self._memory, self._place(index), value)

    def __iter__(self) -> Iterator[Any]:
        return (self[index] for index in range(len(self)))

    def __bytes__(self) -> bytes:
        return self._memory.read(self._at, self._type.size)

    def __eq__(self, other: object) -> bool:
        return list(self) == list(other) if isinstance(other, (ArrayView, list, tuple)) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(list(self))


class StructType:
    """A struct, a union or a section of global variables: `fields` are offset and type by name.

    `attributes` are names of fields by what they are called where Python does not take the name itself. New values
    are made with `NAME(member=value)`, the other members zero; dictionaries are taken for them as well.
    """

    def __init__(
        self,
        name: str,
        size: int,
        fields: dict[str, tuple[int, Any]],
        attributes: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.size = size
        self.fields = fields
        self.attributes = attributes or {}

    def __call__(self, **members: Any) -> StructView:
        """A new value."""
        view = StructView(self, Memory(bytearray(self.size)), 0)
        for name in members:
            view[name] = members[name]
        return view

    def field(self, name: str) -> tuple[int, Any]:
        """Offset and type of a field, by its name or its attribute. Raises AttributeError."""
        found = self.fields.get(name) or self.fields.get(self.attributes.get(name, ""))
        if found is None:
            raise AttributeError(f"{self.name} has no {name}, only {', '.join(self.fields) or 'nothing'}")
        return found

    def read(self, memory: Memory, at: int) -> StructView:
        """The struct, where it is."""
        return StructView(self, memory, at)

    def write(self, memory: Memory, at: int, value: Any) -> None:
        """Write a struct, bytes, or a dictionary, whose other members are zero."""
        if isinstance(value, dict):
            value = self(**value)
        is_struct = isinstance(value, StructView) and len(bytes(value)) == self.size
        data = bytes(value) if is_struct else raw_value(value, self.size, self.name)
        if data is None:
            raise TypeError(f"{value!r} is no {self.name}")
        memory.write(at, data)

    def __repr__(self) -> str:
        return f"<{self.name}: {', '.join(self.fields)}>"


class StructView:
    """A struct in memory: members are attributes, or named in brackets.

    The attribute of a name that Python does not take is made as for maps and programs: `value.class_` is
    `value["class"]`.
    """

    __slots__ = ("_view_at", "_view_memory", "_view_type")
    _view_type: StructType
    _view_memory: Memory
    _view_at: int

    def __init__(self, type_: StructType, memory: Memory, at: int) -> None:
        object.__setattr__(self, "_view_type", type_)
        object.__setattr__(self, "_view_memory", memory)
        object.__setattr__(self, "_view_at", at)

    def __getitem__(self, name: str) -> Any:
        offset, type_ = self._view_type.field(name)
        return type_.read(self._view_memory, self._view_at + offset)

    def __setitem__(self, name: str, value: Any) -> None:
        offset, type_ = self._view_type.field(name)
        try:
            type_.write(self._view_memory, self._view_at + offset, value)
        except (ValueError, TypeError) as error:
            raise type(error)(f"{name}: {error}") from None

    __getattr__ = __getitem__
    __setattr__ = __setitem__

    def __iter__(self) -> Iterator[str]:
        return iter(self._view_type.fields)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._view_type.fields, *self._view_type.attributes]

    def __bytes__(self) -> bytes:
        return self._view_memory.read(self._view_at, self._view_type.size)

    def __eq__(self, other: object) -> bool:
        return bytes(self) == bytes(other) if isinstance(other, StructView) else NotImplemented

    def __hash__(self) -> int:
        return hash(bytes(self))

    def __repr__(self) -> str:
        return f"{self._view_type.name}({', '.join(f'{name}={self[name]!r}' for name in self)})"


def encoded(type_: Any, value: Any) -> bytes:
    """The bytes of a value."""
    memory = Memory(bytearray(type_.size))
    type_.write(memory, 0, value)
    return bytes(memory.buffer)


def decoded(type_: Any, data: bytes) -> Any:
    """The value that bytes are; a struct or an array is a copy."""
    return type_.read(Memory(bytearray(data)), 0)
