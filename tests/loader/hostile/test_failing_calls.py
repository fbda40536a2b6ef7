"""Every system call of loading, attaching, pinning and reading fails once: typed errors, and nothing left open."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import tempfile
from typing import TYPE_CHECKING, Any

import pytest

from bpfas.diag import BpfasError
from bpfas.loader import load, load_plan, open_image, resolve
from bpfas.loader.attach.link import KernelLink
from bpfas.loader.attach.table import attach
from bpfas.loader.errors import AttachError
from bpfas.loader.gen import generate, run
from bpfas.loader.runtime.maps import Map
from bpfas.loader.runtime.programs import Program
from tests.loader.attach_support import cgroup2_root, tracefs
from tests.loader.conftest import C_PRELUDE, open_descriptors
from tests.loader.hostile.corpus import small_objects
from tests.loader.hostile.failing import failing
from tests.loader.hostile.trial import QuickKernel, pin_root
from tests.loader.network import Namespace, create_veth
from tests.object_cache import compiled
from tests.peers import Peer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bpfas.loader import Collection, Image

__all__ = ["tracefs"]
pytestmark = [pytest.mark.kernel, pytest.mark.any_kernel, pytest.mark.peer]

ERRNOS = (errno.ENOMEM, errno.EPERM, errno.EINVAL, errno.EMFILE, errno.ENOENT)
MOST_CALLS = 400

PROGRAMS = """
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 4096); } events SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_USER_RINGBUF); __uint(max_entries, 4096); } commands SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY); __uint(key_size, 4); __uint(value_size, 4); }
    samples SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 8); __type(key, int); __type(value, long);
         __uint(pinning, 1); } hash SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY); __uint(max_entries, 2); __type(key, int); __type(value, long); }
    each_cpu SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_QUEUE); __uint(max_entries, 2); __type(value, long); } queue SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_SOCKMAP); __uint(max_entries, 2); __type(key, int); __type(value, int); }
    sockets SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_DEVMAP); __uint(max_entries, 2); __type(key, int);
         __type(value, struct bpf_devmap_val); } devices SEC(".maps");
