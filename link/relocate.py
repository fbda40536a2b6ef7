"""What the joined contents say about places, brought up to date: addends adjusted, near calls resolved.

A relocation stays for the loader unless its value is already settled here: a jump or call inside one output
section, and a number. Code that was joined without relocations is adjusted where functions between were removed,
and debugging information says of these that there is no such place. The arithmetic is `bpfas.reloc`'s; S, A and P
are the psABI's letters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bpfas.elf.constants import ByteOrder, SectionFlag, SymbolBinding, SymbolType
from bpfas.isa import SLOT_SIZE
from bpfas.link.branches import CALL, branches, is_jump, relocated_fields
from bpfas.link.jump_tables import move_jump_tables
from bpfas.link.layout import is_debugging
from bpfas.objfile import ObjectFile, Relocation, Section, SpecialSection, Symbol
from bpfas.reloc import (
    RELOCATION_TYPES,
    Field,
    RelocationNumber,
    RelocationRangeError,
    addend_of,
    field_value,
    relocation_name,
    write_addend,
    write_field,
)
from bpfas.source_lines import place_in_source

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bpfas.diag import Diagnostics
    from bpfas.link.bulk import BulkRelocator
    from bpfas.link.layout import Layout, Placement
    from bpfas.link.symtab import SymbolTable
    from bpfas.reloc import RelocationType

# What debuggers take for "no such place" (DWARF 6, section 2.4.1, and what LLVM's linker writes): the highest
# address, and 1 in the old lists of ranges, where the highest one means something else and 0 ends the list.
_NOWHERE = -1
_NOWHERE_IN_LISTS = 1
_REMEDY_OF_SHORT_JUMPS = ("gotol (jal) and calls reach further than a jump with 16 bits",)
_OLD_LISTS = frozenset({".debug_ranges", ".debug_loc"})

_MANY = 20_000
"""From how many relocations on numpy is worth the time that its import takes."""


class _Site(NamedTuple):
    """A relocation of an input and the place in the output where it applies, P."""

    obj: ObjectFile
    section: Section
    reloc: Relocation
    output: Section
    place: int

    @property
    def data(self) -> bytearray:
        """The contents that the relocation changes."""
        assert isinstance(self.output.data, bytearray)  # the layout made it
        return self.output.data

    @property
    def order(self) -> ByteOrder:
        return self.obj.byte_order


def relocate(
    objects: Sequence[ObjectFile],
    layout: Layout,
    table: SymbolTable,
    symbols: Mapping[Symbol, Symbol],
    diagnostics: Diagnostics,
) -> list[Symbol]:
    """Adjust the contents of the output's sections and give them their relocations.

    `symbols` leads from a symbol of an input to the output's; the result are section symbols that are needed
    beside them. The relocations are of the form without addends (SHT_REL), the one that BPF's loaders know.
    """
    relocator = _Relocator(layout, table, symbols, diagnostics)
    bulk = relocator.bulk() if _number_in_tables(objects, layout) >= _MANY else None
    for obj in objects:
        for section in obj.sections:
            placement = layout.placements.get(section)
            if placement is None or placement.is_copy:
                continue
            if section.is_code and not placement.is_whole:
                _adjust_joined_code(obj, section, placement)
            relocations: Sequence[Relocation]
            if bulk and _is_in_bulk(section) and placement.is_whole:
                relocations = bulk.relocate(obj, section, _nowhere(section))
            else:
                relocations = layout.replaced.get(section, section).relocations
            for reloc in relocations:
                place = placement.at(reloc.r_offset)
                if place is not None:
                    relocator.relocate(_Site(obj, section, reloc, placement.section, place))
        move_jump_tables(obj, layout, diagnostics)
    if bulk:
        bulk.finish(objects[0].byte_order)
    return relocator.added


def _number_in_tables(objects: Sequence[ObjectFile], layout: Layout) -> int:
    """How many relocations there are that could be applied in bulk."""
    return sum(
        len(section.relocation_table or ())
        for obj in objects
        for section in obj.sections
        if section in layout.placements and _is_in_bulk(section)
    )


def _is_in_bulk(section: Section) -> bool:
    return section.relocation_table is not None and not section.sh_flags & SectionFlag.ALLOC


def _adjust_joined_code(obj: ObjectFile, section: Section, placement: Placement) -> None:
    """Let instructions that lead across removed functions lead to where they led.

    What they lead to has come nearer, so every distance has room in its field.
    """
    data = placement.section.data
    assert isinstance(data, bytearray)  # the layout made it
    relocated = relocated_fields(section)
    for piece in placement.pieces:
        if piece.output is None:
            continue
        for branch in branches(section, obj.byte_order, piece.start, piece.end, relocated):
            if branch.field is None or not 0 <= branch.target <= section.sh_size:
                continue
            target = placement.at(branch.target)
            assert target is not None  # what code leads to is not removed
            place = piece.output + branch.place - piece.start
            distance = (target - place) // SLOT_SIZE - 1
            write_field(branch.field, data, place, distance, obj.byte_order)


class _Relocator:
    """What relocating needs to know of a link, and the section symbols that it has `added`."""

    def __init__(
        self,
        layout: Layout,
        table: SymbolTable,
        symbols: Mapping[Symbol, Symbol],
        diagnostics: Diagnostics,
    ) -> None:
        self.layout = layout
        self.table = table
        self.symbols = symbols
        self.diagnostics = diagnostics
        self.added: list[Symbol] = []
        self._section_symbols = {
            symbol.section: symbol for symbol in symbols.values() if symbol.st_type is SymbolType.SECTION
        }

    def bulk(self) -> BulkRelocator:
        """What applies whole tables of relocations."""
        from bpfas.link.bulk import BulkRelocator

        return BulkRelocator(self.layout.placements, self._section_symbol)

    def relocate(self, site: _Site) -> None:
        """Apply one relocation; what is left of it for the loader goes to the output section."""
        r_type, old = site.reloc.r_type, site.reloc.symbol
        if r_type == RelocationNumber.R_BPF_NONE:
            return None
        row = RELOCATION_TYPES.get(r_type)
        shown = old.name or (old.section.name if isinstance(old.section, Section) else "")
        if row is None:
            return self._error(site, f"{relocation_name(r_type)} against {shown}")
        addend = addend_of(row, site.reloc.r_addend, site.data, site.place, site.order)
        target = self._target(old, addend, is_debugging(site.section))
        if target is None and not site.section.sh_flags & SectionFlag.ALLOC:
            return write_field(row.field, site.data, site.place, _nowhere(site.section), site.order)
        if target is None:
            return self._error(site, f"{row.name} against {shown}, which the output does not hold")
        symbol, addend = target
        try:
            if not _settle(row, site, symbol, addend):
                write_addend(row, site.data, site.place, addend, site.order)
                site.output.relocations.append(Relocation(site.place, r_type, symbol))
        except RelocationRangeError as error:
            is_short = row.field is Field.OFF16
            self._error(site, f"{error} (against {shown})", _REMEDY_OF_SHORT_JUMPS if is_short else ())
        return None

    def _error(self, site: _Site, message: str, notes: tuple[str, ...] = ()) -> None:
        self.diagnostics.error(message, place_in_source(site.obj, site.section, site.reloc.r_offset), notes)

    def _target(self, symbol: Symbol, addend: int, describes_code: bool) -> tuple[Symbol, int] | None:
        """The output's symbol and the addend that lead where `symbol` and `addend` of an input do.

        None if the output goes without that. What `describes_code` means the code of its own object, even if
        another definition won the name.
        """
        home = symbol.section
        if isinstance(home, Section) and (
            symbol.st_type is SymbolType.SECTION or (describes_code and home.is_code)
        ):
            placement = self.layout.placements.get(home)
            place = placement.at(symbol.st_value + addend) if placement else None
            if placement is None or place is None:
                return None
            own = self.symbols.get(symbol)
            if (
                own is None
                or own.section is not placement.section
                or own.st_value != placement.at(symbol.st_value)
            ):
                own = self._section_symbol(placement.section)
            return own, place - own.st_value
        found = self.symbols.get(symbol)
        if found is None:
            return None
        resolved = self.table.resolution_of(symbol)
        if resolved is not None:
            symbol = resolved.symbol
        if isinstance(symbol.section, Section):
            moved = self.layout.placements[symbol.section].moved(symbol.st_value, addend)
            if moved is None:
                return None
            if (
                found.st_bind is SymbolBinding.LOCAL
                and isinstance(found.section, Section)
                and found.section.is_code
            ):
                # libbpf takes the address of a static function by its section only.
                return self._section_symbol(found.section), found.st_value + moved
            return found, moved
        return found, addend

    def _section_symbol(self, section: Section) -> Symbol:
        """The symbol that stands for a section of the output."""
        symbol = self._section_symbols.get(section)
        if symbol is None:
            symbol = self._section_symbols[section] = Symbol("", section, st_type=SymbolType.SECTION)
            self.added.append(symbol)
        return symbol


def _nowhere(section: Section) -> int:
    """What stands where a section that is not loaded speaks of something that the output goes without."""
    if not is_debugging(section):
        return 0
    return _NOWHERE_IN_LISTS if section.name in _OLD_LISTS else _NOWHERE


def _settle(row: RelocationType, site: _Site, symbol: Symbol, addend: int) -> bool:
    """Write the value if it is all known; whether it is. Raises RelocationRangeError."""
    data, place = site.data, site.place
    if row.field is Field.OFF16 and not is_jump(data[place]):
        raise RelocationRangeError(f"{row.name} needs a jump; the instruction's opcode is {data[place]:#04x}")
    is_call = row.number is RelocationNumber.R_BPF_64_32 and data[place] == CALL
    if is_call and symbol.section is SpecialSection.ABS and symbol.st_bind is not SymbolBinding.WEAK:
        _call_by_number(data, place, symbol.st_value + addend, site.order)
        return True
    if _is_settled(row, site.output, symbol):
        write_field(row.field, data, place, field_value(row, symbol.st_value + addend, place), site.order)
        return True
    if row.field is Field.OFF16 and symbol.is_defined:
        where = symbol.section.name
        raise RelocationRangeError(f"a 16-bit jump cannot leave its section for {where}; use call or gotol")
    return False


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
