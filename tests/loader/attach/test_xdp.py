"""XDP programs on interfaces of a network namespace, and the packets that they see."""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING

import pytest

from bpfas.loader import load
from bpfas.loader.attach import interfaces
from bpfas.loader.attach.interfaces import XdpPrograms, xdp_programs
from bpfas.loader.attach.link import KernelLink
from bpfas.loader.attach.netlink import Netlink
from bpfas.loader.attach.table import attach
from bpfas.loader.attach.xdp import attach_xdp
from bpfas.loader.errors import AttachError, Step
from tests.loader.network import FRAME, create_veth, delete_link, eventually, packet_socket, send_frames

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bpfas.loader import Collection
    from tests.loader.network import Namespace

pytestmark = [pytest.mark.kernel, pytest.mark.peer, pytest.mark.usefixtures("no_leaks", "network")]

COUNTERS = """\
int hits[4];
static __attribute__((always_inline)) int count(struct xdp_md *ctx, int which)
{
    unsigned short *type = (void *)(long)ctx->data + 12;
    if ((void *)(type + 1) <= (void *)(long)ctx->data_end && *type == 0xb588)
        __sync_fetch_and_add(&hits[which], 1);
    return XDP_PASS;
}
SEC("xdp") int one(struct xdp_md *ctx) { return count(ctx, 0); }
SEC("xdp") int two(struct xdp_md *ctx) { return count(ctx, 1); }
SEC("xdp") int drop(struct xdp_md *ctx) { count(ctx, 2); return XDP_DROP; }
"""


def hits(app: Collection) -> list[int]:
    return list(struct.unpack("=4i", app.maps[".bss"].raw[bytes(4)]))


def programs_of(interface: str) -> XdpPrograms:
    with Netlink() as netlink:
        return xdp_programs(netlink, socket.if_nametoindex(interface))


@pytest.mark.parametrize("mode", ["any", "native", "generic"])
@pytest.mark.parametrize("way", ["xdp", "xdp-netlink"])
def test_a_program_sees_packets_until_it_is_detached(compile_c: Callable[..., str], mode: str, way: str) -> None:
    create_veth("left", "right")
    with load(compile_c(COUNTERS)) as app:
        program = app.programs["one"]
        with attach(program, way=way, interface="right", mode=mode) as link:
            assert isinstance(link, KernelLink) == (way == "xdp")
            there = programs_of("right")
            assert (there.generic if mode == "generic" else there.native) == program.info().id
            send_frames("left", 3)
            eventually(lambda: hits(app)[0], 3)
        assert programs_of("right") == XdpPrograms()
        send_frames("left", 2)
        eventually(lambda: hits(app)[0], 3)


def test_a_dropped_packet_does_not_arrive(compile_c: Callable[..., str]) -> None:
    create_veth("left", "right")
    with load(compile_c(COUNTERS)) as app, packet_socket("right") as receiver:
        with attach(app.programs["drop"], interface="right"):
            send_frames("left", 1)
            eventually(lambda: hits(app)[2], 1)
        send_frames("left", 1, FRAME[:14] + b"the second".ljust(50))
        frame = b""
        while frame[12:14] != FRAME[12:14]:
            frame = receiver.recv(2000)
        assert frame[14:24] == b"the second"


@pytest.mark.parametrize("way", ["xdp", "xdp-netlink"])
def test_another_program_takes_the_place(compile_c: Callable[..., str], way: str) -> None:
    create_veth("left", "right")
    with load(compile_c(COUNTERS)) as app:
        one, two = app.programs["one"], app.programs["two"]
        with attach(one, way=way, interface="right") as link:
            send_frames("left", 1)
            with pytest.raises(AttachError) as caught:
                link.update(two, replaced=app.programs["drop"])
            assert caught.value.step is Step.REPLACE_PROGRAM
            link.update(two, replaced=one)
            send_frames("left", 2)
            eventually(lambda: hits(app)[:2], [1, 2])
            assert link.program == "two"
        assert programs_of("right") == XdpPrograms()


def test_by_netlink_a_program_may_replace_another(compile_c: Callable[..., str]) -> None:
    create_veth("left", "right")
    with load(compile_c(COUNTERS)) as app:
        one, two, drop = (app.programs[name] for name in ("one", "two", "drop"))
        first = attach(one, way="xdp-netlink", interface="right")
        with pytest.raises(AttachError, match=f"program {one.info().id} in mode native"):
            attach(two, way="xdp-netlink", interface="right")
        with pytest.raises(AttachError, match="the kernel says"):
            attach(two, way="xdp-netlink", interface="right", replaces=drop)
        with attach(two, way="xdp-netlink", interface="right", replaces=one):
            first.close()  # another has its place: nothing is taken away
            assert programs_of("right").native == two.info().id
            with attach(drop, way="xdp-netlink", interface="right", force=True):
                assert programs_of("right").native == drop.info().id


