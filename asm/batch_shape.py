"""What a line of a large source comes to, learnt from the first line of its kind and used for all others.

A line's *outline* is its text with every run of digits (or 0x… number) taken for one 0. Lines of one outline
differ in runs only, so one parse tells where each run goes: into which field of which instruction, or into a name.
`bpfas.asm.batch` finds outlines and runs with numpy and fills the fields of many lines at once.

Not every line can be learnt: what has strings, several statements, directives or computed operands is left to the
plain way, and so is every line whose learning finds anything unusual. What is learnt must give the same object
as the plain way; a property test holds the two together.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bpfas.asm.expression import ExpressionError
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
    SymbolName,
    Template,
    Unary,
)
from bpfas.diag import BpfasError, Source
from bpfas.isa import OPERAND_KINDS, Opcode, OperandKind

if TYPE_CHECKING:
    from bpfas.asm.fixup import FixupKind
    from bpfas.asm.parser import StatementParser

RUN = re.compile(r"(?<![\w.$])0[xX][0-9a-fA-F]+|[0-9]+")
"""A run, as `bpfas.asm.batch` finds it too."""

GUARD_BITS = 12
GUARDS_AT_MOST = 5

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
    """A run whose number, times `sign`, is the operand of `kind`."""

    kind: OperandKind
    run: int
    sign: int


@dataclass(frozen=True, slots=True)
class SymbolUse:
    """An operand with a symbol. A numeric label's name is its number."""

    kind: FixupKind
    name: NameText
    node: Node
    local: LocalReference | None


@dataclass(frozen=True, slots=True)
class BatchTemplate:
    """What lines of one outline (and the same guard numbers) come to: a label, an instruction, or both.

    `constants` are the fields that are the same in all of them; runs in `equal_runs` must have the same number.
    """

    template: Template
    label: NameText | None = None
    label_is_numeric: bool = False
    row: Opcode | None = None
    constants: dict[str, int] = field(default_factory=dict)
    runs: tuple[FieldRun, ...] = ()
    equal_runs: tuple[tuple[int, int], ...] = ()
    symbol: SymbolUse | None = None


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
        self.statement: Statement = parser.parse(text, Source("", text), 0)
        if isinstance(self.statement.template.body, Directive | Assignment):
            raise _NotLearnable
        self.text = text
        self.encoder = encoder
        self.slots = slot_positions(text)
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
        runs: dict[str, FieldRun] = {}
        equal_runs: list[tuple[int, int]] = []
        symbol: SymbolUse | None = None
        for node, operand in zip(body.operands, candidate.operands, strict=True):
            if operand.name is None:
                self._guard(node)
                continue
            kind = OPERAND_KINDS[operand.name]
            if isinstance(node, SymbolName | LocalReference | MapReference):
                row, fixup_kind = symbolic_row(row, operand.name, node)
                if symbol is not None or node.slot >= len(self.slots):
                    raise _NotLearnable
                local = node if isinstance(node, LocalReference) else None
                symbol = SymbolUse(fixup_kind, self._name(node.slot, is_number=local is not None), node, local)
                continue
            run, sign, constant = self._number(node)
            if run is None:
                if constants.setdefault(kind.field, constant) != constant or not kind.accepts(constant):
                    raise _NotLearnable
            elif kind.field in runs:
                equal_runs.append((runs[kind.field].run, run))
            else:
                runs[kind.field] = FieldRun(kind, run, sign)
        if runs.keys() & constants.keys():
            raise _NotLearnable
        return BatchTemplate(
            template,
            row=row,
            constants=constants,
            runs=tuple(runs.values()),
            equal_runs=tuple(equal_runs),
            symbol=symbol,
        )

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
        inner = [index for index, (first, last) in enumerate(self.runs) if start <= first and last <= end]
        if not is_number and (text == "." or RUN.sub("0", text.lower()) in _OUTLINES_OF_WORDS):
            raise _NotLearnable
        if not inner:
            return NameText(text)
        first, last = inner[0], inner[-1]
        return NameText(None, first, last, self.runs[first][0] - start, end - self.runs[last][1])
