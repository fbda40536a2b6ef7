"""Directives that say which text is read next: macros, repetition, `.include`, `.end`, `.abort`.

The text side of macros is `bpfas.asm.macros`'s part, conditions are `bpfas.asm.conditionals`'s.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from bpfas.asm import conditionals, macros
from bpfas.asm.feed import EXPANSION_LIMIT, EndOfExpansion, EndOfReading, EndOfSource
from bpfas.asm.macro_arguments import MacroError
from bpfas.diag import BpfasError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from bpfas.asm.feed import InputStatement
    from bpfas.asm.reader import Reader


@dataclass(eq=False, slots=True)
class KnownMacro:
    """A macro that is defined, the file and line where its body begins, and how often it has been called."""

    macro: macros.Macro
    origin: tuple[str, int]
    calls: int = 0


# Macros


def call_macro(reader: Reader, statement: InputStatement) -> int:
    """Carry out a statement that begins with the name of a macro."""
    known = reader.macros[statement.word]
    macro = known.macro
    values = macros.bind_arguments(macro, statement.argument, reader.alternate)
    try:
        text = macros.expand(macro, values, reader.executed, known.calls, reader.alternate)
    except MacroError as error:  # its place is in the body
        raise BpfasError.of(str(error), statement.span) from None
    reader.executed += 1
    known.calls += 1
    reader.expand(statement, text, f"in the expansion of macro `{macro.name}` at", known.origin)
    return statement.end


def _macro(reader: Reader, statement: InputStatement, body: str) -> None:
    name, parameters = macros.parse_heading(statement.argument, reader.alternate)
    if name.lower() in reader.macros:
        raise BpfasError.of(f"macro `{name}` is already defined; .purgem {name} undoes that", statement.span)
    if name.lower() in INPUT_DIRECTIVES or name.lower() in reader.assembler.directives:
        raise BpfasError.of(f"`{name}` is a directive, which a macro cannot replace", statement.span)
    reader.macros[name.lower()] = KnownMacro(macros.Macro(name, parameters, body), _origin(statement))


def _origin(statement: InputStatement) -> tuple[str, int]:
    """The file and the line where the text behind a statement begins."""
    source = statement.feed.source
    return source.origin_of_line(source.line_and_column(statement.end)[0])


def _block(
    handler: Callable[[Reader, InputStatement, str], None], reader: Reader, statement: InputStatement
) -> int:
    """Have `handler` do what a directive says with the text up to the directive that ends its block."""
    text = statement.feed.text
    found = macros.find_block_end(text, statement.end, len(text), statement.word)
    if found is None:
        # What is inside cannot be told from what is behind, so nothing of it is read.
        reader.error(f"{statement.word} has no {_ENDS[statement.word]}", statement.span)
        return len(text)
    try:
        handler(reader, statement, text[statement.end : found[0]])
    except BpfasError as error:
        reader.assembler.assembly.diagnostics.items.extend(error.diagnostics)
    except MacroError as error:
        reader.error(str(error), statement.place_of(error))
    return found[1]


_ENDS = {".macro": ".endm", **dict.fromkeys((".rept", ".rep", ".irp", ".irpc"), ".endr")}


def _stray_end(reader: Reader, statement: InputStatement) -> int:
    raise BpfasError.of(f"{statement.word} has no beginning", statement.span)


def _exitm(reader: Reader, statement: InputStatement) -> int:
    if not statement.feed.is_expansion:
        raise BpfasError.of(".exitm stands outside a macro", statement.span)
    raise EndOfExpansion


def _purgem(reader: Reader, statement: InputStatement) -> int:
    for name in re.split(r"[\s,]+", statement.argument.strip()):
        if reader.macros.pop(name.lower(), None) is None:
            raise BpfasError.of(f"there is no macro `{name}`", statement.span)
    return statement.end


def _alternate(reader: Reader, statement: InputStatement) -> int:
    reader.set_alternate(statement.word == ".altmacro")
    return statement.end


# Repetition


def _rept(reader: Reader, statement: InputStatement, body: str) -> None:
    count = reader.number(statement, "the count")
    if count < 0:
        raise BpfasError.of(f"the count {count} is negative", statement.span)
    if count * (len(body) + 1) > EXPANSION_LIMIT:
        raise BpfasError.of(
            f"{count} times {len(body)} characters are more than the {EXPANSION_LIMIT} of all expansions",
            statement.span,
        )
    _repeat(reader, statement, body, macros.expand_repetition(body, count))


def _irp(reader: Reader, statement: InputStatement, body: str) -> None:
    if statement.word == ".irpc":
        name, values = macros.parse_irpc(statement.argument)
    else:
        name, values = macros.parse_irp(statement.argument, reader.alternate)
    _repeat(reader, statement, body, macros.expand_loop(body, name, values, reader.executed, reader.alternate))


def _repeat(reader: Reader, statement: InputStatement, body: str, turns: Iterable[str]) -> None:
    # The body begins behind the directive, on its line; each turn has as many lines as the body.
    text = "".join(turn if turn.endswith("\n") else f"{turn}\n" for turn in turns)
    period = body.count("\n") + (not body.endswith("\n"))
    reader.expand(statement, text, f"in the expansion of {statement.word} at", _origin(statement), period)


# Other texts


def _include(reader: Reader, statement: InputStatement) -> int:
    reader.read_file(reader.assembler.assembly.files.included(reader.path(statement), statement.span))
    return statement.end


def _end(reader: Reader, statement: InputStatement) -> int:
    raise EndOfSource


def _abort(reader: Reader, statement: InputStatement) -> int:
    reader.error(".abort ends the assembly", statement.span)
    raise EndOfReading


INPUT_DIRECTIVES: dict[str, Callable[[Reader, InputStatement], int]] = {
    **conditionals.DIRECTIVES,
    ".macro": partial(_block, _macro),
    **dict.fromkeys((".endm", ".endmacro", ".endr"), _stray_end),
    ".exitm": _exitm,
    ".purgem": _purgem,
    **dict.fromkeys((".altmacro", ".noaltmacro"), _alternate),
    **dict.fromkeys((".rept", ".rep"), partial(_block, _rept)),
    **dict.fromkeys((".irp", ".irpc"), partial(_block, _irp)),
    ".include": _include,
    ".end": _end,
    ".abort": _abort,
}
"""What each directive does that says what is read next: the offset at which reading goes on."""
