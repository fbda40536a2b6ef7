"""libbpf's generated loaders run on the simulated machine, and leave there what the objects ask for."""

from __future__ import annotations

import errno
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.loader.gen.machine import trace as machine_trace
from tests.loader.gen.machine.corpus import ADDRESSES, SOURCES, TYPES, fake_kernel, object_of
from tests.loader.gen.machine.kernel import Kernel
from tests.loader.gen.machine.machine import Machine
from tests.loader.gen.machine.record import Loaded
from tests.loader.gen.machine.skeleton import skeleton_of, unescape

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.peer, pytest.mark.any_kernel]

EXPECTED = Path(__file__).parent / "libbpf"
USER = 0x7F3300010000


@pytest.mark.parametrize("name", [name for name in SOURCES if name != "options"])
def test_what_is_left(name: str, tmp_path: Path, golden: Callable[[Path, str], None]) -> None:
    skeleton = skeleton_of(object_of(name, tmp_path))
    kernel = fake_kernel()
    outcome = Machine(skeleton.instructions, skeleton.data, kernel).run(skeleton.context())
    assert outcome.result == 0
    results = skeleton.results(outcome.context)
    assert sorted(results.values()) == sorted(kernel.open)
    assert [kernel.open[fd].kind for fd in results.values()] == [name.split()[0] for name in results]
    golden(EXPECTED / f"{name}.txt", machine_trace.text(kernel.events))


def test_kernel_options_are_those_of_the_machine_that_generates(tmp_path: Path) -> None:
    skeleton = skeleton_of(object_of("options", tmp_path))
    kernel = fake_kernel()
    Machine(skeleton.instructions, skeleton.data, kernel).run(skeleton.context())
    update = next(call for call in kernel.calls if call.command == "MAP_UPDATE_ELEM")
    assert update.attributes["value"] != bytes(4)
    assert [call.command for call in kernel.calls[2:4]] == ["MAP_UPDATE_ELEM", "MAP_FREEZE"]


def test_patched_instructions(tmp_path: Path) -> None:
    skeleton = skeleton_of(object_of("kernel_functions", tmp_path))
    kernel = fake_kernel()
    Machine(skeleton.instructions, skeleton.data, kernel).run(skeleton.context())
    second = kernel.calls[-1].attributes["insns"]
    assert isinstance(second, tuple)
    kernel_calls = [slot for slot in second if isinstance(slot, Loaded) and (slot.code, slot.src) == (0x85, 2)]
    assert [(slot.imm, slot.off) for slot in kernel_calls] == [
        (203, "module near"),
        (201, 0),
        (203, "module near"),
        (204, "module far"),
        (202, 0),
    ]


def test_sizes_and_contents_can_be_given(tmp_path: Path) -> None:
    skeleton = skeleton_of(object_of("maps", tmp_path))
    kernel = fake_kernel()
    Machine(skeleton.instructions, skeleton.data, kernel).run(skeleton.context(max_entries={"counts": 77}))
    assert kernel.calls[1].attributes["max_entries"] == 77
    assert kernel.calls[2].attributes["max_entries"] == 8192

    skeleton = skeleton_of(object_of("data", tmp_path))
    kernel = fake_kernel()
    given = struct.pack("<h", 1234)
    machine = Machine(skeleton.instructions, skeleton.data, kernel, user={USER: given})
    machine.run(skeleton.context(contents={"rodata": USER}))
    values = {
        call.attributes["map_fd"]: call.attributes["value"]
        for call in kernel.calls
        if call.command == "MAP_UPDATE_ELEM"
    }
    assert values["map data.rodata"] == given
    assert values["map .data.extra"] == struct.pack("<i", 6)


@pytest.mark.parametrize("name", [name for name in SOURCES if name != "options"])
def test_after_a_failure_nothing_is_open(name: str, tmp_path: Path) -> None:
    skeleton = skeleton_of(object_of(name, tmp_path))
    whole = fake_kernel()
    Machine(skeleton.instructions, skeleton.data, whole).run(skeleton.context())
    for number in range(1, len(whole.calls) + 1):
        kernel = fake_kernel(failures={number: errno.EDOM})
        outcome = Machine(skeleton.instructions, skeleton.data, kernel).run(skeleton.context())
        assert outcome.result == -errno.EDOM
        assert kernel.open_names == []
        assert len(kernel.calls) == number


def test_a_missing_name_is_a_failure_unless_it_is_weak(tmp_path: Path) -> None:
    skeleton = skeleton_of(object_of("kernel_functions", tmp_path))
    for name, is_weak in (("of_a_module", False), ("bpf_rcu_read_lock", False), ("of_another_module", True)):
        kernel = Kernel({key: value for key, value in TYPES.items() if key[0] != name}, ADDRESSES)
        outcome = Machine(skeleton.instructions, skeleton.data, kernel).run(skeleton.context())
        assert outcome.result == (0 if is_weak else -errno.ENOENT)
        assert kernel.open_names == (["program first", "program second"] if is_weak else [])


def test_constants_of_the_header() -> None:
    assert unescape(rb"\0\x41\x5c" + b"\\\n" + rb"\0a") == b"\0A\\\0a"
    with pytest.raises(ValueError, match="escape"):
        unescape(rb"\n")
