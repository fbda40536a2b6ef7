"""Programs that are attached to what they were loaded for: functions, tracepoints, LSM hooks, other programs."""

from __future__ import annotations

import errno
import struct

from bpfas.loader.gen.python.parts.kernel import ENOTSUPP, bpf
from bpfas.loader.gen.python.parts.links import Link, attach_error, link_create
from bpfas.loader.gen.python.parts.programs import Program

RAW_TRACEPOINT_OPEN = 17
NO_TRAMPOLINES = "this kernel has no trampolines into functions here (CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS)"
TRACE_HINTS = {
    errno.EPERM: NO_TRAMPOLINES,
    errno.EOPNOTSUPP: NO_TRAMPOLINES,
    ENOTSUPP: NO_TRAMPOLINES,
    errno.EBUSY: "the program is attached already, or live patching has the function",
}


class TraceProgram(Program):
    """A program of section fentry, fexit, fmod_ret, fsession, tp_btf, lsm or freplace."""

    attaches_by_section = True

    def attach(self, cookie: int = 0) -> Link:
        """Attach it to what it was loaded for; `cookie` is for bpf_get_attach_cookie(). Raises AttachError."""
        words, fd = f"{self.name} to {self.target}", self.descriptor()
        if cookie:
            options = struct.pack("=IIQ", 0, 0, cookie)
            return self.attached(link_create(words, fd, 0, self.attach_type, 0, options, TRACE_HINTS))
        try:
            return self.attached(Link(bpf(RAW_TRACEPOINT_OPEN, struct.pack("=QIxxxxQ", 0, fd, 0)), words))
        except OSError as error:
            raise attach_error(words, error, TRACE_HINTS) from None
