"""The files that an assembly reads: inputs, included sources, and the bytes of `.incbin`."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bpfas.cli import STANDARD_STREAM, read_input
from bpfas.diag import BpfasError, Expansion, Source, Span

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(eq=False, slots=True)
class SourceFiles:
    """Finds files by the names that sources give them, and remembers them for a list of dependencies.

    A name is looked for as it stands, then in `directories` in their order (`-I`), then beside the file that
    names it.
    """

    directories: Sequence[str] = ()
    dependencies: list[str] = field(default_factory=list)

    def input(self, path: str) -> Source:
        """The source at `path`, or standard input for `-`. Raises BpfasError."""
        name = "<stdin>" if path == STANDARD_STREAM else path
        source = Source(name, _text(read_input(path), name))
        if path != STANDARD_STREAM:
            self._note(path)
        return source

    def included(self, name: str, at: Span) -> Source:
        """The source that `.include` names at a place. Raises BpfasError."""
        path = self._find(name, at)
        return Source(path, _text(self._read(path, at), path), Expansion("included from", at))

    def bytes_of(self, name: str, at: Span, skip: int, count: int) -> tuple[bytes, int]:
        """`count` bytes behind the first `skip` of the file that `.incbin` names at a place, and the file's size.

        They are fewer where the file ends before. Raises BpfasError.
        """
        path = self._find(name, at)
        if not os.path.isfile(path):
            data = self._read(path, at)  # a device or a pipe, which can only be read from its start
            return data[skip : skip + count], len(data)
        try:
            with open(path, "rb") as file:
                size = os.fstat(file.fileno()).st_size
                file.seek(min(skip, size))
                data = file.read(min(count, size))
        except OSError as error:
            raise BpfasError.of(f"cannot read {path}: {error.strerror}", at) from None
        self._note(path)
        return data, size

    def _find(self, name: str, at: Span) -> str:
        if not name or "\0" in name:
            raise BpfasError.of("a file's name cannot be empty or have a zero in it", at)
        beside = os.path.dirname(at.source.name)
        paths = [name, *(os.path.join(directory, name) for directory in (*self.directories, beside))]
        for path in paths:
            if os.path.exists(path):
                return path
        places = ", ".join(dict.fromkeys(os.path.dirname(path) or "." for path in paths))
        raise BpfasError.of(f"there is no file `{name}` in {places}; -I names more directories", at)

    def _read(self, path: str, at: Span) -> bytes:
        try:
            data = read_input(path)
        except BpfasError as error:
            raise BpfasError.of(error.diagnostics[0].message, at) from None
        self._note(path)
        return data

    def _note(self, path: str) -> None:
        if path not in self.dependencies:
            self.dependencies.append(path)


def _text(data: bytes, name: str) -> str:
    # Bytes that are no UTF-8 may stand in comments and strings; anywhere else they are an error with a place.
    if data.startswith(b"\x7fELF"):
        raise BpfasError.of("is an object, not a source; bpf-ld links objects, bpf-objdump -d shows them", name)
    return data.decode("utf-8-sig", "surrogateescape")
