"""Ring buffers, perf buffers and user ring buffers between programs and this process."""

from __future__ import annotations

import asyncio
import contextlib
import mmap
import os
import select
import signal
import struct
import sys
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from bpfas.btf.codecs import EncodingError
from bpfas.loader import load
from bpfas.loader.runtime.events import EventReader
from bpfas.loader.runtime.maps import Map
from bpfas.loader.runtime.memory import PAGE_SIZE
from bpfas.loader.runtime.ring import BUSY, DISCARDED, Ring

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bpfas.loader import Collection
    from bpfas.loader.runtime.programs import Program
    from bpfas.loader.runtime.variables import Variables

kernel = [pytest.mark.kernel, pytest.mark.peer, pytest.mark.usefixtures("no_leaks")]

PACKET = bytes(64)

SENDER = r"""
struct event { __u64 number; __u32 length; char name[12]; };
struct event *type_of_events;
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 4096); } events SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 65536); } others SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY); __uint(key_size, 4); __uint(value_size, 4);
         __uint(max_entries, 256); } samples SEC(".maps");
__u64 next, full, discarded;

SEC("xdp") int one(void *ctx)
{
    struct event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
    if (!event)
        return 1;
    event->number = next++;
    event->length = 5;
    __builtin_memcpy(event->name, "hello\0world", 12);
    bpf_ringbuf_submit(event, 0);
    return 0;
}

SEC("xdp") int other(void *ctx)
{
    __u64 number = next++;
    return bpf_ringbuf_output(&others, &number, sizeof(number), 0);
}

/* Records of many sizes, every seventh given up; a number is used again if there is no room for it. */
SEC("xdp") int flood(void *ctx)
{
    static char record[64];
    __u64 number = next;
    if (number % 7 == 3) {
        void *dropped = bpf_ringbuf_reserve(&events, 40, 0);
        if (dropped) {
            bpf_ringbuf_discard(dropped, 0);
            discarded++;
        }
    }
    *(__u64 *)record = number;
    __u64 size = 8 + (number & 31);
    if (bpf_ringbuf_output(&events, record, size, 0))
        full++;
    else
        next++;
    return 0;
}

SEC("xdp") int sample(void *ctx)
{
    struct event event = { next++, 5, "sample" };
    return bpf_perf_event_output(ctx, &samples, BPF_F_CURRENT_CPU, &event, sizeof(event)) ? 1 : 0;
}
"""

DRAIN = r"""
struct { __uint(type, BPF_MAP_TYPE_USER_RINGBUF); __uint(max_entries, 4096); } orders SEC(".maps");
__u64 taken, sum;

static long order(struct bpf_dynptr *dynptr, void *context)
{
    __u64 number;
    if (bpf_dynptr_read(&number, sizeof(number), dynptr, 0, 0))
        return 0;
    taken++;
    sum += number;
    return 0;
}

SEC("syscall") int drain(void *ctx)
{
    return bpf_user_ringbuf_drain(&orders, order, 0, 0);
}
"""


@pytest.fixture
def orders(compile_c: Callable[..., str]) -> Iterator[Orders]:
    """A map whose records a program takes out, the program, and its variables."""
    with load(compile_c(DRAIN, "-g")) as loaded:
        yield Orders(loaded.maps["orders"], loaded.programs["drain"], loaded.data)


class Orders(NamedTuple):
    map: Map
    program: Program
    variables: Variables


@pytest.fixture
def app(compile_c: Callable[..., str]) -> Iterator[Collection]:
    with load(compile_c(SENDER, "-g")) as loaded:
        yield loaded


