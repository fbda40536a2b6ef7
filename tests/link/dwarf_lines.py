"""Which source lines DWARF gives the instructions of each function, read by pyelftools."""

from __future__ import annotations

import io
from collections import Counter, defaultdict

from elftools.elf.elffile import ELFFile

from bpfas.elf.constants import SymbolType
from bpfas.elf.reader import read_object
from bpfas.reloc import RelocationNumber
from tests.link.builders import section_of

FunctionLines = tuple[str, tuple[tuple[int, int], ...]]
"""A function's name, and offset from its start and line of each row."""


def lines_of_functions(data: bytes) -> Counter[FunctionLines]:
    """The lines of all functions of an object; there may be several of one name."""
    obj = read_object(data, "linked.o")
    # A sequence begins with the address of a section, and those are all that is relocated by 64 bits there.
    relocations = sorted(section_of(obj, ".debug_line").relocations, key=lambda relocation: relocation.r_offset)
    starts = [
        relocation.symbol.section
        for relocation in relocations
        if relocation.r_type == RelocationNumber.R_BPF_64_ABS64
    ]
    sequences = _sequences(data)
    assert len(sequences) == len(starts)
    rows: dict[object, list[tuple[int, int]]] = defaultdict(list)
    for sequence, section in zip(sequences, starts, strict=True):
        rows[section] += sequence
    return Counter(
        (symbol.name, _rows_between(rows, symbol.section, symbol.st_value, symbol.st_value + symbol.st_size))
        for symbol in obj.symbols
        if symbol.st_type is SymbolType.FUNC and symbol.is_defined
    )


def _rows_between(
    rows: dict[object, list[tuple[int, int]]], section: object, start: int, end: int
) -> tuple[tuple[int, int], ...]:
    return tuple(sorted((address - start, line) for address, line in rows[section] if start <= address < end))


def _sequences(data: bytes) -> list[list[tuple[int, int]]]:
    dwarf = ELFFile(io.BytesIO(data)).get_dwarf_info()
    sequences: list[list[tuple[int, int]]] = []
    for unit in dwarf.iter_CUs():
        rows: list[tuple[int, int]] = []
        program = dwarf.line_program_for_CU(unit)
        for entry in program.get_entries() if program else ():
            if entry.state is None:
                continue
            if entry.state.end_sequence:
                sequences.append(rows)
                rows = []
            else:
                rows.append((entry.state.address, entry.state.line))
    return sequences
