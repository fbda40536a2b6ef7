"""Symbols that the command line defines: `--defsym NAME=VALUE`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpfas.asm.assembly import Assembly, StatementError
from bpfas.asm.expression import ExpressionError
from bpfas.asm.parser import StatementParser
from bpfas.asm.statement import Assignment
from bpfas.diag import BpfasError, Diagnostics, Source

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bpfas.asm.statement import Statement

_SOURCE_NAME = "--defsym"


def values_of(definitions: Sequence[str]) -> tuple[tuple[str, int], ...]:
    """Names and values of definitions such as `NAME=1+2`, which may use those before them.

    Raises BpfasError with all that is wrong with them.
    """
    parser = StatementParser()
    assembly = Assembly()
    values: dict[str, int] = {}
    diagnostics = Diagnostics()
    for definition in definitions:
        source = Source(_SOURCE_NAME, definition)
        try:
            name, value = _value(parser.parse(definition, source, 0), assembly)
        except BpfasError as error:
            diagnostics.items += error.diagnostics
        else:
            values[name] = value
            assembly.symbols.named(name).expression = value
    diagnostics.raise_if_errors()
    return tuple(values.items())


def _value(statement: Statement, assembly: Assembly) -> tuple[str, int]:
    body = statement.template.body
    if not isinstance(body, Assignment) or statement.template.labels or statement.texts[body.slot] == ".":
        raise BpfasError.of("a definition is written NAME=VALUE, where NAME is no register", statement.span)
    try:
        return statement.texts[body.slot], assembly.number(body.value, statement, "the value")
    except (StatementError, ExpressionError) as error:
        raise BpfasError.of(str(error), statement.span_of(error.node)) from None
