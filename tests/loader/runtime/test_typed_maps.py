"""Maps in the running kernel with keys and values as Python has them, and all that is done to many elements."""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from bpfas.btf.codecs import EncodingError
from bpfas.loader import KernelError, syscall
from bpfas.loader.kinds import MapFlag, MapType, UpdateFlag
from bpfas.loader.runtime.cpus import parse_cpu_list, possible_cpu_count
from bpfas.loader.runtime.maps import Map
from bpfas.loader.spec import MapSpec
from tests.btf.builders import Types

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from bpfas.btf.btf import Btf


pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("no_leaks")]

SO_COOKIE = 57


@pytest.fixture
def make_map() -> Iterator[Callable[..., Map]]:
    """A function that creates a map by its type, sizes and entries, and types of keys and values."""
    with ExitStack() as stack:

        def make(
            map_type: MapType,
            key_size: int = 4,
            value_size: int = 8,
            max_entries: int = 1024,
            flags: int = 0,
            *,
            types: Btf | None = None,
            key_type: int = 0,
            value_type: int = 0,
            inner_map_fd: int = 0,
        ) -> Map:
            spec = MapSpec(
                "m",
                "m",
                map_type,
                key_size,
                value_size,
                max_entries,
                flags,
                key_type=key_type,
                value_type=value_type,
            )
            fd = syscall.map_create(
                "m", map_type, key_size, value_size, max_entries, flags, inner_map_fd=inner_map_fd
            )
            return stack.enter_context(Map(spec, fd, types))

        yield make


def counter_types() -> tuple[Btf, int, int]:
    """Types with a key `int` and a value `struct stats { u64 packets; u32 errors; }`."""
    types = Types()
    key = types.integer("int", 4)
    u64, u32 = types.integer("u64", 8, 0), types.integer("u32", 4, 0)
    stats = types.struct("stats", 16, [("packets", u64, 0), ("errors", u32, 64)])
    return types.read(), key, stats


def test_keys_and_values_are_of_the_objects_types(make_map: Callable[..., Map]) -> None:
    types, key, value = counter_types()
    stats = make_map(MapType.HASH, 4, 16, types=types, key_type=key, value_type=value)
    stats[-1] = {"packets": 5}
    assert stats[-1].packets == 5
    assert -1 in stats
    assert 7 not in stats
    stats[-1] = stats[-1]._replace(errors=2)
    assert dict(stats) == {-1: {"packets": 5, "errors": 2}}
    assert stats.raw[struct.pack("=i", -1)] == struct.pack("=QI4x", 5, 2)
    assert stats[struct.pack("=i", -1)].errors == 2
    with pytest.raises(KeyError):
        stats[3]
    with pytest.raises(EncodingError, match="map m: the value: packets: -1 does not fit into 'u64'"):
        stats[3] = {"packets": -1}
    with pytest.raises(EncodingError, match="map m: the key: 'x' is no integer"):
        stats["x"]


def test_counting_up(make_map: Callable[..., Map]) -> None:
    types, key, _ = counter_types()
    counts = make_map(MapType.ARRAY, 4, 4, 8, types=types, key_type=key, value_type=key)
    counts[3] += 1
    counts[3] += 1
    assert counts[3] == 2
    assert len(counts) == 8
    assert list(counts.values()) == [0, 0, 0, 2, 0, 0, 0, 0]


def test_integers_are_taken_where_there_are_no_types(make_map: Callable[..., Map]) -> None:
    table = make_map(MapType.HASH)
    table[7] = -1
    assert table[7] == b"\xff" * 8
    assert list(table) == [struct.pack("=I", 7)]
    with pytest.raises(EncodingError, match="does not fit into 4 bytes"):
        table[1 << 32]
    with pytest.raises(EncodingError, match=r"neither bytes nor an integer.*Map\.typed"):
        table["7"]


class Pair(ctypes.Structure):
    _fields_ = [("first", ctypes.c_uint32), ("second", ctypes.c_uint32)]


