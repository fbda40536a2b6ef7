"""Whether two objects say the same: sections with their bytes and relocations, and symbols."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpfas.elf.constants import SymbolType

if TYPE_CHECKING:
    from bpfas.objfile import ObjectFile, Section, Symbol


def section_facts(section: Section) -> dict[str, object]:
    """What a section is; those in a list stand there by their names, for their numbers may differ."""
    group = section.group
    return {
        "name": section.name,
        "header": (section.sh_type, section.sh_flags, section.sh_addralign, section.sh_entsize, section.sh_info),
        "data": "" if section.listed_symbols or group else bytes(section.data).hex(" ", 8),
        "nobits": section.nobits_size,
        "listed": [referred(symbol) for symbol in section.listed_symbols or ()],
        "group": group and (referred(group.signature), [member.name for member in group.members], group.is_comdat),
        "link": section.link_order and section.link_order.name,
        "relocations": sorted(
            (relocation.r_offset, relocation.r_type, *referred(relocation.symbol))
            for relocation in section.relocations
        ),
    }


def referred(symbol: Symbol) -> tuple[str, SymbolType]:
    """What a relocation names: a section's symbol goes by its section's name, whatever its own is."""
    is_section = symbol.st_type is SymbolType.SECTION
    return symbol.section.name if is_section else symbol.name, symbol.st_type


def symbol_facts(symbol: Symbol) -> tuple[object, ...]:
    """What a symbol is."""
    home = symbol.section.name
    return (
        *(symbol.name, home, symbol.st_value, symbol.st_size),
        *(symbol.st_bind, symbol.st_type, symbol.st_visibility),
    )


def symbols(obj: ObjectFile) -> list[tuple[object, ...]]:
    """All symbols but the sections', which are there as relocations need them."""
    return sorted(map(symbol_facts, (s for s in obj.symbols if s.st_type is not SymbolType.SECTION)), key=str)


def assert_same_object(found: ObjectFile, expected: ObjectFile) -> None:
    """Empty sections aside, which an assembler makes without being asked."""
    names = [section.name for section in expected.sections if section.sh_size]
    assert [section.name for section in found.sections if section.sh_size] == names
    for name in names:
        ours, theirs = found.section(name), expected.section(name)
        assert ours
        assert theirs
        assert section_facts(ours) == section_facts(theirs)
    assert symbols(found) == symbols(expected)
