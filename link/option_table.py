"""The options of bpf-ld: what they are called, their arguments, what they do, and how --help tells of them.

How arguments are cut into options is `bpfas.link.command_line`'s part. What an option does to a link is for
`bpfas.link.options` to say, and for docs/linking.md.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from bpfas.cli import STANDARD_STREAM
from bpfas.elf.constants import ByteOrder
from bpfas.link.options import Discard, Strip, Unresolved

if TYPE_CHECKING:
    from collections.abc import Callable

    from bpfas.link.command_line import CommandLine

    _Act = Callable[[CommandLine, str], None]


class Option(NamedTuple):
    """What an option is called and does; `argument` is what its argument is called, None if it has none.

    One that `is_joined` takes its argument behind `=` only, or none. Without `help`, --help does not show it.
    """

    names: tuple[str, ...]
    act: _Act
    argument: str | None = None
    help: str = ""
    is_joined: bool = False


def _ignore(command: CommandLine, value: str) -> None:
    """Take an option that asks for what is so in any case."""


def _set(name: str, value: object) -> _Act:
    """An option that sets an attribute to a value."""

    def act(command: CommandLine, _: str) -> None:
        setattr(command, name, value)

    return act


def _text(name: str) -> _Act:
    """An option whose argument is an attribute."""

    def act(command: CommandLine, value: str) -> None:
        setattr(command, name, _not_empty(value))

    return act


def _choose(name: str, value: object) -> _Act:
    """An option that sets one of `bpfas.link.options.LinkOptions`."""

    def act(command: CommandLine, _: str) -> None:
        command.chosen[name] = value

    return act


def _gather(name: str) -> _Act:
    """An option that may be repeated, and adds its argument to one of `bpfas.link.options.LinkOptions`."""

    def act(command: CommandLine, value: str) -> None:
        command.gathered.setdefault(name, []).append(_not_empty(value))

    return act


def _not_empty(value: str) -> str:
    if not value:
        raise ValueError("the argument is empty")
    return value


def _strip(strip: Strip) -> _Act:
    def act(command: CommandLine, _: str) -> None:
        command.chosen["strip"] = max(strip, command.chosen.get("strip", strip))

    return act


def _byte_order(order: ByteOrder) -> _Act:
    def act(command: CommandLine, _: str) -> None:
        if command.order not in (None, order):
            raise ValueError("the other byte order was given before")
        command.order = order

    return act


def _define(command: CommandLine, value: str) -> None:
    name, equals, expression = value.partition("=")
    if not name or not equals or not expression:
        raise ValueError("a definition is written SYM=EXPR")
    command.gathered.setdefault("definitions", []).append((name.strip(), expression.strip()))


def _library(command: CommandLine, value: str) -> None:
    command.add_input(_not_empty(value), is_library=True)


def _library_directory(command: CommandLine, value: str) -> None:
    command.library_directories.append(_not_empty(value))


def _start_group(command: CommandLine, _: str) -> None:
    if command.group:
        raise ValueError("groups cannot be nested")
    command.groups += 1
    command.group = command.groups


def _end_group(command: CommandLine, _: str) -> None:
    if not command.group:
        raise ValueError("there is no --start-group before it")
    command.group = 0


def _push_state(command: CommandLine, _: str) -> None:
    command.states.append(command.whole_archive)


def _pop_state(command: CommandLine, _: str) -> None:
    if not command.states:
        raise ValueError("there is no --push-state before it")
    command.whole_archive = command.states.pop()


_METHODS = {
    "ignore-all": Unresolved.IGNORE,
    "report-all": Unresolved.ERROR,
    "ignore-in-object-files": Unresolved.IGNORE,
    "ignore-in-shared-libs": Unresolved.ERROR,  # of which BPF has none
}


def _unresolved_symbols(command: CommandLine, value: str) -> None:
    if value not in _METHODS:
        raise ValueError(f"`{value}` is not one of {', '.join(_METHODS)}")
    command.method = _METHODS[value]


_KEYWORDS: dict[str, _Act] = {
    "muldefs": _choose("allow_multiple_definition", True),
    "defs": _set("method", Unresolved.ERROR),
    "undefs": _set("method", Unresolved.IGNORE),
}

KEYWORDS_WITHOUT_EFFECT = (
    *("noexecstack", "execstack", "relro", "norelro", "now", "lazy", "separate-code", "noseparate-code"),
    *("text", "notext", "textoff", "combreloc", "nocombreloc", "common", "nocommon", "nocopyreloc", "origin"),
    *(
        "initfirst",
        "interpose",
        "loadfltr",
        "global",
        "unique",
        "nounique",
        "nodefaultlib",
        "nodelete",
        "nodlopen",
    ),
    *("nodump", "pack-relative-relocs", "nopack-relative-relocs", "start-stop-gc", "nostart-stop-gc"),
    *("keep-text-section-prefix", "nokeep-text-section-prefix", "noextern-protected-data"),
    *("dynamic-undefined-weak", "nodynamic-undefined-weak", "max-page-size", "common-page-size", "stack-size"),
    "start-stop-visibility",
)
"""Keywords of GNU ld's -z, without their values, that speak of how programs of other machines are loaded."""