def test_types_that_the_caller_gives(make_map: Callable[..., Map]) -> None:
    table = make_map(MapType.HASH)
    numbers = table.typed(key=int, value=int)
    numbers[1] = 1 << 32 | 5
    pairs = table.typed(key=ctypes.c_uint32, value=Pair)
    assert (pairs[1].first, pairs[1].second) == (5, 1)
    pairs[1] = Pair(7, 8)
    assert table.typed(key="=I", value="=II")[1] == (7, 8)
    assert table.typed(key=struct.Struct("=HH"), value="=Q")[1, 0] == 8 << 32 | 7
    assert table.typed(key=bytes, value="8s")[struct.pack("=I", 1)] == struct.pack("=II", 7, 8)
    assert dict(numbers) == {1: 8 << 32 | 7}
    with pytest.raises(EncodingError, match="'=I' has 4 bytes, where the map has 8"):
        table.typed(value="=I")
    with pytest.raises(EncodingError, match="the value: '=II' has 8 bytes, not 2"):
        table.typed(value="=II")[1] = b"\1\2"
    with pytest.raises(EncodingError, match="'event' is no format of struct, and this map's object has no types"):
        table.typed(value="event")


def test_types_of_the_object_by_their_names(make_map: Callable[..., Map]) -> None:
    types, _, _ = counter_types()
    table = make_map(MapType.HASH, 4, 16, types=types)
    stats = table.typed(key="int", value="struct stats")
    stats[-5] = {"errors": 9}
    assert stats[-5].errors == 9


def test_per_cpu_values_are_lists(make_map: Callable[..., Map]) -> None:
    types, key, _ = counter_types()
    count = possible_cpu_count()
    counts = make_map(MapType.PERCPU_HASH, 4, 4, 8, types=types, key_type=key, value_type=key)
    counts[1] = list(range(count))
    assert counts[1] == list(range(count))
    assert dict(counts.items()) == {1: list(range(count))}
    assert counts.typed(value="=i")[1] == list(range(count))
    assert counts.pop(1) == list(range(count))
    assert 1 not in counts


def test_the_value_of_one_cpu(make_map: Callable[..., Map]) -> None:
    count = possible_cpu_count()
    counts = make_map(MapType.PERCPU_ARRAY, 4, 4, 8).typed(value="=i")
    counts[1] = list(range(count))
    assert [counts.lookup_cpu(1, cpu) for cpu in range(count)] == list(range(count))
    assert counts.lookup_cpu(9, 0) is None
    counts.update_cpu(1, 77)
    assert counts[1] == [77] * count
    cause, last = "", 5
    try:
        counts.update_cpu(1, 5, cpu=count - 1)
    except KernelError as error:
        cause, last = error.cause, 77
    assert cause in ("", "this kernel does not set the value of one CPU alone")
    assert counts[1] == [*[77] * (count - 1), last]
    with pytest.raises(ValueError, match=f"there is no CPU {count}"):
        counts.lookup_cpu(1, count)
    with pytest.raises(TypeError, match="map m has one value for all CPUs"):
        make_map(MapType.HASH).lookup_cpu(1, 0)


def test_cpu_lists() -> None:
    assert parse_cpu_list("0-2,5,7-8\n") == [0, 1, 2, 5, 7, 8]


def test_the_dictionarys_methods(make_map: Callable[..., Map]) -> None:
    table = make_map(MapType.HASH).typed(key=int, value=int)
    assert table.get(1) is None
    assert table.get(1, 5) == 5
    assert table.setdefault(1, 6) == 6
    assert table.setdefault(1, 7) == 6
    assert table.pop(1) == 6
    assert table.pop(1, None) is None
    with pytest.raises(KeyError):
        table.pop(1)
    table.update(2, 3, UpdateFlag.NOEXIST)
    assert (len(table), bool(table), list(table.values())) == (1, True, [3])
    table.clear()
    assert (len(table), bool(table)) == (0, True)


@pytest.mark.parametrize("map_type", [MapType.HASH, MapType.LRU_HASH, MapType.PERCPU_HASH, MapType.LPM_TRIE])
def test_walks_see_what_stays_once_though_others_are_deleted(
    make_map: Callable[..., Map], map_type: MapType
) -> None:
    flags = MapFlag.NO_PREALLOC if map_type is MapType.LPM_TRIE else 0
    table = make_map(map_type, 8, 8, 4096, flags)
    keys = [struct.pack("=I", 32) + number.to_bytes(4, "big") for number in range(2000)]
    value = [bytes(8)] * possible_cpu_count() if table.is_per_cpu else bytes(8)
    for key in keys:
        table[key] = value
    seen = []
    for number, key in enumerate(table):
        seen.append(key)
        if number % 3 == 0:
            # Away with some of those to come, and of those that were there.
            for other in keys[number % 50 :: 50]:
                table.pop(other, None)
    assert len(set(seen)) == len(seen)
    assert set(table) <= set(seen)


