"""Directives for the line table: `.file`, `.loc`, and what goes with them."""

from __future__ import annotations

import dataclasses
import posixpath
from typing import TYPE_CHECKING

from bpfas.asm.assembly import Assembly, StatementError, need_arguments
from bpfas.asm.debug import MARK_LABELS
from bpfas.asm.expression import Operation
from bpfas.asm.line_table import LineFlag, SourceFile, SourceLocation
from bpfas.asm.statement import Binary, Directive, Number, Statement, String, SymbolName, Unary
from bpfas.asm.symbol import AssemblySymbol, here

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bpfas.asm.data_directives import Handler
    from bpfas.asm.expression import Bound
    from bpfas.asm.section import Subsection
    from bpfas.asm.statement import Argument

_MD5_SIZE = 16
_CONTENTS_SYNTAX = 'after the file\'s name there can only be `md5 0x…` and `source "text"`'
_FILE_SYNTAX = '.file is written .file "name" or .file number ["directory"] "name" [md5 0x…] [source "text"]'


def _file(assembly: Assembly, directive: Directive, statement: Statement) -> None:
    # `.file "name"` makes a symbol; `.file N ["directory"] "name" …` gives a file a number for .loc.
    match directive.arguments:
        case [String() as name]:
            assembly.file_names.append(assembly.name(name, statement))
        case [Number() as number, String() as directory, String() as name, *rest]:
            _number_file(assembly, statement, number, assembly.name(directory, statement), name, rest)
        case [Number() as number, String() as name, *rest]:
            _number_file(assembly, statement, number, "", name, rest)
        case _:
            raise StatementError(_FILE_SYNTAX)


def _number_file(
    assembly: Assembly, statement: Statement, number: Number, directory: str, name: Argument, rest: list[Argument]
) -> None:
    lines = assembly.debug.lines
    index = assembly.number(number, statement, "the file's number")
    text = assembly.name(name, statement)
    if index and not directory:
        directory, text = posixpath.split(text)
    file = SourceFile(text, lines.directory(directory) if index and directory else 0)
    file = _with_contents(file, rest, assembly, statement)
    if lines.files.get(index, file) != file or (index == 0 and index in lines.files):
        raise StatementError(f"file {index} is `{lines.files[index].name}` already", number)
    if index == 0:
        lines.version = 5
        lines.directories[0] = directory
    lines.files[index] = file
    assembly.debug.file_statements[index] = statement
    _warn_of_missing_md5(assembly, statement)


def _with_contents(file: SourceFile, rest: list[Argument], assembly: Assembly, statement: Statement) -> SourceFile:
    """The file with what is said of its contents behind its name."""
    words = iter(rest)
    for word in words:
        value = next(words, None)
        match isinstance(word, SymbolName) and assembly.name(word, statement), value:
            case "md5", Number(slot):
                try:
                    md5 = int(statement.texts[slot], 0).to_bytes(_MD5_SIZE, "big")
                except (ValueError, OverflowError):
                    raise StatementError("an MD5 is a number of 32 hexadecimal digits", value) from None
                file = dataclasses.replace(file, md5=md5)
            case "source", String():
                text = assembly.string(value, statement).decode("utf-8", "surrogateescape")
                if "\0" in text:
                    raise StatementError("a source cannot have a zero in it", value)
                file = dataclasses.replace(file, source=text)
            case _:
                raise StatementError(_CONTENTS_SYNTAX, word)
    return file


def _warn_of_missing_md5(assembly: Assembly, statement: Statement) -> None:
    debug = assembly.debug
    if debug.lines.version < 5 or debug.reported_md5:
        return
    if len({file.md5 is None for file in debug.lines.files.values()}) > 1:
        debug.reported_md5 = True
        message = "only some files have an MD5, so the line table will hold none"
        assembly.diagnostics.warning(message, statement.span)


_FLAGS = {
    "basic_block": LineFlag.BASIC_BLOCK,
    "prologue_end": LineFlag.PROLOGUE_END,
    "epilogue_begin": LineFlag.EPILOGUE_BEGIN,
}


def _set_is_stmt(location: SourceLocation, number: int) -> SourceLocation:
    flags = location.flags | LineFlag.IS_STMT if number else location.flags & ~LineFlag.IS_STMT
    return dataclasses.replace(location, flags=flags)


_NUMBERED: dict[str, tuple[int | None, Callable[[SourceLocation, int], SourceLocation]]] = {
    "is_stmt": (1, _set_is_stmt),
    "isa": (None, lambda location, number: dataclasses.replace(location, isa=number)),
    "discriminator": (None, lambda location, number: dataclasses.replace(location, discriminator=number)),
}
"""What `.loc` sets to a number, with the greatest there is."""

_VIEW = "view"


def _number_up_to(
    most: int | None, argument: Argument, assembly: Assembly, statement: Statement, what: str
) -> int:
    number = assembly.number(argument, statement, what)
    if number < 0:
        raise StatementError(f"{number} is negative", argument)
    if most is not None and number > most:
        raise StatementError(f"{what} is {' or '.join(map(str, range(most + 1)))}, not {number}", argument)
    return number


