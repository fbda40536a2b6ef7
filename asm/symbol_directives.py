"""Directives that say something of symbols: binding, visibility, type, size, value."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from bpfas.asm.assembly import Assembly, StatementError, need_arguments
from bpfas.asm.expression import ExpressionError
from bpfas.asm.instruction import nearest
from bpfas.asm.layout_directives import append_alignment
from bpfas.asm.statement import Directive, Expression, Number, Statement, String, SymbolName, TypeName
from bpfas.asm.symbol import AssemblySymbol
from bpfas.elf.constants import SymbolBinding, SymbolType, SymbolVisibility

if TYPE_CHECKING:
    from bpfas.asm.data_directives import Handler
    from bpfas.asm.statement import Argument


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
    "common": SymbolType.OBJECT,
    "tls_object": SymbolType.TLS,
    "gnu_indirect_function": SymbolType.GNU_IFUNC,
    "stt_func": SymbolType.FUNC,
    "stt_object": SymbolType.OBJECT,
    "stt_notype": SymbolType.NOTYPE,
    "stt_common": SymbolType.OBJECT,
    "stt_tls": SymbolType.TLS,
    "stt_gnu_ifunc": SymbolType.GNU_IFUNC,
}
"""The types by name; common symbols are objects (so in GNU as and LLVM)."""

_TYPES_BY_NUMBER = {int(st_type): st_type for st_type in _TYPES.values()}


def _type(assembly: Assembly, directive: Directive, statement: Statement) -> None:
    need_arguments(directive, 2, 2)
    symbol = assembly.symbol(directive.arguments[0], statement)
    argument = directive.arguments[1]
    match argument:
        case TypeName(text):
            name = text
        case String() | SymbolName():
            name = assembly.name(argument, statement).lower()
        case Number(slot):
            name = statement.texts[slot]
        case _:
            raise StatementError("a symbol's type is written @function or @object", argument)
    symbol.is_declared, symbol.st_type = True, _type_called(name, argument)


def _type_called(name: str, argument: Argument) -> SymbolType:
    if name in _TYPES:
        return _TYPES[name]
    if name.isdecimal():
        st_type = _TYPES_BY_NUMBER.get(int(name[:_LONGEST_TYPE_NUMBER]))
        if st_type is None:
            numbers = ", ".join(map(str, sorted(_TYPES_BY_NUMBER)))
            raise StatementError(f"a symbol cannot be given the type {name}, but {numbers}", argument)
        return st_type
    if name in ("gnu_unique_object", "stb_gnu_unique"):
        raise StatementError("a unique symbol is for a dynamic linker, which BPF does not have", argument)
    raise StatementError(f"symbol type `{name}` is unknown{nearest(name, _TYPES)}", argument)


_LONGEST_TYPE_NUMBER = 10


def _size(assembly: Assembly, directive: Directive, statement: Statement) -> None:
    need_arguments(directive, 2, 2)
    symbol = assembly.symbol(directive.arguments[0], statement)
    expression = _expression(directive, 1)
    symbol.size = assembly.binder.bind(expression, statement)
    symbol.size_at = statement.span_of(expression)


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


def _evaluate_at_use(assembly: Assembly, directive: Directive, statement: Statement) -> None:
    need_arguments(directive, 2, 2)
    symbol = assembly.symbol(directive.arguments[0], statement)
    assembly.refuse_redefinition(symbol, directive.arguments[0])
    expression = _expression(directive, 1)
    symbol.evaluated_at_use = (expression, statement)
    try:
        symbol.expression = assembly.binder.bind(expression, statement)
    except ExpressionError:
        symbol.evaluated_at_use = None
        raise
    symbol.defined_at, symbol.is_final = statement.span, True


def _weak_reference(assembly: Assembly, directive: Directive, statement: Statement) -> None:
    need_arguments(directive, 2, 2)
    symbol = assembly.symbol(directive.arguments[0], statement)
    target = assembly.name(directive.arguments[1], statement)
    assembly.refuse_redefinition(symbol, directive.arguments[0])
    if target == symbol.name:
        raise StatementError(f"`{target}` would refer to itself", directive.arguments[1])
    reference = AssemblySymbol(target, binding=SymbolBinding.WEAK, defined_at=statement.span)
    symbol.expression = assembly.weak_references.setdefault(target, reference)
    symbol.is_weak_reference, symbol.defined_at = True, statement.span
    symbol.is_final = True


def _common(is_local: bool, assembly: Assembly, directive: Directive, statement: Statement) -> None:
    need_arguments(directive, 2, 3)
    argument = directive.arguments[0]
    symbol = assembly.symbol(argument, statement)
    size = assembly.number(directive.arguments[1], statement, "the size")
    alignment = _natural_alignment(size)
    if directive.arguments[2:]:
        alignment = assembly.number(directive.arguments[2], statement, "the alignment")
    if size < 0 or alignment <= 0 or alignment & alignment - 1:
        raise StatementError(f"size {size} with alignment {alignment} is not possible", directive.arguments[1])
    if symbol.common_alignment is not None and symbol.size == size and not is_local:
        symbol.common_alignment = max(symbol.common_alignment, alignment)
        return
    assembly.refuse_redefinition(symbol, argument)
    symbol.defined_at = statement.span
    symbol.size, symbol.st_type = size, SymbolType.OBJECT
    if is_local or symbol.binding is SymbolBinding.LOCAL:
        _allocate(symbol, size, alignment, assembly, statement)
    else:
        symbol.common_alignment = alignment
        symbol.binding = symbol.binding or SymbolBinding.GLOBAL


def _natural_alignment(size: int) -> int:
    """What GNU as aligns common symbols of so many bytes to; LLVM does not, so that a u64 may lie anywhere."""
    return min(1 << max(size - 1, 0).bit_length(), _MOST_NATURAL_ALIGNMENT)


_MOST_NATURAL_ALIGNMENT = 16


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
    ".lsym": _set,
    ".equiv": _equiv,
    ".eqv": _evaluate_at_use,
    ".weakref": _weak_reference,
    ".comm": partial(_common, False),
    ".common": partial(_common, False),
    ".lcomm": partial(_common, True),
    ".addrsig": _addrsig,
    ".addrsig_sym": _addrsig_sym,
}
