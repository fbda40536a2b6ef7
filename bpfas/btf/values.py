"""Values of the types of BTF as Python has them.

| type | what comes out | what may be given besides |
|---|---|---|
| integer, pointer | int | what has `__index__`; None for a null pointer |
| bool | bool | 0, 1 |
| float, double | float; bytes for `long double` | int |
| enum | Enumerated, a number with a name | the number, the enumerator's name |
| char[N] | str up to the first NUL | bytes; fewer than N are filled up with zeros |
| unsigned char[N], signed char[N] | bytes | a list of numbers |
| other arrays | tuple | list |
| struct, section | Record, a named tuple | a dictionary (what is left out is zero), all members in order |
| union | UnionValue | a dictionary with one member |

For a value of any type its bytes are taken as well, and ctypes objects of the same size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bpfas.btf.codecs import (
    Boolean,
    Bytes,
    EncodingError,
    Enumeration,
    Pointer,
    Sequenced,
    Text,
    floating,
    integer,
)
from bpfas.btf.compounds import BitField, Slot, Struct, Union
from bpfas.btf.declaration import declaration
from bpfas.btf.kinds import Kind
from bpfas.btf.sizes import BPF_POINTER_SIZE, size_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from bpfas.btf.btf import Btf, Member
    from bpfas.btf.codecs import Codec

_MAX_DEPTH = 64
"""Types inside of types; the kernel takes no more than 32."""

_MOST_VALUES, _MOST_VALUES_A_BYTE = 1 << 20, 64
"""Values inside of a value: members that overlap, or are empty, may double them with each type."""

_TYPE_KINDS = {"struct": (Kind.STRUCT,), "union": (Kind.UNION,), "enum": (Kind.ENUM, Kind.ENUM64)}
_PLAIN_KINDS = (Kind.TYPEDEF, Kind.INT, Kind.FLOAT)


def codec_of(btf: Btf, type_id: int, pointer_size: int = BPF_POINTER_SIZE) -> Codec[Any]:
    """How values of a type are turned into bytes and back.

    Raises EncodingError for types without values (void, functions, structs that are only declared).
    """
    return _Builder(btf, pointer_size).codec(type_id)


def find_type(btf: Btf, name: str) -> int:
    """The id of the type that C calls `name` (`struct event`, `u64`), 0 if there is none."""
    first, _, rest = name.partition(" ")
    kinds, wanted = (_TYPE_KINDS[first], rest.strip()) if first in _TYPE_KINDS and rest else (_PLAIN_KINDS, name)
    for kind in kinds:
        for type_id in btf.ids_of_kind(kind):
            if btf.name(type_id) == wanted:
                return type_id
    return 0


class _Builder:
    """Making codecs of one object's types, each type once."""

    def __init__(self, btf: Btf, pointer_size: int) -> None:
        self._btf = btf
        self._pointer_size = pointer_size
        self._made: dict[int, Codec[Any]] = {}
        self._counts: dict[int, int] = {}
        self._depth = 0

    def codec(self, type_id: int) -> Codec[Any]:
        """The codec of a type, without what does not matter to its values."""
        btf = self._btf
        type_id = btf.without_qualifiers(type_id)
        if btf.kind(type_id) is Kind.VAR:
            type_id = btf.without_qualifiers(btf.size_or_type(type_id))
        if type_id in self._made:
            return self._made[type_id]
        if self._depth == _MAX_DEPTH:
            raise EncodingError(f"'{declaration(btf, type_id)}' is inside of more than {_MAX_DEPTH} types")
        kind = btf.kind(type_id)
        if kind not in _MAKERS:
            raise EncodingError(f"'{declaration(btf, type_id)}' is a type without values")
        self._depth += 1
        made = self._made[type_id] = _MAKERS[kind](self, type_id)
        self._depth -= 1
        count = self._counts[type_id] = self._count(type_id, kind, made)
        if count > max(_MOST_VALUES, _MOST_VALUES_A_BYTE * made.size):
            raise EncodingError(f"'{declaration(btf, type_id)}' has {count} values in {made.size} bytes")
        return made

    def _count(self, type_id: int, kind: Kind, made: Codec[Any]) -> int:
        """How many values there are in a value of a type, those inside of one another among them."""
        btf = self._btf
        if kind is Kind.ARRAY and isinstance(made, Sequenced):
            array = btf.array(type_id)
            return 1 + array.nelems * self._counts.get(btf.without_qualifiers(array.element), 1)
        if kind in (Kind.STRUCT, Kind.UNION):
            types = (btf.without_qualifiers(member.type_id) for member in btf.members(type_id))
            return 1 + sum(self._counts.get(each, 1) for each in types)
        return 1

    def _int(self, type_id: int) -> Codec[Any]:
        btf = self._btf
        encoding, size, name = btf.encoding(type_id), btf.size_or_type(type_id), btf.name(type_id)
        if encoding.is_bool and size in (1, 2, 4, 8):
            return Boolean(size, btf.order, name)
        whole = integer(size, btf.order, name, is_signed=encoding.is_signed)
        if encoding.bit_offset == 0 and encoding.bits == 8 * size:
            return whole
        part = BitField(encoding.bit_offset, encoding.bits, btf.order, whole, name, is_signed=encoding.is_signed)
        return _PartOfInteger(part, size)

    def _pointer(self, type_id: int) -> Codec[Any]:
        return Pointer(self._pointer_size, self._btf.order, declaration(self._btf, type_id))

    def _float(self, type_id: int) -> Codec[Any]:
        return floating(self._btf.size_or_type(type_id), self._btf.order, self._btf.name(type_id))

    def _enum(self, type_id: int) -> Codec[Any]:
        btf = self._btf
        values = dict(btf.enumerators(type_id))
        name, size = declaration(btf, type_id), btf.size_or_type(type_id)
        if not size:
            raise EncodingError(f"'{name}' is a type without values")
        return Enumeration(size, btf.order, name, values, is_signed=self._is_signed(type_id))

    def _array(self, type_id: int) -> Codec[Any]:
        btf = self._btf
        array, name = btf.array(type_id), declaration(btf, type_id)
        element = btf.without_qualifiers(array.element)
        if btf.kind(element) is Kind.INT and btf.size_or_type(element) == 1 and not btf.encoding(element).is_bool:
            is_text = btf.encoding(element).is_char or btf.name(element) == "char"
            return Text(array.nelems, name) if is_text else Bytes(array.nelems, name)
        return Sequenced(self.codec(element), array.nelems, name, btf.order)

    def _struct(self, type_id: int) -> Codec[Any]:
        btf = self._btf
        members = btf.members(type_id)
        tail = self._flexible(members[-1]) if members else None
        slots = [slot for member in (members[:-1] if tail else members) for slot in self._slots(member)]
        return Struct(declaration(btf, type_id), btf.size_or_type(type_id), slots, btf.order, tail)

    def _union(self, type_id: int) -> Codec[Any]:
        btf = self._btf
        slots = [
            self._slot(member)
            for member in btf.members(type_id)
            if member.name or btf.kind(btf.without_qualifiers(member.type_id)) in (Kind.STRUCT, Kind.UNION)
        ]
        return Union(declaration(btf, type_id), btf.size_or_type(type_id), slots)

    def _datasec(self, type_id: int) -> Codec[Any]:
        btf = self._btf
        slots = [
            Slot(btf.name(entry.type_id), entry.offset, self.codec(entry.type_id))
            for entry in btf.entries(type_id)
            if size_of(btf, entry.type_id) is not None
        ]
        return Struct(btf.name(type_id), btf.size_or_type(type_id), slots, btf.order)

    def _slots(self, member: Member) -> list[Slot]:
        """A member; the members of an anonymous struct; nothing for bits that only fill up."""
        slot = self._slot(member)
        if member.name:
            return [slot]
        if isinstance(slot.codec, Struct):
            return [_moved(inner, slot.offset) for inner in slot.codec.slots()]
        return [slot] if isinstance(slot.codec, Union) else []

    def _slot(self, member: Member) -> Slot:
        btf = self._btf
        codec = self.codec(member.type_id)
        if not member.bit_size and member.bit_offset % 8 == 0:
            return Slot(member.name, member.bit_offset // 8, codec)
        type_id = btf.without_qualifiers(member.type_id)
        bits = member.bit_size or 8 * codec.size
        name = f"{declaration(btf, member.type_id)} : {bits}"
        if bits > 8 * codec.size:
            raise EncodingError(f"'{name}' has more bits than its type")
        field = BitField(member.bit_offset, bits, btf.order, codec, name, is_signed=self._is_signed(type_id))
        return Slot(member.name, 0, field)

    def _flexible(self, member: Member) -> Slot | None:
        """The element of a flexible array that is a struct's last member."""
        btf = self._btf
        type_id = btf.without_qualifiers(member.type_id)
        if not member.name or btf.kind(type_id) is not Kind.ARRAY or btf.array(type_id).nelems:
            return None
        whole = self.codec(type_id)
        element = whole if isinstance(whole, Text | Bytes) else self.codec(btf.array(type_id).element)
        return Slot(member.name, member.bit_offset // 8, element)

    def _is_signed(self, type_id: int) -> bool:
        btf = self._btf
        match btf.kind(type_id):
            case Kind.INT:
                return btf.encoding(type_id).is_signed
            case Kind.ENUM | Kind.ENUM64:
                return btf.kflag(type_id)
        return False


def _moved(slot: Slot, offset: int) -> Slot:
    """A member of an anonymous struct that begins at `offset` of its owner."""
    if isinstance(slot.codec, BitField):
        return Slot(slot.name, 0, slot.codec.moved(offset))
    return Slot(slot.name, slot.offset + offset, slot.codec)


class _PartOfInteger:
    """An integer that uses only some of its bits, as old compilers describe bit-fields."""

    format = ""
    finish: Callable[[Any], Any] | None = None

    def __init__(self, part: BitField, size: int) -> None:
        self.size = size
        self._part = part

    def encode(self, value: Any) -> bytes:
        """The bytes, the other bits zero."""
        memory = bytearray(self.size)
        self._part.write(memory, value)
        return bytes(memory)

    def decode(self, data: Any, at: int = 0) -> Any:
        """The number at `at`."""
        return self._part.decode(data, at)


_MAKERS: dict[Kind, Callable[[_Builder, int], Codec[Any]]] = {
    Kind.INT: _Builder._int,
    Kind.PTR: _Builder._pointer,
    Kind.FLOAT: _Builder._float,
    Kind.ENUM: _Builder._enum,
    Kind.ENUM64: _Builder._enum,
    Kind.ARRAY: _Builder._array,
    Kind.STRUCT: _Builder._struct,
    Kind.UNION: _Builder._union,
    Kind.DATASEC: _Builder._datasec,
}
