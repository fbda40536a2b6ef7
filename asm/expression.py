"""The values of expressions: bound to symbols where they stand, resolved when all symbols are known.

Binding folds what is known at once; what is left is a tree of operations over symbols. Resolving gives a number,
or a symbol plus a number for a relocation to express. Arithmetic has 64 bits and goes round (GNU as, LLVM).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from bpfas.asm.statement import (
    Binary,
    ByteInString,
    Constant,
    Expression,
    Float,
    LocalReference,
    Number,
    Statement,
    SymbolName,
    Unary,
    left_spine,
)
from bpfas.asm.strings import character_value, name_text
from bpfas.asm.symbol import AssemblySymbol, SymbolTable, display_name, here

if TYPE_CHECKING:
    from collections.abc import Callable

    from bpfas.asm.section import Subsection
    from bpfas.asm.statement import Node

_MASK = (1 << 64) - 1


class ExpressionError(ValueError):
    """An expression that has no value, with the reason; `node` is the part at fault, if it is known."""

    def __init__(self, message: str, node: Node | None = None) -> None:
        super().__init__(message)
        self.node = node


@dataclass(frozen=True, slots=True)
class Operation:
    """An operator over operands that are not all known yet."""

    operator: str
    operands: tuple[Bound, ...]


Bound = int | AssemblySymbol | Operation


class Value(NamedTuple):
    """`symbol` plus `constant`; a plain number where `symbol` is None."""

    symbol: AssemblySymbol | None
    constant: int


_LONGEST_NUMBER = 1000
"""Characters of a number; Python converts no more than 4,300 digits."""


def parse_number(text: str) -> int:
    """The number that `text` spells: decimal, 0x…, 0b…, octal with a leading 0, or a character.

    Raises ExpressionError with the reason.
    """
    if text[0] == "'":
        return character_value(text)
    if len(text) > _LONGEST_NUMBER:
        raise ExpressionError(f"a number may have {_LONGEST_NUMBER} characters, not {len(text)}")
    try:
        if len(text) > 1 and text[0] == "0" and text[1] not in "xXbB":
            return int(text, 8)
        return int(text, 0)
    except ValueError:
        if not text.isdecimal():
            raise ExpressionError(f"`{text}` is no number") from None
        raise ExpressionError(f"{text} is octal because of its leading 0, but has a digit above 7") from None


def literal(node: Node, statement: Statement) -> int | None:
    """The number, of any size, that a number perhaps with minus signs spells; None for other expressions.

    Raises ExpressionError.
    """
    match node:
        case Number(slot) | ByteInString(slot):
            try:
                return parse_number(statement.texts[slot])
            except ExpressionError as error:
                raise ExpressionError(str(error), node) from None
        case Unary("-", operand):
            number = literal(operand, statement)
            return None if number is None else -number
    return None


def _signed(value: int) -> int:
    """The low 64 bits of `value` as a signed number."""
    return (value + (1 << 63) & _MASK) - (1 << 63)


def _bits(value: int) -> int:
    """`value`, or where 64 bits do not hold it, its low ones."""
    return value if -(1 << 63) <= value <= _MASK else _signed(value)


def _truncating_division(left: int, right: int) -> int:
    left, right = _signed(left), _signed(right)
    if right == 0:
        raise ExpressionError("division by zero")
    quotient = abs(left) // abs(right)
    return quotient if (left < 0) == (right < 0) else -quotient


def _shift(left: int, right: int) -> int:
    if not 0 <= right < 64:
        raise ExpressionError(f"shift by {right}; 64-bit numbers shift by 0 to 63")
    return _signed(left << right)


_BINARY: dict[str, Callable[[int, int], int]] = {
    "+": lambda left, right: _bits(left + right),
    "-": lambda left, right: _bits(left - right),
    "*": lambda left, right: _bits(left * right),
    "/": _truncating_division,
    "%": lambda left, right: _signed(left) - _signed(right) * _truncating_division(left, right),
    "<<": _shift,
    ">>": lambda left, right: (left & _MASK) >> right if 0 <= right < 64 else _shift(left, right),
    "|": lambda left, right: _bits(left | right),
    "&": lambda left, right: left & right,
    "^": lambda left, right: _bits(left ^ right),
    "!": lambda left, right: _bits(left | ~right),
    "==": lambda left, right: -(_signed(left) == _signed(right)),
    "!=": lambda left, right: -(_signed(left) != _signed(right)),
    "<>": lambda left, right: -(_signed(left) != _signed(right)),
    "<": lambda left, right: -(_signed(left) < _signed(right)),
    ">": lambda left, right: -(_signed(left) > _signed(right)),
    "<=": lambda left, right: -(_signed(left) <= _signed(right)),
    ">=": lambda left, right: -(_signed(left) >= _signed(right)),
    "&&": lambda left, right: int(bool(left) and bool(right)),
    "||": lambda left, right: int(bool(left) or bool(right)),
}
"""Infix operators; a true comparison is -1, as in GNU as."""

_UNARY: dict[str, Callable[[int], int]] = {
    "-": lambda operand: _bits(-operand),
    "~": lambda operand: _bits(~operand),
    "!": lambda operand: int(not operand),
}


def _in_range(value: int) -> int:
    """`value`, unless no 64 bits, signed or unsigned, hold it."""
    if not -(1 << 63) <= value <= _MASK:
        raise ExpressionError(f"{value} does not fit in 64 bits")
    return value


@dataclass(frozen=True, eq=False, slots=True)
class Binder:
    """Binds expressions of statements that stand at the end of `subsection`.

    `expanded` are the symbols of `.eqv` whose expressions it has bound, or is binding (None), to bind one of them.
    """

    symbols: SymbolTable
    subsection: Subsection
    expanded: dict[AssemblySymbol, Bound | None] | None = None

    def bind(self, expression: Expression, statement: Statement) -> Bound:
        """The expression with its numbers and symbols in place. Raises ExpressionError."""
        match expression:
            case Number(slot):
                try:
                    return _in_range(parse_number(statement.texts[slot]))
                except ExpressionError as error:
                    raise ExpressionError(str(error), expression) from None
            case Float(slot):
                text = statement.texts[slot]
                raise ExpressionError(f"{text} is a floating-point number; .double and .float take it", expression)
            case Constant(value):
                return value
            case SymbolName(slot):
                return self._symbol(statement.texts[slot], expression)
            case LocalReference(slot, is_forward):
                number = statement.texts[slot]
                symbol = self.symbols.numeric(number, is_forward=is_forward)
                if symbol is None:
                    raise ExpressionError(f"there is no label `{number}:` before this", expression)
                return symbol
            case Unary(operator, operand):
                return self._operation(operator, (self.bind(operand, statement),), expression)
            case Binary():
                first, operations = left_spine(expression)
                bound = self.bind(first, statement)
                for operation in operations:
                    operands = (bound, self.bind(operation.right, statement))
                    bound = self._operation(operation.operator, operands, operation)
                return bound

    def _symbol(self, name: str, node: Expression) -> Bound:
        if name == ".":
            return here(self.subsection)
        try:
            symbol = self.symbols.named(name_text(name))
        except ValueError as error:
            raise ExpressionError(str(error), node) from None
        if symbol.evaluated_at_use is not None:
            try:
                return self._evaluated_here(symbol)
            except ExpressionError as error:
                raise ExpressionError(str(error), node) from None
        # A symbol that is a number now may be set to another one later; this use means the present one.
        return symbol.expression if isinstance(symbol.expression, int) else symbol

    def _evaluated_here(self, symbol: AssemblySymbol) -> Bound:
        """What the expression of `.eqv` means at this place."""
        assert symbol.evaluated_at_use is not None
        expanded = {} if self.expanded is None else self.expanded
        if len(expanded) > _DEEPEST:
            raise ExpressionError(f"more than {_DEEPEST} symbols are defined by one another")
        if symbol not in expanded:
            expanded[symbol] = None
            bound = dataclasses.replace(self, expanded=expanded).bind(*symbol.evaluated_at_use)
            # As a symbol it is resolved once, however often it is used.
            is_tree = isinstance(bound, Operation)
            expanded[symbol] = AssemblySymbol(f"\1{symbol.name}", expression=bound) if is_tree else bound
        found = expanded[symbol]
        if found is None:
            raise ExpressionError(f"symbol `{symbol.name}` is defined by itself")
        return found

    def _operation(self, operator: str, operands: tuple[Bound, ...], node: Expression) -> Bound:
        try:
            return _fold(operator, operands)
        except ExpressionError as error:
            raise ExpressionError(str(error), error.node or node) from None


def _fold(operator: str, operands: tuple[Bound, ...]) -> Bound:
    match operands:
        case (int(operand),):
            return _UNARY[operator](operand)
        case (int(left), int(right)):
            return _BINARY[operator](left, right)
    return Operation(operator, operands)


def resolve(bound: Bound) -> Value:
    """The value of a bound expression with what is known of its symbols now.

    A defined symbol that the expression ends up with is given as itself; its place is for the caller to use.
    Raises ExpressionError where the value is neither a number nor a symbol plus a number.
    """
    # A symbol and the distance of two places are what nearly all are.
    match bound:
        case AssemblySymbol(expression=None):
            return Value(bound, 0)
        case Operation(
            "-", (AssemblySymbol(expression=None) as left, AssemblySymbol(expression=None) as right)
        ) if left.section is right.section is not None:
            return Value(None, left.position - right.position)
    return bound_value(bound, {}, 0)


_DEEPEST = 250
"""Levels of operators and of symbols set to others that `resolve` goes down."""


def bound_value(bound: Bound, known: dict[AssemblySymbol, Value | None], depth: int) -> Value:
    """`resolve`, with the values of symbols that are known already; None for those on the way down to here."""
    if depth > _DEEPEST:
        raise ExpressionError(f"the expression is nested more than {_DEEPEST} levels deep")
    match bound:
        case int():
            return Value(None, bound)
        case AssemblySymbol():
            if bound.expression is None:
                return Value(bound, 0)
            if bound in known:
                value = known[bound]
                if value is None:
                    raise ExpressionError(_cycle(bound, known))
                return value
            known[bound] = None
            value = known[bound] = bound_value(bound.expression, known, depth + 1)
            return value
        case Operation(operator, (operand,)):
            return _apply(operator, [bound_value(operand, known, depth + 1)])
        case Operation():
            chain: list[Operation] = []
            first: Bound = bound
            while isinstance(first, Operation) and len(first.operands) == 2:
                chain.append(first)
                first = first.operands[0]
            value = bound_value(first, known, depth + 1)
            for operation in reversed(chain):
                value = _apply(operation.operator, [value, bound_value(operation.operands[1], known, depth + 1)])
            return value
    raise TypeError(bound)


def _cycle(symbol: AssemblySymbol, known: dict[AssemblySymbol, Value | None]) -> str:
    """Says that `symbol` is defined by itself, and by way of which others."""
    on_the_way = [display_name(other) for other, value in known.items() if value is None]
    names = on_the_way[on_the_way.index(display_name(symbol)) :]
    message = f"symbol `{names[0]}` is defined by itself"
    return f"{message}: {' -> '.join((*names, names[0]))}" if names[1:] else message


def _apply(operator: str, values: list[Value]) -> Value:
    match values:
        case [Value(None, operand)]:
            return Value(None, _UNARY[operator](operand))
        case [Value(None, left), Value(None, right)]:
            return Value(None, _BINARY[operator](left, right))
        case [Value(AssemblySymbol() as symbol, left), Value(None, right)] if operator in "+-":
            return Value(symbol, _BINARY[operator](left, right))
        case [Value(None, left), Value(AssemblySymbol() as symbol, right)] if operator == "+":
            return Value(symbol, _BINARY[operator](left, right))
        case [Value(AssemblySymbol() as first, left), Value(AssemblySymbol() as second, right)]:
            if operator in _DISTANCE_OPERATORS:
                if first is second:
                    return Value(None, _BINARY[operator](left, right))
                if first.section is not None and first.section is second.section:
                    return Value(None, _BINARY[operator](first.position + left, second.position + right))
            names = f"`{display_name(first)}` and `{display_name(second)}`"
            raise ExpressionError(
                f"`{operator}` of {names}, which are not both defined in one section, has no value before linking"
            )
    name = next(f"`{display_name(value.symbol)}`" for value in values if value.symbol)
    raise ExpressionError(f"`{operator}` needs numbers, but the address of {name} is not known before linking")


_DISTANCE_OPERATORS = ("-", "==", "!=", "<>", "<", ">", "<=", ">=")
