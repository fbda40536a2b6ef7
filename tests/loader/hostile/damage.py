"""Wrong numbers for every field that the loader reads of an object, in turn and many at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bpfas.elf.constants import EHDR_SIZE, SectionType
from tests.elf.damage import changed, fields, wrong_values
from tests.elf.samples import Image

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping, Sequence

_WORD = 4
_STRANGE_BYTES = (
    b"\0",
    b"\xff",
    b"\x80",
    b"/",
    b".",
    b"..",
    b"\n",
    b"\x1b",
    b"%s",
    b"___",
    b" ",
    b"?",
    b":",
)


class Field(NamedTuple):
    """A number in a file: where it lies, and its size, in bytes."""

    at: int
    size: int


class Target:
    """Bytes and the fields in them, in groups, any of which is as likely to be damaged as the others."""

    def __init__(self, data: bytes, groups: Mapping[str, Sequence[Field]]) -> None:
        self.data = data
        self.groups = groups
        self._names = list(groups)
        self._ends = sorted({at for fields in groups.values() for at in (fields[0].at, sum(fields[-1]))})

    @classmethod
    def of_object(cls, data: bytes) -> Target:
        """The tables of an ELF file, and the contents of its sections by their names."""
        groups: dict[str, list[Field]] = {}
        image = Image(bytearray(data))
        headers = [image.header(index) for index in range(image.section_count)]
        for at, size in fields(image):
            groups.setdefault(_table_of(at, headers), []).append(Field(at, size))
        names = headers[int.from_bytes(data[62:64], "little")]["offset"]
        for header in headers[1:]:
            start = names + header["name"]
            name = data[start : data.index(b"\0", start)].decode()
            is_table = name.startswith((".rel", ".symtab", ".debug_")) and name != ".debug_line"
            if header["type"] != SectionType.NOBITS and header["size"] and not is_table:
                groups.setdefault(name, []).extend(words(header["offset"], header["size"]))
        return cls(data, groups)

    def any_damage(self, chance: random.Random) -> bytes:
        """The bytes with damage of any kind, mostly one wrong number."""
        kinds = (self.wrong_field, self.wrong_fields, self.cut, self.spliced)
        return chance.choices(kinds, (6, 2, 1, 1))[0](chance)

    def wrong_field(self, chance: random.Random) -> bytes:
        """The object with one wrong number, in any of the groups with the same likelihood."""
        return self._damage(self.data, chance, self.groups[chance.choice(self._names)])

    def wrong_fields(self, chance: random.Random) -> bytes:
        """The object with several."""
        data = self.data
        for _ in range(chance.choice((2, 3, 5, 20))):
            data = self._damage(data, chance, self.groups[chance.choice(self._names)])
        return data

    def cut(self, chance: random.Random) -> bytes:
        """The object's beginning, up to somewhere, often about where something ends."""
        if chance.randrange(2):
            return self.data[: chance.randrange(len(self.data))]
        return self.data[: max(0, chance.choice(self._ends) + chance.choice((-8, -4, -1, 0, 1, 4, 8)))]

    def spliced(self, chance: random.Random) -> bytes:
        """The object with a piece of it copied over another, or strange bytes in it."""
        data = bytearray(self.data)
        at = chance.randrange(len(data))
        if chance.randrange(2):
            piece = chance.choice(_STRANGE_BYTES)
        else:
            start = chance.randrange(len(data))
            piece = self.data[start : start + chance.choice((1, 4, 12, 16, 24, 64))]
        data[at : at + len(piece)] = piece
        return bytes(data)

    def _damage(self, data: bytes, chance: random.Random, group: Sequence[Field]) -> bytes:
        at, size = chance.choice(group)
        old = int.from_bytes(data[at : at + size], "little")
        match chance.randrange(8):
            case 0:  # one of its bytes, which are fields of their own in code and in a BTF record's second word
                byte = at + chance.randrange(size)
                return changed(data, byte, 1, chance.randrange(256))
            case 1:  # one that is a neighbour's
                other = chance.choice(group)
                value = int.from_bytes(data[other.at : other.at + other.size], "little") % (1 << 8 * size)
            case 2:
                value = chance.randrange(100)
            case _:
                value = chance.choice(wrong_values(old, size))
        return changed(data, at, size, value)

    def every_wrong_field(self, group: str) -> list[bytes]:
        """The object with one wrong number in each, for each field of a group."""
        return [
            changed(self.data, at, size, value)
            for at, size in self.groups[group]
            for value in wrong_values(int.from_bytes(self.data[at : at + size], "little"), size)
        ]


def words(start: int, size: int) -> list[Field]:
    """`size` bytes from `start` on as words of four bytes."""
    return [Field(at, min(_WORD, start + size - at)) for at in range(start, start + size, _WORD)]


def _table_of(at: int, headers: Sequence[Mapping[str, int]]) -> str:
    """What a number of ELF's own is of."""
    if at < EHDR_SIZE:
        return "ELF header"
    for header in headers[1:]:
        if header["offset"] <= at < header["offset"] + header["size"]:
            if header["type"] == SectionType.SYMTAB:
                return "symbols"
            if header["type"] in (SectionType.REL, SectionType.RELA):
                return "relocations"
    return "section headers"
