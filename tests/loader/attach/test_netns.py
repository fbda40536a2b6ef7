"""Programs on network namespaces, netfilter hooks and routes, driven by packets that are sent there."""

from __future__ import annotations

import os
import socket
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bpfas.loader import load
from bpfas.loader.attach.link import KernelLink
from bpfas.loader.attach.table import attach
from bpfas.loader.errors import AttachError
from bpfas.loader.kinds import ProgramType
from bpfas.loader.runtime.programs import Program
from tests.loader.kernel_support import Need, needs
from tests.loader.network import LOCALHOST, add_address, create_veth, eventually, is_silent, udp

if TYPE_CHECKING:
    from collections.abc import Callable

    from bpfas.loader import Collection
    from tests.loader.network import Namespace

pytestmark = [pytest.mark.kernel, pytest.mark.peer, pytest.mark.usefixtures("no_leaks", "network")]

PORT, OTHER_PORT = 7001, 7002


def number(app: Collection) -> int:
    return int(struct.unpack_from("=i", app.maps[".bss"].raw[bytes(4)])[0])


# -- sk_lookup --

LOOKUP = """\
int hits;
struct map_definition SEC("maps") sockets = { BPF_MAP_TYPE_SOCKMAP, 4, 8, 4 };
SEC("sk_lookup") int find(struct bpf_sk_lookup *ctx)
{
    int index = 0, verdict = SK_DROP;
    struct bpf_sock *sk;
    if (ctx->local_port != 7001)
        return SK_PASS;
    hits++;
    sk = bpf_map_lookup_elem(&sockets, &index);
    if (!sk)
        return SK_DROP;
    verdict = bpf_sk_assign(ctx, sk, 0) ? SK_DROP : SK_PASS;
    bpf_sk_release(sk);
    return verdict;
}
SEC("sk_lookup") int nothing(struct bpf_sk_lookup *ctx) { return SK_PASS; }
"""


@pytest.mark.parametrize("by", ["default", "path", "descriptor"])
def test_sockets_are_looked_up(compile_c: Callable[..., str], network: Namespace, by: str) -> None:
    netns = {"default": None, "path": "/proc/thread-self/ns/net", "descriptor": network.fd}[by]
    with load(compile_c(LOOKUP)) as app, udp(OTHER_PORT) as receiver, udp() as sender:
        app.maps["sockets"].update(bytes(4), struct.pack("=Q", receiver.fileno()))
        with attach(app.programs["find"], netns=netns) as link:
            sender.sendto(b"found", (LOCALHOST, PORT))
            assert receiver.recv(20) == b"found"
            eventually(lambda: number(app), 1)
            with attach(app.programs["nothing"]):  # several may be there
                link.update(app.programs["nothing"], replaced=app.programs["find"])
            sender.sendto(b"lost", (LOCALHOST, PORT))
            assert is_silent(receiver)


