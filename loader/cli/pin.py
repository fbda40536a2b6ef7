"""`bpf-load pin` and `bpf-load unpin`: names in a BPF file system for all of an object, and taking them away."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from bpfas.diag import BpfasError
from bpfas.loader.cli import report
from bpfas.loader.cli.common import command_parser, loaded, loading_parser, print_json
from bpfas.loader.runtime.pinning import is_on_bpf_file_system, unpin

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_PIN_DESCRIPTION = """\
Load OBJ and pin all its maps and programs in DIRECTORY, which is on a BPF file system and made if need be. They
stay in the kernel until they are unpinned. To attach as well: bpf-load attach OBJ --pin DIRECTORY.
"""
_UNPIN_DESCRIPTION = """\
Take away pins: PATHs, or everything in a PATH that is a directory, and the directory. What nothing else holds
leaves the kernel; links that only a pin kept are detached.
"""


def main(name: str, arguments: Sequence[str]) -> int:
    """Run the command; gives its exit status."""
    return _pin(name, arguments) if name == "pin" else _unpin(name, arguments)


def _pin(name: str, arguments: Sequence[str]) -> int:
    parser = loading_parser(name, _PIN_DESCRIPTION)
    parser.add_argument("directory", metavar="DIRECTORY", help="where to")
    options = parser.parse_intermixed_args(arguments)
    with loaded(options) as collection:
        collection.pin(options.directory)
        if options.json:
            print_json(report.collection_json(collection))
        else:
            print(report.collection_text(collection))
    return 0


def _unpin(name: str, arguments: Sequence[str]) -> int:
    parser = command_parser(name, _UNPIN_DESCRIPTION)
    parser.add_argument("paths", metavar="PATH", nargs="+", help="a pin, or a directory of pins")
    options = parser.parse_args(arguments)
    # A directory that is called `.` cannot be removed.
    removed = [path for each in options.paths for path in _removed(os.path.realpath(each))]
    if options.json:
        print_json(removed)
    return 0


def _removed(path: str) -> Iterator[str]:
    """Remove what is pinned at a path or below it; the names that are gone."""
    if os.path.isdir(path):
        if not is_on_bpf_file_system(path):
            raise BpfasError.of(f"{path} is not on a BPF file system, so what is in it are no pins")
        for entry in sorted(os.listdir(path)):
            yield from _removed(os.path.join(path, entry))
        try:
            os.rmdir(path)
        except OSError as error:
            raise BpfasError.of(f"cannot remove {path}: {error.strerror}") from error
        return
    unpin(path, "object")
    yield path
