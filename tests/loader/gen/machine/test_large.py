"""Loader programs of large objects: what is far away is reached, and what cannot be is told."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

from bpfas.diag import BpfasError
from bpfas.elf.constants import ByteOrder
from bpfas.loader.gen import generate
from bpfas.loader.kinds import MapType
from bpfas.loader.spec import ExternSource, ExternSpec, Slot
from tests.loader.gen.machine import images
from tests.loader.gen.machine.images import Maker, spec
from tests.loader.gen.machine.kernel import Kernel
from tests.loader.gen.machine.runs import context_of, run
from tests.loader.gen.machine.script import play
from tests.loader.gen.machine.test_script_calls import ORDERS, check_same

if TYPE_CHECKING:
    from bpfas.loader.spec import Image

MAPS, PROGRAMS = 500, 500
FAR = 32_768
"""Instructions and bytes that an offset of 16 bits does not reach."""


def large(order: ByteOrder) -> Image:
    """Hundreds of maps and programs, with slots."""
    make = Maker(order)
    slots = tuple(Slot(number, f"program_{number}") for number in range(0, PROGRAMS, 50))
    maps = [spec(f"map_{number}") for number in range(MAPS)]
    maps.append(spec("jumps", MapType.PROG_ARRAY, max_entries=PROGRAMS, slots=slots))
    programs = [
        make.program(f"program_{number}", ("map", f"map_{number}"), ("call", "of_a_module"))
        for number in range(PROGRAMS)
    ]
    return make.image(maps, programs, [ExternSpec("of_a_module", ExternSource.KERNEL_FUNCTION, is_called=True)])


@pytest.mark.parametrize("order", ORDERS)
def test_hundreds_of_maps_and_programs(order: ByteOrder) -> None:
    program = generate(large(order))
    assert len(program.instructions) // 8 > FAR
    assert len(program.data) > FAR
    calls = MAPS + 1 + PROGRAMS + PROGRAMS // 50
    for failing in (0, 1, MAPS + PROGRAMS // 2, calls):
        failures = {failing: errno.E2BIG}
        kernel, played = (Kernel(images.TYPES, images.ADDRESSES, failures=failures) for _ in range(2))
        done = run(program, kernel)
        check_same(done, played, play(program, played, context_of(program)))
        assert done.result == (-errno.E2BIG if failing else 0)
        assert len(done.calls) == (failing or calls)
        if failing:
            assert done.kernel.open_names == []


@pytest.mark.parametrize("order", ORDERS)
def test_one_program_with_thousands_of_names(order: ByteOrder) -> None:
    make = Maker(order)
    parts = [("call", "of_a_module"), ("load", "runqueues")] * 5000
    externs = [
        ExternSpec("of_a_module", ExternSource.KERNEL_FUNCTION, is_called=True),
        ExternSpec("runqueues", ExternSource.KERNEL_VARIABLE),
    ]
    program = generate(make.image([spec("m")], [make.program("p", *parts)], externs))
    kernel, played = Kernel(images.TYPES), Kernel(images.TYPES)
    done = run(program, kernel)
    check_same(done, played, play(program, played, context_of(program)))
    assert done.result == 0


def test_a_context_that_is_out_of_reach() -> None:
    make = Maker(ByteOrder.LITTLE)
    with pytest.raises(BpfasError, match="2100 maps"):
        generate(make.image([spec(f"map_{number}") for number in range(2100)]))
    most = generate(make.image([spec(f"map_{number}") for number in range(2046)]))
    assert most.context.size <= FAR
    assert run(most, Kernel()).result == 0


def test_a_program_that_is_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bpfas.loader.gen.generator._MOST_INSTRUCTIONS", 10_000)
    make = Maker(ByteOrder.LITTLE)
    externs = [ExternSpec("runqueues", ExternSource.KERNEL_VARIABLE)]
    program = make.program("p", *[("load", "runqueues")] * 2_000)
    with pytest.raises(BpfasError, match="instructions"):
        generate(make.image([], [program], externs))
