"""Directives that say how a listing looks: which lines it has, pages and their titles. They make nothing else."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from bpfas.asm.assembly import Assembly, StatementError, need_arguments
from bpfas.asm.listing import Edict

if TYPE_CHECKING:
    from bpfas.asm.data_directives import Handler
    from bpfas.asm.statement import Directive, Statement


def _plain(edict: Edict, assembly: Assembly, directive: Directive, statement: Statement) -> None:
    need_arguments(directive, 0, 0)
    _record(assembly, edict)


def _title(edict: Edict, assembly: Assembly, directive: Directive, statement: Statement) -> None:
    need_arguments(directive, 1, 1)
    title = assembly.string(directive.arguments[0], statement).decode("utf-8", "replace")
    _record(assembly, edict, title)


def _page_size(assembly: Assembly, directive: Directive, statement: Statement) -> None:
    # The columns are taken and not looked at, as in GNU as.
    need_arguments(directive, 1, 2)
    for argument, what in zip(directive.arguments, ("lines", "columns"), strict=False):
        number = assembly.number(argument, statement, f"the number of {what}")
        if not 0 <= number <= _LARGEST_PAGE:
            raise StatementError(f"a page of {number} {what} is not possible", argument)
    _record(assembly, Edict.PAGE_LENGTH, assembly.number(directive.arguments[0], statement, "the number of lines"))


_LARGEST_PAGE = 10_000


def _record(assembly: Assembly, edict: Edict, value: str | int = 0) -> None:
    if assembly.listing is not None:
        assembly.listing.add_edict(edict, value)


LISTING_DIRECTIVES: dict[str, Handler] = {
    ".list": partial(_plain, Edict.LIST),
    ".nolist": partial(_plain, Edict.NOLIST),
    ".eject": partial(_plain, Edict.EJECT),
    ".title": partial(_title, Edict.TITLE),
    ".sbttl": partial(_title, Edict.SUBTITLE),
    ".psize": _page_size,
}
