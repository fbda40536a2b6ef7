"""What the subcommands of `bpf-load` share: parsers, the object and its Image, options of loading, printing."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import stat
import sys
from typing import TYPE_CHECKING, Any

from bpfas.arguments import ArgumentParser
from bpfas.cli import STANDARD_STREAM, read_input
from bpfas.cli import report as report_messages
from bpfas.diag import BpfasError, Diagnostic, Severity
from bpfas.elf.old_gnu import modernize
from bpfas.elf.reader import read_object
from bpfas.loader.cli.messages import COLOR_CHOICES, COLOR_OPTION, PROGRAM, is_colored
from bpfas.loader.cli.parts import set_part
from bpfas.loader.cli.values import HEX_PREFIX, parse_hex, parse_value
from bpfas.loader.image.build import build_image
from bpfas.loader.loading.execute import load_image
from bpfas.loader.loading.options import BPF_FILE_SYSTEM, LoadOptions
from bpfas.loader.loading.pins import map_pin_path

if TYPE_CHECKING:
    from collections.abc import Collection as Words
    from collections.abc import Iterator, Sequence

    from bpfas.loader.loading.collection import Collection
    from bpfas.loader.spec import Image
    from bpfas.objfile import ObjectFile

LOADER_PROGRAM_MAGIC = b"\x7fBPFLOAD"
"""What the file of a loader program begins with (`bpfas.loader.gen.files.raw_file`)."""

_MAP_FIELDS = (
    "max_entries",
    "map_flags",
    "value_size",
    "key_size",
    "map_extra",
    "numa_node",
    "pin_path",
    "autocreate",
)
_PROGRAM_FIELDS = ("autoload", "target", "section")


_KEYRING_HELP = """\
of a signed loader program: with the keys of which keyring the kernel verifies it (session, user, builtin, …)"""


def parser_with_text(name: str, description: str, epilog: str | None = None) -> argparse.ArgumentParser:
    """A parser whose help shows the texts as they are."""
    return ArgumentParser(
        prog=name,
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def command_parser(name: str, description: str, epilog: str | None = None) -> argparse.ArgumentParser:
    """The parser of a subcommand, which all have --json and --color."""
    parser = parser_with_text(f"{PROGRAM} {name}", description, epilog)
    parser.add_argument("--json", action="store_true", help="report as JSON")
    parser.add_argument(
        COLOR_OPTION, choices=COLOR_CHOICES, default="auto", help="colours (default: on terminals)"
    )
    return parser


def split_action(arguments: Sequence[str], actions: Words[str], default: str) -> tuple[str, list[str]]:
    """Which of a command's actions is asked for, and the other arguments; options may stand in front of it."""
    for place, word in enumerate(arguments):
        if not word.startswith("-"):
            if word in actions:
                return word, [*arguments[:place], *arguments[place + 1 :]]
            break
    return default, list(arguments)


def object_parser(
    name: str, description: str, epilog: str | None = None, *, what: str = "the object file"
) -> argparse.ArgumentParser:
    """The parser of a subcommand that makes an Image of an object; `what` is its help."""
    parser = command_parser(name, description, epilog)
    parser.add_argument("object", metavar="OBJ", help=what)
    add_binding_options(parser)
    return parser


def add_binding_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what undefined names are bound to."""
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


def add_change_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that change an Image; `changed` looks at them."""
    parser.add_argument(
        "--set", metavar="VARIABLE=VALUE", dest="variables", action="append", default=[],
        help="the value that a global variable, or a part (limits.low, sizes[2]), starts with: a number, or JSON",
    )  # fmt: skip
    parser.add_argument(
        "--map", metavar="MAP.FIELD=VALUE", dest="map_changes", action="append", default=[],
        help="change a map before it is created: max_entries, map_flags, pin_path, autocreate, …",
    )  # fmt: skip
    parser.add_argument(
        "--prog", metavar="PROGRAM.FIELD=VALUE", dest="program_changes", action="append", default=[],
        help="change a program before it is loaded: autoload, target",
    )  # fmt: skip
    parser.add_argument("--relaxed-maps", action="store_true", help="let attributes of maps pass that are unknown")


def loading_parser(name: str, description: str, epilog: str | None = None) -> argparse.ArgumentParser:
    """The parser of a subcommand that loads an object, or runs a loader program."""
    what = "the object file, or a loader program (bpf-load gen)"
    parser = object_parser(name, description, epilog, what=what)
    add_change_options(parser)
    parser.add_argument(
        "--target", metavar="PROGRAM", type=lambda text: int(text) if text.isdecimal() else text,
        help="the loaded program, by its id or pinned path, whose functions freplace/NAME replaces",
    )  # fmt: skip
    parser.add_argument(
        "--btf", metavar="FILE",
        help="the kernel's types, which CO-RE relocations are resolved by: raw BTF, or an ELF file with .BTF",
    )  # fmt: skip
    parser.add_argument("--kconfig", metavar="FILE", help="a kernel configuration that counts before the kernel's")
    parser.add_argument(
        "--pin-root",
        metavar="DIRECTORY",
        default=BPF_FILE_SYSTEM,
        help=f"where maps are pinned by name ({BPF_FILE_SYSTEM})",
    )
    parser.add_argument("--token", metavar="DIRECTORY", help="a BPF file system that delegates rights")
    parser.add_argument(
        "--log-level", metavar="N", type=int, default=0, help="keep the verifier's log: 1, 2 (all), 4 (statistics)"
    )
    parser.add_argument("--keyring", metavar="NAME", help=_KEYRING_HELP)
    parser.add_argument("--cert", metavar="FILE", help="verify it with the key of this certificate instead")
    return parser