class TestRingBuffer:
    pytestmark = kernel

    def test_events_as_they_come(self, app: Collection) -> None:
        app.programs["one"].test_run(PACKET, repeat=3)
        seen = []
        for event in app.maps["events"]:
            seen.append(struct.unpack_from("=Q", event)[0])
            if len(seen) == 2:
                break
        app.programs["one"].test_run(PACKET)
        for event in app.maps["events"]:
            seen.append(struct.unpack_from("=Q", event)[0])
            if len(seen) == 4:
                break
        assert seen == [0, 1, 2, 3]

    def test_typed_events(self, app: Collection) -> None:
        with app.maps["events"].events("struct event") as reader:
            app.programs["one"].test_run(PACKET)
            assert reader.read(5.0) == [{"number": 0, "length": 5, "name": "hello"}]
            assert reader.read() == []
        with app.maps["events"].events("=QI12s") as reader:
            app.programs["one"].test_run(PACKET)
            assert reader.read(5.0) == [(1, 5, b"hello\0world\0")]

    def test_events_made_by_a_function(self, app: Collection) -> None:
        with app.maps["events"].events(len) as reader:
            app.programs["one"].test_run(PACKET)
            assert reader.read(5.0) == [24]

    def test_callbacks_for_several_buffers_in_one_wait(self, app: Collection) -> None:
        got: list[tuple[str, int]] = []
        with EventReader() as reader:
            reader.add(app.maps["events"], lambda event: got.append(("event", event.number)), value="struct event")
            reader.add(app.maps["others"], lambda number: got.append(("other", number)), value="=Q")
            assert reader.poll(0.0) == 0
            for name in ("one", "other", "one"):
                app.programs[name].test_run(PACKET)
            assert reader.poll(5.0) == 3
        assert sorted(got) == [("event", 0), ("event", 2), ("other", 1)]

    def test_a_callback_that_fails_loses_only_its_own_event(self, app: Collection) -> None:
        got: list[int] = []

        def callback(number: int) -> None:
            if number == 1:
                raise RuntimeError("not this one")
            got.append(number)

        with EventReader() as reader:
            reader.add(app.maps["others"], callback, value="=Q")
            app.programs["other"].test_run(PACKET, repeat=4)
            with pytest.raises(RuntimeError, match="not this one"):
                reader.poll(5.0)
            assert reader.poll(0.0) == 2
        assert got == [0, 2, 3]

    def test_an_event_that_cannot_be_made_loses_none_of_the_others(self, app: Collection) -> None:
        def made(record: bytes) -> int:
            number = int.from_bytes(record, sys.byteorder)
            if number == 2:
                raise RuntimeError("not this one")
            return number

        with app.maps["others"].events(made) as reader:
            app.programs["other"].test_run(PACKET, repeat=5)
            with pytest.raises(RuntimeError, match="not this one"):
                reader.read(5.0)
            assert reader.read() == [0, 1, 3, 4]
            app.programs["other"].test_run(PACKET)
            for number in reader:
                assert number == 5
                break
            assert reader.read(0.01) == []

    def test_asyncio(self, app: Collection) -> None:
        async def collect() -> list[int]:
            numbers = []
            with app.maps["others"].events("=Q") as reader:
                loop = asyncio.get_running_loop()
                loop.call_later(0.05, app.programs["other"].test_run, PACKET, 2)
                async for number in reader:
                    numbers.append(number)
                    if len(numbers) == 2:
                        return numbers
            return numbers

        assert asyncio.run(collect()) == [0, 1]

    def test_other_event_loops_wait_for_its_descriptor(self, app: Collection) -> None:
        with app.maps["others"].events() as reader:
            assert select.select([reader], [], [], 0.0)[0] == []
            app.programs["other"].test_run(PACKET)
            assert select.select([reader], [], [], 5.0)[0] == [reader]

    def test_waiting_ends_after_a_time(self, app: Collection) -> None:
        with app.maps["events"].events() as reader:
            assert reader.read(0.01) == []
            assert reader.poll(0.01) == 0

    def test_nothing_is_lost_and_nothing_comes_twice_under_load(self, app: Collection) -> None:
        variables = app.data
        done = threading.Event()

        def flood() -> None:
            while variables["next"] < 10000:
                app.programs["flood"].test_run(PACKET, repeat=5000)
            done.set()

        expected = 0
        thread = threading.Thread(target=flood)
        with app.maps["events"].events() as reader:
            thread.start()
            while True:
                last_round = done.is_set()
                for record in reader.read(0.05):
                    number = struct.unpack_from("=Q", record)[0]
                    assert number == expected
                    assert len(record) == 8 + (number & 31)
                    expected += 1
                if last_round and not reader.read(0.0):
                    break
        thread.join()
        assert expected == variables["next"] >= 10000
        assert variables["discarded"] > 100

    def test_all_that_is_there_is_read_at_once(self, app: Collection) -> None:
        with app.maps["others"].events("=Q") as reader:
            app.programs["other"].test_run(PACKET, repeat=4095)
            assert reader.read() == list(range(4095))  # 4,095 * 16 bytes are all of the ring but one place
            assert reader.read() == []

    def test_closing_ends_a_loop_in_another_thread(self, app: Collection) -> None:
        reader = app.maps["others"].events("=Q")
        app.programs["other"].test_run(PACKET, repeat=2)
        numbers: list[int] = []
        seen = threading.Event()

        def collect() -> None:
            for number in reader:
                numbers.append(number)
                seen.set()

        thread = threading.Thread(target=collect, daemon=True)
        thread.start()
        assert seen.wait(10.0)
        reader.close()
        thread.join(10.0)
        assert not thread.is_alive()
        assert reader.is_closed
        with pytest.raises(ValueError, match="the event reader is closed"):
            reader.read()

    def test_closing_in_a_signal_handler_ends_waiting(self, app: Collection) -> None:
        reader = app.maps["others"].events("=Q")
        before = signal.signal(signal.SIGALRM, lambda *_: reader.close())
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            assert list(reader) == []
        finally:
            signal.signal(signal.SIGALRM, before)

    def test_closing_inside_of_a_loop_ends_it(self, app: Collection) -> None:
        app.programs["other"].test_run(PACKET, repeat=3)
        reader = app.maps["others"].events("=Q")
        numbers = []
        for number in reader:
            numbers.append(number)
            reader.close()
        assert numbers == [0]

    def test_closing_ends_an_asynchronous_loop(self, app: Collection) -> None:
        async def collect() -> list[int]:
            reader = app.maps["others"].events("=Q")
            asyncio.get_running_loop().call_later(0.05, reader.close)
            return [number async for number in reader]

        assert asyncio.run(asyncio.wait_for(collect(), 10.0)) == []

    def test_a_callback_that_polls_itself_loses_nothing(self, app: Collection) -> None:
        got: list[str] = []
        with EventReader() as reader:

            def nested(number: int) -> None:
                got.append(f"others {number}")
                with contextlib.suppress(RuntimeError):
                    reader.poll(0.0)

            def fails_at_first(event: Any) -> None:
                got.append(f"events {event.number}")
                if event.number == 2:
                    raise RuntimeError

            reader.add(app.maps["others"], nested, value="=Q")
            reader.add(app.maps["events"], fails_at_first, value="struct event")
            for name in ("other", "other", "one", "one", "one"):
                app.programs[name].test_run(PACKET)
            reader.poll(5.0)
            reader.poll(0.0)
        assert sorted(got) == ["events 2", "events 3", "events 4", "others 0", "others 1"]

    def test_a_reader_keeps_its_map_open(self, app: Collection) -> None:
        with Map.from_id(app.maps["others"].id).events("=Q") as reader:
            app.programs["other"].test_run(PACKET)
            assert reader.read(5.0) == [0]
        with Map.from_id(app.maps["samples"].id).events() as reader:
            app.programs["sample"].test_run(PACKET)
            assert len(reader.read(5.0)) == 1

    def test_a_reader_that_is_dropped_leaves_nothing_open(self, app: Collection) -> None:
        app.programs["other"].test_run(PACKET)
        assert app.maps["others"].events("=Q").read() == [0]
        assert app.maps["samples"].events().read() == []

    def test_a_map_of_another_type_has_no_events(self, app: Collection) -> None:
        with pytest.raises(TypeError, match=r"map \.data has no events|map \.bss has no events"):
            app.maps[".bss"].events()
        with pytest.raises(TypeError, match="map events is no user ring buffer: it is of type ringbuf"):
            app.maps["events"].submit(b"")

    def test_a_record_that_is_too_short_for_its_type(self, app: Collection) -> None:
        with app.maps["others"].events("struct event") as reader:
            app.programs["other"].test_run(PACKET)
            with pytest.raises(EncodingError, match="'struct event' has 24 bytes, but there are 8"):
                reader.read(5.0)


