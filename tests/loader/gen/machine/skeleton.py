"""What `bpftool gen skeleton -L` prints, as the program that is in it: libbpf's loader for the simulated machine.

The header is C: the data and the instructions are string constants, the context is a struct.
"""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING, NamedTuple

from tests.peers import Peer

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.loader.gen.machine.memory import Endian

HEADER = struct.Struct("IIIIQ")
MAP_ENTRY = struct.Struct("iIQ")

_ESCAPE = re.compile(rb"\\(x[0-9a-fA-F]{2}|\n|.)", re.DOTALL)


class Skeleton(NamedTuple):
    """A loader program with the identifiers of its maps and programs in the order of the context's entries."""

    instructions: bytes
    data: bytes
    maps: tuple[str, ...]
    programs: tuple[str, ...]

    @property
    def context_size(self) -> int:
        """Bytes of the context."""
        return HEADER.size + MAP_ENTRY.size * len(self.maps) + 4 * len(self.programs)

    def context(
        self,
        endian: Endian = "little",
        *,
        max_entries: Mapping[str, int] | None = None,
        contents: Mapping[str, int] | None = None,
        log: tuple[int, int, int] = (0, 0, 0),
        flags: int = 0,
    ) -> bytes:
        """A context with sizes and addresses of contents by the maps' identifiers; log: level, address, size."""
        order = "<" if endian == "little" else ">"
        level, address, size = log
        parts = [struct.pack(order + HEADER.format, self.context_size, flags, level, size, address)]
        for name in self.maps:
            entries, content = (max_entries or {}).get(name, 0), (contents or {}).get(name, 0)
            parts.append(struct.pack(order + MAP_ENTRY.format, 0, entries, content))
        return b"".join(parts).ljust(self.context_size, b"\0")

    def results(self, context: bytes, endian: Endian = "little") -> dict[str, int]:
        """The descriptors that a context has after the run, as `map X` and `program X`."""
        order = "<" if endian == "little" else ">"
        found = {}
        for index, name in enumerate(self.maps):
            found[f"map {name}"] = struct.unpack_from(f"{order}i", context, HEADER.size + 16 * index)[0]
        start = HEADER.size + MAP_ENTRY.size * len(self.maps)
        for index, name in enumerate(self.programs):
            found[f"program {name}"] = struct.unpack_from(f"{order}i", context, start + 4 * index)[0]
        return found


def skeleton_of(path: str | Path) -> Skeleton:
    """libbpf's loader program of an object file; skips the running test without bpftool."""
    return read_skeleton(Peer.BPFTOOL.run("gen", "skeleton", "-L", path).output)


def read_skeleton(text: bytes) -> Skeleton:
    """The loader program out of the header."""
    fields = text.partition(b"struct bpf_loader_ctx ctx;")[2]
    found = {}
    for name in ("data", "insns"):
        size = re.search(rb"opts\.%s_sz = (\d+);" % name.encode(), text)
        constant = re.search(rb'opts\.%s = \(void \*\)"((?:[^"\\]|\\.)*)";' % name.encode(), text, re.DOTALL)
        if size is None or constant is None:
            raise ValueError(f"no {name} in what bpftool printed")
        content = unescape(constant[1])
        if len(content) != int(size[1]):
            raise ValueError(f"{len(content)} bytes of {name}, but {int(size[1])} are announced")
        found[name] = content
    return Skeleton(
        found["insns"], found["data"], _members(fields, b"bpf_map_desc"), _members(fields, b"bpf_prog_desc")
    )


def _members(text: bytes, kind: bytes) -> tuple[str, ...]:
    return tuple(match.decode() for match in re.findall(rb"struct %s (\w+);" % kind, text))


def unescape(constant: bytes) -> bytes:
    """The bytes of a C string constant without its quotes; a backslash ends a line."""

    def replaced(match: re.Match[bytes]) -> bytes:
        escape = match[1]
        if escape == b"\n":
            return b""
        if escape == b"0":
            return b"\0"
        if len(escape) == 3:
            return bytes([int(escape[1:], 16)])
        raise ValueError(f"an escape that bpftool does not write: {escape!r}")

    return _ESCAPE.sub(replaced, constant)
