"""The arguments of bpf-as: what they are called, which of GNU as's are ignored, and which are refused and why.

Options are read as GNU as reads them: long ones with one dash or two; the argument of a short one joined or apart;
`-WZ` is `-W -Z`; `--` ends them. Carrying them out is `bpfas.asm.cli`'s part.
"""

from __future__ import annotations

import enum
import re
import sys
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from bpfas.asm.instruction import nearest
from bpfas.asm.listing_options import ListingOptions
from bpfas.cli import STANDARD_STREAM
from bpfas.elf.constants import ByteOrder
from bpfas.gnu_arguments import OptionError, act_on_word, act_with_value, take_all
from bpfas.isa import Dialect, IsaVersion

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

DEFAULT_DEBUG_VERSION = 5
"""The version of DWARF that -g makes, as LLVM's does."""


class Warnings(enum.Enum):
    """What becomes of warnings."""

    SHOWN = enum.auto()
    SILENT = enum.auto()
    FATAL = enum.auto()


class Request(enum.Enum):
    """What the command shall do."""

    ASSEMBLE = enum.auto()
    HELP = enum.auto()
    TARGET_HELP = enum.auto()
    VERSION = enum.auto()


@dataclass(eq=False, slots=True)
class CommandLine:
    """What the arguments say. `definitions` are texts such as `NAME=1+2`, not evaluated yet.

    `chosen` are further values of `bpfas.asm.options.Options`, by name.
    """

    sources: list[str] = field(default_factory=list)
    output: str = "a.out"
    request: Request = Request.ASSEMBLE
    order: ByteOrder | None = None
    include_directories: list[str] = field(default_factory=list)
    definitions: list[str] = field(default_factory=list)
    warnings: Warnings = Warnings.SHOWN
    dependency_file: str | None = None
    listing: ListingOptions = field(default_factory=ListingOptions)
    debug_version: int | None = None
    debug_prefixes: list[tuple[str, str]] = field(default_factory=list)
    chosen: dict[str, Any] = field(default_factory=dict)
    shows_version: bool = False
    shows_statistics: bool = False


class _Option(NamedTuple):
    """What an option does; `argument` is what its argument is called, None if it has none.

    One that `is_joined` takes its argument behind `=` only, or none.
    """

    act: Callable[[CommandLine, str], None]
    argument: str | None = None
    is_joined: bool = False


def parse(arguments: Sequence[str]) -> CommandLine:
    """What the arguments say. Raises BpfasError with all that is wrong with them."""
    command = CommandLine()
    take_all(arguments, partial(_take, command))
    return command


def _take(command: CommandLine, word: str, waiting: list[str]) -> None:
    """Do what `word` says; an option may take its argument from the end of the words that are waiting."""
    if word == "--":
        command.sources += reversed(waiting)
        waiting.clear()
    elif word == STANDARD_STREAM or not word.startswith("-"):
        command.sources.append(word)
    else:
        _take_option(command, word, waiting)


def _take_option(command: CommandLine, word: str, waiting: list[str]) -> None:
    name, equals, _ = word.removeprefix("--" if word.startswith("--") else "-").partition("=")
    is_short = not word.startswith("--")
    option = LONG_OPTIONS.get(name) or (SHORT_OPTIONS.get(name) if is_short and not equals else None)
    if option is not None:
        act_on_word(option, command, word, waiting)
    elif name in REFUSED_OPTIONS:
        raise OptionError(f"{word} is not supported: {REFUSED_OPTIONS[name]}")
    elif is_short and (listing := re.fullmatch(_LISTING, word)):
        act_with_value(_Option(partial(_listing, listing["forms"])), command, listing["file"] or "", word)
    elif is_short and (option := SHORT_OPTIONS.get(word[1])) and option.argument is not None:
        act_with_value(option, command, word[2:], word)
    elif is_short and all(letter in _FLAGS for letter in word[1:]):
        for letter in word[1:]:
            SHORT_OPTIONS[letter].act(command, "")
    else:
        spellings = [f"-{letter}" for letter in SHORT_OPTIONS] + [f"--{other}" for other in LONG_OPTIONS]
        dashes = "--" if len(name) > 1 else "-"
        raise OptionError(f"unknown option `{word}`{nearest(dashes + name, spellings) or '; try --help'}")


_LISTING = r"(?s)-a(?P<forms>[cdghlmns]*)(?:=(?P<file>.*))?"


def _listing(forms: str, command: CommandLine, file: str) -> None:
    command.listing.request(forms, file)


