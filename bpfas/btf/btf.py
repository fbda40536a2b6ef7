"""The types of one object in memory: the words as they stand in the file, and what is said in them.

No Python object is made for a type: a type is its id, and accessors read its words. `bpfas.btf.reader` makes a Btf
and promises that every id, string offset and kind in it is valid, so that nothing here can fail.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from bpfas.btf.kinds import MAX_VLEN, TRANSPARENT, Kind, Linkage

if TYPE_CHECKING:
    from array import array

    from bpfas.btf.columns.lot import Lot
    from bpfas.elf.constants import ByteOrder

_KINDS = (Kind.VOID, *(kind for kind in Kind if kind))


class Member(NamedTuple):
    """A member of a struct or union; `bit_offset` counts from its start, `bit_size` is 0 for no bit-field."""

    name: str
    type_id: int
    bit_offset: int
    bit_size: int


class Parameter(NamedTuple):
    """A parameter of a function; the ellipsis has no name and type 0."""

    name: str
    type_id: int


class Enumerator(NamedTuple):
    """A name of an enumeration with its value, negative where the enumeration is signed."""

    name: str
    value: int


class DatasecEntry(NamedTuple):
    """A variable (or, in `.ksyms`, a function) of a section, with its offset and size in bytes."""

    type_id: int
    offset: int
    size: int


class Array(NamedTuple):
    """An array's element type, the type it is indexed by, and the number of its elements."""

    element: int
    index_type: int
    nelems: int


class IntEncoding(NamedTuple):
    """How an integer lies in its bytes."""

    is_signed: bool
    is_char: bool
    is_bool: bool
    bit_offset: int
    bits: int


class Btf:
    """The types of the object called `object_name`; ids go from 1 to `len(btf)`, and 0 is void.

    `words` is the type section in the host's byte order, whatever `order` the file has. `starts[type_id]` is the
    index of a type's first word (`starts[0]` means nothing, and one entry more is the end), `kinds[type_id]` its
    kind. `strings` is the string section. `types_at` is the offset in bytes at which `.BTF` has the words.
    """

    __slots__ = ("kinds", "lot", "object_name", "order", "starts", "string", "strings", "types_at", "words")

    def __init__(
        self,
        object_name: str,
        order: ByteOrder,
        words: array[int],
        starts: array[int],
        kinds: bytes,
        strings: bytes,
        types_at: int,
    ) -> None:
        self.object_name = object_name
        self.order = order
        self.words = words
        self.starts = starts
        self.kinds = kinds
        self.strings = strings
        self.types_at = types_at
        self.lot: Lot | None = None
        """What was found out when it was read together with others."""
        self.string = lru_cache(maxsize=None)(self._string)

    def __len__(self) -> int:
        return len(self.kinds) - 1

    def __repr__(self) -> str:
        return f"Btf({self.object_name!r}, {len(self)} types)"

    @property
    def place(self) -> str:
        """What messages give as the place of something wrong with the types."""
        return f"{self.object_name}:(.BTF)"

    def _string(self, offset: int) -> str:
        end = self.strings.index(0, offset)
        return self.strings[offset:end].decode(errors="surrogateescape")

    def kind(self, type_id: int) -> Kind:
        """The kind of a type, VOID for 0."""
        return _KINDS[self.kinds[type_id]]

    def vlen(self, type_id: int) -> int:
        """How many entries the type has; of a FUNC, its linkage."""
        return self.words[self.starts[type_id] + 1] & MAX_VLEN

    def kflag(self, type_id: int) -> bool:
        """The highest bit of the info word: a union for FWD, signed for ENUM, bit-fields for STRUCT and UNION."""
        return bool(self.words[self.starts[type_id] + 1] >> 31)

    def size_or_type(self, type_id: int) -> int:
        """The third word: a size in bytes or the type referred to, by the kind."""
        return self.words[self.starts[type_id] + 2]

    def without_qualifiers(self, type_id: int) -> int:
        """The type that is left of `type_id` without typedefs and qualifiers."""
        while self.kinds[type_id] in TRANSPARENT:
            type_id = self.size_or_type(type_id)
        return type_id

    def name(self, type_id: int) -> str:
        """The name of a type, empty for one without."""
        return self.string(self.words[self.starts[type_id]]) if type_id else ""

    def members(self, type_id: int) -> list[Member]:
        """The members of a STRUCT or UNION."""
        kflag = self.kflag(type_id)
        return [
            Member(self.string(name), member, offset & 0xFFFFFF if kflag else offset, offset >> 24 if kflag else 0)
            for name, member, offset in self._entries(type_id, 3)
        ]

    def member(self, type_id: int, number: int) -> Member:
        """One member of a STRUCT or UNION, counted from 0."""
        start = self.starts[type_id] + 3 + 3 * number
        name, member, offset = self.words[start : start + 3]
        if self.kflag(type_id):
            return Member(self.string(name), member, offset & 0xFFFFFF, offset >> 24)
        return Member(self.string(name), member, offset, 0)

    def parameters(self, type_id: int) -> list[Parameter]:
        """The parameters of a FUNC_PROTO."""
        return [Parameter(self.string(name), parameter) for name, parameter in self._entries(type_id, 2)]

    def enumerators(self, type_id: int) -> list[Enumerator]:
        """The enumerators of an ENUM or ENUM64."""
        if self.kinds[type_id] == Kind.ENUM:
            bits = 32
            values = [(name, low) for name, low in self._entries(type_id, 2)]
        else:
            bits = 64
            values = [(name, high << 32 | low) for name, low, high in self._entries(type_id, 3)]
        if self.kflag(type_id):
            values = [(name, value - (value >> bits - 1 << bits)) for name, value in values]
        return [Enumerator(self.string(name), value) for name, value in values]

    def entries(self, type_id: int) -> list[DatasecEntry]:
        """The entries of a DATASEC."""
        return [DatasecEntry(*entry) for entry in self._entries(type_id, 3)]

    def linkage(self, type_id: int) -> Linkage:
        """The linkage of a VAR or FUNC."""
        start = self.starts[type_id]
        is_function = self.kinds[type_id] == Kind.FUNC
        return Linkage(self.words[start + 1] & MAX_VLEN if is_function else self.words[start + 3])

    def array(self, type_id: int) -> Array:
        """What an ARRAY is of."""
        start = self.starts[type_id]
        return Array(*self.words[start + 3 : start + 6])

    def encoding(self, type_id: int) -> IntEncoding:
        """How an INT is encoded."""
        word = self.words[self.starts[type_id] + 3]
        flags = word >> 24
        return IntEncoding(bool(flags & 1), bool(flags & 2), bool(flags & 4), word >> 16 & 0xFF, word & 0xFF)

    def component(self, type_id: int) -> int:
        """The index of the member or parameter that a DECL_TAG is of, -1 for the whole."""
        word = self.words[self.starts[type_id] + 3]
        return word - (word >> 31 << 32)

    def ids_of_kind(self, kind: Kind) -> list[int]:
        """The ids of all types of a kind, ascending."""
        ids = []
        find, byte = self.kinds.find, bytes((kind,))
        at = find(byte, 1)
        while at > 0:
            ids.append(at)
            at = find(byte, at + 1)
        return ids

    def _entries(self, type_id: int, words_each: int) -> list[tuple[int, ...]]:
        """The entries of a type without fixed words."""
        start = self.starts[type_id] + 3
        end = start + words_each * self.vlen(type_id)
        words = self.words
        return list(zip(*(words[start + word : end : words_each] for word in range(words_each)), strict=True))
