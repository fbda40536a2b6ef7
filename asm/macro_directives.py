"""The directives that begin blocks, `.macro`, `.rept`, `.irp` and `.irpc`, and calls of macros.

What becomes of the texts is `bpfas.asm.macros`'s part.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bpfas.asm import macros
from bpfas.asm.feed import EXPANSION_LIMIT, MacroError
from bpfas.asm.input_directives import INPUT_DIRECTIVES
from bpfas.diag import BpfasError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bpfas.asm.feed import InputStatement
    from bpfas.asm.reader import Reader


@dataclass(eq=False, slots=True)
class KnownMacro:
    """A macro that is defined, the file and line where its body begins, and how often it has been called."""

    macro: macros.Macro
    origin: tuple[str, int]
    calls: int = 0


def read_block(reader: Reader, statement: InputStatement) -> int:
    """Carry out a directive that begins a block; give the offset behind the directive that ends it."""
    text = statement.feed.text
    found = macros.find_block_end(text, statement.end, len(text), statement.word)
    if found is None:
        # What is inside cannot be told from what is behind, so nothing of it is read.
        reader.error(f"{statement.word} has no {_ENDS[statement.word]}", statement.span)
        return len(text)
    try:
        _BLOCKS[statement.word](reader, statement, text[statement.end : found[0]])
    except BpfasError as error:
        reader.assembler.assembly.diagnostics.items.extend(error.diagnostics)
    except MacroError as error:
        reader.error(str(error), statement.place_of(error))
    return found[1]


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
    reader.define_macro(KnownMacro(macros.Macro(name, parameters, body), _origin(statement)))


def _origin(statement: InputStatement) -> tuple[str, int]:
    """The file and the line where the text behind a statement begins."""
    source = statement.feed.source
    return source.origin_of_line(source.line_and_column(statement.end)[0])


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


_BLOCKS = {".macro": _macro, ".rept": _rept, ".rep": _rept, ".irp": _irp, ".irpc": _irp}

_ENDS = {".macro": ".endm", **dict.fromkeys((".rept", ".rep", ".irp", ".irpc"), ".endr")}
