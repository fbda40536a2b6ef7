"""Programs on sockets, driven by real ones: sockmaps, socket filters, groups that share a port."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from typing import TYPE_CHECKING

import pytest

from bpfas.loader import load
from bpfas.loader.attach.link import KernelLink
from bpfas.loader.attach.table import attach
from bpfas.loader.errors import AttachError
from tests.loader.network import LOCALHOST, PATIENCE, eventually, is_silent, udp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bpfas.loader import Collection
    from bpfas.loader.runtime.maps import Map

pytestmark = [pytest.mark.kernel, pytest.mark.peer, pytest.mark.usefixtures("no_leaks", "network")]

PORT = 7001


@contextlib.contextmanager
def tcp_pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two ends of a connection."""
    with socket.create_server((LOCALHOST, 0)) as server:
        client = socket.create_connection(server.getsockname(), timeout=PATIENCE)
        peer, _ = server.accept()
        peer.settimeout(PATIENCE)
    with client, peer:
        yield client, peer


def put(sockets: Map, index: int, which: socket.socket) -> None:
    sockets.update(struct.pack("=I", index), struct.pack("=I", which.fileno()))


def numbers(app: Collection) -> list[int]:
    return list(struct.unpack("=4i", app.maps[".bss"].raw[bytes(4)]))


# -- Sockmaps --

SOCKMAP = """\
struct map_definition SEC("maps") sockets = { BPF_MAP_TYPE_SOCKMAP, 4, 4, 4 };
struct map_definition SEC("maps") table = { BPF_MAP_TYPE_ARRAY, 4, 4, 4 };
int counts[4];
SEC("sk_skb/stream_parser") int parser(struct __sk_buff *skb) { counts[0]++; return 4; }
SEC("sk_skb/stream_verdict") int stream(struct __sk_buff *skb)
{
    counts[1]++;
    return bpf_sk_redirect_map(skb, &sockets, 1, 0);
}
SEC("sk_skb/verdict") int verdict(struct __sk_buff *skb)
{
    counts[2]++;
    return bpf_sk_redirect_map(skb, &sockets, 1, 0);
}
SEC("sk_skb") int bare(struct __sk_buff *skb) { counts[2]++; return SK_DROP; }
SEC("sk_msg") int message(struct sk_msg_md *msg)
{
    counts[3]++;
    return bpf_msg_redirect_map(msg, &sockets, 1, BPF_F_INGRESS);
}
SEC("sk_msg") int refuse(struct sk_msg_md *msg) { counts[3]++; return SK_DROP; }
"""
WAYS = pytest.mark.parametrize("way", ["sockmap", "sockmap-attach"])


@WAYS
def test_what_arrives_is_redirected(compile_c: Callable[..., str], way: str) -> None:
    with load(compile_c(SOCKMAP)) as app, tcp_pair() as (client, proxy_in), tcp_pair() as (proxy_out, server):
        sockets = app.maps["sockets"]
        with attach(app.programs["verdict"], way=way, map=sockets):
            put(sockets, 0, proxy_in)
            put(sockets, 1, proxy_out)
            client.send(b"through")
            assert server.recv(20) == b"through"
            eventually(lambda: numbers(app)[2], 1)


@WAYS
def test_streams_are_cut_into_messages(compile_c: Callable[..., str], way: str) -> None:
    with load(compile_c(SOCKMAP)) as app, tcp_pair() as (client, proxy_in), tcp_pair() as (proxy_out, server):
        sockets = app.maps["sockets"]
        with (
            attach(app.programs["parser"], way=way, map=sockets),
            attach(app.programs["stream"], way=way, map=sockets) as link,
        ):
            assert "sockets" in link.target
            put(sockets, 0, proxy_in)
            put(sockets, 1, proxy_out)
            client.send(b"12345678")
            received = b""
            while len(received) < 8:
                received += server.recv(20)
            assert received == b"12345678"
            eventually(lambda: numbers(app)[:2], [2, 2])


@WAYS
def test_messages(compile_c: Callable[..., str], way: str) -> None:
    with load(compile_c(SOCKMAP)) as app, tcp_pair() as (sender, usual), tcp_pair() as (other, _):
        sockets = app.maps["sockets"]
        with attach(app.programs["message"], way=way, map=sockets) as link:
            put(sockets, 0, sender)
            put(sockets, 1, other)
            sender.send(b"to the other")
            assert other.recv(20) == b"to the other"
            assert is_silent(usual)
            link.update(app.programs["refuse"])
            sockets.delete(bytes(4))
            put(sockets, 0, sender)
            with pytest.raises(PermissionError):
                sender.send(b"refused")
        sockets.delete(bytes(4))
        sender.send(b"as usual")
        assert usual.recv(20) == b"as usual"


def test_roles_are_taken_once_by_links(compile_c: Callable[..., str]) -> None:
    with load(compile_c(SOCKMAP)) as app, attach(app.programs["message"], map=app.maps["sockets"]) as link:
        if not isinstance(link, KernelLink):
            pytest.skip("this kernel has no links to sockmaps (Linux 6.10)")
        with pytest.raises(AttachError, match="has a program in this role already") as caught:
            attach(app.programs["refuse"], map=app.maps["sockets"])
        assert "link.update(program)" in caught.value.remedy


