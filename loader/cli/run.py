"""`bpf-load run`: load an object, run one of its programs on a packet, report, unload."""

from __future__ import annotations

import argparse
import contextlib
import sys
from typing import TYPE_CHECKING, Any

from bpfas.cli import STANDARD_STREAM, write_output
from bpfas.diag import BpfasError
from bpfas.loader.attach.iterator import IteratorLink
from bpfas.loader.cli import report
from bpfas.loader.cli.common import loaded, loading_parser, read_bytes
from bpfas.loader.cli.messages import DONE
from bpfas.loader.cli.place import add_place_options, attached, place_of
from bpfas.loader.cli.selection import only_program
from bpfas.loader.cli.values import contents_json, contents_text
from bpfas.loader.errors import KernelError
from bpfas.loader.kinds import AttachType, ProgramType

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bpfas.loader.loading.collection import Collection
    from bpfas.loader.runtime.programs import Program

_DESCRIPTION = """\
Load OBJ, run PROGRAM (needed if there are several) through BPF_PROG_TEST_RUN, report, unload.
FILE may be - for standard input or output; hex:BYTES stands for the bytes themselves.

An iterator (section iter/task, …) is attached instead, and what a walk prints is shown: for one that walks a map
with --to map=MAP.
"""


def main(name: str, arguments: Sequence[str]) -> int:
    """Run the command; gives its exit status."""
    parser = loading_parser(name, _DESCRIPTION)
    parser.add_argument("program", metavar="PROGRAM", nargs="?", help="the program's name")
    parser.add_argument("--data-in", metavar="FILE", help="the packet")
    parser.add_argument("--data-out", metavar="FILE", help="where to write the packet that comes out")
    parser.add_argument("--ctx-in", metavar="FILE", help="the context")
    parser.add_argument("--repeat", metavar="N", type=_positive, default=1, help="run it N times (default: 1)")
    parser.add_argument("--dump-maps", action="store_true", help="print what the maps hold afterwards")
    add_place_options(parser)
    options = parser.parse_intermixed_args(arguments)
    # Inputs are read before anything is loaded, so that a name mistyped costs nothing.
    data_in, context = read_bytes(options.data_in), read_bytes(options.ctx_in)
    with loaded(options) as collection:
        program = only_program(collection, options.program)
        if _is_iterator(program):
            _walk(program, collection, options)
        elif options.to or options.way:
            raise BpfasError.of(
                f"--to and --way are for iterators, and {program.name} is none",
                None,
                ("bpf-load attach attaches",),
            )
        else:
            _test_run(program, collection, data_in, context, options)
    return DONE


def _is_iterator(program: Program) -> bool:
    return program.type is ProgramType.TRACING and program.spec.expected_attach_type == AttachType.TRACE_ITER


def _walk(program: Program, collection: Collection, options: argparse.Namespace) -> None:
    with place_of(options, collection) as how, attached(program, options.way, how) as link:
        assert isinstance(link, IteratorLink)
        output = link.read().decode(errors="replace")
    _report({"program": program.name, "output": output}, output.removesuffix("\n"), collection, options)


def _test_run(
    program: Program, collection: Collection, data_in: bytes, context: bytes, options: argparse.Namespace
) -> None:
    result = program.test_run(data_in, options.repeat, context)
    if options.data_out:
        write_output(options.data_out, result.data)
    outcome = {"program": program.name, **report.run_json(result)}
    text = report.run_text(program, result, options.repeat)
    if printed := _printed(program):
        outcome["printed"] = printed
        text += f"\nit printed:\n{printed.rstrip()}"
    _report(outcome, text, collection, options)


def _printed(program: Program) -> str:
    """What the program has printed to its streams, on kernels that have such."""
    with contextlib.suppress(KernelError):
        return (program.stdout() + program.stderr()).decode(errors="replace")
    return ""


def _report(outcome: dict[str, Any], text: str, collection: Collection, options: argparse.Namespace) -> None:
    # Where the packet goes to standard output, nothing else may.
    out = sys.stderr if options.data_out == STANDARD_STREAM else sys.stdout
    maps = collection.maps.values() if options.dump_maps else ()
    if options.json:
        dumped = {"maps": [contents_json(map_) for map_ in maps]} if options.dump_maps else {}
        print(report.as_json({**outcome, **dumped}), file=out)
        return
    parts = [text] if text else []
    print("\n".join([*parts, *map(contents_text, maps)]), file=out)


def _positive(text: str) -> int:
    number = int(text, 0)
    if not 1 <= number < 1 << 31:
        raise argparse.ArgumentTypeError(f"{text} is not in the range 1 to {(1 << 31) - 1}")
    return number