def _keyword(command: CommandLine, value: str) -> None:
    if value in _KEYWORDS:
        _KEYWORDS[value](command, "")
    elif value.partition("=")[0] not in KEYWORDS_WITHOUT_EFFECT:
        from bpfas.link.unknown_names import suggestion  # for messages only

        meant = suggestion(value, (*_KEYWORDS, *KEYWORDS_WITHOUT_EFFECT))
        command.warnings.append(f"-z {value} is no known keyword, and has no effect{meant}")


def _optimisation(_: CommandLine, value: str) -> None:
    if not (value.isascii() and value.isdigit()):
        raise ValueError("the level of optimisation is a number; none has an effect")


def _trace(command: CommandLine, _: str) -> None:
    command.traces += 1


def _trace_symbol(command: CommandLine, value: str) -> None:
    command.traced_symbols.append(_not_empty(value))


_COLORED = ("auto", "always", "never")


def _color(command: CommandLine, value: str) -> None:
    if (value or _COLORED[1]) not in _COLORED:
        raise ValueError(f"`{value}` is not one of {', '.join(_COLORED)}")
    command.color = value or _COLORED[1]


def _plugin(_: CommandLine, value: str) -> None:
    if not re.search(r"(?:^|/)liblto_plugin\.", value):
        raise ValueError("plugins are not loaded; only GCC's own, which it names in every link, is let pass")


def _compression(_: CommandLine, value: str) -> None:
    if value != "none":
        raise ValueError("loaders of BPF cannot read compressed sections; leave it out, or compile without -gz")


def _request(request: str) -> _Act:
    def act(command: CommandLine, _: str) -> None:
        command.request = command.request or request

    return act


OPTIONS: tuple[Option, ...] = (
    Option(("-o", "--output"), _text("output"), "FILE", "write to FILE (default: a.out; `-`: standard output)"),
    Option(("-r", "--relocatable", "-i"), _set("is_partial", True), None, "let names stay undefined"),
    Option(("-l", "--library"), _library, "NAME", "take what is missing from libNAME.a; `-l :FILE`: from FILE"),
    Option(("-L", "--library-path"), _library_directory, "DIR", "look for libraries in DIR, wherever -l stands"),
    Option(("--whole-archive",), _set("whole_archive", True), None, "take all of the archives that follow"),
    Option(("--no-whole-archive",), _set("whole_archive", False)),
    Option(("-(", "--start-group"), _start_group, None, "look through the archives up to `-)` again and again"),
    Option(("-)", "--end-group"), _end_group),
    Option(("--push-state",), _push_state),
    Option(("--pop-state",), _pop_state),
    Option(("-u", "--undefined"), _gather("wanted"), "SYM", "take SYM from archives, and keep it"),
    Option(("-e", "--entry"), _gather("roots"), "SYM", "the same, and it must be defined"),
    Option(("--defsym",), _define, "SYM=EXPR", "define SYM: a number, or another symbol and a number"),
    Option(("--wrap",), _gather("wrapped"), "SYM", "let SYM mean __wrap_SYM, and __real_SYM mean SYM"),
    Option(("--export",), _gather("exported"), "PATTERN", "let only names that match stay global"),
    Option(("--localize",), _gather("localized"), "PATTERN", "let names that match become local"),
    Option(("--unresolved-symbols",), _unresolved_symbols, "METHOD", "undefined names: ignore-all or report-all"),
    Option(
        ("--no-undefined",), _set("method", Unresolved.ERROR), None, "undefined names are errors, even with -r"
    ),
    Option(("--warn-unresolved-symbols",), _set("undefined_names_are", Unresolved.WARN)),
    Option(("--error-unresolved-symbols",), _set("undefined_names_are", Unresolved.ERROR)),
    Option(("-z",), _keyword, "KEYWORD", "muldefs: take the first of several definitions; defs; undefs"),
    Option(("--allow-multiple-definition",), _choose("allow_multiple_definition", True)),
    Option(("--gc-sections",), _choose("gc_functions", True), None, "leave out functions that nobody uses"),
    Option(("--no-gc-sections",), _choose("gc_functions", False)),
    Option(("--no-gc-weak",), _choose("gc_weak", False)),
    Option(("--print-gc-sections",), _set("prints_removed", True), None, "tell what was left out, and why"),
    Option(("--no-print-gc-sections",), _set("prints_removed", False)),
    Option(("-S", "--strip-debug"), _strip(Strip.DEBUG), None, "leave out debugging sections (types stay)"),
    Option(("-s", "--strip-all"), _strip(Strip.ALL), None, "and symbols that no loader needs"),
    Option(("-x", "--discard-all"), _choose("discard", Discard.LOCALS), None, "leave out local symbols"),
    Option(("-X", "--discard-locals"), _choose("discard", Discard.TEMPORARY)),
    Option(("--discard-none",), _choose("discard", Discard.NONE)),
    Option(("--retain-symbols-file",), _text("retained_file"), "FILE"),
    Option(("-Map",), _text("map_file"), "FILE", "write a map: what came from where, and why"),
    Option(("-M", "--print-map"), _set("map_file", STANDARD_STREAM), None, "print it"),
    Option(("--cref",), _set("prints_cross_references", True), None, "print who defines and who uses each symbol"),
    Option(("-t", "--trace"), _trace, None, "print the files that are read; twice: members too"),
    Option(("-y", "--trace-symbol"), _trace_symbol, "SYM", "tell who defines and who uses SYM"),
    Option(("-EL",), _byte_order(ByteOrder.LITTLE), None, "objects must be little-endian; -EB: big-endian"),
    Option(("-EB",), _byte_order(ByteOrder.BIG)),
    Option(("--fatal-warnings",), _set("warnings_are_errors", True), None, "take warnings for errors"),
    Option(("--no-fatal-warnings",), _set("warnings_are_errors", False)),
    Option(("--color-diagnostics",), _color, "WHEN", "color messages: auto, always, never", is_joined=True),
    Option(("--json",), _ignore, None, "print messages as JSON, one a line"),  # asked for by bpfas.cli
    Option(("-plugin",), _plugin, "FILE"),
    Option(("-plugin-opt",), _ignore, "TEXT"),
    Option(("-v", "-V"), _set("shows_version", True), None, "print the version, and go on"),
    Option(("--version",), _request("version")),
    Option(("--help",), _request("help")),
    # What follows is so in any case.
    Option(("-static", "-Bstatic", "-dn", "-non_shared", "-no-pie", "-nostdlib", "-d", "-dc", "-dp"), _ignore),
    Option(("-O",), _optimisation, "LEVEL"),
    Option(("--compress-debug-sections",), _compression, "none"),
)

