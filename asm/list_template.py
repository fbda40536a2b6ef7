"""Templates of directives that have a plain list of values, made from the statement's shape without Lark.

A table may have tens of thousands of numbers in one statement, for which Lark takes seconds. This is no second
definition of the language: what is made here is what Lark makes of the same text, to which the tests hold it;
whatever is not as plain as `.byte 1, -2, x` is left to Lark (`bpfas.asm.parser`).
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from bpfas.asm.shape import SLOT_MARK
from bpfas.asm.statement import Directive, Float, Label, Number, String, SymbolName, Template, Unary

if TYPE_CHECKING:
    from bpfas.asm.statement import Argument

_BLANKS = r"[ \t\r\f\v]*+"
_LABEL = rf"{SLOT_MARK}(?P<kind>[S0]){_BLANKS}:{_BLANKS}"
_ITEM = rf"(?:[-+]?{_BLANKS}{SLOT_MARK}[0x'FDS]|{SLOT_MARK}\"){_BLANKS}"
_STATEMENT = re.compile(
    rf"(?P<labels>(?:{_LABEL})*+)(?P<name>\.(?:[A-Za-z_]|[0-9]+byte(?![\w.$]))[\w.$]*+){_BLANKS}"
    rf"(?P<items>{_ITEM}(?:,{_BLANKS}{_ITEM})*+)"
)
_LABEL_KIND = re.compile(rf"{SLOT_MARK}(.)")
_SIGN_AND_KIND = re.compile(rf"(-?){_BLANKS}{SLOT_MARK}(.)")

_OTHERWISE_LEXED = (".section", ".pushsection")
"""Directives whose first argument Lark takes for a section's name."""


def list_template(shape: str) -> Template | None:
    """The template of a shape that is a directive with a plain list, perhaps behind labels; None for any other."""
    match = _STATEMENT.fullmatch(shape)
    if match is None:
        return None
    name = match["name"].lower()
    if name in _OTHERWISE_LEXED:
        return None
    kinds: list[str] = _LABEL_KIND.findall(match["labels"])
    labels = tuple(Label(slot, kind == "0") for slot, kind in enumerate(kinds))
    items: list[tuple[str, str]] = _SIGN_AND_KIND.findall(match["items"])
    arguments = tuple(_argument(sign, kind, slot) for slot, (sign, kind) in enumerate(items, len(labels)))
    return Template(labels, Directive(name, arguments))


@cache
def _argument(sign: str, kind: str, slot: int) -> Argument:
    node: Number | Float | SymbolName
    match kind:
        case '"':
            return String(slot)
        case "F" | "D":
            node = Float(slot)
        case "S":
            node = SymbolName(slot)
        case _:
            node = Number(slot)
    return Unary("-", node) if sign else node
