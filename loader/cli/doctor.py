"""`bpf-load doctor`: what BPF can do on this machine, what not and why, each tried for real."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from bpfas.diag import BpfasError
from bpfas.loader.cli.common import command_parser, print_json
from bpfas.loader.cli.messages import DONE, NOT_THERE, is_colored
from bpfas.loader.doctor import Group, State, as_text, examine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bpfas.loader.doctor import Finding

_DESCRIPTION = """\
Try what BPF can do on this machine, for this process: types of programs and maps, helper functions, features,
attaching. Say what does not work, why, and what to do about it. Everything is undone at once.
"""
_EPILOG = f"""\
groups: {", ".join(group.name.lower().replace("_", "-") for group in Group)}

Exit status: 0 programs can be loaded, 2 they cannot: bpf(2) or CAP_BPF is missing, or no type of programs or of
maps works.
"""
_VITAL = frozenset({"bpf(2)", "CAP_BPF"})
"""The subjects that nothing works without."""


def main(name: str, arguments: Sequence[str]) -> int:
    """Run the command; gives its exit status."""
    parser = command_parser(name, _DESCRIPTION, _EPILOG)
    names = {group.name.lower().replace("_", "-"): group for group in Group}
    parser.add_argument("groups", metavar="GROUP", nargs="*", help="what to examine (default: all)")
    parser.add_argument("--failing", action="store_true", help="show only what does not work")
    options = parser.parse_args(arguments)
    if unknown := [each for each in options.groups if each not in names]:
        raise BpfasError.of(f"there is no group '{unknown[0]}'; there are {', '.join(names)}")
    chosen = {names[each] for each in options.groups} or set(Group)
    findings = examine(chosen)
    status = DONE if _can_load(findings) else NOT_THERE
    if options.failing:
        findings = [each for each in findings if each.state is not State.WORKS]
    if options.json:
        print_json([each.as_data() for each in findings])
    else:
        width = shutil.get_terminal_size((100, 0)).columns
        print(as_text(findings, width, is_colored=is_colored(options.color)))
    return status


def _can_load(findings: Sequence[Finding]) -> bool:
    """Whether nothing was found that keeps all programs from being loaded."""
    if any(each.state is State.FAILS and each.subject in _VITAL for each in findings):
        return False
    for group in (Group.PROGRAM_TYPES, Group.MAP_TYPES):
        states = {each.state for each in findings if each.group is group}
        if states and State.WORKS not in states:
            return False
    return True
