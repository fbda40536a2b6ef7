"""The assembler: source texts to an object file.

Statements are read one after the other and change an `Assembly`; errors are collected, and a statement with one
changes nothing more. Long runs of instructions go through `bpfas.asm.batch`, which does the same faster. The
object is made at the end by `bpfas.asm.output`.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bpfas.asm.assembly import Assembly, StatementError
from bpfas.asm.data_directives import ALIGNMENT_DIRECTIVES, DATA_DIRECTIVES, STRING_DIRECTIVES
from bpfas.asm.debug_directives import DEBUG_DIRECTIVES
from bpfas.asm.expression import ExpressionError
from bpfas.asm.fixup import JUMP16
from bpfas.asm.instruction import Encoder, OperandError, nearest
from bpfas.asm.output import make_object
from bpfas.asm.parser import StatementParser
from bpfas.asm.section_directives import SECTION_DIRECTIVES
from bpfas.asm.source import blank_comments, statement_places
from bpfas.asm.statement import Assignment, Directive, InstructionStatement, Omitted, Statement
from bpfas.asm.symbol_directives import SYMBOL_DIRECTIVES
from bpfas.diag import BpfasError, Source
from bpfas.elf.constants import ByteOrder
from bpfas.isa import Dialect, IsaVersion

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bpfas.objfile import ObjectFile

BATCH_THRESHOLD = 1 << 18
"""Characters of a source from which on it is read in batches."""


class Reading(enum.Enum):
    """How sources are read. All ways give the same object and the same errors."""

    PLAIN = "every statement is parsed by Lark: the reference for the others"
    SHAPES = "Lark parses every shape of statement once"
    BATCHES = "long runs of instructions are encoded together"
    BEST = "by shapes or in batches, by the size of the source"


MAY_OMIT_ARGUMENTS = frozenset(ALIGNMENT_DIRECTIVES)
"""Directives with arguments that may be left out between two commas."""

MAY_OMIT_COMMAS = frozenset((*STRING_DIRECTIVES, ".type", ".file", ".ident", ".loc"))
"""Directives with arguments that need no comma between them."""

DIRECTIVES = {**DATA_DIRECTIVES, **DEBUG_DIRECTIVES, **SECTION_DIRECTIVES, **SYMBOL_DIRECTIVES}
"""What each directive does, by name."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line can choose.

    `dialect` restricts instructions to one way to write them, `isa` to those of a version. `relax` says whether
    jumps that do not reach are lengthened, which takes instructions of v4.
    """

    byte_order: ByteOrder = ByteOrder.LITTLE
    dialect: Dialect | None = None
    isa: IsaVersion = IsaVersion.XBPF
    reading: Reading = Reading.BEST
    relax: bool = True


class Assembler:
    """Carries out statements on an assembly."""

    def __init__(self, options: Options) -> None:
        self.options = options
        lengthens_jumps = options.relax and options.isa >= IsaVersion.V4
        self.assembly = Assembly(options.byte_order, lengthens_jumps=lengthens_jumps)
        self.parser = StatementParser(plainly=options.reading is Reading.PLAIN)

    def read(self, source: Source) -> None:
        """Carry out all statements of `source`; what is wrong goes to the assembly's diagnostics."""
        text = blank_comments(source, self.assembly.diagnostics)
        if self._is_read_in_batches(text):
            # numpy takes a tenth of a second to import, which only a large source is worth.
            from bpfas.asm.batch import BatchReader

            BatchReader(self, source, text).read()
        else:
            self.read_lines(source, text, 0, len(text))

    def _is_read_in_batches(self, text: str) -> bool:
        match self.options.reading:
            case Reading.BATCHES:
                return text.isascii()
            case Reading.BEST:
                return len(text) > BATCH_THRESHOLD and text.isascii()
        return False

    def read_lines(self, source: Source, blanked: str, start: int, end: int) -> None:
        """Carry out the statements at `start` to `end` of `source`; `blanked` is its text without comments."""
        for first, last in statement_places(blanked, start, end):
            try:
                statement = self.parser.parse(blanked[first:last], source, first)
            except BpfasError as error:
                self.assembly.diagnostics.items.extend(error.diagnostics)
            else:
                self.carry_out(statement)

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
        assembly.append(data)
        assembly.subsection.fixups.extend(fixups)

    def _directive(self, directive: Directive, statement: Statement) -> None:
        handler = DIRECTIVES.get(directive.name)
        if handler is None:
            raise StatementError(f"unknown directive `{directive.name}`{nearest(directive.name, DIRECTIVES)}")
        for position, argument in enumerate(directive.arguments):
            if isinstance(argument, Omitted) and directive.name not in MAY_OMIT_ARGUMENTS:
                raise StatementError(f"argument {position + 1} of {directive.name} is missing")
            if position in directive.adjacent and directive.name not in MAY_OMIT_COMMAS:
                raise StatementError("a comma is missing before this argument", argument)
        handler(self.assembly, directive, statement)


def assemble_sources(sources: Sequence[Source], name: str, options: Options) -> ObjectFile:
    """Assemble sources, one after the other as if they were one text, to the object called `name`.

    Raises BpfasError with all that is wrong with them.
    """
    assembler = Assembler(options)
    for source in sources:
        assembler.read(source)
    return make_object(assembler.assembly, name)


def assemble(
    text: str,
    name: str = "<string>",
    byte_order: ByteOrder = ByteOrder.LITTLE,
    *,
    reading: Reading = Reading.BEST,
) -> ObjectFile:
    """Assemble a text, which messages call `name`, to an object file. Raises BpfasError."""
    return assemble_sources([Source(name, text)], name, Options(byte_order, reading=reading))
