"""The units of .debug_info: what their entries say about ranges of code, brought up to date.

Of each entry only the attributes that matter for that are read, by the forms in .debug_abbrev. Source: DWARF 5,
chapter 7; versions 2 to 5, GNU's forms for them as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bpfas.link.debug_contents import ADDRESS_SIZE, MalformedDebugInfo
from bpfas.link.debug_lists import AddressTable, Site, adjust_list, adjust_old_list

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bpfas.link.debug_contents import DebugContents
    from bpfas.link.debug_lists import Ranges

_LOW_PC, _HIGH_PC, _RANGES = 0x11, 0x12, 0x55
_ADDR_BASE, _RNGLISTS_BASE, _LOCLISTS_BASE = 0x73, 0x74, 0x8C
_LOCATIONS = frozenset({0x02, 0x19, 0x2A, 0x38, 0x40, 0x46, 0x48, 0x4A, 0x4D})  # attributes of class loclist
_WANTED = frozenset({_LOW_PC, _HIGH_PC, _RANGES, _ADDR_BASE, _RNGLISTS_BASE, _LOCLISTS_BASE}) | _LOCATIONS

_ADDR, _STRING, _INDIRECT, _SEC_OFFSET, _IMPLICIT_CONST = 0x01, 0x08, 0x16, 0x17, 0x21
_LOCLISTX, _RNGLISTX = 0x22, 0x23
_OFFSET = -1
"""As the size of a form: that of an offset in the unit's format."""
_FIXED_SIZES = {
    _ADDR: ADDRESS_SIZE,
    0x05: 2,
    0x06: 4,
    0x07: 8,
    0x0B: 1,
    0x0C: 1,
    0x19: 0,
    0x1E: 16,
    _IMPLICIT_CONST: 0,
    0x11: 1,
    0x12: 2,
    0x13: 4,
    0x14: 8,
    0x1C: 4,
    0x20: 8,
    0x24: 8,  # references
    0x25: 1,
    0x26: 2,
    0x27: 3,
    0x28: 4,
    0x29: 1,
    0x2A: 2,
    0x2B: 3,
    0x2C: 4,  # strx1-4, addrx1-4
    **dict.fromkeys((14, 16, _SEC_OFFSET, 29, 31, 7968, 7969), _OFFSET),
}
_LEB128_FORMS = frozenset({0x0D, 0x0F, 0x15, 0x1A, 0x1B, _LOCLISTX, _RNGLISTX, 0x1F01, 0x1F02})
_BLOCKS = {0x0A: 1, 0x03: 2, 0x04: 4, 0x09: 0, 0x18: 0}
"""The size of a block's length, 0 for LEB128."""
_ADDRESS_INDICES = frozenset({0x1B, 0x29, 0x2A, 0x2B, 0x2C, 0x1F01})
_CONSTANTS = frozenset({0x05, 0x06, 0x07, 0x0B, 0x0F})
_TYPE_UNITS, _SKELETONS = (2, 6), (4, 5)  # unit types whose headers go on


class _Attribute(NamedTuple):
    """An attribute of an entry: its form, and where it begins and ends."""

    form: int
    at: int
    end: int


class _Unit(NamedTuple):
    """A unit: the size of its offsets, its version, where its entries begin and it ends, and its abbreviations."""

    offset_size: int
    version: int
    start: int
    end: int
    abbreviations: Mapping[int, list[tuple[int, int]]]


class _Bases(NamedTuple):
    """What the first entry of a unit gives for the others."""

    low_pc: Site | None
    addresses: AddressTable
    ranges: int
    locations: int


def adjust_units(sections: Mapping[str, DebugContents], ranges: Ranges) -> None:
    """Bring what all units say about code up to date, in .debug_info and the lists. Raises MalformedDebugInfo.

    `sections` are the debugging sections of an object by name.
    """
    info, abbrev = sections[".debug_info"], sections.get(".debug_abbrev")
    if abbrev is None:
        raise MalformedDebugInfo(".debug_info is without .debug_abbrev")
    lists: dict[tuple[str, int], _Bases] = {}
    for unit in _units(info, abbrev):
        bases: _Bases | None = None
        for attributes in _entries(info, unit):
            if bases is None:
                bases = _bases(info, unit, attributes, sections)
            _adjust_entry(info, attributes, bases, ranges)
            for name, attribute in _lists_of(unit, attributes):
                contents = sections.get(name)
                if contents is not None:
                    lists.setdefault((name, _list_offset(info, unit, attribute, contents, bases)), bases)
    # Several entries may share a list, which is to be changed once.
    for (name, at), owner in lists.items():
        if name in (".debug_rnglists", ".debug_loclists"):
            adjust_list(sections[name], at, owner.low_pc, owner.addresses, ranges)
        else:
            adjust_old_list(sections[name], at, owner.low_pc, ranges)


def _units(info: DebugContents, abbrev: DebugContents) -> Iterator[_Unit]:
    tables: dict[int, dict[int, list[tuple[int, int]]]] = {}
    at = 0
    while at < len(info.data):
        size, at, end = info.unit(at)
        version = info.number(at, 2)
        if not 2 <= version <= 5:
            raise MalformedDebugInfo(f"a unit of .debug_info is of DWARF {version}")
        at += 2
        unit_type = info.number(at, 1) if version >= 5 else 0
        at += 2 if version >= 5 else 0
        table_at = info.offset(at, size)
        at += size + (0 if version >= 5 else 1)
        at += 8 + size if unit_type in _TYPE_UNITS else 8 if unit_type in _SKELETONS else 0
        if table_at not in tables:
            tables[table_at] = _abbreviations(abbrev, table_at)
        yield _Unit(size, version, at, end, tables[table_at])
        at = end


