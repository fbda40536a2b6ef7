"""Programs of maps of sockets."""

from __future__ import annotations

import errno
import struct
from typing import TYPE_CHECKING

from bpfas.loader.gen.python.parts.kernel import AttachError, bpf
from bpfas.loader.gen.python.parts.links import Link, attach_error, link_create
from bpfas.loader.gen.python.parts.programs import Program

if TYPE_CHECKING:
    from typing import Any

PROG_ATTACH, PROG_DETACH = 8, 9
SOCKMAP_ROLES = {"stream_parser": 4, "stream_verdict": 5, "msg": 7, "verdict": 38}


class SockmapProgram(Program):
    """A program of section sk_msg or sk_skb."""

    choices = {"role": SOCKMAP_ROLES}

    def attach(self, map: Any, role: str = "") -> Link:  # noqa: A002
        """Attach it to a map of sockets (or its descriptor).

        `role` is stream_parser, stream_verdict, verdict or msg (default: as the section says). Raises AttachError.
        """
        attach_type = SOCKMAP_ROLES.get(role, 0) if role else self.attach_type
        if attach_type not in SOCKMAP_ROLES.values():
            choice = f"one of {', '.join(SOCKMAP_ROLES)}"
            raise AttachError(f"attach {self.name}", errno.EINVAL, f"role is {role!r}, and is to be {choice}")
        fd, map_fd = self.descriptor(), getattr(map, "fd", map)
        words = f"{self.name} to map {getattr(map, 'name', map)}"
        try:
            return self.attached(link_create(words, fd, map_fd, attach_type))
        except AttachError as error:
            if error.errno != errno.EINVAL:  # what kernels before 6.10 say
                raise
        attributes = struct.pack("=IIII", map_fd, fd, attach_type, 0)
        try:
            bpf(PROG_ATTACH, attributes)
        except OSError as error:
            raise attach_error(words, error) from None
        return self.attached(Link(-1, words, lambda: bpf(PROG_DETACH, attributes)))
