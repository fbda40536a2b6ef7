"""The command `bpf-load`: loading, running, attaching and pinning objects; maps and programs in the kernel.

`bpf-load OBJ` is `bpf-load load OBJ`: whatever comes first and is not a command's name is taken for its arguments
(an object that is called like a command is named `./run`). One module for each command; what is printed of loaded
objects is `report`.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING

from bpfas import __version__
from bpfas import cli as commands
from bpfas.diag import BpfasError
from bpfas.loader.cli.common import parser_with_text
from bpfas.loader.cli.messages import FAULT, PROGRAM, exit_status, print_error

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

_DESCRIPTION = """\
Load BPF objects into the running kernel, and look after what is there.

  bpf-load [load] OBJ              load, report programs and maps, unload
  bpf-load run OBJ [PROGRAM]       load, run a program on a packet, unload
  bpf-load attach OBJ [PROGRAM...] load and attach, until interrupted, or pinned
  bpf-load pin OBJ DIR | unpin DIR load, and pin all maps and programs; undo that
  bpf-load maps | progs | links    what is in the kernel: list, dump, read and write
  bpf-load check-core OBJ BTF...   which kernels have the types that OBJ wants
  bpf-load bindings OBJ            list the names that OBJ leaves to others
  bpf-load gen OBJ... -o FILE      make a program that loads OBJ by itself
  bpf-load doctor                  what BPF can do on this machine, and why not

'bpf-load COMMAND --help' lists its options; an OBJ of - is standard input. Exit status:
0 done; 1 refused, or at fault; 2 what is named is not there, or (doctor, check-core) not well.
"""
_EXAMPLES = """\
examples:
  bpf-load app.o --set threshold=5 --map counts.max_entries=100000
  bpf-load attach app.o xdp_prog --to interface=eth0
"""

_COMMANDS = {
    "load": "load",
    "run": "run",
    "attach": "attach",
    "pin": "pin",
    "unpin": "pin",
    "maps": "maps",
    "progs": "progs",
    "links": "links",
    "check-core": "check_core",
    "bindings": "bindings",
    "gen": "gen",
    "doctor": "doctor",
}
"""The module of each command. It is imported when the command is asked for."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command on `argv` (default: the process's arguments) and give its exit status."""
    return commands.run(PROGRAM, _command, argv)


def _command(arguments: Sequence[str]) -> int:
    name, rest = "load", arguments
    if arguments and arguments[0] in _COMMANDS:
        name, *rest = arguments
    elif arguments and arguments[0] in ("-h", "--help", "--version"):
        _general_parser().parse_args(arguments)
    elif arguments and not os.path.exists(arguments[0]):
        from bpfas.loader.nearest import did_you_mean  # few runs are mistyped

        if meant := did_you_mean(arguments[0], _COMMANDS):
            print_error(BpfasError.of(f"'{arguments[0]}' is neither a command nor a file", None, meant), arguments)
            return FAULT
    module = importlib.import_module(f"bpfas.loader.cli.{_COMMANDS[name]}")
    try:
        status: int = module.main(name, rest)
    except BpfasError as error:
        print_error(error, arguments)
        return exit_status(error)
    return status


def _general_parser() -> argparse.ArgumentParser:
    parser = parser_with_text(PROGRAM, _DESCRIPTION, _EXAMPLES)
    parser.usage = "bpf-load [COMMAND] OBJ [OPTION...]"
    parser.add_argument("--version", action="version", version=f"bpf-load (bpf-as) {__version__}")
    return parser
