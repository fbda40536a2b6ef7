"""Values of the keywords that say where a program is attached, checked against the types that the functions give.

Wrong ones come from command lines, and from Python that no type checker has seen. What a value means is for the
functions themselves; alternatives that are not in the table here (enumerations) are theirs to check, too.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Collection, Iterable
from typing import Any, NamedTuple

_WIDEST = 64
"""Bits of the kernel's numbers."""


class _Type(NamedTuple):
    """What a type is called in messages, and whether a value is one of it."""

    words: str
    has: Callable[[Any], bool]


def _is_number(value: Any) -> bool:
    return (
        not isinstance(value, bool)
        and hasattr(value, "__index__")
        and -(1 << _WIDEST - 1) <= value.__index__() < 1 << _WIDEST
    )


def _all(has: Callable[[Any], bool]) -> Callable[[Any], bool]:
    def have(values: Any) -> bool:
        if isinstance(values, str | bytes) or not isinstance(values, Iterable):
            return False
        # What can be walked only once is not walked here.
        return not isinstance(values, Collection) or all(has(value) for value in values)

    return have


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _has_descriptor(value: Any) -> bool:
    return hasattr(value, "fd")


_NUMBERS = _Type("a list of numbers", _all(_is_number))
_TYPES = {
    "None": _Type("", lambda value: value is None),
    "bool": _Type("true or false", lambda value: isinstance(value, bool)),
    "int": _Type("a number of 64 bits", _is_number),
    "str": _Type("a text", _is_text),
    "os.PathLike[str]": _Type("a path", lambda value: isinstance(value, os.PathLike)),
    "socket.socket": _Type("a socket", lambda value: isinstance(value, socket.socket)),
    "Iterable[int]": _NUMBERS,
    "Sequence[int]": _NUMBERS,
    "Sequence[str]": _Type("a list of texts", _all(_is_text)),
    "HasDescriptor": _Type("a loaded program or map", _has_descriptor),
    "AttachableMap": _Type("a map", _has_descriptor),
}
"""By their names in annotations."""


def check_value(keyword: str, value: Any, annotation: str) -> None:
    """Raise TypeError if the value of `keyword` is of none of the types of its annotation, as `str | None`."""
    names = annotation.split(" | ")
    if any(name not in _TYPES or _TYPES[name].has(value) for name in names):
        return
    wanted = " or ".join(_TYPES[name].words for name in names if _TYPES[name].words)
    raise TypeError(f"{keyword} is {value!r}, not {wanted}")
