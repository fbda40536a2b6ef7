"""Links: what programs are attached by."""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING

from bpfas.loader.gen.python.parts.kernel import AttachError, BpfError, address_of, bpf

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

OBJ_PIN, LINK_CREATE, LINK_DETACH = 6, 28, 34


class Link:
    """An attachment: it ends when it is detached or closed, unless it is pinned before."""

    def __init__(self, fd: int, words: str, undo: Callable[[], object] | None = None) -> None:
        self.fd = fd
        self.words = words
        self._undo = undo

    def __enter__(self) -> Link:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Link {self.words}{'' if self.is_open else ', closed'}>"

    @property
    def is_open(self) -> bool:
        """Whether it has not been closed."""
        return self.fd >= 0 or self._undo is not None

    def detach(self) -> None:
        """End the attachment, also if it is pinned. Raises AttachError."""
        if self.fd >= 0:
            try:
                bpf(LINK_DETACH, struct.pack("=I", self.fd))
            except OSError:  # kinds of links that cannot be detached end with their last descriptor
                self.close()
        self.close()

    def close(self) -> None:
        """End the attachment unless it is pinned; a second time it does nothing. Raises AttachError."""
        fd, self.fd = self.fd, -1
        undo, self._undo = self._undo, None
        if fd >= 0:
            os.close(fd)
        if undo is not None:
            try:
                undo()
            except OSError as error:
                raise AttachError(f"detach {self.words}", error.errno or 0) from None

    def pin(self, path: str) -> None:
        """Keep the attachment under a name in a BPF file system. Raises BpfError."""
        if self.fd < 0:
            raise BpfError(f"pin {self.words} at {path}", 9, "it is closed, or not held by a link")
        pin(self.fd, path, self.words)


def pin(fd: int, path: str, words: str) -> None:
    """Give what a descriptor stands for a name in a BPF file system. Raises BpfError."""
    name = os.fsencode(path) + b"\0"
    try:
        bpf(OBJ_PIN, struct.pack("=QII", address_of(name), fd, 0))
    except OSError as error:
        hints = {1: "not permitted, or not in a BPF file system (mount -t bpf bpf /sys/fs/bpf)"}
        raise BpfError(f"pin {words} at {path}", error.errno or 0, hints.get(error.errno or 0, "")) from None


def link_create(
    words: str, fd: int, target: int, attach_type: int, flags: int = 0, options: bytes = b"", hints: Any = None
) -> Link:
    """A link from a program to a descriptor or an interface's index; `options` is what follows the flags.

    `hints` say what an errno means here. Raises AttachError.
    """
    attributes = struct.pack("=IIII", fd, target, attach_type, flags) + options.ljust(48, b"\0")
    try:
        return Link(bpf(LINK_CREATE, attributes), words)
    except OSError as error:
        raise attach_error(words, error, hints) from None


def attach_error(words: str, error: OSError, hints: Any = None) -> AttachError:
    """The AttachError for the kernel's refusal."""
    number = error.errno or 0
    return AttachError(f"attach {words}", number, (hints or {}).get(number, ""))
