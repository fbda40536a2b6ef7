"""What a line of a large source comes to, learnt from the first line of its kind and used for all others.

A line's *outline* is its text with every run of digits (or 0x… number) taken for one 0, and nothing between
quotes. Lines of one outline differ in runs and strings only, so one parse tells where each run goes: into which
bits of the line's bytes, or into a name. `bpfas.asm.batch` finds outlines and runs with numpy and computes the
bytes of many lines at once.

Not every line can be learnt: what has several statements, computed operands, or a directive that does more than
put numbers, a symbol or a string into the section is left to the plain way, and so is every line whose learning
finds anything unusual. What is learnt must give the same object as the plain way; a property test holds the two
together.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bpfas.asm.assembly import DATA_FIXUPS
from bpfas.asm.data_directives import DATUM_WIDTHS
from bpfas.asm.expression import ExpressionError
from bpfas.asm.input_directives import INPUT_DIRECTIVES
from bpfas.asm.instruction import Encoder, OperandError, symbolic_row
from bpfas.asm.shape import RESERVED_WORDS, slot_positions
from bpfas.asm.statement import (
    Assignment,
    Constant,
    Directive,
    InstructionStatement,
    Label,
    LocalReference,
    MapReference,
    Node,
    Number,
    Register,
    Statement,
    String,
    SymbolName,
    Template,
    Unary,
)
from bpfas.asm.string_directives import STRING_ENDS
from bpfas.diag import BpfasError, Source
from bpfas.elf.constants import ByteOrder
from bpfas.isa import OPERAND_KINDS, OperandKind

if TYPE_CHECKING:
    from bpfas.asm.fixup import FixupKind
    from bpfas.asm.parser import StatementParser
    from bpfas.asm.statement import Argument

RUN = re.compile(r"(?<![\w.$])0[xX][0-9a-fA-F]+|[0-9]+")
"""A run, as `bpfas.asm.batch` finds it too."""

GUARD_BITS = 12
GUARDS_AT_MOST = 5
SLOTS_AT_MOST = 32
FIELDS_AT_MOST = 4
MAX_SIZE = 16

FIELD_PLACES: dict[ByteOrder, dict[str, tuple[int, int]]] = {
    ByteOrder.LITTLE: {
        "opcode": (0, 8), "dst": (8, 4), "src": (12, 4), "off": (16, 16),
        "imm": (32, 32), "imm_low": (32, 16), "imm_high": (48, 16),
    },
    ByteOrder.BIG: {
        "opcode": (56, 8), "dst": (52, 4), "src": (48, 4), "off": (32, 16),
        "imm": (0, 32), "imm_low": (0, 16), "imm_high": (16, 16),
    },
}  # fmt: skip
"""Where each field lies in the 64-bit word of an instruction slot, and its width, in bits."""

_OUTLINES_OF_WORDS = frozenset(RUN.sub("0", word) for word in RESERVED_WORDS if RUN.search(word))


@dataclass(frozen=True, slots=True)
class NameText:
    """A name in a line: a text that is always the same, or one with runs `first` to `last` in it.

    `before` and `after` are the characters before the first run and behind the last.
    """

    constant: str | None
    first: int = 0
    last: int = 0
    before: int = 0
    after: int = 0


@dataclass(frozen=True, slots=True)
class FieldRun:
    """A run whose number, times `sign`, goes into `width` bits of a line's bytes, if it is in `low` to `high`.

    They are bits of the 64-bit word number `word` of the line, from `shift` on; there go the bits of the number
    from `skip` on.
    """

    run: int
    sign: int
    low: int
    high: int
    word: int
    shift: int
    width: int
    skip: int = 0


@dataclass(frozen=True, slots=True)
class SymbolUse:
    """An operand with a symbol. A numeric label's name is its number."""

    kind: FixupKind
    name: NameText
    node: Node
    local: LocalReference | None


@dataclass(frozen=True, slots=True)
class BatchTemplate:
    """What lines of one outline (and the same guard numbers) come to: a label, bytes, or both.

    `size` bytes, at most 16, are those of `words`, each in the object's byte order, with the numbers of `runs` in
    them; runs in `equal_runs` must have the same number. A `string_end` stands behind the bytes of a string. With
    `slots`, the lines are statements to be carried out one by one, with these texts for the slots of `template`.
    """

    template: Template
    label: NameText | None = None
    label_is_numeric: bool = False
    size: int = 0
    words: tuple[int, int] = (0, 0)
    runs: tuple[FieldRun, ...] = ()
    equal_runs: tuple[tuple[int, int], ...] = ()
    symbol: SymbolUse | None = None
    string_end: bytes | None = None
    slots: tuple[NameText, ...] | None = None


class _NotLearnable(Exception):
    """The line goes the plain way."""


