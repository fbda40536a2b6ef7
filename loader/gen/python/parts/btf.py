"""The types of a kernel, of its modules or of loaded programs (BTF), as far as loading has to know them.

Source: Documentation/bpf/btf.rst of Linux.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from bpfas.loader.gen.python.parts.kernel import BpfError

if TYPE_CHECKING:
    from collections.abc import Iterator

BTF_HEADER = struct.Struct("=HBBIIIII")
BTF_TYPE = struct.Struct("=III")  # name, info, size or type
BTF_MEMBER = struct.Struct("=III")  # name, type, offset in bits
BTF_ARRAY = struct.Struct("=III")  # type, type of the index, number
PTR, ARRAY, STRUCT, FUNC, FUNC_PROTO = 2, 3, 4, 12, 13
MODIFIERS = (8, 9, 10, 11, 18)  # typedef, volatile, const, restrict, type tag
# Bytes behind a type, and bytes for each of its entries, by the kind.
TAILS = {
    1: (4, 0),
    3: (12, 0),
    4: (0, 12),
    5: (0, 12),
    6: (0, 8),
    13: (0, 8),
    14: (4, 0),
    15: (0, 12),
    17: (4, 0),
    19: (0, 12),
}


class Types:
    """The types in the bytes of a BTF; those of a module go on where those of its `base` end."""

    def __init__(self, data: bytes, name: str, base: Types | None = None) -> None:
        magic, _, _, header, types, types_size, strings, strings_size = BTF_HEADER.unpack_from(data)
        if magic != 0xEB9F:
            raise BpfError(f"read the types of {name}", 22, "they are no BTF of this machine's byte order")
        self.name = name
        self.base = base
        self.first: int = base.end if base else 1
        self.first_string: int = base.strings_end if base else 0
        self.data = data
        self._strings = data[header + strings : header + strings + strings_size]
        self.strings_end: int = self.first_string + strings_size
        self._places = self._walk(header + types, header + types + types_size)
        self.end: int = self.first + len(self._places)

    def _walk(self, at: int, end: int) -> list[int]:
        """Where each type is."""
        places = []
        unpack, data, tails = BTF_TYPE.unpack_from, self.data, TAILS
        while at < end:
            places.append(at)
            info = unpack(data, at)[1]
            fixed, each = tails.get(info >> 24 & 31, (0, 0))
            at += 12 + fixed + each * (info & 0xFFFF)
        return places

    def _at(self, type_id: int) -> tuple[Types, int]:
        if type_id < self.first and self.base:
            return self.base._at(type_id)
        return self, self._places[type_id - self.first]

    def string(self, offset: int) -> str:
        """A name."""
        if offset < self.first_string and self.base:
            return self.base.string(offset)
        start = offset - self.first_string
        return self._strings[start : self._strings.index(b"\0", start)].decode(errors="replace")

    def kind(self, type_id: int) -> int:
        """The number of a type's kind, 0 for void."""
        owner, at = self._at(type_id) if type_id else (self, -1)
        return BTF_TYPE.unpack_from(owner.data, at)[1] >> 24 & 31 if type_id else 0

    def type_name(self, type_id: int) -> str:
        """The name of a type."""
        owner, at = self._at(type_id)
        return self.string(BTF_TYPE.unpack_from(owner.data, at)[0])

    def size_or_type(self, type_id: int) -> int:
        """The size of a type that has one, else the type that it is about."""
        owner, at = self._at(type_id)
        number: int = BTF_TYPE.unpack_from(owner.data, at)[2]
        return number

    def plain(self, type_id: int) -> int:
        """The type without typedefs and qualifiers."""
        while self.kind(type_id) in MODIFIERS:
            type_id = self.size_or_type(type_id)
        return type_id

    def size(self, type_id: int) -> int:
        """Bytes of a value, of a pointer 8."""
        type_id = self.plain(type_id)
        if self.kind(type_id) == ARRAY:
            owner, at = self._at(type_id)
            element, _, count = BTF_ARRAY.unpack_from(owner.data, at + 12)
            whole: int = count * self.size(element)
            return whole
        return 8 if self.kind(type_id) == PTR else self.size_or_type(type_id)

    def find(self, kind: int, name: str) -> int:
        """The first type of this kind and name, not of the base; 0 if there is none."""
        wanted = b"\0" + name.encode() + b"\0"
        offsets = set()
        at = self._strings.find(wanted)
        while at >= 0:
            offsets.add(self.first_string + at + 1)
            at = self._strings.find(wanted, at + 1)
        if self.base and not offsets:
            at = self.base._strings.find(wanted)
            offsets = {at + 1} if at >= 0 else set()
        for index, place in enumerate(self._places):
            text, info, _ = BTF_TYPE.unpack_from(self.data, place)
            if text in offsets and info >> 24 & 31 == kind:
                return self.first + index
        return 0

    def names(self, kind: int) -> Iterator[str]:
        """The names of all types of a kind, not of the base."""
        for place in self._places:
            text, info, _ = BTF_TYPE.unpack_from(self.data, place)
            if info >> 24 & 31 == kind and text:
                yield self.string(text)

    def members(self, type_id: int) -> list[BtfMember]:
        """The members of a struct."""
        owner, at = self._at(type_id)
        info = BTF_TYPE.unpack_from(owner.data, at)[1]
        found = []
        for number in range(info & 0xFFFF):
            text, member, offset = BTF_MEMBER.unpack_from(owner.data, at + 12 + 12 * number)
            bits = offset >> 24 if info >> 31 else 0
            found.append(BtfMember(self.string(text), member, offset & 0xFFFFFF if info >> 31 else offset, bits))
        return found


class BtfMember:
    """A member of a struct; `offset` counts bits, `bits` is 0 but for bit-fields."""

    def __init__(self, name: str, type_id: int, offset: int, bits: int) -> None:
        self.name = name
        self.type_id = type_id
        self.offset = offset
        self.bits = bits
