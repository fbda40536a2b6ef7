"""The command `bpf-ld`: its options, which are GNU ld's where that has them, its inputs and its output."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from bpfas import __version__
from bpfas.arguments import ArgumentParser
from bpfas.cli import STANDARD_STREAM, read_input, refuse_to_overwrite, report, run, write_output
from bpfas.diag import BpfasError, Diagnostics
from bpfas.elf.constants import ByteOrder
from bpfas.elf.reader import read_object
from bpfas.elf.writer import write_object
from bpfas.link.linker import link
from bpfas.link.options import LinkOptions, Unresolved

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bpfas.objfile import ObjectFile

PROGRAM = "bpf-ld"

_EXAMPLES = """\
The output is a relocatable object, which is what BPF's loaders take. A name that no object
defines is an error, unless it is weak, or the kernel's by the types of the object.

examples:
  bpf-ld main.o helpers.o -o app.o       join two objects
  bpf-ld -r a.o b.o -o part.o            names may stay undefined, for a later link
  bpf-as prog.s -o - | bpf-ld - lib.o -o app.o
"""


def _parser() -> argparse.ArgumentParser:
    parser = ArgumentParser(
        prog=PROGRAM,
        usage="%(prog)s [options] file...",
        description="Link BPF objects into one.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("files", nargs="*", metavar="file", help="objects, joined in this order; - is standard input")
    add(
        "-o",
        "--output",
        default="a.out",
        metavar="FILE",
        help="write to FILE (default a.out; - is standard output)",
    )
    add("-r", "--relocatable", action="store_true", help="let names stay undefined")
    add(
        "--unresolved-symbols",
        choices=("ignore-all", "report-all"),
        metavar="ignore-all|report-all",
        help="say whether undefined names are errors",
    )
    add(
        "--no-undefined",
        dest="unresolved_symbols",
        action="store_const",
        const="report-all",
        help="undefined names are errors, even with -r",
    )
    add(
        "--allow-multiple-definition",
        action="store_true",
        help="of several definitions of a name, take the first",
    )
    add("-z", choices=("muldefs",), help="muldefs: the same as --allow-multiple-definition")
    add("-EL", dest="order", action="store_const", const=ByteOrder.LITTLE, help="objects must be little-endian")
    add("-EB", dest="order", action="store_const", const=ByteOrder.BIG, help="objects must be big-endian")
    add("--json", action="store_true", help="print messages as JSON, one a line")
    add("-v", action="store_true", help="print the version, then go on")
    add("--version", action="version", version=f"{PROGRAM} {__version__}")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with the arguments `argv` (default: the process's); gives its exit status."""
    return run(PROGRAM, _link_files, argv)


def _link_files(argv: Sequence[str]) -> int:
    arguments = _parser().parse_args(argv)
    if arguments.v:
        print(f"{PROGRAM} {__version__}", file=sys.stderr)
        if not arguments.files:
            return 0
    unresolved = arguments.unresolved_symbols or ("ignore-all" if arguments.relocatable else "report-all")
    options = LinkOptions(
        unresolved=Unresolved.IGNORE if unresolved == "ignore-all" else Unresolved.ERROR,
        allow_multiple_definition=arguments.allow_multiple_definition or arguments.z == "muldefs",
    )
    refuse_to_overwrite(arguments.output, arguments.files)
    objects = _read_objects(arguments.files, arguments.order)
    diagnostics = Diagnostics()
    output = link(objects, arguments.output, options, diagnostics)
    report(PROGRAM, diagnostics.items, as_json=arguments.json)
    write_output(arguments.output, write_object(output))
    return 0


def _read_objects(paths: Sequence[str], order: ByteOrder | None) -> list[ObjectFile]:
    """The objects at `paths`; raises BpfasError with what is wrong in all of them together."""
    objects: list[ObjectFile] = []
    diagnostics = Diagnostics()
    for path in paths:
        try:
            obj = read_object(read_input(path), "<stdin>" if path == STANDARD_STREAM else path)
        except BpfasError as error:
            diagnostics.items += error.diagnostics
            continue
        if order is not None and obj.byte_order is not order:
            diagnostics.error(
                f"is {obj.byte_order.name_for_int}-endian, but {'-EL' if order is ByteOrder.LITTLE else '-EB'} "
                "was given",
                obj.name,
            )
        objects.append(obj)
    diagnostics.raise_if_errors()
    return objects
