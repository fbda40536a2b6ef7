"""Programs at the packets of an interface: tcx, and netkit."""

from __future__ import annotations

import errno
import struct
from typing import TYPE_CHECKING

from bpfas.loader.gen.python.parts.interfaces import interface_index
from bpfas.loader.gen.python.parts.kernel import AttachError
from bpfas.loader.gen.python.parts.links import link_create
from bpfas.loader.gen.python.parts.programs import Program

if TYPE_CHECKING:
    from bpfas.loader.gen.python.parts.links import Link

TCX_TYPES = {"ingress": 46, "egress": 47, "netkit-primary": 54, "netkit-peer": 55}
TCX_ORDERS = {"": 0, "first": 1 << 3, "last": 1 << 4}
TCX_HINTS = {
    errno.EINVAL: "this kernel has no tcx (Linux 6.6) or no netkit (Linux 6.7); without it, pin the program "
    "(pin(PATH)) and run: tc qdisc add dev IF clsact; tc filter add dev IF ingress bpf da object-pinned PATH",
    errno.ENXIO: "it is not the primary device of a netkit pair",
    errno.EEXIST: "the program is attached there already",
}


class TcxProgram(Program):
    """A program of section tc, tcx or netkit."""

    choices = {"direction": TCX_TYPES, "order": ("first", "last")}

    def attach(self, interface: str | int, direction: str = "", order: str = "") -> Link:
        """Attach it to an interface, by its name or number.

        `direction` is ingress, egress, netkit-primary or netkit-peer (default: as the section says), `order` first
        or last. Raises AttachError.
        """
        attach_type = TCX_TYPES.get(direction, 0) if direction else self.attach_type
        if attach_type not in TCX_TYPES.values():
            choice = f"one of {', '.join(TCX_TYPES)}"
            raise AttachError(
                f"attach {self.name}", errno.EINVAL, f"direction is {direction!r}, and is to be {choice}"
            )
        if order not in TCX_ORDERS:
            raise ValueError(f"order is {order!r}, not first or last")
        index = interface_index(self.name, interface)
        words = f"{self.name} to {interface}"
        options = struct.pack("=IxxxxQ", 0, 0)
        return self.attached(
            link_create(words, self.descriptor(), index, attach_type, TCX_ORDERS[order], options, TCX_HINTS)
        )
