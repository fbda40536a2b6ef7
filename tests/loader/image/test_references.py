"""Relocations of code: checked against their instructions, and what they become."""

from __future__ import annotations

import pytest

from bpfas.elf.constants import ByteOrder
from bpfas.loader.image.build import build_image
from bpfas.loader.instructions import Code
from bpfas.loader.spec import MapReference, ProgramSpec, ReferenceKind
from bpfas.objfile import Section, SpecialSection, Symbol
from bpfas.reloc import RelocationNumber
from tests.loader.builders import (
    CALL,
    CALL_SYMBOL,
    EXIT,
    LDDW,
    LDDW_MAP,
    LOAD,
    PASS,
    bss,
    code,
    data,
    function,
    image_errors,
    insn,
    label,
    obj,
    relocate,
    section_symbol,
    undefined,
    variable,
    words,
)

MAP = words(1, 4, 8, 16)


def program_with(instruction: bytes, r_type: int, symbol: Symbol, offset: int = 0) -> tuple[Section, Symbol]:
    xdp = code("xdp", instruction, PASS)
    relocate(xdp, offset, r_type, symbol)
    return xdp, function("prog", xdp)


def built(*parts: Section | Symbol) -> ProgramSpec:
    return build_image(obj(*parts)).programs["prog"]


@pytest.mark.parametrize("load", [LDDW, LDDW_MAP])
def test_a_load_of_a_map(load: bytes) -> None:
    maps = data("maps", MAP)
    counts = variable("counts", maps)
    program = built(maps, counts, *program_with(load, LOAD, counts))
    assert program.references == (MapReference(0, "counts", ReferenceKind.MAP_FD),)
    assert program.instructions[:16] == insn("ld_pseudo", dst=1, src=1)


def test_a_load_of_a_local_map_by_its_section() -> None:
    maps = data("maps", MAP + MAP)
    names = (label("a", maps, is_local=True), label("b", maps, 16, is_local=True))
    load = insn("lddw", dst=1, imm=16)
    program = built(maps, *names, *program_with(load, LOAD, section_symbol(maps)))
    assert program.references == (MapReference(0, "b", ReferenceKind.MAP_FD),)


def test_a_load_of_a_variable() -> None:
    section = data(".data", bytes(16))
    program = built(section, *program_with(LDDW, LOAD, variable("x", section, 8)))
    assert program.references == (MapReference(0, ".data", ReferenceKind.MAP_VALUE, 8),)
    assert program.instructions[:16] == insn("ld_pseudo", dst=1, src=2, imm=8 << 32)


def test_the_addend_counts_from_the_symbol() -> None:
    section = bss(".bss", 64)
    load = insn("lddw", dst=3, imm=4)
    program = built(section, *program_with(load, LOAD, variable("x", section, 8)))
    assert program.instructions[:16] == insn("ld_pseudo", dst=3, src=2, imm=12 << 32)


def test_a_reference_in_a_large_section() -> None:
    section = bss(".bss", (1 << 32) - 8)
    program = built(section, *program_with(LDDW, LOAD, variable("x", section, 3 << 30)))
    assert Code(program.instructions, ByteOrder.LITTLE).imm(1) == (3 << 30) - (1 << 32)


def test_a_call_of_a_function_in_text() -> None:
    text = code(".text", EXIT, PASS)
    helper = function("helper", text, 8)
    program = built(text, helper, *program_with(CALL_SYMBOL, CALL, helper))
    assert program.instructions == insn("call_pseudo", imm=2) + PASS + PASS


def test_a_call_by_section_and_addend() -> None:
    text = code(".text", EXIT, PASS)
    parts = (text, function("a", text), function("b", text, 8))
    call = insn("call_pseudo", imm=0)  # the addend is 8 bytes
    assert built(*parts, *program_with(call, CALL, section_symbol(text))).instructions[24:] == PASS


def test_a_call_inside_the_section_that_is_resolved_already() -> None:
    xdp = code("xdp", insn("call_pseudo", imm=1), EXIT, PASS)
    program = built(xdp, function("prog", xdp), function("helper", xdp, 16, is_local=True))
    assert program.instructions == insn("call_pseudo", imm=1) + EXIT + PASS


