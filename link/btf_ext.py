"""The inputs' `.BTF.ext` as one: every record at the place that its instruction has come to, and in its order.

Records of instructions that the output goes without go too.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, NamedTuple

from bpfas.btf.ext import RECORD_WORDS, BtfExt, Records
from bpfas.btf.kinds import Word
from bpfas.diag import BpfasError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bpfas.btf.merge import Merged
    from bpfas.link.layout import Layout
    from bpfas.link.types import Unit


class _Row(NamedTuple):
    """A record, the object that it is from, and its size in bytes."""

    record_size: int
    obj_name: str
    words: array[int]


def merge_ext(units: Sequence[Unit], merged: Merged, layout: Layout) -> BtfExt:
    """The records of all `units` with the places, types and strings of the output."""
    tables: dict[str, dict[str, Records]] = {}
    order = list(dict.fromkeys(section.name for section in layout.sections))
    for table in RECORD_WORDS:
        rows: dict[str, list[_Row]] = {}
        for number, unit in enumerate(units):
            if unit.ext is not None:
                _add_unit(table, getattr(unit.ext, table), number, unit, merged, layout, rows)
        tables[table] = {name: _joined(table, name, rows[name]) for name in order if rows.get(name)}
    return BtfExt(**tables)


def _joined(table: str, section: str, rows: list[_Row]) -> Records:
    """The records of one section in the order of their instructions. Raises BpfasError if they differ in size."""
    first = rows[0]
    other = next((row for row in rows if row.record_size != first.record_size), None)
    if other is not None:
        raise BpfasError.of(
            f"{table} of section {section} has records of {other.record_size} bytes here, of {first.record_size} "
            f"in {first.obj_name}; compile both with one compiler",
            f"{other.obj_name}:(.BTF.ext)",
        )
    rows.sort(key=lambda row: row.words[0])
    words = array("I")
    for row in rows:
        words += row.words
    return Records(first.record_size, words)


def _add_unit(
    table: str,
    sections: dict[str, Records],
    number: int,
    unit: Unit,
    merged: Merged,
    layout: Layout,
    joined: dict[str, list[_Row]],
) -> None:
    """Add the records of one object to those `joined` of each section."""
    types = [index for index, role in enumerate(RECORD_WORDS[table]) if role is Word.TYPE]
    strings = [index for index, role in enumerate(RECORD_WORDS[table]) if role is Word.STRING]
    ids, string, text = merged.ids[number], merged.string, unit.btf.string
    for name, (record_size, words) in sections.items():
        length = record_size // 4
        section = unit.obj.section(name)
        placement = layout.placements.get(section) if section is not None else None
        if placement is None:
            continue
        rows = joined.setdefault(placement.section.name, [])
        for start in range(0, len(words), length):
            record = words[start : start + length]
            place = placement.at(record[0])
            if place is None:
                continue
            record[0] = place
            for index in types:
                record[index] = ids[record[index]]
            for index in strings:
                record[index] = string(text(record[index]))
            rows.append(_Row(record_size, unit.obj.name, record))
