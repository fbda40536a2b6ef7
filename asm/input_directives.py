"""Directives that say which text is read next: what ends macros, `.include`, `.end`, `.abort`.

Macros and repetition are `bpfas.asm.macro_directives`'s part, conditions are `bpfas.asm.conditionals`'s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpfas.asm.feed import EndOfExpansion, EndOfReading, EndOfSource
from bpfas.asm.on_demand import on_demand
from bpfas.diag import BpfasError

if TYPE_CHECKING:
    from collections.abc import Callable

    from bpfas.asm.feed import InputStatement
    from bpfas.asm.reader import Reader


def _block(reader: Reader, statement: InputStatement) -> int:
    # The text side of macros has many regular expressions to compile, and most sources have no macros.
    from bpfas.asm.macro_directives import read_block

    return read_block(reader, statement)


def _stray_end(reader: Reader, statement: InputStatement) -> int:
    raise BpfasError.of(f"{statement.word} has no beginning", statement.span)


def _exitm(reader: Reader, statement: InputStatement) -> int:
    if not statement.feed.is_expansion:
        raise BpfasError.of(".exitm stands outside a macro", statement.span)
    raise EndOfExpansion


def _purgem(reader: Reader, statement: InputStatement) -> int:
    names = statement.argument.replace(",", " ").split()
    if not names:
        raise BpfasError.of(".purgem needs the name of a macro", statement.span)
    for name in names:
        if not reader.purge_macro(name):
            raise BpfasError.of(f"there is no macro `{name}`", statement.span)
    return statement.end


def _alternate(reader: Reader, statement: InputStatement) -> int:
    if statement.argument.strip():
        raise BpfasError.of(f"{statement.word} takes no arguments", statement.span)
    reader.set_alternate(statement.word == ".altmacro")
    return statement.end


def _include(reader: Reader, statement: InputStatement) -> int:
    reader.read_file(reader.assembler.assembly.files.included(reader.path(statement), statement.span))
    return statement.end


def _end(reader: Reader, statement: InputStatement) -> int:
    raise EndOfSource


def _abort(reader: Reader, statement: InputStatement) -> int:
    reader.error(".abort ends the assembly", statement.span)
    raise EndOfReading


INPUT_DIRECTIVES: dict[str, Callable[[Reader, InputStatement], int]] = {
    **on_demand(
        "conditionals",
        "DIRECTIVES",
        """
        .if .ifne .ifeq .ifgt .ifge .iflt .ifle .ifdef .ifndef .ifnotdef .ifb .ifnb .ifc .ifnc .ifeqs .ifnes
        .else .elseif .elsif .endif
        """,
    ),
    **dict.fromkeys((".macro", ".rept", ".rep", ".irp", ".irpc"), _block),
    **dict.fromkeys((".endm", ".endmacro", ".endr"), _stray_end),
    ".exitm": _exitm,
    ".purgem": _purgem,
    **dict.fromkeys((".altmacro", ".noaltmacro"), _alternate),
    ".include": _include,
    ".end": _end,
    ".abort": _abort,
}
"""What each directive does that says what is read next: the offset at which reading goes on."""
