"""`bpf-load gen`: an object as a loader program, in one of several formats; signing such files, and verifying."""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING

from bpfas.cli import STANDARD_STREAM, read_input, refuse_to_overwrite, write_output
from bpfas.diag import BpfasError
from bpfas.loader.cli.common import (
    LOADER_PROGRAM_MAGIC,
    add_binding_options,
    add_change_options,
    begins_with,
    changed,
    command_parser,
    print_json,
    read_object_file,
    split_action,
    warn,
)
from bpfas.loader.cli.loader_program import called_by_path, read_file, refuse_changes
from bpfas.loader.gen import GenOptions, generate
from bpfas.loader.gen.files.raw_file import write_raw
from bpfas.loader.gen.loader_program import Scheme
from bpfas.loader.gen.trace import trace_json, trace_text
from bpfas.loader.image.build import build_image

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from bpfas.loader.gen.loader_program import LoaderProgram
    from bpfas.loader.spec import Image
    from bpfas.objfile import ObjectFile

_DESCRIPTION = """\
Turn OBJ into a loader program: a BPF program that loads OBJ's maps and programs when it is run. Several OBJs are
linked first; a raw file is written in another format. No privilege is needed, and no kernel.

  bpf-load gen OBJ... -o FILE                  make one; the name says the format:
                                               .py a Python module, .h a C header, .o ELF, others a raw file
  bpf-load gen --trace OBJ                     show what it does: each call of bpf(2)
  bpf-load gen sign FILE --key K --cert C      sign a raw file
  bpf-load gen verify FILE --cert C            verify that

Raw files are run by bpf-load itself: bpf-load FILE, bpf-load attach FILE, bpf-load pin FILE DIRECTORY.
"""
_EPILOG = """\
examples:
  bpf-load gen app.o -o app.bpfl --set threshold=5 && bpf-load attach app.bpfl
  bpf-load gen app.o --trace
  bpf-load gen app.o -o app.bpfl --scheme newer --key key.pem --cert cert.pem
"""
_SIGN_DESCRIPTION = "Sign the loader program in FILE, which was made for it: bpf-load gen --scheme SCHEME."
_VERIFY_DESCRIPTION = """\
Verify that the loader program in FILE is as the owner of a certificate has signed it. Exit status 0 if so.
"""


_FORMATS = {
    "raw": "files.raw_file.write_raw",
    "python": "python.module.python_module",
    "c": "c.header.c_header",
    "elf": "files.elf_object.elf_object",
}
"""The function of `bpfas.loader.gen` that writes each format. It is imported when the format is asked for."""

_OF_OBJECTS = {
    "libraries": "--with",
    "ksyms": "--ksym",
    "variables": "--set",
    "map_changes": "--map",
    "program_changes": "--prog",
    "relaxed_maps": "--relaxed-maps",
    "kconfig": "--kconfig",
    "btf": "--btf",
    "token": "--token",
    "debug": "--debug",
    "scheme": "--scheme",
}
"""Options that say what a loader program is to be, by where the parser puts them."""

_BY_SUFFIX = {".py": "python", ".h": "c", ".o": "elf"}
_NAME_OF_STANDARD_INPUT = "object"
_TEXTS = frozenset({"python", "c"})
"""The formats that people can read."""


def main(name: str, arguments: Sequence[str]) -> int:
    """Run the command; gives its exit status."""
    action, rest = split_action(arguments, _ACTIONS, "")
    return _ACTIONS[action](f"{name} {action}", rest) if action else _generate(name, rest)


def _generate(name: str, arguments: Sequence[str]) -> int:
    parser = command_parser(name, _DESCRIPTION, _EPILOG)
    parser.usage = "bpf-load gen OBJ... [-o FILE] [OPTION...]"
    parser.add_argument("objects", metavar="OBJ", nargs="+", help="the object files")
    parser.add_argument("-o", "--output", metavar="FILE", help="where to (default, and -: standard output)")
    parser.add_argument("--format", choices=[*_FORMATS], help="the format, whatever the name of FILE says")
    parser.add_argument("--name", help="what Python and C call it (default: the first OBJ's name without .o)")
    parser.add_argument(
        "--trace", action="store_true", help="show what the program does instead (with --json: as JSON)"
    )
    add_binding_options(parser)
    add_change_options(parser)
    parser.add_argument(
        "--kconfig", metavar="FILE",
        help="a kernel configuration that counts before that of the kernel it runs on",
    )  # fmt: skip
    parser.add_argument(
        "--btf", metavar="FILE", help="a kernel's types, by which the layout of struct_ops is fixed"
    )
    parser.add_argument(
        "--token", action="store_true", help="make it work by the right of a BPF token, if given one"
    )
    parser.add_argument(
        "--debug", action="store_true", help="have it write what it does to the kernel's trace pipe"
    )
    parser.add_argument(
        "--scheme", choices=[each.value for each in Scheme],
        help="make it to be signed, for kernels that verify so: 6.18, or newer ones",
    )  # fmt: skip
    _add_key_options(parser)
    options = parser.parse_intermixed_args(arguments)
    if options.trace and (options.output or options.format or options.key):
        parser.error("--trace writes text to standard output: leave out -o, --format and --key")
    if (options.key or options.cert) and not options.scheme:
        parser.error("--key and --cert sign, and --scheme says for which kernels")
    if bool(options.key) != bool(options.cert):
        parser.error("--key and --cert belong together: the private key, and the certificate of it")
    output = options.output or STANDARD_STREAM
    format_ = options.format or _BY_SUFFIX.get(os.path.splitext(output)[1], "raw")
    if not options.trace:
        refuse_to_overwrite(output, [*options.objects, *options.libraries])
        if format_ not in _TEXTS and output == STANDARD_STREAM and sys.stdout.isatty():
            raise BpfasError.of(f"the format {format_} is not for terminals", None, ("say where to: -o FILE",))
    program = _program(options)
    if options.trace:
        print_json(trace_json(program.script)) if options.json else print(trace_text(program.script))
        return 0
    if options.key:
        program = _signed(program, options)
    write_output(output, _written(program, format_, output))
    return 0


