"""What a parsed statement is: a template, which many statements share, and the texts that fill its slots.

A slot is a number, a register's number, a name, a string or a character in the text. Statements that differ only
in their slots have the same template; `bpfas.asm.shape` finds the slots, `bpfas.asm.parser` makes the
templates. Nodes refer to slots by index; their values are `bpfas.asm.expression`'s part.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bpfas.asm.shape import slot_positions
from bpfas.diag import Source, Span

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Number:
    """A number or a character constant."""

    slot: int


@dataclass(frozen=True, slots=True)
class Float:
    """A floating-point number, which only some directives take."""

    slot: int


@dataclass(frozen=True, slots=True)
class Constant:
    """A number that the text does not show, such as the offset of `[%r1]`."""

    value: int


@dataclass(frozen=True, slots=True)
class SymbolName:
    """A symbol, or `.` for the place of the statement."""

    slot: int


@dataclass(frozen=True, slots=True)
class LocalReference:
    """A numeric label, `1b` or `1f`: its number, and whether it is looked for forwards; or `1$`, with the sign."""

    slot: int
    is_forward: bool


@dataclass(frozen=True, slots=True)
class Unary:
    """A prefix operator."""

    operator: str
    operand: Expression


@dataclass(frozen=True, slots=True)
class Binary:
    """An infix operator."""

    operator: str
    left: Expression
    right: Expression


def left_spine(expression: Expression) -> tuple[Expression, list[Binary]]:
    """The first operand of a chain such as `a + b - c`, and its operations from left to right.

    What walks over expressions goes along chains in a loop, for they may be long.
    """
    operations: list[Binary] = []
    while isinstance(expression, Binary):
        operations.append(expression)
        expression = expression.left
    return expression, operations[::-1]


Expression = Number | Float | Constant | SymbolName | LocalReference | Unary | Binary


@dataclass(frozen=True, slots=True)
class Register:
    """A register by the slot of its number; `fp` has a number without a slot."""

    slot: int | None
    number: int = 0


@dataclass(frozen=True, slots=True)
class MapReference:
    """`%map(name)`."""

    slot: int


@dataclass(frozen=True, slots=True)
class HelperCall:
    """`name#number`, as the kernel writes a called function."""

    slot: int
    number_slot: int
    is_negative: bool


@dataclass(frozen=True, slots=True)
class String:
    """A string, quotes and escapes as written."""

    slot: int


@dataclass(frozen=True, slots=True)
class ByteInString:
    """`<65>`: the number of a byte of a string."""

    slot: int


@dataclass(frozen=True, slots=True)
class TypeName:
    """`@function`, `%progbits`; the text is without the sign."""

    text: str


@dataclass(frozen=True, slots=True)
class SectionName:
    """The section's name after `.section`, quoted or not."""

    slot: int


@dataclass(frozen=True, slots=True)
class Omitted:
    """Nothing between two commas: an argument left out, as in `.p2align 3,,7`."""


Operand = Register | Expression | MapReference | HelperCall
Argument = Expression | String | ByteInString | TypeName | SectionName | Omitted
Node = Operand | Argument


@dataclass(frozen=True, slots=True)
class Label:
    """A label; a numeric one may be defined many times."""

    slot: int
    is_numeric: bool


@dataclass(frozen=True, slots=True)
class Assignment:
    """`name = expression`."""

    slot: int
    value: Expression


@dataclass(frozen=True, slots=True)
class Directive:
    """A directive by its name, in lower case, and its arguments.

    `adjacent` are the positions of arguments with no comma before them, as in `.ascii "a" "b"`.
    """

    name: str
    arguments: tuple[Argument, ...]
    adjacent: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class InstructionStatement:
    """An instruction by the form of its text (see bpfas.isa) and its operands in the text's order.

    `opcode` is the one that the kernel's text gives before the instruction.
    """

    form: str
    mnemonic: str
    operands: tuple[Operand, ...]
    opcode: int | None = None


@dataclass(frozen=True, slots=True)
class Template:
    """A statement without the texts of its slots."""

    labels: tuple[Label, ...]
    body: Assignment | Directive | InstructionStatement | None


@dataclass(frozen=True, eq=False, slots=True)
class Statement:
    """A template, the texts of its slots, and where in the source the statement stands.

    `text` is the statement's text with blanks in place of comments. `positions` are the slots' places in it where
    a plain parse has found them; the others are found anew when an error asks for them.
    """

    template: Template
    texts: list[str]
    source: Source
    start: int
    text: str
    positions: tuple[tuple[int, int], ...] | None = field(default=None)

    @property
    def span(self) -> Span:
        """The statement without its labels."""
        start = self.start
        if self.template.labels and self.template.body is not None:
            text = self.text
            end_of_label = self._positions()[self.template.labels[-1].slot][1]
            after_colon = text.index(":", end_of_label) + 1
            start += after_colon + len(text[after_colon:]) - len(text[after_colon:].lstrip())
        return Span(self.source, start, self.start + len(self.text))

    def _positions(self) -> Sequence[tuple[int, int]]:
        return slot_positions(self.text) if self.positions is None else self.positions

    def span_of(self, node: Node | Label | Assignment | None) -> Span:
        """The part of the text that `node` stands for; the whole statement where it has no slot."""
        slots = sorted(_slots(node))
        if not slots:
            return self.span
        text, positions = self.text, self._positions()
        start, end = positions[slots[0]][0], positions[slots[-1]][1]
        # A register's slot is its number; a sign before a number belongs to it.
        while start > 0 and text[start - 1] in "rRwW%-+":
            start -= 1
        return Span(self.source, self.start + start, self.start + end)


def _slots(node: Node | Label | Assignment | None) -> list[int]:
    match node:
        case Unary(_, operand):
            return _slots(operand)
        case Binary():
            first, operations = left_spine(node)
            return [
                slot for part in (first, *(operation.right for operation in operations)) for slot in _slots(part)
            ]
        case None | Constant() | TypeName() | Omitted() | Register(slot=None):
            return []
        case Register(int(slot)) | Assignment(slot=slot):
            return [slot]
        case HelperCall(slot, number_slot):
            return [slot, number_slot]
        case Label() | MapReference() | String() | ByteInString() | SectionName():
            return [node.slot]
        case Number() | Float() | SymbolName() | LocalReference():
            return [node.slot]
    raise TypeError(node)
