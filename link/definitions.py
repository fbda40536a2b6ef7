"""Symbols that the command line defines: `--defsym NAME=EXPRESSION`.

An expression is a number, a symbol, or a symbol plus or minus a number of bytes. What is defined so wins against
the definitions of all objects, as with GNU ld.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bpfas.elf.constants import SymbolBinding
from bpfas.objfile import ObjectFile, SpecialSection, Symbol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bpfas.diag import Diagnostics
    from bpfas.elf.constants import ByteOrder
    from bpfas.link.symtab import SymbolTable

_NAME = re.compile(r"[^\W\d][\w.$]*|[.$][\w.$]+")
"""What the assembler takes for a symbol's name without quotes."""
_NUMBER = r"0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*"
_EXPRESSION = re.compile(
    rf"\s*(?:(?P<number>-?(?:{_NUMBER}))|(?P<symbol>[^\s+\-0-9][^\s+\-]*)(?:\s*(?P<sign>[+-])\s*(?P<offset>{_NUMBER}))?)\s*"
)


def define_symbols(
    definitions: Sequence[tuple[str, str]], order: ByteOrder, table: SymbolTable, diagnostics: Diagnostics
) -> ObjectFile | None:
    """An object with the symbols that `definitions` (name, expression) ask for; None if there are none.

    The table's resolutions then lead to it. A later definition may use an earlier one.
    """
    if not definitions:
        return None
    obj = ObjectFile("--defsym", order)
    for name, expression in definitions:
        symbol = _evaluate(name, expression, table, diagnostics)
        if symbol is not None:
            obj.symbols.append(symbol)
            table.override(obj, symbol)
    return obj


def _evaluate(name: str, expression: str, table: SymbolTable, diagnostics: Diagnostics) -> Symbol | None:
    """The symbol that one definition makes, or None after an error."""
    where = f"--defsym {name}={expression}"
    if not _NAME.fullmatch(name) and name not in table.resolutions:
        diagnostics.error(
            f"nothing can refer to a symbol called `{name}`; a name is letters, digits, _, . and $, "
            "and begins with none of the digits",
            where,
        )
        return None
    match = _EXPRESSION.fullmatch(expression)
    if match is None:
        diagnostics.error("the value is a number, a symbol, or a symbol + or - a number", where)
        return None
    if match["number"] is not None:
        value = _number(match["number"])
        return _check(Symbol(name, SpecialSection.ABS, value, st_bind=SymbolBinding.GLOBAL), where, diagnostics)
    found = table.resolutions.get(match["symbol"])
    if found is None or not found.is_defined:
        diagnostics.error(f"no object defines {match['symbol']}", where)
        return None
    target = found.symbol
    offset = _number(match["offset"]) * (-1 if match["sign"] == "-" else 1) if match["offset"] else 0
    symbol = Symbol(
        name,
        target.section,
        target.st_value + offset,
        0 if offset else target.st_size,
        SymbolBinding.GLOBAL,
        target.st_type,
    )
    return _check(symbol, where, diagnostics)


def _number(text: str) -> int:
    """The value of a number, as GNU ld reads it: hexadecimal behind 0x, octal behind 0, else decimal."""
    sign, digits = (-1, text[1:]) if text.startswith("-") else (1, text)
    octal = len(digits) > 1 and digits.startswith("0") and digits.isdigit()
    return sign * int(digits, 8 if octal else 0)


def _check(symbol: Symbol, where: str, diagnostics: Diagnostics) -> Symbol | None:
    """`symbol` with its value as st_value holds it, or None after an error when it can't hold it."""
    if not -(1 << 63) <= symbol.st_value < 1 << 64:
        diagnostics.error(f"the value {symbol.st_value} has more than 64 bits", where)
        return None
    symbol.st_value %= 1 << 64
    return symbol
