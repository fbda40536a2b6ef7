"""Directives that put floating-point numbers into the current section."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from bpfas.asm.assembly import Assembly, StatementError, need_arguments
from bpfas.asm.floating_point import DOUBLE, SINGLE, FloatError, FloatFormat, parse_float
from bpfas.asm.statement import Directive, Float, Number, Statement, SymbolName, Unary

if TYPE_CHECKING:
    from bpfas.asm.data_directives import Handler
    from bpfas.asm.statement import Argument


def _floats(form: FloatFormat, assembly: Assembly, directive: Directive, statement: Statement) -> None:
    for argument in directive.arguments:
        try:
            assembly.append(_encoded(form, assembly, argument, statement))
        except StatementError as error:
            # The others may be wrong too.
            assembly.diagnostics.error(str(error), statement.span_of(error.node), error.notes)


def _repeated_float(form: FloatFormat, assembly: Assembly, directive: Directive, statement: Statement) -> None:
    # .dcb.d count[, value]
    need_arguments(directive, 1, 2)
    first, *rest = directive.arguments
    count = assembly.number(first, statement, "the count")
    if count < 0:
        raise StatementError(f"the count {count} is negative", first)
    unit = _encoded(form, assembly, rest[0], statement) if rest else bytes(form.width)
    assembly.append_fill(count, unit, first)


def _encoded(form: FloatFormat, assembly: Assembly, argument: Argument, statement: Statement) -> bytes:
    is_negative, node = False, argument
    if isinstance(node, Unary) and node.operator == "-":
        is_negative, node = True, node.operand
    if not isinstance(node, Number | Float | SymbolName):
        raise StatementError("a floating-point number is needed here, such as 1.5, 0x1.8p3 or inf", argument)
    text = statement.texts[node.slot]
    bits = form.special_bits(text)
    if bits is None:
        try:
            is_negative_after_prefix, magnitude = parse_float(text)
        except FloatError as error:
            raise StatementError(str(error), argument) from None
        bits = form.bits(magnitude)
        is_negative ^= is_negative_after_prefix
        if bits == form.infinity or (magnitude and not bits):
            assembly.diagnostics.warning(
                f"{text} becomes {'infinite' if bits else 'zero'}; {8 * form.width} bits hold {form.bounds}",
                statement.span_of(argument),
            )
    if is_negative:
        bits |= form.sign
    return bits.to_bytes(form.width, assembly.order.name_for_int)


FLOAT_DIRECTIVES: dict[str, Handler] = {
    ".float": partial(_floats, SINGLE),
    ".single": partial(_floats, SINGLE),
    ".dc.s": partial(_floats, SINGLE),
    ".dcb.s": partial(_repeated_float, SINGLE),
    ".double": partial(_floats, DOUBLE),
    ".dc.d": partial(_floats, DOUBLE),
    ".dcb.d": partial(_repeated_float, DOUBLE),
}
