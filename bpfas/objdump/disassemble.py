"""An object as assembler source: instructions, data, labels, directives; offsets and bytes stand in comments.

The text assembles to sections with the same bytes, relocations and symbols. Code comes with the data sections that
it refers to, so that it is complete; `everything` adds the others. Exceptions, all of them rare, are in
`bpfas.objdump.operands`; besides, a 32-bit datum that names a *global* symbol gets the type that the assembler
chooses, and a section may gain a local symbol so that it chooses rightly. Where a relocation cannot be written, a
comment beside the bare bits says which. Tables for reading are `bpfas.objdump.report`'s part.
"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING

from bpfas.elf.constants import ByteOrder, SectionFlag, SectionType, SymbolType
from bpfas.helpers import HELPERS_BY_NUMBER
from bpfas.isa import Dialect
from bpfas.objdump.directives import (
    SectionContext,
    data_directives,
    printable,
    quoted,
    section_directives,
    symbol_directives,
)
from bpfas.objdump.labels import Labels, is_named
from bpfas.objdump.operands import plain_text, relocated_text, symbolic_operand
from bpfas.objdump.pieces import Piece, code_pieces, data_width, inside_fields, label_places
from bpfas.objfile import ObjectFile, Section, SpecialSection, Symbol
from bpfas.reloc import RELOCATION_TYPES, RelocationNumber, addend_of, relocation_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bpfas.objfile import Relocation

_COMMENT_COLUMN = 40

_Line = tuple[int, str, str]
"""Offset in bytes, text, comment."""


def disassemble(obj: ObjectFile, dialect: Dialect = Dialect.NORMAL, *, everything: bool = False) -> list[str]:
    """The lines of the object's disassembly, without newlines."""
    return list(_Disassembly(obj, dialect, everything).lines())


