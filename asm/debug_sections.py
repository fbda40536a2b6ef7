"""Puts line table, unit and call frames of an assembly into their sections, behind what the source gave them."""

from __future__ import annotations

import dataclasses
import posixpath
from typing import TYPE_CHECKING

from bpfas import __version__
from bpfas.asm.assembly import DATA_FIXUPS
from bpfas.asm.call_frame import CallFrameError, advance_location
from bpfas.asm.compile_unit import CodeRange, CodeSymbol, UnitDescription, unit_sections
from bpfas.asm.debug import EH_FRAME
from bpfas.asm.expression import ExpressionError, resolve
from bpfas.asm.fixup import DATA32, DATA64, Fixup, FixupKind
from bpfas.asm.frames import Procedure, frame_bytes
from bpfas.asm.line_table import LineTable, SourceFile, line_bytes
from bpfas.asm.section import LaidOutSection, SectionKey
from bpfas.asm.source_lines import working_directory
from bpfas.asm.symbol import AssemblySymbol
from bpfas.elf.constants import SectionFlag, SymbolBinding, SymbolType

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfas.asm.assembly import Assembly
    from bpfas.asm.call_frame import CallFrame
    from bpfas.asm.line_table import SectionRows, SubsectionRows
    from bpfas.asm.section import SectionBuilder
    from bpfas.asm.source_lines import SourceLines

    LaidOutSections = dict[SectionBuilder, LaidOutSection]
    AddressFields = list[tuple[int, SectionBuilder, int]]


def add_debug_sections(assembly: Assembly, laid_out: LaidOutSections) -> None:
    """Append .debug_line with its strings, what describes the unit, and call frames, as far as they are wanted.

    The line table has the rows of `.loc`; with -g, where there is no `.loc`, one for each instruction. -g
    describes the unit too, unless the source has something in .debug_info, or without `.loc` in .debug_line.
    """
    _DebugSections(assembly, laid_out).add()


