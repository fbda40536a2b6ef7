"""Classifiers on interfaces of a network namespace, by tcx, clsact and netkit, and the packets that they see."""

from __future__ import annotations

import os
import resource
import socket
import struct
from typing import TYPE_CHECKING

import pytest

from bpfas.loader import load
from bpfas.loader.attach.filters import INGRESS_PARENT, filters
from bpfas.loader.attach.link import KernelLink
from bpfas.loader.attach.netlink import Flag, MessageType, Netlink, text
from bpfas.loader.attach.order import FIRST, LAST, LinkId, ProgramId, after, before
from bpfas.loader.attach.table import attach
from bpfas.loader.attach.tc import FilterLink, clsact_filters, remove_clsact
from bpfas.loader.attach.tcx import Direction, netkit_programs, tcx_programs
from bpfas.loader.errors import AttachError
from tests.loader.conftest import open_descriptors
from tests.loader.kernel_support import Need, needs, require
from tests.loader.network import create_netkit, create_veth, delete_link, eventually, send_frames

if TYPE_CHECKING:
    from collections.abc import Callable

    from bpfas.loader import Collection
    from bpfas.loader.runtime.programs import Program
    from tests.loader.network import Namespace

pytestmark = [pytest.mark.kernel, pytest.mark.peer, pytest.mark.usefixtures("no_leaks", "network")]

COUNTERS = """\
int hits[4];
int next[4];
static __attribute__((always_inline)) int count(struct __sk_buff *skb, int which)
{
    if (skb->protocol == 0xb588) {
        hits[which]++;
        next[which & 3] = hits[0] + hits[1] + hits[2] + hits[3];
    }
    return -1;
}
SEC("tc/ingress") int one(struct __sk_buff *skb) { return count(skb, 0); }
SEC("tc/ingress") int two(struct __sk_buff *skb) { return count(skb, 1); }
SEC("tc") int three(struct __sk_buff *skb) { return count(skb, 2); }
SEC("tcx/egress") int out(struct __sk_buff *skb) { return count(skb, 3); }
"""


def hits(app: Collection) -> list[int]:
    return list(struct.unpack("=8i", app.maps[".bss"][bytes(4)]))[:4]


def turns(app: Collection) -> list[int]:
    """When each program had its turn, if only one packet came by: 1 for the first."""
    return list(struct.unpack("=8i", app.maps[".bss"][bytes(4)]))[4:]


def order_of(interface: str, direction: Direction = Direction.INGRESS) -> list[int]:
    return [each.program_id for each in tcx_programs(interface, direction).programs]


def ids(*programs: Program) -> list[int]:
    return [each.info().id for each in programs]


@pytest.fixture
def pair(network: Namespace) -> None:  # noqa: ARG001
    create_veth("left", "right")


@pytest.fixture
def tcx(pair: None) -> None:  # noqa: ARG001
    """A pair of interfaces, on a kernel with tcx."""
    require(Need.TCX)


@pytest.mark.usefixtures("pair")
@pytest.mark.parametrize("way", ["tc", "tcx", "tcx-attach", "clsact"])
def test_programs_see_packets_of_their_direction(compile_c: Callable[..., str], way: str) -> None:
    with load(compile_c(COUNTERS)) as app:
        try:
            links = [
                attach(app.programs["one"], way=way, interface="right"),
                attach(app.programs["out"], way=way, interface="left"),
            ]
        except AttachError as error:
            if "this kernel has no tcx" in error.cause:
                pytest.skip(error.cause)
            raise
        send_frames("left", 3)
        eventually(lambda: hits(app), [3, 0, 0, 3])
        for link in links:
            link.close()
        with attach(app.programs["three"], way=way, interface="right", direction="egress"):
            send_frames("left", 3)
            eventually(lambda: hits(app), [3, 0, 0, 3])
            send_frames("right", 1)
            eventually(lambda: hits(app), [3, 0, 1, 3])


