"""Jumps that do not reach with 16 bits become long, and only those."""

from __future__ import annotations

import pytest

from bpfas.asm import Options, Reading, assemble, assemble_sources
from bpfas.diag import BpfasError, Source
from bpfas.elf.constants import ByteOrder
from bpfas.isa import IsaVersion, decode

FAR = 1 << 15


def far(count: int = FAR) -> str:
    return "r1 = r2\n" * count


def instructions(text: str, order: ByteOrder = ByteOrder.LITTLE, reading: Reading = Reading.BEST) -> list[str]:
    """The instructions of .text, as names with what they jump by; `mov_reg` left out."""
    section = assemble(text, byte_order=order, reading=reading).section(".text")
    assert section
    found = []
    for offset in range(0, len(section.data), 8):
        instruction = decode(section.data, offset, order)
        if instruction.opcode.name != "mov_reg":
            found.append(f"{instruction.opcode.name} {instruction.off or instruction.imm:+d}")
    return found


def test_a_jump_that_just_reaches_stays_short() -> None:
    assert instructions(f"goto 1f\n{far(FAR - 1)}1: exit\n") == ["ja +32767", "exit +0"]
    assert instructions(f"1: {far(FAR - 1)}goto 1b\n") == ["ja -32768"]


@pytest.mark.parametrize("order", ByteOrder)
@pytest.mark.parametrize("reading", [Reading.SHAPES, Reading.BATCHES])
def test_jumps_that_do_not_reach_become_long(order: ByteOrder, reading: Reading) -> None:
    assert instructions(f"goto 1f\n{far()}1: exit\n", order, reading) == ["jal +32768", "exit +0"]
    assert instructions(f"1: {far()}goto 1b\n", order, reading) == ["jal -32769"]
    assert instructions(f"if r1 s> r2 goto 1f\n{far()}1: exit\n", order, reading) == [
        *("jsgt_reg +1", "ja +1", "jal +32768", "exit +0"),
    ]


def test_a_long_jump_can_make_another_one_long() -> None:
    # The inner jump just reaches, until the conditional one inside its way grows by two instructions.
    text = f"goto 1f\nif r1 == 2 goto 2f\n{far(FAR - 2)}1: exit\nr1 = r2\n2: exit\n"
    assert instructions(text) == ["jal +32769", "jeq_imm +1", "ja +1", "jal +32768", "exit +0", "exit +0"]


def test_places_behind_a_long_jump_move() -> None:
    obj = assemble(f"if r1 == 2 goto 2f\nhere: {far()}2: exit\n.size here, 2b-here\n.data\n.quad here\n")
    here = obj.symbol("here")
    assert here is not None
    assert (here.st_value, here.st_size) == (24, 8 * FAR)
    data = obj.section(".data")
    assert data is not None
    assert data.data == (24).to_bytes(8, "little")


@pytest.mark.parametrize(
    "options", [Options(relax=False), Options(isa=IsaVersion.V3), Options(relax=False, reading=Reading.BATCHES)]
)
def test_without_long_jumps_what_does_not_reach_is_an_error(options: Options) -> None:
    for text, distance in ((f"goto 1f\n{far()}1: exit\n", 32768), (f"1: {far()}goto 1b\n", -32769)):
        with pytest.raises(BpfasError) as raised:
            assemble_sources([Source("x.s", text)], "x.o", options)
        assert f"jump target is {distance} instructions away, out of the range -32768 to 32767" in str(
            raised.value
        )


def test_a_weak_target_is_left_to_the_linker() -> None:
    section = assemble(f".weak w\ngoto w\n{far()}w: exit\n").section(".text")
    assert section
    assert len(section.relocations) == 1
    assert decode(section.data).opcode.name == "ja"


def test_a_number_is_never_lengthened() -> None:
    assert instructions(f"goto +5\n{far()}") == ["ja +5"]


@pytest.mark.parametrize(
    "text",
    ["ja 40000", "goto +40000", "if r1 == 2 goto +40000", "jeq %r1, 2, 40000", "may_goto +40000", "jal 1 << 31",
     "x = 40000; ja x", "ja y; y = 40000"],
)  # fmt: skip
def test_a_number_that_a_jump_cannot_say_is_an_error_and_no_jump_back(text: str) -> None:
    for reading in Reading:
        with pytest.raises(BpfasError, match=r"out of range -(32768 to 32767|2147483648 to 2147483647)"):
            assemble(text, reading=reading)
