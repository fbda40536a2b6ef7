"""Programs at raw tracepoints."""

from __future__ import annotations

import errno
import struct

from bpfas.loader.gen.python.parts.kernel import AttachError, address_of, bpf
from bpfas.loader.gen.python.parts.links import Link, attach_error
from bpfas.loader.gen.python.parts.programs import Program

OPEN_RAW_TRACEPOINT = 17


class RawTracepointProgram(Program):
    """A program of section raw_tp."""

    @property
    def attaches_by_section(self) -> bool:  # type: ignore[override]
        """Whether the section says which tracepoint."""
        return bool(self.target)

    def attach(self, tracepoint: str = "", cookie: int = 0) -> Link:
        """Attach it to a tracepoint (default: as the section says). Raises AttachError."""
        tracepoint = tracepoint or self.target
        words = f"{self.name} to raw tracepoint {tracepoint}"
        if not tracepoint:
            raise AttachError(f"attach {self.name}", errno.EINVAL, "say which tracepoint: attach('sys_enter')")
        name = tracepoint.encode() + b"\0"
        attributes = struct.pack("=QIxxxx", address_of(name), self.descriptor())
        attributes += struct.pack("=Q", cookie) if cookie else b""
        try:
            return self.attached(Link(bpf(OPEN_RAW_TRACEPOINT, attributes), words))
        except OSError as error:
            raise attach_error(words, error, {errno.ENOENT: "there is no such tracepoint"}) from None
