"""BPF tokens: permissions that a BPF file system gives."""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING

from bpfas.loader.gen.python.parts.kernel import LoadError, bpf

if TYPE_CHECKING:
    from bpfas.loader.gen.python.parts.loader import Loader

TOKEN_CREATE = 36


class Token:
    """A token of the BPF file system at `path`, if one is set before loading."""

    def __init__(self, fact: int, loader: Loader) -> None:
        self._loader = loader
        self.path = ""
        self.fd = -1
        self._fact = fact

    def prepare(self, context: bytearray) -> None:
        """Make it, and give it to the loader program. Raises LoadError."""
        if not self.path:
            return
        try:
            directory = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                self.fd = bpf(TOKEN_CREATE, struct.pack("=II", 0, directory))
            finally:
                os.close(directory)
        except OSError as error:
            raise LoadError(f"make a token of {self.path}", error.errno or 0) from None
        struct.pack_into("=Q", context, self._fact, self.fd)
        self._loader.token_fd = self.fd

    def take(self, _: bytearray) -> None:
        """It has served."""

    def finish(self) -> None:
        """It is not needed once all is loaded."""
        self.close()

    def close(self) -> None:
        """Close it."""
        fd, self.fd = self.fd, -1
        self._loader.token_fd = 0
        if fd >= 0:
            os.close(fd)