class _DebugSections:
    def __init__(self, assembly: Assembly, laid_out: LaidOutSections) -> None:
        self.assembly, self.debug, self.laid_out = assembly, assembly.debug, laid_out

    def add(self) -> None:
        source, lines, rows = self.debug.source_lines, self.debug.lines, self.debug.rows
        if source is None or self._has_contents(".debug_info"):
            self._append_line_table(lines, rows)
        elif rows:
            self._append_unit(lines, rows, _main_path(lines), None)
        elif source.rows and not self._has_contents(".debug_line"):
            self._append_unit(source.table, source.rows, source.name, source)
        self._append_frames()

    def _has_contents(self, name: str) -> bool:
        builder = self.assembly.sections.get(SectionKey(name))
        return builder is not None and builder.size > 0

    def _append_line_table(self, table: LineTable, rows: SubsectionRows) -> int:
        """Append a table to .debug_line, and give the offset where it begins; nothing if it has no files."""
        if not table.files or (rows and self._misses_file(table)):
            return 0
        written = line_bytes(self._remapped(table), _section_rows(rows), self.assembly.order)
        line = self._section(".debug_line")
        strings = self._section(".debug_line_str")
        if written.strings:
            strings.builder.sh_flags, strings.builder.sh_entsize = int(SectionFlag.MERGE | SectionFlag.STRINGS), 1
        string_base = self._append(strings, written.strings, [])
        base = self._append(line, written.line, written.address_fields)
        for at in written.string_fields:
            offset = int.from_bytes(written.line[at : at + 4], self.assembly.order.name_for_int)
            self._refer(line, DATA32, base + at, strings.builder, string_base + offset)
        return base

    def _misses_file(self, table: LineTable) -> bool:
        """Whether a number that no file has is below one that has, which is reported."""
        numbers = enumerate(sorted(number for number in table.files if number), 1)
        for wanted, number in numbers:
            if wanted != number:
                message = f"there is no .file {wanted}, but files are numbered without gaps in a line table"
                self.assembly.diagnostics.error(message, self.debug.file_statements[number].span)
                return True
        return False

    def _remapped(self, table: LineTable) -> LineTable:
        def remapped(file: SourceFile) -> SourceFile:
            return file if file.directory else dataclasses.replace(file, name=self.debug.remapped(file.name))

        first, *others = table.directories
        directories = [first or working_directory(), *others]
        return dataclasses.replace(
            table,
            files={number: remapped(file) for number, file in table.files.items()},
            directories=[self.debug.remapped(directory) for directory in directories],
        )

    def _append_unit(self, table: LineTable, rows: SubsectionRows, name: str, source: SourceLines | None) -> None:
        """Append the line table and what describes the unit; `source` tells where symbols are declared."""
        ranges = [CodeRange(section, 0, section.size) for section in _sections_of(rows)]
        unit = UnitDescription(
            table.version,
            self.debug.remapped(name),
            self.debug.remapped(table.directories[0] or working_directory()),
            f"bpf-as {__version__}",
            ranges,
            list(self._symbols({code.section for code in ranges}, source)),
        )
        bases = {".debug_line": self._append_line_table(table, rows)}
        described = unit_sections(unit, self.assembly.order)
        for made in described:
            bases[made.name] = self._append(self._section(made.name), made.data, made.address_fields)
        for made in described:
            for at, target, offset in made.section_fields:
                builder = self._section(target).builder
                self._refer(
                    self._section(made.name), DATA32, bases[made.name] + at, builder, bases[target] + offset
                )

    def _symbols(
        self, sections: set[SectionBuilder], source: SourceLines | None
    ) -> Iterator[CodeSymbol[SectionBuilder]]:
        for symbol in self.assembly.symbols.symbols.values():
            section = symbol.section
            if section is None or section not in sections or symbol.is_temporary or symbol.definition is None:
                continue
            file, line = source.declaration(symbol.definition) if source else (0, 0)
            is_global = symbol.binding in (SymbolBinding.GLOBAL, SymbolBinding.WEAK)
            yield CodeSymbol(symbol.name, section, symbol.position, _size(symbol), file, line, is_global)

    def _append_frames(self) -> None:
        debug = self.debug
        if debug.open_frame is not None:
            self.assembly.diagnostics.error(".cfi_startproc has no .cfi_endproc", debug.open_frame.statement.span)
        procedures = [self._procedure(frame) for frame in debug.frames]
        for name in debug.frame_sections if procedures else ():
            section = self._section(name)
            section.builder.sh_addralign = max(section.builder.sh_addralign, 8)
            if name == EH_FRAME:
                section.builder.sh_flags |= SectionFlag.ALLOC
            base, order = len(section.data), self.assembly.order
            frames = frame_bytes(name, procedures, base, debug.lines.version, order)
            self._append(section, frames.data, frames.address_fields)
            for at, target in frames.section_fields:
                self._refer(section, DATA32, base + at, section.builder, base + target)
            for at, pointer in frames.pointer_fields:
                kind = DATA_FIXUPS[pointer.width]
                section.fixups.append(Fixup(kind, base + at, pointer.symbol, pointer.statement, pointer.node))
            section.fixups.sort(key=lambda fixup: fixup.offset)

    def _procedure(self, frame: CallFrame) -> Procedure:
        """The frame at its final place.

        What is no whole number of instructions away is reported and left out; an end before the start too, which
        subsections make possible.
        """
        section, end = frame.start.section, frame.end
        assert section is not None
        assert end is not None
        location = frame.start.position
        instructions: list[tuple[int, bytes]] = []
        for place, data, statement in frame.instructions:
            try:
                advance_location(place.position - location, self.assembly.order.value)
            except CallFrameError as error:
                self.assembly.diagnostics.error(str(error), statement.span)
                continue
            location = place.position
            instructions.append((location, data))
        return Procedure(section, frame.start.position, end.position, frame.attributes, instructions)

    # Sections

    def _section(self, name: str) -> LaidOutSection:
        builder = self.assembly.section_named(name)
        return self.laid_out.setdefault(builder, LaidOutSection(builder, bytearray(), 0, []))

    def _append(self, section: LaidOutSection, data: bytearray, address_fields: AddressFields) -> int:
        """Append `data`, whose 8-byte `address_fields` refer to code; the offset where it begins."""
        builder, base = section.builder, len(section.data)
        if builder.is_nobits:
            message = f"section `{builder.name}` is @nobits, so it cannot hold what is made for debuggers"
            self.assembly.diagnostics.error(message, builder.opened_at)
        section.data += data
        for at, code, offset in address_fields:
            self._refer(section, DATA64, base + at, code, offset)
        return base

    def _refer(
        self, section: LaidOutSection, kind: FixupKind, at: int, target: SectionBuilder, offset: int
    ) -> None:
        place = AssemblySymbol("\1debug", target.subsection(0), displacement=offset)
        section.fixups.append(Fixup(kind, at, place, None, None))


def _sections_of(rows: SubsectionRows) -> list[SectionBuilder]:
    return list(dict.fromkeys(subsection.section for subsection in rows))


def _section_rows(rows: SubsectionRows) -> SectionRows:
    """The rows at their final offsets, by section."""
    return {
        section: [
            (subsection.position(offset, after), location)
            for subsection in section.in_order
            for offset, after, location in rows.get(subsection, ())
        ]
        for section in _sections_of(rows)
    }


def _main_path(table: LineTable) -> str:
    """The path of the file that is compiled, by what `.file` has said: file 0, or else the first."""
    file = table.files[min(table.files)]
    return posixpath.join(table.directories[file.directory], file.name) if file.directory else file.name


def _size(symbol: AssemblySymbol) -> int:
    """The size of a function, in bytes; 0 of what is none, or of one whose size is at fault."""
    if symbol.st_type is not SymbolType.FUNC:
        return 0
    try:
        size = resolve(symbol.size)
    except ExpressionError:
        return 0  # reported when the symbol is shown
    return max(size.constant, 0) if size.symbol is None else 0
