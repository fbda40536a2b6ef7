"""What the joined contents say about places, brought up to date: addends adjusted, near calls resolved.

A relocation stays for the loader unless its value is already settled here: a jump or call inside one output
section, and a number. The arithmetic is `bpfas.reloc`'s; S, A and P are the psABI's letters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bpfas.elf.constants import ByteOrder, SectionFlag, SymbolBinding, SymbolType
from bpfas.link.places import place_in_source
from bpfas.objfile import ObjectFile, Relocation, Section, SpecialSection, Symbol
from bpfas.reloc import (
    RELOCATION_TYPES,
    Field,
    RelocationNumber,
    RelocationRangeError,
    field_value,
    read_addend,
    relocation_name,
    write_addend,
    write_field,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bpfas.diag import Diagnostics
    from bpfas.link.layout import Layout, Placement
    from bpfas.reloc import RelocationType

_CALL = 0x85
_JUMP_CLASSES = frozenset({0x05, 0x06})  # BPF_JMP, BPF_JMP32 (RFC 9669 §3.1)


@dataclass(frozen=True, slots=True)
class _Site:
    """A relocation of an input and the output section it has moved to."""

    obj: ObjectFile
    section: Section
    reloc: Relocation
    placement: Placement
    order: ByteOrder

    @property
    def place(self) -> int:
        """P: where the relocation applies, in bytes from the output section's start."""
        place = self.placement.at(self.reloc.r_offset)
        assert place is not None
        return place

    def report(self, message: str, diagnostics: Diagnostics) -> None:
        """An error at this relocation."""
        where = place_in_source(self.obj, self.section, self.reloc.r_offset)
        diagnostics.error(message, where)


def relocate(
    objects: Sequence[ObjectFile],
    layout: Layout,
    symbols: Mapping[Symbol, Symbol],
    diagnostics: Diagnostics,
) -> None:
    """Adjust the contents of the output's sections and give them their relocations.

    `symbols` leads from a symbol of an input to the output's. The relocations are of the form without
    addends (SHT_REL), which is the one that BPF's loaders know.
    """
    for obj in objects:
        for section in obj.sections:
            placement = layout.placements.get(section)
            if placement is None or placement.is_copy:
                continue
            for reloc in section.relocations:
                site = _Site(obj, section, reloc, placement, obj.byte_order)
                kept = _relocate_one(site, layout, symbols, diagnostics)
                if kept is not None:
                    placement.section.relocations.append(kept)


def _relocate_one(
    site: _Site, layout: Layout, symbols: Mapping[Symbol, Symbol], diagnostics: Diagnostics
) -> Relocation | None:
    """Apply one relocation, or give what is left of it for the loader."""
    r_type, old = site.reloc.r_type, site.reloc.symbol
    if r_type == RelocationNumber.R_BPF_NONE:
        return None
    row = RELOCATION_TYPES.get(r_type)
    shown = old.name or (old.section.name if isinstance(old.section, Section) else "")
    if row is None:
        site.report(f"{relocation_name(r_type)} against {shown}", diagnostics)
        return None
    symbol = symbols.get(old)
    data = site.placement.section.data
    assert isinstance(data, bytearray)  # the layout made it
    if symbol is None and not site.section.sh_flags & SectionFlag.ALLOC:
        # Debugging information of what was left out: there is no such place.
        write_field(row.field, data, site.place, 0, site.order)
        return None
    if symbol is None:
        site.report(f"{row.name} against {shown}, which the output does not hold", diagnostics)
        return None
    try:
        return _settle(row, site, symbol, data, layout)
    except RelocationRangeError as error:
        site.report(f"{error} (against {shown})", diagnostics)
        return None


def _settle(
    row: RelocationType, site: _Site, symbol: Symbol, data: bytearray, layout: Layout
) -> Relocation | None:
    """Write what is known of the value; None when that is all of it. Raises RelocationRangeError."""
    reloc, place = site.reloc, site.place
    in_place = reloc.r_addend is None
    addend = read_addend(row, data, place, site.order) if in_place else reloc.r_addend
    assert addend is not None
    if reloc.symbol.st_type is SymbolType.SECTION and isinstance(reloc.symbol.section, Section):
        # A counts from the input section's start; from here on, from the output section's.
        addend = layout.placements[reloc.symbol.section].at(addend) or 0
    if row.field is Field.OFF16 and data[place] & 0x07 not in _JUMP_CLASSES:
        raise RelocationRangeError(f"{row.name} needs a jump; the instruction's opcode is {data[place]:#04x}")
    is_call = row.number is RelocationNumber.R_BPF_64_32 and data[place] == _CALL
    if is_call and symbol.section is SpecialSection.ABS and symbol.st_bind is not SymbolBinding.WEAK:
        _call_by_number(data, place, symbol.st_value + addend, site.order)
        return None
    if _is_settled(row, site.placement.section, symbol):
        value = field_value(row, symbol.st_value + addend, place)
        write_field(row.field, data, place, value, site.order)
        return None
    if row.field is Field.OFF16 and symbol.is_defined:
        where = symbol.section.name
        raise RelocationRangeError(f"a 16-bit jump cannot leave its section for {where}; use call or gotol")
    write_addend(row, data, place, addend, site.order)
    return Relocation(place, reloc.r_type, symbol)


def _call_by_number(data: bytearray, place: int, number: int, order: ByteOrder) -> None:
    """Make the call at `place` one of the helper `number`, as the assembler does where it knows the number."""
    if not 0 <= number < 1 << 31:
        raise RelocationRangeError(f"a helper's number is in the range 0 to {(1 << 31) - 1}, not {number}")
    data[place + 1] = 0  # src: no function of the program
    write_field(Field.IMM32, data, place, number, order)


def _is_settled(row: RelocationType, section: Section, symbol: Symbol) -> bool:
    """Whether no later link and no loader can change the value."""
    if symbol.st_bind is SymbolBinding.WEAK:
        return False  # a strong definition may still take its place
    if row.pc_relative:
        return symbol.section is section
    return symbol.section is SpecialSection.ABS