@pytest.mark.usefixtures("pair")
def test_a_section_without_a_direction(compile_c: Callable[..., str]) -> None:
    with load(compile_c(COUNTERS)) as app:
        for way in ("tc", "clsact"):
            with pytest.raises(AttachError, match="section 'tc' does not say which packets") as caught:
                attach(app.programs["three"], way=way, interface="right")
            assert "direction='ingress'" in caught.value.remedy
        with pytest.raises(ValueError, match="direction is 'in', not one of ingress, egress"):
            attach(app.programs["three"], interface="right", direction="in")
        with pytest.raises(AttachError, match="did you mean right"):
            attach(app.programs["one"], interface="righ")


@pytest.mark.usefixtures("tcx")
def test_the_order_of_programs(compile_c: Callable[..., str]) -> None:
    with load(compile_c(COUNTERS)) as app:
        one, two, three = (app.programs[name] for name in ("one", "two", "three"))
        with (
            attach(one, interface="right") as first,
            attach(two, interface="right", order=FIRST) as second,
        ):
            assert order_of("right") == ids(two, one)
            by_id, by_link = ProgramId(one.info().id), LinkId(first.id)
            for place in (before(one), before(first), before(by_id), before(by_link)):
                with attach(three, interface="right", direction="ingress", order=place):
                    assert order_of("right") == ids(two, three, one)
            in_words = f"after:{one.info().id}", f"after:link:{first.id}"
            for behind in (after(one), after(first), after(by_id), after(by_link), *in_words):
                with attach(three, interface="right", direction="ingress", order=behind):
                    assert order_of("right") == ids(two, one, three)
            with attach(three, interface="right", direction="ingress", order=LAST):
                assert order_of("right") == ids(two, one, three)
                send_frames("left", 1)
                eventually(lambda: turns(app), [2, 1, 3, 0])
            with pytest.raises(ValueError, match="order is 'next', not one of first, last, before:PROGRAM_ID"):
                attach(three, interface="right", direction="ingress", order="next")
            with attach(three, interface="right", direction="ingress", order="first"):
                assert order_of("right") == ids(three, two, one)
            links = [each.link_id for each in tcx_programs("right", "ingress").programs]
            assert links == [second.id, first.id]


@pytest.mark.usefixtures("tcx")
def test_the_revision_of_an_order(compile_c: Callable[..., str]) -> None:
    with load(compile_c(COUNTERS)) as app:
        one, two = app.programs["one"], app.programs["two"]
        seen = tcx_programs("right", Direction.INGRESS).revision
        with attach(one, interface="right", expected_revision=seen):
            now = tcx_programs("right", Direction.INGRESS).revision
            for way in ("tcx", "tcx-attach"):
                with pytest.raises(AttachError, match="the programs there have changed since") as caught:
                    attach(two, way=way, interface="right", expected_revision=seen)
                assert caught.value.errno_name == "ESTALE"
            with attach(two, interface="right", order=FIRST, expected_revision=now):
                assert order_of("right") == ids(two, one)


@pytest.mark.usefixtures("tcx")
def test_neighbours_and_programs_that_are_wrong(compile_c: Callable[..., str]) -> None:
    with load(compile_c(COUNTERS)) as app:
        one, two = app.programs["one"], app.programs["two"]
        with pytest.raises(AttachError, match="to go next to, or take the place of, is not attached"):
            attach(one, interface="right", order=before(two))
        with attach(one, way="tcx", interface="right"):
            with pytest.raises(AttachError, match="this program is attached there already"):
                attach(one, way="tcx", interface="right")
            with pytest.raises(AttachError, match="held by a link") as caught:
                attach(two, way="tcx-attach", interface="right", replaces=one)
            assert "link.update" in caught.value.remedy
        two.close()
        with pytest.raises(ValueError, match="is closed, and names no place in an order"):
            before(two)


