"""The command bpf-ld: what its arguments ask for, from reading the inputs to writing all outputs.

The arguments are `bpfas.link.command_line`'s part.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from bpfas import __version__
from bpfas.cli import (
    STANDARD_STREAM,
    read_input,
    refuse_same_output,
    refuse_to_overwrite,
    refuse_warnings,
    report,
    run,
    wants_json,
    write_output,
)
from bpfas.diag import BpfasError, Diagnostics
from bpfas.elf.constants import SymbolBinding
from bpfas.elf.writer import write_object
from bpfas.link.command_line import parse
from bpfas.link.inputs import read_inputs
from bpfas.link.linker import link_objects
from bpfas.link.option_table import help_text
from bpfas.link.unknown_names import warn_of_unknown_names

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bpfas.link.command_line import CommandLine
    from bpfas.link.inputs import Inputs
    from bpfas.link.linker import Linked
    from bpfas.link.options import LinkOptions
    from bpfas.objfile import ObjectFile

PROGRAM = "bpf-ld"

_VERSION = f"{PROGRAM} {__version__}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with the arguments `argv` (default: the process's); gives its exit status."""
    return run(PROGRAM, _command, argv)


def _command(arguments: Sequence[str]) -> int:
    command = parse(arguments)
    if command.request:
        print(help_text() if command.request == "help" else f"{_VERSION}\n", end="")
        return 0
    if command.shows_version:
        _say(command, _VERSION)
        if not command.inputs:
            return 0
    diagnostics = Diagnostics()
    for warning in command.warnings:
        diagnostics.warning(warning)
    status = 0
    try:
        _link(command, diagnostics)
    except BpfasError as error:
        diagnostics.items[:] = error.diagnostics
        status = 1
    report(PROGRAM, diagnostics.items, as_json=wants_json(arguments), colored=_is_colored(command.color))
    return status


def _link(command: CommandLine, diagnostics: Diagnostics) -> None:
    """Do all that the command is for. Raises BpfasError with all messages if there are errors among them."""
    options = _options(command, diagnostics)

    def opened(name: str, is_member: bool) -> None:
        if command.traces > is_member:
            _say(command, name)

    inputs = read_inputs(command.inputs, command.library_directories, options, command.order, diagnostics, opened)
    for name in command.traced_symbols:
        _trace_symbol(name, inputs.objects)
    diagnostics.raise_if_errors()
    read = [*inputs.paths, *filter(None, (command.retained_file,))]
    printed = (None, STANDARD_STREAM)
    outputs = [*([command.map_file] if command.map_file not in printed else []), command.output]
    refuse_same_output(outputs)
    for path in outputs:
        refuse_to_overwrite(path, read)
    linked = link_objects(inputs.objects, command.output, options, diagnostics, inputs.members_left_out)
    warn_of_unknown_names(linked.table, options, command.traced_symbols, diagnostics)
    if command.prints_removed:
        for removed in linked.removed:
            where = f"{removed.obj.name}:({removed.section.name}+{removed.start:#x})"
            print(f"{PROGRAM}: left out {removed.name} of {where}: {removed.reason}", file=sys.stderr)
    if command.warnings_are_errors:
        refuse_warnings(diagnostics.items)
    _write(command, inputs, linked)


def _options(command: CommandLine, diagnostics: Diagnostics) -> LinkOptions:
    """The choices of the link; what is wrong with the file of names to be retained goes to `diagnostics`."""
    options = command.options()
    if command.retained_file is None:
        return options
    try:
        names = read_input(command.retained_file).decode("utf-8", "surrogateescape").split()
    except BpfasError as error:
        diagnostics.items += error.diagnostics
        return options
    return options._replace(retained=frozenset(names))


def _write(command: CommandLine, inputs: Inputs, linked: Linked) -> None:
    """Write all outputs, the object last: where it is new, the others are as well."""
    texts: list[str] = []
    if command.map_file is not None:
        from bpfas.link.map_file import map_text

        texts.append(map_text(linked, inputs.extractions))
    if command.prints_cross_references:
        from bpfas.link.map_file import cross_reference_table

        texts.append(cross_reference_table(inputs.objects))
    text = "\n".join(texts)
    if command.map_file in (None, STANDARD_STREAM):
        _say(command, text, end="")
    else:
        write_output(command.map_file, text.encode("utf-8", "surrogateescape"))
    write_output(command.output, write_object(linked.output))


def _say(command: CommandLine, text: str, end: str = "\n") -> None:
    """Print to standard output, or if the object goes there, to standard error."""
    if command.output == STANDARD_STREAM:
        print(text, end=end, file=sys.stderr)
    else:
        # The name of a file may have bytes that are no text.
        write_output(STANDARD_STREAM, f"{text}{end}".encode("utf-8", "surrogateescape"))


def _trace_symbol(name: str, objects: Iterable[ObjectFile]) -> None:
    """Tell which objects define and use a name."""
    for obj in objects:
        for symbol in obj.symbols:
            if symbol.name == name and symbol.st_bind is not SymbolBinding.LOCAL:
                what = "definition of" if symbol.is_defined else "reference to"
                print(f"{PROGRAM}: {obj.name}: {what} {name}", file=sys.stderr)


def _is_colored(color: str) -> bool:
    """Whether messages have colors, given `auto`, `always` or `never`."""
    if color != "auto":
        return color == "always"
    is_wanted = "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
    return is_wanted and sys.stderr is not None and sys.stderr.isatty()
