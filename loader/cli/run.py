"""`bpf-load run`: load an object, run one of its programs on a packet, report, unload."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from bpfas.cli import STANDARD_STREAM, write_output
from bpfas.loader.cli import report
from bpfas.loader.cli.common import loaded, loading_parser, read_bytes
from bpfas.loader.cli.selection import only_program

if TYPE_CHECKING:
    from collections.abc import Sequence

_DESCRIPTION = """\
Load OBJ, run PROGRAM (needed if there are several) through BPF_PROG_TEST_RUN, report, unload.
FILE may be - for standard input or output; hex:BYTES stands for the bytes themselves.
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
    options = parser.parse_intermixed_args(arguments)
    # Inputs are read before anything is loaded, so that a name mistyped costs nothing.
    data_in, context = read_bytes(options.data_in), read_bytes(options.ctx_in)
    with loaded(options) as collection:
        program = only_program(collection, options.program)
        result = program.test_run(data_in, options.repeat, context)
        if options.data_out:
            write_output(options.data_out, result.data)
        # Where the packet goes to standard output, nothing else may.
        out = sys.stderr if options.data_out == STANDARD_STREAM else sys.stdout
        if options.json:
            outcome = {"program": program.name, **report.run_json(result)}
            if options.dump_maps:
                outcome["maps"] = [report.contents_json(map_) for map_ in collection.maps.values()]
            print(report.as_json(outcome), file=out)
            return 0
        print(report.run_text(program, result, options.repeat), file=out)
        if options.dump_maps:
            for map_ in collection.maps.values():
                print(report.contents_text(map_), file=out)
    return 0


def _positive(text: str) -> int:
    number = int(text, 0)
    if not 1 <= number < 1 << 31:
        raise argparse.ArgumentTypeError(f"{text} is not in the range 1 to {(1 << 31) - 1}")
    return number