class _Disassembly:
    def __init__(self, obj: ObjectFile, dialect: Dialect, everything: bool) -> None:
        self.obj = obj
        self.dialect = dialect
        self.everything = everything
        self.sections = obj.sections if everything else _code_and_what_it_refers_to(obj)
        self.pieces = {s: list(code_pieces(s, obj.byte_order)) for s in obj.sections if s.is_code}
        self._places = {section: label_places(section, pieces) for section, pieces in self.pieces.items()}
        self._inside = {section: inside_fields(section) for section in obj.sections if not section.is_code}
        self.labels = Labels(obj, self.can_label)
        self.symbols: dict[Section, dict[int, list[Symbol]]] = {}
        for symbol in filter(is_named, obj.symbols):
            if isinstance(symbol.section, Section):
                self.symbols.setdefault(symbol.section, {}).setdefault(symbol.st_value, []).append(symbol)

    def can_label(self, section: Section, offset: int) -> bool:
        """Whether a label can stand at `offset` of the section."""
        if section.is_code:
            return offset in self._places[section]
        return 0 <= offset <= section.sh_size and offset not in self._inside[section]

    def lines(self) -> Iterator[str]:
        """The whole text."""
        order, flag = ("little", "-EL") if self.obj.byte_order is ByteOrder.LITTLE else ("big", "-EB")
        yield f"# {printable(self.obj.name)}: BPF object, {order}-endian (to assemble again: {flag})"
        # Every text is made before any is printed: only then all labels are known.
        code = {s: list(self._code(s)) for s in self.sections if s.is_code}
        fields = {s: dict(self._fields(s, s.relocations, s.sh_size)) for s in self.sections if not s.is_code}
        contexts = self._contexts()
        listed = [self.labels.expression(symbol, 0) for symbol in self._address_significant()]
        for symbol in self.labels.renamed:
            if _is_signature_only(symbol):
                continue
            name = self.labels.name_of(symbol)
            yield f"# {name} is {printable(symbol.name)!r}, a name that cannot be written here"
        for symbol in self.obj.symbols:
            if symbol.st_type is SymbolType.FILE:
                yield _indented(f".file {quoted(symbol.name)}")
        for section in self.sections:
            if section.group is not None or section.listed_symbols is not None:
                continue
            yield ""
            yield from (_indented(line) for line in section_directives(section, contexts[section]))
            if section in self.labels.anchors:
                yield f"{self.labels.anchors[section]}:"
            if section.is_code:
                body: Iterable[_Line] = code[section]
            else:
                yield from (f"# {remark}" for remark in _not_written(section.relocations, fields[section]))
                body = self._data(section, 0, section.sh_size, self._label_offsets(section), fields[section])
            yield from self._with_labels(section, body)
        yield from self._symbols_elsewhere()
        if any(section.listed_symbols is not None for section in self.sections):
            yield ""
            yield _indented(".addrsig")
            yield from (_indented(f".addrsig_sym {name}") for name in listed)

    def _contexts(self) -> dict[Section, SectionContext]:
        """What the sections are besides themselves."""
        groups = {
            member: section.group
            for section in self.obj.sections
            if section.group
            for member in section.group.members
        }
        counts: Counter[tuple[object, ...]] = Counter()
        contexts: dict[Section, SectionContext] = {}
        for section in self.obj.sections:
            group, link_order = groups.get(section), section.link_order
            name = None if group is None else self._group_name(group.signature)
            key = (section.name, name, link_order)
            contexts[section] = SectionContext(
                self.labels.local(link_order, 0) if link_order in self.sections else "0",
                name,
                group is not None and group.is_comdat,
                counts[key] or None,
            )
            counts[key] += 1
        return contexts

    def _group_name(self, signature: Symbol) -> str:
        if _is_signature_only(signature):
            return signature.name
        return _shown(signature) if signature.st_type is SymbolType.SECTION else self.labels.name_of(signature)

    def _address_significant(self) -> Iterator[Symbol]:
        """The symbols that .llvm_addrsig lists and that a source can name."""
        for section in self.sections:
            for symbol in section.listed_symbols or ():
                if symbol.st_type is not SymbolType.FILE:
                    yield symbol

    def _label_offsets(self, section: Section) -> set[int]:
        offsets = self.symbols.get(section, {}).keys() | self.labels.generated(section).keys()
        return {offset for offset in offsets if self.can_label(section, offset)}

    def _with_labels(self, section: Section, body: Iterable[_Line]) -> Iterator[str]:
        symbols, generated = self.symbols.get(section, {}), self.labels.generated(section)

        def at(offset: int) -> Iterator[str]:
            for symbol in symbols.get(offset, ()):
                name = self.labels.name_of(symbol)
                yield from (_indented(line) for line in symbol_directives(symbol, name))
                yield f"{name}:"
            if offset in generated:
                yield f"{generated[offset]}:"

        for offset, text, comment in body:
            yield from at(offset)
            yield _indented(text, comment)
        yield from at(section.sh_size)
        for offset, unplaced in symbols.items():
            if not self.can_label(section, offset):
                for symbol in unplaced:
                    name = self.labels.name_of(symbol)
                    yield from (_indented(line) for line in symbol_directives(symbol, name))
                    yield _indented(f".set {name}, . {offset - section.sh_size:+d}")

    def _code(self, section: Section) -> Iterator[_Line]:
        for piece in self.pieces[section]:
            if piece.instruction is None:
                fields = dict(self._fields(section, piece.relocations, piece.offset + piece.size))
                lines = self._data(section, piece.offset, piece.offset + piece.size, set(), fields)
                for number, (offset, text, comment) in enumerate(lines):
                    reasons = [piece.reason, *_not_written(piece.relocations, fields)] if number == 0 else []
                    yield offset, text, " ".join(filter(None, (f"{offset:x}:", *reasons, comment)))
            else:
                text, remark = self._instruction(section, piece)
                data = section.data[piece.offset : piece.offset + piece.size].hex(" ")
                yield piece.offset, text, f"{piece.offset:x}: {data}{remark}"

    def _instruction(self, section: Section, piece: Piece) -> tuple[str, str]:
        """The text of a piece's instruction and what its comment says besides the bytes."""
        instruction = piece.instruction
        assert instruction is not None
        text, remarks = "", ""
        for relocation in piece.relocations:
            symbolic = symbolic_operand(instruction, piece.offset, relocation)
            if symbolic and not text:
                text = relocated_text(instruction, relocation, symbolic, self.labels, self.dialect)
                remarks += f"  {relocation_name(relocation.r_type)} {_shown(relocation.symbol)}"
            else:
                remarks += f"  not written: {relocation_name(relocation.r_type)} {_shown(relocation.symbol)}"
        if not text:
            text = plain_text(instruction, piece.offset, section, self.labels, self.dialect)
            if instruction.opcode.name == "call" and (helper := HELPERS_BY_NUMBER.get(instruction.imm)):
                remarks += f"  {helper.name}"
        return text, remarks

    def _fields(
        self, section: Section, relocations: Iterable[Relocation], end: int
    ) -> Iterator[tuple[int, tuple[str, str]]]:
        """The directive and the comment for each relocated datum before `end`, by offset."""
        free = 0
        for relocation in sorted(relocations, key=lambda relocation: relocation.r_offset):
            width = data_width(relocation)
            if not width or relocation.r_offset < free or relocation.r_offset + width > end:
                continue
            free = relocation.r_offset + width
            row = RELOCATION_TYPES[relocation.r_type]
            addend = addend_of(row, relocation.r_addend, section.data, relocation.r_offset, self.obj.byte_order)
            expression = self.labels.expression(relocation.symbol, addend, temporary=_wants_temporary(relocation))
            if expression.endswith('"'):
                expression = f"({expression})"  # a string alone would be text
            directive = ".quad" if width == 8 else ".long"
            comment = f"{relocation_name(relocation.r_type)} {_shown(relocation.symbol)}"
            yield relocation.r_offset, (f"{directive} {expression}", comment)

    def _data(
        self, section: Section, start: int, end: int, breaks: set[int], fields: dict[int, tuple[str, str]]
    ) -> Iterator[_Line]:
        """The contents from `start` to `end` as data; a line begins at each of `breaks`."""
        widths = {offset: 8 if text.startswith(".quad") else 4 for offset, (text, _) in fields.items()}
        cuts = {start, end} | fields.keys() | {offset + width for offset, width in widths.items()} | breaks
        for at, following in pairwise(sorted(cut for cut in cuts if start <= cut <= end)):
            if at in fields:
                text, comment = fields[at]
                yield at, text, comment
            elif section.sh_type == SectionType.NOBITS:
                yield at, f".zero {following - at}", ""
            else:
                for offset, text in data_directives(bytes(section.data[at:following])):
                    yield at + offset, text, ""

    def _symbols_elsewhere(self) -> Iterator[str]:
        """Symbols that are in no section: undefined, absolute, common."""
        referred = {relocation.symbol for section in self.sections for relocation in section.relocations}
        elsewhere = [
            symbol
            for symbol in filter(is_named, self.obj.symbols)
            if not isinstance(symbol.section, Section) and (self.everything or symbol in referred)
        ]
        if elsewhere:
            yield ""
        for symbol in elsewhere:
            name = self.labels.name_of(symbol)
            yield from (_indented(line) for line in symbol_directives(symbol, name))
            match symbol.section:
                case SpecialSection.ABS:
                    yield _indented(f".set {name}, {symbol.st_value}")
                case SpecialSection.COMMON:
                    yield _indented(f".comm {name},{symbol.st_size},{symbol.st_value}")


