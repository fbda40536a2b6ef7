"""What .BTF and .BTF.ext of an object say, as texts without type ids: an independent reader to judge links by.

Equal types of different files have equal texts, however they are numbered. It takes what compilers and linkers
write, and checks nothing.
"""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.link.builders import section_of

if TYPE_CHECKING:
    from bpfas.objfile import ObjectFile

(INT, PTR, ARRAY, STRUCT, UNION, ENUM, FWD, TYPEDEF, VOLATILE, CONST) = range(1, 11)
(RESTRICT, FUNC, FUNC_PROTO, VAR, DATASEC, FLOAT, DECL_TAG, TYPE_TAG, ENUM64) = range(11, 20)

WORDS_BEHIND = {INT: 1, ARRAY: 3, VAR: 1, DECL_TAG: 1}
WORDS_PER_ENTRY = {STRUCT: 3, UNION: 3, ENUM: 2, FUNC_PROTO: 2, DATASEC: 3, ENUM64: 3}
MODIFIERS = {PTR: "*", VOLATILE: "volatile", CONST: "const", RESTRICT: "restrict"}
REFERRING = {*MODIFIERS, TYPEDEF, FUNC, VAR, DECL_TAG, TYPE_TAG}
LINKAGES = ("static", "global", "extern")


@dataclass(frozen=True, slots=True)
class Type:
    """A record: its head, and the words behind that."""

    name: str
    kind: int
    flag: int
    vlen: int
    third: int
    words: tuple[int, ...]

    def entries(self) -> list[tuple[int, ...]]:
        """The words in groups: members, parameters, enumerators or variables."""
        size = WORDS_PER_ENTRY[self.kind]
        return [self.words[place : place + size] for place in range(0, self.vlen * size, size)]

    def type_ids(self) -> set[int]:
        """The types that it refers to."""
        if self.kind == ARRAY:
            return set(self.words[:2])
        if self.kind in WORDS_PER_ENTRY and self.kind not in (ENUM, ENUM64):
            number = 0 if self.kind == DATASEC else 1
            ids = {entry[number] for entry in self.entries()}
            return ids | {self.third} if self.kind == FUNC_PROTO else ids
        return {self.third} if self.kind in REFERRING else set()


class Btf:
    """The types of an object."""

    def __init__(self, obj: ObjectFile) -> None:
        self.order = obj.byte_order.value
        data = bytes(section_of(obj, ".BTF").data)
        head, start, size, strings, strings_size = struct.unpack_from(f"{self.order}5I", data, 4)
        types = struct.unpack_from(f"{self.order}{size // 4}I", data, head + start)
        self._strings = data[head + strings :][:strings_size]
        self.types = [Type("void", 0, 0, 0, 0, ())]
        place = 0
        while place < len(types):
            name, info, third = types[place : place + 3]
            kind, vlen = info >> 24 & 31, info & 0xFFFF
            end = place + 3 + WORDS_BEHIND.get(kind, 0) + WORDS_PER_ENTRY.get(kind, 0) * vlen
            self.types.append(Type(self.string(name), kind, info >> 31, vlen, third, types[place + 3 : end]))
            place = end

    def string(self, offset: int) -> str:
        return self._strings[offset : self._strings.index(b"\0", offset)].decode()

    def text(self, number: int, *, inside: bool = False) -> str:
        """The type in words; of a struct that has a name and is `inside` another type only the name."""
        found = self.types[number]
        name, kind = found.name, found.kind
        target = found.third
        if kind == 0:
            return "void"
        if kind in MODIFIERS:
            return f"{MODIFIERS[kind]} {self.text(target, inside=True)}"
        if kind == ARRAY:
            element, index, count = found.words
            return f"[{count} by {self.text(index, inside=True)}] of {self.text(element, inside=True)}"
        if kind in (STRUCT, UNION):
            head = f"{'struct' if kind == STRUCT else 'union'} {name}"
            return head if name and inside else f"{head} {target} {self._members(found)}"
        if kind in (ENUM, ENUM64):
            values = [(self.string(entry[0]), *entry[1:]) for entry in found.entries()]
            return f"enum {name} {target} {found.flag} {values}"
        if kind == FWD:
            return f"forward {'union' if found.flag else 'struct'} {name}"
        if kind == FUNC_PROTO:
            parameters = [f"{self.string(text)}: {self.text(of, inside=True)}" for text, of in found.entries()]
            return f"({', '.join(parameters)}) -> {self.text(target, inside=True)}"
        if kind == FUNC:
            return f"function {name} {LINKAGES[found.vlen]} {self.text(target, inside=True)}"
        if kind == VAR:
            return f"variable {name} {LINKAGES[found.words[0]]} {self.text(target, inside=True)}"
        if kind == TYPEDEF:
            return f"typedef {name}" if inside else f"typedef {name} {self.text(target, inside=True)}"
        if kind == TYPE_TAG:
            return f"type tag {name!r} {self.text(target, inside=True)}"
        if kind == DECL_TAG:
            return f"tag {name!r} {found.words[0]} of {self.text(target, inside=True)}"
        return f"{('int' if kind == INT else 'float')} {name} {target} {found.words}"

    def _members(self, found: Type) -> list[tuple[str, int, str]]:
        return [(self.string(name), where, self.text(of, inside=True)) for name, of, where in found.entries()]

    def texts(self) -> Counter[str]:
        """All types but DATASECs and prototypes that nothing refers to, and how often there is each."""
        used = set().union(*(found.type_ids() for found in self.types))
        return Counter(
            self.text(number)
            for number, found in enumerate(self.types)
            if number and found.kind != DATASEC and (found.kind != FUNC_PROTO or number in used)
        )

    def variables(self) -> dict[str, tuple[int, list[tuple[int, int, str]]]]:
        """Of each DATASEC its size, and the offset, size and type of each variable in order."""
        return {
            found.name: (
                found.third,
                sorted((where, size, self.text(of)) for of, where, size in found.entries()),
            )
            for found in self.types
            if found.kind == DATASEC
        }


def extension_records(obj: ObjectFile, btf: Btf) -> dict[tuple[str, str], list[tuple[object, ...]]]:
    """The records of .BTF.ext by table (func, line, core) and section, in the order of their offsets."""
    if obj.section(".BTF.ext") is None:
        return {}
    data = bytes(section_of(obj, ".BTF.ext").data)
    (head,) = struct.unpack_from(f"{btf.order}I", data, 4)
    places = struct.unpack_from(f"{btf.order}{(head - 8) // 4}I", data, 8)
    found: dict[tuple[str, str], list[tuple[object, ...]]] = {}
    for table, start, size in zip(("func", "line", "core"), places[::2], places[1::2], strict=False):
        if not size:
            continue
        place, end = head + start + 4, head + start + size
        (record_size,) = struct.unpack_from(f"{btf.order}I", data, place - 4)
        while place < end:
            section, count = struct.unpack_from(f"{btf.order}2I", data, place)
            place += 8
            for _ in range(count):
                words = struct.unpack_from(f"{btf.order}{record_size // 4}I", data, place)
                found.setdefault((table, btf.string(section)), []).append(_record(table, words, btf))
                place += record_size
    return {key: sorted(records, key=lambda record: record[0]) for key, records in found.items()}  # type: ignore[arg-type,return-value]


def _record(table: str, words: tuple[int, ...], btf: Btf) -> tuple[object, ...]:
    if table == "func":
        return words[0], btf.text(words[1])
    if table == "line":
        return words[0], btf.string(words[1]), btf.string(words[2]), words[3] >> 10, words[3] & 1023
    return words[0], btf.text(words[1]), btf.string(words[2]), words[3]