@contextlib.contextmanager
def on_one_cpu() -> Iterator[int]:
    """Keep this thread on one CPU, whose number is given."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield min(before)
    finally:
        os.sched_setaffinity(0, before)


class TestPerfBuffer:
    pytestmark = kernel

    def test_samples_with_and_without_their_cpu(self, app: Collection) -> None:
        with on_one_cpu() as cpu, EventReader() as reader:
            reader.add(app.maps["samples"], value="struct event", with_cpu=True)
            app.programs["sample"].test_run(PACKET, repeat=2)
            samples = reader.read(5.0)
        assert samples == [
            (cpu, {"number": 0, "length": 5, "name": "sample"}),
            (cpu, {"number": 1, "length": 5, "name": "sample"}),
        ]
        app.programs["sample"].test_run(PACKET)
        with app.maps["samples"].events("struct event") as reader:
            app.programs["sample"].test_run(PACKET)
            assert [event.number for event in reader.read(5.0)] == [3]

    def test_records_across_the_end_and_lost_ones(self, app: Collection) -> None:
        # What is lost on a CPU is told by the next record there.
        with on_one_cpu(), EventReader() as reader:
            reader.add(app.maps["samples"], value="struct event", pages=1)
            numbers: list[int] = []
            for _ in range(20):
                app.programs["sample"].test_run(PACKET, repeat=40)
                numbers += [event.number for event in reader.read(5.0)]
            assert numbers == list(range(800))
            assert reader.lost == 0
            app.programs["sample"].test_run(PACKET, repeat=1000)
            kept = [event.number for event in reader.read(5.0)]
            app.programs["sample"].test_run(PACKET)
            kept += [event.number for event in reader.read(5.0)]
            assert reader.lost + len(kept) == 1001

    def test_a_number_of_pages_that_is_no_power_of_two(self, app: Collection) -> None:
        with EventReader() as reader, pytest.raises(ValueError, match="has 1, 2, 4, 8, … pages, not 3"):
            reader.add(app.maps["samples"], pages=3)


class TestUserRingBuffer:
    pytestmark = kernel

    def test_records_reach_the_program(self, orders: Orders) -> None:
        for number in range(1000):
            orders.map.submit(struct.pack("=Q", number))
            if number % 50 == 49:
                assert orders.program.test_run().retval == 50
        assert (orders.variables["taken"], orders.variables["sum"]) == (1000, sum(range(1000)))
        assert orders.map.user_ring.waiting == 0

    def test_a_record_written_in_place_or_given_up(self, orders: Orders) -> None:
        ring = orders.map.user_ring
        with ring.reserve(8) as record:
            record[:] = struct.pack("=Q", 41)
        with pytest.raises(RuntimeError), ring.reserve(8) as record:
            raise RuntimeError
        ring.submit(struct.pack("=Q", 1))
        orders.program.test_run()
        assert (orders.variables["taken"], orders.variables["sum"]) == (2, 42)

    def test_several_records_at_once(self, orders: Orders) -> None:
        ring = orders.map.user_ring
        with ring.reserve(8) as first:
            with ring.reserve(8) as second:
                second[:] = struct.pack("=Q", 2)
            orders.program.test_run()
            assert orders.variables["taken"] == 0  # the first one is not finished
            first[:] = struct.pack("=Q", 1)
        orders.program.test_run()
        assert (orders.variables["taken"], orders.variables["sum"]) == (2, 3)

    def test_a_record_that_somebody_keeps_a_view_of(self, orders: Orders) -> None:
        with orders.map.user_ring.reserve(8) as record:
            words = struct.iter_unpack("=Q", record)
            record[:] = struct.pack("=Q", 5)
        orders.program.test_run()
        assert orders.variables["sum"] == 5
        del words

    @pytest.mark.parametrize("record", [1.5, 5, "text", None, [1000]])
    def test_a_record_that_is_no_bytes(self, orders: Orders, record: object) -> None:
        with pytest.raises(EncodingError, match="map orders: a record is given in bytes"):
            orders.map.submit(record)

    def test_a_full_ring(self, orders: Orders) -> None:
        for _ in range(4096 // 16):
            orders.map.submit(bytes(8))
        with pytest.raises(BlockingIOError, match="map orders has no room for 16 bytes"):
            orders.map.submit(bytes(8))
        with pytest.raises(BlockingIOError):
            orders.map.submit(bytes(8), timeout=0.02)
        timer = threading.Timer(0.05, orders.program.test_run)
        timer.start()
        orders.map.submit(bytes(8), timeout=10.0)
        timer.join()
        with pytest.raises(ValueError, match="a record of 5000 bytes does not fit into a ring of 4096"):
            orders.map.submit(bytes(5000))


@pytest.fixture
def written_ring() -> Iterator[tuple[Ring, memoryview]]:
    """A ring in a file, and its contents from the page of the writer's counter on."""
    fd = os.memfd_create("ring")
    os.ftruncate(fd, PAGE_SIZE * 4)
    ring = Ring(fd, PAGE_SIZE)
    contents = mmap.mmap(fd, 4 * PAGE_SIZE)
    view = memoryview(contents)
    try:
        yield ring, view
    finally:
        ring.close()
        view.release()
        contents.close()
        os.close(fd)


def test_records_that_are_not_finished_or_given_up(written_ring: tuple[Ring, memoryview]) -> None:
    ring, view = written_ring
    records = view[2 * PAGE_SIZE :]
    struct.pack_into("=II5s", records, 0, 5, 0, b"first")
    struct.pack_into("=II", records, 16, 8 | DISCARDED, 0)
    struct.pack_into("=II8s", records, 32, 8 | BUSY, 0, b"not yet ")
    struct.pack_into("=II", records, 48, 0, 0)
    struct.pack_into("=Q", view, PAGE_SIZE, 56)
    assert ring.take(10) == [b"first"]
    assert ring.is_blocked
    assert ring.waiting == 24
    assert ring.take(10) == []
    struct.pack_into("=I", records, 32, 8)
    assert not ring.is_blocked
    assert ring.take(1) == [b"not yet "]
    assert ring.take(1) == [b""]
    assert (ring.take(1), ring.waiting, ring.is_blocked) == ([], 0, False)
    assert struct.unpack_from("=Q", view) == (56,)
    records.release()