int threshold = 5;
SEC("xdp") int on_xdp(struct xdp_md *ctx)
{
    long number = threshold;
    int key = 1;
    bpf_map_update_elem(&hash, &key, &number, 0);
    bpf_ringbuf_output(&events, &number, sizeof(number), 0);
    bpf_perf_event_output(ctx, &samples, BPF_F_CURRENT_CPU, &number, sizeof(number));
    return XDP_PASS;
}
SEC("xdp/devmap") int on_device(struct xdp_md *ctx) { return XDP_PASS; }
SEC("tc") int on_tc(struct __sk_buff *skb) { return -1; }
SEC("socket") int on_socket(struct __sk_buff *skb) { return 0; }
SEC("sk_reuseport") int on_reuseport(struct sk_reuseport_md *ctx) { return SK_PASS; }
SEC("sk_skb/stream_verdict") int on_stream(struct __sk_buff *skb) { return SK_PASS; }
SEC("flow_dissector") int on_flow(struct __sk_buff *skb) { return BPF_OK; }
SEC("sk_lookup") int on_lookup(struct bpf_sk_lookup *ctx) { return SK_PASS; }
SEC("lwt_in") int on_route(struct __sk_buff *skb) { return BPF_OK; }
SEC("cgroup_skb/ingress") int on_cgroup(struct __sk_buff *skb) { return 1; }
SEC("sockops") int on_operations(struct bpf_sock_ops *ctx) { return 1; }
SEC("raw_tp/sys_enter") int on_raw_tracepoint(void *ctx) { return 0; }
SEC("perf_event") int on_perf_event(void *ctx) { return 0; }
SEC("tp/sched/sched_switch") int on_tracepoint(void *ctx) { return 0; }
SEC("kprobe/do_unlinkat") int on_kprobe(void *ctx) { return 0; }
SEC("iter/task") int on_iterator(void *ctx) { return 0; }
"""


def run_with_failures(
    action: Callable[[Any], None],
    prepared: Callable[[], contextlib.AbstractContextManager[Any]] = contextlib.nullcontext,
) -> int:
    """Run `action` again and again, each time with another call that fails; how many calls there are.

    It is given what `prepared` yields, whose own calls do not fail.
    """
    with prepared() as given, contextlib.suppress(BpfasError):
        action(given)  # which finds out what stays known
    before = open_descriptors()
    for number in range(MOST_CALLS):
        code = ERRNOS[number % len(ERRNOS)]
        with prepared() as given:
            during = open_descriptors()
            with failing(number, code) as failure, contextlib.suppress(BpfasError):
                action(given)
            assert open_descriptors() == during, f"call {number}, {errno.errorcode[code]}"
        assert open_descriptors() == before, f"call {number}, {errno.errorcode[code]}"
        if not failure.has_happened:
            return number
    pytest.fail(f"more than {MOST_CALLS} calls")


@pytest.fixture(scope="module")
def app_object() -> bytes:
    options = ("--target=bpf", "-O2", "-g", "-I/usr/include/x86_64-linux-gnu", "-fno-ident")
    return compiled(Peer.CLANG, C_PRELUDE + PROGRAMS, *options, name="failing").read_bytes()


@pytest.fixture
def app(app_object: bytes) -> Iterator[Collection]:
    with pin_root() as root, load(app_object, pin_root=root) as loaded:
        yield loaded


@pytest.mark.parametrize("name", ["rich", "instances", "assembled"])
def test_loading(name: str) -> None:
    data = next(each.data for each in small_objects() if each.name == name)

    kernel = QuickKernel()

    def action(_: None) -> None:
        with kernel, load_plan(resolve(open_image(data), kernel), kernel):
            pass

    assert run_with_failures(action) >= 5


@pytest.mark.parametrize("name", ["rich", "instances", "assembled"])
def test_loading_by_loader_programs(name: str) -> None:
    program = generate(open_image(next(each.data for each in small_objects() if each.name == name)))

    def action(_: None) -> None:
        with run(program):
            pass

    assert run_with_failures(action) >= 4


def test_loading_with_pins(app_object: bytes) -> None:
    with pin_root() as root:

        def action(_: None) -> None:
            try:
                with load(app_object, pin_root=root) as first, load(app_object, pin_root=root) as second:
                    assert second.maps["hash"].max_entries == first.maps["hash"].max_entries
            finally:
                for each in root.iterdir():
                    each.unlink()

        assert run_with_failures(action) >= 50


def test_pins(app: Collection) -> None:
    with pin_root() as root:
        directory = root / "all"

        def action(_: None) -> None:
            try:
                app.pin(directory)
                Map.from_pin(directory / "hash").close()
                Program.from_pin(directory / "on_xdp").close()
                Map.from_id(app.maps["hash"].info().id).close()
                app.unpin(directory)
            finally:
                left = list(directory.iterdir()) if directory.exists() else []
                for each in left:
                    each.unlink()
                if directory.exists():
                    directory.rmdir()

        assert run_with_failures(action) >= 20


def test_pins_are_all_or_none(app: Collection) -> None:
    with pin_root() as root:
        for number in range(2, 20, 5):
            with failing(number, errno.ENOMEM), pytest.raises(BpfasError):
                app.pin(root)
            assert not list(root.iterdir())


def test_elements_and_variables(app: Collection) -> None:
    ids = {name: app.maps[name].info().id for name in ("hash", "each_cpu", "queue")}

    def action(_: None) -> None:
        with contextlib.ExitStack() as held:
            counts, cpus, queue = (held.enter_context(Map.from_id(each)) for each in ids.values())
            counts[1] = 2
            assert len(list(counts.items())) == 1
            counts.update_many({2: 3, 3: 4})
            assert len(list(counts)) == 3
            assert counts.delete_many([2, 3]) == 2
            del counts[1]
            assert len(list(cpus.items())) == 2
            queue.push(bytes(8))
            assert len(queue.pop()) == 8
            app.data["threshold"] = 5

    def tried(_: None) -> None:
        try:
            action(None)
        finally:
            app.maps["hash"].clear()  # whose calls do not fail: it was opened before
            with contextlib.suppress(IndexError):
                app.maps["queue"].pop()

    assert run_with_failures(tried) >= 20


def test_buffers(app: Collection) -> None:
    def action(_: None) -> None:
        with app.maps["events"].events() as events, app.maps["samples"].events() as samples:
            app.programs["on_xdp"].test_run(bytes(64))
            events.read()
            samples.read()
        with Map.from_id(app.maps["commands"].info().id) as commands:
            commands.submit(b"12345678")

    assert run_with_failures(action) >= 10


ATTACHMENTS: dict[str, dict[str, Any]] = {
    "on_xdp": {"interface": "near"},
    "on_xdp xdp-netlink": {"interface": "near"},
    "on_device": {"interface": "near", "map": "devices", "key": 1},
    "on_tc": {"interface": "near", "direction": "ingress"},
    "on_tc clsact": {"interface": "near", "direction": "egress"},
    "on_stream": {"map": "sockets"},
    "on_stream sockmap-attach": {"map": "sockets"},
    "on_flow": {},
    "on_lookup": {},
    "on_route": {"destination": "10.1.0.0/16", "interface": "near"},
    "on_cgroup": {"cgroup": ""},
    "on_cgroup cgroup-attach": {"cgroup": ""},
    "on_operations": {"cgroup": ""},
    "on_socket": {"socket": None},
    "on_reuseport": {"socket": None},
    "on_raw_tracepoint": {},
    "on_perf_event": {"event": "cpu-clock", "frequency": 10},
    "on_tracepoint": {},
    "on_kprobe": {},
    "on_iterator": {},
}
"""Programs, with the way by which they are attached where it is not the first, and the keywords."""


@contextlib.contextmanager
def attachable(data: bytes, what: str) -> Iterator[tuple[Program, dict[str, Any]]]:
    """A program, and to what it is attached; all of that goes afterwards, with what is still attached to it."""
    name, _, way = what.partition(" ")
    how = dict(ATTACHMENTS[what])
    with contextlib.ExitStack() as held:
        namespace = held.enter_context(contextlib.closing(Namespace()))
        held.enter_context(namespace)
        create_veth("near", "far")
        root = held.enter_context(pin_root())
        app = held.enter_context(load(data, pin_root=root, configure=lambda image: only(image, name)))
        if "map" in how:
            how["map"] = app.maps[how["map"]]
        if "cgroup" in how:
            how["cgroup"] = tempfile.mkdtemp(prefix="failing-", dir=cgroup2_root())
            held.callback(os.rmdir, how["cgroup"])
        if "socket" in how:
            bound = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            bound.bind(("127.0.0.1", 0))
            how["socket"] = bound
        yield app.programs[name], how | ({"way": way} if way else {})


def only(image: Image, wanted: str) -> None:
    for name in image.programs:
        image.set_program(name, autoload=name == wanted)


@pytest.mark.parametrize("what", ATTACHMENTS)
@pytest.mark.usefixtures("tracefs")
def test_attaching(app_object: bytes, what: str) -> None:
    with attachable(app_object, what) as (program, how):
        try:
            attach(program, **how).close()
        except AttachError as error:
            pytest.skip(f"this kernel does not attach it: {error}")

    def action(prepared: tuple[Program, dict[str, Any]]) -> None:
        program, how = prepared
        with attach(program, **how) as link:
            link.info()
            link.update(program)

    assert run_with_failures(action, lambda: attachable(app_object, what)) >= 1


def test_pinned_links(app_object: bytes) -> None:
    with pin_root() as root:

        def action(prepared: tuple[Program, dict[str, Any]]) -> None:
            program, how = prepared
            try:
                with attach(program, **how) as link:
                    link.pin(root / "link")
                    with KernelLink.open_pinned(root / "link") as opened:
                        opened.detach()
            finally:
                (root / "link").unlink(missing_ok=True)

        assert run_with_failures(action, lambda: attachable(app_object, "on_xdp")) >= 5
