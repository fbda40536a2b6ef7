"""Puts the line table and the call frames of an assembly into their sections, behind what the source gave them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpfas.asm.fixup import DATA32, DATA64, Fixup, FixupKind
from bpfas.asm.frames import Procedure, frame_bytes
from bpfas.asm.line_table import line_bytes
from bpfas.asm.section import LaidOutSection
from bpfas.asm.symbol import AssemblySymbol
from bpfas.elf.constants import SectionFlag

if TYPE_CHECKING:
    from bpfas.asm.assembly import Assembly
    from bpfas.asm.debug import DebugInformation
    from bpfas.asm.line_table import SectionRows
    from bpfas.asm.section import SectionBuilder

    LaidOutSections = dict[SectionBuilder, LaidOutSection]


def add_debug_sections(assembly: Assembly, laid_out: LaidOutSections) -> None:
    """Append .debug_line with .debug_line_str, and .debug_frame, where directives have asked for them."""
    debug = assembly.debug
    if debug.open_procedure is not None and debug.open_statement is not None:
        assembly.diagnostics.error(".cfi_startproc has no .cfi_endproc", debug.open_statement.span)
    if missing := _missing_files(debug):
        assert debug.first_statement is not None
        message = f"there is no .file {missing[0]}, but files are numbered without gaps in a line table"
        assembly.diagnostics.error(message, debug.first_statement.span)
        return
    if debug.lines.files:
        written = line_bytes(debug.lines, _section_rows(debug), assembly.order)
        line = _section_named(".debug_line", assembly, laid_out)
        strings = _section_named(".debug_line_str", assembly, laid_out)
        if written.strings:
            strings.builder.sh_flags, strings.builder.sh_entsize = int(SectionFlag.MERGE | SectionFlag.STRINGS), 1
        string_base = len(strings.data)
        strings.data += written.strings
        base = _append(assembly, line, written.line, written.address_fields)
        for at in written.string_fields:
            offset = int.from_bytes(written.line[at : at + 4], assembly.order.name_for_int)
            _refer(assembly, line, DATA32, base + at, strings.builder, string_base + offset)
    if debug.procedures and debug.has_frame_section:
        frames = frame_bytes(_procedures(debug), debug.lines.version, assembly.order)
        section = _section_named(".debug_frame", assembly, laid_out)
        section.builder.sh_addralign = 8
        base = _append(assembly, section, frames.data, frames.address_fields)
        for at in frames.section_fields:
            _refer(assembly, section, DATA32, base + at, section.builder, base)


def _missing_files(debug: DebugInformation) -> list[int]:
    """The numbers that no file has below one that has; only rows make that a fault."""
    if not debug.rows:
        return []
    return [number for number in range(1, max(debug.lines.files)) if number not in debug.lines.files]


def _section_rows(debug: DebugInformation) -> SectionRows:
    """The rows at their final offsets, by section."""
    rows: SectionRows = {}
    for section in dict.fromkeys(subsection.section for subsection in debug.rows):
        rows[section] = [
            (subsection.position(offset, after), location)
            for subsection in section.in_order
            for offset, after, location in debug.rows.get(subsection, ())
        ]
    return rows


def _procedures(debug: DebugInformation) -> list[Procedure]:
    procedures: list[Procedure] = []
    for start, end in debug.procedures:
        assert start.section is not None
        procedures.append(Procedure(start.section, start.position, end.position))
    return procedures


def _section_named(name: str, assembly: Assembly, laid_out: LaidOutSections) -> LaidOutSection:
    builder = assembly.section_named(name)
    return laid_out.setdefault(builder, LaidOutSection(builder, bytearray(), 0, []))


def _append(
    assembly: Assembly,
    section: LaidOutSection,
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
    assembly: Assembly, section: LaidOutSection, kind: FixupKind, at: int, target: SectionBuilder, offset: int
) -> None:
    statement = assembly.debug.first_statement
    assert statement is not None
    place = AssemblySymbol("\1debug", target.subsection(0), displacement=offset)
    section.fixups.append(Fixup(kind, at, place, statement, None))
