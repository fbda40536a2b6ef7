"""Attaching to the network, tried in a network namespace that exists for nothing else.

A thread of its own moves into the namespace, which is gone with the thread; so nobody's packets are touched.
Sources: network_namespaces(7), rtnetlink(7), include/uapi/linux/bpf.h.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import struct
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from bpfas.loader import syscall
from bpfas.loader.attach.filters import INGRESS_PARENT, Place, add_clsact, add_filter
from bpfas.loader.attach.interfaces import INTERFACE_HEADER, set_xdp
from bpfas.loader.attach.namespace import CLONE_NEWNET, OWN_NAMESPACE
from bpfas.loader.attach.netlink import Flag, MessageType, Netlink, nested, text
from bpfas.loader.doctor.finding import Need
from bpfas.loader.doctor.way import NotTriedError, Way, load, returning
from bpfas.loader.kernel.trial import answer_of, closing
from bpfas.loader.kinds import AttachType, ProgramType

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_P, _A = ProgramType, AttachType
_LOOPBACK = 1
_XDP_PASS, _TC_NEXT, _SK_PASS, _NF_ACCEPT = 2, -1, 1, 1
_XDP_GENERIC = 1 << 1  # XDP_FLAGS_SKB_MODE
_IFLA_IFNAME, _IFLA_LINKINFO, _IFLA_INFO_KIND = 3, 18, 1
_NO_PROGRAM = -1


@contextlib.contextmanager
def new_network() -> Iterator[Callable[[Callable[[], None]], None]]:
    """Have functions called in a new network namespace. They raise NotTriedError if there can be none."""
    with ThreadPoolExecutor(1) as thread:
        refusal = thread.submit(_unshare).result()

        def call(function: Callable[[], None]) -> None:
            if refusal:
                why = f"no network namespace could be made for it: {os.strerror(refusal)}"
                raise NotTriedError(why, "run it with CAP_SYS_ADMIN, on a kernel with CONFIG_NET_NS=y")
            thread.submit(function).result()

        yield call


def _unshare() -> int:
    """Move the calling thread into a new namespace; gives the errno, 0 if that went well."""
    libc = ctypes.CDLL(None, use_errno=True)
    return ctypes.get_errno() if libc.unshare(CLONE_NEWNET) else 0


def _link(fd: int, target: int, attach_type: AttachType, options: bytes = b"", flags: int = 0) -> None:
    """Make a link of a program, and close both."""
    with closing(fd):
        answer = answer_of(lambda: syscall.link_create(fd, target, attach_type, flags, options))
    if answer.errno:
        raise OSError(answer.errno, os.strerror(answer.errno))


def _xdp_link() -> None:
    _link(load(_P.XDP, _A.XDP, returning(_XDP_PASS)), _LOOPBACK, _A.XDP, flags=_XDP_GENERIC)


def _xdp_netlink() -> None:
    with closing(load(_P.XDP, 0, returning(_XDP_PASS))) as fd, Netlink() as netlink:
        set_xdp(netlink, _LOOPBACK, fd, _XDP_GENERIC)
        set_xdp(netlink, _LOOPBACK, _NO_PROGRAM, _XDP_GENERIC)


def _tcx() -> None:
    _link(load(_P.SCHED_CLS, _A.TCX_INGRESS, returning(_TC_NEXT)), _LOOPBACK, _A.TCX_INGRESS)


def _clsact() -> None:
    with closing(load(_P.SCHED_CLS, 0, returning(_TC_NEXT))) as fd, Netlink() as netlink:
        add_clsact(netlink, _LOOPBACK)
        add_filter(netlink, Place(_LOOPBACK, INGRESS_PARENT, 1, 1), fd, "bpfas_doctor")


def _netkit() -> None:
    with Netlink() as netlink:
        kind = nested(_IFLA_LINKINFO, text(_IFLA_INFO_KIND, "netkit"))
        name = text(_IFLA_IFNAME, "bpfas_doctor")
        netlink.request(
            MessageType.NEW_LINK, INTERFACE_HEADER.pack(0, 0, 0, 0, 0) + name + kind, Flag.CREATE | Flag.EXCLUSIVE
        )
    fd = load(_P.SCHED_CLS, _A.NETKIT_PRIMARY, returning(_TC_NEXT))
    _link(fd, socket.if_nametoindex("bpfas_doctor"), _A.NETKIT_PRIMARY)


def _of_namespace(program_type: ProgramType, attach_type: AttachType, result: int) -> Callable[[], None]:
    def attach() -> None:
        with closing(os.open(OWN_NAMESPACE, os.O_RDONLY | os.O_CLOEXEC)) as namespace:
            _link(load(program_type, attach_type, returning(result)), namespace, attach_type)

    return attach


def _netfilter() -> None:
    hook = struct.pack("=IIiI", socket.AF_INET, 0, -200, 0)
    _link(load(_P.NETFILTER, _A.NETFILTER, returning(_NF_ACCEPT)), 0, _A.NETFILTER, hook)


def _socket_filter() -> None:
    so_attach_bpf = 50
    with closing(load(_P.SOCKET_FILTER)) as fd, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        datagrams.setsockopt(socket.SOL_SOCKET, so_attach_bpf, fd)


NETWORK_WAYS = (
    Way("socket filter", "a program was attached to a socket", _socket_filter, _P.SOCKET_FILTER, Need("3.19")),
    Way("xdp: link", "a link to lo was made, in generic mode", _xdp_link, _P.XDP, Need("5.9")),
    Way("xdp: netlink", "a program was attached to lo by rtnetlink, in generic mode", _xdp_netlink, _P.XDP),
    Way(
        "tc: tcx", "a link to the ingress of lo was made", _tcx, _P.SCHED_CLS, Need("6.6", ("CONFIG_NET_XGRESS",))
    ),
    Way(
        "tc: clsact",
        "a filter was added to a clsact qdisc of lo",
        _clsact,
        _P.SCHED_CLS,
        Need("4.5", ("CONFIG_NET_CLS_BPF",)),
    ),
    Way(
        "tc: netkit",
        "a netkit device was made, and a link to it",
        _netkit,
        _P.SCHED_CLS,
        Need("6.7", ("CONFIG_NETKIT",)),
    ),
    Way(
        "sk_lookup",
        "a link to a network namespace was made",
        _of_namespace(_P.SK_LOOKUP, _A.SK_LOOKUP, _SK_PASS),
        _P.SK_LOOKUP,
        Need("5.9", ("CONFIG_INET",)),
    ),
    Way(
        "flow dissector",
        "a link to a network namespace was made",
        _of_namespace(_P.FLOW_DISSECTOR, _A.FLOW_DISSECTOR, 0),
        _P.FLOW_DISSECTOR,
        Need("5.8"),
    ),
    Way(
        "netfilter",
        "a link to the hook prerouting of IPv4 was made",
        _netfilter,
        _P.NETFILTER,
        Need("6.4", ("CONFIG_NETFILTER_BPF_LINK",)),
    ),
)
"""What is to be called in a network namespace of its own."""
