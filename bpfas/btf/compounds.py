"""Codecs of structs and unions, bit-fields among their members.

What is given for a struct is a dictionary (members left out are zero, as in C), a sequence of all members, or a
Record. Source of how bit-fields lie: Documentation/bpf/btf.rst, and the C ABI, for big-endian.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from bpfas.btf.codecs import Bytes, EncodingError, Text, raw_bytes, shown, similar, too_short
from bpfas.btf.records import Record, UnionValue, record_class
from bpfas.elf.constants import ByteOrder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from bpfas.btf.codecs import Buffer, Codec


class BitField:
    """An integer of `bits` bits that begins `bit_offset` bits into the bytes it is read from.

    Bits count from the least significant one of the first byte in little-endian, from the most significant one in
    big-endian. `inner` makes the value of the number's bytes (an enumeration, a boolean), widened to its size.
    """

    def __init__(
        self, bit_offset: int, bits: int, order: ByteOrder, inner: Codec[Any], name: str, *, is_signed: bool
    ) -> None:
        self.name = name
        self._bit_offset = bit_offset
        self._bits = bits
        self._is_signed = is_signed
        self._inner = inner
        self._byte_order = order
        self._order: Literal["little", "big"] = "little" if order is ByteOrder.LITTLE else "big"
        self._start = bit_offset // 8
        self.end = -(-(bit_offset + bits) // 8)
        within = bit_offset % 8
        self._shift = within if self._order == "little" else 8 * (self.end - self._start) - within - bits

    def moved(self, offset: int) -> BitField:
        """The same bits of a struct in which this one begins at byte `offset`."""
        moved = self._bit_offset + 8 * offset
        return BitField(moved, self._bits, self._byte_order, self._inner, self.name, is_signed=self._is_signed)

    def decode(self, data: Buffer, at: int = 0) -> Any:
        """The value in the struct that begins at `at`."""
        whole = int.from_bytes(data[at + self._start : at + self.end], self._order)
        number = whole >> self._shift & (1 << self._bits) - 1
        if self._is_signed and number >> self._bits - 1:
            number -= 1 << self._bits
        return self._inner.decode(number.to_bytes(self._inner.size, self._order, signed=number < 0))

    def write(self, memory: bytearray, value: Any) -> None:
        """Set the bits in the bytes of a struct. Raises EncodingError."""
        encoded = self._inner.encode(value)
        number = int.from_bytes(encoded, self._order, signed=self._is_signed)
        low, high = (
            (-1 << self._bits - 1, (1 << self._bits - 1) - 1) if self._is_signed else (0, (1 << self._bits) - 1)
        )
        if not low <= number <= high:
            raise EncodingError(f"{number} does not fit into '{self.name}' of {self._bits} bits ({low} to {high})")
        mask = (1 << self._bits) - 1
        whole = int.from_bytes(memory[self._start : self.end], self._order) & ~(mask << self._shift)
        whole |= (number & mask) << self._shift
        memory[self._start : self.end] = whole.to_bytes(self.end - self._start, self._order)


class Slot(NamedTuple):
    """A member of a struct by its offset in bytes, or a bit-field; an anonymous union has no name."""

    name: str
    offset: int
    codec: Codec[Any] | BitField


class Struct:
    """A struct. Values come out as Records.

    `tail` is the element of a flexible array that is the last member: it takes what is left of the bytes.
    """

    format = ""
    finish: Callable[[Any], Any] | None = None

    def __init__(
        self, name: str, size: int, slots: Sequence[Slot], order: ByteOrder, tail: Slot | None = None
    ) -> None:
        self.name = name
        self.size = size
        self._slots = slots
        self._tail = tail
        unions = {
            place: tuple(slot.codec.names())
            for place, slot in enumerate(slots)
            if not slot.name and isinstance(slot.codec, Union)
        }
        names = [slot.name for slot in slots] + ([tail.name] if tail else [])
        self._places = {name: place for place, name in enumerate(names) if name}
        self._in_unions = {member: place for place, members in unions.items() for member in members}
        self.record: type[Record] = record_class(name.rpartition(" ")[2] or "struct", names, unions)
        self._struct, self._finishes = _as_one(slots, size, order)

    def names(self) -> Iterable[str]:
        """All members, those of anonymous unions inside among them."""
        return [*self._places, *self._in_unions]

    def slots(self) -> Sequence[Slot]:
        """The members by place; those of a struct without a name become its owner's."""
        return self._slots

    def encode(self, value: Any) -> bytes:
        """The bytes of a dictionary, a sequence of all members, or a Record."""
        if isinstance(value, Mapping):
            return bytes(self._written(value))
        data = raw_bytes(value, self.size, f"'{self.name}'")
        if data is not None:
            return data
        if not isinstance(value, list | tuple):
            raise EncodingError(f"{shown(value)} is no dictionary of members, which '{self.name}' asks for")
        count = len(self._slots) + (self._tail is not None)
        if len(value) != count:
            raise EncodingError(f"'{self.name}' has {count} members, not {len(value)}")
        memory = bytearray(self.size)
        for place, member in enumerate(value):
            self._write(memory, place, member)
        return bytes(memory)

    def decode(self, data: Buffer, at: int = 0) -> Record:
        """The Record at `at`."""
        if self._struct is not None:
            try:
                values: Iterable[Any] = self._struct.unpack_from(data, at)
            except struct.error:
                raise too_short(f"'{self.name}'", self.size, data, at) from None
            if self._finishes is not None:
                values = [
                    value if finish is None else finish(value)
                    for value, finish in zip(values, self._finishes, strict=True)
                ]
        elif at + self.size > len(data):
            raise too_short(f"'{self.name}'", self.size, data, at)
        else:
            values = [
                slot.codec.decode(data, at if isinstance(slot.codec, BitField) else at + slot.offset)
                for slot in self._slots
            ]
        if self._tail is not None:
            values = [*values, self._decoded_tail(data, at, self._tail)]
        return self.record(values)

    def _decoded_tail(self, data: Buffer, at: int, tail: Slot) -> Any:
        codec = tail.codec
        assert not isinstance(codec, BitField)
        start, step = at + tail.offset, codec.size
        if isinstance(codec, Text | Bytes):
            return codec.finish(bytes(data[start:])) if codec.finish else bytes(data[start:])
        return (
            tuple(codec.decode(data, place) for place in range(start, len(data) - step + 1, step)) if step else ()
        )

    def _written(self, value: Mapping[Any, Any]) -> bytearray:
        memory = bytearray(self.size)
        of_unions: dict[int, dict[str, Any]] = {}
        for name, member in value.items():
            if name in self._places:
                self._write(memory, self._places[name], member)
            elif name in self._in_unions:
                of_unions.setdefault(self._in_unions[name], {})[name] = member
            else:
                raise EncodingError(
                    f"'{self.name}' has no member '{name}'{similar(str(name), list(self.names()))}"
                )
        for place, members in of_unions.items():
            self._write(memory, place, members)
        return memory

    def _write(self, memory: bytearray, place: int, value: Any) -> None:
        if place == len(self._slots):
            if value:
                raise EncodingError(f"the flexible array at the end of '{self.name}' has no room for anything")
            return
        name, offset, codec = self._slots[place]
        try:
            if isinstance(codec, BitField):
                codec.write(memory, value)
            else:
                memory[offset : offset + codec.size] = codec.encode(value)
        except EncodingError as error:
            raise (error.within(f".{name}") if name else error) from None


