"""What a link of the kernel's is attached to, in words, out of struct bpf_link_info.

Source: enum bpf_link_type and struct bpf_link_info of include/uapi/linux/bpf.h.
"""

from __future__ import annotations

import enum
import os
import socket
import struct
from typing import TYPE_CHECKING

from bpfas.loader.kinds import attach_type_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from bpfas.loader.syscall import LinkInfo


class LinkType(enum.IntEnum):
    """enum bpf_link_type."""

    UNSPEC = 0
    RAW_TRACEPOINT = 1
    TRACING = 2
    CGROUP = 3
    ITER = 4
    NETNS = 5
    XDP = 6
    PERF_EVENT = 7
    KPROBE_MULTI = 8
    STRUCT_OPS = 9
    NETFILTER = 10
    TCX = 11
    UPROBE_MULTI = 12
    NETKIT = 13
    SOCKMAP = 14


def link_type_name(number: int) -> str:
    """`xdp`, `cgroup`, …, or `type N` for a number that is not in the table."""
    return LinkType(number).name.lower() if number in set(LinkType) else f"type {number}"


def link_target(info: LinkInfo) -> str:
    """What the link is attached to, as far as the kernel tells without being asked for names; else empty."""
    words = _WORDS.get(info.type)
    return words(info.rest) if words else ""


def _interface(index: int) -> str:
    try:
        return socket.if_indextoname(index)
    except OSError:
        return f"interface {index}" if index else "no interface"


def _of_interface(rest: bytes) -> str:
    index, attach_type = struct.unpack_from("=II", rest)
    return f"{_interface(index)}, {attach_type_name(attach_type)}"


def _xdp(rest: bytes) -> str:
    return _interface(struct.unpack_from("=I", rest)[0])


def _cgroup(rest: bytes) -> str:
    number, attach_type = struct.unpack_from("=QI", rest)
    return f"cgroup {number}, {attach_type_name(attach_type)}"


def _netns(rest: bytes) -> str:
    inode, attach_type = struct.unpack_from("=II", rest)
    own = " (this one)" if inode == os.stat("/proc/self/ns/net").st_ino else ""
    return f"network namespace {inode}{own}, {attach_type_name(attach_type)}"


def _tracing(rest: bytes) -> str:
    attach_type, target, type_id = struct.unpack_from("=III", rest)
    return f"{attach_type_name(attach_type)}, type {type_id} of BTF or program {target}"


def _struct_ops(rest: bytes) -> str:
    return f"map {struct.unpack_from('=I', rest)[0]}"


def _sockmap(rest: bytes) -> str:
    map_id, attach_type = struct.unpack_from("=II", rest)
    return f"map {map_id}, {attach_type_name(attach_type)}"


def _netfilter(rest: bytes) -> str:
    family, hook, priority = struct.unpack_from("=IIi", rest)
    return f"family {family}, hook {hook}, priority {priority}"


def _kprobe_multi(rest: bytes) -> str:
    return f"{struct.unpack_from('=8xI', rest)[0]} functions"


_PERF_EVENTS = ("", "uprobe", "uretprobe", "kprobe", "kretprobe", "tracepoint", "event")


def _perf_event(rest: bytes) -> str:
    number = struct.unpack_from("=I", rest)[0]
    return _PERF_EVENTS[number] if number < len(_PERF_EVENTS) else f"perf event of type {number}"


_WORDS: dict[int, Callable[[bytes], str]] = {
    LinkType.TRACING: _tracing,
    LinkType.CGROUP: _cgroup,
    LinkType.NETNS: _netns,
    LinkType.XDP: _xdp,
    LinkType.PERF_EVENT: _perf_event,
    LinkType.KPROBE_MULTI: _kprobe_multi,
    LinkType.STRUCT_OPS: _struct_ops,
    LinkType.NETFILTER: _netfilter,
    LinkType.TCX: _of_interface,
    LinkType.NETKIT: _of_interface,
    LinkType.SOCKMAP: _sockmap,
}