def _code_and_what_it_refers_to(obj: ObjectFile) -> list[Section]:
    wanted = {section for section in obj.sections if section.is_code}
    waiting = list(wanted)
    while waiting:
        user = waiting.pop()
        for section in (user.link_order, *(relocation.symbol.section for relocation in user.relocations)):
            if isinstance(section, Section) and section not in wanted:
                wanted.add(section)
                waiting.append(section)
    return [section for section in obj.sections if section in wanted]


def _not_written(relocations: Iterable[Relocation], fields: dict[int, tuple[str, str]]) -> Iterator[str]:
    """What to say of relocations of data for which there is no directive among `fields`."""
    written: set[int] = set()
    for relocation in relocations:
        if relocation.r_offset not in fields or relocation.r_offset in written:
            name = relocation_name(relocation.r_type)
            yield f"not written: {name} at {relocation.r_offset:x} {_shown(relocation.symbol)}"
        written.add(relocation.r_offset)


def _wants_temporary(relocation: Relocation) -> bool | None:
    """Which kind of label makes the assembler choose this type for a 32-bit datum (spec: .long of a symbol)."""
    home = relocation.symbol.section
    if not isinstance(home, Section) or not home.sh_flags & SectionFlag.ALLOC or data_width(relocation) != 4:
        return None
    is_kept = relocation.r_type == RelocationNumber.R_BPF_64_NODYLD32
    if home.sh_flags & SectionFlag.EXECINSTR:
        return is_kept
    return not is_kept if home.sh_flags & SectionFlag.WRITE else None


def _is_signature_only(symbol: Symbol) -> bool:
    """Whether the symbol is nothing but the name of a group."""
    return isinstance(symbol.section, Section) and symbol.section.group is not None


def _shown(symbol: Symbol) -> str:
    home = symbol.section
    name = home.name if symbol.st_type is SymbolType.SECTION and isinstance(home, Section) else symbol.name
    return printable(name)


def _indented(text: str, comment: str = "") -> str:
    return f"    {text:<{_COMMENT_COLUMN - 4}} # {comment}" if comment else f"    {text}"
