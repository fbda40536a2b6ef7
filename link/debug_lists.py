"""Lists of ranges and of locations, in .debug_rnglists, .debug_loclists, .debug_ranges and .debug_loc.

They say which code something holds for, by addresses, by numbers of addresses in .debug_addr, or by distances from
a base. Source: DWARF 5, sections 2.6.2, 2.17.3 and 7.7.3; DWARF 4 for the two older sections.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, NamedTuple

from bpfas.link.debug_contents import ADDRESS_SIZE, MalformedDebugInfo

if TYPE_CHECKING:
    from bpfas.link.debug_contents import DebugContents
    from bpfas.link.holes import Address, Holes

_HIGHEST = (1 << 8 * ADDRESS_SIZE) - 1


class _Operand(enum.Enum):
    """What an entry of a list has behind its kind."""

    INDEX = enum.auto()
    """The number of an address in .debug_addr."""
    ADDRESS = enum.auto()
    LENGTH = enum.auto()
    OFFSET = enum.auto()
    """A distance from the base."""
    NUMBER = enum.auto()
    LOCATION = enum.auto()
    """A block, after its length."""


_I, _A, _L, _O = _Operand.INDEX, _Operand.ADDRESS, _Operand.LENGTH, _Operand.OFFSET
_RANGES = {1: (_I,), 2: (_I, _I), 3: (_I, _L), 4: (_O, _O), 5: (_A,), 6: (_A, _A), 7: (_A, _L)}
_X = _Operand.LOCATION
_LOCATIONS = {
    1: (_I,),
    2: (_I, _I, _X),
    3: (_I, _L, _X),
    4: (_O, _O, _X),
    5: (_X,),
    6: (_A,),
    7: (_A, _A, _X),
    8: (_A, _L, _X),
    9: (_Operand.NUMBER, _Operand.NUMBER),  # DW_LLE_GNU_view_pair
}


class Site(NamedTuple):
    """Where an address stands: in the section itself, or in .debug_addr."""

    contents: DebugContents
    at: int

    @property
    def address(self) -> Address | None:
        """The address, if it is of a section of the object."""
        return self.contents.address(self.at)


class AddressTable(NamedTuple):
    """The part of .debug_addr that belongs to a unit: address `index` is at `base` + 8 * `index`."""

    contents: DebugContents | None
    base: int

    def site(self, index: int) -> Site | None:
        """Where the address number `index` stands."""
        return Site(self.contents, self.base + ADDRESS_SIZE * index) if self.contents else None


class Ranges:
    """What becomes of ranges of code of which functions were removed.

    An address that is removed will be one of nowhere. Unless something that is left begins there: then it becomes,
    in `finish`, that of what follows.
    """

    def __init__(self, holes: Holes) -> None:
        self.holes = holes
        self._kept: dict[Site, Address] = {}

    def concerns(self, site: Site | None) -> Address | None:
        """The address at `site`, if functions were removed from its section."""
        address = site.address if site else None
        return address if address and address.section in self.holes else None

    def length(self, site: Site, start: Address, length: int) -> int:
        """What is left of `length` bytes from the address at `site` on, which is `start`."""
        left = self.holes.distance(start, length)
        if left:
            self.keep(site, start)
        return left

    def keep(self, site: Site, address: Address) -> None:
        """Let the address at `site` lead to what is left, if it leads to what is removed."""
        if self.holes.cover(address):
            self._kept[site] = address

    def is_left(self, start: Site, end: Site) -> bool:
        """Whether there is anything left between two addresses; if so, these lead to where it begins and ends."""
        first, last = self.concerns(start), self.concerns(end)
        if first is None or last is None or first.section is not last.section or last.offset <= first.offset:
            return True
        if not self.length(start, first, last.offset - first.offset):
            return False
        self.keep(end, last)
        return True

    def finish(self) -> None:
        """Change the addresses that are to lead to what is left."""
        for site, address in self._kept.items():
            site.contents.set_address(site.at, self.holes.following(address))


class _Field(NamedTuple):
    """A number of an entry: what it is, where it begins and ends, and its value."""

    operand: _Operand
    at: int
    end: int
    value: int


def adjust_list(
    contents: DebugContents, at: int, base: Site | None, addresses: AddressTable, ranges: Ranges
) -> None:
    """Bring the list at `at` of .debug_rnglists or .debug_loclists up to date; `base` is its unit's low_pc."""
    kinds = _LOCATIONS if contents.section.name == ".debug_loclists" else _RANGES
    while kind := contents.number(at, 1):
        if kind not in kinds:
            raise MalformedDebugInfo(f"{contents.section.name} has an entry of unknown kind {kind} at {at:#x}")
        fields, at = _read_fields(contents, kinds[kind], at + 1)
        match [field for field in fields if field.operand is not _X]:
            case [_Field(operand=_Operand.INDEX | _Operand.ADDRESS) as field]:
                base = _site(contents, field, addresses)
            case [_Field(operand=_Operand.OFFSET) as first, last]:
                start = ranges.concerns(base)
                if base and start:
                    low, high = (ranges.holes.distance(start, field.value) for field in (first, last))
                    if low != high:
                        ranges.keep(base, start)
                    contents.set_leb128(first.at, first.end, low)
                    contents.set_leb128(last.at, last.end, high)
            case [first, _Field(operand=_Operand.LENGTH) as last]:
                site = _site(contents, first, addresses)
                start = ranges.concerns(site)
                if site and start:
                    contents.set_leb128(last.at, last.end, ranges.length(site, start, last.value))
            case [_Field(operand=_Operand.INDEX | _Operand.ADDRESS) as first, last]:
                sites = _site(contents, first, addresses), _site(contents, last, addresses)
                if sites[0] and sites[1] and not ranges.is_left(sites[0], sites[1]):
                    _make_equal(contents, first, last)


