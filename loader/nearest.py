"""Names near to one that is missing, out of very many.

difflib compares two names well but slowly, so it is given only those that share most parts of three letters.
"""

from __future__ import annotations

import difflib
import heapq
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_PART = 3
_COMPARED = 200


def nearest(name: str, known: Iterable[str], count: int = 3) -> list[str]:
    """Up to `count` of the names `known` that look like `name`, the nearest first."""
    parts = [name[start : start + _PART] for start in range(max(1, len(name) - _PART + 1))]
    likely = heapq.nlargest(
        _COMPARED,
        set(known),
        key=lambda other: (sum(part in other for part in parts), -abs(len(other) - len(name)), other),
    )
    return difflib.get_close_matches(name, likely, n=count)


def did_you_mean(name: str, known: Iterable[str]) -> tuple[str, ...]:
    """A note that names the nearest; nothing if none is near."""
    near = nearest(name, known)
    return (f"did you mean {' or '.join(near)}?",) if near else ()
