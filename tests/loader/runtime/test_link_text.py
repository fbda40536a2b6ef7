"""What links of the kernel's are attached to, in words."""

from __future__ import annotations

import os
import struct

import pytest

from bpfas.loader.kinds import AttachType
from bpfas.loader.runtime.link_text import LinkType, link_target, link_type_name
from bpfas.loader.syscall import LinkInfo


@pytest.mark.parametrize(
    ("kind", "rest", "words"),
    [
        (LinkType.XDP, struct.pack("=I", 1), "lo"),
        (LinkType.XDP, struct.pack("=I", 0), "no interface"),
        (LinkType.TCX, struct.pack("=II", 1, AttachType.TCX_EGRESS), "lo, tcx_egress"),
        (LinkType.NETKIT, struct.pack("=II", 999999, 9999), "interface 999999, type 9999"),
        (LinkType.CGROUP, struct.pack("=QI", 77, AttachType.CGROUP_DEVICE), "cgroup 77, cgroup_device"),
        (LinkType.TRACING, struct.pack("=III", 25, 1, 5), "trace_fexit, type 5 of BTF or program 1"),
        (LinkType.STRUCT_OPS, struct.pack("=I", 8), "map 8"),
        (LinkType.SOCKMAP, struct.pack("=II", 8, AttachType.SK_MSG_VERDICT), "map 8, sk_msg_verdict"),
        (LinkType.NETFILTER, struct.pack("=IIiI", 2, 1, -5, 0), "family 2, hook 1, priority -5"),
        (LinkType.KPROBE_MULTI, struct.pack("=QII", 0, 3, 0), "3 functions"),
        (LinkType.PERF_EVENT, struct.pack("=I", 5), "tracepoint"),
        (LinkType.PERF_EVENT, struct.pack("=I", 50), "perf event of type 50"),
        (LinkType.RAW_TRACEPOINT, b"", ""),
        (99, b"", ""),
    ],
)
def test_the_target_of_a_link(kind: int, rest: bytes, words: str) -> None:
    assert link_target(LinkInfo(kind, 1, 2, rest.ljust(64, b"\0"))) == words


def test_the_namespace_of_this_process_is_known() -> None:
    own = os.stat("/proc/self/ns/net").st_ino
    rest = struct.pack("=II", own, AttachType.SK_LOOKUP).ljust(64, b"\0")
    assert link_target(LinkInfo(LinkType.NETNS, 1, 2, rest)) == f"network namespace {own} (this one), sk_lookup"


def test_the_names_of_types() -> None:
    assert (link_type_name(6), link_type_name(99)) == ("xdp", "type 99")
