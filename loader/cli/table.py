"""Tables of text: rows below headings, columns as wide as what is in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


def table(columns: Mapping[str, str], rows: Iterable[Mapping[str, object]]) -> str:
    """Rows below headings, which `columns` gives by the rows' keys; numbers to the right."""
    values = [[row[key] for key in columns] for row in rows]
    lines: list[list[str]] = [list(columns.values()), *([str(value) for value in row] for row in values)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    is_number = [isinstance(value, int) for value in values[0]] if values else [False] * len(columns)
    return "\n".join(_line(line, widths, is_number) for line in lines)


def _line(cells: Sequence[str], widths: Sequence[int], is_number: Sequence[bool]) -> str:
    padded = (
        cell.rjust(width) if right else cell.ljust(width)
        for cell, width, right in zip(cells, widths, is_number, strict=True)
    )
    return "  ".join(padded).rstrip()
