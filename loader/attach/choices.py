"""Keywords whose value is one of a few: as a member of an enumeration, or as its value in words."""

from __future__ import annotations

import enum
from typing import TypeVar

_Member = TypeVar("_Member", bound=enum.Enum)


def choose(choices: type[_Member], given: _Member | str, keyword: str) -> _Member:
    """The member that `given` is, or whose value it is. Raises ValueError with all that it might be."""
    try:
        return choices(given)
    except ValueError:
        known = ", ".join(str(member.value) for member in choices)
        raise ValueError(f"{keyword} is {given!r}, not one of {known}") from None
