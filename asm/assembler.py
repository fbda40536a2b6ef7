"""The assembler: source texts to an object file.

Statements come one after the other from `bpfas.asm.reader` and change an `Assembly`; errors are collected, and a
statement with one changes nothing more. The object is made at the end by `bpfas.asm.output`.
"""

from __future__ import annotations

import contextlib
import enum
import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bpfas.asm.assembly import Assembly, StatementError
from bpfas.asm.data_directives import DATA_DIRECTIVES
from bpfas.asm.debug_directives import DEBUG_DIRECTIVES, MARK_LABELS
from bpfas.asm.expression import ExpressionError
from bpfas.asm.feed import EndOfReading
from bpfas.asm.files import SourceFiles
from bpfas.asm.fixup import JUMP16
from bpfas.asm.float_directives import FLOAT_DIRECTIVES
from bpfas.asm.frame_directives import FRAME_DIRECTIVES
from bpfas.asm.input_directives import INPUT_DIRECTIVES
from bpfas.asm.instruction import Encoder, OperandError, nearest
from bpfas.asm.layout_directives import ALIGNMENT_DIRECTIVES, LAYOUT_DIRECTIVES
from bpfas.asm.listing import ListingRecord
from bpfas.asm.listing_directives import LISTING_DIRECTIVES
from bpfas.asm.listing_text import listing_text
from bpfas.asm.message_directives import MESSAGE_DIRECTIVES
from bpfas.asm.note_directives import NOTE_DIRECTIVES
from bpfas.asm.output import make_object
from bpfas.asm.parser import StatementParser
from bpfas.asm.reader import Reader
from bpfas.asm.relocation_directives import RELOCATION_DIRECTIVES
from bpfas.asm.section_directives import SECTION_DIRECTIVES
from bpfas.asm.statement import Argument, Assignment, Directive, InstructionStatement, Omitted, Statement
from bpfas.asm.string_directives import BYTES_DIRECTIVES, STRING_DIRECTIVES
from bpfas.asm.symbol_directives import SYMBOL_DIRECTIVES
from bpfas.asm.symbol_versions import VERSION_DIRECTIVES
from bpfas.diag import BpfasError, Diagnostic, Source
from bpfas.elf.constants import ByteOrder
from bpfas.isa import Dialect, IsaVersion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from bpfas.asm.listing_options import ListingOptions
    from bpfas.objfile import ObjectFile

BATCH_THRESHOLD = 1 << 18
"""Characters of a source from which on it is read in batches."""


class Reading(enum.Enum):
    """How sources are read. All ways give the same object and the same errors."""

    PLAIN = "every statement is parsed by Lark: the reference for the others"
    SHAPES = "Lark parses every shape of statement once"
    BATCHES = "long runs of instructions are encoded together"
    BEST = "by shapes or in batches, by the size of the source"


MAY_OMIT_ARGUMENTS = frozenset((*ALIGNMENT_DIRECTIVES, ".incbin"))
"""Directives with arguments that may be left out between two commas."""

MAY_OMIT_COMMAS = frozenset(
    (*STRING_DIRECTIVES, ".type", ".file", ".ident", ".loc", ".linefile", ".comm", ".common", ".lcomm")
)
"""Directives with arguments that need no comma between them."""

