"""Directives that put data into the current section: numbers, strings, fillings, alignment."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from bpfas.asm.assembly import Assembly, StatementError, need_arguments
from bpfas.asm.fragment import AlignFragment, FillFragment, Leb128Fragment, OrgFragment
from bpfas.asm.statement import Directive, Expression, Omitted, Statement
from bpfas.elf.constants import MAX_ALIGNMENT
from bpfas.leb128 import signed_leb128, unsigned_leb128

if TYPE_CHECKING:
    from collections.abc import Callable

    from bpfas.asm.statement import Node

    Handler = Callable[[Assembly, Directive, Statement], None]

_MAX_POWER = MAX_ALIGNMENT.bit_length() - 1


def _numbers(width: int, assembly: Assembly, directive: Directive, statement: Statement) -> None:
    for argument in directive.arguments:
        if not isinstance(argument, Expression):
            raise StatementError(f"{directive.name} takes numbers; for text there is .ascii or .asciz", argument)
        try:
            assembly.append_number(argument, width, statement)
        except StatementError as error:
            # The others may be wrong too.
            assembly.diagnostics.error(str(error), statement.span_of(error.node), error.notes)


def _leb128(is_signed: bool, assembly: Assembly, directive: Directive, statement: Statement) -> None:
    for argument in directive.arguments:
        bound = assembly.bound(argument, statement, "the value")
        if isinstance(bound, int):
            if bound < 0 and not is_signed:
                raise StatementError(f"{bound} is negative; .sleb128 takes it", argument)
            assembly.append(signed_leb128(bound) if is_signed else unsigned_leb128(bound))
        else:
            assembly.append_fragment(
                Leb128Fragment(
                    section=assembly.section,
                    start=assembly.subsection.size,
                    statement=statement,
                    node=argument,
                    value=bound,
                    is_signed=is_signed,
                )
            )


def _strings(end: bytes, assembly: Assembly, directive: Directive, statement: Statement) -> None:
    # Strings with no comma between them are one string, which ends once.
    for position, argument in enumerate(directive.arguments):
        is_last = position + 1 not in directive.adjacent
        assembly.append(assembly.string(argument, statement) + (end if is_last else b""))


def _space(assembly: Assembly, directive: Directive, statement: Statement) -> None:
    need_arguments(directive, 1, 2)
    fill = assembly.number(directive.arguments[1], statement, "the fill byte") if directive.arguments[1:] else 0
    _repeat(bytes((fill & 0xFF,)), assembly, directive, statement)


def _fill(assembly: Assembly, directive: Directive, statement: Statement) -> None:
    # .fill repeat, size, value: the value's low four bytes count, the size is at most eight (GNU as manual).
    need_arguments(directive, 1, 3)
    rest = directive.arguments[1:]
    size = assembly.number(rest[0], statement, "the size") if rest else 1
    value = assembly.number(rest[1], statement, "the value") if rest[1:] else 0
    if size < 0:
        raise StatementError(f"the size {size} is negative", rest[0])
    size = min(size, 8)
    number = value & (1 << 8 * min(size, 4)) - 1
    _repeat(number.to_bytes(size, assembly.order.name_for_int), assembly, directive, statement)


def _repeat(unit: bytes, assembly: Assembly, directive: Directive, statement: Statement) -> None:
    """Put `unit` as often as the first argument says, which may be found out later."""
    argument = directive.arguments[0]
    count = assembly.bound(argument, statement, "the count")
    if isinstance(count, int):
        if count < 0:
            raise StatementError(f"the count {count} is negative", argument)
        assembly.append_fill(count, unit, argument)
    else:
        assembly.append_fragment(
            FillFragment(
                section=assembly.section,
                start=assembly.subsection.size,
                statement=statement,
                node=argument,
                count=count,
                unit=unit,
            )
        )


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
    unit = None
    if rest and not isinstance(rest[0], Omitted):
        value = assembly.number(rest[0], statement, "the fill value")
        unit = (value & (1 << 8 * width) - 1).to_bytes(width, assembly.order.name_for_int)
    most = assembly.number(rest[1], statement, "the greatest gap") if rest[1:] else None
    append_alignment(assembly, statement, first, alignment, unit, most)


def append_alignment(
    assembly: Assembly,
    statement: Statement,
    node: Node | None,
    alignment: int,
    unit: bytes | None = None,
    most: int | None = None,
) -> None:
    """Align the end of the current section; the arguments are those of `AlignFragment`."""
    section = assembly.section
    section.sh_addralign = max(section.sh_addralign, alignment)
    assembly.append_fragment(
        AlignFragment(
            section=section,
            start=assembly.subsection.size,
            statement=statement,
            node=node,
            alignment=alignment,
            unit=unit,
            most=most,
        )
    )


def _org(assembly: Assembly, directive: Directive, statement: Statement) -> None:
    need_arguments(directive, 1, 2)
    first = directive.arguments[0]
    fill = assembly.number(directive.arguments[1], statement, "the fill byte") if directive.arguments[1:] else 0
    assembly.append_fragment(
        OrgFragment(
            section=assembly.section,
            start=assembly.subsection.size,
            statement=statement,
            node=first,
            target=assembly.bound(first, statement, "the offset"),
            unit=bytes((fill & 0xFF,)),
        )
    )


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
    ".uleb128": partial(_leb128, False),
    ".sleb128": partial(_leb128, True),
    ".zero": _space,
    ".skip": _space,
    ".space": _space,
    ".fill": _fill,
    ".org": _org,
    **ALIGNMENT_DIRECTIVES,
}
