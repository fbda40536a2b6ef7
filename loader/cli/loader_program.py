"""Loader programs in files, where commands take objects: what of the options is for them, and running them."""

from __future__ import annotations

import contextlib
from copy import copy
from typing import TYPE_CHECKING, Any

from bpfas.cli import STANDARD_STREAM, read_input
from bpfas.diag import BpfasError
from bpfas.loader.cli.common import load_options, split_assignment, split_field
from bpfas.loader.cli.parts import set_part
from bpfas.loader.cli.values import parse_value
from bpfas.loader.gen.files.raw_file import read_raw
from bpfas.loader.gen.running.runner import run
from bpfas.loader.image.configure import ImageData

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from bpfas.loader.gen.loader_program import LoaderProgram
    from bpfas.loader.loading.collection import Collection
    from bpfas.loader.spec import Image

_OF_OBJECTS = {
    "libraries": "--with",
    "ksyms": "--ksym",
    "program_changes": "--prog",
    "relaxed_maps": "--relaxed-maps",
    "btf": "--btf",
}
"""Options that say what a loader program is to be, by where the parser puts them."""


def read_file(path: str) -> LoaderProgram:
    """The loader program in a file, or on standard input."""
    return read_raw(read_input(path), "<stdin>" if path == STANDARD_STREAM else path)


def called_by_path(program: LoaderProgram, path: str) -> LoaderProgram:
    """The program under the name of its file, which messages begin with."""
    return program._replace(name="<stdin>" if path == STANDARD_STREAM else path)


def refuse_changes(options: argparse.Namespace, path: str, words: Mapping[str, str]) -> None:
    """Raise BpfasError for options of these that are given: what a loader program is, is settled."""
    if given := [word for name, word in words.items() if getattr(options, name)]:
        message = f"{', '.join(given)}: what a loader program is, is settled"
        raise BpfasError.of(message, path, ("give it to bpf-load gen when the loader program is made",))


def run_file(options: argparse.Namespace) -> Collection:
    """What the loader program has loaded that the options name. Raises BpfasError."""
    program = called_by_path(read_file(options.object), options.object)
    refuse_changes(options, options.object, _OF_OBJECTS)
    max_entries: dict[str, int] = {}
    for assignment in options.map_changes:
        (name, _), entries = split_field(assignment, ("max_entries",), "--map MAP.max_entries=VALUE")
        max_entries[name] = entries
    with contextlib.ExitStack() as until_run:
        keyring: str | int | None = options.keyring
        if options.cert:
            keyring = until_run.enter_context(_certified(options))
        return run(
            program,
            load_options(options),
            values=_values(program.image, options),
            max_entries=max_entries,
            keyring=keyring,
        )


def _certified(options: argparse.Namespace) -> contextlib.AbstractContextManager[int]:
    from bpfas.loader.gen.signing.certificates import read_certificate  # few programs are signed
    from bpfas.loader.gen.signing.keyring import in_keyring, trusted

    certificate = read_certificate(options.cert)
    return in_keyring(certificate, options.keyring) if options.keyring else trusted(certificate)


class _Given(ImageData):
    """The variables of an image, and the names of those that were set."""

    def __init__(self, image: Image) -> None:
        super().__init__(image)
        self.names: list[str] = []

    def __setitem__(self, name: str, value: Any) -> None:
        super().__setitem__(name, value)
        self.names.append(name)


def _values(image: Image, options: argparse.Namespace) -> dict[str, Any]:
    """The variables that --set gives values, whole."""
    image = copy(image)
    image.maps = dict(image.maps)
    given = _Given(image)
    for assignment in options.variables:
        name, value = split_assignment(assignment, "--set VARIABLE=VALUE")
        set_part(given, name, parse_value(value))
    return {name: given[name] for name in given.names}
