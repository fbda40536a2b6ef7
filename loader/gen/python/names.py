"""Names of an object as Python takes them."""

from __future__ import annotations

import keyword
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container


def identifier(name: str, reserved: Container[str] = ()) -> str:
    """`name` as an attribute.

    What Python does not take is `_`, two `_` in front are one (Python would change such names), and a name that is
    `reserved` or Python's own has `_` behind it.
    """
    kept = "".join(char if char.isascii() and (char.isalnum() or char == "_") else "_" for char in name)
    if kept.startswith("__"):
        kept = "_" + kept.lstrip("_")
    if not kept or kept[0].isdigit():
        kept = f"_{kept}"
    return f"{kept}_" if keyword.iskeyword(kept) or kept in reserved else kept


def class_name(name: str) -> str:
    """`name` as a class has it: `event_kind` is EventKind."""
    kept = identifier(name)
    joined = "".join(word[:1].upper() + word[1:] for word in kept.split("_")) or "Nameless"
    return f"_{joined}" if joined[0].isdigit() else joined


def unique(name: str, taken: set[str]) -> str:
    """`name`, with a number behind it if it is taken; taken from now on."""
    found, number = name, 2
    while found in taken or keyword.iskeyword(found):
        found, number = f"{name}_{number}", number + 1
    taken.add(found)
    return found
