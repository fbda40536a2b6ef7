"""Images as a whole: subprograms, license and version, byte orders, what is refused."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

from bpfas.elf.constants import ByteOrder
from bpfas.loader.image.build import build_image
from bpfas.loader.kinds import AttachType, ProgramType
from tests.loader.builders import (
    CALL,
    CALL_SYMBOL,
    EXIT,
    LOAD,
    PASS,
    code,
    data,
    function,
    image_errors,
    insn,
    obj,
    relocate,
    undefined,
    variable,
)

if TYPE_CHECKING:
    from bpfas.objfile import Section, Symbol


def call(section: Section, slot: int, target: Symbol) -> None:
    relocate(section, 8 * slot, CALL, target)


def imms(instructions: bytes) -> list[int]:
    """The imm of every call of a function."""
    slots = struct.iter_unpack("<BBhi", instructions)
    return [imm for opcode, registers, _, imm in slots if (opcode, registers) == (0x85, 0x10)]


def test_a_program_carries_what_its_section_says() -> None:
    xdp = code("xdp/devmap", PASS)
    parts = (xdp, function("prog", xdp), data("license", b"GPL\0rest"), data("version", b"\1\2\3\0"))
    image = build_image(obj(*parts, name="dir/app.bpf.o"))
    program = image.programs["prog"]
    assert image.name == "app"
    assert (program.program_type, program.expected_attach_type) == (ProgramType.XDP, AttachType.XDP_DEVMAP)
    assert (program.license, program.kernel_version) == (b"GPL", 0x30201)
    assert (program.instructions, program.instruction_count) == (PASS, 2)


def test_a_program_without_a_license_has_an_empty_one() -> None:
    xdp = code("xdp", PASS)
    assert build_image(obj(xdp, function("prog", xdp))).programs["prog"].license == b""


def test_a_license_is_cut_at_63_bytes() -> None:
    xdp = code("xdp", PASS)
    image = build_image(obj(xdp, function("prog", xdp), data("license", b"x" * 100)))
    assert image.programs["prog"].license == b"x" * 63


def test_a_version_of_another_size_is_an_error() -> None:
    xdp = code("xdp", PASS)
    errors = image_errors(xdp, function("prog", xdp), data("version", b"123"))
    assert "section 'version' has 3 bytes" in errors


def test_functions_are_appended_depth_first_and_once() -> None:
    text = code(".text", *(insn("mov_imm", dst=0, imm=1), CALL_SYMBOL, EXIT), *(CALL_SYMBOL, EXIT), PASS)
    outer, middle, leaf = (
        function("outer", text, 0),
        function("middle", text, 24),
        function("leaf", text, 40),
    )
    call(text, 1, middle)
    call(text, 3, leaf)
    xdp = code("xdp", CALL_SYMBOL, CALL_SYMBOL, EXIT)
    call(xdp, 0, outer)
    call(xdp, 1, leaf)
    program = build_image(obj(text, xdp, outer, middle, leaf, function("prog", xdp))).programs["prog"]
    # prog 0-2, outer 3-5, middle 6-7, leaf 8-9
    assert program.instruction_count == 10
    assert imms(program.instructions) == [3 - 0 - 1, 8 - 1 - 1, 6 - 4 - 1, 8 - 6 - 1]


def test_each_program_has_its_own_copy() -> None:
    text = code(".text", PASS)
    helper = function("helper", text)
    xdp = code("xdp", CALL_SYMBOL, EXIT, PASS, CALL_SYMBOL, EXIT)
    call(xdp, 0, helper)
    call(xdp, 4, helper)
    parts = (text, xdp, helper, function("a", xdp), function("b", xdp, 16))
    programs = build_image(obj(*parts)).programs
    assert programs["a"].instructions == insn("call_pseudo", imm=1) + EXIT + PASS
    assert programs["b"].instructions == PASS + insn("call_pseudo", imm=1) + EXIT + PASS


def test_functions_that_nobody_calls_are_left_out() -> None:
    text, xdp = code(".text", PASS), code("xdp", PASS)
    image = build_image(obj(text, xdp, function("helper", text), function("prog", xdp)))
    assert image.programs["prog"].instructions == PASS


def test_recursion_ends() -> None:
    text = code(".text", CALL_SYMBOL, EXIT, CALL_SYMBOL, EXIT)
    ping, pong = function("ping", text), function("pong", text, 16)
    call(text, 0, pong)
    call(text, 2, ping)
    xdp = code("xdp", CALL_SYMBOL, EXIT)
    call(xdp, 0, ping)
    program = build_image(obj(text, xdp, ping, pong, function("prog", xdp))).programs["prog"]
    assert imms(program.instructions) == [1, 1, -3]


def test_a_program_may_call_itself() -> None:
    xdp = code("xdp", CALL_SYMBOL, EXIT)
    prog = function("prog", xdp)
    call(xdp, 0, prog)
    assert imms(build_image(obj(xdp, prog)).programs["prog"].instructions) == [-1]


def test_long_chains_of_calls() -> None:
    length = 5000
    text = code(".text", *[CALL_SYMBOL, EXIT] * length, PASS)
    chain = [function(f"f{index}", text, 16 * index) for index in range(length + 1)]
    for index in range(length):
        call(text, 2 * index, chain[index + 1])
    xdp = code("xdp", CALL_SYMBOL, EXIT)
    call(xdp, 0, chain[0])
    program = build_image(obj(text, xdp, *chain, function("prog", xdp))).programs["prog"]
    assert imms(program.instructions) == [1] * (length + 1)


def test_references_of_a_function_move_with_it() -> None:
    section, text = data(".data", bytes(8)), code(".text", insn("lddw", dst=1), PASS)
    relocate(text, 0, LOAD, variable("x", section, 4))
    helper = function("helper", text)
    xdp = code("xdp", CALL_SYMBOL, EXIT)
    call(xdp, 0, helper)
    program = build_image(obj(section, text, xdp, helper, function("prog", xdp))).programs["prog"]
    (reference,) = program.references
    assert (reference.instruction, reference.offset) == (2, 4)
    assert program.instructions[16:32] == insn("ld_pseudo", dst=1, src=2, imm=4 << 32)


def test_an_image_of_the_other_byte_order() -> None:
    big = ByteOrder.BIG
    section = data(".data", bytes(8))
    text = code(".text", insn("exit", big))
    xdp = code("xdp", insn("lddw", big, dst=1), insn("call_pseudo", big, imm=-1), insn("exit", big))
    relocate(xdp, 0, LOAD, variable("x", section, 4))
    helper = function("helper", text)
    relocate(xdp, 16, CALL, helper)
    image = build_image(obj(section, text, xdp, helper, function("prog", xdp), order=big))
    assert image.programs["prog"].instructions == b"".join(
        (
            insn("ld_pseudo", big, dst=1, src=2, imm=4 << 32),
            insn("call_pseudo", big, imm=1),
            insn("exit", big),
            insn("exit", big),
        )
    )


def test_building_twice_gives_the_same_and_leaves_the_object_alone() -> None:
    section, xdp = data(".data", bytes(8)), code("xdp", insn("lddw", dst=1), PASS)
    relocate(xdp, 0, LOAD, variable("x", section, 4))
    source = obj(section, xdp, function("prog", xdp))
    before = bytes(xdp.data)
    assert build_image(source) == build_image(source)
    assert xdp.data == before


def test_an_object_without_maps_and_programs_is_an_error() -> None:
    text = code(".text", PASS)
    errors = image_errors(text, function("helper", text))
    assert "app.o: error: there is nothing to load: no map and no program" in errors


def test_core_relocations_need_types() -> None:
    header = struct.pack("<HBBIIIIIII", 0xEB9F, 1, 0, 32, 0, 0, 0, 0, 0, 20)
    xdp = code("xdp", PASS)
    parts = (xdp, function("prog", xdp))
    assert "CO-RE relocations, but no types (.BTF)" in image_errors(*parts, data(".BTF.ext", header))


def test_types_that_cannot_be_read_are_left_out_with_a_warning() -> None:
    xdp = code("xdp", PASS)
    image = build_image(obj(xdp, function("prog", xdp), data(".BTF", bytes(24))))
    assert image.types is None
    assert image.kernel_btf is None
    [warning] = image.warnings
    assert "begins with 0x0000" in warning.render()
    assert "the object is loaded without its types" in warning.render()


def test_types_that_cannot_be_read_are_an_error_where_they_are_needed() -> None:
    xdp = code("xdp", PASS)
    assert "begins with 0x0000" in image_errors(
        xdp, function("prog", xdp), data(".BTF", bytes(24)), undefined("somewhere")
    )


@pytest.mark.parametrize(
    "header",
    [b"", bytes(24), struct.pack("<HBBIIIIIII", 0xEB9F, 1, 0, 32, *[0] * 6)],
    ids=["empty", "short", "none"],
)
def test_btf_without_core_relocations_is_taken(header: bytes) -> None:
    xdp = code("xdp", PASS)
    assert build_image(obj(xdp, function("prog", xdp), data(".BTF.ext", header))).programs
