"""Network interfaces: which one a name means, and the XDP programs that they have.

Attaching to them is `xdp`, `tcx` and `tc`. Sources: include/uapi/linux/if_link.h and rtnetlink.h.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bpfas.loader.attach.namespace import NAMED_NAMESPACES, enter_namespace
from bpfas.loader.attach.netlink import (
    MessageType,
    Netlink,
    attributes_of,
    nested,
    number,
    number_of,
)
from bpfas.loader.errors import AttachError, Step, explain
from bpfas.loader.nearest import close_matches
from bpfas.loader.privilege import Explanation

if TYPE_CHECKING:
    from pathlib import Path

INTERFACE_HEADER = struct.Struct("=BxHiII")
"""struct ifinfomsg: family, hardware type, index, flags, which flags change."""

_IFLA_XDP = 43
_IFLA_XDP_FD = 1
_IFLA_XDP_FLAGS = 3
_IFLA_XDP_DRV_PROG_ID = 5
_IFLA_XDP_SKB_PROG_ID = 6
_IFLA_XDP_HW_PROG_ID = 7
_IFLA_XDP_EXPECTED_FD = 8


@dataclass(frozen=True, slots=True)
class Interface:
    """A network interface."""

    name: str
    index: int


def find_interface(interface: str | int, subject: str, step: Step = Step.ATTACH) -> Interface:
    """The interface of this name or index in the calling thread's network namespace.

    Raises AttachError for `subject` where there is none, with the names that come near.
    """
    try:
        present = {name: index for index, name in socket.if_nameindex()}
    except OSError as error:
        code = error.errno or 0
        raise AttachError(step, subject, "", code, explain(step, code)) from error
    for name, index in present.items():
        if interface in (name, index):
            return Interface(name, index)
    if isinstance(interface, str):
        try:
            return Interface(interface, socket.if_nametoindex(interface))  # an alternative name
        except OSError:
            cause = f"there is no network interface '{interface}'"
    else:
        cause = f"no network interface has the index {interface}"
    explanation = Explanation(cause, _remedy(interface, list(present)))
    raise AttachError(step, subject, "", errno.ENODEV, explanation)


def _remedy(wanted: str | int, names: list[str]) -> str:
    there = namespaces_of(wanted) if isinstance(wanted, str) else []
    if there:
        which = " and ".join(there)
        entered = f"nsenter --net={NAMED_NAMESPACES}/{there[0]} COMMAND"
        return f"it is in network namespace {which}: {entered}; attaching takes netns={there[0]}"
    if similar := close_matches(str(wanted), names, 3):
        return f"did you mean {' or '.join(similar)}?"
    there_are = f"this network namespace has {', '.join(names)}" if names else "this network namespace has none"
    return f"{there_are}; run it in the interface's own: nsenter --net={NAMED_NAMESPACES}/NAME COMMAND"


def namespaces_of(interface: str) -> list[str]:
    """The names of the network namespaces, of those that have names, in which an interface is called so."""
    with ThreadPoolExecutor(1) as thread:  # of its own, since it enters them
        found = {path.name: thread.submit(_has, path, interface) for path in sorted(NAMED_NAMESPACES.glob("*"))}
        return [name for name, has in found.items() if has.result()]


def _has(namespace: Path, interface: str) -> bool:
    with contextlib.suppress(OSError), open(namespace, "rb") as file:
        enter_namespace(file.fileno())
        return any(name == interface for _, name in socket.if_nameindex())
    return False


@dataclass(frozen=True, slots=True)
class XdpPrograms:
    """The ids of the XDP programs of an interface, 0 for none; a driver and a device may have one at a time."""

    native: int = 0
    generic: int = 0
    offload: int = 0


def xdp_programs(netlink: Netlink, index: int) -> XdpPrograms:
    """The XDP programs of an interface."""
    (answer,) = netlink.request(MessageType.GET_LINK, INTERFACE_HEADER.pack(0, 0, index, 0, 0))
    xdp = attributes_of(attributes_of(answer.payload[INTERFACE_HEADER.size :]).get(_IFLA_XDP, b""))
    kinds = (_IFLA_XDP_DRV_PROG_ID, _IFLA_XDP_SKB_PROG_ID, _IFLA_XDP_HW_PROG_ID)
    return XdpPrograms(*(number_of(xdp[kind]) if kind in xdp else 0 for kind in kinds))


def set_xdp(netlink: Netlink, index: int, fd: int, flags: int, expected_fd: int | None = None) -> None:
    """Give an interface an XDP program, or none where `fd` is -1; with `expected_fd` only in that one's place."""
    attributes = [number(_IFLA_XDP_FD, fd), number(_IFLA_XDP_FLAGS, flags)]
    if expected_fd is not None:
        attributes.append(number(_IFLA_XDP_EXPECTED_FD, expected_fd))
    header = INTERFACE_HEADER.pack(0, 0, index, 0, 0)
    netlink.request(MessageType.SET_LINK, header + nested(_IFLA_XDP, *attributes))