def _read_fields(contents: DebugContents, operands: tuple[_Operand, ...], at: int) -> tuple[list[_Field], int]:
    fields = []
    for operand in operands:
        if operand is _A:
            value, end = 0, at + ADDRESS_SIZE
            contents.number(at, ADDRESS_SIZE)
        else:
            value, end = contents.leb128(at)
            end += value if operand is _X else 0
        fields.append(_Field(operand, at, end, value))
        at = end
    return fields, at


def _site(contents: DebugContents, field: _Field, addresses: AddressTable) -> Site | None:
    return addresses.site(field.value) if field.operand is _I else Site(contents, field.at)


def _make_equal(contents: DebugContents, first: _Field, last: _Field) -> None:
    """Let a range of which nothing is left end where it begins."""
    if first.operand is _A:
        contents.copy_address(first.at, last.at)
    elif first.end - first.at <= last.end - last.at:
        contents.set_leb128(last.at, last.end, first.value)
    else:
        contents.set_leb128(first.at, first.end, last.value)


def adjust_old_list(contents: DebugContents, at: int, base: Site | None, ranges: Ranges) -> None:
    """Bring the list at `at` of .debug_ranges or .debug_loc up to date; `base` is its unit's low_pc."""
    has_locations = contents.section.name == ".debug_loc"
    while True:
        first, last = Site(contents, at), Site(contents, at + ADDRESS_SIZE)
        numbers = contents.number(first.at, ADDRESS_SIZE), contents.number(last.at, ADDRESS_SIZE)
        is_number = first.at not in contents.relocations
        if is_number and last.at not in contents.relocations and numbers == (0, 0):
            return
        at = last.at + ADDRESS_SIZE
        if is_number and numbers[0] == _HIGHEST:
            base = last
            continue
        if has_locations:
            at += 2 + contents.number(at, 2)
        start = ranges.concerns(base)
        if not is_number:
            if not ranges.is_left(first, last):
                contents.copy_address(first.at, last.at)
        elif base and start:
            low, high = (ranges.holes.distance(start, number) for number in numbers)
            if low != high:
                ranges.keep(base, start)
            elif not high:
                low = high = 1  # two zeros would end the list
            contents.set_number(first.at, ADDRESS_SIZE, low)
            contents.set_number(last.at, ADDRESS_SIZE, high)


def adjust_aranges(contents: DebugContents, ranges: Ranges) -> None:
    """Bring all tables of .debug_aranges up to date (DWARF 5, section 6.1.2)."""
    at = 0
    while at < len(contents.data):
        size, start, end = contents.unit(at)
        tuples = start + 2 + size + 2
        at = tuples + (at - tuples) % (2 * ADDRESS_SIZE)
        while at + 2 * ADDRESS_SIZE <= end:
            site, length_at = Site(contents, at), at + ADDRESS_SIZE
            address = ranges.concerns(site)
            if address:
                length = contents.number(length_at, ADDRESS_SIZE)
                contents.set_number(length_at, ADDRESS_SIZE, ranges.length(site, address, length))
            at = length_at + ADDRESS_SIZE
        at = end
