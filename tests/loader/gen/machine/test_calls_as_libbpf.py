"""For the same objects our loader programs make the calls that libbpf's make, but for what DIFFERENCES tells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bpfas.loader import open_image
from bpfas.loader.gen import generate
from tests.loader.gen.machine.btf_text import types_of
from tests.loader.gen.machine.corpus import SOURCES, fake_kernel, object_of
from tests.loader.gen.machine.machine import Machine
from tests.loader.gen.machine.record import BpfCall, Loaded, Lookup
from tests.loader.gen.machine.runs import Given, run
from tests.loader.gen.machine.skeleton import skeleton_of
from tests.loader.gen.machine.trace import line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from tests.loader.gen.machine.kernel import Kernel
    from tests.loader.gen.machine.record import Record

pytestmark = [pytest.mark.peer, pytest.mark.any_kernel]

NAMES = [name for name in SOURCES if name not in ("nothing", "options")]
USER = 0x7F3300010000
NO_FUNCTION = 2002000000
"""Helpers of this number and above do not exist; the verifier's message tells them."""


def normalised(kernel: Kernel) -> list[BpfCall]:
    """The calls without what is known to differ."""
    calls = kernel.calls
    for change in DIFFERENCES.values():
        calls = change(calls)
    return calls


def _each(change: Callable[[dict[str, Record]], dict[str, Record]]) -> Callable[[list[BpfCall]], list[BpfCall]]:
    return lambda calls: [call._replace(attributes=change(call.attributes)) for call in calls]


def _sizes_of_records(attributes: dict[str, Record]) -> dict[str, Record]:
    counts = {"core_relo_rec_size": "core_relos", "func_info_rec_size": "func_info"}
    unused = {size for size, records in counts.items() if records not in attributes}
    return {name: value for name, value in attributes.items() if name not in unused}


def _absent_functions(attributes: dict[str, Record]) -> dict[str, Record]:
    code = attributes.get("insns")
    if not isinstance(code, tuple):
        return attributes
    slots = [slot for slot in code if isinstance(slot, Loaded)]
    shown = tuple(slot._replace(src=2, off=0, imm=0) if _calls_nothing(slot) else slot for slot in slots)
    return {**attributes, "insns": shown}


def _calls_nothing(slot: Loaded) -> bool:
    return slot.code == 0x85 and slot.src == 0 and isinstance(slot.imm, int) and slot.imm >= NO_FUNCTION


def _names_of_parameters(attributes: dict[str, Record]) -> dict[str, Record]:
    data = attributes.get("btf")
    if not isinstance(data, bytes):
        return attributes
    shown = {name: value for name, value in attributes.items() if name not in ("btf", "btf_size")}
    return {**shown, "btf": types_of(data, with_parameters=False).encode()}


def _slots_after_maps(calls: list[BpfCall]) -> list[BpfCall]:
    of_maps = [call for call in calls if isinstance(call.attributes.get("value"), str)]
    others = [call for call in calls if call not in of_maps]
    first_program = next((at for at, call in enumerate(others) if call.command == "PROG_LOAD"), len(others))
    return others[:first_program] + of_maps + others[first_program:]


DIFFERENCES: dict[str, Callable[[list[BpfCall]], list[BpfCall]]] = {
    "libbpf gives the size of CO-RE records where there are none, as it is its template's": _each(
        _sizes_of_records
    ),
    "libbpf calls function 0 for a weak name that the kernel lacks; ours is a helper whose number tells which name"
    " it was": _each(_absent_functions),
    "libbpf names the parameters of functions of the kernel `dummy_ksym`, after the variable that it adds; ours"
    " are r1, r2 …": _each(_names_of_parameters),
    "libbpf fills the slots of a map of maps when it is created, so that they may only name maps before it; ours"
    " come after all maps": _slots_after_maps,
}
"""By the reason: the change after which the calls are the same."""


def calls_of_both(path: Path) -> tuple[Kernel, Kernel]:
    """The kernels after our program and after libbpf's."""
    skeleton = skeleton_of(path)
    theirs = fake_kernel()
    assert Machine(skeleton.instructions, skeleton.data, theirs).run(skeleton.context()).result == 0
    ours = fake_kernel()
    assert run(generate(open_image(path)), ours).result == 0
    return ours, theirs


def shown(calls: Iterable[BpfCall]) -> list[str]:
    """Calls as lines, for a message that a person reads."""
    return [line(call) for call in calls]


