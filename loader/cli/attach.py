"""`bpf-load attach`: load an object and attach its programs, until interrupted, or as long as pins keep them."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bpfas.diag import BpfasError
from bpfas.loader.attach.table import attaches_by_section
from bpfas.loader.cli import report
from bpfas.loader.cli.common import loaded, loading_parser, print_json
from bpfas.loader.cli.interruption import interruptible
from bpfas.loader.cli.messages import DONE
from bpfas.loader.cli.place import add_place_options, attached, place_of
from bpfas.loader.cli.selection import chosen_programs, map_called

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from bpfas.loader.attach.link import Link
    from bpfas.loader.loading.collection import Collection
    from bpfas.loader.runtime.maps import Map
    from bpfas.loader.runtime.programs import Program

_DESCRIPTION = """\
Load OBJ and attach PROGRAMs: to what their sections name (kprobe/do_unlinkat), or to what --to says. Without
PROGRAM, all whose sections name something, and all struct_ops. They stay attached until the command is
interrupted; with --pin the links, maps and programs are pinned in a directory of a BPF file system, and the
command ends.
"""
_EPILOG = """\
examples:
  bpf-load attach app.o                                   what the sections say
  bpf-load attach app.o xdp_prog --to interface=eth0 --to mode=generic
  bpf-load attach app.o egress --to cgroup=/sys/fs/cgroup/app --pin /sys/fs/bpf/app

The keys are the keywords of Program.attach (docs/attaching.md): interface, cgroup, function, path, … Maps and
programs (map=, replaces=, target=) are those of OBJ by their names, else id:N, a pinned path, or a name.
"""


def main(name: str, arguments: Sequence[str]) -> int:
    """Run the command; gives its exit status."""
    parser = loading_parser(name, _DESCRIPTION, _EPILOG)
    parser.add_argument(
        "programs",
        metavar="PROGRAM",
        nargs="*",
        help="which programs, or struct_ops maps (default: as sections say)",
    )
    add_place_options(parser)
    parser.add_argument("--pin", metavar="DIRECTORY", help="pin links, maps and programs there, and end")
    parser.add_argument("--events", metavar="MAP", help="print what arrives in a ring or perf buffer meanwhile")
    parser.add_argument("--event-type", metavar="TYPE", help="of what type the events are: 'struct event', …")
    options = parser.parse_intermixed_args(arguments)
    if options.pin and options.events:
        parser.error("--pin ends the command, and --events waits in it: attach, then bpf-load maps events PATH")
    with loaded(options) as collection, contextlib.ExitStack() as attachments:
        if options.events:
            _check_events(map_called(collection, options.events), options.event_type)
        with place_of(options, collection) as how:
            links = _attach(collection, options, how)
        for link in links.values():
            attachments.callback(link.close)
        if options.pin:
            _pin(collection, links, options.pin)
            _report(links, options)
            for link in links.values():
                link.close(detach=False)
            collection.close(detach=False)
        else:
            with interruptible() as stopped:
                _report(links, options)
                _wait(collection, options, stopped)
    return DONE


def _check_events(map_: Map, event_type: str | None) -> None:
    """Raise BpfasError, before anything is attached, if the map has no events, or none of this type."""
    try:
        map_.events(event_type).close()
    except TypeError as error:
        raise BpfasError.of(str(error), None, ("--events takes a ring or perf buffer",)) from None


def _attach(collection: Collection, options: argparse.Namespace, how: Mapping[str, Any]) -> dict[str, Link]:
    if not options.programs and not how and options.way is None:
        links = collection.attach()
        if not links:
            _refuse_nothing(collection)
        return links
    structs = [name for name in options.programs if (plan := collection.plan.maps.get(name)) and plan.struct_ops]
    names = [name for name in options.programs if name not in structs]
    programs = chosen_programs(collection, names) if options.programs else list(collection.programs.values())
    links = {}
    with contextlib.ExitStack() as undo:
        for name in structs:
            links[name] = undo.enter_context(collection.attach_struct_ops(name))
        for program in programs:
            links[program.name] = undo.enter_context(attached(program, options.way, how))
        undo.pop_all()
    return links


def _refuse_nothing(collection: Collection) -> None:
    programs: list[Program] = [each for each in collection.programs.values() if not attaches_by_section(each.spec)]
    listed = ", ".join(f"{program.name} ({program.section})" for program in programs) or "there is none"
    raise BpfasError.of(
        f"no program's section says what to attach it to: {listed}",
        None,
        ("say it: bpf-load attach OBJ PROGRAM --to KEY=VALUE",),
    )


def _pin(collection: Collection, links: Mapping[str, Link], directory: str) -> None:
    """Pin everything in the directory, or nothing."""
    with contextlib.ExitStack() as undo:
        collection.pin(directory)
        undo.callback(collection.unpin, directory)
        for name, link in links.items():
            link.pin(Path(directory) / f"link_{name.replace('.', '_')}")
            undo.callback(link.unpin)
        undo.pop_all()


def _report(links: Mapping[str, Link], options: argparse.Namespace) -> None:
    attached_links = [report.link_json(link) for link in links.values()]
    if options.json and options.events:
        print(json.dumps(attached_links), flush=True)  # a line, as each event is
    elif options.json:
        print_json(attached_links)
    else:
        for name, link in links.items():
            print(f"{name}: attached to {link.target}", flush=True)


def _wait(collection: Collection, options: argparse.Namespace, stopped: int) -> None:
    """Wait for the signal to stop, and print events until then."""
    if options.events is None:
        os.read(stopped, 1)
        return
    events = map_called(collection, options.events)
    for text in report.event_lines(events, stopped, options.event_type, as_json=options.json):
        print(text, flush=True)