def test_a_place_that_is_taken(compile_c: Callable[..., str]) -> None:
    create_veth("left", "right")
    with load(compile_c(COUNTERS)) as app, attach(app.programs["one"], interface="right"):
        for how in ({}, {"mode": "generic"}, {"way": "xdp-netlink"}):
            with pytest.raises(AttachError) as caught:
                attach(app.programs["two"], interface="right", **how)
            assert caught.value.errno_name in ("EBUSY", "EEXIST")
            assert "right has an XDP program already" in caught.value.cause
            assert "bpf-load links detach" in caught.value.remedy


def test_closing_without_detaching(compile_c: Callable[..., str]) -> None:
    create_veth("left", "right")
    with load(compile_c(COUNTERS)) as app:
        link = attach(app.programs["one"], way="xdp-netlink", interface="right")
        link.close(detach=False)
        send_frames("left", 1)
        eventually(lambda: hits(app)[0], 1)
        with attach(app.programs["two"], way="xdp-netlink", interface="right", force=True):
            pass
        assert programs_of("right") == XdpPrograms()


def test_the_program_may_be_closed_before_the_link(compile_c: Callable[..., str]) -> None:
    create_veth("left", "right")
    for way in ("xdp", "xdp-netlink"):
        with load(compile_c(COUNTERS)) as app:
            link = attach(app.programs["one"], way=way, interface="right")
        assert programs_of("right").native
        link.close()
        link.close()
        assert programs_of("right") == XdpPrograms()


def test_an_interface_that_goes(compile_c: Callable[..., str]) -> None:
    with load(compile_c(COUNTERS)) as app:
        for way in ("xdp", "xdp-netlink"):
            create_veth("left", "right")
            with attach(app.programs["one"], way=way, interface="right"):
                delete_link("left")


def test_a_pinned_link_outlives_its_object(compile_c: Callable[..., str], bpffs: Path) -> None:
    create_veth("left", "right")
    path = bpffs / "link"
    with load(compile_c(COUNTERS)) as app:
        with attach(app.programs["one"], interface="right") as link:
            link.pin(path)
        send_frames("left", 1)
        eventually(lambda: hits(app)[0], 1)
        with KernelLink.open_pinned(path) as found:
            found.update(app.programs["two"])
            found.unpin()
        assert programs_of("right") == XdpPrograms()


def test_an_interface_that_is_not_there(compile_c: Callable[..., str]) -> None:
    create_veth("left", "right")
    with load(compile_c(COUNTERS)) as app:
        with pytest.raises(AttachError) as caught:
            attach(app.programs["one"], interface="rihgt")
        assert (caught.value.errno_name, caught.value.cause) == ("ENODEV", "there is no network interface 'rihgt'")
        assert caught.value.remedy == "did you mean right?"
        with pytest.raises(AttachError, match="no network interface has the index 4711") as caught:
            attach(app.programs["one"], interface=4711)
        assert "left" in caught.value.remedy
        with pytest.raises(ValueError, match="mode is 'fast', not one of any, generic, native, offload"):
            attach(app.programs["one"], interface="right", mode="fast")


def test_an_interface_of_a_namespace_with_a_name(
    compile_c: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    namespaces: Callable[[], Namespace],
) -> None:
    other = namespaces()
    create_veth("left", "righteous", other)
    monkeypatch.setattr(interfaces, "NAMED_NAMESPACES", tmp_path)
    (tmp_path / "another").symlink_to(f"/proc/self/fd/{other.fd}")
    (tmp_path / "broken").touch()
    before = socket.if_nameindex()
    with load(compile_c(COUNTERS)) as app:
        with pytest.raises(AttachError, match="there is no network interface 'righteous'") as caught:
            attach(app.programs["one"], interface="righteous")
        assert caught.value.remedy == (
            f"it is in network namespace another: nsenter --net={tmp_path}/another COMMAND; "
            "attaching takes netns=another"
        )
        for way in ("xdp", "xdp-netlink"):
            with attach(app.programs["one"], way=way, interface="righteous", netns=tmp_path / "another"):
                with other:
                    assert programs_of("righteous") != XdpPrograms()
                assert socket.if_nameindex() == before
            with other:
                assert programs_of("righteous") == XdpPrograms()
        with pytest.raises(AttachError, match="cannot open"):
            attach(app.programs["one"], interface="righteous", netns=tmp_path / "nowhere")
    assert socket.if_nameindex() == before


def test_a_mode_that_the_interface_lacks(compile_c: Callable[..., str]) -> None:
    create_veth("left", "right")
    with load(compile_c(COUNTERS)) as app:
        for way in ("xdp", "xdp-netlink"):
            with pytest.raises(AttachError, match="lo does not run XDP programs itself") as caught:
                attach(app.programs["one"], way=way, interface="lo", mode="native")
            assert "mode generic" in caught.value.remedy
            with pytest.raises(AttachError) as caught:
                attach(app.programs["one"], way=way, interface="right", mode="offload")
            assert "only programs that are loaded for it" in caught.value.cause


def test_programs_that_are_not_for_interfaces(compile_c: Callable[..., str]) -> None:
    create_veth("left", "right")
    with load(compile_c(REDIRECTS)) as app, pytest.raises(AttachError) as caught:
        attach_xdp(app.programs["at_cpu"], interface="right")
    assert caught.value.cause.startswith("the kernel says: ")


