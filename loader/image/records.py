"""What the object says of a composed program's instructions: their functions' types, lines, CO-RE relocations.

Records of `.BTF.ext` count from the start of a section; those of a program count from its start, and stand in
the order of its instructions. The kernel refuses a program for one record that is out of order or missing, so
what would make it do so is put right here. Sources: the kernel's btf.rst; libbpf 1.8.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from bpfas.btf.ext import RECORD_WORDS
from bpfas.isa import SLOT_SIZE
from bpfas.loader.spec import CoreRelocation
from bpfas.objfile import place

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from bpfas.btf.ext import Records
    from bpfas.diag import Diagnostics
    from bpfas.loader.image.functions import Function
    from bpfas.loader.image.object_btf import ObjectTypes
    from bpfas.loader.instructions import Code
    from bpfas.objfile import ObjectFile, Section

_Record = tuple[int, ...]


class ProgramRecords(NamedTuple):
    """The records of a program; the words are those of ProgramSpec."""

    func_info: array[int]
    line_info: array[int]
    core: tuple[CoreRelocation, ...]


class ObjectRecords:
    """The records of one object by section and offset, with ids and strings of the image's types.

    `ids` and `string` lead from the object's own ids and string offsets to those of the image; None where the
    object's types are the image's.
    """

    def __init__(
        self, types: ObjectTypes, ids: Sequence[int] | None = None, string: Callable[[int], int] | None = None
    ) -> None:
        self._btf = types.btf
        self._tables: dict[str, dict[str, Records]] = types.ext._asdict()
        self._ids = ids
        self._string = string
        self._sorted: dict[tuple[str, Section], tuple[list[int], list[_Record]]] = {}

    def function_type(self, function: Function) -> int:
        """The FUNC of a function, 0 where nothing says it."""
        own = self.own_function_type(function)
        return self._ids[own] if self._ids is not None else own

    def own_function_type(self, function: Function) -> int:
        """The FUNC of a function as the object itself numbers it, 0 where nothing says it."""
        found = self._of(function, "func_info")
        return found[0][1] if found and found[0][0] == function.start else 0

    def lines(self, function: Function) -> list[_Record]:
        """The line_info of a function, by ascending offset in the section."""
        string = self._string
        found = self._of(function, "line_info")
        if string is None:
            return found
        return [(offset, string(file), string(text), line) for offset, file, text, line in found]

    def core_relocations(
        self, function: Function, position: int, diagnostics: Diagnostics
    ) -> list[CoreRelocation]:
        """The CO-RE relocations of a function that begins `position` slots into a program."""
        relocations = []
        for offset, type_id, access, kind in self._of(function, "core_relo"):
            slot, rest = divmod(offset - function.start, SLOT_SIZE)
            if rest:
                diagnostics.error(
                    "a CO-RE relocation does not apply to the start of an instruction",
                    place(function.obj, function.section, offset),
                )
                continue
            image_id = self._ids[type_id] if self._ids is not None else type_id
            relocations.append(CoreRelocation(position + slot, image_id, self._btf.string(access), kind))
        return relocations

    def _of(self, function: Function, table: str) -> list[_Record]:
        """The records of a table between a function's start and end."""
        section = function.section
        if (table, section) not in self._sorted:
            # Of several sections of one name, nothing says which one records are of; it is the first for libbpf.
            is_first = function.obj.section(section.name) is section
            records = self._tables[table].get(section.name) if is_first else None
            self._sorted[table, section] = _sorted_records(records, len(RECORD_WORDS[table]))
        offsets, found = self._sorted[table, section]
        return found[bisect_left(offsets, function.start) : bisect_left(offsets, function.end)]


def _sorted_records(records: Records | None, known_words: int) -> tuple[list[int], list[_Record]]:
    """The offsets of records and their known words, both by offset."""
    if records is None:
        return [], []
    step = records.record_size // 4
    rows = list(zip(*(records.words[word::step] for word in range(known_words)), strict=True))
    offsets = [row[0] for row in rows]
    if any(offset > following for offset, following in pairwise(offsets)):
        rows.sort(key=lambda row: row[0])
        offsets = [row[0] for row in rows]
    return offsets, rows


def compose_records(
    positions: Mapping[Function, int],
    code: Code,
    records_of: Mapping[ObjectFile, ObjectRecords],
    diagnostics: Diagnostics,
) -> ProgramRecords:
    """The records of the program `code`, in which each function begins at the slot that `positions` give.

    Where a function has no type, or not a single line, the kernel takes none of the program's functions or lines.
    """
    func_info, line_info, core = array("I"), array("I"), []
    for function, position in positions.items():
        records = records_of.get(function.obj)
        if records is None:
            continue
        if type_id := records.function_type(function):
            func_info.extend((position, type_id))
        line_info.extend(_line_words(records.lines(function), function, position, code))
        core += records.core_relocations(function, position, diagnostics)
    if len(func_info) != 2 * len(positions):
        func_info = array("I")
    if not set(positions.values()) <= set(line_info[::4]):
        line_info = array("I")
    return ProgramRecords(func_info, line_info, tuple(core))


def _line_words(records: Sequence[_Record], function: Function, position: int, code: Code) -> list[int]:
    """The line_info of a function: one record for an instruction, the first of them at its start."""
    lines = {}
    for offset, *line in records:
        slot = position + (offset - function.start) // SLOT_SIZE
        if code.opcode(slot):  # else it is the second slot of a 64-bit immediate load
            lines[slot] = line
    if lines and position not in lines:
        lines = {position: next(iter(lines.values())), **lines}
    return [word for slot, line in lines.items() for word in (slot, *line)]
