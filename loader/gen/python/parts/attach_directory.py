"""Programs of cgroups and of network namespaces."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from bpfas.loader.gen.python.parts.kernel import AttachError
from bpfas.loader.gen.python.parts.links import link_create
from bpfas.loader.gen.python.parts.programs import Program

if TYPE_CHECKING:
    from bpfas.loader.gen.python.parts.links import Link


def link_to_path(program: Program, path: str, attach_type: int, hint: str) -> Link:
    """A link to a cgroup or network namespace. Raises AttachError."""
    words = f"{program.name} to {path}"
    fd = program.descriptor()
    try:
        target = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise AttachError(f"attach {words}", error.errno or 0, f"{error.strerror}; {hint}") from None
    try:
        hints = {errno.EINVAL: f"{os.strerror(errno.EINVAL)}; {hint}", errno.EBADF: hint}
        return program.attached(link_create(words, fd, target, attach_type, 0, b"", hints))
    finally:
        os.close(target)


class CgroupProgram(Program):
    """A program of sections cgroup, sockops, lsm_cgroup and the like."""

    def attach(self, cgroup: str, attach_type: int | None = None) -> Link:
        """Attach it to a cgroup, a directory of a cgroup2 file system. Raises AttachError.

        `attach_type` is a number of enum bpf_attach_type, for sections that do not say it (cgroup/skb).
        """
        chosen = self.attach_type if attach_type is None else attach_type
        return link_to_path(self, cgroup, chosen, "give a directory of a cgroup2 file system (/sys/fs/cgroup)")


class NetnsProgram(Program):
    """A program of section sk_lookup or flow_dissector."""

    def attach(self, netns: str = "/proc/self/ns/net") -> Link:
        """Attach it to a network namespace: a name of `ip netns`, a path, default this one. Raises AttachError."""
        path = netns if "/" in netns else f"/run/netns/{netns}"
        return link_to_path(self, path, self.attach_type, "give a name of ip netns, or /proc/PID/ns/net")
