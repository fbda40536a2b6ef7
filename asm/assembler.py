"""The assembler: source texts to an object file.

Statements come one after the other from `bpfas.asm.reader` and change an `Assembly`; errors are collected, and a
statement with one changes nothing more. The object is made at the end by `bpfas.asm.output`.
"""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, NamedTuple

from bpfas.asm.assembly import Assembly, StatementError
from bpfas.asm.data_directives import DATA_DIRECTIVES
from bpfas.asm.expression import ExpressionError
from bpfas.asm.feed import EndOfReading
from bpfas.asm.fixup import JUMP16
from bpfas.asm.input_directives import INPUT_DIRECTIVES
from bpfas.asm.instruction import Encoder, OperandError, nearest
from bpfas.asm.layout_directives import ALIGNMENT_DIRECTIVES, LAYOUT_DIRECTIVES
from bpfas.asm.on_demand import on_demand
from bpfas.asm.options import Options, Reading
from bpfas.asm.output import make_object
from bpfas.asm.parser import StatementParser, malformed_number
from bpfas.asm.reader import Reader
from bpfas.asm.section_directives import SECTION_DIRECTIVES
from bpfas.asm.statement import Assignment, Directive, InstructionStatement, Omitted, Statement
from bpfas.asm.string_directives import BYTES_DIRECTIVES, STRING_DIRECTIVES
from bpfas.asm.symbol_directives import SYMBOL_DIRECTIVES
from bpfas.diag import BpfasError, Diagnostic, Source
from bpfas.elf.constants import ByteOrder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bpfas.objfile import ObjectFile

BATCH_THRESHOLD = 1 << 18
"""Characters of a source from which on it is read in batches."""


MAY_OMIT_ARGUMENTS = frozenset((*ALIGNMENT_DIRECTIVES, ".incbin"))
"""Directives with arguments that may be left out between two commas."""

MAY_OMIT_COMMAS = frozenset(
    (*STRING_DIRECTIVES, ".type", ".file", ".ident", ".loc", ".linefile", ".comm", ".common", ".lcomm")
)
"""Directives with arguments that need no comma between them."""

DIRECTIVES = {
    **BYTES_DIRECTIVES,
    **DATA_DIRECTIVES,
    **LAYOUT_DIRECTIVES,
    **SECTION_DIRECTIVES,
    **STRING_DIRECTIVES,
    **SYMBOL_DIRECTIVES,
    **on_demand("debug_directives", "DEBUG_DIRECTIVES", ".file .loc .loc_mark_labels .line .linefile"),
    **on_demand("listing_directives", "LISTING_DIRECTIVES", ".list .nolist .eject .title .sbttl .psize"),
    **on_demand("float_directives", "FLOAT_DIRECTIVES", ".float .single .dc.s .dcb.s .double .dc.d .dcb.d"),
    **on_demand(
        "frame_directives",
        "FRAME_DIRECTIVES",
        """
        .cfi_sections .cfi_startproc .cfi_endproc .cfi_def_cfa .cfi_def_cfa_offset .cfi_def_cfa_register
        .cfi_adjust_cfa_offset .cfi_offset .cfi_rel_offset .cfi_val_offset .cfi_register .cfi_restore
        .cfi_undefined .cfi_same_value .cfi_remember_state .cfi_restore_state .cfi_escape .cfi_signal_frame
        .cfi_return_column .cfi_personality .cfi_lsda
        """,
    ),
    **on_demand("message_directives", "MESSAGE_DIRECTIVES", ".err .error .warning .print"),
    **on_demand("relocation_directives", "RELOCATION_DIRECTIVES", ".reloc"),
    **on_demand("note_directives", "NOTE_DIRECTIVES", ".ident .version"),
    **on_demand("symbol_versions", "VERSION_DIRECTIVES", ".symver"),
}
"""What each directive does, by name."""