def _ignore(command: CommandLine, value: str) -> None:
    """Take an option that GNU as ignores too, or that changes nothing for BPF."""


def _set(name: str, value: object) -> _Option:
    """An option that sets an attribute to a value."""

    def act(command: CommandLine, _: str) -> None:
        setattr(command, name, value)

    return _Option(act)


def _choose(name: str, value: object) -> _Option:
    """An option that is one of `bpfas.asm.options.Options`."""

    def act(command: CommandLine, _: str) -> None:
        command.chosen[name] = value

    return _Option(act)


def _text(name: str, argument: str) -> _Option:
    """An option whose argument is an attribute."""

    def act(command: CommandLine, value: str) -> None:
        if not value:
            raise ValueError(f"the {argument} is empty")
        setattr(command, name, value)

    return _Option(act, argument)


def _choice(name: str, choices: dict[str, object]) -> _Option:
    """An option of `bpfas.asm.options.Options` by its argument; without a name it changes nothing."""

    def act(command: CommandLine, value: str) -> None:
        if value not in choices:
            raise ValueError(f"`{value}` is not one of {', '.join(choices)}")
        if name:
            command.chosen[name] = choices[value]

    return _Option(act, "|".join(choices))


def _byte_order(order: ByteOrder) -> _Option:
    def act(command: CommandLine, _: str) -> None:
        if command.order not in (None, order):
            raise ValueError("the other byte order was given before")
        command.order = order

    return _Option(act)


def _request(request: Request) -> _Option:
    def act(command: CommandLine, _: str) -> None:
        if command.request is Request.ASSEMBLE:
            command.request = request

    return _Option(act)


def _include(command: CommandLine, value: str) -> None:
    command.include_directories.append(value)


def _define(command: CommandLine, value: str) -> None:
    if "=" not in value:
        raise ValueError("a definition is written NAME=VALUE")
    command.definitions.append(value)


def _map_prefix(command: CommandLine, value: str) -> None:
    old, equals, new = value.partition("=")
    if not equals:
        raise ValueError("a map is written OLD=NEW")
    command.debug_prefixes.append((old, new))


def _debug(command: CommandLine, _: str) -> None:
    command.debug_version = command.debug_version or DEFAULT_DEBUG_VERSION


def _listing_number(name: str) -> _Option:
    def act(command: CommandLine, value: str) -> None:
        setattr(command.listing, name, _number(value, 1))

    return _Option(act, "N")


def _number(value: str, least: int) -> int:
    if not re.fullmatch(r"[0-9]{1,6}", value) or int(value) < least:
        raise ValueError(f"`{value}` is not a number from {least} to 999999")
    return int(value)


def _ignore_number(_: CommandLine, value: str) -> None:
    _number(value, 0)


_IGNORED = _Option(_ignore)

SHORT_OPTIONS: dict[str, _Option] = {
    "o": _text("output", "FILE"),
    "I": _Option(_include, "DIR"),
    "W": _set("warnings", Warnings.SILENT),
    "L": _choose("keeps_local_labels", True),
    "R": _choose("folds_data_into_text", True),
    "g": _Option(_debug),
    "v": _set("shows_version", True),
    "h": _request(Request.HELP),
    **dict.fromkeys("DfJKwXZ", _IGNORED),
}

_FLAGS = frozenset(letter for letter, option in SHORT_OPTIONS.items() if option.argument is None)