def _as_one(
    slots: Sequence[Slot], size: int, order: ByteOrder
) -> tuple[struct.Struct | None, list[Callable[[Any], Any] | None] | None]:
    """One struct format for all members, which is fast, and what is to be done to what comes out; None if nothing.

    There is no format for nested members, bit-fields and members out of order.
    """
    format_, end = order.value, 0
    for slot in slots:
        if isinstance(slot.codec, BitField) or not slot.codec.format or slot.offset < end:
            return None, None
        format_ += f"{slot.offset - end}x{slot.codec.format}"
        end = slot.offset + slot.codec.size
    if end > size or len(slots) > 1000:
        return None, None
    finishes = [slot.codec.finish for slot in slots if not isinstance(slot.codec, BitField)]
    whole = struct.Struct(f"{format_}{size - end}x")
    return whole, finishes if any(finish is not None for finish in finishes) else None


class Union:
    """A union. Values come out as UnionValues; what is given is one of them or a dictionary with one member.

    Several members may be given if they are of one anonymous struct.
    """

    format = ""
    finish: Callable[[Any], Any] | None = None

    def __init__(self, name: str, size: int, members: Sequence[Slot]) -> None:
        self.name = name
        self.size = size
        self._owners: dict[str, Slot] = {}
        for slot in members:
            inner = slot.codec.names() if not slot.name and isinstance(slot.codec, Struct | Union) else [slot.name]
            self._owners.update(dict.fromkeys(inner, slot))

    def names(self) -> Iterable[str]:
        """All members, those of anonymous structs and unions inside among them."""
        return self._owners

    def member(self, data: bytes, name: str) -> Any:
        """The member `name` of the union with these bytes. Raises KeyError."""
        slot = self._owners[name]
        value = slot.codec.decode(data)
        return value if slot.name else value[name]

    def encode(self, value: Any) -> bytes:
        """The bytes of a union value, or of one member with zeros behind it."""
        if isinstance(value, UnionValue):
            value = bytes(value)
        if isinstance(value, Mapping):
            return self._written(value)
        data = raw_bytes(value, self.size, f"'{self.name}'")
        if data is None:
            raise EncodingError(f"{shown(value)} is no dictionary of one member, which '{self.name}' asks for")
        return data

    def decode(self, data: Buffer, at: int = 0) -> UnionValue:
        """The union at `at`."""
        if at + self.size > len(data):
            raise too_short(f"'{self.name}'", self.size, data, at)
        return UnionValue(self, bytes(data[at : at + self.size]))

    def _written(self, value: Mapping[Any, Any]) -> bytes:
        memory = bytearray(self.size)
        owners: dict[int, tuple[Slot, dict[str, Any]]] = {}
        for name, member in value.items():
            if name not in self._owners:
                raise EncodingError(
                    f"'{self.name}' has no member '{name}'{similar(str(name), list(self._owners))}"
                )
            slot = self._owners[name]
            owners.setdefault(id(slot), (slot, {}))[1][name] = member
        if len(owners) > 1:
            names = " and ".join(f"'{name}'" for name in value)
            raise EncodingError(f"{names} are in the same place of '{self.name}'; give one of them")
        for slot, members in owners.values():
            _write_union_member(memory, slot, members)
        return bytes(memory)


def _write_union_member(memory: bytearray, slot: Slot, members: dict[str, Any]) -> None:
    try:
        if isinstance(slot.codec, BitField):
            slot.codec.write(memory, members[slot.name])
        else:
            memory[: slot.codec.size] = slot.codec.encode(members[slot.name] if slot.name else members)
    except EncodingError as error:
        raise (error.within(f".{slot.name}") if slot.name else error) from None
