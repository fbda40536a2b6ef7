"""Directives that put integers into the current section: data of one to sixteen bytes, and LEB128.

Strings are `bpfas.asm.string_directives`'s part, floating-point numbers `bpfas.asm.float_directives`'s, room and
places `bpfas.asm.layout_directives`'s.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from bpfas.asm.assembly import Assembly, StatementError, need_arguments
from bpfas.asm.expression import ExpressionError, literal
from bpfas.asm.fixup import FixupError, check_number
from bpfas.asm.fragment import FragmentError, Leb128Fragment, WideNumberFragment, checked_size, leb128
from bpfas.asm.statement import Directive, Expression, Statement

if TYPE_CHECKING:
    from collections.abc import Callable

    from bpfas.asm.statement import Argument

    Handler = Callable[[Assembly, Directive, Statement], None]

_ADDRESS_WIDTH = 8
_WIDEST = 16
_LOWEST = -(1 << 63)
"""Negative numbers below go round, except in 128 bits."""


def _numbers(width: int, assembly: Assembly, directive: Directive, statement: Statement) -> None:
    for argument in directive.arguments:
        try:
            _append(assembly, _expression(directive, argument), width, statement)
        except (StatementError, ExpressionError) as error:
            # The others may be wrong too.
            notes = error.notes if isinstance(error, StatementError) else ()
            assembly.diagnostics.error(str(error), statement.span_of(error.node or argument), notes)


def _expression(directive: Directive, argument: Argument) -> Expression:
    if not isinstance(argument, Expression):
        raise StatementError(f"{directive.name} takes numbers; for text there is .ascii or .asciz", argument)
    return argument


def _append(assembly: Assembly, expression: Expression, width: int, statement: Statement) -> None:
    number = literal(expression, statement)
    if number is not None and (number >= _LOWEST or width == _WIDEST):
        try:
            check_number(number, 8 * width)
        except FixupError as error:
            raise StatementError(str(error), expression) from None
        assembly.append((number & (1 << 8 * width) - 1).to_bytes(width, assembly.order.name_for_int))
    elif width < _WIDEST:
        assembly.append_number(expression, width, statement)
    else:
        bound = assembly.binder.bind(expression, statement)
        assembly.place_location()
        assembly.append_fragment(
            WideNumberFragment(
                statement=statement, node=expression, value=bound, width=width, order=assembly.order
            )
        )


def _repeated_number(width: int, assembly: Assembly, directive: Directive, statement: Statement) -> None:
    # .dcb count[, value], which may be an address, unlike a filling's.
    need_arguments(directive, 1, 2)
    first, *rest = directive.arguments
    count = assembly.number(first, statement, "the count")
    if count < 0:
        raise StatementError(f"the count {count} is negative", first)
    if not rest:
        assembly.append_fill(count, bytes(width), first)
        return
    value = _expression(directive, rest[0])
    bound = assembly.bound(value, statement, "the value")
    if isinstance(bound, int):
        try:
            check_number(bound, 8 * width)
        except FixupError as error:
            raise StatementError(str(error), value) from None
        unit = (bound & (1 << 8 * width) - 1).to_bytes(width, assembly.order.name_for_int)
        assembly.append_fill(count, unit, first)
        return
    try:
        checked_size(count * width, assembly.subsection.size, assembly.section)
    except FragmentError as error:
        raise StatementError(str(error), first) from None
    for _ in range(count):
        assembly.append_number(value, width, statement)


def _leb128(is_signed: bool, assembly: Assembly, directive: Directive, statement: Statement) -> None:
    for argument in directive.arguments:
        number = literal(argument, statement)
        bound = assembly.bound(argument, statement, "the value") if number is None else number
        if isinstance(bound, int):
            try:
                assembly.append(leb128(bound, is_signed=is_signed))
            except FragmentError as error:
                raise StatementError(str(error), argument) from None
        else:
            assembly.append_fragment(
                Leb128Fragment(statement=statement, node=argument, value=bound, is_signed=is_signed)
            )


DATUM_WIDTHS = {
    ".byte": 1, ".dc.b": 1,
    ".2byte": 2, ".short": 2, ".half": 2, ".hword": 2, ".value": 2, ".dc": 2, ".dc.w": 2,
    ".4byte": 4, ".long": 4, ".int": 4, ".word": 4, ".dc.l": 4,
    ".8byte": 8, ".quad": 8, ".dword": 8, ".xword": 8, ".dc.a": _ADDRESS_WIDTH,
    ".octa": _WIDEST, ".16byte": _WIDEST,
}  # fmt: skip
"""Bytes of a datum; .half, .word and .dword are as wide as GNU as has them for BPF."""

_REPEATED_WIDTHS = {".dcb": 2, ".dcb.b": 1, ".dcb.w": 2, ".dcb.l": 4}

DATA_DIRECTIVES: dict[str, Handler] = {
    **{name: partial(_numbers, width) for name, width in DATUM_WIDTHS.items()},
    **{name: partial(_repeated_number, width) for name, width in _REPEATED_WIDTHS.items()},
    ".uleb128": partial(_leb128, False),
    ".sleb128": partial(_leb128, True),
}