def test_walks_while_another_thread_deletes_and_adds(make_map: Callable[..., Map]) -> None:
    table = make_map(MapType.HASH, 4, 8, 8192).typed(key=int, value=int)
    stable = range(2000)
    table.update_many((key, key) for key in stable)
    done = threading.Event()

    def churn() -> None:
        while not done.is_set():
            for key in range(5000, 6000):
                table[key] = 1
            for key in range(5000, 6000):
                table.pop(key, None)

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        for _ in range(20):
            walked = [key for key, _ in table.items() if key < 5000]
            assert sorted(walked) == list(stable)
    finally:
        done.set()
        thread.join()


@pytest.mark.parametrize("map_type", [MapType.HASH, MapType.LRU_HASH, MapType.PERCPU_HASH, MapType.ARRAY])
def test_many_elements_at_once(make_map: Callable[..., Map], map_type: MapType) -> None:
    # An LRU map gives each CPU a part of its elements, and may drop some before it is full.
    whole = make_map(map_type, 4, 8, 20000 if map_type is MapType.LRU_HASH else 5000)
    table = whole.typed(key=int, value="=Q")
    one = (lambda number: [number] * possible_cpu_count()) if map_type is MapType.PERCPU_HASH else lambda n: n
    table.update_many({number: one(number + 1) for number in range(5000)})
    found = dict(table.items())
    assert found[17] == one(18)
    assert len(found) >= 5000
    if map_type is MapType.ARRAY:
        with pytest.raises(KernelError):
            table.delete_many([1])
        return
    assert table.delete_many([*range(10), 999999, *range(20, 30)]) == 20
    assert len(dict(table.drain())) == 4980
    assert list(table) == []


