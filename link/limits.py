"""How many messages of one kind a link shows: enough to see what is wrong, few enough to be read.

What is wrong inside one file has limits of its own, in `bpfas.elf` and `bpfas.btf`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpfas.diag import Diagnostic, Severity

if TYPE_CHECKING:
    from bpfas.diag import Diagnostics

MOST_MESSAGES = 20


def report_rest(number: int, what: str, diagnostics: Diagnostics, severity: Severity = Severity.ERROR) -> None:
    """Tell how many of `number` messages about `what` were not shown, if MOST_MESSAGES were not enough."""
    if number > MOST_MESSAGES:
        diagnostics.items.append(Diagnostic(severity, f"… and {number - MOST_MESSAGES} more {what}"))
