"""The same object for machines of either byte order does the same."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpfas.elf.constants import ByteOrder
from bpfas.loader import open_image
from bpfas.loader.gen import generate
from bpfas.loader.kinds import MapType
from bpfas.loader.spec import ExternSource, ExternSpec, Image, Slot
from tests.loader.gen.machine import corpus, images
from tests.loader.gen.machine.btf_text import types_of
from tests.loader.gen.machine.kernel import Kernel
from tests.loader.gen.machine.record import BpfCall, Event
from tests.loader.gen.machine.runs import Given, context_of, run
from tests.loader.gen.machine.script import play
from tests.loader.gen.machine.test_script_calls import check_same, made

if TYPE_CHECKING:
    from pathlib import Path

    from tests.loader.gen.machine.runs import Run

UPDATE = "MAP_UPDATE_ELEM"
COMPILED = [name for name in corpus.SOURCES if name not in ("nothing", "options")]


def without_order(done: Run) -> list[Event]:
    """What happened; of types and values only what does not depend on the byte order."""
    events: list[Event] = []
    for event in done.kernel.events:
        if isinstance(event, BpfCall):
            attributes = dict(event.attributes)
            if isinstance(types := attributes.get("btf"), bytes):
                attributes["btf"] = types_of(types).encode()
            events.append(event._replace(attributes=attributes))
        else:
            events.append(event)
    return events


@pytest.mark.parametrize("name", images.MADE)
def test_made(name: str) -> None:
    """Hashes of instructions, and numbers in contents, have a byte order; all else is the same."""
    little, big = (
        run(subject.program, subject.kernel(), Given(facts=subject.given.facts))
        for subject in (made(name, order) for order in ByteOrder)
    )
    assert little.program.instructions != big.program.instructions
    assert little.program.context.size == big.program.context.size
    if name in ("exclusive", "jump_tables"):
        assert [type(event) for event in little.kernel.events] == [type(event) for event in big.kernel.events]
    else:
        assert without_order(little) == without_order(big)
    assert (little.result, little.descriptors) == (big.result, big.descriptors)


@pytest.mark.peer
@pytest.mark.any_kernel
@pytest.mark.parametrize("name", COMPILED)
def test_compiled(name: str, tmp_path: Path) -> None:
    runs = []
    for target in ("--target=bpfel", "--target=bpfeb"):
        program = generate(open_image(corpus.object_of(name, tmp_path, target)))
        runs.append(run(program, corpus.fake_kernel()))
    little, big = runs
    assert (little.result, big.result) == (0, 0)
    assert big.program.byte_order is ByteOrder.BIG
    if name == "data":  # whose contents are numbers
        commands = [[call.command for call in each.calls] for each in runs]
        assert commands[0] == commands[1]
        for each, order in zip(runs, ByteOrder, strict=True):
            values = {
                call.attributes["map_fd"]: call.attributes["value"]
                for call in each.calls
                if call.command == UPDATE
            }
            assert values["map .data.extra"] == (6).to_bytes(4, order.name_for_int)
    else:
        assert without_order(little) == without_order(big)
    assert little.descriptors == big.descriptors


# Images by chance.

MAP_NAMES = [f"map_{number}" for number in range(6)]
PROGRAM_NAMES = [f"program_{number}" for number in range(4)]
EXTERNS = [
    ExternSpec("runqueues", ExternSource.KERNEL_VARIABLE),
    ExternSpec("gone", ExternSource.KERNEL_VARIABLE, is_weak=True),
    ExternSpec("of_a_module", ExternSource.KERNEL_FUNCTION, is_called=True),
    ExternSpec("gone_too", ExternSource.KERNEL_FUNCTION, is_weak=True, is_called=True),
    ExternSpec("jiffies", ExternSource.KERNEL_ADDRESS),
    ExternSpec("also_of_it", ExternSource.KERNEL_NAME),
    ExternSpec("also_gone", ExternSource.KERNEL_NAME, is_weak=True),
]
KINDS = ["plain", "typed", "data", "frozen", "zero", "maps", "programs", "ring", "absent"]


@st.composite
def recipes(draw: st.DrawFn) -> dict[str, object]:
    """What an image is made of, without a byte order."""
    maps = [
        (
            name,
            draw(st.sampled_from(KINDS)),
            draw(st.integers(0, 70_000)),
            draw(st.binary(min_size=1, max_size=20)),
        )
        for name in MAP_NAMES[: draw(st.integers(0, 6))]
    ]
    slots = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), max_size=3, unique_by=lambda slot: slot[0])
    parts = st.lists(st.tuples(st.sampled_from(("map", "value", "load", "call")), st.integers(0, 6)), max_size=6)
    programs = [(name, draw(parts), draw(st.booleans())) for name in PROGRAM_NAMES[: draw(st.integers(1, 4))]]
    return {
        "maps": maps,
        "slots": [draw(slots) for _ in maps],
        "programs": programs,
        "has_types": draw(st.booleans()),
    }


def cooked(recipe: dict[str, object], order: ByteOrder) -> Image:
    """An image of a recipe."""
    make = images.Maker(order)
    maps = []
    has_types = bool(recipe["has_types"])
    program_names = [name for name, *_ in recipe["programs"]]  # type: ignore[attr-defined]
    names = [name for name, *_ in recipe["maps"]]  # type: ignore[attr-defined]
    for (name, kind, number, content), slots in zip(recipe["maps"], recipe["slots"], strict=True):  # type: ignore[call-overload]
        match kind:
            case "data" | "frozen":
                maps.append(images.data_map(name, content, frozen=kind == "frozen"))
            case "zero":
                maps.append(images.data_map(name, None, len(content)))
            case "maps":
                filled = tuple(Slot(index, names[other % len(names)]) for index, other in slots)
                filled = tuple(slot for slot in filled if slot.name != name)
                maps.append(images.spec(name, MapType.ARRAY_OF_MAPS, inner=images.inner(), slots=filled))
            case "programs":
                filled = tuple(Slot(index, program_names[other % len(program_names)]) for index, other in slots)
                maps.append(images.spec(name, MapType.PROG_ARRAY, slots=filled))
            case "ring":
                maps.append(images.spec(name, MapType.RINGBUF, key_size=0, value_size=0, max_entries=number + 1))
            case "typed":
                types = {"key_type": 1, "value_type": 1} if has_types else {}
                maps.append(images.spec(name, max_entries=number + 1, **types))
            case _:
                maps.append(images.spec(name, autocreate=kind != "absent", map_extra=number << 31))
    programs = []
    for name, parts, autoload in recipe["programs"]:  # type: ignore[attr-defined]
        shown: list[str | tuple[str, str]] = []
        for kind, number in parts:
            if kind in ("map", "value"):
                shown += [(kind, names[number % len(names)])] if names else []
            else:
                allowed = [extern.name for extern in EXTERNS if extern.is_called or kind == "load"]
                shown.append((kind, allowed[number % len(allowed)]))
        programs.append(make.program(name, *shown, autoload=autoload))
    return make.image(maps, programs, EXTERNS, has_types=has_types)


@given(recipes(), st.integers(0, 40), st.sampled_from((4096, 16384, 65536)))
def test_by_chance(recipe: dict[str, object], failing: int, page_size: int) -> None:
    """A loader program does what its Script says and the same in both byte orders, also when a call fails."""
    runs = []
    for order in ByteOrder:
        program = generate(cooked(recipe, order))

        def kernel() -> Kernel:
            failures = dict.fromkeys(range(failing, failing + 200), errno.ENOSPC) if failing else {}
            return Kernel(images.TYPES, images.ADDRESSES, failures=failures, page_size=page_size)

        done, played = run(program, kernel()), kernel()
        expected = play(program, played, context_of(program))
        check_same(done, played, expected)
        if done.result:
            assert done.kernel.open_names == []
        else:
            assert sorted(done.kernel.open) == sorted(number for number in done.descriptors.values() if number)
        runs.append(done)
    assert without_order(runs[0]) == without_order(runs[1])
    assert runs[0].descriptors == runs[1].descriptors
