"""Where a program is attached, as `--to KEY=VALUE` says it: the keywords of `Program.attach`."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from bpfas.diag import BpfasError
from bpfas.loader.attach.table import attach
from bpfas.loader.cli.common import split_assignment
from bpfas.loader.cli.reference import open_map, open_program
from bpfas.loader.cli.values import parse_value

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Mapping

    from bpfas.loader.attach.link import Link
    from bpfas.loader.loading.collection import Collection
    from bpfas.loader.runtime.maps import Map
    from bpfas.loader.runtime.programs import Program


def add_place_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that `place_of` and `attached` look at."""
    parser.add_argument(
        "--to",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="where to attach (may be given several times)",
    )
    parser.add_argument("--way", metavar="WAY", help="how to attach, where there are several ways: tc, tcx, …")


@contextlib.contextmanager
def place_of(options: argparse.Namespace, collection: Collection) -> Iterator[dict[str, Any]]:
    """The keywords; maps and programs that are not the collection's are open for as long as the block runs."""
    with contextlib.ExitStack() as opened:
        how: dict[str, Any] = {}
        for assignment in options.to:
            key, text = split_assignment(assignment, "--to KEY=VALUE")
            if key in how:
                raise BpfasError.of(f"--to says {key} twice: {assignment} is the second")
            how[key] = _OBJECTS[key](text, collection, opened) if key in _OBJECTS else parse_value(text)
        yield how


def attached(program: Program, way: str | None, how: Mapping[str, Any]) -> Link:
    """The program, attached. Raises AttachError, and BpfasError for keywords that no way takes."""
    try:
        return attach(program, way=way, **how)
    except BpfasError:
        raise
    except (TypeError, ValueError) as error:
        raise BpfasError.of(str(error)) from error


def _map(text: str, collection: Collection, opened: contextlib.ExitStack) -> Map:
    return collection.maps.get(text) or opened.enter_context(open_map(text))


def _program(text: str, collection: Collection, opened: contextlib.ExitStack) -> Program:
    return collection.programs.get(text) or opened.enter_context(open_program(text))


_OBJECTS: dict[str, Callable[[str, Collection, contextlib.ExitStack], Map | Program]] = {
    "map": _map,
    "target": _program,
    "replaces": _program,
}
"""The keywords that stand for maps and programs."""