class Assembler:
    """Carries out statements on an assembly."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.assembly = Assembly(options)
        if options.listing is not None:
            from bpfas.asm.listing import ListingRecord

            self.assembly.listing = ListingRecord()
        for name, value in options.symbols:
            self.assembly.symbols.named(name).expression = value
        self.directives = DIRECTIVES
        self.parser = StatementParser(options.template_cache, plainly=options.reading is Reading.PLAIN)
        self.reader = Reader(self)
        self.reader.set_alternate(options.alternate_macros)

    def is_read_in_batches(self, text: str) -> bool:
        """Whether `text`, which has no comments, shall be read in batches.

        There neither instructions nor labels get rows in the line table of themselves, nor is anything listed.
        """
        if self.assembly.listing is not None or self.options.debug_version is not None:
            return False
        match self.options.reading:
            case Reading.BATCHES:
                return text.isascii()
            case Reading.BEST:
                return len(text) > BATCH_THRESHOLD and text.isascii()
        return False

    def carry_out(self, statement: Statement) -> None:
        """Carry out one statement."""
        diagnostics = self.assembly.diagnostics
        try:
            for label in statement.template.labels:
                self.assembly.define_label(label, statement)
            match statement.template.body:
                case InstructionStatement() as body:
                    self._instruction(body, statement)
                case Directive() as directive:
                    self._directive(directive, statement)
                case Assignment(slot, value) if statement.texts[slot] == ".":
                    self._directive(Directive(".org", (value,)), statement)
                case Assignment(slot, value) as assignment:
                    symbol = self.assembly.symbols.named(statement.texts[slot])
                    bound = self.assembly.binder.bind(value, statement)
                    self.assembly.set_expression(symbol, bound, statement.span_of(assignment))
        except StatementError as error:
            diagnostics.error(str(error), statement.span_of(error.node), error.notes)
        except (OperandError, ExpressionError) as error:
            diagnostics.error(str(error), statement.span_of(error.node))

    @property
    def encoder(self) -> Encoder:
        """Encodes instructions for the end of the current section."""
        options = self.options
        return Encoder(self.assembly.binder, self.assembly.order, options.dialect, options.isa)

    def _instruction(self, body: InstructionStatement, statement: Statement) -> None:
        assembly = self.assembly
        data, fixups = self.encoder.encode(statement, body)
        for fixup in fixups:
            fixup.may_be_lengthened = fixup.kind is JUMP16 and self.options.lengthens_jumps
        assembly.place_source_line(statement)
        assembly.append(data)
        assembly.subsection.fixups.extend(fixups)

    def _directive(self, directive: Directive, statement: Statement) -> None:
        handler = DIRECTIVES.get(directive.name)
        if handler is None:
            known = (*DIRECTIVES, *INPUT_DIRECTIVES)
            raise StatementError(f"unknown directive `{directive.name}`{nearest(directive.name, known)}")
        for position, argument in enumerate(directive.arguments):
            if isinstance(argument, Omitted) and directive.name not in MAY_OMIT_ARGUMENTS:
                raise StatementError(f"argument {position + 1} of {directive.name} is missing")
            if position in directive.adjacent and directive.name not in MAY_OMIT_COMMAS:
                at = statement.span_of(argument)
                number = malformed_number(at.source.text, at.start)
                why = f"`{number}` is no number" if number else "a comma is missing before this argument"
                raise StatementError(why, argument)
        handler(self.assembly, directive, statement)


class Assembled(NamedTuple):
    """What assembling gives: the object, warnings, the files that were read besides the sources, the listing."""

    object_file: ObjectFile
    warnings: list[Diagnostic]
    dependencies: list[str]
    listing: str | None = None


_DEEPEST_RECURSION = 10_000
"""Calls within one another that suffice for the deepest expansions with the deepest expressions in them."""


@contextlib.contextmanager
def _deep_recursion() -> Iterator[None]:
    """Let calls nest as deep as sources may, whose own limits are then the ones that are reported."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, _DEEPEST_RECURSION))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


@_deep_recursion()
def assemble_sources(sources: Sequence[Source], name: str, options: Options) -> Assembled:
    """Assemble sources, one after the other as if they were one text, to the object called `name`.

    Raises BpfasError with all that is wrong with them.
    """
    assembler = Assembler(options)
    assembly = assembler.assembly
    if options.debug_version is not None and sources:
        assembly.debug.describe_source(sources[0], options.debug_version, options.debug_prefixes)
    try:
        for source in sources:
            assembler.reader.read_file(source)
    except EndOfReading:
        raise BpfasError(assembly.diagnostics.in_source_order()) from None
    object_file = make_object(assembly, name)
    listing = None
    if assembly.listing is not None and options.listing is not None:
        from bpfas.asm.listing_text import listing_text

        listing = listing_text(assembly.listing, object_file, assembly.symbols, options.listing)
    return Assembled(object_file, assembly.diagnostics.in_source_order(), assembly.files.dependencies, listing)


def assemble(
    text: str,
    name: str = "<string>",
    byte_order: ByteOrder = ByteOrder.LITTLE,
    *,
    reading: Reading = Reading.BEST,
) -> ObjectFile:
    """Assemble a text, which messages call `name`, to an object file. Raises BpfasError."""
    return assemble_sources([Source(name, text)], name, Options(byte_order, reading=reading)).object_file