@pytest.mark.usefixtures("tcx")
def test_replacing_without_links(compile_c: Callable[..., str]) -> None:
    with load(compile_c(COUNTERS)) as app:
        one, two, three = (app.programs[name] for name in ("one", "two", "three"))
        first = attach(one, way="tcx-attach", interface="right")
        with attach(two, way="tcx-attach", interface="right", replaces=one) as second:
            assert order_of("right") == ids(two)
            second.update(three)
            assert order_of("right") == ids(three)
            with pytest.raises(TypeError, match="name its program"):
                before(second)
            first.close()  # its program is gone already
            assert order_of("right") == ids(three)
        assert order_of("right") == []
        attach(one, way="tcx-attach", interface="right").close(detach=False)
        assert order_of("right") == ids(one)


@pytest.mark.usefixtures("tcx")
@pytest.mark.parametrize("way", ["tc", "tcx-attach", "clsact", "xdp", "xdp-netlink"])
def test_no_descriptors_are_left(compile_c: Callable[..., str], way: str) -> None:
    """Descriptors run out at each place of the way, one after the other."""
    source = COUNTERS + 'SEC("xdp") int pass(void *ctx) { return 2; }'
    with load(compile_c(source)) as app:
        program = app.programs["pass" if way.startswith("xdp") else "one"]
        before = len(open_descriptors())
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        free = next(fd for fd in range(1 << 20) if not os.path.exists(f"/proc/self/fd/{fd}"))
        attach(program, way=way, interface="right").close()
        failures: list[tuple[str, str]] = []
        for limit in range(free, free + 100):
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limits[1]))
            try:
                attach(program, way=way, interface="right").close()
                break
            except AttachError as error:
                failures.append((error.errno_name, error.remedy))
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            assert len(open_descriptors()) == before
        assert set(failures) == {("EMFILE", "raise ulimit -n")}


@pytest.mark.usefixtures("tcx")
def test_links_are_updated(compile_c: Callable[..., str]) -> None:
    with load(compile_c(COUNTERS)) as app, attach(app.programs["one"], interface="right") as link:
        assert isinstance(link, KernelLink)
        link.update(app.programs["three"], replaced=app.programs["one"])
        send_frames("left", 1)
        eventually(lambda: hits(app), [0, 0, 1, 0])
        link.detach()
        assert order_of("right") == []


@pytest.mark.usefixtures("pair")
def test_filters_by_priority_and_handle(compile_c: Callable[..., str]) -> None:
    with load(compile_c(COUNTERS)) as app:
        one, two, three = (app.programs[name] for name in ("one", "two", "three"))
        with attach(one, way="clsact", interface="right") as link:
            assert isinstance(link, FilterLink)
            assert link.place.priority > 0
            assert link.place.handle > 0
            with attach(two, interface="right", priority=7, handle=9) as second:
                assert isinstance(second, FilterLink)
                assert (second.place.priority, second.place.handle) == (7, 9)
                found = clsact_filters("right", Direction.INGRESS)
                assert [(each.name, each.program_id, each.place) for each in found] == [
                    ("two", two.info().id, second.place),
                    ("one", one.info().id, link.place),
                ]
                with pytest.raises(AttachError, match="there is a filter with this priority and handle"):
                    attach(three, interface="right", direction="ingress", priority=7, handle=9)
                send_frames("left", 1)
                eventually(lambda: turns(app)[:2], [2, 1])
                second.update(three)
                send_frames("left", 1)
                eventually(lambda: hits(app), [2, 1, 1, 0])
            with (
                attach(three, interface="right", direction="ingress", priority=3, handle=4, replace=True),
                attach(two, interface="right", priority=3, handle=4, replace=True),
            ):
                assert [each.name for each in clsact_filters("right", Direction.INGRESS)] == ["two", "one"]
        assert clsact_filters("right", Direction.INGRESS) == []


@pytest.mark.usefixtures("pair")
def test_places_that_cannot_be(compile_c: Callable[..., str]) -> None:
    with load(compile_c(COUNTERS)) as app:
        one = app.programs["one"]
        with pytest.raises(AttachError, match="priority is 65536, not in the range 0 to 65535"):
            attach(one, interface="right", priority=65536)
        with pytest.raises(AttachError, match="by its priority and its handle") as caught:
            attach(one, interface="right", priority=1, replace=True)
        assert caught.value.remedy == "give both"
        with pytest.raises(AttachError, match=r"tc parent 1:0 of right.*the kernel says: "):
            attach(one, interface="right", parent=0x10000)


