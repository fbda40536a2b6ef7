"""Maps in the running kernel, as dictionaries of bytes."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

from bpfas.elf.constants import HOST_ORDER
from bpfas.loader import KernelError
from bpfas.loader.kinds import MapType, UpdateFlag
from bpfas.loader.loading.execute import load_image
from bpfas.loader.runtime.cpus import possible_cpu_count
from bpfas.loader.spec import Image, MapSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfas.loader.runtime.maps import Map

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("no_leaks")]


@pytest.fixture
def make_map(request: pytest.FixtureRequest) -> Iterator[Map]:
    map_type, key_size, value_size, max_entries = request.param
    spec = MapSpec("m", "m", map_type, key_size, value_size, max_entries)
    with load_image(Image("test", HOST_ORDER, {"m": spec})) as app:
        yield app.maps["m"]


def kind(map_type: MapType, key_size: int, value_size: int, max_entries: int) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        "make_map", [(map_type, key_size, value_size, max_entries)], indirect=True, ids=[map_type.name]
    )


@kind(MapType.HASH, 4, 8, 3)
def test_a_hash_map_is_like_a_dictionary(make_map: Map) -> None:
    make_map[b"key1"] = b"value__1"
    make_map[b"key2"] = b"value__2"
    assert make_map[b"key1"] == b"value__1"
    assert b"key2" in make_map
    assert b"none" not in make_map
    assert sorted(make_map) == [b"key1", b"key2"]
    assert dict(make_map) == {b"key1": b"value__1", b"key2": b"value__2"}
    del make_map[b"key1"]
    assert make_map.lookup(b"key1") is None


@kind(MapType.HASH, 4, 8, 3)
def test_a_missing_key_is_a_key_error(make_map: Map) -> None:
    with pytest.raises(KeyError):
        make_map[b"none"]
    with pytest.raises(KeyError):
        del make_map[b"none"]


@kind(MapType.HASH, 4, 8, 3)
def test_lengths_are_checked(make_map: Map) -> None:
    with pytest.raises(ValueError, match="map m: the key: it has 3 bytes, not 4"):
        make_map.lookup(b"abc")
    with pytest.raises(ValueError, match="map m: the value: it has 4 bytes, not 8"):
        make_map[b"key1"] = b"1234"


@kind(MapType.HASH, 4, 8, 3)
def test_flags_restrict_updates(make_map: Map) -> None:
    with pytest.raises(KernelError, match="ENOENT: there is no such key"):
        make_map.update(b"key1", bytes(8), UpdateFlag.EXIST)
    make_map.update(b"key1", bytes(8), UpdateFlag.NOEXIST)
    with pytest.raises(KernelError, match="EEXIST: the key is already there"):
        make_map.update(b"key1", bytes(8), UpdateFlag.NOEXIST)


@kind(MapType.HASH, 4, 8, 3)
def test_a_full_map_says_so(make_map: Map) -> None:
    for number in range(3):
        make_map[struct.pack("=I", number)] = bytes(8)
    with pytest.raises(KernelError, match="E2BIG: the map is full"):
        make_map[struct.pack("=I", 3)] = bytes(8)


@kind(MapType.HASH, 4, 8, 64)
def test_keys_may_be_deleted_while_they_are_listed(make_map: Map) -> None:
    for number in range(64):
        make_map[struct.pack("=I", number)] = bytes(8)
    seen = []
    for key in make_map:
        seen.append(key)
        del make_map[key]
    assert len(set(seen)) == len(seen) == 64
    assert list(make_map) == []


@kind(MapType.ARRAY, 4, 4, 2)
def test_an_array_map(make_map: Map) -> None:
    assert list(make_map.items()) == [(0, bytes(4)), (1, bytes(4))]
    with pytest.raises(KernelError, match="EINVAL: elements of this type of map are not deleted"):
        make_map.delete(struct.pack("=I", 0))
    with pytest.raises(KernelError, match="beyond its end"):
        make_map[struct.pack("=I", 2)] = bytes(4)


@kind(MapType.PERCPU_ARRAY, 4, 5, 1)
def test_a_per_cpu_map_has_a_value_for_each_cpu(make_map: Map) -> None:
    count = possible_cpu_count()
    assert make_map.value_buffer_size == 8 * count
    values = [bytes([number % 256]) * 5 for number in range(count)]
    make_map[bytes(4)] = b"".join(value + bytes(3) for value in values)
    assert make_map[0] == values
    make_map[0] = list(reversed(values))
    assert make_map.lookup(bytes(4)) == make_map.raw[bytes(4)] == list(reversed(values))
    assert make_map.lookup(1) is None
    with pytest.raises(ValueError, match=rf"a per-CPU map takes a list of {count} values"):
        make_map[0] = [bytes(5)] * (count + 1)
    with pytest.raises(ValueError, match=r"the value: \[0\]: it has 4 bytes, not 5"):
        make_map[0] = [bytes(4)] * count


@kind(MapType.QUEUE, 0, 4, 2)
def test_a_queue_has_no_keys(make_map: Map) -> None:
    assert make_map.lookup(b"") is None
    make_map.update(b"", b"1234")
    assert make_map.lookup(b"") == b"1234"
    with pytest.raises(KernelError, match="listing the keys failed"):
        list(make_map)
