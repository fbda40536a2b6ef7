"""`bpf-load links`: the links that keep programs attached: listed, and detached."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bpfas.loader.cli.common import command_parser, print_json, split_action
from bpfas.loader.cli.messages import DONE
from bpfas.loader.cli.pins import pins_by_id
from bpfas.loader.cli.reference import open_link
from bpfas.loader.cli.table import table
from bpfas.loader.runtime.link_text import link_target, link_type_name
from bpfas.loader.runtime.listing import list_links, list_programs
from bpfas.loader.runtime.opening import ObjectKind

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping, Sequence

    from bpfas.loader.syscall import LinkInfo

_DESCRIPTION = """\
Links, which keep programs attached. LINK is id:N or the path of a pin.

  bpf-load links [list] [LINK...]       all links, or these
  bpf-load links detach LINK...         end the attachments, whatever else holds them, and take away these pins
"""
_EPILOG = "Exit status: 0 done, 1 refused, 2 there is no such link."
_COLUMNS = {"id": "ID", "type": "TYPE", "program": "PROGRAM", "target": "TARGET", "pinned": "PINNED"}


def main(name: str, arguments: Sequence[str]) -> int:
    """Run the command; gives its exit status."""
    action, rest = split_action(arguments, _ACTIONS, "list")
    parser = command_parser(
        f"{name} [{action}]" if action == "list" else f"{name} {action}", _DESCRIPTION, _EPILOG
    )
    count = "*" if action == "list" else "+"
    parser.add_argument("links", metavar="LINK", nargs=count, help="which links")
    return _ACTIONS[action](parser.parse_intermixed_args(rest))


def _list(options: argparse.Namespace) -> int:
    if options.links:
        infos = []
        for reference in options.links:
            with open_link(reference) as link:  # the attachment stays: it is held elsewhere
                infos.append(link.info())
    else:
        infos = list_links()
    pins = pins_by_id(ObjectKind.LINK)
    programs = {info.id: info.name for info in list_programs()}
    rows = [_info_json(info, programs, pins.get(info.id, ())) for info in infos]
    if options.json:
        print_json(rows)
    elif rows:
        print(table(_COLUMNS, [_shown(row) for row in rows]))
    return DONE


def _info_json(info: LinkInfo, programs: Mapping[int, str], pins: Sequence[str]) -> dict[str, Any]:
    return {
        "id": info.id,
        "type": link_type_name(info.type),
        "program_id": info.prog_id,
        "program": programs.get(info.prog_id, ""),
        "target": link_target(info),
        "pinned": list(pins),
    }


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    program = f"{row['program']} (id:{row['program_id']})" if row["program_id"] else "-"
    pinned = ",".join(row["pinned"]) or "-"
    return {**row, "program": program, "target": row["target"] or "-", "pinned": pinned}


def _detach(options: argparse.Namespace) -> int:
    detached = []
    for reference in options.links:
        link = open_link(reference)
        detached.append({"id": link.id, "program": link.program})
        link.detach()
    if options.json:
        print_json(detached)
    return DONE


_ACTIONS: dict[str, Callable[[argparse.Namespace], int]] = {"list": _list, "detach": _detach}
