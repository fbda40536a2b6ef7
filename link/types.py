"""The types of the inputs, merged into the output's."""

from __future__ import annotations

from typing import NamedTuple


class TypeCounts(NamedTuple):
    """How many types the inputs have together, and how many the output has."""

    before: int
    after: int