def _abbreviations(abbrev: DebugContents, at: int) -> dict[int, list[tuple[int, int]]]:
    """By their codes, the attributes and forms of the entries."""
    table: dict[int, list[tuple[int, int]]] = {}
    while True:
        code, at = abbrev.leb128(at)
        if not code:
            return table
        _, at = abbrev.leb128(at)
        at += 1
        found = table.setdefault(code, [])
        while True:
            name, at = abbrev.leb128(at)
            form, at = abbrev.leb128(at)
            if form == _IMPLICIT_CONST:
                _, at = abbrev.leb128(at, signed=True)
            if not name and not form:
                break
            found.append((name, form))


def _entries(info: DebugContents, unit: _Unit) -> Iterator[dict[int, _Attribute]]:
    """The attributes that matter of each entry of a unit."""
    at = unit.start
    while at < unit.end:
        code, at = info.leb128(at)
        if not code:
            continue
        if code not in unit.abbreviations:
            raise MalformedDebugInfo(f".debug_info has an entry of unknown code {code} at {at:#x}")
        attributes = {}
        for name, form in unit.abbreviations[code]:
            while form == _INDIRECT:
                form, at = info.leb128(at)
            end = _end_of(info, unit, form, at)
            if name in _WANTED:
                attributes[name] = _Attribute(form, at, end)
            at = end
        yield attributes


def _end_of(info: DebugContents, unit: _Unit, form: int, at: int) -> int:
    """Where an attribute that begins at `at` ends."""
    size = _FIXED_SIZES.get(form)
    if size is not None:
        if form == 0x10 and unit.version == 2:
            size = ADDRESS_SIZE  # DW_FORM_ref_addr
        return at + (unit.offset_size if size == _OFFSET else size)
    if form in _LEB128_FORMS:
        return info.leb128(at)[1]
    if form == _STRING:
        end = info.data.find(0, at)
        if end < 0:
            raise MalformedDebugInfo(f".debug_info ends within the text at {at:#x}")
        return end + 1
    if form in _BLOCKS:
        width = _BLOCKS[form]
        length, at = (info.number(at, width), at + width) if width else info.leb128(at)
        return at + length
    raise MalformedDebugInfo(f".debug_info has an attribute of unknown form {form:#x} at {at:#x}")


def _bases(
    info: DebugContents, unit: _Unit, attributes: Mapping[int, _Attribute], sections: Mapping[str, DebugContents]
) -> _Bases:
    def base(name: int) -> int:
        attribute = attributes.get(name)
        return info.offset(attribute.at, unit.offset_size) if attribute else 0

    addresses = AddressTable(sections.get(".debug_addr"), base(_ADDR_BASE))
    low_pc = attributes.get(_LOW_PC)
    site = _site(info, low_pc, addresses) if low_pc else None
    return _Bases(site, addresses, base(_RNGLISTS_BASE), base(_LOCLISTS_BASE))


def _site(info: DebugContents, attribute: _Attribute, addresses: AddressTable) -> Site | None:
    """Where the address of an attribute stands."""
    if attribute.form in _ADDRESS_INDICES:
        return addresses.site(_value(info, attribute))
    return Site(info, attribute.at) if attribute.form == _ADDR else None


def _value(info: DebugContents, attribute: _Attribute) -> int:
    if attribute.form in _LEB128_FORMS:
        return info.leb128(attribute.at)[0]
    return info.number(attribute.at, attribute.end - attribute.at)


def _adjust_entry(
    info: DebugContents, attributes: Mapping[int, _Attribute], bases: _Bases, ranges: Ranges
) -> None:
    """Bring an entry's low_pc and high_pc up to date."""
    low, high = attributes.get(_LOW_PC), attributes.get(_HIGH_PC)
    start = _site(info, low, bases.addresses) if low else None
    if start is None or high is None:
        return
    if high.form in _CONSTANTS:
        address = ranges.concerns(start)
        if address:
            length = ranges.length(start, address, _value(info, high))
            if high.form in _LEB128_FORMS:
                info.set_leb128(high.at, high.end, length)
            else:
                info.set_number(high.at, high.end - high.at, length)
        return
    end = _site(info, high, bases.addresses)
    if end and end.contents is info is start.contents and not ranges.is_left(start, end):
        info.copy_address(start.at, end.at)


def _lists_of(unit: _Unit, attributes: Mapping[int, _Attribute]) -> Iterator[tuple[str, _Attribute]]:
    """The section and the attribute of each list that an entry has."""
    list_forms = (_SEC_OFFSET,) if unit.version >= 4 else (_SEC_OFFSET, 0x06, 0x07)
    for name, attribute in attributes.items():
        if name == _RANGES and attribute.form in (*list_forms, _RNGLISTX):
            yield (".debug_rnglists" if unit.version >= 5 else ".debug_ranges"), attribute
        elif name in _LOCATIONS and attribute.form in (*list_forms, _LOCLISTX):
            yield (".debug_loclists" if unit.version >= 5 else ".debug_loc"), attribute


def _list_offset(
    info: DebugContents, unit: _Unit, attribute: _Attribute, contents: DebugContents, bases: _Bases
) -> int:
    """Where in its section the list of an attribute begins."""
    if attribute.form not in (_RNGLISTX, _LOCLISTX):
        return info.offset(attribute.at, attribute.end - attribute.at)
    base = bases.ranges if attribute.form == _RNGLISTX else bases.locations
    index = _value(info, attribute)
    return base + contents.offset(base + index * unit.offset_size, unit.offset_size)
