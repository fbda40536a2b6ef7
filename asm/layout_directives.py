"""Directives that make room or go to a place in the current section: filling, alignment, `.org`, no-operations.

The numbers and strings that a section is filled with otherwise are `bpfas.asm.data_directives`'s part.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from bpfas.asm.assembly import Assembly, StatementError, need_arguments
from bpfas.asm.fragment import JA_0, AlignFragment, FillFragment, OrgFragment
from bpfas.asm.statement import Directive, Omitted, Statement
from bpfas.elf.constants import MAX_ALIGNMENT

if TYPE_CHECKING:
    from bpfas.asm.data_directives import Handler
    from bpfas.asm.statement import Argument, Node

_MAX_POWER = MAX_ALIGNMENT.bit_length() - 1


def _fill_unit(
    assembly: Assembly, argument: Argument, statement: Statement, width: int, what: str = "the fill value"
) -> bytes:
    """The low `width` bytes of an argument that must be a number, with a warning if that is not all of it."""
    value = assembly.number(argument, statement, what)
    low, high = -(1 << 8 * width - 1), (1 << 8 * width) - 1
    if not low <= value <= high:
        assembly.diagnostics.warning(
            f"{what} {value} does not fit in {8 * width} bits ({low} to {high}); {value & high} is taken",
            statement.span_of(argument),
        )
    return (value & high).to_bytes(width, assembly.order.name_for_int)


def _space(width: int, assembly: Assembly, directive: Directive, statement: Statement) -> None:
    need_arguments(directive, 1, 2)
    rest = directive.arguments[1:]
    _repeat(
        _fill_unit(assembly, rest[0], statement, width) if rest else bytes(width), assembly, directive, statement
    )


_WIDEST_FILL = 8
_FILL_VALUE_WIDTH = 4


def _fill(assembly: Assembly, directive: Directive, statement: Statement) -> None:
    # .fill repeat, size, value: the value's low four bytes count, the size is at most eight (GNU as manual).
    need_arguments(directive, 1, 3)
    rest = directive.arguments[1:]
    size = assembly.number(rest[0], statement, "the size") if rest else 1
    if size < 0:
        raise StatementError(f"the size {size} is negative", rest[0])
    if size > _WIDEST_FILL:
        assembly.diagnostics.warning(f"the size {size} is taken for {_WIDEST_FILL}", statement.span_of(rest[0]))
        size = _WIDEST_FILL
    unit = bytes(size)
    if rest[1:] and size:
        value = assembly.number(rest[1], statement, "the value")
        mask = (1 << 8 * min(size, _FILL_VALUE_WIDTH)) - 1
        if size > _FILL_VALUE_WIDTH and not 0 <= value <= mask:
            assembly.diagnostics.warning(
                f"of the value {value} only the low 32 bits are taken, with zeros above them; "
                ".dcb.l and .rept repeat other values",
                statement.span_of(rest[1]),
            )
        unit = (value & mask).to_bytes(size, assembly.order.name_for_int)
    _repeat(unit, assembly, directive, statement)


def _repeat(unit: bytes, assembly: Assembly, directive: Directive, statement: Statement) -> None:
    """Put `unit` as often as the first argument says, which may be found out later."""
    argument = directive.arguments[0]
    count = assembly.bound(argument, statement, "the count")
    if isinstance(count, int):
        if count < 0:
            raise StatementError(f"the count {count} is negative", argument)
        assembly.append_fill(count, unit, argument)
    else:
        assembly.append_fragment(FillFragment(statement=statement, node=argument, count=count, unit=unit))


def _no_operation(assembly: Assembly, directive: Directive, statement: Statement) -> None:
    need_arguments(directive, 0, 0)
    assembly.append(JA_0)


def _no_operations(assembly: Assembly, directive: Directive, statement: Statement) -> None:
    # .nops size[, control]: the second is the greatest size of one instruction, 0 for any (GNU as manual).
    need_arguments(directive, 1, 2)
    first, *rest = directive.arguments
    size = assembly.number(first, statement, "the size")
    if size < 0 or size % len(JA_0):
        raise StatementError(f"the size {size} is no multiple of an instruction's {len(JA_0)} bytes", first)
    control = assembly.number(rest[0], statement, "the greatest size of an instruction") if rest else 0
    if control and control < len(JA_0):
        raise StatementError(f"instructions have {len(JA_0)} bytes; {control} is not possible", rest[0])
    assembly.append_fill(size // len(JA_0), JA_0, first)


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
    unit = most = None
    if rest and not isinstance(rest[0], Omitted):
        unit = _fill_unit(assembly, rest[0], statement, width)
    if rest[1:] and not isinstance(rest[1], Omitted):
        most = assembly.number(rest[1], statement, "the greatest gap")
        if most < 0:
            raise StatementError(f"the greatest gap {most} is negative", rest[1])
    append_alignment(assembly, statement, first, alignment, unit, most or None)  # 0 sets no limit in GNU as


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
        AlignFragment(statement=statement, node=node, alignment=alignment, unit=unit, most=most)
    )


def _org(assembly: Assembly, directive: Directive, statement: Statement) -> None:
    need_arguments(directive, 1, 2)
    first, *rest = directive.arguments
    assembly.append_fragment(
        OrgFragment(
            statement=statement,
            node=first,
            target=assembly.bound(first, statement, "the offset"),
            unit=_fill_unit(assembly, rest[0], statement, 1) if rest else b"\0",
        )
    )


ALIGNMENT_DIRECTIVES: dict[str, Handler] = {
    ".align": partial(_align, True, 1),
    ".p2align": partial(_align, True, 1),
    ".p2alignw": partial(_align, True, 2),
    ".p2alignl": partial(_align, True, 4),
    ".balign": partial(_align, False, 1),
    ".balignw": partial(_align, False, 2),
    ".balignl": partial(_align, False, 4),
}

_RESERVED_WIDTHS = {"": 2, ".b": 1, ".w": 2, ".l": 4, ".s": 4, ".d": 8, ".x": 12, ".p": 12}
"""Bytes of what the `.ds` directives make room for."""

LAYOUT_DIRECTIVES: dict[str, Handler] = {
    **ALIGNMENT_DIRECTIVES,
    **{f".ds{letter}": partial(_space, width) for letter, width in _RESERVED_WIDTHS.items()},
    ".zero": partial(_space, 1),
    ".skip": partial(_space, 1),
    ".space": partial(_space, 1),
    ".fill": _fill,
    ".nop": _no_operation,
    ".nops": _no_operations,
    ".org": _org,
}