DIRECTIVES = {
    **BYTES_DIRECTIVES,
    **DATA_DIRECTIVES,
    **DEBUG_DIRECTIVES,
    **LISTING_DIRECTIVES,
    **FLOAT_DIRECTIVES,
    **LAYOUT_DIRECTIVES,
    **FRAME_DIRECTIVES,
    **MESSAGE_DIRECTIVES,
    **RELOCATION_DIRECTIVES,
    **NOTE_DIRECTIVES,
    **SECTION_DIRECTIVES,
    **STRING_DIRECTIVES,
    **SYMBOL_DIRECTIVES,
    **VERSION_DIRECTIVES,
}
"""What each directive does, by name."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line can choose.

    `dialect` restricts instructions to one way to write them, `isa` to those of a version. `relax` says whether
    jumps that do not reach are lengthened, which takes instructions of v4. `include_directories` are where
    `.include` and `.incbin` look for files, `symbols` are defined before the first source is read, `print_line` is
    what `.print` does.

    With a `debug_version`, that of DWARF, 2 to 5, the source is described for debuggers (-g); `debug_prefixes` are
    beginnings of paths there, each with what it is replaced by. `keeps_local_labels`
    puts `.L…` into the symbol table, `strips_local_absolute` takes names of numbers out of it. With
    `checks_sizes` a size that is no number is an error, otherwise a warning. `substitutes_section_names`: `%S` in
    the name of a section stands for the current one's. `alternate_macros`: reading begins in `.altmacro`. With
    `listing` there is a listing; then no source is read in batches.
    """

    byte_order: ByteOrder = ByteOrder.LITTLE
    dialect: Dialect | None = None
    isa: IsaVersion = IsaVersion.XBPF
    reading: Reading = Reading.BEST
    relax: bool = True
    include_directories: tuple[str, ...] = ()
    symbols: tuple[tuple[str, int], ...] = ()
    print_line: Callable[[str], None] = print
    debug_version: int | None = None
    debug_prefixes: tuple[tuple[str, str], ...] = ()
    keeps_local_labels: bool = False
    strips_local_absolute: bool = False
    checks_sizes: bool = True
    substitutes_section_names: bool = False
    alternate_macros: bool = False
    listing: ListingOptions | None = None


class Assembler:
    """Carries out statements on an assembly."""

    def __init__(self, options: Options) -> None:
        self.options = options
        lengthens_jumps = options.relax and options.isa >= IsaVersion.V4
        self.assembly = Assembly(
            options.byte_order,
            lengthens_jumps=lengthens_jumps,
            files=SourceFiles(options.include_directories),
            print_line=options.print_line,
            keeps_local_labels=options.keeps_local_labels,
            strips_local_absolute=options.strips_local_absolute,
            checks_sizes=options.checks_sizes,
            substitutes_section_names=options.substitutes_section_names,
            listing=ListingRecord() if options.listing is not None else None,
        )
        for name, value in options.symbols:
            self.assembly.symbols.named(name).expression = value
        self.directives = DIRECTIVES
        self.parser = StatementParser(plainly=options.reading is Reading.PLAIN)
        self.reader = Reader(self)
        self.reader.set_alternate(options.alternate_macros)

    def is_read_in_batches(self, text: str) -> bool:
        """Whether `text`, which has no comments, shall be read in batches.

        There neither instructions nor labels get rows in the line table of themselves, nor is anything listed.
        """
        if self.assembly.listing is not None or self.options.debug_version is not None:
            return False
        if self.assembly.debug.marks_labels or MARK_LABELS in text:
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
            fixup.may_be_lengthened = fixup.kind is JUMP16 and assembly.lengthens_jumps
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
                raise _missing_comma(argument, statement)
        handler(self.assembly, directive, statement)


_LONGEST_NUMBER = 80
"""Characters in front of an argument that are looked at for a number that it is a part of."""

_WORD_END = re.compile(r"[\w.$]*\Z")


def _missing_comma(argument: Argument, statement: Statement) -> StatementError:
    """What is wrong where two arguments have no comma between them, be they only one word that is none."""
    span = statement.span_of(argument)
    text = span.source.text
    before = _WORD_END.search(text, max(0, span.start - _LONGEST_NUMBER), span.start)
    if before and before[0] and text[span.start : span.end].isidentifier():
        return StatementError(
            f"`{before[0]}{text[span.start : span.end]}` is neither a number nor a name", argument
        )
    return StatementError("a comma is missing before this argument", argument)


@dataclass(frozen=True, slots=True)
class Assembled:
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