def test_a_function_of_the_section_is_brought_nearer() -> None:
    xdp = code("xdp", insn("call_pseudo", imm=3), EXIT, PASS, PASS)
    program = built(
        xdp, function("prog", xdp), function("other", xdp, 16), function("helper", xdp, 32, is_local=True)
    )
    assert program.instructions == insn("call_pseudo", imm=1) + EXIT + PASS


def test_a_call_to_a_label_inside_the_function_stays() -> None:
    xdp = code("xdp", insn("call_pseudo", imm=1), EXIT, PASS)
    assert built(xdp, label("prog", xdp)).instructions == bytes(xdp.data)


def test_the_address_of_a_function() -> None:
    text = code(".text", PASS)
    program = built(text, function("callback", text), *program_with(LDDW, LOAD, section_symbol(text))).instructions
    # lddw (2 slots), mov, exit; the callback is at slot 4 and counted from slot 1.
    assert program[:16] == insn("ld_pseudo", dst=1, src=4, imm=3)


def test_relocations_outside_functions_are_not_looked_at() -> None:
    xdp = code("xdp", PASS, CALL_SYMBOL, EXIT)
    relocate(xdp, 16, CALL, undefined("gone"))
    assert built(xdp, function("prog", xdp, 0, 16)).instructions == PASS


def test_relocations_of_type_none_do_nothing() -> None:
    section = data(".data", bytes(8))
    none = undefined("nothing")
    relocate(section, 0, RelocationNumber.R_BPF_NONE, none)
    parts = program_with(insn("mov_imm", dst=1), RelocationNumber.R_BPF_NONE, none)
    assert built(section, *parts).instructions == insn("mov_imm", dst=1) + PASS


def test_an_undefined_symbol_is_an_error_that_says_to_link() -> None:
    for instruction, r_type in ((CALL_SYMBOL, CALL), (LDDW, LOAD)):
        errors = image_errors(*program_with(instruction, r_type, undefined("helper")))
        assert errors.startswith("app.o:(xdp+0x0): error: undefined symbol: helper\n>>> link it")


def test_an_undefined_helper_is_an_error_that_says_its_number() -> None:
    errors = image_errors(*program_with(CALL_SYMBOL, CALL, undefined("bpf_map_lookup_elem")))
    assert (
        "undefined symbol: bpf_map_lookup_elem\n>>> it is a helper, which is called by its number: call 1"
        in errors
    )


@pytest.mark.parametrize(
    ("instruction", "r_type", "words_"),
    [
        (CALL_SYMBOL, LOAD, "R_BPF_64_64 applies to a 64-bit immediate load, but the opcode is 0x85"),
        (LDDW, CALL, "R_BPF_64_32 applies to a call, but the opcode is 0x18"),
        (insn("mov_imm", dst=1), LOAD, "but the opcode is 0xb7"),
        (insn("jal"), CALL, "R_BPF_64_32 applies to a call, but the opcode is 0x06"),
        (insn("ja"), RelocationNumber.R_BPF_GNU_64_16, "R_BPF_GNU_64_16 against 'x' cannot be applied"),
        (LDDW, RelocationNumber.R_BPF_64_ABS64, "R_BPF_64_ABS64 against 'x' cannot be applied"),
        (LDDW, 77, "unknown relocation type 77 against 'x' cannot be applied"),
    ],
)
def test_a_type_that_does_not_suit_its_instruction_is_an_error(
    instruction: bytes, r_type: int, words_: str
) -> None:
    section = data(".data", bytes(8))
    assert words_ in image_errors(section, *program_with(instruction, r_type, variable("x", section)))


@pytest.mark.parametrize("offset", [4, 8, 1])
def test_a_relocation_inside_an_instruction_is_an_error(offset: int) -> None:
    section = data(".data", bytes(8))
    errors = image_errors(section, *program_with(LDDW, LOAD, variable("x", section), offset))
    assert f"app.o:(xdp+{offset:#x}): error: R_BPF_64_64 does not apply to the start" in errors


