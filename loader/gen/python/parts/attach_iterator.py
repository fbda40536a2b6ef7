"""Iterators: programs that print what the kernel has."""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING

from bpfas.loader.gen.python.parts.kernel import BpfError, address_of, bpf
from bpfas.loader.gen.python.parts.links import Link, link_create
from bpfas.loader.gen.python.parts.programs import Program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

ITER_CREATE = 33


class IteratorLink(Link):
    """An attached iterator: a loop over it gives the lines that one walk prints."""

    def read(self) -> bytes:
        """All that one walk prints. Raises BpfError."""
        try:
            fd = bpf(ITER_CREATE, struct.pack("=II", self.fd, 0))
        except OSError as error:
            raise BpfError(f"begin a walk of {self.words}", error.errno or 0) from None
        try:
            pieces: list[bytes] = []
            while True:
                try:
                    piece = os.read(fd, 1 << 16)
                except BlockingIOError:
                    continue  # so many objects without any output; the kernel wants to be asked again
                if not piece:
                    return b"".join(pieces)
                pieces.append(piece)
        except OSError as error:
            raise BpfError(f"read from {self.words}", error.errno or 0) from None
        finally:
            os.close(fd)

    def __iter__(self) -> Iterator[str]:
        return iter(self.read().decode(errors="replace").splitlines())


class IteratorProgram(Program):
    """A program of section iter."""

    attaches_by_section = True

    def attach(
        self,
        map: Any = None,  # noqa: A002
        cgroup: str = "",
        order: int = 1,
        tid: int = 0,
        pid: int = 0,
    ) -> IteratorLink:
        """Attach it, and give what walks are begun with.

        It is for a `map` (or its descriptor), for a `cgroup` (a path; `order` is 1 for it alone, 2 or 3 with what
        is in it, 4 with what it is in), for a thread or a process. Raises AttachError.
        """
        directory = os.open(cgroup, os.O_RDONLY | os.O_CLOEXEC) if cgroup else -1
        try:
            info = b""
            if map is not None:
                info = struct.pack("=I12x", getattr(map, "fd", map))
            elif cgroup:
                info = struct.pack("=IIQ", order, directory, 0)
            elif tid or pid:
                info = struct.pack("=IIII", tid, pid, 0, 0)
            options = struct.pack("=QI", address_of(info), len(info)) if info else b""
            words = f"{self.name} as iterator of {self.target}"
            link = link_create(words, self.descriptor(), 0, self.attach_type, 0, options)
        finally:
            if directory >= 0:
                os.close(directory)
        fd, link.fd = link.fd, -1
        walks = IteratorLink(fd, words)
        self.attached(walks)
        return walks
