"""Names near to one that is missing.

difflib compares two names well but slowly, so of very many names it is given only those that share most parts of
three letters. What is right needs neither, so it is imported when something is missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_PART = 3
_COMPARED = 200
_CUTOFF = 0.6


def close_matches(name: str, known: Iterable[str], count: int = 1, cutoff: float = _CUTOFF) -> list[str]:
    """Up to `count` of a few names `known` that look like `name` by at least `cutoff`, the nearest first."""
    import difflib

    return difflib.get_close_matches(name, list(known), count, cutoff)


def nearest(name: str, known: Iterable[str], count: int = 3) -> list[str]:
    """Up to `count` of the names `known` that look like `name`, the nearest first."""
    import heapq

    parts = [name[start : start + _PART] for start in range(max(1, len(name) - _PART + 1))]
    likely = heapq.nlargest(
        _COMPARED,
        set(known),
        key=lambda other: (sum(part in other for part in parts), -abs(len(other) - len(name)), other),
    )
    return close_matches(name, likely, count)


def did_you_mean(name: str, known: Iterable[str]) -> tuple[str, ...]:
    """A note that names the nearest; nothing if none is near."""
    near = nearest(name, known)
    return (f"did you mean {' or '.join(near)}?",) if near else ()
