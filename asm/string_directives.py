"""Directives that put text, coded bytes or the bytes of a file into the current section."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

from bpfas.asm.assembly import Assembly, StatementError, need_arguments
from bpfas.asm.expression import literal
from bpfas.asm.fragment import SECTION_LIMIT, FragmentError, checked_size
from bpfas.asm.statement import ByteInString, Directive, Omitted, Statement, String
from bpfas.elf.constants import ByteOrder

if TYPE_CHECKING:
    from bpfas.asm.data_directives import Handler
    from bpfas.asm.statement import Argument


def _strings(
    width: int, is_terminated: bool, assembly: Assembly, directive: Directive, statement: Statement
) -> None:
    # Strings with no comma between them are one string, which ends once; a byte in angle brackets has no end.
    arguments = directive.arguments
    for position, argument in enumerate(arguments):
        text = _piece(assembly, argument, statement)
        goes_on = position + 1 in directive.adjacent and isinstance(arguments[position + 1], String)
        if is_terminated and isinstance(argument, String) and not goes_on:
            text += b"\0"
        assembly.append(text if width == 1 else _widened(text, width, assembly.order))


def _piece(assembly: Assembly, argument: Argument, statement: Statement) -> bytes:
    if not isinstance(argument, ByteInString):
        return assembly.string(argument, statement)
    value = literal(argument, statement)
    assert value is not None
    if value > 0xFF:
        raise StatementError(f"{value} does not fit in 8 bits (0 to 255)", argument)
    return bytes((value,))


def _widened(text: bytes, width: int, order: ByteOrder) -> bytes:
    """Every byte of `text` as a number of `width` bytes."""
    wide = bytearray(len(text) * width)
    wide[0 if order is ByteOrder.LITTLE else width - 1 :: width] = text
    return bytes(wide)


def _base64(assembly: Assembly, directive: Directive, statement: Statement) -> None:
    import base64
    import binascii

    for argument in directive.arguments:
        try:
            data = base64.b64decode(assembly.string(argument, statement), validate=True)
        except binascii.Error as error:
            raise StatementError(f"this is no base64: {error}", argument) from None
        assembly.append(data)


def _incbin(assembly: Assembly, directive: Directive, statement: Statement) -> None:
    # .incbin "file"[, skip[, count]]
    need_arguments(directive, 1, 3)
    first, *rest = directive.arguments
    name = os.fsdecode(assembly.string(first, statement))
    skip = _part_of_file(assembly, rest[:1], statement, "the bytes to skip")
    count = _part_of_file(assembly, rest[1:], statement, "the count")
    # A file may be much larger than what is wanted of it, and than a section may be.
    most = SECTION_LIMIT + 1 if count is None else min(count, SECTION_LIMIT + 1)
    data, size = assembly.files.bytes_of(name, statement.span_of(first), skip or 0, most)
    _check_part(skip, size, rest[:1], "the bytes to skip")
    _check_part(count, size - (skip or 0), rest[1:], "the count")
    try:
        checked_size(len(data), assembly.subsection.size, assembly.section)
    except FragmentError as error:
        raise StatementError(str(error), first) from error
    assembly.append(data)


def _part_of_file(assembly: Assembly, rest: list[Argument], statement: Statement, what: str) -> int | None:
    """A number of bytes; None where the argument is left out."""
    if not rest or isinstance(rest[0], Omitted):
        return None
    number = assembly.number(rest[0], statement, what)
    if number < 0:
        raise StatementError(f"{what}, {number}, cannot be negative", rest[0])
    return number


def _check_part(number: int | None, size: int, rest: list[Argument], what: str) -> None:
    if number is not None and number > size:
        raise StatementError(f"{what}, {number}, must be 0 to {size}: so many the file has", rest[0])


STRING_ENDS = {".ascii": b"", ".asciz": b"\0", ".string": b"\0", ".string8": b"\0"}
"""What directives for strings of bytes put behind each string."""

STRING_DIRECTIVES: dict[str, Handler] = {
    **{name: partial(_strings, 1, end != b"") for name, end in STRING_ENDS.items()},
    ".string16": partial(_strings, 2, True),
    ".string32": partial(_strings, 4, True),
    ".string64": partial(_strings, 8, True),
}
"""Those that take several strings for one where no comma stands between them."""

BYTES_DIRECTIVES: dict[str, Handler] = {
    ".base64": _base64,
    ".incbin": _incbin,
}
