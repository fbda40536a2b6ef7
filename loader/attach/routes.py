"""Routes that lead through BPF programs (lightweight tunnels): the rtnetlink messages.

Attaching with them is `lwt`. Sources: include/uapi/linux/rtnetlink.h, lwtunnel.h and seg6_local.h.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bpfas.loader.attach.netlink import (
    Flag,
    MessageType,
    attribute,
    nested,
    number,
    text,
)
from bpfas.loader.kinds import ProgramType

if TYPE_CHECKING:
    from bpfas.loader.attach.netlink import Netlink

_HEADER = struct.Struct("=BBBBBBBBI")
"""struct rtmsg: family, bits of the destination, of the source, TOS, table, protocol, scope, type, flags."""

_RTA_DST = 1
_RTA_OIF = 4
_RTA_GATEWAY = 5
_RTA_PRIORITY = 6
_RTA_TABLE = 15
_RTA_ENCAP_TYPE = 21
_RTA_ENCAP = 22
_PROTOCOL_STATIC = 4
_TYPE_UNICAST = 1
_SCOPE_LINK = 253
_LARGEST_SHORT_TABLE = 255

_ENCAP_SEG6_LOCAL = 7
_ENCAP_BPF = 6
_BPF_ATTRIBUTES = {ProgramType.LWT_IN: 1, ProgramType.LWT_OUT: 2, ProgramType.LWT_XMIT: 3}
_BPF_XMIT_HEADROOM = 4
_BPF_PROG_FD = 1
_BPF_PROG_NAME = 2
_SEG6_ACTION = 1
_SEG6_BPF = 8
_SEG6_ACTION_END_BPF = 15

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class Route:
    """A route: to where, over which interface (its index) and gateway, in which table; metric 0: the usual one."""

    destination: Network
    interface: int
    gateway: Address | None = None
    table: int = 254
    metric: int = 0


@dataclass(frozen=True, slots=True)
class RouteProgram:
    """A program that a route leads through; its kind says where on the way."""

    kind: ProgramType
    fd: int
    name: str


def add_route(netlink: Netlink, route: Route, program: RouteProgram, headroom: int = 0, *, replace: bool) -> None:
    """Add a route through a program; `replace` lets an equal route give way.

    `headroom` is how many bytes an LWT_XMIT program may put in front of a packet.
    """
    flags = Flag.CREATE | (Flag.REPLACE if replace else Flag.EXCLUSIVE)
    netlink.request(MessageType.NEW_ROUTE, _message(route) + _encapsulation(program, headroom), flags)


def delete_route(netlink: Netlink, route: Route) -> None:
    """Take a route away."""
    netlink.request(MessageType.DELETE_ROUTE, _message(route))


def _message(route: Route) -> bytes:
    family = socket.AF_INET if route.destination.version == 4 else socket.AF_INET6
    is_short = route.table <= _LARGEST_SHORT_TABLE
    scope = _SCOPE_LINK if family == socket.AF_INET and route.gateway is None else 0
    header = _HEADER.pack(
        family,
        route.destination.prefixlen,
        0,
        0,
        route.table if is_short else 0,
        _PROTOCOL_STATIC,
        scope,
        _TYPE_UNICAST,
        0,
    )
    attributes = [
        attribute(_RTA_DST, route.destination.network_address.packed),
        number(_RTA_OIF, route.interface),
        number(_RTA_TABLE, route.table),
    ]
    if route.gateway is not None:
        attributes.append(attribute(_RTA_GATEWAY, route.gateway.packed))
    if route.metric:
        attributes.append(number(_RTA_PRIORITY, route.metric))
    return header + b"".join(attributes)


def _encapsulation(program: RouteProgram, headroom: int) -> bytes:
    reference = number(_BPF_PROG_FD, program.fd), text(_BPF_PROG_NAME, program.name)
    if program.kind is ProgramType.LWT_SEG6LOCAL:
        kind = _ENCAP_SEG6_LOCAL
        values = [number(_SEG6_ACTION, _SEG6_ACTION_END_BPF), nested(_SEG6_BPF, *reference)]
    else:
        kind = _ENCAP_BPF
        values = [nested(_BPF_ATTRIBUTES[program.kind], *reference)]
        if headroom:
            values.append(number(_BPF_XMIT_HEADROOM, headroom))
    return attribute(_RTA_ENCAP_TYPE, struct.pack("=H", kind)) + nested(_RTA_ENCAP, *values)
