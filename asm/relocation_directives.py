"""`.reloc offset, type, symbol[+n]`: a relocation that the source writes itself.

It is made at the end, when the places are known, whatever stands in the field; all other relocations come from
fields that name a symbol (`bpfas.asm.fixup`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bpfas.asm.assembly import Assembly, StatementError, need_arguments
from bpfas.asm.expression import Bound, ExpressionError, resolve
from bpfas.asm.fixup import PendingRelocation
from bpfas.asm.instruction import nearest
from bpfas.asm.symbol import AssemblySymbol, display_name
from bpfas.reloc import RELOCATION_TYPES, RelocationNumber, RelocationRangeError, write_addend

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfas.asm.data_directives import Handler
    from bpfas.asm.section import LaidOutSection, SectionBuilder
    from bpfas.asm.statement import Argument, Directive, Statement

_TYPES = {
    **RelocationNumber.__members__,
    "BFD_RELOC_NONE": RelocationNumber.R_BPF_NONE,
    "BFD_RELOC_32": RelocationNumber.R_BPF_64_ABS32,
    "BFD_RELOC_64": RelocationNumber.R_BPF_64_ABS64,
}
"""Relocation types by the names that GNU as and LLVM have for them."""


@dataclass(frozen=True, slots=True)
class ExplicitRelocation:
    """A `.reloc`, whose offset is a number or a place in `section`."""

    section: SectionBuilder
    offset: Bound
    number: RelocationNumber
    value: Bound
    statement: Statement
    arguments: tuple[Argument, ...]


def _reloc(assembly: Assembly, directive: Directive, statement: Statement) -> None:
    need_arguments(directive, 3, 3)
    offset, type_name, value = directive.arguments
    name = assembly.name(type_name, statement)
    number = _TYPES.get(name.upper())
    if number is None:
        raise StatementError(f"relocation type `{name}` is unknown{nearest(name, _TYPES)}", type_name)
    assembly.relocations.append(
        ExplicitRelocation(
            assembly.section,
            assembly.bound(offset, statement, "the offset"),
            number,
            assembly.bound(value, statement, "what is referred to"),
            statement,
            directive.arguments,
        )
    )


def explicit_relocations(
    assembly: Assembly, sections: dict[SectionBuilder, LaidOutSection]
) -> Iterator[tuple[SectionBuilder, PendingRelocation]]:
    """The relocations of all `.reloc`, their addends put in place; what is wrong goes to the diagnostics."""
    for relocation in assembly.relocations:
        offset_node, _, value_node = relocation.arguments
        node = offset_node
        try:
            offset = _offset(relocation, sections[relocation.section])
            node = value_node
            target, addend = _target(relocation.value)
            row = RELOCATION_TYPES.get(relocation.number)
            if row is not None:
                write_addend(row, sections[relocation.section].data, offset, addend, assembly.order)
            elif addend:
                raise StatementError(f"{relocation.number.name} has no field for the addend {addend}")
        except (ExpressionError, StatementError, RelocationRangeError) as error:
            assembly.diagnostics.error(str(error), relocation.statement.span_of(node))
        else:
            yield relocation.section, PendingRelocation(offset, relocation.number, target)


def _offset(relocation: ExplicitRelocation, section: LaidOutSection) -> int:
    value = resolve(relocation.offset)
    offset = value.constant
    if value.symbol is not None:
        if value.symbol.section is not section.builder:
            raise StatementError(
                f"`{display_name(value.symbol)}` is not defined in section `{section.builder.name}`"
            )
        offset += value.symbol.position
    row = RELOCATION_TYPES.get(relocation.number)
    last = len(section.data) - (row.field.end if row else 0)
    if not 0 <= offset <= last:
        raise StatementError(
            f"the offset {offset} is out of range; for {relocation.number.name} it may be 0 to {last} here"
            if last >= 0
            else f"section `{section.builder.name}` has no room for a field of {relocation.number.name}"
        )
    return offset


def _target(bound: Bound) -> tuple[AssemblySymbol | SectionBuilder, int]:
    """What a relocation names, and the addend to it."""
    value = resolve(bound)
    symbol = value.symbol
    if symbol is None:
        raise StatementError(f"a relocation needs a symbol, not the number {value.constant}")
    if not symbol.is_defined and symbol.is_temporary:
        raise StatementError(f"label `{display_name(symbol)}` is not defined")
    if symbol.section is None or symbol.is_shown_by_name:
        return symbol, value.constant
    return symbol.section, symbol.position + value.constant


RELOCATION_DIRECTIVES: dict[str, Handler] = {".reloc": _reloc}
