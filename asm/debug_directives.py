"""Directives for debuggers: `.file` and `.loc` for the line table, `.cfi_…` for call frames."""

from __future__ import annotations

import dataclasses
import posixpath
from typing import TYPE_CHECKING

from bpfas.asm.assembly import Assembly, StatementError, need_arguments
from bpfas.asm.line_table import LineFlag, SourceFile, SourceLocation
from bpfas.asm.statement import Directive, Number, Statement, String, SymbolName
from bpfas.asm.symbol import here

if TYPE_CHECKING:
    from collections.abc import Callable

    from bpfas.asm.data_directives import Handler
    from bpfas.asm.statement import Argument

_MD5_SIZE = 16


def _file(assembly: Assembly, directive: Directive, statement: Statement) -> None:
    # `.file "name"` makes a symbol; `.file N ["directory"] "name" [md5 0x…]` gives a file a number for .loc.
    match directive.arguments:
        case [String() as name]:
            assembly.file_names.append(assembly.name(name, statement))
        case [Number() as number, String() as directory, String() as name, *rest]:
            _number_file(assembly, statement, number, assembly.name(directory, statement), name, rest)
        case [Number() as number, String() as name, *rest]:
            _number_file(assembly, statement, number, "", name, rest)
        case _:
            raise StatementError('.file is written .file "name" or .file number ["directory"] "name" [md5 0x…]')


def _number_file(
    assembly: Assembly, statement: Statement, number: Number, directory: str, name: Argument, rest: list[Argument]
) -> None:
    lines = assembly.debug.lines
    index = assembly.number(number, statement, "the file's number")
    text = assembly.name(name, statement)
    md5 = _md5(rest, assembly, statement)
    if index in lines.files:
        raise StatementError(f"file {index} is `{lines.files[index].name}` already", number)
    if index == 0:
        lines.version = 5
        lines.directories[0] = directory
        lines.files[0] = SourceFile(text, 0, md5)
        return
    assembly.debug.file_statements[index] = statement
    if not directory:
        directory, text = posixpath.split(text)
    lines.files[index] = SourceFile(text, lines.directory(directory) if directory else 0, md5)


def _md5(rest: list[Argument], assembly: Assembly, statement: Statement) -> bytes | None:
    match rest:
        case []:
            return None
        case [SymbolName() as word, Number(slot)] if assembly.name(word, statement) == "md5":
            try:
                return int(statement.texts[slot], 0).to_bytes(_MD5_SIZE, "big")
            except (ValueError, OverflowError):
                raise StatementError("an MD5 is a number of 32 hexadecimal digits", rest[1]) from None
    raise StatementError("after the file's name there can only be `md5 0x…`", rest[0])


_FLAGS = {
    "basic_block": LineFlag.BASIC_BLOCK,
    "prologue_end": LineFlag.PROLOGUE_END,
    "epilogue_begin": LineFlag.EPILOGUE_BEGIN,
}


def _set_is_stmt(location: SourceLocation, number: int) -> SourceLocation:
    flags = location.flags | LineFlag.IS_STMT if number else location.flags & ~LineFlag.IS_STMT
    return dataclasses.replace(location, flags=flags)


_NUMBERED: dict[str, Callable[[SourceLocation, int], SourceLocation]] = {
    "is_stmt": _set_is_stmt,
    "isa": lambda location, number: dataclasses.replace(location, isa=number),
    "discriminator": lambda location, number: dataclasses.replace(location, discriminator=number),
    "view": lambda location, _: location,  # GNU's numbering of views, which line tables do not hold
}


def _loc(assembly: Assembly, directive: Directive, statement: Statement) -> None:
    numbers: list[int] = []
    rest = list(directive.arguments)
    while rest and not isinstance(rest[0], SymbolName) and len(numbers) < 3:
        argument = rest.pop(0)
        number = assembly.number(argument, statement, ("the file", "the line", "the column")[len(numbers)])
        if number < 0:
            raise StatementError(f"{number} is negative", argument)
        numbers.append(number)
    if len(numbers) < 2:
        raise StatementError(".loc needs a file's number and a line")
    debug = assembly.debug
    if numbers[0] not in debug.lines.files:
        raise StatementError(f"there is no .file {numbers[0]} before this", directive.arguments[0])
    location = SourceLocation(numbers[0], numbers[1], numbers[2] if numbers[2:] else 0, debug.flags)
    while rest:
        word = rest.pop(0)
        name = assembly.name(word, statement)
        if name in _FLAGS:
            location = dataclasses.replace(location, flags=location.flags | _FLAGS[name])
        elif name in _NUMBERED:
            if not rest:
                raise StatementError(f"`{name}` needs a number", word)
            argument = rest.pop(0)
            number = assembly.number(argument, statement, f"`{name}`")
            if number < 0:
                raise StatementError(f"{number} is negative", argument)
            location = _NUMBERED[name](location, number)
        else:
            known = ", ".join([*_FLAGS, *_NUMBERED])
            raise StatementError(f".loc does not know `{name}`; it knows {known}", word)
    assembly.place_location()
    debug.location, debug.flags = location, location.flags & LineFlag.IS_STMT


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


def _cfi_sections(assembly: Assembly, directive: Directive, statement: Statement) -> None:
    names = [assembly.name(argument, statement) for argument in directive.arguments]
    for name, argument in zip(names, directive.arguments, strict=True):
        if name not in (".debug_frame", ".eh_frame"):
            raise StatementError(f"`{name}` is neither .debug_frame nor .eh_frame", argument)
    assembly.debug.has_frame_section = ".debug_frame" in names


def _cfi_startproc(assembly: Assembly, directive: Directive, statement: Statement) -> None:
    debug = assembly.debug
    if [assembly.name(argument, statement) for argument in directive.arguments] not in ([], ["simple"]):
        raise StatementError(".cfi_startproc can only have the argument `simple`", directive.arguments[0])
    if debug.open_procedure is not None:
        raise StatementError(".cfi_startproc before the .cfi_endproc of the last one")
    debug.open_procedure = here(assembly.subsection)
    debug.open_statement = statement


def _cfi_endproc(assembly: Assembly, directive: Directive, statement: Statement) -> None:
    debug = assembly.debug
    if debug.open_procedure is None:
        raise StatementError(".cfi_endproc without a .cfi_startproc")
    start, end = debug.open_procedure, here(assembly.subsection)
    debug.open_procedure = None
    if start.section is not end.section:
        assert start.section is not None
        raise StatementError(
            f".cfi_startproc was in section `{start.section.name}`, not in `{assembly.section.name}`"
        )
    debug.procedures.append((start, end))


DEBUG_DIRECTIVES: dict[str, Handler] = {
    ".file": _file,
    ".loc": _loc,
    ".line": _line,
    ".linefile": _linefile,
    ".cfi_sections": _cfi_sections,
    ".cfi_startproc": _cfi_startproc,
    ".cfi_endproc": _cfi_endproc,
}
