"""Programs at netfilter's hooks."""

from __future__ import annotations

import errno
import struct
from typing import TYPE_CHECKING

from bpfas.loader.gen.python.parts.links import link_create
from bpfas.loader.gen.python.parts.programs import Program

if TYPE_CHECKING:
    from bpfas.loader.gen.python.parts.links import Link

ATTACH_NETFILTER = 45
NETFILTER_HOOKS = ("prerouting", "input", "forward", "output", "postrouting")
NETFILTER_FAMILIES = {"ipv4": 2, "ipv6": 10}
NETFILTER_HINTS = {
    errno.EBUSY: "a program is attached to this hook with this priority already",
    errno.EINVAL: "this kernel has no programs at netfilter's hooks (Linux 6.4, CONFIG_NETFILTER_BPF_LINK)",
}


class NetfilterProgram(Program):
    """A program of section netfilter."""

    choices = {"hook": NETFILTER_HOOKS, "family": NETFILTER_FAMILIES}

    def attach(self, hook: str, family: str = "ipv4", priority: int = -128, defragment: bool = False) -> Link:
        """Attach it to a hook (prerouting, input, forward, output, postrouting) of this network namespace.

        `family` is ipv4 or ipv6. Raises AttachError.
        """
        if hook not in NETFILTER_HOOKS or family not in NETFILTER_FAMILIES:
            known = f"{', '.join(NETFILTER_HOOKS)}, and of {', '.join(NETFILTER_FAMILIES)}"
            raise ValueError(f"hook and family are {hook!r} and {family!r}, and are to be of {known}")
        options = struct.pack(
            "=IIiI", NETFILTER_FAMILIES[family], NETFILTER_HOOKS.index(hook), priority, int(defragment)
        )
        words = f"{self.name} to netfilter {hook} of {family}"
        return self.attached(
            link_create(words, self.descriptor(), 0, ATTACH_NETFILTER, 0, options, NETFILTER_HINTS)
        )
