"""The entries of jump tables, brought up to date.

Clang writes a jump table as 64-bit offsets from the start of the section of code that uses it, without
relocations. So the code that loads a table's address tells what its entries count from, and where that code went
what they become. Source: what clang 22 writes for -mcpu=v4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpfas.link.places import place_in_source
from bpfas.link.symtab import JUMP_TABLES_SECTION
from bpfas.objfile import ObjectFile, Section, place
from bpfas.reloc import RELOCATION_TYPES, read_addend

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bpfas.diag import Diagnostics
    from bpfas.link.layout import Layout

_ENTRY_SIZE = 8


def relocate_jump_tables(objects: Sequence[ObjectFile], layout: Layout, diagnostics: Diagnostics) -> None:
    """Let every entry of a jump table lead to where its instruction has come to lie."""
    for obj in objects:
        tables = obj.section(JUMP_TABLES_SECTION)
        if tables is None or tables not in layout.placements:
            continue
        owners = _owners(obj, tables, diagnostics)
        starts = sorted(owners)
        for start, end in zip(starts, [*starts[1:], tables.sh_size], strict=True):
            if owners[start] in layout.placements:
                entries = range(start, end, _ENTRY_SIZE)
                _relocate_table(obj, tables, entries, owners[start], layout, diagnostics)


def _owners(obj: ObjectFile, tables: Section, diagnostics: Diagnostics) -> dict[int, Section]:
    """By the offset of each table that is used, the section of the code that uses it."""
    owners: dict[int, Section] = {}
    for section in obj.sections:
        if not section.is_code:
            continue
        for reloc in section.relocations:
            row = RELOCATION_TYPES.get(reloc.r_type)
            if reloc.symbol.section is not tables or row is None:
                continue
            addend = reloc.r_addend
            if addend is None:
                addend = read_addend(row, section.data, reloc.r_offset, obj.byte_order)
            start = reloc.symbol.st_value + addend
            where = place_in_source(obj, section, reloc.r_offset)
            if not 0 <= start < tables.sh_size or start % _ENTRY_SIZE:
                diagnostics.error(
                    f"refers to {start:#x} in {tables.name}, where no jump table begins; the section has "
                    f"{tables.sh_size:#x} bytes",
                    where,
                )
            elif owners.setdefault(start, section) is not section:
                diagnostics.error(
                    f"the jump table at {start:#x} is used by {section.name} and by {owners[start].name}, but its "
                    "entries can count from one of them only",
                    where,
                )
    return owners


def _relocate_table(
    obj: ObjectFile,
    tables: Section,
    entries: range,
    code: Section,
    layout: Layout,
    diagnostics: Diagnostics,
) -> None:
    """Bring the entries at these offsets of the input's `tables`, which count from `code`, up to date."""
    placement, placement_of_code = layout.placements[tables], layout.placements[code]
    data = placement.section.data
    assert isinstance(data, bytearray)  # the layout made it
    for offset in entries:
        at = placement.at(offset)
        if at is None or offset + _ENTRY_SIZE > tables.sh_size:
            continue
        field = slice(at, at + _ENTRY_SIZE)
        entry = int.from_bytes(data[field], obj.byte_order.name_for_int)
        target = placement_of_code.at(entry) if entry < code.sh_size else None
        if target is None:
            diagnostics.error(
                f"the jump table's entry leads to {entry:#x} of {code.name}, where the output has no code",
                place(obj, tables, offset),
            )
        else:
            data[field] = target.to_bytes(_ENTRY_SIZE, obj.byte_order.name_for_int)
