"""Hypothesis strategies for object files, and what two of them must have in common to be the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import strategies as st

from bpfas.elf.constants import (
    ByteOrder,
    SectionFlag,
    SectionType,
    SymbolBinding,
    SymbolType,
    SymbolVisibility,
)
from bpfas.objfile import Group, ObjectFile, Relocation, Section, SpecialSection, Symbol
from bpfas.reloc import RELOCATION_TYPES

if TYPE_CHECKING:
    from collections.abc import Hashable

names = st.one_of(
    st.sampled_from(["", ".text", ".data", ".relfoo", ".symtab", ".strtab", "xdp", "main", "größe"]),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12),
    st.binary(max_size=4).filter(lambda raw: 0 not in raw).map(lambda raw: raw.decode("utf-8", "surrogateescape")),
)
_KEPT_FLAGS = [
    SectionFlag.WRITE,
    SectionFlag.ALLOC,
    SectionFlag.EXECINSTR,
    SectionFlag.MERGE,
    SectionFlag.STRINGS,
    SectionFlag.EXCLUDE,
]
uint64 = st.integers(0, 2**64 - 1)
int64 = st.integers(-(2**63), 2**63 - 1)


@st.composite
def sections(draw: st.DrawFn) -> Section:
    sh_type = draw(
        st.sampled_from([SectionType.PROGBITS, SectionType.NOBITS, SectionType.NOTE, SectionType.LLVM_ADDRSIG])
    )
    nobits = sh_type is SectionType.NOBITS
    return Section(
        name=draw(names),
        sh_type=sh_type,
        sh_flags=sum(draw(st.sets(st.sampled_from(_KEPT_FLAGS)))),
        sh_addralign=draw(st.sampled_from([0, 1, 2, 4, 8, 16, 4096])),
        sh_entsize=draw(st.integers(0, 32)),
        data=b"" if nobits else draw(st.binary(max_size=64)),
        nobits_size=draw(st.integers(0, 2**40)) if nobits else 0,
        sh_info=draw(st.integers(0, 2**32 - 1)),
    )


@st.composite
def groups(draw: st.DrawFn, homes: list[Section], table: list[Symbol]) -> list[Section]:
    """Sections that put some of `homes` into groups."""
    found: list[Section] = []
    free = list(homes)
    while free and table and draw(st.booleans()):
        members = [section for section in free if draw(st.booleans())]
        free = [section for section in free if section not in members]
        for member in members:
            member.sh_flags |= SectionFlag.GROUP
        group = Group(draw(st.sampled_from(table)), members, draw(st.booleans()))
        found.append(Section(draw(names), SectionType.GROUP, 0, 4, 4, group=group))
    return found


@st.composite
def symbols(draw: st.DrawFn, homes: list[Section]) -> Symbol:
    section_symbol = bool(homes) and draw(st.booleans())
    if section_symbol:
        return Symbol("", draw(st.sampled_from(homes)), 0, draw(uint64), st_type=SymbolType.SECTION)
    return Symbol(
        name=draw(names),
        section=draw(st.sampled_from([*homes, *SpecialSection])),
        st_value=draw(uint64),
        st_size=draw(uint64),
        st_bind=draw(st.sampled_from(SymbolBinding)),
        st_type=draw(st.sampled_from([kind for kind in SymbolType if kind is not SymbolType.SECTION])),
        st_visibility=draw(st.sampled_from(SymbolVisibility)),
    )


@st.composite
def objects(draw: st.DrawFn) -> ObjectFile:
    """Any object that a file can hold, with every kind of section, symbol and relocation."""
    homes = draw(st.lists(sections(), max_size=5))
    table = draw(st.lists(symbols(homes), max_size=8))
    for section in homes:
        rows = [row for row in RELOCATION_TYPES.values() if row.field.end <= len(section.data)]
        if not rows or not table:
            continue
        addends = int64 if draw(st.booleans()) else st.none()
        for row in draw(st.lists(st.sampled_from(rows), max_size=4)):
            section.relocations.append(
                Relocation(
                    draw(st.integers(0, len(section.data) - row.field.end)),
                    row.number,
                    draw(st.sampled_from(table)),
                    draw(addends),
                )
            )
    for section in homes:
        if section.sh_type != SectionType.LLVM_ADDRSIG and draw(st.booleans()):
            section.sh_flags |= SectionFlag.LINK_ORDER
            section.link_order = draw(st.none() | st.sampled_from(homes))
    special = draw(groups(homes, table))
    if draw(st.booleans()) and special:
        table.append(Symbol("signature", special[0]))
        special[0].group = Group(table[-1], [])
    if draw(st.booleans()) and table:
        listed = draw(st.lists(st.sampled_from(table)))
        special.append(Section("list", SectionType.LLVM_ADDRSIG, SectionFlag.EXCLUDE, listed_symbols=listed))
    everything = draw(st.permutations([*homes, *special]))
    return ObjectFile("x.o", draw(st.sampled_from(ByteOrder)), everything, table, draw(st.integers(0, 2**32 - 1)))


def essence(obj: ObjectFile) -> Hashable:
    """All that a file says, as a value to compare; of the symbols' order only what the writer keeps."""
    table = sorted(obj.symbols, key=lambda symbol: symbol.st_bind is not SymbolBinding.LOCAL)
    section_numbers = {section: number for number, section in enumerate(obj.sections)}
    symbol_numbers = {symbol: number for number, symbol in enumerate(table)}
    return (
        obj.name,
        obj.byte_order,
        obj.e_flags,
        tuple(
            (
                *(section.name, section.sh_type, int(section.sh_flags), section.sh_addralign),
                *(section.sh_entsize, _contents(section), section.nobits_size, section.sh_info),
                section.link_order and section_numbers[section.link_order],
                section.group
                and (
                    symbol_numbers[section.group.signature],
                    tuple(section_numbers[member] for member in section.group.members),
                    section.group.is_comdat,
                ),
                section.listed_symbols and tuple(symbol_numbers[symbol] for symbol in section.listed_symbols),
                tuple(
                    (reloc.r_offset, reloc.r_type, symbol_numbers[reloc.symbol], reloc.r_addend)
                    for reloc in section.relocations
                ),
            )
            for section in obj.sections
        ),
        tuple(
            (
                symbol.name,
                symbol.section if isinstance(symbol.section, SpecialSection) else section_numbers[symbol.section],
                *(symbol.st_value, symbol.st_size),
                *(symbol.st_bind, symbol.st_type, symbol.st_visibility),
            )
            for symbol in table
        ),
    )


def _contents(section: Section) -> bytes:
    """The data, unless the writer makes it of what the section names."""
    is_made = section.group is not None or section.listed_symbols is not None
    return b"" if is_made else bytes(section.data)