def test_packets_too_large_for_the_program(compile_c: Callable[..., str]) -> None:
    create_veth("left", "right", mtu=9000)
    source = COUNTERS.replace('SEC("xdp") int two', 'SEC("xdp.frags") int two')
    with load(compile_c(source)) as app:
        for way in ("xdp", "xdp-netlink"):
            with pytest.raises(AttachError, match="MTU of right or of its peer is too large") as caught:
                attach(app.programs["one"], way=way, interface="right", mode="native")
            assert "xdp.frags" in caught.value.remedy
        with attach(app.programs["two"], interface="right", mode="native"):
            send_frames("left", 1)
            eventually(lambda: hits(app)[1], 1)


REDIRECTS = """\
struct map_definition SEC("maps") devices = { BPF_MAP_TYPE_DEVMAP, 4, 8, 4 };
struct map_definition SEC("maps") plain = { BPF_MAP_TYPE_DEVMAP, 4, 4, 4 };
struct map_definition SEC("maps") cpus = { BPF_MAP_TYPE_CPUMAP, 4, 8, 4 };
struct map_definition SEC("maps") numbers = { BPF_MAP_TYPE_ARRAY, 4, 8, 4 };
int hits[4];
static __attribute__((always_inline)) int is_test(struct xdp_md *ctx)
{
    unsigned short *type = (void *)(long)ctx->data + 12;
    return (void *)(type + 1) <= (void *)(long)ctx->data_end && *type == 0xb588;
}
SEC("xdp") int to_device(struct xdp_md *ctx)
{
    return is_test(ctx) ? bpf_redirect_map(&devices, 1, 0) : XDP_PASS;
}
SEC("xdp") int to_cpu(struct xdp_md *ctx) { return is_test(ctx) ? bpf_redirect_map(&cpus, 0, 0) : XDP_PASS; }
SEC("xdp") int plain_use(struct xdp_md *ctx) { return bpf_redirect_map(&plain, 1, 0); }
SEC("xdp") int other_use(struct xdp_md *ctx) { int k = 0; return bpf_map_lookup_elem(&numbers, &k) ? 1 : 2; }
SEC("xdp/devmap") int at_device(struct xdp_md *ctx) { if (is_test(ctx)) hits[0]++; return XDP_PASS; }
SEC("xdp/cpumap") int at_cpu(struct xdp_md *ctx) { if (is_test(ctx)) hits[1]++; return XDP_PASS; }
"""


def wait_for_frame(receiver: socket.socket) -> bytes:
    while True:
        frame = receiver.recv(2000)
        if frame[12:14] == FRAME[12:14]:
            return frame


def test_a_program_at_a_target_of_redirections(compile_c: Callable[..., str]) -> None:
    create_veth("left", "right")
    create_veth("out", "end")
    with load(compile_c(REDIRECTS)) as app, packet_socket("end") as receiver:
        devices = app.maps["devices"]
        with (
            attach(app.programs["at_device"], map=devices, key=1, interface="out"),
            attach(app.programs["to_device"], interface="right", mode="generic"),
        ):
            send_frames("left", 1)
            assert wait_for_frame(receiver) == FRAME
            eventually(lambda: hits(app)[0], 1)
        assert struct.pack("=I", 1) not in devices


def test_a_program_at_a_cpu(compile_c: Callable[..., str]) -> None:
    create_veth("left", "right")
    with load(compile_c(REDIRECTS)) as app, packet_socket("right") as receiver:
        with (
            attach(app.programs["at_cpu"], map=app.maps["cpus"], cpu=0, queue_size=64),
            attach(app.programs["to_cpu"], interface="right", mode="native"),
        ):
            send_frames("left", 1)
            assert wait_for_frame(receiver) == FRAME
            eventually(lambda: hits(app)[1], 1)
        assert bytes(4) not in app.maps["cpus"]


def test_wrong_maps_for_redirections(compile_c: Callable[..., str]) -> None:
    create_veth("left", "right")
    with load(compile_c(REDIRECTS)) as app:
        at_device = app.programs["at_device"]
        with pytest.raises(AttachError, match="no room for a program") as caught:
            attach(at_device, map=app.maps["plain"], key=0, interface="left")
        assert "values of 8 bytes" in caught.value.remedy
        with pytest.raises(AttachError, match="is of type array, not devmap or devmap_hash"):
            attach(at_device, map=app.maps["numbers"], key=0, interface="left")
        with pytest.raises(AttachError, match="beyond the end of the map"):
            attach(at_device, map=app.maps["devices"], key=4, interface="left")
        with pytest.raises(AttachError, match="nothing says where") as caught:
            attach(at_device, interface="left")
        assert "map=…, key=…" in caught.value.remedy
        with pytest.raises(AttachError, match="longer than the kernel permits"):
            attach(app.programs["at_cpu"], map=app.maps["cpus"], cpu=0, queue_size=1 << 20)
