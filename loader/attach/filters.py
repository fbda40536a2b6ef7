"""Filters of traffic control: the clsact qdisc of an interface and BPF classifiers in direct-action mode.

The rtnetlink messages alone; attaching with them is `tc`. Sources: include/uapi/linux/pkt_sched.h, pkt_cls.h and
rtnetlink.h, tc-bpf(8).
"""

from __future__ import annotations

import errno
import socket
import struct
from dataclasses import dataclass

from bpfas.loader.attach.netlink import (
    Flag,
    MessageType,
    Netlink,
    NetlinkError,
    attributes_of,
    nested,
    number,
    number_of,
    text,
    text_of,
)

_HEADER = struct.Struct("=BxxxiIII")  # struct tcmsg: family, interface, handle, parent, info
_CLSACT_PARENT = 0xFFFFFFF1
_CLSACT_HANDLE = 0xFFFF0000
INGRESS_PARENT = 0xFFFFFFF2
"""Where clsact keeps the filters of packets that come in."""
EGRESS_PARENT = 0xFFFFFFF3
"""Where clsact keeps the filters of packets that go out."""
_ETH_P_ALL = 3

_TCA_KIND = 1
_TCA_OPTIONS = 2
_TCA_BPF_FD = 6
_TCA_BPF_NAME = 7
_TCA_BPF_FLAGS = 8
_TCA_BPF_ID = 11
_DIRECT_ACTION = 1


@dataclass(frozen=True, slots=True)
class Place:
    """Where a filter is: an interface's index, the qdisc's half or class, the filter's priority and its handle.

    A priority and a handle of 0 leave the choice to the kernel.
    """

    interface: int
    parent: int
    priority: int = 0
    handle: int = 0


@dataclass(frozen=True, slots=True)
class Filter:
    """A BPF classifier that is there: its place, its program's id, and the name that it was given."""

    place: Place
    program_id: int
    name: str


def add_clsact(netlink: Netlink, interface: int) -> bool:
    """Give an interface a clsact qdisc; whether it had none before."""
    header = _HEADER.pack(0, interface, _CLSACT_HANDLE, _CLSACT_PARENT, 0)
    try:
        netlink.request(MessageType.NEW_QDISC, header + text(_TCA_KIND, "clsact"), Flag.CREATE | Flag.EXCLUSIVE)
    except NetlinkError as error:
        if error.errno != errno.EEXIST:
            raise
        return False
    return True


def has_only_ingress(netlink: Netlink, interface: int) -> bool:
    """Whether an interface has the older `ingress` qdisc in the place of clsact.

    That takes filters for both directions without complaint, and runs all of them on packets that come in.
    """
    for message in netlink.request(MessageType.GET_QDISC, _HEADER.pack(0, interface, 0, 0, 0), Flag.DUMP):
        _, index, _, parent, _ = _HEADER.unpack_from(message.payload)
        if (index, parent) == (interface, _CLSACT_PARENT):
            return text_of(attributes_of(message.payload[_HEADER.size :]).get(_TCA_KIND, b"")) == "ingress"
    return False


def delete_clsact(netlink: Netlink, interface: int) -> None:
    """Take an interface's clsact qdisc away, and with it all its filters."""
    netlink.request(MessageType.DELETE_QDISC, _HEADER.pack(0, interface, _CLSACT_HANDLE, _CLSACT_PARENT, 0))


def add_filter(netlink: Netlink, place: Place, fd: int, name: str, *, replace: bool = False) -> Filter:
    """Add a classifier, or with `replace` put it in the place of the one that is at this place."""
    options = nested(
        _TCA_OPTIONS, number(_TCA_BPF_FD, fd), text(_TCA_BPF_NAME, name), number(_TCA_BPF_FLAGS, _DIRECT_ACTION)
    )
    flags = Flag.CREATE | Flag.ECHO | (Flag.REPLACE if replace else Flag.EXCLUSIVE)
    answers = netlink.request(MessageType.NEW_FILTER, _header(place) + text(_TCA_KIND, "bpf") + options, flags)
    for message in answers:
        if message.type == MessageType.NEW_FILTER and (added := _filter(message.payload)):
            return added
    return Filter(place, 0, name)


def delete_filter(netlink: Netlink, place: Place) -> None:
    """Take a classifier away."""
    netlink.request(MessageType.DELETE_FILTER, _header(place) + text(_TCA_KIND, "bpf"))


def filters(netlink: Netlink, interface: int, parent: int) -> list[Filter]:
    """The BPF classifiers of one direction (or class) of an interface, in the order in which they run."""
    header = _HEADER.pack(0, interface, 0, parent, 0)
    answers = netlink.request(MessageType.GET_FILTER, header, Flag.DUMP)
    return [found for message in answers if (found := _filter(message.payload))]


def _header(place: Place) -> bytes:
    info = place.priority << 16 | socket.htons(_ETH_P_ALL)
    return _HEADER.pack(0, place.interface, place.handle, place.parent, info)


def _filter(payload: bytes) -> Filter | None:
    _, interface, handle, parent, info = _HEADER.unpack_from(payload)
    attributes = attributes_of(payload[_HEADER.size :])
    options = attributes_of(attributes.get(_TCA_OPTIONS, b""))
    if text_of(attributes.get(_TCA_KIND, b"")) != "bpf" or _TCA_BPF_ID not in options:
        return None
    place = Place(interface, parent, info >> 16, handle)
    return Filter(place, number_of(options[_TCA_BPF_ID]), text_of(options.get(_TCA_BPF_NAME, b"")))
