"""`bpf-load doctor`: what works on this machine, what not and why."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from bpfas.loader.cli.common import command_parser, print_json
from bpfas.loader.cli.messages import DONE, NOT_THERE, is_colored
from bpfas.loader.doctor import ESSENTIAL_GROUPS, Group, State, as_text, examine, is_well, works_by_group

if TYPE_CHECKING:
    from collections.abc import Sequence

_DESCRIPTION = """\
Try on this machine what BPF can do, and say what works, what does not, why, and
what to do about it. Nothing stays loaded or attached.

Exit status: 0 maps and programs can be made; 2 they cannot.
"""
_EXAMPLES = """\
examples:
  bpf-load doctor                  all of it
  bpf-load doctor attaching        how programs can be attached
  bpf-load doctor --json | jq '.findings[] | select(.works | not)'
"""
_GROUPS = {group.name.lower().replace("_", "-"): group for group in Group}
_WIDTH = 100


def main(name: str, arguments: Sequence[str]) -> int:
    """Run the command; gives its exit status."""
    parser = command_parser(name, _DESCRIPTION, _EXAMPLES)
    parser.add_argument(
        "groups", nargs="*", metavar="GROUP", help=f"what to look at: {', '.join(_GROUPS)} (default: all)"
    )
    parser.add_argument("--failing", action="store_true", help="show only what does not work")
    options = parser.parse_args(arguments)
    unknown = [group for group in options.groups if group not in _GROUPS]
    if unknown:
        parser.error(f"there is no group '{unknown[0]}'; there are {', '.join(_GROUPS)}")
    groups = frozenset(_GROUPS[group] for group in options.groups) or frozenset(Group)
    # Whether all is well does not depend on what is shown.
    findings = examine(groups | ESSENTIAL_GROUPS)
    well = is_well(findings)
    findings = [finding for finding in findings if finding.group in groups]
    counts = works_by_group(findings)
    if options.failing:
        findings = [finding for finding in findings if finding.state is not State.WORKS]
    if options.json:
        print_json({"well": well, "findings": [finding.as_data() for finding in findings]})
    else:
        print(as_text(findings, min(_WIDTH, _columns()), counts, is_colored=is_colored(options.color)))
    return DONE if well else NOT_THERE


def _columns() -> int:
    """The width of the terminal; that of `_WIDTH` where there is none."""
    try:
        return os.get_terminal_size().columns
    except OSError:
        return _WIDTH
