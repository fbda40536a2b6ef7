"""Puts the line table and the call frames of an assembly into their sections, as its last contents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpfas.asm.fixup import DATA32, DATA64, Fixup, FixupKind
from bpfas.asm.frames import frame_bytes
from bpfas.asm.line_table import LineTable, line_bytes
from bpfas.asm.symbol import AssemblySymbol
from bpfas.elf.constants import SectionFlag

if TYPE_CHECKING:
    from bpfas.asm.assembly import Assembly
    from bpfas.asm.section import SectionBuilder


def add_debug_sections(assembly: Assembly) -> None:
    """Append .debug_line with .debug_line_str, and .debug_frame, where directives have asked for them."""
    debug = assembly.debug
    if debug.open_procedure is not None and debug.open_statement is not None:
        assembly.diagnostics.error(".cfi_startproc has no .cfi_endproc", debug.open_statement.span)
    if missing := _missing_files(debug.lines):
        assert debug.first_statement is not None
        message = f"there is no .file {missing[0]}, but files are numbered without gaps in a line table"
        assembly.diagnostics.error(message, debug.first_statement.span)
        return
    if debug.lines.files:
        written = line_bytes(debug.lines, assembly.order)
        line = assembly.section_named(".debug_line")
        strings = assembly.section_named(".debug_line_str")
        if written.strings:
            strings.sh_flags, strings.sh_entsize = int(SectionFlag.MERGE | SectionFlag.STRINGS), 1
        string_base = len(strings.data)
        strings.data += written.strings
        base = _append(assembly, line, written.line, written.address_fields)
        for at in written.string_fields:
            offset = int.from_bytes(written.line[at : at + 4], assembly.order.name_for_int)
            _refer(assembly, line, DATA32, base + at, strings, string_base + offset)
    if debug.procedures and debug.has_frame_section:
        frames = frame_bytes(debug.procedures, debug.lines.version, assembly.order)
        section = assembly.section_named(".debug_frame")
        section.sh_addralign = 8
        base = _append(assembly, section, frames.data, frames.address_fields)
        for at in frames.section_fields:
            _refer(assembly, section, DATA32, base + at, section, base)


def _missing_files(lines: LineTable) -> list[int]:
    """The numbers that no file has below one that has; only rows make that a fault."""
    if not lines.rows:
        return []
    return [number for number in range(1, max(lines.files)) if number not in lines.files]


def _append(
    assembly: Assembly,
    section: SectionBuilder,
    data: bytearray,
    address_fields: list[tuple[int, SectionBuilder, int]],
) -> int:
    """Append `data`, whose 8-byte `address_fields` refer to code; the offset where it begins."""
    base = len(section.data)
    section.data += data
    for at, code, offset in address_fields:
        _refer(assembly, section, DATA64, base + at, code, offset)
    return base


def _refer(
    assembly: Assembly, section: SectionBuilder, kind: FixupKind, at: int, target: SectionBuilder, offset: int
) -> None:
    statement = assembly.debug.first_statement
    assert statement is not None
    place = AssemblySymbol("\1debug", target, offset)
    section.fixups.append(Fixup(kind, at, place, statement, None))
