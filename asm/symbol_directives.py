"""Directives that say something of symbols: binding, visibility, type, size, value."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from bpfas.asm.assembly import Assembly, StatementError, need_arguments
from bpfas.asm.data_directives import append_alignment
from bpfas.asm.instruction import nearest
from bpfas.asm.statement import Directive, Expression, Statement, String, SymbolName, TypeName
from bpfas.elf.constants import SymbolBinding, SymbolType, SymbolVisibility

if TYPE_CHECKING:
    from bpfas.asm.data_directives import Handler
    from bpfas.asm.symbol import AssemblySymbol


def _bind(binding: SymbolBinding, assembly: Assembly, directive: Directive, statement: Statement) -> None:
    need_arguments(directive)
    for argument in directive.arguments:
        symbol = assembly.symbol(argument, statement)
        symbol.is_declared = True
        # .weak wins over .globl in either order; .local and a stronger binding contradict each other.
        if SymbolBinding.LOCAL in (symbol.binding, binding) and symbol.binding not in (None, binding):
            assert symbol.binding is not None
            raise StatementError(
                f"symbol `{symbol.name}` is {symbol.binding.name.lower()} already, not {binding.name.lower()}",
                argument,
            )
        if symbol.binding is not SymbolBinding.WEAK:
            symbol.binding = binding


def _visibility(
    visibility: SymbolVisibility, assembly: Assembly, directive: Directive, statement: Statement
) -> None:
    need_arguments(directive)
    for argument in directive.arguments:
        symbol = assembly.symbol(argument, statement)
        symbol.is_declared, symbol.visibility = True, visibility


def _extern(assembly: Assembly, directive: Directive, statement: Statement) -> None:
    # An undefined symbol is external anyway; the directive keeps a helper's name from meaning the helper.
    need_arguments(directive)
    for argument in directive.arguments:
        assembly.symbol(argument, statement).is_declared = True


_TYPES = {
    "function": SymbolType.FUNC,
    "object": SymbolType.OBJECT,
    "notype": SymbolType.NOTYPE,
    "common": SymbolType.COMMON,
    "tls_object": SymbolType.TLS,
    "stt_func": SymbolType.FUNC,
    "stt_object": SymbolType.OBJECT,
    "stt_notype": SymbolType.NOTYPE,
    "stt_common": SymbolType.COMMON,
    "stt_tls": SymbolType.TLS,
}


def _type(assembly: Assembly, directive: Directive, statement: Statement) -> None:
    need_arguments(directive, 2, 2)
    symbol = assembly.symbol(directive.arguments[0], statement)
    argument = directive.arguments[1]
    match argument:
        case TypeName(text):
            name = text
        case String() | SymbolName():
            name = assembly.name(argument, statement).lower()
        case _:
            raise StatementError("a symbol's type is written @function or @object", argument)
    if name not in _TYPES:
        raise StatementError(f"symbol type `{name}` is unknown{nearest(name, _TYPES)}", argument)
    symbol.is_declared, symbol.st_type = True, _TYPES[name]


def _size(assembly: Assembly, directive: Directive, statement: Statement) -> None:
    need_arguments(directive, 2, 2)
    symbol = assembly.symbol(directive.arguments[0], statement)
    symbol.size = assembly.binder.bind(_expression(directive, 1), statement)


def _set(assembly: Assembly, directive: Directive, statement: Statement) -> None:
    need_arguments(directive, 2, 2)
    symbol = assembly.symbol(directive.arguments[0], statement)
    value = assembly.binder.bind(_expression(directive, 1), statement)
    assembly.set_expression(symbol, value, statement.span)


def _equiv(assembly: Assembly, directive: Directive, statement: Statement) -> None:
    need_arguments(directive, 2, 2)
    symbol = assembly.symbol(directive.arguments[0], statement)
    assembly.refuse_redefinition(symbol, directive.arguments[0])
    _set(assembly, directive, statement)
    symbol.is_final = True


def _common(is_local: bool, assembly: Assembly, directive: Directive, statement: Statement) -> None:
    need_arguments(directive, 2, 3)
    argument = directive.arguments[0]
    symbol = assembly.symbol(argument, statement)
    size = assembly.number(directive.arguments[1], statement, "the size")
    alignment = 1
    if directive.arguments[2:]:
        alignment = assembly.number(directive.arguments[2], statement, "the alignment")
    if size < 0 or alignment <= 0 or alignment & alignment - 1:
        raise StatementError(f"size {size} with alignment {alignment} is not possible", directive.arguments[1])
    assembly.refuse_redefinition(symbol, argument)
    symbol.defined_at = statement.span
    symbol.size, symbol.st_type = size, SymbolType.OBJECT
    if is_local or symbol.binding is SymbolBinding.LOCAL:
        _allocate(symbol, size, alignment, assembly, statement)
    else:
        symbol.common_alignment = alignment
        symbol.binding = symbol.binding or SymbolBinding.GLOBAL


def _allocate(symbol: AssemblySymbol, size: int, alignment: int, assembly: Assembly, statement: Statement) -> None:
    """Give a local common symbol its place in .bss."""
    with assembly.elsewhere(".bss"):
        append_alignment(assembly, statement, None, alignment)
        assembly.define_at_end(symbol)
        assembly.append_fill(size, b"\0")


def _addrsig(assembly: Assembly, directive: Directive, statement: Statement) -> None:
    need_arguments(directive, 0, 0)
    assembly.lists_address_significant = True


def _addrsig_sym(assembly: Assembly, directive: Directive, statement: Statement) -> None:
    need_arguments(directive, 1, 1)
    assembly.address_significant.append(assembly.symbol(directive.arguments[0], statement))


def _expression(directive: Directive, position: int) -> Expression:
    argument = directive.arguments[position]
    if not isinstance(argument, Expression):
        raise StatementError(f"{directive.name} needs an expression here", argument)
    return argument


SYMBOL_DIRECTIVES: dict[str, Handler] = {
    ".globl": partial(_bind, SymbolBinding.GLOBAL),
    ".global": partial(_bind, SymbolBinding.GLOBAL),
    ".weak": partial(_bind, SymbolBinding.WEAK),
    ".local": partial(_bind, SymbolBinding.LOCAL),
    ".hidden": partial(_visibility, SymbolVisibility.HIDDEN),
    ".internal": partial(_visibility, SymbolVisibility.INTERNAL),
    ".protected": partial(_visibility, SymbolVisibility.PROTECTED),
    ".extern": _extern,
    ".type": _type,
    ".size": _size,
    ".set": _set,
    ".equ": _set,
    ".equiv": _equiv,
    ".comm": partial(_common, False),
    ".lcomm": partial(_common, True),
    ".addrsig": _addrsig,
    ".addrsig_sym": _addrsig_sym,
}
