"""`bpf-load doctor`: what works on this machine, what not and why."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from bpfas.loader.cli.common import command_parser, print_json
from bpfas.loader.cli.messages import DONE, NOT_THERE, is_colored
from bpfas.loader.doctor import Group, State, as_text, examine, is_well

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
    findings = examine([_GROUPS[group] for group in options.groups] or tuple(Group))
    well = is_well(findings)
    if options.failing:
        findings = [finding for finding in findings if finding.state is not State.WORKS]
    if options.json:
        print_json({"well": well, "findings": [finding.as_data() for finding in findings]})
    else:
        print(as_text(findings, min(_WIDTH, _columns()), is_colored=is_colored(options.color)))
    return DONE if well else NOT_THERE


def _columns() -> int:
    """The width of the terminal; that of `_WIDTH` where there is none."""
    try:
        return os.get_terminal_size().columns
    except OSError:
        return _WIDTH
