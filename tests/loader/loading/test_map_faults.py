"""Maps that the kernel refuses: what is wrong with their definitions is said, and what it says is true."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

import bpfas
from bpfas import LoadError
from bpfas.loader.image.build import build_image
from bpfas.loader.kinds import MapFlag, MapType
from bpfas.loader.spec import MapSpec
from tests.loader.builders import PASS, code, function, obj

if TYPE_CHECKING:
    from bpfas.loader import Image

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("no_leaks")]


def image_with(spec: MapSpec) -> Image:
    """An Image with one map."""
    xdp = code("xdp", PASS)
    image = build_image(obj(xdp, function("prog", xdp)))
    image.maps[spec.name] = spec
    return image


def spec_of(map_type: MapType, key_size: int, value_size: int, max_entries: int, flags: int = 0) -> MapSpec:
    return MapSpec("tested", "tested", map_type, key_size, value_size, max_entries, MapFlag(flags))


@pytest.mark.parametrize(
    ("spec", "cause", "remedy"),
    [
        (
            spec_of(MapType.HASH, 4, 8, 0),
            "a hash map needs max_entries, which is 0 here",
            "max_entries of 1 or more",
        ),
        (spec_of(MapType.HASH, 0, 8, 1), "has a key of 1 byte or more, not of 0", "make the key"),
        (spec_of(MapType.ARRAY, 8, 8, 1), "an array map has a key of 4 bytes, not of 8", "key 4 bytes"),
        (
            spec_of(MapType.PERCPU_ARRAY, 4, 40000, 1),
            "values of 32768 bytes at most for each CPU, not of 40000",
            "smaller",
        ),
        (
            spec_of(MapType.RINGBUF, 0, 0, 0),
            "a ringbuf map needs max_entries, which is 0 here",
            "a power of two, 4096",
        ),
        (spec_of(MapType.RINGBUF, 4, 0, 4096), "has a key of no bytes, not of 4", "leave key and key_size"),
        (spec_of(MapType.LPM_TRIE, 8, 4, 1), "needs BPF_F_NO_PREALLOC", "__uint(map_flags, BPF_F_NO_PREALLOC)"),
        (spec_of(MapType.LPM_TRIE, 4, 4, 1, 1), "a key of 5 to 260 bytes, not of 4", "key 5 to 260"),
        (spec_of(MapType.QUEUE, 4, 8, 1), "has a key of no bytes, not of 4", "leave key and key_size out"),
        (spec_of(MapType.STACK_TRACE, 4, 12, 1), "8 bytes or more, a multiple of 8, not of 12", "value 8"),
        (spec_of(MapType.PROG_ARRAY, 4, 8, 1), "has a value of 4 bytes, not of 8", "value 4 bytes"),
        (
            spec_of(MapType.ARRAY, 4, 8, 1, MapFlag.NO_PREALLOC),
            "does not take BPF_F_NO_PREALLOC",
            "leave BPF_F_NO",
        ),
        (spec_of(MapType.HASH, 4, 8, 1, MapFlag.MMAPABLE), "does not take BPF_F_MMAPABLE", "leave BPF"),
        (spec_of(MapType.ARRAY_OF_MAPS, 4, 4, 1), "needs to know what the maps in it are like", "__array(values"),
        (spec_of(MapType.HASH, 4, 8, 1, 1 << 30), "flags that no kernel knows: 0x40000000", "map_flags"),
        (
            spec_of(MapType.TASK_STORAGE, 4, 8, 16),
            "grows by itself, and max_entries is 16 here; needs BPF_F_NO_PREALLOC; needs the types",
            "leave max_entries out",
        ),
        (spec_of(MapType.DEVMAP, 4, 16, 4), "has a value of 4 or 8 bytes, not of 16", "4 or 8 bytes"),
    ],
)
def test_what_is_wrong_with_a_map_is_said(spec: MapSpec, cause: str, remedy: str) -> None:
    with pytest.raises(LoadError, match=re.escape(cause)) as caught:
        bpfas.load(image_with(spec))
    assert caught.value.errno_name in ("EINVAL", "E2BIG")
    assert remedy in caught.value.remedy


def test_what_is_not_known_to_be_wrong_is_not_said() -> None:
    spec = spec_of(MapType.HASH, 4, 8, 1)._replace(map_extra=77)
    with pytest.raises(LoadError, match="does not know the map type, or does not take these sizes"):
        bpfas.load(image_with(spec))
