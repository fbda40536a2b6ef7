"""The command `bpf-load`: load an object and report, or run one of its programs on a packet.

`bpf-load OBJ` is `bpf-load load OBJ`: whatever comes first and is not a command's name is taken for its arguments
(an object that is called like a command is named `./run`). What is printed is `bpfas.loader.report`.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING

from bpfas import __version__
from bpfas.arguments import ArgumentParser
from bpfas.cli import STANDARD_STREAM, read_input, run, write_output
from bpfas.cli import report as report_messages
from bpfas.diag import BpfasError, Diagnostic, Severity
from bpfas.elf.old_gnu import modernize
from bpfas.elf.reader import read_object
from bpfas.loader import report
from bpfas.loader.collection import load_image
from bpfas.loader.image import build_image, describe_bindings
from bpfas.loader.spec import BindingKind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bpfas.loader.collection import Collection
    from bpfas.loader.runtime.programs import Program
    from bpfas.objfile import ObjectFile

_PROGRAM = "bpf-load"
_HEX_PREFIX = "hex:"
_DESCRIPTION = """\
Load BPF objects into the running kernel.

  bpf-load [load] OBJ           load, report programs and maps, unload
  bpf-load run OBJ [PROGRAM]    load, run a program on a packet, unload
  bpf-load bindings OBJ         list the names that OBJ leaves to others; loads nothing

An OBJ of - is standard input. Exit status: 0 done, 1 not.
"""
_EXAMPLES = """\
examples:
  bpf-load app.o
  bpf-load --json app.o
  bpf-load run app.o --data-in packet.bin --data-out out.bin
  bpf-load run app.o xdp_prog --data-in hex:ffffffffffff0000000000000800 --dump-maps
  bpf-load run app.o xdp_prog --data-in packet.bin --repeat 1000000
  bpf-load app.o --with lib.o --ksym bpf_rcu_read_lock --ksym bpf_rcu_read_unlock

