"""Sections of strings and constants (SHF_MERGE): of equal entries of all inputs the output holds one.

What an entry is, gABI chapter 4 says: with SHF_STRINGS a string up to its terminator of sh_entsize bytes, without
it sh_entsize bytes. What is aligned more than that is merged in larger pieces, so that everything keeps its
alignment. Strings that are the end of others are entries of their own. Which inputs are of one section is for
`bpfas.link.layout` to say.
"""

from __future__ import annotations

import re
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, NamedTuple

from bpfas.elf.constants import SectionFlag, SectionType

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bpfas.objfile import Section

_FLAGS_THAT_FORBID = SectionFlag.WRITE | SectionFlag.EXECINSTR


class EntryError(ValueError):
    """Contents that are no whole number of entries."""


def is_mergeable(section: Section) -> bool:
    """Whether entries of the section may be those of others.

    They may not where a program could change them or a relocation does, so that equal bytes are not equal values.
    """
    return (
        bool(section.sh_flags & SectionFlag.MERGE)
        and not section.sh_flags & _FLAGS_THAT_FORBID
        and section.sh_entsize > 0
        and section.sh_type != SectionType.NOBITS
        and not section.relocations
    )


def split_entries(section: Section, alignment: int) -> Entries:
    """The entries of a mergeable section, of which each is to begin at a multiple of `alignment` in the output.

    If entries that follow one another would not, what lies between two such places is one entry, with zeros up to
    the next. Raises EntryError when the section is no whole number of entries.
    """
    size, data = section.sh_entsize, bytes(section.data)
    if not data:
        return Entries([], b"")
    if len(data) % size:
        raise EntryError(f"{len(data)} bytes are no whole number of entries of {size} bytes (sh_entsize)")
    if not section.sh_flags & SectionFlag.STRINGS:
        values, terminator = [data[at : at + size] for at in range(0, len(data), size)], b""
    else:
        terminator = bytes(size)
        if data[-size:] != terminator:
            raise EntryError("the last string has no terminator")
        values = data.split(terminator)[:-1] if size == 1 else _wide_strings(data, size)
    entries = Entries(values, terminator)
    return entries if size % alignment == 0 else _aligned(entries, data, alignment)


def _wide_strings(data: bytes, size: int) -> list[bytes]:
    """The strings of characters of `size` bytes, without their terminators."""
    return re.findall(rb"(?s)((?:(?!\0{%d}).{%d})*)\0{%d}" % (size, size, size), data)


def _aligned(entries: Entries, data: bytes, alignment: int) -> Entries:
    """The entries joined so that each begins at a multiple of `alignment`, and filled with zeros up to one."""
    starts = [start for start in entries.starts() if start % alignment == 0]
    values = [data[start:end] for start, end in pairwise([*starts, len(data)])]
    return Entries([value + bytes(-len(value) % alignment) for value in values], b"")


class Entries(NamedTuple):
    """The entries of an input, in order, without the `terminator` that follows each."""

    values: list[bytes]
    terminator: bytes

    def starts(self) -> list[int]:
        """The offset of each entry in the input."""
        starts = list(_starts(self.values, self.terminator, 0))
        starts.pop()
        return starts


def _starts(values: Iterable[bytes], terminator: bytes, first: int) -> Iterator[int]:
    """The offset of each entry if they follow one another from `first` on, and of what comes behind them."""
    sizes = map(len(terminator).__add__, map(len, values))  # there may be a million of them
    return accumulate(sizes, initial=first)


class EntryTable:
    """The distinct entries of an output section, whose `contents` grow with them, and the offset of each."""

    def __init__(self, contents: bytearray) -> None:
        self.contents = contents
        self._offsets: dict[bytes, int] = {}

    def add(self, entries: Entries, alignment: int) -> list[int]:
        """Add what is new of `entries` from a multiple of `alignment` on; gives the output's offset of each."""
        offsets, contents = self._offsets, self.contents
        new = [value for value in dict.fromkeys(entries.values) if value not in offsets]
        if new:
            contents.extend(bytes(-len(contents) % alignment))
            offsets.update(zip(new, _starts(new, entries.terminator, len(contents)), strict=False))
            contents += entries.terminator.join(new) + entries.terminator
        return list(map(offsets.__getitem__, entries.values))