def test_many_elements_where_the_kernel_has_no_batches(
    make_map: Callable[..., Map], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> object:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(syscall.Elements, "take_batch", refuse)
    monkeypatch.setattr(syscall.Elements, "put_batch", lambda *_, **__: (0, errno.EINVAL))
    table = make_map(MapType.HASH).typed(key=int, value=int)
    table.update_many({1: 1, 2: 2, 3: 3})
    assert dict(table.items()) == {1: 1, 2: 2, 3: 3}
    assert table.delete_many([1, 9]) == 1
    assert dict(table.drain()) == {2: 2, 3: 3}
    assert len(table) == 0


def test_a_batch_that_is_refused_names_the_key(make_map: Callable[..., Map]) -> None:
    table = make_map(MapType.HASH, 4, 8, 3).typed(key=int, value=int)
    with pytest.raises(KernelError, match="key 103: updating a key failed with E2BIG: the map is full"):
        table.update_many(dict.fromkeys(range(100, 110), 0))


def test_queues_and_stacks(make_map: Callable[..., Map]) -> None:
    types, key, _ = counter_types()
    for map_type, order in ((MapType.QUEUE, [1, 2]), (MapType.STACK, [2, 1])):
        queue = make_map(map_type, 0, 4, 2, types=types, value_type=key)
        with pytest.raises(IndexError, match="map m is empty"):
            queue.pop()
        queue.push(1)
        queue.push(2)
        with pytest.raises(KernelError, match="E2BIG: the map is full"):
            queue.push(3)
        assert queue.peek() == order[0]
        assert [queue.pop(), queue.pop()] == order
        for number in (1, 2, 3):
            queue.push(number, replace_oldest=True)
        assert {queue.pop(), queue.pop()} == {2, 3}
        with pytest.raises(IndexError):
            queue.peek()
        queue.push(1)
        queue.clear()
        with pytest.raises(IndexError):
            queue.pop()


def test_a_map_with_keys_is_no_queue(make_map: Callable[..., Map]) -> None:
    with pytest.raises(TypeError, match="map m has keys: say which"):
        make_map(MapType.HASH).pop()
    with pytest.raises(TypeError, match="map m has keys: say which"):
        make_map(MapType.HASH).push(bytes(8))


@pytest.mark.parametrize("value_size", [4, 8])
@pytest.mark.parametrize("map_type", [MapType.SOCKMAP, MapType.SOCKHASH])
def test_maps_of_sockets(make_map: Callable[..., Map], map_type: MapType, value_size: int) -> None:
    types, key, _ = counter_types()
    sockets = make_map(map_type, 4, value_size, 4, types=types, key_type=key)
    one, other = socket.socketpair()
    with one, other:
        sockets[2] = one
        assert 2 in list(sockets)
        if value_size == 8:
            cookie = struct.unpack("=Q", one.getsockopt(socket.SOL_SOCKET, SO_COOKIE, 8))
            assert list(sockets.items()) == [(2, *cookie)]
        else:
            with pytest.raises(KernelError, match="cannot be read from a map whose values have 4 bytes"):
                dict(sockets.items())
        sockets.clear()
        with pytest.raises(KeyError):
            del sockets[2]


@pytest.mark.parametrize("map_type", [MapType.XSKMAP, MapType.CGROUP_ARRAY, MapType.REUSEPORT_SOCKARRAY])
def test_maps_that_are_not_read_are_cleared(make_map: Callable[..., Map], map_type: MapType) -> None:
    table = make_map(map_type, 4, 4, 4)
    assert list(table) == [0, 1, 2, 3]
    table.clear()


def test_keys_with_more_than_their_values_show_are_drained(make_map: Callable[..., Map]) -> None:
    types = Types()
    u32, name = types.integer("u32", 4, 0), types.array(types.integer("char", 1), 1, 4)
    prefix = types.struct("prefix", 8, [("length", u32, 0), ("name", name, 32)])
    table = make_map(MapType.LPM_TRIE, 8, 4, 4, MapFlag.NO_PREALLOC, types=types.read(), key_type=prefix)
    for drain in (lambda: list(table.drain()), table.clear):
        table.raw[struct.pack("=I4s", 32, b"a\0bc")] = bytes(4)
        assert drain() in ([((32, "a"), bytes(4))], None)
        assert list(table) == []


def test_maps_that_hold_more_than_they_were_made_for(make_map: Callable[..., Map]) -> None:
    cpus = sorted(os.sched_getaffinity(0))
    table = make_map(MapType.LRU_HASH, 4, 4, 1, MapFlag.NO_COMMON_LRU).typed(key=int, value=int)
    try:
        for key in range(0, 40, 2):  # of each CPU's keys one stays, sooner or later both in one bucket
            for cpu in cpus[:2]:
                os.sched_setaffinity(0, {cpu})
                table[key + cpu] = 1
            assert len(dict(table.items())) >= 1
    finally:
        os.sched_setaffinity(0, cpus)


def test_a_default_is_set_though_somebody_deletes(
    make_map: Callable[..., Map], monkeypatch: pytest.MonkeyPatch
) -> None:
    table = make_map(MapType.HASH).typed(key=int, value=int)
    table[1] = 1
    look_up = table.lookup

    def too_late(key: int) -> int | None:
        del table[key]
        monkeypatch.undo()
        return look_up(key)

    monkeypatch.setattr(table, "lookup", too_late)
    assert table.setdefault(1, 7) == 7


def test_a_bloom_filter_may_hold_a_value(make_map: Callable[..., Map]) -> None:
    bloom = make_map(MapType.BLOOM_FILTER, 0, 4, 100)
    bloom.push(5)
    assert 5 in bloom
    assert [number for number in range(1000, 1100) if number in bloom] != list(range(1000, 1100))


def test_maps_of_maps(make_map: Callable[..., Map]) -> None:
    inner = make_map(MapType.ARRAY, 4, 4, 2)
    for map_type in (MapType.HASH_OF_MAPS, MapType.ARRAY_OF_MAPS):
        outer = make_map(map_type, 4, 4, 8, inner_map_fd=inner.fd)
        outer[3] = inner
        assert outer[3] == inner.id
        assert [value for _, value in outer.items()] == [inner.id]
        inner[1] = 77
        with outer.open_inner(3) as opened:
            assert opened[1] == struct.pack("=I", 77)
        del outer[3]
        with pytest.raises(KeyError):
            outer.open_inner(3)
        assert list(outer) == []
        with pytest.raises(KernelError, match="EINVAL: the map is not like those that this one was made for"):
            outer[1] = make_map(MapType.HASH)
    with pytest.raises(TypeError, match="map m holds no maps: it is of type array"):
        inner.open_inner(0)
    with pytest.raises(EncodingError, match="map m: the value: 'x' is neither a descriptor nor has it one"):
        outer[1] = "x"


def test_redirections_to_devices(make_map: Callable[..., Map]) -> None:
    devices = make_map(MapType.DEVMAP, 4, 8, 4)
    devices[1] = {"ifindex": 1}
    assert devices[1].ifindex == 1
    assert list(devices) == [1]


def test_a_lock_is_asked_for(make_map: Callable[..., Map]) -> None:
    with pytest.raises(KernelError, match="EINVAL"):
        make_map(MapType.ARRAY).lookup(0, UpdateFlag.LOCK)


def test_a_map_is_opened_by_pin_and_id(make_map: Callable[..., Map], bpffs: Path) -> None:
    table = make_map(MapType.HASH)
    table[1] = 2
    path = bpffs / "table"
    table.pin(path)
    with pytest.raises(KernelError, match="EEXIST: something is pinned there already"):
        table.pin(path)
    with Map.from_pin(path) as pinned, Map.from_id(table.id) as by_id:
        assert pinned.id == by_id.id == table.id
        assert (pinned.name, pinned.type, pinned.key_size, pinned.value_size) == ("m", MapType.HASH, 4, 8)
        assert pinned[1] == by_id[1] == struct.pack("=Q", 2)
    table.unpin(path)
    assert not path.exists()
    with pytest.raises(KernelError, match="opening the map failed with ENOENT"):
        Map.from_pin(path)
    with pytest.raises(KernelError, match="map 4294967295: opening the map failed with ENOENT"):
        Map.from_id(0xFFFFFFFF)
    with pytest.raises(KernelError, match="opening the map failed with ENOENT"):
        Map.from_id((1 << 32) + table.id)
    with pytest.raises(KernelError, match="no BPF file system is mounted there"):
        table.pin("/tmp/table")


def test_a_map_that_is_dropped_is_closed_when_nothing_needs_it(make_map: Callable[..., Map], bpffs: Path) -> None:
    table = make_map(MapType.HASH)
    table[1] = 7
    table.pin(bpffs / "table")
    before = len(os.listdir("/proc/self/fd"))
    assert Map.from_pin(bpffs / "table")[1] == struct.pack("=Q", 7)
    assert len(os.listdir("/proc/self/fd")) == before
    numbers = Map.from_pin(bpffs / "table").typed(key=int, value=int)
    assert dict(numbers.items()) == {1: 7}
    assert len(os.listdir("/proc/self/fd")) == before + 1
    del numbers
    assert len(os.listdir("/proc/self/fd")) == before


def test_types_of_an_opened_map_are_the_kernels() -> None:
    types = Types()
    key = types.integer("int", 4)
    value = types.struct("pair", 8, [("first", key, 0), ("second", key, 32)])
    btf_fd = syscall.btf_load(types.data())
    try:
        fd = syscall.map_create("typed", MapType.HASH, 4, 8, 8, btf_fd=btf_fd, key_type=key, value_type=value)
    finally:
        os.close(btf_fd)
    with Map.from_fd(fd) as table:
        table[-3] = {"second": 5}
        assert dict(table) == {-3: {"first": 0, "second": 5}}
        assert table[-3].second == 5


def test_a_frozen_map_is_not_written(make_map: Callable[..., Map]) -> None:
    table = make_map(MapType.ARRAY)
    table.freeze()
    with pytest.raises(KernelError, match="EPERM: the map is frozen"):
        table[0] = 1


def test_a_closed_map_says_so(make_map: Callable[..., Map]) -> None:
    table = make_map(MapType.HASH)
    view = table.typed(key=int, value=int)
    table[1] = 1
    table.close()
    table.close()
    for operation in (lambda: table[1], lambda: view[1], lambda: list(view), lambda: view.delete(1), table.info):
        with pytest.raises(KernelError, match=r"EBADFD?: it is closed"):
            operation()


def test_many_threads_use_one_map(make_map: Callable[..., Map]) -> None:
    table = make_map(MapType.HASH, 4, 8, 100000).typed(key=int, value=int)
    wrong: list[int] = []

    def work(start: int) -> None:
        for number in range(start, start + 3000):
            table[number] = number * 3
            if table[number] != number * 3:
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(10000 * number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert sum(1 for _ in table) == 18000