@pytest.mark.usefixtures("pair")
def test_the_older_qdisc_has_no_egress(compile_c: Callable[..., str]) -> None:
    header = struct.pack("=BxxxiIII", 0, socket.if_nametoindex("right"), 0xFFFF0000, 0xFFFFFFF1, 0)
    with Netlink() as netlink:
        netlink.request(MessageType.NEW_QDISC, header + text(1, "ingress"), Flag.CREATE | Flag.EXCLUSIVE)
    with load(compile_c(COUNTERS)) as app:
        with attach(app.programs["one"], way="clsact", interface="right"):
            send_frames("left", 1)
            eventually(lambda: hits(app), [1, 0, 0, 0])
        with pytest.raises(AttachError, match="right has the qdisc 'ingress'") as caught:
            attach(app.programs["out"], way="clsact", interface="right")
        assert "tc qdisc del dev right ingress" in caught.value.remedy


@pytest.mark.usefixtures("pair")
def test_the_qdisc_goes_and_its_filters(compile_c: Callable[..., str]) -> None:
    with load(compile_c(COUNTERS)) as app:
        with attach(app.programs["one"], way="clsact", interface="right"):
            remove_clsact("right")
            with pytest.raises(AttachError) as caught:
                remove_clsact("right")
            assert "clsact of right" in str(caught.value)
        with attach(app.programs["one"], way="clsact", interface="right"):
            delete_link("left")


@pytest.mark.usefixtures("tcx")
def test_an_attachment_is_undone_from_another_namespace(
    compile_c: Callable[..., str], network: Namespace, namespaces: Callable[[], Namespace]
) -> None:
    other = namespaces()
    with load(compile_c(COUNTERS)) as app:
        links = [attach(app.programs["one"], way=way, interface="right") for way in ("clsact", "tcx-attach")]
        with other:
            for link in links:
                link.close()
        assert order_of("right") == []
        with network, Netlink() as netlink:
            assert filters(netlink, socket.if_nametoindex("right"), INGRESS_PARENT) == []


@needs(Need.NETKIT)
def test_netkit_devices(compile_c: Callable[..., str], namespaces: Callable[[], Namespace]) -> None:
    container = namespaces()
    create_netkit("host", "inside", container)
    source = COUNTERS.replace('SEC("tc/ingress") int one', 'SEC("netkit/primary") int one').replace(
        'SEC("tc/ingress") int two', 'SEC("netkit/peer") int two'
    )
    with load(compile_c(source)) as app:
        one, two, three = (app.programs[name] for name in ("one", "two", "three"))
        with attach(one, interface="host") as primary, attach(two, interface="host"):
            send_frames("host", 2)
            with container:
                send_frames("inside", 3)
            eventually(lambda: hits(app), [2, 3, 0, 0])
            with attach(three, interface="host", end="primary", order=before(primary)):
                assert [each.program_id for each in netkit_programs("host", "primary").programs] == ids(three, one)
            with attach(three, way="netkit-attach", interface="host", end="peer"):
                assert [each.program_id for each in netkit_programs("host", "peer").programs] == ids(two, three)
        with container, pytest.raises(AttachError, match="inside is not the primary device"):
            attach(one, interface="inside")
        with pytest.raises(AttachError, match="lo is not the primary device of a netkit pair"):
            attach(one, interface="lo")


@pytest.mark.usefixtures("pair")
def test_netkit_programs_elsewhere(compile_c: Callable[..., str]) -> None:
    source = COUNTERS.replace('SEC("tc/ingress") int one', 'SEC("netkit/primary") int one')
    with load(compile_c(source)) as app, pytest.raises(AttachError, match="netkit"):
        attach(app.programs["one"], interface="left")