LONG_OPTIONS: dict[str, _Option] = {
    "EL": _byte_order(ByteOrder.LITTLE),
    "EB": _byte_order(ByteOrder.BIG),
    "mdialect": _choice("dialect", {dialect.value: dialect for dialect in Dialect}),
    "misa-spec": _choice("isa", {version.spelling: version for version in IsaVersion}),
    "mxbpf": _choose("isa", IsaVersion.XBPF),
    "mno-relax": _choose("relax", False),
    "defsym": _Option(_define, "NAME=VALUE"),
    "alternate": _choose("alternate_macros", True),
    "sectname-subst": _choose("substitutes_section_names", True),
    "no-warn": _set("warnings", Warnings.SILENT),
    "warn": _set("warnings", Warnings.SHOWN),
    "fatal-warnings": _set("warnings", Warnings.FATAL),
    "json": _IGNORED,  # asked for by bpfas.cli, which must know even if other options are wrong
    "MD": _text("dependency_file", "FILE"),
    "keep-locals": _choose("keeps_local_labels", True),
    "strip-local-absolute": _choose("strips_local_absolute", True),
    "size-check": _choice("checks_sizes", {"error": True, "warning": False}),
    "gen-debug": _Option(_debug),
    **{f"gdwarf-{version}": _set("debug_version", version) for version in (2, 3, 4, 5)},
    "debug-prefix-map": _Option(_map_prefix, "OLD=NEW"),
    "listing-lhs-width": _listing_number("words"),
    "listing-lhs-width2": _listing_number("continued_words"),
    "listing-rhs-width": _listing_number("source_width"),
    "listing-cont-lines": _listing_number("continuation_lines"),
    "statistics": _set("shows_statistics", True),
    "verbose": _set("shows_version", True),
    "version": _request(Request.VERSION),
    "help": _request(Request.HELP),
    "target-help": _request(Request.TARGET_HELP),
    # What follows changes nothing: because GNU as ignores it too, or since BPF has nothing that it could change.
    **dict.fromkeys(
        (
            "gdwarf-sections",
            "info",
            "no-info",
            "no-pad-sections",
            "nocompress-debug-sections",
            "nocpp",
            "noexecstack",
            "reduce-memory-overheads",
            "traditional-format",
        ),
        _IGNORED,
    ),
    "hash-size": _Option(_ignore_number, "N"),
    "compress-debug-sections": _Option(_ignore, "none|zlib|zlib-gnu|zlib-gabi|zstd", is_joined=True),
    "gdwarf-cie-version": _choice("", dict.fromkeys(("1", "3", "4"))),
    "elf-stt-common": _choice("", {"no": None}),
    "generate-missing-build-notes": _choice("", {"no": None}),
    "multibyte-handling": _choice("", {"allow": None}),
}

REFUSED_OPTIONS: dict[str, str] = {
    **dict.fromkeys(("M", "mri"), "it is for sources of a 68000 assembler"),
    **dict.fromkeys(("gstabs", "gstabs+"), "nothing reads STABS of BPF; -g makes DWARF"),
    "gsframe": "SFrame describes the stacks of other machines",
    "execstack": "no kernel executes the stack of a BPF program",
    "mcpu": "-misa-spec= chooses the version of the instruction set",
    "march": "-misa-spec= chooses the version of the instruction set",
    "dump-config": "there is nothing to configure; --version says which bpf-as this is",
}
"""Options of GNU as, and of LLVM's, that mean nothing for BPF, and why."""

TARGET_HELP = """\
BPF options:
  -EL, -EB                little-endian, big-endian object (default: this machine's order)
  -mdialect=normal|pseudoc  take only this way to write instructions (default: both)
  -misa-spec=v1|v2|v3|v4|latest|xbpf
                          refuse instructions that came with a later version (default: xbpf)
  -mxbpf                  the same as -misa-spec=xbpf
  -mno-relax              do not lengthen jumps that do not reach
"""

HELP = f"""\
usage: bpf-as [option...] [FILE...]
Assemble BPF: GNU as's dialect and pseudo-C to an ELF object. `-` or no FILE: standard input.

  -o FILE                 the object (default: a.out; `-` is standard output)
  -I DIR                  look for included files in DIR too
  --defsym NAME=VALUE     define a symbol; VALUE is an expression
  -g, --gdwarf-N          make DWARF of version 5, of version N
  --debug-prefix-map OLD=NEW   in DWARF, write NEW for directories that begin with OLD
  -a[cdghlmns][=FILE]     print a listing: c without what .if leaves out, d without debugging directives,
                          g general facts, l source and bytes, m expansions, n no pages, s symbols
  --MD FILE               write a rule for make that names all files that were read
  -W, --fatal-warnings    do not show warnings; take them for errors
  --json                  print messages as JSON, one a line
  -L                      put .L labels into the symbol table
  --alternate             begin in .altmacro
  --statistics            print time, memory and sizes
  -v, --version, --help, --target-help
  @FILE                   more options are in FILE
{TARGET_HELP}
examples:
  bpf-as prog.s -o prog.o              assemble one source
  bpf-as common.s prog.s -o prog.o     assemble sources as if they were one
  bpf-as -aln prog.s -o prog.o         see which bytes each line becomes
  echo 'mov %r0, 2; exit' | bpf-as -o - - | bpf-objdump -d -

Both ways to write an instruction may be mixed: `add %r1, 5` and `r1 += 5`. All options: docs/options.md.
"""


def native_byte_order() -> ByteOrder:
    """The order of the machine that this runs on."""
    return ByteOrder.LITTLE if sys.byteorder == "little" else ByteOrder.BIG
