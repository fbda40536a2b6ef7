"""BTF put together by hand, type by type, valid or not."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from bpfas.btf.kinds import Kind, info_word
from bpfas.btf.reader import read_btf
from bpfas.elf.constants import ByteOrder

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bpfas.btf.btf import Btf


class Types:
    """Types in the order in which they are added; each method gives the id of a new one."""

    def __init__(self) -> None:
        self.words: list[int] = []
        self.count = 0
        self.texts: dict[bytes, int] = {b"": 0}
        self._end = 1

    def text(self, text: str) -> int:
        encoded = text.encode()
        offset = self.texts.setdefault(encoded, self._end)
        if offset == self._end:
            self._end += len(encoded) + 1
        return offset

    def add(self, name: str, info: int, third: int, *words: int) -> int:
        self.words += [self.text(name), info, third, *(word & 0xFFFFFFFF for word in words)]
        self.count += 1
        return self.count

    def integer(self, name: str = "int", size: int = 4, encoding: int = 1) -> int:
        return self.add(name, info_word(Kind.INT), size, encoding << 24 | 8 * size)

    def floating(self, name: str = "float", size: int = 4) -> int:
        return self.add(name, info_word(Kind.FLOAT), size)

    def refer(self, kind: Kind, target: int, name: str = "") -> int:
        return self.add(name, info_word(kind), target)

    def pointer(self, target: int) -> int:
        return self.refer(Kind.PTR, target)

    def typedef(self, name: str, target: int) -> int:
        return self.refer(Kind.TYPEDEF, target, name)

    def array(self, element: int, index: int, nelems: int) -> int:
        return self.add("", info_word(Kind.ARRAY), 0, element, index, nelems)

    def struct(
        self,
        name: str,
        size: int,
        members: Sequence[tuple[str, int, int]],
        kind: Kind = Kind.STRUCT,
        kflag: bool = False,
    ) -> int:
        words = [word for member, type_id, offset in members for word in (self.text(member), type_id, offset)]
        return self.add(name, info_word(kind, len(members), kflag=kflag), size, *words)

    def forward(self, name: str, is_union: bool = False) -> int:
        return self.add(name, info_word(Kind.FWD, kflag=is_union), 0)

    def enum(self, name: str, values: Sequence[tuple[str, int]], size: int = 4, kflag: bool = False) -> int:
        words = [word for value, number in values for word in (self.text(value), number)]
        return self.add(name, info_word(Kind.ENUM, len(values), kflag=kflag), size, *words)

    def enum64(self, name: str, values: Sequence[tuple[str, int]], size: int = 8) -> int:
        words = [word for value, number in values for word in (self.text(value), number, number >> 32)]
        return self.add(name, info_word(Kind.ENUM64, len(values)), size, *words)

    def prototype(self, returned: int, parameters: Iterable[tuple[str, int]]) -> int:
        words = [word for name, type_id in parameters for word in (self.text(name), type_id)]
        return self.add("", info_word(Kind.FUNC_PROTO, len(words) // 2), returned, *words)

    def func(self, name: str, prototype: int, linkage: int = 1) -> int:
        return self.add(name, info_word(Kind.FUNC, linkage), prototype)

    def var(self, name: str, type_id: int, linkage: int = 1) -> int:
        return self.add(name, info_word(Kind.VAR), type_id, linkage)

    def datasec(self, name: str, entries: Sequence[tuple[int, int, int]], size: int = 0) -> int:
        return self.add(
            name, info_word(Kind.DATASEC, len(entries)), size, *(word for entry in entries for word in entry)
        )

    def tag(self, name: str, target: int, component: int = -1) -> int:
        return self.add(name, info_word(Kind.DECL_TAG), target, component)

    @property
    def strings(self) -> bytes:
        return b"\0".join((*self.texts, b""))

    def data(self, order: ByteOrder = ByteOrder.LITTLE) -> bytes:
        """The contents of a section `.BTF`."""
        types = struct.pack(f"{order.value}{len(self.words)}I", *self.words)
        return section(types, self.strings, order)

    def read(self, name: str = "a.o", order: ByteOrder = ByteOrder.LITTLE) -> Btf:
        return read_btf(self.data(order), order, name)


def section(types: bytes, strings: bytes, order: ByteOrder = ByteOrder.LITTLE) -> bytes:
    """A section of these parts with a right header."""
    header = struct.pack(f"{order.value}HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(types), len(types), len(strings))
    return header + types + strings


def listing(btf: Btf) -> list[str]:
    """A line for each type with all that is in it."""
    lines = []
    for type_id in range(1, len(btf) + 1):
        kind = btf.kind(type_id)
        head = f"{type_id} {kind.name} {btf.name(type_id) or '-'}"
        match kind:
            case Kind.STRUCT | Kind.UNION:
                members = " ".join(
                    f"{m.name}:{m.type_id}@{m.bit_offset}/{m.bit_size}" for m in btf.members(type_id)
                )
                head += f" {btf.size_or_type(type_id)} {{{members}}}"
            case Kind.FUNC_PROTO:
                parameters = " ".join(f"{p.name}:{p.type_id}" for p in btf.parameters(type_id))
                head += f" {btf.size_or_type(type_id)} ({parameters})"
            case Kind.ENUM | Kind.ENUM64:
                head += f" {btf.size_or_type(type_id)} " + " ".join(
                    f"{e.name}={e.value}" for e in btf.enumerators(type_id)
                )
            case Kind.DATASEC:
                head += " " + " ".join(f"{e.type_id}@{e.offset}+{e.size}" for e in btf.entries(type_id))
            case Kind.ARRAY:
                array = btf.array(type_id)
                head += f" {array.element}[{array.nelems}] by {array.index_type}"
            case Kind.FWD:
                head += " union" if btf.kflag(type_id) else " struct"
            case Kind.VAR | Kind.FUNC:
                head += f" {btf.size_or_type(type_id)} {btf.linkage(type_id).name}"
            case Kind.DECL_TAG:
                head += f" {btf.size_or_type(type_id)} {btf.component(type_id)}"
            case _:
                head += f" {btf.size_or_type(type_id)}"
        lines.append(head)
    return lines