@pytest.mark.parametrize("name", NAMES)
def test_same_calls(name: str, tmp_path: Path) -> None:
    ours, theirs = calls_of_both(object_of(name, tmp_path))
    assert shown(normalised(ours)) == shown(normalised(theirs))
    assert normalised(ours) == normalised(theirs)
    assert sorted(ours.open_names) == sorted(theirs.open_names)


@pytest.mark.parametrize("name", ["types", "targets"])
def test_same_calls_without_types(name: str, tmp_path: Path) -> None:
    ours, theirs = calls_of_both(object_of(name, tmp_path, "-g0"))
    assert "BTF_LOAD" not in [call.command for call in ours.calls]
    assert normalised(ours) == normalised(theirs)


def test_kernel_options_that_are_told(tmp_path: Path) -> None:
    """libbpf has the values of the machine that generates; ours are told by whoever runs the program."""
    path = object_of("options", tmp_path)
    skeleton, program = skeleton_of(path), generate(open_image(path))
    theirs, ours = fake_kernel(), fake_kernel()
    Machine(skeleton.instructions, skeleton.data, theirs).run(skeleton.context())
    value = next(call.attributes["value"] for call in theirs.calls if call.command == "MAP_UPDATE_ELEM")
    assert isinstance(value, bytes)
    run(program, ours, Given(contents={program.context.maps[0].spec.name: USER}), user={USER: value})
    assert normalised(ours) == normalised(theirs)


@pytest.mark.parametrize("name", NAMES)
def test_same_names_are_looked_up(name: str, tmp_path: Path) -> None:
    """Ours looks each name up once; libbpf does for each program, and for a weak function as for a variable."""
    ours, theirs = calls_of_both(object_of(name, tmp_path))
    mine = [event for event in ours.events if isinstance(event, Lookup)]
    assert len({(event.name, event.kind) for event in mine}) == len(mine)
    assert {event.name for event in mine} == {event.name for event in theirs.events if isinstance(event, Lookup)}


def test_same_context_entries(tmp_path: Path) -> None:
    for name in NAMES:
        path = object_of(name, tmp_path)
        skeleton, program = skeleton_of(path), generate(open_image(path))
        size = skeleton.context_size
        first_failure = program.context.failed_step
        assert 0 <= first_failure - size < 8
        assert len(program.context.maps) == len(skeleton.maps)
        assert [entry.spec.name for entry in program.context.programs] == list(skeleton.programs)


def test_given_sizes_and_contents_go_to_the_same_calls(tmp_path: Path) -> None:
    path = object_of("data", tmp_path)
    user = {USER + 0x100 * index: bytes([0x40 + index]) * 44 for index in range(5)}
    skeleton, program = skeleton_of(path), generate(open_image(path))
    theirs, ours = fake_kernel(), fake_kernel()
    contents = dict(zip(skeleton.maps, user, strict=True))
    Machine(skeleton.instructions, skeleton.data, theirs, user=user).run(skeleton.context(contents=contents))
    names = [entry.spec.name for entry in program.context.maps]
    run(program, ours, Given(contents=dict(zip(names, user, strict=True))), user=user)
    assert shown(normalised(ours)) == shown(normalised(theirs))

    path = object_of("maps", tmp_path)
    skeleton, program = skeleton_of(path), generate(open_image(path))
    theirs, ours = fake_kernel(), fake_kernel()
    entries = {"counts": 1000, "ring": 16384, "of_sockets": 0}
    Machine(skeleton.instructions, skeleton.data, theirs).run(skeleton.context(max_entries=entries))
    run(program, ours, Given(entries=entries))
    assert shown(normalised(ours)) == shown(normalised(theirs))


def test_failures_are_the_same(tmp_path: Path) -> None:
    """A name that is required and missing ends both; ours ends before it has made anything."""
    path = object_of("kernel_functions", tmp_path)
    skeleton, program = skeleton_of(path), generate(open_image(path))
    for name in ("of_a_module", "bpf_rcu_read_unlock"):
        theirs, ours = fake_kernel(), fake_kernel()
        for kernel in (theirs, ours):
            kernel.types = {key: value for key, value in kernel.types.items() if key[0] != name}
        result = Machine(skeleton.instructions, skeleton.data, theirs).run(skeleton.context()).result
        assert run(program, ours).result == result < 0
        assert ours.open_names == theirs.open_names == []
