"""Programs to routes: packets that a route leads somewhere go through the program (a lightweight tunnel).

The messages are `routes`'. Source: ip-route(8) on `encap bpf` and `encap seg6local action End.BPF`.
"""

from __future__ import annotations

import errno
import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bpfas.loader import syscall
from bpfas.loader.attach.command import attach_by_command
from bpfas.loader.attach.failure import attach_error
from bpfas.loader.attach.interfaces import find_interface
from bpfas.loader.attach.netlink import Netlink
from bpfas.loader.attach.routes import Route, RouteProgram, add_route, delete_route
from bpfas.loader.kinds import ProgramType
from bpfas.loader.privilege import Explanation

if TYPE_CHECKING:
    from contextlib import ExitStack

    from bpfas.loader.attach.link import Link
    from bpfas.loader.attach.protocols import Attachable

MAIN_TABLE = 254
"""The routing table that is looked into unless rules say otherwise."""
LARGEST_HEADROOM = 256
"""Bytes that an LWT_XMIT program may put in front of a packet at most."""


def attach_route(
    program: Attachable,
    *,
    destination: str,
    interface: str | int,
    gateway: str | None = None,
    table: int = MAIN_TABLE,
    metric: int = 0,
    headroom: int = 0,
    replace: bool = False,
) -> Link:
    """Add a route through the program, for good; detaching takes the route away.

    `destination` is a network (`10.1.0.0/16`) or an address, `gateway` an address; `headroom` is how many bytes
    an `lwt_xmit` program puts in front of packets. With `replace` a route to the same destination gives way.
    Raises AttachError.
    """
    found = find_interface(interface, f"program {program.name}")
    target = f"route to {destination} over {found.name}"
    try:
        network = ipaddress.ip_network(destination)
        via = None if gateway is None else ipaddress.ip_address(gateway)
    except ValueError as error:
        remedy = "write addresses as 10.1.2.3, networks as 10.1.0.0/16"
        raise attach_error(program, target, errno.EINVAL, explanation=Explanation(str(error), remedy)) from error
    if via is not None and via.version != network.version:
        cause = f"gateway {gateway} and destination {destination} are of different versions of IP"
        raise attach_error(program, target, errno.EINVAL, explanation=Explanation(cause))
    if not 0 <= headroom <= LARGEST_HEADROOM:
        cause = f"the headroom is {headroom}, not in the range 0 to {LARGEST_HEADROOM}"
        raise attach_error(program, target, errno.ERANGE, explanation=Explanation(cause))
    route = Route(network, found.index, via, table, metric)
    kind = ProgramType(program.spec.program_type)

    def prepare(held: ExitStack) -> _RouteThrough:
        return _RouteThrough(held.enter_context(Netlink()), route, kind, headroom, may_replace=replace)

    return attach_by_command(program, target, prepare, _CAUSES.get)


@dataclass(frozen=True, slots=True)
class _RouteThrough:
    """The commands for one route."""

    netlink: Netlink
    route: Route
    kind: ProgramType
    headroom: int
    may_replace: bool

    def attach(self, fd: int) -> None:
        self._add(fd, replace=self.may_replace)

    def detach(self, fd: int) -> None:  # noqa: ARG002 (the route is enough)
        delete_route(self.netlink, self.route)

    def replace(self, fd: int, old_fd: int, *, must_match: bool) -> None:  # noqa: ARG002
        if must_match:
            raise OSError(errno.EOPNOTSUPP, "routes are replaced whatever their program is")
        self._add(fd, replace=True)

    def _add(self, fd: int, *, replace: bool) -> None:
        # The kernel takes programs for the same if their names are, and then does not replace one by the other.
        info = syscall.prog_info(fd)
        program = RouteProgram(self.kind, fd, f"{info.name}/{info.id}")
        add_route(self.netlink, self.route, program, self.headroom, replace=replace)


_CAUSES = {
    errno.EEXIST: Explanation(
        "there is a route to this destination already", "use another metric, or replace=True to take its place"
    ),
    errno.EOPNOTSUPP: Explanation(
        "this kernel has no routes through programs of this type",
        "use a kernel with CONFIG_LWTUNNEL_BPF, for lwt_seg6local with CONFIG_IPV6_SEG6_BPF",
    ),
    errno.ENETUNREACH: Explanation("the gateway is not reached by the interface", "give the interface an address"),
    errno.ENETDOWN: Explanation("the interface is down", "set it up: ip link set dev NAME up"),
}