def _apart(arguments: tuple[Argument, ...]) -> Iterator[Argument]:
    """The arguments of `.loc`, where a word and a negative number are no subtraction."""
    for argument in arguments:
        match argument:
            case Binary("-", SymbolName() as word, number):
                yield word
                yield Unary("-", number)
            case _:
                yield argument


def _loc(assembly: Assembly, directive: Directive, statement: Statement) -> None:
    numbers: list[int] = []
    rest = list(_apart(directive.arguments))
    while rest and not isinstance(rest[0], SymbolName) and len(numbers) < 3:
        what = ("the file", "the line", "the column")[len(numbers)]
        numbers.append(_number_up_to(None, rest.pop(0), assembly, statement, what))
    if not numbers:
        raise StatementError(".loc needs a file's number, and the line")
    debug = assembly.debug
    file, line, column = (*numbers, 0, 0)[:3]
    if file not in debug.lines.files:
        raise StatementError(f"there is no .file {file} before this", directive.arguments[0])
    flags = debug.last_location.flags & LineFlag.IS_STMT if debug.last_location else LineFlag.IS_STMT
    location = SourceLocation(file, line, column, flags)
    view: Argument | None = None
    while rest:
        word = rest.pop(0)
        name = assembly.name(word, statement)
        if name in _FLAGS:
            location = dataclasses.replace(location, flags=location.flags | _FLAGS[name])
            continue
        if name != _VIEW and name not in _NUMBERED:
            known = ", ".join([*_FLAGS, *_NUMBERED, _VIEW])
            raise StatementError(f".loc does not know `{name}`; it knows {known}", word)
        if not rest:
            raise StatementError(f"`{name}` needs a number", word)
        argument = rest.pop(0)
        if name == _VIEW:
            view = argument
        else:
            most, with_number = _NUMBERED[name]
            location = with_number(location, _number_up_to(most, argument, assembly, statement, f"`{name}`"))
    assembly.place_location()
    debug.location = debug.last_location = location
    if view is not None:
        _set_view(view, assembly, statement)
        assembly.place_location()


def _set_view(view: Argument, assembly: Assembly, statement: Statement) -> None:
    """Do what `view` says: a symbol becomes the number of rows before this one at the same place; 0 asserts it.

    As in GNU as, where -0 asserts nothing.
    """
    number = _rows_before_here(assembly.subsection, assembly.debug.rows.get(assembly.subsection, []))
    if isinstance(view, SymbolName):
        assembly.set_expression(assembly.symbol(view, statement), number, statement.span_of(view))
        return
    if assembly.number(view, statement, "`view`"):
        raise StatementError("a view is a symbol, which gets its number, or 0", view)
    if isinstance(number, int) and number and not isinstance(view, Unary):
        raise StatementError(f"the view is {number}, as many locations as there are at this place already", view)


def _rows_before_here(subsection: Subsection, rows: list[tuple[int, int, SourceLocation]]) -> Bound:
    """How many rows there are at the end of a subsection; where fragments lie between, that is known later."""
    offset, after = subsection.place
    number: Bound = 0
    for row_offset, row_after, _ in reversed(rows):
        in_fragments = sum(fragment.read_size for fragment in subsection.fragments[row_after:after])
        if row_offset + in_fragments != offset:
            break
        is_same: Bound = -1  # what is true
        if row_after != after:
            row = AssemblySymbol("\1row", subsection, row_offset, row_after)
            is_same = Operation("==", (here(subsection), row))
        if isinstance(number, int) and isinstance(is_same, int):
            number -= is_same
        else:
            number = Operation("-", (number, is_same))
    return number


def _loc_mark_labels(assembly: Assembly, directive: Directive, statement: Statement) -> None:
    need_arguments(directive, 1, 1)
    number = _number_up_to(1, directive.arguments[0], assembly, statement, f"the argument of {MARK_LABELS}")
    assembly.debug.marks_labels = bool(number)


def _line(assembly: Assembly, directive: Directive, statement: Statement) -> None:
    # `.line N` changes nothing, as in LLVM, and in GNU as without a line marker before it.
    need_arguments(directive, 1, 1)
    assembly.number(directive.arguments[0], statement, "the line")


def _linefile(assembly: Assembly, directive: Directive, statement: Statement) -> None:
    # What `.linefile N "name"` says of lines is found by bpfas.diag.
    match directive.arguments:
        case [Number(), String(), *flags] if all(isinstance(flag, Number) for flag in flags):
            return
    raise StatementError('.linefile is written .linefile line "file"')


DEBUG_DIRECTIVES: dict[str, Handler] = {
    ".file": _file,
    ".loc": _loc,
    MARK_LABELS: _loc_mark_labels,
    ".line": _line,
    ".linefile": _linefile,
}
