"""The inputs' `.BTF.ext` as one: every record at the place that its instruction has come to, and in its order.

Records of instructions that the output goes without go too.
"""

from __future__ import annotations

from array import array
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from bpfas.btf.ext import RECORD_WORDS, BtfExt, Records
from bpfas.btf.kinds import Word
from bpfas.diag import BpfasError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bpfas.btf.merge import Merged
    from bpfas.link.layout import Layout, Placement
    from bpfas.link.types import Unit


class _Chunk(NamedTuple):
    """The records of an input section: their places are the output's, types and strings still the input's."""

    unit: int
    record_size: int
    words: array[int]


def merge_ext(units: Sequence[Unit], merged: Merged, layout: Layout) -> BtfExt:
    """The records of all `units` with the places, types and strings of the output."""
    tables: dict[str, dict[str, Records]] = {}
    order = list(dict.fromkeys(section.name for section in layout.sections))
    for table, roles in RECORD_WORDS.items():
        chunks: dict[str, list[_Chunk]] = {}
        for number, unit in enumerate(units):
            if unit.ext is not None:
                _add_unit(getattr(unit.ext, table), number, unit, layout, chunks)
        for found in chunks.values():
            _check_sizes(table, found, units)
        # Strings get their places in the order of the output, so that a link of the output does not move them.
        tables[table] = {name: _joined(chunks[name], roles, units, merged) for name in order if chunks.get(name)}
    return BtfExt(**tables)


def _add_unit(
    sections: dict[str, Records], number: int, unit: Unit, layout: Layout, chunks: dict[str, list[_Chunk]]
) -> None:
    """Add the records of one object to those of each section of the output."""
    for name, (record_size, words) in sections.items():
        section = unit.obj.section(name)
        placement = layout.placements.get(section) if section is not None else None
        if section is None or placement is None:
            continue
        step = record_size // 4
        beyond = [offset for offset in words[::step] if offset >= section.sh_size]
        if beyond:
            raise BpfasError.of(
                f"tells of an instruction at {beyond[0]:#x} of {name}, which has {section.sh_size:#x} bytes",
                f"{unit.obj.name}:(.BTF.ext)",
            )
        moved = _moved(words, step, placement)
        if moved:
            chunks.setdefault(placement.section.name, []).append(_Chunk(number, record_size, moved))


def _moved(words: array[int], step: int, placement: Placement) -> array[int]:
    """The records whose instructions the output has, in the order of their places there, with those places."""
    offsets = words[::step].tolist()
    base = placement.at(0)
    if placement.is_whole and base is not None and offsets == sorted(offsets):
        moved = words[:]
        moved[::step] = array("I", [base + offset for offset in offsets])
        return moved
    places = [(placement.at(offset), start) for start, offset in enumerate(offsets)]
    kept = sorted((place, start) for place, start in places if place is not None)
    moved = array("I")
    for place, start in kept:
        moved.append(place)
        moved += words[start * step + 1 : (start + 1) * step]
    return moved


def _check_sizes(table: str, chunks: Sequence[_Chunk], units: Sequence[Unit]) -> None:
    """Raise BpfasError if the records of one section differ in size."""
    first = chunks[0]
    for chunk in chunks[1:]:
        if chunk.record_size != first.record_size:
            raise BpfasError.of(
                f"{table} has records of {chunk.record_size} bytes here, of {first.record_size} in "
                f"{units[first.unit].obj.name}; compile both with one compiler",
                f"{units[chunk.unit].obj.name}:(.BTF.ext)",
            )


def _joined(chunks: list[_Chunk], roles: Sequence[Word], units: Sequence[Unit], merged: Merged) -> Records:
    """The records of one section in the order of their instructions, with types and strings of the output."""
    # An input's section lies in one stretch, so its records need no mixing with others'.
    chunks.sort(key=lambda chunk: chunk.words[0])
    words = array("I")
    for unit, record_size, records in chunks:
        step = record_size // 4
        ids, string, text = merged.ids[unit], merged.string, units[unit].btf.string
        columns = {index: records[index::step] for index, role in enumerate(roles) if role is Word.STRING}
        # Strings go by record, so that they come in the same order however the records are divided into inputs.
        used = dict.fromkeys(chain.from_iterable(zip(*columns.values(), strict=True)))
        offsets = {offset: string(text(offset)) for offset in used}
        for index, role in enumerate(roles):
            if role is Word.TYPE:
                old = records[index::step]
                new = array("I", [ids[type_id] for type_id in old])
                if 0 in new and any(type_id and not ids[type_id] for type_id in old):
                    raise BpfasError.of(
                        "tells of a type that does not go into the output", f"{units[unit].obj.name}:(.BTF.ext)"
                    )
                records[index::step] = new
            elif role is Word.STRING:
                records[index::step] = array("I", [offsets[offset] for offset in columns[index]])
        words += records
    return Records(chunks[0].record_size, words)
