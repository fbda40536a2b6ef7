"""Sections of strings and constants (SHF_MERGE): of equal entries of all inputs the output holds one.

What an entry is, gABI chapter 4 says: with SHF_STRINGS a string up to its terminator of sh_entsize bytes, without
it sh_entsize bytes. An entry keeps the alignment that its place in the input promised. Strings that are the end of
others are entries of their own. Which inputs are of one section is `bpfas.link.layout`'s to say.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING

from bpfas.elf.constants import SectionFlag, SectionType

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from bpfas.objfile import Section

_FLAGS_THAT_FORBID = SectionFlag.WRITE | SectionFlag.EXECINSTR | SectionFlag.COMPRESSED


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


def split_entries(section: Section) -> Entries:
    """The entries of a mergeable section; raises EntryError when it is no whole number of them."""
    size, data = section.sh_entsize, bytes(section.data)
    if len(data) % size:
        raise EntryError(f"{len(data)} bytes are no whole number of entries of {size} bytes (sh_entsize)")
    if not section.sh_flags & SectionFlag.STRINGS:
        return Entries([data[at : at + size] for at in range(0, len(data), size)], b"")
    terminator = bytes(size)
    if data and data[-size:] != terminator:
        raise EntryError("the last string has no terminator")
    if size == 1:
        return Entries(data.split(terminator)[:-1], terminator)
    found = re.findall(rb"(?s)((?:(?!\0{%d}).{%d})*)\0{%d}" % (size, size, size), data)
    return Entries(found, terminator)


@dataclass(frozen=True, slots=True)
class Entries:
    """The entries of an input, in order, without the `terminator` that follows each."""

    values: list[bytes]
    terminator: bytes

    def starts(self) -> list[int]:
        """The offset of each entry in the input."""
        return list(_starts(self.values, self.terminator, 0))[:-1]


def _starts(values: Iterable[bytes], terminator: bytes, first: int) -> Iterator[int]:
    """The offset of each entry if they follow one another from `first` on, and of what comes behind them."""
    extra = len(terminator)
    return accumulate((len(value) + extra for value in values), initial=first)


@dataclass(slots=True)
class EntryTable:
    """The distinct entries of an output section and the offset of each.

    `alignments` is what `alignments_of` gives for all that is to be added.
    """

    contents: bytearray
    alignments: dict[bytes, int]
    offsets: dict[bytes, int] = field(default_factory=dict)

    def add(self, entries: Entries) -> list[int]:
        """Add what is new of `entries`; gives the offset in the output of each entry."""
        offsets, contents = self.offsets, self.contents
        new = [value for value in dict.fromkeys(entries.values) if value not in offsets]
        if self.alignments:
            for value in new:
                contents.extend(bytes(-len(contents) % self.alignments[value]))
                offsets[value] = len(contents)
                contents += value + entries.terminator
        elif new:
            offsets.update(zip(new, _starts(new, entries.terminator, len(contents)), strict=False))
            contents += entries.terminator.join(new) + entries.terminator
        return list(map(offsets.__getitem__, entries.values))


def alignments_of(inputs: Sequence[tuple[Section, Entries]]) -> dict[bytes, int]:
    """The alignment that each distinct entry needs; empty if following one another gives it to all.

    An entry needs what its section's alignment and its offset promise together, wherever that is most.
    """
    if all(section.sh_addralign <= 1 or section.sh_entsize % section.sh_addralign == 0 for section, _ in inputs):
        return {}
    alignments: dict[bytes, int] = {}
    for section, entries in inputs:
        whole = max(1, section.sh_addralign)
        for value, start in zip(entries.values, entries.starts(), strict=True):
            promised = min(whole, start & -start) if start else whole
            alignments[value] = max(promised, alignments.get(value, 1))
    return alignments
