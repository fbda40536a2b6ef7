"""XDP programs."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from bpfas.loader.gen.python.parts.interfaces import interface_index
from bpfas.loader.gen.python.parts.links import link_create
from bpfas.loader.gen.python.parts.programs import Program

if TYPE_CHECKING:
    from bpfas.loader.gen.python.parts.links import Link

ATTACH_XDP = 37
XDP_MODES = {"any": 0, "generic": 1 << 1, "native": 1 << 2, "offload": 1 << 3}
XDP_HINTS = {
    errno.EBUSY: "the interface has an XDP program already (ip link show)",
    errno.EEXIST: "the interface has an XDP program already (ip link show)",
    errno.EOPNOTSUPP: "the driver does not run XDP programs: use mode='generic'",
}


class XdpProgram(Program):
    """A program of section xdp."""

    choices = {"mode": XDP_MODES}

    def attach(self, interface: str | int, mode: str = "any") -> Link:
        """Attach it to an interface, by its name or number; `mode` is any, generic, native or offload.

        Raises AttachError.
        """
        if mode not in XDP_MODES:
            raise ValueError(f"mode is {mode!r}, not one of {', '.join(XDP_MODES)}")
        index = interface_index(self.name, interface)
        words = f"{self.name} to XDP of {interface}"
        return self.attached(
            link_create(words, self.descriptor(), index, ATTACH_XDP, XDP_MODES[mode], b"", XDP_HINTS)
        )
