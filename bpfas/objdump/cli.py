"""The command bpf-objdump: which files, which tables, which dialect; the texts are made by the other modules."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from bpfas import __version__
from bpfas.arguments import ArgumentParser
from bpfas.cli import STANDARD_STREAM, read_input, run, write_output
from bpfas.diag import BpfasError, Diagnostic
from bpfas.elf.reader import read_object
from bpfas.isa import Dialect
from bpfas.objdump.directives import printable
from bpfas.objdump.disassemble import disassemble
from bpfas.objdump.report import contents, relocation_rows, section_rows, symbol_rows, table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bpfas.objfile import ObjectFile

_EXAMPLES = """\
examples:
  bpf-objdump -d prog.o                      the code, as source for bpf-as
  bpf-objdump -d --dialect=pseudoc prog.o    the same in pseudo-C, as clang and the kernel print it
  bpf-objdump -D prog.o | bpf-as -o copy.o - the whole object, and back
  bpf-objdump -h -t -r prog.o                sections, symbols, relocations
  bpf-objdump -t --json prog.o | jq -r '.[].symbols[].name'
"""


def main(argv: Sequence[str] | None = None) -> int:
    """The command with the arguments `argv` (default: the process's); gives the exit status."""
    return run("bpf-objdump", _command, argv)


def _parser() -> argparse.ArgumentParser:
    parser = ArgumentParser(
        prog="bpf-objdump",
        description="Show what a BPF object file holds. With -d or -D, all of the output is assembler source.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=False,
        allow_abbrev=False,
    )
    show = parser.add_argument_group("what to show (at least one)")
    show.add_argument(
        "-d", "--disassemble", action="store_true", help="code sections, and the data sections they refer to"
    )
    show.add_argument("-D", "--disassemble-all", action="store_true", help="all sections")
    show.add_argument("-h", "--section-headers", "--headers", action="store_true", help="section headers")
    show.add_argument("-t", "--syms", action="store_true", help="symbols")
    show.add_argument("-r", "--reloc", action="store_true", help="relocations")
    show.add_argument("-s", "--full-contents", action="store_true", help="all bytes of all sections")
    how = parser.add_argument_group("how")
    how.add_argument(
        "--dialect",
        choices=[dialect.value for dialect in Dialect],
        default=Dialect.NORMAL.value,
        help="of the instructions (default: normal)",
    )
    how.add_argument("--json", action="store_true", help="-h, -t and -r as JSON, one element a file")
    how.add_argument("--version", action="version", version=f"bpf-objdump (bpf-as) {__version__}")
    how.add_argument("--help", action="help", help="this text")
    parser.add_argument("files", nargs="+", metavar="FILE", help="an object file, or - for standard input")
    return parser


def _command(arguments: Sequence[str]) -> int:
    parser = _parser()
    options = parser.parse_args(list(arguments))
    is_source = options.disassemble or options.disassemble_all
    if not (is_source or options.section_headers or options.syms or options.reloc or options.full_contents):
        parser.error("say what to show: -d, -D, -h, -t, -r or -s")
    if options.json and (is_source or options.full_contents):
        parser.error("--json goes with -h, -t and -r only")
    faults: list[Diagnostic] = []
    objects: list[ObjectFile] = []
    for path in options.files:
        try:
            objects.append(read_object(read_input(path), "<stdin>" if path == STANDARD_STREAM else path))
        except BpfasError as error:
            faults.extend(error.diagnostics)
    if options.json:
        text = json.dumps([_as_data(obj, options) for obj in objects], indent=2) + "\n"
    else:
        text = "".join(f"{line}\n" for obj in objects for line in _lines(obj, options))
    write_output(STANDARD_STREAM, text.encode("utf-8", "surrogateescape"))
    if faults:
        raise BpfasError(faults)
    return 0


def _lines(obj: ObjectFile, options: argparse.Namespace) -> Iterator[str]:
    if not (options.disassemble or options.disassemble_all):
        yield f"{printable(obj.name)}: BPF object, {obj.byte_order.name.lower()}-endian"
        yield from _tables(obj, options)
        return
    header, *source = disassemble(obj, Dialect(options.dialect), everything=options.disassemble_all)
    yield header
    yield from (f"# {line}" for line in _tables(obj, options))
    yield from source


def _tables(obj: ObjectFile, options: argparse.Namespace) -> Iterator[str]:
    if options.section_headers:
        rows = section_rows(obj)
        columns = ["index", "name", "type", "flags", "size", "align", "relocations"]
        columns += [column for column in ("group", "link") if any(row[column] for row in rows)]
        yield from table("Sections", rows, columns)
    if options.syms:
        columns = ["value", "size", "type", "binding", "visibility", "section", "name"]
        yield from table("Symbols", symbol_rows(obj), columns)
    if options.reloc:
        yield from table("Relocations", relocation_rows(obj), ("section", "offset", "type", "symbol", "addend"))
    if options.full_contents:
        for section in obj.sections:
            yield from contents(section)


def _as_data(obj: ObjectFile, options: argparse.Namespace) -> dict[str, object]:
    data: dict[str, object] = {"file": obj.name, "byte_order": obj.byte_order.name.lower(), "e_flags": obj.e_flags}
    if options.section_headers:
        data["sections"] = section_rows(obj)
    if options.syms:
        data["symbols"] = symbol_rows(obj)
    if options.reloc:
        data["relocations"] = relocation_rows(obj)
    return data
