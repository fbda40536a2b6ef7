"""The DATASECs of the output: for each section of data, which variable lies where.

They are made anew from the places of symbols, so that neither the order of the inputs nor which of several
definitions won can make them wrong. DATASECs without a section (`.kconfig`, `.ksyms`) list what the loader has to
find.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpfas.btf.kinds import ENTRY_WORDS, HEADER_WORDS, MAX_VLEN, Kind, Linkage
from bpfas.diag import BpfasError
from bpfas.link.branches import relocated_target
from bpfas.objfile import Section
from bpfas.section_names import EXTERN_SECTION, KSYMS_SECTION

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bpfas.btf.btf import DatasecEntry
    from bpfas.btf.merge import Merged
    from bpfas.link.declarations import Declarations, TypeKey
    from bpfas.link.layout import Layout
    from bpfas.link.symtab import SymbolTable
    from bpfas.link.types import Unit
    from bpfas.objfile import Symbol

_GREATEST_NUMBER = (1 << 32) - 1


class Datasecs:
    """What the output's DATASECs hold: by the name of a section, (offset, type, size) of each entry."""

    def __init__(
        self,
        units: Sequence[Unit],
        table: SymbolTable,
        declarations: Declarations,
        layout: Layout,
        symbols: dict[Symbol, Symbol],
    ) -> None:
        self.table = table
        self.declarations = declarations
        self.layout = layout
        self.symbols = symbols
        self.entries: dict[str, list[tuple[int, TypeKey, int]]] = {}
        self._dropped: list[list[int]] = [[] for _ in units]
        self._globals: set[str] = set()
        for number, unit in enumerate(units):
            for datasec in unit.btf.ids_of_kind(Kind.DATASEC):
                self._add_datasec(number, unit, datasec)

    def dropped(self, unit: int) -> list[int]:
        """The VARs of a unit that the output has no place for."""
        return self._dropped[unit]

    def _add_datasec(self, number: int, unit: Unit, datasec: int) -> None:
        btf = unit.btf
        section_name = btf.name(datasec)
        if section_name == EXTERN_SECTION:
            return
        entries = btf.entries(datasec)
        for index, entry in enumerate(entries):
            if section_name != KSYMS_SECTION and btf.kind(entry.type_id) is Kind.FUNC:
                continue  # clang lists functions that are declared for a section; loaders refuse that
            name = btf.name(entry.type_id)
            winner = None
            if btf.linkage(entry.type_id) is not Linkage.STATIC:
                name = self._resolved_name(unit, name)
                winner = self.declarations.winners.get(name)
            if winner is not None:
                self._add_global(name, winner, section_name, entry)
            else:
                self._add_local(number, unit, datasec, index, entry)
        if not entries:
            self.entries.setdefault(section_name, [])

    def _resolved_name(self, unit: Unit, name: str) -> str:
        if not self.table.wrapped:
            return name
        symbol = unit.obj.symbol(name)
        return self.table.name_of(symbol) if symbol is not None else name

    def _add_global(self, name: str, winner: TypeKey, section_name: str, entry: DatasecEntry) -> None:
        """Enter a global name, once, where its symbol lies; one that nobody defines where it is declared."""
        if name in self._globals:
            return
        found = self.table.resolutions[name]
        if not found.is_needed:
            return
        output = self.symbols.get(found.symbol)
        size = entry.size
        if isinstance(found.symbol.section, Section):
            placement = self.layout.placements.get(found.symbol.section)
            is_copy = placement is not None and placement.is_copy
            if is_copy or output is None or not isinstance(output.section, Section):
                # The output has the same bytes from another object.
                self._dropped[winner[0]].append(winner[1])
                return
            section_name = output.section.name
            offset = output.st_value
            size = found.symbol.st_size or size
        else:
            offset = 0
        self._globals.add(name)
        self.entries.setdefault(section_name, []).append((offset, winner, size))

    def _add_local(self, number: int, unit: Unit, datasec: int, index: int, entry: DatasecEntry) -> None:
        """Enter a static variable, where its object says it lies."""
        place = _place_of_entry(unit, datasec, index, entry)
        if place is None:
            # A name without a symbol, and no section of its own: all there is to say stands in the entry.
            self.entries.setdefault(unit.btf.name(datasec), []).append(
                (entry.offset, (number, entry.type_id), entry.size)
            )
            return
        section, offset = place
        placement = self.layout.placements.get(section)
        output_offset = placement.at(offset) if placement is not None else None
        if placement is None or placement.is_copy or output_offset is None:
            self._dropped[number].append(entry.type_id)
            return
        self.entries.setdefault(placement.section.name, []).append(
            (output_offset, (number, entry.type_id), entry.size)
        )

    def add_to(self, merged: Merged) -> None:
        """Add the DATASECs to the output's types: those of sections in their order, then the others."""
        sizes: dict[str, int] = {}
        for section in self.layout.sections:
            sizes.setdefault(section.name, section.sh_size)
        names = [name for name in sizes if name in self.entries]
        names += [name for name in self.entries if name not in sizes]
        for name in names:
            entries = self.entries[name]
            if name in sizes:
                entries = sorted(entries, key=lambda entry: entry[0])
            found: dict[int, tuple[int, int, int]] = {}
            for offset, (unit, type_id), size in entries:
                output_id = merged.ids[unit][type_id]
                if output_id:
                    found.setdefault(output_id, (output_id, offset, size))
            section_size = sizes.get(name, 0)
            for _, offset, size in (*found.values(), (0, 0, section_size)):
                if not 0 <= offset <= _GREATEST_NUMBER or size > _GREATEST_NUMBER:
                    raise BpfasError.of(
                        f"section {name} of {section_size} bytes: types cannot say what lies at {offset} and has "
                        f"{size} bytes, for they have 32 bits for each number"
                    )
            if len(found) > MAX_VLEN:
                raise BpfasError.of(
                    f"section {name} would have {len(found)} variables; types can list {MAX_VLEN} of a section"
                )
            merged.add_datasec(name, section_size, list(found.values()))


def _place_of_entry(unit: Unit, datasec: int, index: int, entry: DatasecEntry) -> tuple[Section, int] | None:
    """The section of the unit's object and the offset in it that an entry is about; None if it has none.

    Clang leaves the offset to a relocation of `.BTF`; GCC gives none, but the variable has a symbol.
    """
    relocated = _relocated_place(unit, datasec, index)
    if relocated is not None:
        return relocated
    section = unit.obj.section(unit.btf.name(datasec))
    if section is None:
        return None
    if not entry.offset:
        symbol = unit.symbol_in(section, unit.btf.name(entry.type_id))
        if symbol is not None:
            return section, symbol.st_value
    return section, entry.offset


def _relocated_place(unit: Unit, datasec: int, index: int) -> tuple[Section, int] | None:
    if unit.section is None:
        return None
    if unit.relocations is None:
        unit.relocations = {reloc.r_offset: reloc for reloc in unit.section.relocations}
    word = unit.btf.starts[datasec] + HEADER_WORDS + ENTRY_WORDS[Kind.DATASEC] * index + 1
    reloc = unit.relocations.get(unit.btf.types_at + 4 * word)
    return relocated_target(reloc, unit.section, unit.obj.byte_order) if reloc is not None else None