def _written(program: LoaderProgram, format_: str, path: str) -> bytes:
    module, _, function = _FORMATS[format_].rpartition(".")
    write = getattr(importlib.import_module(f"bpfas.loader.gen.{module}"), function)
    is_imported = format_ == "python" and path != STANDARD_STREAM
    contents: str | bytes = write(program, _stem(path)) if is_imported else write(program)
    return contents.encode() if isinstance(contents, str) else contents


def _stem(path: str) -> str:
    return os.path.splitext(os.path.basename(path))[0]


def _program(options: argparse.Namespace) -> LoaderProgram:
    """What the options describe; warnings are printed."""
    path = options.objects[0]
    if len(options.objects) == 1 and begins_with(path, LOADER_PROGRAM_MAGIC):
        refuse_changes(options, path, _OF_OBJECTS)
        program = read_file(path)
        return program._replace(name=options.name or program.name)
    for other in (*options.objects, *options.libraries):
        if begins_with(other, LOADER_PROGRAM_MAGIC):
            message = "a loader program cannot be linked with anything"
            raise BpfasError.of(message, other, ("give the objects that it was made of",))
    types = None
    if options.btf:
        from bpfas.loader.kernel.type_files import types_in_file

        types = types_in_file(options.btf)
    kconfig = read_input(options.kconfig).decode(errors="replace") if options.kconfig else ""
    scheme = Scheme(options.scheme) if options.scheme else None
    # bpftool calls a skeleton so, too.
    of_path = _NAME_OF_STANDARD_INPUT if path == STANDARD_STREAM else os.path.basename(path).removesuffix(".o")
    name = options.name or of_path
    program = generate(_image(options), GenOptions(kconfig, types, options.token, options.debug, scheme, name))
    warn(program.warnings, options)
    return program


def _image(options: argparse.Namespace) -> Image:
    objects = [read_object_file(path, options) for path in options.objects]
    libraries = [read_object_file(path, options) for path in options.libraries]
    obj = objects[0] if len(objects) == 1 else _linked(objects)
    return changed(build_image(obj, libraries, options.ksyms, relaxed_maps=options.relaxed_maps), options)


def _linked(objects: Sequence[ObjectFile]) -> ObjectFile:
    """One object of several, called like the first."""
    from bpfas.api import link  # most programs are of one object

    return link(*objects, name=objects[0].name)


def _sign(name: str, arguments: Sequence[str]) -> int:
    parser = command_parser(name, _SIGN_DESCRIPTION)
    parser.add_argument("file", metavar="FILE", help="the loader program, a raw file")
    _add_key_options(parser)
    parser.add_argument("-o", "--output", metavar="FILE", help="where to (default: FILE itself)")
    options = parser.parse_args(arguments)
    if not (options.key and options.cert):
        parser.error("--key and --cert say with what to sign")
    program = read_file(options.file)
    signed = _signed(called_by_path(program, options.file), options)
    write_output(options.output or options.file, write_raw(signed._replace(name=program.name)))
    return 0


def _verify(name: str, arguments: Sequence[str]) -> int:
    parser = command_parser(name, _VERIFY_DESCRIPTION)
    parser.add_argument("file", metavar="FILE", help="the loader program, a raw file")
    parser.add_argument("--cert", metavar="FILE", required=True, help="the certificate, PEM or DER")
    options = parser.parse_args(arguments)
    from bpfas.loader.gen.signing.sign import verify

    program = called_by_path(read_file(options.file), options.file)
    verify(program, options.cert)
    assert program.signature is not None
    if options.json:
        print_json({"file": options.file, "scheme": program.signature.scheme.value})
    else:
        print(
            f"{options.file}: signed by the owner of {options.cert}, for kernels {program.signature.scheme.value}"
        )
    return 0


def _add_key_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--key", metavar="FILE", help="the private key to sign with, PEM or DER")
    parser.add_argument("--cert", metavar="FILE", help="its certificate, PEM or DER")
    parser.add_argument(
        "--password-file", metavar="FILE", help="what the private key is encrypted with, in one line"
    )


def _signed(program: LoaderProgram, options: argparse.Namespace) -> LoaderProgram:
    from bpfas.loader.gen.signing.sign import sign

    password = read_input(options.password_file).rstrip(b"\r\n") if options.password_file else None
    return sign(program, options.key, options.cert, password=password)


_ACTIONS: dict[str, Callable[[str, Sequence[str]], int]] = {"sign": _sign, "verify": _verify}