'bpf-load COMMAND --help' lists a command's options.
"""
_RUN_DESCRIPTION = """\
Load OBJ, run PROGRAM (needed if there are several) through BPF_PROG_TEST_RUN, report, unload.
FILE may be - for standard input or output; hex:BYTES stands for the bytes themselves.
"""
_BINDINGS_DESCRIPTION = """\
List the names that OBJ uses and does not define, and what each is bound to. Loads nothing and asks nothing of the
kernel. Exit status: 0 none is open, 1 OBJ cannot be loaded like this.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command on `argv` (default: the process's arguments) and give its exit status."""
    return run(_PROGRAM, _command, argv)


def _command(arguments: Sequence[str]) -> int:
    name, rest = ("load", arguments)
    if arguments and arguments[0] in _COMMANDS:
        name, *rest = arguments
    elif arguments and arguments[0] in ("-h", "--help", "--version"):
        _general_parser().parse_args(arguments)
    command, parser = _COMMANDS[name]
    return command(parser().parse_intermixed_args(rest))


def _general_parser() -> argparse.ArgumentParser:
    parser = ArgumentParser(
        prog=_PROGRAM,
        usage="bpf-load [COMMAND] OBJ [OPTION...]",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"bpf-load (bpf-as) {__version__}")
    return parser


def _command_parser(name: str, description: str) -> argparse.ArgumentParser:
    parser = ArgumentParser(
        prog=f"{_PROGRAM} {name}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("object", metavar="OBJ", help="the object file")
    parser.add_argument("--json", action="store_true", help="report as JSON")
    parser.add_argument(
        "--with",
        metavar="LIB",
        dest="libraries",
        action="append",
        default=[],
        help="an object that defines what OBJ leaves undefined (may be given several times)",
    )
    parser.add_argument(
        "--ksym",
        metavar="NAME",
        dest="ksyms",
        action="append",
        default=[],
        help="an undefined name that the kernel has: a kfunc or a variable (may be given several times)",
    )
    return parser


def _loading_parser(name: str, description: str) -> argparse.ArgumentParser:
    parser = _command_parser(name, description)
    parser.add_argument(
        "--target",
        metavar="PROGRAM",
        type=lambda text: int(text) if text.isdecimal() else text,
        help="the loaded program, by its id or pinned path, whose functions freplace/NAME replaces",
    )
    return parser


def _load_parser() -> argparse.ArgumentParser:
    return _loading_parser("load", "Load OBJ, report its programs and maps, unload.")


def _bindings_parser() -> argparse.ArgumentParser:
    return _command_parser("bindings", _BINDINGS_DESCRIPTION)


def _run_parser() -> argparse.ArgumentParser:
    parser = _loading_parser("run", _RUN_DESCRIPTION)
    parser.add_argument("program", metavar="PROGRAM", nargs="?", help="the program's name")
    parser.add_argument("--data-in", metavar="FILE", help="the packet")
    parser.add_argument("--data-out", metavar="FILE", help="where to write the packet that comes out")
    parser.add_argument("--ctx-in", metavar="FILE", help="the context")
    parser.add_argument("--repeat", metavar="N", type=_positive, default=1, help="run it N times (default: 1)")
    parser.add_argument("--dump-maps", action="store_true", help="print what the maps hold afterwards")
    return parser


def _positive(text: str) -> int:
    number = int(text, 0)
    if not 1 <= number < 1 << 31:
        raise argparse.ArgumentTypeError(f"{text} is not in the range 1 to {(1 << 31) - 1}")
    return number


def _read_object(path: str, options: argparse.Namespace) -> ObjectFile:
    obj = read_object(read_input(path), "<stdin>" if path == STANDARD_STREAM else path)
    if warning := modernize(obj):
        report_messages(_PROGRAM, [Diagnostic(Severity.WARNING, warning, obj.name)], as_json=options.json)
    return obj


def _objects(options: argparse.Namespace) -> tuple[ObjectFile, list[ObjectFile]]:
    """The object, and those it is bound to."""
    return _read_object(options.object, options), [_read_object(path, options) for path in options.libraries]


def _load_objects(options: argparse.Namespace) -> Collection:
    obj, libraries = _objects(options)
    return load_image(build_image(obj, libraries, options.ksyms), options.target)


def _load(options: argparse.Namespace) -> int:
    with _load_objects(options) as collection:
        if options.json:
            _print_json(report.collection_json(collection))
        else:
            print(report.collection_text(collection))
    return 0


def _bindings(options: argparse.Namespace) -> int:
    obj, libraries = _objects(options)
    bindings = describe_bindings(obj, libraries, options.ksyms)
    if options.json:
        _print_json(report.bindings_json(bindings))
    else:
        print(report.bindings_text(bindings))
    return int(any(binding.kind is BindingKind.OPEN for binding in bindings))


def _run(options: argparse.Namespace) -> int:
    # Inputs are read before anything is loaded, so that a name mistyped costs nothing.
    data_in, context = _read_bytes(options.data_in), _read_bytes(options.ctx_in)
    with _load_objects(options) as collection:
        program = _choose(collection, options.program)
        result = program.test_run(data_in, options.repeat, context)
        if options.data_out:
            write_output(options.data_out, result.data)
        # Where the packet goes to standard output, nothing else may.
        out = sys.stderr if options.data_out == STANDARD_STREAM else sys.stdout
        if options.json:
            outcome = {"program": program.name, **report.run_json(result)}
            if options.dump_maps:
                outcome["maps"] = [report.contents_json(map_) for map_ in collection.maps.values()]
            print(json.dumps(outcome, indent=2), file=out)
            return 0
        print(report.run_text(program, result, options.repeat), file=out)
        if options.dump_maps:
            for map_ in collection.maps.values():
                print(report.contents_text(map_), file=out)
    return 0


def _choose(collection: Collection, name: str | None) -> Program:
    """The program called `name`, or the only one."""
    programs = collection.programs
    listed = ", ".join(programs) or "none"
    if name is None:
        if len(programs) != 1:
            raise BpfasError.of(f"which program to run? The object has: {listed}")
        (name,) = programs
    if name not in programs:
        raise BpfasError.of(f"there is no program '{name}'; the object has: {listed}")
    return programs[name]


def _read_bytes(source: str | None) -> bytes:
    """The bytes that an option names: `hex:…`, a file, standard input; none for None."""
    if source is None:
        return b""
    if not source.startswith(_HEX_PREFIX):
        return read_input(source)
    try:
        return bytes.fromhex(source.removeprefix(_HEX_PREFIX))
    except ValueError as error:
        raise BpfasError.of(f"'{source}' is not hexadecimal: hex: takes pairs of digits 0-9 and a-f") from error


def _print_json(value: object) -> None:
    print(json.dumps(value, indent=2))


_COMMANDS: dict[str, tuple[Callable[[argparse.Namespace], int], Callable[[], argparse.ArgumentParser]]] = {
    "load": (_load, _load_parser),
    "run": (_run, _run_parser),
    "bindings": (_bindings, _bindings_parser),
}
