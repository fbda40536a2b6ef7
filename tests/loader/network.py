"""Network namespaces with interfaces of their own, for tests: made in this process, gone when it leaves them."""

from __future__ import annotations

import contextlib
import ctypes
import ipaddress
import os
import select
import socket
import struct
import time
from typing import TYPE_CHECKING, Self

from bpfas.loader.attach.interfaces import INTERFACE_HEADER
from bpfas.loader.attach.namespace import OWN_NAMESPACE, enter_namespace, open_namespace, within
from bpfas.loader.attach.netlink import Flag, MessageType, Netlink, attribute, attributes_of, nested, number, text

if TYPE_CHECKING:
    from collections.abc import Callable

_CLONE_NEWNET = 0x40000000
_IFLA_MTU = 4
_IFLA_IFNAME = 3
_IFLA_QDISC = 6
_IFLA_OPERSTATE = 16
_OPERSTATE_UP = 6
_IFLA_LINKINFO = 18
_IFLA_NET_NS_FD = 28
_IFF_UP = 1
ETH_P_ALL = 3
PATIENCE = 60
"""Seconds that a busy machine may take for what is sure to come."""


class Namespace:
    """A network namespace; `with` makes it that of the calling thread. Its loopback interface is up."""

    def __init__(self) -> None:
        with contextlib.ExitStack() as held:
            before = open_namespace(held)
            if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "unshare")
            held.callback(enter_namespace, before)
            set_up("lo")
            self.fd = os.open(OWN_NAMESPACE, os.O_RDONLY | os.O_CLOEXEC)
        self._entered: list[contextlib.ExitStack] = []

    def __enter__(self) -> Self:
        stack = contextlib.ExitStack()
        stack.enter_context(within(self.fd))
        self._entered.append(stack)
        return self

    def __exit__(self, *_: object) -> None:
        self._entered.pop().close()

    def close(self) -> None:
        """Let the namespace go."""
        os.close(self.fd)


def create_veth(name: str, peer: str, peer_namespace: Namespace | None = None, mtu: int = 1500) -> None:
    """Two interfaces that are joined, both up; the second in another namespace, where one is given."""
    _create_pair("veth", 1, name, peer, peer_namespace, b"", mtu)


def create_netkit(name: str, peer: str, peer_namespace: Namespace | None = None) -> None:
    """A pair of netkit devices (of layer 2), both up."""
    _create_pair("netkit", 1, name, peer, peer_namespace, number(5, 0), 1500)


def _create_pair(
    kind: str, peer_attribute: int, name: str, peer: str, namespace: Namespace | None, extra: bytes, mtu: int
) -> None:
    empty = INTERFACE_HEADER.pack(0, 0, 0, 0, 0)
    mtu_attribute = number(_IFLA_MTU, mtu)
    there = number(_IFLA_NET_NS_FD, namespace.fd) if namespace else b""
    peer_data = empty + text(_IFLA_IFNAME, peer) + mtu_attribute + there
    info = nested(_IFLA_LINKINFO, text(1, kind), nested(2, extra, nested(peer_attribute, peer_data)))
    with Netlink() as netlink:
        flags = Flag.CREATE | Flag.EXCLUSIVE
        netlink.request(MessageType.NEW_LINK, empty + text(_IFLA_IFNAME, name) + mtu_attribute + info, flags)
    set_up(name)
    with namespace or contextlib.nullcontext():
        set_up(peer)
        eventually(lambda: is_ready(peer), True)
    eventually(lambda: is_ready(name), True)


def is_ready(name: str) -> bool:
    """Whether frames that are sent out of an interface leave it: shortly after it is set up, they vanish."""
    with Netlink() as netlink:
        header = INTERFACE_HEADER.pack(0, 0, socket.if_nametoindex(name), 0, 0)
        (answer,) = netlink.request(MessageType.GET_LINK, header)
    found = attributes_of(answer.payload[INTERFACE_HEADER.size :])
    return found[_IFLA_OPERSTATE][0] == _OPERSTATE_UP and found[_IFLA_QDISC].rstrip(b"\0") != b"noop"


def delete_link(name: str) -> None:
    with Netlink() as netlink:
        header = INTERFACE_HEADER.pack(0, 0, socket.if_nametoindex(name), 0, 0)
        netlink.request(MessageType.DELETE_LINK, header)


def set_up(name: str) -> None:
    with Netlink() as netlink:
        header = INTERFACE_HEADER.pack(0, 0, socket.if_nametoindex(name), _IFF_UP, _IFF_UP)
        netlink.request(MessageType.SET_LINK, header)


def add_address(name: str, address: str) -> None:
    """Give an interface an address with its network, as 10.0.0.1/24."""
    given = ipaddress.ip_interface(address)
    family = socket.AF_INET if given.version == 4 else socket.AF_INET6
    no_detection = 0x02 if given.version == 6 else 0  # IFA_F_NODAD
    header = struct.pack("=BBBBI", family, given.network.prefixlen, no_detection, 0, socket.if_nametoindex(name))
    packed = given.ip.packed
    with Netlink() as netlink:
        netlink.request(MessageType.NEW_ADDRESS, header + attribute(2, packed) + attribute(1, packed), Flag.CREATE)


def packet_socket(name: str) -> socket.socket:
    """A socket that sends and receives the frames of an interface."""
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    made.bind((name, ETH_P_ALL))
    made.settimeout(PATIENCE)
    return made


LOCALHOST = "127.0.0.1"


def udp(
    port: int = 0, address: str = LOCALHOST, family: int = socket.AF_INET, *, shared: bool = False
) -> socket.socket:
    """A bound UDP socket; `shared`: with others on its port."""
    made = socket.socket(family, socket.SOCK_DGRAM)
    made.settimeout(PATIENCE)
    if shared:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    made.bind((address, port))
    return made


def is_silent(which: socket.socket) -> bool:
    """Whether nothing has come to a socket, and nothing comes for a while."""
    return not select.select([which], [], [], 0.05)[0]


FRAME = bytes.fromhex("ffffffffffff 020000000001 88b5".replace(" ", "")) + b"test".ljust(50, b".")
"""A frame to everybody of a protocol for experiments."""


def send_frames(name: str, count: int, frame: bytes = FRAME) -> None:
    """Send frames out of an interface."""
    with packet_socket(name) as sender:
        for _ in range(count):
            sender.send(frame)


def eventually(get: Callable[[], object], expected: object) -> None:
    """Assert that something comes out as expected within some seconds: packets arrive when the kernel has time."""
    deadline = time.monotonic() + PATIENCE
    while get() != expected and time.monotonic() < deadline:
        time.sleep(0.005)
    assert get() == expected