def test_a_role_is_said_or_known(compile_c: Callable[..., str]) -> None:
    with load(compile_c(SOCKMAP)) as app, tcp_pair() as (client, server):
        bare, sockets = app.programs["bare"], app.maps["sockets"]
        with pytest.raises(AttachError, match="does not say what the program does with streams") as caught:
            attach(bare, map=sockets)
        assert "it may be stream_parser, stream_verdict, verdict" in caught.value.remedy
        with pytest.raises(ValueError, match="role is 'message', not one of stream_parser"):
            attach(bare, map=sockets, role="message")
        with attach(bare, map=sockets, role="verdict"):
            put(sockets, 0, server)
            client.send(b"dropped")
            assert is_silent(server)


def test_maps_that_hold_no_sockets(compile_c: Callable[..., str]) -> None:
    with load(compile_c(SOCKMAP)) as app, pytest.raises(AttachError, match="is of type array") as caught:
        attach(app.programs["message"], map=app.maps["table"])
    assert caught.value.remedy == "give a map of type sockmap or sockhash"


def test_the_map_may_be_closed_before_the_link(compile_c: Callable[..., str]) -> None:
    for way in ("sockmap", "sockmap-attach"):
        with load(compile_c(SOCKMAP)) as app:
            link = attach(app.programs["message"], way=way, map=app.maps["sockets"])
        link.close()


# -- Socket filters --

FILTERS = """\
int counts[4];
SEC("socket") int short_ones(struct __sk_buff *skb) { counts[0]++; return 8 + 3; }
SEC("socket") int none(struct __sk_buff *skb) { counts[1]++; return 0; }
SEC("socket") int second(struct __sk_buff *skb) { counts[2]++; return 1; }
struct map_definition SEC("maps") sockets = { BPF_MAP_TYPE_REUSEPORT_SOCKARRAY, 4, 4, 4 };
SEC("sk_reuseport") int select_one(struct sk_reuseport_md *md)
{
    int index = 1;
    counts[3]++;
    return bpf_sk_select_reuseport(md, &sockets, &index, 0) == 0 ? SK_PASS : SK_DROP;
}
SEC("sk_reuseport/migrate") int migrating(struct sk_reuseport_md *md) { counts[3]++; return SK_PASS; }
"""


@pytest.mark.parametrize("by_descriptor", [False, True])
def test_a_filter_cuts_and_drops(compile_c: Callable[..., str], *, by_descriptor: bool) -> None:
    with load(compile_c(FILTERS)) as app, udp() as sender, udp() as receiver:
        where: socket.socket | int = receiver.fileno() if by_descriptor else receiver
        with attach(app.programs["short_ones"], socket=where) as link:
            sender.sendto(b"too long", receiver.getsockname())
            assert receiver.recv(20) == b"too"
            link.close()
        with attach(app.programs["none"], socket=where):
            sender.sendto(b"dropped", receiver.getsockname())
            assert is_silent(receiver)
        sender.sendto(b"whole", receiver.getsockname())
        assert receiver.recv(20) == b"whole"
        eventually(lambda: numbers(app), [1, 1, 0, 0])


def test_sockets_that_are_none(compile_c: Callable[..., str]) -> None:
    with load(compile_c(FILTERS)) as app:
        program = app.programs["none"]
        closed = udp()
        with attach(program, socket=closed):
            closed.close()
        with pytest.raises(AttachError, match="the socket is closed"):
            attach(program, socket=closed)
        read, write = os.pipe()
        with pytest.raises(AttachError, match="the descriptor is not that of a socket"):
            attach(program, socket=read)
        os.close(read)
        os.close(write)
        with pytest.raises(AttachError, match="it is attached without"), udp() as made:
            attach(program, socket=made).pin("/sys/fs/bpf/x")


def test_a_program_selects_among_the_sockets_of_a_port(compile_c: Callable[..., str]) -> None:
    with load(compile_c(FILTERS)) as app, udp(PORT, shared=True) as zero, udp(PORT, shared=True) as one:
        put(app.maps["sockets"], 1, one)
        with attach(app.programs["select_one"], socket=zero):
            for _ in range(20):
                with udp() as sender:
                    sender.sendto(b"x", (LOCALHOST, PORT))
            for _ in range(20):
                assert one.recv(10) == b"x"
            assert is_silent(zero)
            eventually(lambda: numbers(app)[3], 20)
        for _ in range(50):  # without the program the kernel spreads them
            with udp() as sender:
                sender.sendto(b"spread", (LOCALHOST, PORT))
        assert zero.recv(10) == b"spread"
        for which in (zero, one):
            while not is_silent(which):
                which.recv(10)
        with attach(app.programs["second"], way="reuseport", socket=one):
            for _ in range(20):
                with udp() as sender:
                    sender.sendto(b"y", (LOCALHOST, PORT))
            for _ in range(20):
                assert one.recv(10) == b"y"
            assert is_silent(zero)
            eventually(lambda: numbers(app)[2], 20)
        with attach(app.programs["migrating"], socket=one), udp() as sender:
            sender.sendto(b"z", (LOCALHOST, PORT))
            eventually(lambda: numbers(app)[3], 21)


def test_sockets_that_share_no_port(compile_c: Callable[..., str]) -> None:
    with load(compile_c(FILTERS)) as app, udp() as alone:
        with pytest.raises(AttachError, match="not one that shares its port") as caught:
            attach(app.programs["select_one"], socket=alone)
        assert "SO_REUSEPORT" in caught.value.remedy
