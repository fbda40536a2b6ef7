"""XDP programs to network interfaces: by a link of the kernel's, or by netlink.

Programs for the ends of redirections (`xdp/devmap`, `xdp/cpumap`) are `redirect`'s. Sources: XDP_FLAGS_* of
include/uapi/linux/if_link.h, the kernel's document bpf/redirect.rst, and what its drivers answer.
"""

from __future__ import annotations

import enum
import errno
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bpfas.loader import syscall
from bpfas.loader.attach.choices import choose
from bpfas.loader.attach.command import attach_by_command
from bpfas.loader.attach.failure import attach_error
from bpfas.loader.attach.interfaces import find_interface, set_xdp, xdp_programs
from bpfas.loader.attach.link import KernelLink
from bpfas.loader.attach.netlink import Netlink
from bpfas.loader.kinds import AttachType
from bpfas.loader.privilege import Explanation

if TYPE_CHECKING:
    from contextlib import ExitStack

    from bpfas.loader.attach.interfaces import Interface
    from bpfas.loader.attach.link import Link
    from bpfas.loader.attach.protocols import Attachable, HasDescriptor

_UPDATE_IF_NOEXIST = 1 << 0
_REPLACE = 1 << 4
_NO_PROGRAM = -1


class XdpMode(enum.Enum):
    """Where an XDP program runs; ANY is the driver where it can do that, else the network stack."""

    ANY = "any"
    GENERIC = "generic"  # in the network stack, with every driver
    NATIVE = "native"  # in the driver
    OFFLOAD = "offload"  # on the device


_MODE_FLAGS = {XdpMode.ANY: 0, XdpMode.GENERIC: 1 << 1, XdpMode.NATIVE: 1 << 2, XdpMode.OFFLOAD: 1 << 3}


def attach_xdp(program: Attachable, *, interface: str | int, mode: XdpMode | str = XdpMode.ANY) -> Link:
    """Attach to an interface, by a link where the kernel has such (Linux 5.9), else by netlink.

    `mode` is an XdpMode or its value. Raises AttachError.
    """
    chosen = choose(XdpMode, mode, "mode")
    found = find_interface(interface, f"program {program.name}")
    target = _target(found, chosen)
    try:
        fd = syscall.link_create(program.fd, found.index, AttachType.XDP, _MODE_FLAGS[chosen])
    except OSError as error:
        if error.errno != errno.EINVAL:
            explanation = _explain(found, chosen, error.errno or 0)
            raise attach_error(program, target, error, explanation=explanation) from error
    else:
        return KernelLink(program.name, target, fd)
    # No link: a kernel without them. Or the program does not fit, and netlink will say in words why.
    return attach_xdp_by_netlink(program, interface=found.index, mode=chosen)


def attach_xdp_by_netlink(
    program: Attachable,
    *,
    interface: str | int,
    mode: XdpMode | str = XdpMode.ANY,
    replaces: HasDescriptor | None = None,
    force: bool = False,
) -> Link:
    """Attach to an interface by netlink: the program stays until it is taken away, also after a crash.

    It takes the place of `replaces`, which must be there, or with `force` that of whatever is there; else the
    interface must have no program in this mode. Raises AttachError.
    """
    chosen = choose(XdpMode, mode, "mode")
    found = find_interface(interface, f"program {program.name}")

    def prepare(held: ExitStack) -> _NetlinkXdp:
        netlink = held.enter_context(Netlink())
        return _NetlinkXdp(netlink, found.index, _MODE_FLAGS[chosen], replaces, is_forced=force)

    return attach_by_command(
        program, _target(found, chosen), prepare, lambda number: _explain(found, chosen, number)
    )


@dataclass(frozen=True, slots=True)
class _NetlinkXdp:
    """The commands for one interface and mode."""

    netlink: Netlink
    index: int
    mode_flags: int
    replaces: HasDescriptor | None
    is_forced: bool

    def attach(self, fd: int) -> None:
        if self.replaces is not None:
            self.replace(fd, self.replaces.fd, must_match=True)
        else:
            set_xdp(self.netlink, self.index, fd, self.mode_flags | (0 if self.is_forced else _UPDATE_IF_NOEXIST))

    def detach(self, fd: int) -> None:
        try:
            self.replace(_NO_PROGRAM, fd, must_match=True)
        except OSError as error:
            if error.errno == errno.EINVAL:  # a kernel before 5.7, which cannot compare
                self.replace(_NO_PROGRAM, fd, must_match=False)
            elif error.errno != errno.EEXIST:  # another program has taken its place
                raise

    def replace(self, fd: int, old_fd: int, *, must_match: bool) -> None:
        if must_match:
            set_xdp(self.netlink, self.index, fd, self.mode_flags | _REPLACE, old_fd)
        else:
            set_xdp(self.netlink, self.index, fd, self.mode_flags)


def _target(interface: Interface, mode: XdpMode) -> str:
    return f"XDP of {interface.name}" + ("" if mode is XdpMode.ANY else f", {mode.value}")


def _explain(interface: Interface, mode: XdpMode, number: int) -> Explanation | None:
    if number == errno.EINVAL and mode is XdpMode.OFFLOAD:
        return Explanation(
            "a device runs only programs that are loaded for it",
            "load it so: image.set_program(NAME, ifindex=…); few devices can do that",
        )
    if number == errno.EOPNOTSUPP:
        if mode is XdpMode.OFFLOAD:
            return Explanation(
                f"{interface.name} is not a device that runs BPF programs itself", "use mode native or generic"
            )
        return Explanation(
            f"the driver of {interface.name} does not run XDP programs itself, or not programs of this kind",
            "use mode generic: the network stack runs it then, more slowly",
        )
    if number in (errno.EBUSY, errno.EEXIST):
        there = _present(interface)
        return Explanation(
            f"{interface.name} has an XDP program already{there}",
            "detach that one (bpf-load links lists it, bpf-load links detach id:N ends it; ip link set dev … xdp "
            "off takes away one without a link), or put this one in its place: update() of its link, or replaces= "
            "by netlink",
        )
    if number in (errno.ERANGE, errno.EMSGSIZE):
        return Explanation(
            f"the MTU of {interface.name} or of its peer is too large for a program that takes whole packets",
            "lower the MTU, or make it a program for packets in several pieces (section xdp.frags)",
        )
    return None


def _present(interface: Interface) -> str:
    """Which XDP programs an interface has, in words."""
    try:
        with Netlink() as netlink:
            programs = xdp_programs(netlink, interface.index)
    except OSError:
        return ""
    words = [
        f"program {program_id} in mode {mode}"
        for mode, program_id in (
            ("native", programs.native),
            ("generic", programs.generic),
            ("offload", programs.offload),
        )
        if program_id
    ]
    return f" ({', '.join(words)})" if words else ""
