"""The command bpf-as: sources to an object file, with the options of GNU as that matter for BPF."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from bpfas import __version__
from bpfas.asm.assembler import Options, assemble_sources
from bpfas.asm.files import SourceFiles
from bpfas.cli import STANDARD_STREAM, ArgumentParser, refuse_to_overwrite, run, write_output
from bpfas.diag import BpfasError, Diagnostics, Source
from bpfas.elf.constants import ByteOrder
from bpfas.elf.writer import write_object
from bpfas.isa import Dialect, IsaVersion

if TYPE_CHECKING:
    from collections.abc import Sequence

PROGRAM = "bpf-as"

_EXAMPLES = """\
examples:
  bpf-as prog.s -o prog.o              assemble one source
  bpf-as common.s prog.s -o prog.o     assemble sources as if they were one
  echo 'mov %r0, 2; exit' | bpf-as -o - - | bpf-objdump -d -

Both ways to write an instruction may be mixed: `add %r1, 5` and `r1 += 5`.
"""


def _parser() -> argparse.ArgumentParser:
    parser = ArgumentParser(
        prog=PROGRAM,
        description="Assemble BPF: GNU as's dialect and pseudo-C to an ELF object file.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("sources", nargs="*", metavar="FILE", help="sources; `-` or none: standard input")
    parser.add_argument("-o", dest="output", default="a.out", metavar="OBJECT", help="the object (default: a.out)")
    order = parser.add_mutually_exclusive_group()
    order.add_argument(
        "-EL", "--EL", dest="order", action="store_const", const=ByteOrder.LITTLE, help="little-endian"
    )
    order.add_argument("-EB", "--EB", dest="order", action="store_const", const=ByteOrder.BIG, help="big-endian")
    parser.set_defaults(order=ByteOrder.LITTLE if sys.byteorder == "little" else ByteOrder.BIG)
    parser.add_argument(
        "-mdialect",
        "--mdialect",
        choices=[dialect.value for dialect in Dialect],
        help="take only this dialect (default: both)",
    )
    parser.add_argument(
        "-misa-spec",
        "--misa-spec",
        choices=[version.spelling for version in IsaVersion],
        default=IsaVersion.XBPF.spelling,
        help="refuse instructions that came with a later version (default: xbpf, all)",
    )
    parser.add_argument(
        "-mno-relax",
        "--mno-relax",
        dest="relax",
        action="store_false",
        help="do not lengthen jumps that do not reach",
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    return parser


def _command(arguments: Sequence[str]) -> int:
    given = _parser().parse_args(arguments)
    options = Options(
        given.order,
        Dialect(given.mdialect) if given.mdialect else None,
        IsaVersion[given.misa_spec.upper()],
        relax=given.relax,
    )
    refuse_to_overwrite(given.output, given.sources)
    sources = _read_sources(given.sources or [STANDARD_STREAM])
    assembled = assemble_sources(sources, given.output, options)
    write_output(given.output, write_object(assembled.object_file))
    return 0


def _read_sources(paths: Sequence[str]) -> list[Source]:
    """All sources. Raises BpfasError that names every one that cannot be read."""
    sources: list[Source] = []
    files = SourceFiles()
    diagnostics = Diagnostics()
    for path in paths:
        try:
            sources.append(files.input(path))
        except BpfasError as error:
            diagnostics.items.extend(error.diagnostics)
    diagnostics.raise_if_errors()
    return sources


def main(arguments: Sequence[str] | None = None) -> int:
    """Run bpf-as and give its exit status: 0, or 1 when an input is at fault."""
    return run(PROGRAM, _command, arguments)
