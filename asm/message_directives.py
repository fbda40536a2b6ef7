"""Directives that say something to whoever assembles: `.err`, `.error`, `.warning`, `.print`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpfas.asm.assembly import Assembly, StatementError, need_arguments

if TYPE_CHECKING:
    from bpfas.asm.data_directives import Handler
    from bpfas.asm.statement import Directive, Statement


def _err(assembly: Assembly, directive: Directive, statement: Statement) -> None:
    need_arguments(directive, 0, 0)
    raise StatementError(".err was read")


def _error(assembly: Assembly, directive: Directive, statement: Statement) -> None:
    raise StatementError(_message(assembly, directive, statement))


def _warning(assembly: Assembly, directive: Directive, statement: Statement) -> None:
    assembly.diagnostics.warning(_message(assembly, directive, statement), statement.span)


def _print(assembly: Assembly, directive: Directive, statement: Statement) -> None:
    need_arguments(directive, 1, 1)
    assembly.options.print_line(_text(assembly, directive, statement))


def _message(assembly: Assembly, directive: Directive, statement: Statement) -> str:
    """The text behind the directive, which may be left out."""
    need_arguments(directive, 0, 1)
    return _text(assembly, directive, statement) if directive.arguments else f"{directive.name} was read"


def _text(assembly: Assembly, directive: Directive, statement: Statement) -> str:
    return assembly.string(directive.arguments[0], statement).decode("utf-8", "replace")


MESSAGE_DIRECTIVES: dict[str, Handler] = {
    ".err": _err,
    ".error": _error,
    ".warning": _warning,
    ".print": _print,
}
