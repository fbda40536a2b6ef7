"""What a BTF type record is made of: the table of kinds, linkages, and the info word.

A record is three words (name, info, and a size or a type) and, by its kind, some fixed words and `vlen` entries of
some words each. Everything that walks over words (reader, merge, validation) goes by the table `KINDS`.
Source: Documentation/bpf/btf.rst and include/uapi/linux/btf.h of Linux.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

HEADER_WORDS = 3
"""The words of a record before those that its kind asks for."""

MAX_VLEN = 0xFFFF

UNKNOWN_INFO_BITS = 0x60FF0000
"""Bits of the info word that are zero in the layout with 16 bits of vlen and 5 bits of kind."""


class Kind(enum.IntEnum):
    """BTF_KIND_*; VOID is that of type 0, which has no record."""

    VOID = 0
    INT = 1
    PTR = 2
    ARRAY = 3
    STRUCT = 4
    UNION = 5
    ENUM = 6
    FWD = 7
    TYPEDEF = 8
    VOLATILE = 9
    CONST = 10
    RESTRICT = 11
    FUNC = 12
    FUNC_PROTO = 13
    VAR = 14
    DATASEC = 15
    FLOAT = 16
    DECL_TAG = 17
    TYPE_TAG = 18
    ENUM64 = 19


class Linkage(enum.IntEnum):
    """BTF_FUNC_* and BTF_VAR_*, which have the same numbers."""

    STATIC = 0
    GLOBAL = 1
    EXTERN = 2


class Word(enum.IntEnum):
    """What a word of a record is."""

    VALUE = 0
    TYPE = 1
    """The id of a type."""
    STRING = 2
    """An offset in the strings."""


class KindLayout(NamedTuple):
    """The words of a kind's records from the third (size or type) on: that, the fixed ones, those of an entry."""

    third: Word
    fixed: tuple[Word, ...]
    entry: tuple[Word, ...]


_VALUE, _TYPE, _STRING = Word.VALUE, Word.TYPE, Word.STRING

KINDS: dict[Kind, KindLayout] = {
    Kind.INT: KindLayout(_VALUE, (_VALUE,), ()),
    Kind.PTR: KindLayout(_TYPE, (), ()),
    Kind.ARRAY: KindLayout(_VALUE, (_TYPE, _TYPE, _VALUE), ()),
    Kind.STRUCT: KindLayout(_VALUE, (), (_STRING, _TYPE, _VALUE)),
    Kind.UNION: KindLayout(_VALUE, (), (_STRING, _TYPE, _VALUE)),
    Kind.ENUM: KindLayout(_VALUE, (), (_STRING, _VALUE)),
    Kind.FWD: KindLayout(_VALUE, (), ()),
    Kind.TYPEDEF: KindLayout(_TYPE, (), ()),
    Kind.VOLATILE: KindLayout(_TYPE, (), ()),
    Kind.CONST: KindLayout(_TYPE, (), ()),
    Kind.RESTRICT: KindLayout(_TYPE, (), ()),
    Kind.FUNC: KindLayout(_TYPE, (), ()),
    Kind.FUNC_PROTO: KindLayout(_TYPE, (), (_STRING, _TYPE)),
    Kind.VAR: KindLayout(_TYPE, (_VALUE,), ()),
    Kind.DATASEC: KindLayout(_VALUE, (), (_TYPE, _VALUE, _VALUE)),
    Kind.FLOAT: KindLayout(_VALUE, (), ()),
    Kind.DECL_TAG: KindLayout(_TYPE, (_VALUE,), ()),
    Kind.TYPE_TAG: KindLayout(_TYPE, (), ()),
    Kind.ENUM64: KindLayout(_VALUE, (), (_STRING, _VALUE, _VALUE)),
}

FIXED_WORDS: tuple[int, ...] = (HEADER_WORDS, *(HEADER_WORDS + len(KINDS[kind].fixed) for kind in KINDS))
"""By kind, the words of a record without its entries."""

ENTRY_WORDS: tuple[int, ...] = (0, *(len(KINDS[kind].entry) for kind in KINDS))
"""By kind, the words of one entry."""

TYPE_IN_THIRD: frozenset[int] = frozenset(kind for kind, layout in KINDS.items() if layout.third is Word.TYPE)
"""The kinds whose third word is the id of a type."""

MODIFIERS: frozenset[int] = frozenset((Kind.VOLATILE, Kind.CONST, Kind.RESTRICT, Kind.TYPE_TAG))
"""The kinds that say something of the type they refer to and are nothing in themselves."""

TRANSPARENT: frozenset[int] = MODIFIERS | {Kind.TYPEDEF}
"""The kinds whose values are those of the type they refer to."""

BY_VALUE: frozenset[int] = TRANSPARENT | {Kind.ARRAY, Kind.STRUCT, Kind.UNION}
"""The kinds whose values have values of the types they refer to inside, so that no type can be within itself."""

POINTED_THROUGH: frozenset[int] = TRANSPARENT | {Kind.ARRAY, Kind.PTR}
"""The kinds that end where the type they refer to ends, so that a chain of them must end."""


def info_word(kind: int, vlen: int = 0, *, kflag: bool = False) -> int:
    """The second word of a record; `vlen` of a FUNC is its linkage."""
    return kflag << 31 | kind << 24 | vlen


def kind_of(info: int) -> int:
    """The kind that an info word gives, which need not be one of `KINDS`."""
    return info >> 24 & 0x1F


def record_words(info: int) -> int:
    """How many words a record with this info word has. Its kind must be one of `KINDS`."""
    kind = kind_of(info)
    return FIXED_WORDS[kind] + ENTRY_WORDS[kind] * (info & MAX_VLEN)
