"""The command bpf-as: what its arguments ask for, from reading the sources to writing all outputs.

The arguments are `bpfas.asm.command_line`'s part.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from bpfas import __version__
from bpfas.asm.assembler import assemble_sources
from bpfas.asm.command_line import HELP, TARGET_HELP, Request, Warnings, native_byte_order, parse
from bpfas.asm.definitions import values_of
from bpfas.asm.dependencies import make_rule
from bpfas.asm.files import SourceFiles
from bpfas.asm.options import Options
from bpfas.asm.template_cache import TemplateCache
from bpfas.cli import (
    STANDARD_STREAM,
    refuse_same_output,
    refuse_to_overwrite,
    refuse_warnings,
    report,
    run,
    wants_json,
    write_output,
)
from bpfas.diag import BpfasError, Diagnostic, Diagnostics, Severity, Source
from bpfas.elf.writer import write_object

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bpfas.asm.assembler import Assembled
    from bpfas.asm.command_line import CommandLine

PROGRAM = "bpf-as"

_VERSION = f"{PROGRAM} {__version__}"

_TEXTS = {Request.HELP: HELP, Request.TARGET_HELP: TARGET_HELP, Request.VERSION: f"{_VERSION}\n"}


def _command(arguments: Sequence[str]) -> int:
    started = time.perf_counter()
    command = parse(arguments)
    if command.request in _TEXTS:
        print(_TEXTS[command.request], end="")
        return 0
    if command.shows_version:
        print(_VERSION, file=sys.stderr)
    command.listing.facts = (
        f" {_VERSION}",
        f" options passed\t: {' '.join(arguments)}",
        f" input files   \t: {' '.join(command.sources) or STANDARD_STREAM}",
        f" output file   \t: {command.output}",
        "",
    )
    templates = TemplateCache()
    try:
        sources, options = _inputs(command, templates)
        assembled = assemble_sources(sources, command.output, options)
    except BpfasError as error:
        raise BpfasError(_wanted(error.diagnostics, command)) from None
    finally:
        templates.save()
    warnings = _wanted(assembled.warnings, command)
    if command.warnings is Warnings.FATAL:
        refuse_warnings(warnings)
    report(PROGRAM, warnings, as_json=wants_json(arguments))
    _write(command, assembled)
    if command.shows_statistics:
        _print_statistics(sources, assembled, time.perf_counter() - started)
    return 0


def _wanted(diagnostics: list[Diagnostic], command: CommandLine) -> list[Diagnostic]:
    """The messages without those that nobody wants to see."""
    if command.warnings is Warnings.SILENT:
        return [item for item in diagnostics if item.severity is not Severity.WARNING]
    return diagnostics


def _inputs(command: CommandLine, templates: TemplateCache) -> tuple[list[Source], Options]:
    """The sources, and how to assemble them. Raises BpfasError with all that is wrong with either."""
    diagnostics = Diagnostics()
    symbols: tuple[tuple[str, int], ...] = ()
    try:
        symbols = values_of(command.definitions)
    except BpfasError as error:
        diagnostics.items += error.diagnostics
    sources: list[Source] = []
    files = SourceFiles()
    for path in command.sources or [STANDARD_STREAM]:
        try:
            sources.append(files.input(path))
        except BpfasError as error:
            diagnostics.items += error.diagnostics
    diagnostics.raise_if_errors()
    options = Options(
        command.order or native_byte_order(),
        include_directories=tuple(command.include_directories),
        symbols=symbols,
        print_line=_print_to_errors if command.output == STANDARD_STREAM else print,
        debug_version=command.debug_version,
        debug_prefixes=tuple(command.debug_prefixes),
        listing=command.listing if command.listing.is_wanted else None,
        template_cache=templates,
        **command.chosen,
    )
    return sources, options


def _print_to_errors(line: str) -> None:
    """What `.print` does when the object goes to standard output."""
    print(line, file=sys.stderr)


def _write(command: CommandLine, assembled: Assembled) -> None:
    """Write all outputs, the object last: where it is new, the others are as well."""
    inputs = [path for path in command.sources if path != STANDARD_STREAM]
    read = list(dict.fromkeys((*inputs, *assembled.dependencies)))
    outputs: list[tuple[str, bytes]] = []
    if command.dependency_file is not None:
        rule = make_rule(command.output, read)
        outputs.append((command.dependency_file, rule.encode("utf-8", "surrogateescape")))
    if assembled.listing is not None:
        outputs.append((command.listing.file, assembled.listing.encode("utf-8", "surrogateescape")))
    outputs.append((command.output, write_object(assembled.object_file)))
    refuse_same_output(path for path, _ in outputs)
    for path, _ in outputs:
        refuse_to_overwrite(path, read)
    for path, contents in outputs:
        write_output(path, contents)


def _print_statistics(sources: Sequence[Source], assembled: Assembled, seconds: float) -> None:
    import resource  # Windows has none

    obj = assembled.object_file
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    lines = sum(source.text.count("\n") for source in sources)
    files = len(sources) + len(assembled.dependencies)
    size = sum(section.sh_size for section in obj.sections)
    relocations = sum(len(section.relocations) for section in obj.sections)
    for text in (
        f"total time in assembly: {seconds:.3f} s",
        f"peak of memory: {peak / (1 << 20):.1f} MiB",
        f"files: {files}; lines in those of the command line: {lines}",
        f"sections: {len(obj.sections)}; bytes in them: {size}",
        f"symbols: {len(obj.symbols)}; relocations: {relocations}",
    ):
        print(f"{PROGRAM}: {text}", file=sys.stderr)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run bpf-as and give its exit status: 0, or 1 when an input is at fault."""
    return run(PROGRAM, _command, arguments)
