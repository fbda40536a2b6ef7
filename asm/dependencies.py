"""The rule for make that says which files an object depends on (`--MD`)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_WIDTH = 72
"""Columns of a line, as in GNU as."""


def make_rule(target: str, files: Iterable[str]) -> str:
    """`target: files`, in lines of moderate length. What has a meaning in make is quoted."""
    lines = [f"{_quoted(target)}:"]
    for file in map(_quoted, files):
        # A line that goes on ends with " \".
        if len(lines[-1]) + 1 + len(file) + 2 > _WIDTH:
            lines.append("")
        lines[-1] += f" {file}"
    return " \\\n".join(lines) + "\n"


def _quoted(path: str) -> str:
    """A file's name for make (GNU make manual, "Rule Syntax" and "Using Wildcard Characters")."""
    # Backslashes before a blank or # are halved by make, others are not.
    return re.sub(r"(\\*)([ \t#])", r"\1\1\\\2", path).replace("$", "$$")
