"""What `bpf-load` says of what went wrong: for people in colours, with the verifier's log last; or as JSON.

The order of a refusal by the verifier is that of its VerifierError: what is wrong, the instruction, its source,
the registers, the way there, the remedy, and the kernel's log, whole; behind a long log all but the log again.
"""

from __future__ import annotations

import errno
import json
import os
import re
import sys
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TextIO

from bpfas.cli import report, wants_json
from bpfas.diag import BpfasError, Diagnostic
from bpfas.loader.errors import KernelError, Step, VerifierError

if TYPE_CHECKING:
    from collections.abc import Sequence

PROGRAM = "bpf-load"
DONE, FAULT, NOT_THERE = 0, 1, 2
"""The exit statuses: done; something at fault, or refused; not there, or not well."""

COLOR_OPTION = "--color"
COLOR_CHOICES = ("auto", "always", "never")

_LONG_LOG = 60
"""Lines of the kernel's log behind which the messages are told once more."""

_OPENING = frozenset({Step.OPEN_MAP, Step.OPEN_PROGRAM, Step.OPEN_LINK, Step.UNPIN})
_RESET = "\33[0m"
_STYLES = (
    (re.compile(r"(?<=^bpf-load: )error: ", re.MULTILINE), "1;31"),
    (re.compile(r"(?<=^>>> )remedy:", re.MULTILINE), "1;32"),
    (re.compile(r"(?<=^>>> )(?:at instruction|which is|where|the way there:)", re.MULTILINE), "1"),
    (re.compile(r"(?<=^>>> the kernel's log:\n).*", re.DOTALL), "2"),
)
"""What of a message is painted, and how (ECMA-48, SGR): bold red, bold green, bold, faint."""


class NotThereError(BpfasError):
    """What a command was asked for is not there."""


def print_error(error: BpfasError, words: Sequence[str]) -> None:
    """Print all that an exception tells to standard error, in the form that the arguments `words` ask for."""
    if wants_json(words):
        print_error_as_json(error)
        return
    diagnostics = [*error.diagnostics, *_told_again(error)]
    if is_colored(_color_choice(words), sys.stderr):
        for diagnostic in diagnostics:
            text = diagnostic.render()
            print(painted(text if diagnostic.at else f"{PROGRAM}: {text}"), file=sys.stderr)
    else:
        report(PROGRAM, diagnostics, as_json=False)


def _told_again(error: BpfasError) -> list[Diagnostic]:
    """The messages without the kernel's log, for the end of a long one: who reads there has not seen them."""
    if not isinstance(error, KernelError) or error.log.count("\n") < _LONG_LOG:
        return []
    return [each._replace(notes=each.notes[:-1]) for each in error.diagnostics]


def print_error_as_json(error: BpfasError) -> None:
    """Print messages as docs/diagnostics.md has them; a KernelError with what it knows besides."""
    if not isinstance(error, KernelError):
        report(PROGRAM, error.diagnostics, as_json=True)
        return
    for diagnostic in error.diagnostics:
        line = {"program": PROGRAM, **diagnostic.as_data(), **_kernel_data(error)}
        print(json.dumps(line), file=sys.stderr)


def exit_status(error: BpfasError) -> int:
    """The exit status for an exception: NOT_THERE where what was named is not there."""
    is_missing = isinstance(error, NotThereError) or (
        isinstance(error, KernelError) and error.errno == errno.ENOENT and error.step in _OPENING
    )
    return NOT_THERE if is_missing else FAULT


def painted(text: str) -> str:
    """A message in colours."""
    for pattern, style in _STYLES:
        text = pattern.sub(lambda match, style=style: f"\33[{style}m{match[0]}{_RESET}", text, count=0)  # type: ignore[misc]
    return text


def is_colored(choice: str, stream: TextIO | None = None) -> bool:
    """Whether what goes to `stream` (default: standard output) may have colours."""
    if choice != "auto":
        return choice == "always"
    return "NO_COLOR" not in os.environ and (stream or sys.stdout).isatty()


def _color_choice(words: Sequence[str]) -> str:
    """What --color says in arguments that need not be right otherwise."""
    for word, following in pairwise([*words, ""]):
        name, _, value = word.partition("=")
        if name == COLOR_OPTION and (chosen := value or following) in COLOR_CHOICES:
            return chosen
    return "auto"


def _kernel_data(error: KernelError) -> dict[str, Any]:
    data: dict[str, Any] = {
        "step": error.step.name.lower(),
        "subject": error.subject,
        "errno": error.errno_name,
        "cause": error.cause,
        "remedy": error.remedy,
        "log": error.log,
    }
    if isinstance(error, VerifierError):
        found = error.report
        data["verifier"] = {
            "instruction": found.instruction,
            "text": found.text,
            "function": found.function,
            "source": found.source._asdict() if found.source else None,
            "registers": dict(found.registers),
            "path": list(found.path),
            "reason": found.reason,
        }
    return data
