"""Findings as text: by group, what does not work with the reason and the remedy."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from bpfas.loader.doctor.finding import Group, State

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from bpfas.loader.doctor.finding import Finding

_MARKS = {State.WORKS: "yes", State.LIMITED: "part", State.FAILS: "no", State.UNKNOWN: "?"}
_COLORS = {State.WORKS: 32, State.LIMITED: 33, State.FAILS: 31, State.UNKNOWN: 36}
"""Of the marks, as ECMA-48 numbers them: green, yellow, red, cyan."""

_MARK_WIDTH = 4
_INDENT = 2


def works_by_group(findings: Iterable[Finding]) -> dict[Group, str]:
    """How much of each group works, in words."""
    members: dict[Group, list[bool]] = {}
    for finding in findings:
        members.setdefault(finding.group, []).append(finding.state is State.WORKS)
    return {group: f"{sum(works)} of {len(works)} work" for group, works in members.items()}


def as_text(
    findings: Sequence[Finding],
    width: int = 100,
    works: Mapping[Group, str] | None = None,
    *,
    is_colored: bool = False,
) -> str:
    """The findings in lines of `width` characters, or a little more.

    `works` is `works_by_group` of all findings where these are only some.
    """
    works = works_by_group(findings) if works is None else works
    lines = []
    for group in Group:
        members = [finding for finding in findings if finding.group is group]
        if members:
            subject_width = max(len(finding.subject) for finding in members)
            start = _INDENT + _MARK_WIDTH + 1 + subject_width + 2
            lines += ["", f"{group.value}: {works[group]}"]
        for finding in members:
            mark = f"{_MARKS[finding.state]:{_MARK_WIDTH}}"
            if is_colored:
                mark = f"\x1b[{_COLORS[finding.state]}m{mark}\x1b[m"
            head = f"{'':{_INDENT}}{mark} {finding.subject:{subject_width}}"
            body = [finding.detail] if finding.detail else []
            body += [f"-> {finding.remedy}"] if finding.remedy else []
            room = max(width - start, 40)
            wrapped = [line for part in body for line in textwrap.wrap(part, room, break_on_hyphens=False)]
            lines.append(f"{head}  {wrapped[0]}" if wrapped else head.rstrip())
            lines += [" " * start + line for line in wrapped[1:]]
    return "\n".join(lines[1:])