def test_network_namespaces_that_are_none(compile_c: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with load(compile_c(LOOKUP)) as app:
        with pytest.raises(AttachError, match="cannot open /run/netns/nowhere: No such file"):
            attach(app.programs["find"], netns="nowhere")
        with pytest.raises(AttachError, match="that is no network namespace"):
            attach(app.programs["find"], netns=tmp_path / "file")


def test_a_pinned_link_to_a_namespace(compile_c: Callable[..., str], bpffs: Path) -> None:
    with load(compile_c(LOOKUP)) as app, udp(OTHER_PORT) as receiver, udp() as sender:
        app.maps["sockets"].update(bytes(4), struct.pack("=Q", receiver.fileno()))
        with attach(app.programs["find"]) as link:
            link.pin(bpffs / "link")
        sender.sendto(b"found", (LOCALHOST, PORT))
        assert receiver.recv(20) == b"found"
        with KernelLink.open_pinned(bpffs / "link") as found:
            found.unpin()


# -- Flow dissectors --

DISSECTOR = """\
int hits;
SEC("flow_dissector") int dissect(struct __sk_buff *skb) { hits++; return BPF_OK; }
SEC("flow_dissector") int other(struct __sk_buff *skb) { return BPF_OK; }
"""


def test_flows_are_dissected(compile_c: Callable[..., str]) -> None:
    create_veth("left", "right")
    with load(compile_c(DISSECTOR)) as app:
        with attach(app.programs["dissect"]) as link:
            # Packet sockets ask for the place of the transport header, and so does the choice of a CPU.
            with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sender:
                sender.bind(("left", 0x0800))
                header = bytes(12) + b"\x08\x00"
                ip = bytes.fromhex("45000021000040004011 0000 7f000001 7f000001".replace(" ", ""))
                sender.send(header + ip + struct.pack(">HHHH", PORT, PORT, 13, 0) + b"hello")
            eventually(lambda: number(app) >= 1, True)
            with pytest.raises(AttachError) as caught:
                attach(app.programs["other"])
            assert caught.value.errno_name in ("E2BIG", "EEXIST")
            assert "1 flow dissector" in caught.value.cause
            link.update(app.programs["other"])
        with attach(app.programs["other"]):
            pass


# -- Netfilter --

NETFILTER = """\
int hits, whole;
struct sk_buff;
struct context { void *state; struct sk_buff *skb; };
SEC("netfilter") int accept(void *ctx) { hits++; return 1; }
SEC("netfilter") int drop(void *ctx) { hits++; return 0; }
"""


@needs(Need.NETFILTER_LINK)
@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
@pytest.mark.parametrize("hook", ["prerouting", "input", "output", "postrouting"])
def test_netfilter_hooks(compile_c: Callable[..., str], family: str, hook: str) -> None:
    here = (LOCALHOST, socket.AF_INET) if family == "ipv4" else ("::1", socket.AF_INET6)
    with load(compile_c(NETFILTER)) as app, udp(0, *here) as receiver, udp(0, *here) as sender:
        with attach_netfilter(app, "accept", hook=hook, family=family) as link:
            assert f"netfilter {hook} of {family}" in link.target
            sender.sendto(b"x", receiver.getsockname())
            assert receiver.recv(10) == b"x"
            eventually(lambda: number(app), 1)
            with attach_netfilter(app, "drop", hook=hook, family=family, priority=7):
                with pytest.raises(AttachError, match="with this priority already") as caught:
                    attach_netfilter(app, "drop", hook=hook, family=family, priority=7)
                assert caught.value.remedy == "use another priority"
                try:
                    sender.sendto(b"y", receiver.getsockname())
                except PermissionError:
                    assert hook in ("output", "postrouting")
                assert is_silent(receiver)
        eventually(lambda: number(app), 3)


def attach_netfilter(app: Collection, name: str, **how: Any) -> KernelLink:
    link = attach(app.programs[name], **how)
    assert isinstance(link, KernelLink)
    return link


@needs(Need.NETFILTER_LINK)
def test_netfilter_with_whole_packets(compile_c: Callable[..., str]) -> None:
    with load(compile_c(NETFILTER)) as app:
        create_veth("left", "right")
        attach_netfilter(app, "accept", hook="prerouting").close()
        with attach(app.programs["accept"], hook="prerouting", defragment=True), udp() as one, udp() as two:
            one.sendto(bytes(5000), two.getsockname())
            assert len(two.recv(10000)) == 5000
            eventually(lambda: number(app), 1)
        with pytest.raises(AttachError, match="priority -400 runs before packets are put together"):
            attach(app.programs["accept"], hook="prerouting", priority=-400, defragment=True)


@needs(Need.NETFILTER_LINK)
def test_wrong_netfilter_hooks(compile_c: Callable[..., str]) -> None:
    with load(compile_c(NETFILTER)) as app:
        program = app.programs["accept"]
        with pytest.raises(AttachError, match="nothing says where") as caught:
            attach(program)
        assert "hook=…" in caught.value.remedy
        with pytest.raises(ValueError, match="hook is 'middle', not one of prerouting, input"):
            attach(program, hook="middle")
        with pytest.raises(ValueError, match="family is 'ipx', not one of ipv4, ipv6"):
            attach(program, hook="input", family="ipx")
        with pytest.raises(AttachError, match="the priority is 2147483647, not in the range"):
            attach(program, hook="input", priority=(1 << 31) - 1)


# -- Routes --

ROUTES = """\
int hits;
SEC("lwt_in") int in(struct __sk_buff *skb) { hits++; return BPF_OK; }
SEC("lwt_out") int out(struct __sk_buff *skb) { hits++; return BPF_OK; }
SEC("lwt_xmit") int xmit(struct __sk_buff *skb) { hits++; return BPF_OK; }
SEC("lwt_out") int out_drop(struct __sk_buff *skb) { hits++; return BPF_DROP; }
SEC("lwt_xmit") int xmit_drop(struct __sk_buff *skb) { hits++; return BPF_DROP; }
SEC("lwt_seg6local") int segment(struct __sk_buff *skb) { hits++; return BPF_OK; }
"""


@pytest.mark.parametrize(("near", "far"), [("10.9.0.1/24", "10.9.0.2/24"), ("fd09::1/64", "fd09::2/64")])
@pytest.mark.parametrize("kind", ["out", "xmit"])
def test_packets_leave_by_a_route(
    compile_c: Callable[..., str], namespaces: Callable[[], Namespace], kind: str, near: str, far: str
) -> None:
    other = namespaces()
    create_veth("near", "far", other)
    add_address("near", near)
    here, there = (address.partition("/")[0] for address in (near, far))
    family = socket.AF_INET6 if ":" in here else socket.AF_INET
    with other:
        add_address("far", far)
        receiver = udp(PORT, there, family)
    with load(compile_c(ROUTES)) as app, receiver, udp(0, here, family) as sender:
        with attach(app.programs[kind], destination=there, interface="near") as link:
            assert f"route to {there} over near" in link.target
            sender.sendto(b"x", (there, PORT))
            assert receiver.recv(10) == b"x"
            eventually(lambda: number(app), 1)
            drop = app.programs[f"{kind}_drop"]
            with pytest.raises(AttachError, match="there is a route to this destination already") as caught:
                attach(drop, destination=there, interface="near")
            assert "replace=True" in caught.value.remedy
            link.update(drop)
            with pytest.raises(PermissionError):
                sender.sendto(b"dropped", (there, PORT))
            eventually(lambda: number(app), 2)
            with attach(app.programs[kind], destination=there, interface="near", replace=True):
                sender.sendto(b"x", (there, PORT))
                assert receiver.recv(10) == b"x"
        sender.sendto(b"y", (there, PORT))
        assert receiver.recv(10) == b"y"
        how: dict[str, Any] = {"destination": there, "interface": "near", "metric": 5, "table": 1000}
        with attach(app.programs["xmit_drop"], headroom=64, **how):
            pass


def test_packets_arrive_by_a_route(compile_c: Callable[..., str], namespaces: Callable[[], Namespace]) -> None:
    """What comes in for a destination that is routed on goes through the program."""
    outside, beyond = namespaces(), namespaces()
    create_veth("in", "outside", outside)
    create_veth("out", "beyond", beyond)
    add_address("in", "10.9.0.1/24")
    add_address("out", "10.10.0.1/24")
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    with beyond:
        add_address("beyond", "10.10.0.2/24")
        receiver = udp(PORT, "10.10.0.2")
    with load(compile_c(ROUTES)) as app, receiver:
        with outside:
            add_address("outside", "10.9.0.2/24")
            way_on = attach(
                app.programs["out"], destination="10.10.0.0/24", interface="outside", gateway="10.9.0.1"
            )
            sender = udp(0, "10.9.0.2")
        with sender, way_on, attach(app.programs["in"], destination="10.10.0.2", interface="out"):
            sender.sendto(b"x", ("10.10.0.2", PORT))
            assert receiver.recv(10) == b"x"
            eventually(lambda: number(app), 2)


def test_a_segment_is_routed(compile_c: Callable[..., str]) -> None:
    create_veth("left", "right")
    with load(compile_c(ROUTES)) as app:
        try:
            link = attach(app.programs["segment"], destination="fd0a::/64", interface="left")
        except AttachError as error:
            if error.errno_name not in ("EOPNOTSUPP", "ERANGE"):
                raise
            pytest.skip(error.cause)
        link.close()
        with pytest.raises(AttachError):
            attach(app.programs["segment"], destination="10.0.0.0/8", interface="left")


def test_wrong_routes(compile_c: Callable[..., str]) -> None:
    create_veth("left", "right")
    with load(compile_c(ROUTES)) as app:
        program = app.programs["out"]
        for how, words in (
            ({"destination": "here"}, "'here' does not appear to be an IPv4 or IPv6 network"),
            ({"destination": "10.0.0.1/8"}, "10.0.0.1/8 has host bits set"),
            ({"destination": "10.0.0.0/8", "gateway": "fd00::1"}, "of different versions of IP"),
            ({"destination": "10.0.0.0/8", "headroom": 257}, "the headroom is 257, not in the range 0 to 256"),
            ({"destination": "10.0.0.0/8", "gateway": "10.9.0.1"}, "the gateway is not reached by the interface"),
        ):
            with pytest.raises(AttachError) as caught:
                attach(program, interface="left", **how)
            assert words in caught.value.cause
        with pytest.raises(AttachError, match="did you mean left"):
            attach(program, destination="10.0.0.0/8", interface="lefd")


# -- Infrared --


def test_infrared_receivers(compile_c: Callable[..., str]) -> None:
    """Machines rarely have one, and kernels without one load no program for it: what is no receiver is told."""
    with load(compile_c('SEC("socket") int prog(void *ctx) { return 0; }')) as app:
        loaded = app.programs["prog"]
        program = Program(loaded.spec._replace(program_type=ProgramType.LIRC_MODE2), os.dup(loaded.fd))
        with pytest.raises(AttachError, match="cannot open /dev/lirc4711: No such file"):
            attach(program, device="/dev/lirc4711")
        with pytest.raises(AttachError, match=r"infrared receiver /dev/null.*no receiver of raw infrared signals"):
            attach(program, device="/dev/null")
        program.close()