_NO_ADDRESSES = "objects for BPF have no addresses before they are loaded"
_NO_SHARED = "BPF has no shared libraries; its objects are joined, or bound by the loader"
_NO_EXECUTABLES = "the output is always a relocatable object, which is what loaders of BPF take"
_ONE_TARGET = "bpf-ld links ELF objects for BPF only; -EL and -EB say which byte order they have"

REFUSED_OPTIONS: dict[str, str] = {
    **dict.fromkeys(
        (
            *("-T", "--script", "-dT", "--default-script", "-Ttext", "-Tdata", "-Tbss", "-Ttext-segment"),
            *("-Trodata-segment", "-Tldata-segment", "--section-start", "--image-base", "--sort-section"),
            *("-n", "--nmagic", "-N", "--omagic", "-c", "--mri-script", "-R", "--just-symbols"),
        ),
        _NO_ADDRESSES,
    ),
    **dict.fromkeys(
        (
            *("-shared", "-Bshareable", "-Bdynamic", "-dy", "-call_shared", "-Bsymbolic", "-soname", "-h"),
            *("-rpath", "-rpath-link", "--dynamic-linker", "-I", "--no-dynamic-linker", "-E", "--export-dynamic"),
            *("--as-needed", "--no-as-needed", "--version-script", "--dynamic-list", "--export-dynamic-symbol"),
            *("-f", "--auxiliary", "-F", "--filter", "-init", "-fini"),
        ),
        _NO_SHARED,
    ),
    **dict.fromkeys(("-pie", "--pic-executable", "-q", "--emit-relocs", "-Ur"), _NO_EXECUTABLES),
    **dict.fromkeys(("-m", "-A", "--architecture", "-b", "--format", "--oformat"), _ONE_TARGET),
    **dict.fromkeys(("--relax", "--icf", "-G", "--gpsize"), "bpf-ld does not optimise; the compiler does"),
    **dict.fromkeys(
        ("-flto", "--lto-O", "--lto-partitions"), "link-time optimisation is not done; compile without"
    ),
    "--build-id": "loaders of BPF do not read it",
    "--sysroot": "no directory is looked through unless -L names it",
    "--noinhibit-exec": "after errors nothing is written; see --warn-unresolved-symbols",
}
"""Options of GNU ld, and of LLVM's, that mean nothing for BPF, and why."""


def help_text() -> str:
    """What --help prints."""
    lines = [f"  {_spelling(option):<30} {option.help}" for option in OPTIONS if option.help]
    return "\n".join((_HEAD, *lines, _EXAMPLES))


def _spelling(option: Option) -> str:
    """The names of an option, and its argument, as --help shows them."""
    names = ", ".join(option.names[:2])
    if option.argument is None:
        return names
    return f"{names}[={option.argument}]" if option.is_joined else f"{names} {option.argument}"


_HEAD = """\
usage: bpf-ld [option...] FILE...
Link BPF objects, and what they need of archives, into one object. `-` is standard input.
"""

_EXAMPLES = """\
  @FILE                          more options are in FILE

examples:
  bpf-ld main.o helpers.o -o app.o         join two objects; names that nobody defines are errors
  bpf-ld main.o -L lib -lnet -o app.o      with what main.o needs of lib/libnet.a
  bpf-ld -r a.o b.o -o part.o              for a later link
All options, and what is linked how: docs/linking.md.
"""