def test_two_relocations_of_an_instruction_are_an_error() -> None:
    section = data(".data", bytes(8))
    xdp, prog = program_with(LDDW, LOAD, variable("x", section))
    relocate(xdp, 0, LOAD, variable("y", section))
    assert "a second relocation for the same instruction" in image_errors(section, xdp, prog)


def test_a_source_register_that_does_not_suit_the_symbol_is_an_error() -> None:
    section, maps, text = data(".data", bytes(8)), data("maps", MAP), code(".text", PASS)
    m = variable("m", maps)
    helper = function("helper", text)
    errors = image_errors(section, *program_with(LDDW_MAP, LOAD, variable("x", section)))
    assert "the instruction that refers to 'x' in '.data' has src_reg 1, not 0 or 2\n>>> %map()" in errors
    errors = image_errors(maps, m, *program_with(insn("ld_pseudo", src=3), LOAD, m))
    assert "refers to map 'm' has src_reg 3, not 0 or 1" in errors
    errors = image_errors(text, helper, *program_with(LDDW_MAP, LOAD, helper))
    assert "refers to function 'helper' has src_reg 1, not 0 or 4" in errors
    errors = image_errors(text, helper, *program_with(insn("call", imm=-1), CALL, helper))
    assert "refers to 'helper' has src_reg 0, not 1" in errors


def test_a_place_inside_a_map_definition_is_an_error() -> None:
    maps = data("maps", MAP)
    m = variable("m", maps)
    errors = image_errors(maps, m, *program_with(insn("lddw", dst=1, imm=4), LOAD, m))
    assert "no map definition begins at 'm+0x4'" in errors


@pytest.mark.parametrize("addend", [8, -1, 1000])
def test_a_place_outside_a_data_section_is_an_error(addend: int) -> None:
    section = data(".data", bytes(8))
    load = insn("lddw", dst=1, imm=addend)
    errors = image_errors(section, *program_with(load, LOAD, variable("x", section)))
    assert f"'x{addend:+#x}' is outside section '.data'\n>>> the offset is {addend}" in errors


def test_a_place_that_is_no_function_is_an_error() -> None:
    text = code(".text", PASS, PASS)
    parts = (text, function("helper", text))
    errors = image_errors(*parts, *program_with(insn("call_pseudo", imm=0), CALL, section_symbol(text)))
    assert "no function begins at '.text+0x8'\n>>> mark the function with .type" in errors


def test_a_call_out_of_the_section_is_an_error() -> None:
    xdp = code("xdp", insn("call_pseudo", imm=100), EXIT)
    assert "no function begins at 'xdp+0x328'" in image_errors(xdp, function("prog", xdp))


def test_data_in_other_sections_is_an_error() -> None:
    other = data("license", b"GPL\0")
    errors = image_errors(other, *program_with(LDDW, LOAD, variable("text", other)))
    assert "'text' is in section 'license', which is not loaded into the kernel" in errors


@pytest.mark.parametrize(
    ("special", "words_"),
    [
        (SpecialSection.ABS, "absolute"),
        (SpecialSection.COMMON, "common"),
        (SpecialSection.UNDEF, "undefined local"),
    ],
)
def test_symbols_without_a_section_are_errors(special: SpecialSection, words_: str) -> None:
    errors = image_errors(*program_with(LDDW, LOAD, Symbol("x", special)))
    assert f"{words_} symbol, which has no place in a section" in errors


def test_all_errors_come_in_one_run() -> None:
    xdp = code("xdp", CALL_SYMBOL, LDDW, EXIT)
    relocate(xdp, 0, CALL, undefined("a"))
    relocate(xdp, 8, LOAD, undefined("b"))
    errors = image_errors(xdp, function("prog", xdp), data("version", b"1"), data(".maps", b"xx"))
    assert [line.split(": error: ")[0] for line in errors.splitlines() if "error" in line] == [
        "app.o:(.maps+0x0)",
        "app.o:(xdp+0x0)",
        "app.o:(xdp+0x8)",
    ]
