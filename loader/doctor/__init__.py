"""What works on this machine, what not and why: each tried for real, and undone at once.

    for finding in examine():
        print(finding.subject, finding.state.value, finding.detail)

`as_text` shows the findings to people, `Finding.as_data` gives one for JSON. Without privilege much is found not
to work, and the findings say so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpfas.loader.doctor.attaching import examine_attaching
from bpfas.loader.doctor.features import examine_features
from bpfas.loader.doctor.finding import Finding, Group, State
from bpfas.loader.doctor.helper_functions import examine_helpers
from bpfas.loader.doctor.machine import examine_machine, examine_settings
from bpfas.loader.doctor.map_types import examine_map_types
from bpfas.loader.doctor.program_types import examine_program_types
from bpfas.loader.doctor.text import as_text, works_by_group

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

__all__ = ["ESSENTIAL_GROUPS", "Finding", "Group", "State", "as_text", "examine", "is_well", "works_by_group"]

_EXAMINATIONS: dict[Group, Callable[[], Iterable[Finding]]] = {
    Group.MACHINE: examine_machine,
    Group.SETTINGS: examine_settings,
    Group.FEATURES: examine_features,
    Group.PROGRAM_TYPES: examine_program_types,
    Group.MAP_TYPES: examine_map_types,
    Group.HELPERS: examine_helpers,
    Group.ATTACHING: examine_attaching,
}


def examine(groups: Collection[Group] = tuple(Group)) -> list[Finding]:
    """The findings of these groups, in the order of Group."""
    return [finding for group in Group if group in groups for finding in _EXAMINATIONS[group]()]


_ESSENTIAL = frozenset(
    {
        (Group.MACHINE, "bpf(2)"),
        (Group.PROGRAM_TYPES, "socket_filter"),
        (Group.MAP_TYPES, "array"),
    }
)

ESSENTIAL_GROUPS = frozenset(group for group, _ in _ESSENTIAL)
"""The groups that `is_well` looks at."""


def is_well(findings: Iterable[Finding]) -> bool:
    """Whether maps and programs can be made at all, as far as the findings tell."""
    return all(
        finding.state is State.WORKS for finding in findings if (finding.group, finding.subject) in _ESSENTIAL
    )
