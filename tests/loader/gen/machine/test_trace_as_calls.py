"""The trace says beforehand which calls of bpf() a loader program makes, with what attributes."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import pytest

from bpfas.loader.gen.trace import trace_json
from bpfas.loader.kinds import AttachType, MapFlag, MapType, ProgramFlag, ProgramType
from tests.loader.gen.machine import corpus, images
from tests.loader.gen.machine.runs import run
from tests.loader.gen.machine.test_script_calls import MEMORY, ORDERS, Subject, compiled, made

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bpfas.elf.constants import ByteOrder
    from tests.loader.gen.machine.record import BpfCall

NUMBERS = {
    "map_type": ("BPF_MAP_TYPE_", MapType),
    "prog_type": ("BPF_PROG_TYPE_", ProgramType),
    "expected_attach_type": ("BPF_", AttachType),
    "map_flags": ("BPF_F_", MapFlag),
    "prog_flags": ("BPF_F_", ProgramFlag),
}
"""The enumerations whose names the trace writes, and what it puts before them."""


def calls_of(steps: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The calls of a trace in their order."""
    for step in steps:
        if step["step"] == "call":
            yield step
        yield from calls_of(step.get("steps", []))


def number_of(name: str, value: int | str) -> int:
    """A number that the trace writes as a number or by names."""
    if isinstance(value, int):
        return value
    prefix, members = NUMBERS[name]
    words = [word.removeprefix(prefix) for word in value.split(" | ")]
    return sum(int(word, 0) if word[0].isdigit() else members[word].value for word in words)


def check_attribute(subject: Subject, done: BpfCall, names: dict[str, str], name: str, value: Any) -> None:
    """One attribute of a call as the trace has it; `names` are the descriptors in cells."""
    recorded = done.attributes.get(name, 0)
    if isinstance(value, dict) and "cell" in value:
        if value["cell"] in names:
            assert recorded == names[value["cell"]]
    elif isinstance(value, dict) and "address_of" in value:
        check_contents(subject, done, names, name, value["address_of"])
    elif isinstance(value, dict):
        asked = subject.given.facts.values()
        assert recorded in (0, *asked) or isinstance(recorded, str)
    elif name.endswith("_name"):
        assert recorded == value
    else:
        assert recorded == number_of(name, value)


def check_contents(subject: Subject, done: BpfCall, names: dict[str, str], name: str, target: Any) -> None:
    """What an attribute points to."""
    order = subject.program.byte_order
    recorded = done.attributes.get(name, 0)
    if target == "table":
        return
    if "cell" in target:
        assert recorded == names[target["cell"]]
        return
    data = bytes.fromhex(target["data"])
    assert len(data) == target["size"]
    if name == "insns":
        assert isinstance(recorded, tuple)
        assert len(data) == 8 * len(recorded)
    elif name == "license":
        assert recorded == data.rstrip(b"\0")
    elif name == "key":
        assert recorded == int.from_bytes(data, order.name_for_int)
    elif isinstance(recorded, tuple):
        words = len(recorded[0])
        assert recorded == tuple(struct.iter_unpack(f"{order.value}{words}I", data))
    elif done.attributes.get("map_fd") != "map app.kconfig":  # whose contents are given
        assert recorded == data


def check(subject: Subject) -> None:
    """Run a subject, and compare its calls with its trace."""
    done = run(subject.program, subject.kernel(), subject.given, user=MEMORY)
    announced = list(calls_of(trace_json(subject.program.script)["steps"]))
    assert [f"BPF_{call.command}" for call in done.calls] == [step["command"] for step in announced]
    names: dict[str, str] = {}
    for call, step in zip(done.calls, announced, strict=True):
        for name, value in step["attributes"].items():
            is_changed = (
                name in step.get("flags_if", {}) or name in step.get("overrides", {}) or name == "map_flags"
            )
            if not (is_changed and subject.given.facts):
                check_attribute(subject, call, names, name, value)
        unknown = call.attributes.keys() - step["attributes"].keys() - step.get("overrides", {}).keys()
        assert not unknown
        if "result" in step:
            names[step["result"]] = call.result


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", images.MADE)
def test_made(name: str, order: ByteOrder) -> None:
    check(made(name, order))


@pytest.mark.peer
@pytest.mark.any_kernel
@pytest.mark.parametrize("name", [name for name in corpus.SOURCES if name not in ("nothing", "options")])
def test_compiled(name: str, tmp_path: Path) -> None:
    check(compiled(name, tmp_path))
