"""Directives that put data into the current section: numbers, strings, fillings, alignment."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from bpfas.asm.assembly import Assembly, StatementError, need_arguments
from bpfas.asm.leb128 import signed_leb128, unsigned_leb128
from bpfas.asm.statement import Directive, Expression, Omitted, Statement
from bpfas.elf.constants import MAX_ALIGNMENT

if TYPE_CHECKING:
    from collections.abc import Callable

    Handler = Callable[[Assembly, Directive, Statement], None]

_MAX_POWER = MAX_ALIGNMENT.bit_length() - 1
_JA_0 = bytes((0x05, 0, 0, 0, 0, 0, 0, 0))
"""`ja +0`, which code is padded with: an instruction that does nothing."""


def _numbers(width: int, assembly: Assembly, directive: Directive, statement: Statement) -> None:
    for argument in directive.arguments:
        if not isinstance(argument, Expression):
            raise StatementError(f"{directive.name} takes numbers; for text there is .ascii or .asciz", argument)
        try:
            assembly.append_number(argument, width, statement)
        except StatementError as error:
            # The others may be wrong too.
            assembly.diagnostics.error(str(error), statement.span_of(error.node), error.notes)


def _leb128(
    encode: Callable[[int], bytes], assembly: Assembly, directive: Directive, statement: Statement
) -> None:
    for argument in directive.arguments:
        number = assembly.number(argument, statement, "the value")
        if number < 0 and encode is unsigned_leb128:
            raise StatementError(f"{number} is negative; .sleb128 takes it", argument)
        assembly.append(encode(number))


def _strings(end: bytes, assembly: Assembly, directive: Directive, statement: Statement) -> None:
    # Strings with no comma between them are one string, which ends once.
    for position, argument in enumerate(directive.arguments):
        is_last = position + 1 not in directive.adjacent
        assembly.append(assembly.string(argument, statement) + (end if is_last else b""))


def _space(assembly: Assembly, directive: Directive, statement: Statement) -> None:
    need_arguments(directive, 1, 2)
    count = _count(assembly, directive, statement)
    fill = assembly.number(directive.arguments[1], statement, "the fill byte") if directive.arguments[1:] else 0
    assembly.append_fill(count, bytes((fill & 0xFF,)), directive.arguments[0])


def _fill(assembly: Assembly, directive: Directive, statement: Statement) -> None:
    # .fill repeat, size, value: the value's low four bytes count, the size is at most eight (GNU as manual).
    need_arguments(directive, 1, 3)
    count = _count(assembly, directive, statement)
    rest = directive.arguments[1:]
    size = assembly.number(rest[0], statement, "the size") if rest else 1
    value = assembly.number(rest[1], statement, "the value") if rest[1:] else 0
    if size < 0:
        raise StatementError(f"the size {size} is negative", rest[0])
    size = min(size, 8)
    number = value & (1 << 8 * min(size, 4)) - 1
    assembly.append_fill(count, number.to_bytes(size, assembly.order.name_for_int), directive.arguments[0])


def _count(assembly: Assembly, directive: Directive, statement: Statement) -> int:
    count = assembly.number(directive.arguments[0], statement, "the count")
    if count < 0:
        raise StatementError(f"the count {count} is negative", directive.arguments[0])
    return count


def _align(is_power: bool, width: int, assembly: Assembly, directive: Directive, statement: Statement) -> None:
    need_arguments(directive, 1, 3)
    first, *rest = directive.arguments
    number = assembly.number(first, statement, "the alignment")
    if is_power:
        if not 0 <= number <= _MAX_POWER:
            raise StatementError(
                f"alignment 2^{number} is out of range; the exponent may be 0 to {_MAX_POWER}", first
            )
        alignment = 1 << number
    else:
        if number < 0 or number & number - 1 or number > MAX_ALIGNMENT:
            raise StatementError(f"alignment {number} is not a power of two up to {MAX_ALIGNMENT}", first)
        alignment = number or 1
    section = assembly.section
    section.sh_addralign = max(section.sh_addralign, alignment)
    gap = -section.size % alignment
    if rest[1:] and gap > assembly.number(rest[1], statement, "the greatest gap"):
        return
    if rest and not isinstance(rest[0], Omitted):
        unit = (assembly.number(rest[0], statement, "the fill value") & (1 << 8 * width) - 1).to_bytes(
            width, assembly.order.name_for_int
        )
        assembly.append_fill(gap % width, b"\0", first)
        assembly.append_fill(gap // width, unit, first)
    elif section.is_code and gap % len(_JA_0) == 0:
        assembly.append_fill(gap // len(_JA_0), _JA_0, first)
    else:
        assembly.append_fill(gap, b"\0", first)


def _org(assembly: Assembly, directive: Directive, statement: Statement) -> None:
    need_arguments(directive, 1, 2)
    first = directive.arguments[0]
    target = assembly.offset_in_section(first, statement)
    fill = assembly.number(directive.arguments[1], statement, "the fill byte") if directive.arguments[1:] else 0
    gap = target - assembly.section.size
    if gap < 0:
        raise StatementError(f".org {target} would go back from {assembly.section.size}", first)
    assembly.append_fill(gap, bytes((fill & 0xFF,)), first)


_WIDTHS = {
    ".byte": 1, ".2byte": 2, ".short": 2, ".half": 2, ".hword": 2, ".4byte": 4, ".long": 4, ".int": 4, ".word": 4,
    ".8byte": 8, ".quad": 8, ".dword": 8, ".xword": 8,
}  # fmt: skip
"""Bytes of a datum; .half, .word and .dword are as wide as GNU as has them for BPF."""

STRING_DIRECTIVES: dict[str, Handler] = {
    ".ascii": partial(_strings, b""),
    ".asciz": partial(_strings, b"\0"),
    ".string": partial(_strings, b"\0"),
}

ALIGNMENT_DIRECTIVES: dict[str, Handler] = {
    ".align": partial(_align, True, 1),
    ".p2align": partial(_align, True, 1),
    ".p2alignw": partial(_align, True, 2),
    ".p2alignl": partial(_align, True, 4),
    ".balign": partial(_align, False, 1),
    ".balignw": partial(_align, False, 2),
    ".balignl": partial(_align, False, 4),
}

DATA_DIRECTIVES: dict[str, Handler] = {
    **{name: partial(_numbers, width) for name, width in _WIDTHS.items()},
    **STRING_DIRECTIVES,
    ".uleb128": partial(_leb128, unsigned_leb128),
    ".sleb128": partial(_leb128, signed_leb128),
    ".zero": _space,
    ".skip": _space,
    ".space": _space,
    ".fill": _fill,
    ".org": _org,
    **ALIGNMENT_DIRECTIVES,
}