def learn(text: str, parser: StatementParser, encoder: Encoder) -> tuple[tuple[int, ...], BatchTemplate | None]:
    """The guards of the outline of `text`, a line without blanks around it, and the line's template.

    The template is None, without guards, where the line goes the plain way.
    """
    try:
        return _Learner(text, parser, encoder).learn()
    except (_NotLearnable, BpfasError, OperandError, ExpressionError):
        return (), None


class _Learner:
    """Learns from one line."""

    def __init__(self, text: str, parser: StatementParser, encoder: Encoder) -> None:
        self.slots = slot_positions(text)
        if len(self.slots) > SLOTS_AT_MOST:
            raise _NotLearnable
        self.statement: Statement = parser.parse(text, Source("", text), 0)
        if isinstance(self.statement.template.body, Assignment):
            raise _NotLearnable
        self.text = text
        self.encoder = encoder
        self.places = FIELD_PLACES[encoder.order]
        if [text[start:end] for start, end in self.slots] != self.statement.texts:
            raise _NotLearnable
        self.runs = [match.span() for match in RUN.finditer(text)]
        self.guards = {
            index
            for index, (start, end) in enumerate(self.runs)
            if not any(first <= start and end <= last for first, last in self.slots)
        }

    def learn(self) -> tuple[tuple[int, ...], BatchTemplate]:
        template = self.statement.template
        match template:
            case Template((), InstructionStatement() as body):
                result = self._instruction(template, body)
            case Template((label,), None):
                result = self._with_label(BatchTemplate(template), label)
            case Template((label,), InstructionStatement() as body):
                result = self._with_label(self._instruction(template, body), label)
            case Template((), Directive() as directive):
                result = self._directive(template, directive)
            case _:
                raise _NotLearnable
        if len(self.guards) > GUARDS_AT_MOST:
            raise _NotLearnable
        return tuple(sorted(self.guards)), result

    def _with_label(self, batch: BatchTemplate, label: Label) -> BatchTemplate:
        name = self._name(label.slot)
        is_ambiguous = label.is_numeric and batch.symbol is not None and batch.symbol.local is not None
        if (not label.is_numeric and name.constant == ".") or is_ambiguous:
            raise _NotLearnable
        return dataclasses.replace(batch, label=name, label_is_numeric=label.is_numeric)

    def _instruction(self, template: Template, body: InstructionStatement) -> BatchTemplate:
        if body.opcode is not None:
            raise _NotLearnable
        candidate = self.encoder.choose(self.statement, body)
        row = candidate.row
        constants: dict[str, int] = {}
        runs: dict[str, int] = {}
        fields: list[FieldRun] = []
        equal_runs: list[tuple[int, int]] = []
        symbol: SymbolUse | None = None
        for node, operand in zip(body.operands, candidate.operands, strict=True):
            if operand.name is None:
                self._guard(node)
                continue
            kind = OPERAND_KINDS[operand.name]
            if isinstance(node, SymbolName | LocalReference | MapReference):
                row, fixup_kind = symbolic_row(row, operand.name, node)
                if symbol is not None:
                    raise _NotLearnable
                symbol = self._symbol(node, fixup_kind)
                continue
            run, sign, constant = self._number(node)
            if run is None:
                if constants.setdefault(kind.field, constant) != constant or not kind.accepts(constant):
                    raise _NotLearnable
            elif kind.field in runs:
                equal_runs.append((runs[kind.field], run))
            else:
                runs[kind.field] = run
                fields += self._field_runs(kind, run, sign, is_wide=row.is_wide)
        if runs.keys() & constants.keys() or len(fields) > FIELDS_AT_MOST or len(equal_runs) > 1:
            raise _NotLearnable
        word = row.code << self.places["opcode"][0]
        for name, value in {**constants, **row.fixed}.items():
            shift, width = self.places[name]
            word |= (value & (1 << width) - 1) << shift
        high = constants.get("imm", 0) >> 32 & 0xFFFFFFFF if row.is_wide else 0
        return BatchTemplate(
            template,
            size=row.size,
            words=(word, high << self.places["imm"][0]),
            runs=tuple(fields),
            equal_runs=tuple(equal_runs),
            symbol=symbol,
        )

    def _field_runs(self, kind: OperandKind, run: int, sign: int, *, is_wide: bool) -> list[FieldRun]:
        """Where the number of a run goes in an instruction: in two pieces, if it is a 64-bit immediate."""
        shift, width = self.places[kind.field]
        bounds = kind.low, max(kind.high, kind.unsigned_high)
        pieces = [FieldRun(run, sign, *bounds, 0, shift, width)]
        if is_wide and kind.field == "imm":
            pieces.append(FieldRun(run, sign, *bounds, 1, shift, width, skip=32))
        return pieces

    def _directive(self, template: Template, directive: Directive) -> BatchTemplate:
        """Directives that put numbers, one symbol or one string into the section."""
        arguments = directive.arguments
        if directive.name in STRING_ENDS and len(arguments) == 1 and isinstance(arguments[0], String):
            return BatchTemplate(template, string_end=STRING_ENDS[directive.name])
        if directive.name in DATUM_WIDTHS and not directive.adjacent:
            with contextlib.suppress(_NotLearnable):
                return self._data(template, arguments, DATUM_WIDTHS[directive.name])
        if directive.name in (".uleb128", ".sleb128") and len(arguments) == 1:
            with contextlib.suppress(_NotLearnable):
                return self._leb128(template, arguments[0], is_signed=directive.name == ".sleb128")
        return self._statement(template, directive)

    def _leb128(self, template: Template, argument: Argument, *, is_signed: bool) -> BatchTemplate:
        """A number of one byte, as most are; the others go the plain way."""
        run, sign, _ = self._operand_number(argument)
        if run is None:
            raise _NotLearnable
        bounds = (-0x40, 0x3F) if is_signed else (0, 0x7F)
        field = FieldRun(run, sign, *bounds, 0, self._shift_of_datum(0, 1), 7)
        return BatchTemplate(template, size=1, runs=(field,))

    def _statement(self, template: Template, directive: Directive) -> BatchTemplate:
        """A directive that has to be carried out line by line, though not parsed again."""
        # What begins with a name, `x == 7`, may also call a macro.
        if directive.name in INPUT_DIRECTIVES or not self.text.startswith("."):
            raise _NotLearnable
        return BatchTemplate(template, slots=tuple(map(self._slot_text, range(len(self.statement.texts)))))

    def _slot_text(self, slot: int) -> NameText:
        text = self.statement.texts[slot]
        if text.startswith('"'):
            raise _NotLearnable
        if text[0].isdigit():
            self._run_of(slot)  # a number such as 0b1 has the outline of 0b2, which is none
        return NameText(".") if text == "." else self._name(slot, is_number=text[0].isdigit())

    def _data(self, template: Template, arguments: tuple[Argument, ...], width: int) -> BatchTemplate:
        if width * len(arguments) > MAX_SIZE or len(arguments) > FIELDS_AT_MOST or width not in DATA_FIXUPS:
            raise _NotLearnable
        match arguments:
            case (SymbolName() as node,):
                return BatchTemplate(template, size=width, symbol=self._symbol(node, DATA_FIXUPS[width]))
        fields: list[FieldRun] = []
        for index, argument in enumerate(arguments):
            run, sign, _ = self._operand_number(argument)
            if run is None:
                raise _NotLearnable
            word, at = divmod(index * width, 8)
            shift = self._shift_of_datum(at, width)
            bits = 8 * width
            fields.append(FieldRun(run, sign, -(1 << bits - 1), (1 << bits) - 1, word, shift, bits))
        return BatchTemplate(template, size=width * len(arguments), runs=tuple(fields))

    def _operand_number(self, argument: Argument) -> tuple[int | None, int, int]:
        if isinstance(argument, Number | Unary):
            return self._number(argument)
        raise _NotLearnable

    def _shift_of_datum(self, at: int, width: int) -> int:
        """Where in its 64-bit word a datum lies that is `at` bytes from the word's start."""
        return 8 * at if self.encoder.order is ByteOrder.LITTLE else 8 * (8 - at - width)

    def _symbol(self, node: SymbolName | LocalReference | MapReference, kind: FixupKind) -> SymbolUse:
        if node.slot >= len(self.slots):
            raise _NotLearnable
        local = node if isinstance(node, LocalReference) else None
        return SymbolUse(kind, self._name(node.slot, is_number=local is not None), node, local)

    def _guard(self, node: Node) -> None:
        """Have the run of an operand that chooses the row guard the template."""
        run, sign, _ = self._number(node)
        if run is not None:
            if sign < 0:
                raise _NotLearnable
            self.guards.add(run)

    def _number(self, node: Node) -> tuple[int | None, int, int]:
        """The run and the sign of an operand that is a number, or None and the number."""
        match node:
            case Register(None, number):
                return None, 1, number
            case Constant(value):
                return None, 1, value
            case Register(int(slot)) | Number(slot):
                return self._run_of(slot), 1, 0
            case Unary("-", Number(slot)):
                return self._run_of(slot), -1, 0
        raise _NotLearnable

    def _run_of(self, slot: int) -> int:
        """The run that is the whole of a slot."""
        try:
            return self.runs.index(self.slots[slot])
        except ValueError:
            raise _NotLearnable from None

    def _name(self, slot: int, *, is_number: bool = False) -> NameText:
        start, end = self.slots[slot]
        text = self.text[start:end]
        if text[0] == '"':
            raise _NotLearnable  # what is between quotes is no part of the outline
        inner = [index for index, (first, last) in enumerate(self.runs) if start <= first and last <= end]
        if not is_number and (text == "." or RUN.sub("0", text.lower()) in _OUTLINES_OF_WORDS):
            raise _NotLearnable
        if not inner:
            return NameText(text)
        first, last = inner[0], inner[-1]
        return NameText(None, first, last, self.runs[first][0] - start, end - self.runs[last][1])