def read_object_file(path: str, options: argparse.Namespace) -> ObjectFile:
    """The object in a file, or on standard input."""
    obj = read_object(read_input(path), "<stdin>" if path == STANDARD_STREAM else path)
    if warning := modernize(obj):
        warn([Diagnostic(Severity.WARNING, warning, obj.name)], options)
    return obj


def objects(options: argparse.Namespace) -> tuple[ObjectFile, list[ObjectFile]]:
    """The object, and those it is bound to."""
    libraries = [read_object_file(path, options) for path in options.libraries]
    return read_object_file(options.object, options), libraries


def image_of_object(options: argparse.Namespace, *, relaxed_maps: bool = False) -> Image:
    """The Image of the object, as it is; with `relaxed_maps`, unknown attributes of maps have no effect."""
    obj, libraries = objects(options)
    return build_image(obj, libraries, options.ksyms, relaxed_maps=relaxed_maps)


def image_of(options: argparse.Namespace) -> Image:
    """The Image that the options describe, with what they change in it."""
    return changed(image_of_object(options, relaxed_maps=options.relaxed_maps), options)


def changed(image: Image, options: argparse.Namespace) -> Image:
    """The image, with what the options change in it."""
    for assignment in options.variables:
        name, value = split_assignment(assignment, "--set VARIABLE=VALUE")
        set_part(image.data, name, parse_value(value))
    for assignment in options.map_changes:
        (name, field), value = split_field(assignment, _MAP_FIELDS, "--map MAP.FIELD=VALUE")
        image.set_map(name, **{field: value})
    for assignment in options.program_changes:
        (name, field), value = split_field(assignment, _PROGRAM_FIELDS, "--prog PROGRAM.FIELD=VALUE")
        image.set_program(name, **{field: value})
    return image


def load_options(options: argparse.Namespace) -> LoadOptions:
    """The options of loading."""
    kconfig = read_input(options.kconfig).decode(errors="replace") if options.kconfig else ""
    return LoadOptions(options.target, kconfig, options.pin_root, options.token, options.log_level, options.btf)


@contextlib.contextmanager
def loaded(options: argparse.Namespace) -> Iterator[Collection]:
    """What the options describe, in the kernel; warnings are printed."""
    with _collection(options) as collection:
        warn([*collection.warnings, *_pins(collection, options)], options)
        yield collection


def _collection(options: argparse.Namespace) -> Collection:
    if begins_with(options.object, LOADER_PROGRAM_MAGIC):
        from bpfas.loader.cli.loader_program import run_file  # most of what is loaded are objects

        return run_file(options)
    if options.keyring or options.cert:
        raise BpfasError.of("--keyring and --cert are for loader programs, which can be signed", options.object)
    return load_image(image_of(options), load_options(options))


def begins_with(path: str, magic: bytes) -> bool:
    """Whether a file, or standard input, which stays whole, begins so; not if that cannot be read."""
    try:
        if path == STANDARD_STREAM:
            peek = getattr(sys.stdin.buffer, "peek", None)
            return peek is not None and peek(len(magic)).startswith(magic)
        if not stat.S_ISREG(os.stat(path).st_mode):
            return False
        with open(path, "rb") as file:
            return file.read(len(magic)) == magic
    except OSError:
        return False


def _pins(collection: Collection, options: argparse.Namespace) -> Iterator[Diagnostic]:
    """Of maps that are pinned as their definitions ask for: where they stay."""
    where = LoadOptions(pin_root=options.pin_root)
    for name, plan in collection.plan.maps.items():
        if path := map_pin_path(plan.spec, where):
            yield Diagnostic(Severity.NOTE, f"map {name} is pinned at {path}, and stays there", None)


def warn(messages: Sequence[Diagnostic], options: argparse.Namespace) -> None:
    """Print messages to standard error."""
    report_messages(PROGRAM, messages, as_json=options.json, colored=is_colored(options.color, sys.stderr))


def print_json(value: object) -> None:
    """Print a value as JSON."""
    print(json.dumps(value, indent=2))


def read_bytes(source: str | None) -> bytes:
    """The bytes that an option names: `hex:…`, a file, standard input; none for None."""
    if source is None:
        return b""
    return parse_hex(source) if source.startswith(HEX_PREFIX) else read_input(source)


def split_assignment(assignment: str, form: str) -> tuple[str, str]:
    """The two sides of `NAME=VALUE`; `form` is what messages call it."""
    name, equals, value = assignment.partition("=")
    if not equals or not name:
        raise BpfasError.of(f"'{assignment}' is not of the form {form}")
    return name, value


def split_field(assignment: str, known: Sequence[str], form: str) -> tuple[tuple[str, str], Any]:
    """The name and field that are set, and the value."""
    place, value = split_assignment(assignment, form)
    name, dot, field = place.rpartition(".")
    if not dot or not name:
        raise BpfasError.of(f"'{assignment}' is not of the form {form}")
    if field not in known:
        raise BpfasError.of(f"there is no field '{field}' to set in '{assignment}'; there are {', '.join(known)}")
    return (name, field), parse_value(value)
