"""What calls, loads and data say after their sections have moved."""

from __future__ import annotations

import struct

import pytest

from bpfas.asm import assemble
from bpfas.diag import BpfasError
from bpfas.elf.constants import ByteOrder, SectionType, SymbolBinding, SymbolType
from bpfas.link.linker import link
from bpfas.link.options import LinkOptions, Unresolved
from bpfas.objfile import Relocation, Section, SpecialSection, Symbol
from bpfas.reloc import RelocationNumber
from tests.link.builders import (
    ABS32,
    ABS64,
    CALL,
    EXIT,
    JUMP16,
    LOAD,
    call,
    code,
    data,
    extern,
    glob,
    imm_at,
    ja,
    lddw,
    link_errors,
    obj,
    relocated,
    section_of,
    section_symbol,
    weak,
)


def one_reloc(section: Section) -> Relocation:
    (reloc,) = section.relocations
    return reloc


def test_a_call_inside_the_output_section_is_settled() -> None:
    helper = code(".text", EXIT, EXIT)
    main = relocated(code(".text", call(), EXIT), (0, CALL, extern("helper")))
    linked = link([obj("a.o", main), obj("b.o", helper, glob("helper", helper, 8))])
    text = section_of(linked, ".text")
    # From instruction 0 to instruction 3: 2 instructions lie between.
    assert imm_at(text, 0) == 2
    assert text.relocations == []


def test_a_call_backwards_is_settled() -> None:
    helper = code(".text", EXIT)
    main = relocated(code(".text", EXIT, call()), (8, CALL, extern("helper")))
    linked = link([obj("b.o", helper, glob("helper", helper)), obj("a.o", main)])
    assert imm_at(section_of(linked, ".text"), 16) == -3


def test_a_call_to_a_named_symbol_of_another_section_is_left_to_the_loader() -> None:
    helper = code(".text", EXIT, EXIT)
    main = relocated(code("xdp", call(), EXIT), (0, CALL, extern("helper")))
    linked = link([obj("a.o", code(), main), obj("b.o", helper, glob("helper", helper, 8))])
    reloc = one_reloc(section_of(linked, "xdp"))
    assert (reloc.r_offset, reloc.r_type, reloc.symbol.st_value) == (0, CALL, 16)
    assert imm_at(section_of(linked, "xdp"), 0) == -1


def test_a_call_to_a_section_symbol_counts_from_the_joined_sections_start() -> None:
    # Clang calls a static function of .text so: imm is its offset in instructions, less one.
    text = code(".text", EXIT, EXIT)
    main = relocated(code("xdp", call(1 - 1), EXIT), (0, CALL, section_symbol(text)))
    linked = link([obj("a.o", code(".text", EXIT, EXIT, EXIT)), obj("b.o", text, main)])
    assert imm_at(section_of(linked, "xdp"), 0) == 3 + 1 - 1
    assert one_reloc(section_of(linked, "xdp")).symbol.section is section_of(linked, ".text")


def test_a_call_without_relocation_moves_with_its_section() -> None:
    linked = link([obj("a.o", code()), obj("b.o", code(".text", call(1), EXIT, EXIT))])
    assert imm_at(section_of(linked, ".text"), 8) == 1


def test_a_weak_call_to_a_weak_function_stays_open() -> None:
    # A later link may bring a strong definition.
    text = relocated(code(".text", call(), EXIT), (0, CALL, weak("f", SpecialSection.UNDEF)))
    other = code()
    linked = link([obj("a.o", text), obj("b.o", other, weak("f", other))])
    assert one_reloc(section_of(linked, ".text")).symbol.name == "f"
    assert imm_at(section_of(linked, ".text"), 0) == -1


def test_a_load_of_a_named_symbol_keeps_its_addend() -> None:
    values = data(contents=bytes(8))
    text = relocated(code("xdp", lddw(4), EXIT), (0, LOAD, extern("values")))
    linked = link([obj("a.o", data(), text), obj("b.o", values, glob("values", values))])
    assert imm_at(section_of(linked, "xdp"), 0) == 4


def test_a_load_of_a_section_symbol_counts_from_the_joined_sections_start() -> None:
    values = data(contents=bytes(8))
    text = relocated(code("xdp", lddw(4), EXIT), (0, LOAD, section_symbol(values)))
    linked = link([obj("a.o", data(contents=bytes(12))), obj("b.o", values, text)])
    assert imm_at(section_of(linked, "xdp"), 0) == 16
    assert imm_at(section_of(linked, "xdp"), 8) == 0


def test_relocations_move_with_the_section_that_they_apply_to() -> None:
    text = relocated(code("xdp", EXIT, lddw()), (8, LOAD, extern("v")))
    values = data()
    linked = link([obj("a.o", code("xdp")), obj("b.o", text), obj("c.o", values, glob("v", values))])
    assert one_reloc(section_of(linked, "xdp")).r_offset == 16


@pytest.mark.parametrize(("r_type", "width"), [(ABS32, 4), (ABS64, 8)])
@pytest.mark.parametrize("order", ByteOrder)
def test_data_that_counts_from_a_section_is_adjusted(r_type: int, width: int, order: ByteOrder) -> None:
    target = data(".rodata", bytes(8))
    table = relocated(data(contents=(4).to_bytes(width, order.name_for_int)), (0, r_type, section_symbol(target)))
    linked = link([obj("a.o", data(".rodata", bytes(16)), order=order), obj("b.o", target, table, order=order)])
    assert int.from_bytes(section_of(linked, ".data").data, order.name_for_int) == 20


def test_an_addend_outside_the_field_is_written_into_it() -> None:
    # SHT_RELA becomes SHT_REL, the form that BPF's loaders know.
    values = data()
    text = code("xdp", lddw(), EXIT)
    text.relocations = [Relocation(0, LOAD, section_symbol(values), r_addend=2)]
    linked = link([obj("a.o", data()), obj("b.o", values, text)])
    assert imm_at(section_of(linked, "xdp"), 0) == 6
    assert one_reloc(section_of(linked, "xdp")).r_addend is None


def test_a_number_defined_elsewhere_is_written_where_it_is_used() -> None:
    text = relocated(code("xdp", lddw(), EXIT), (0, LOAD, extern("limit")))
    linked = link([obj("a.o", text), obj("b.o", glob("limit", SpecialSection.ABS, 0x1_0000_0005))])
    assert (imm_at(section_of(linked, "xdp"), 0), imm_at(section_of(linked, "xdp"), 8)) == (5, 1)
    assert section_of(linked, "xdp").relocations == []


def test_a_number_that_its_field_cannot_hold_is_an_error() -> None:
    table = relocated(data(), (0, ABS32, extern("limit")))
    report = link_errors(obj("a.o", table), obj("b.o", glob("limit", SpecialSection.ABS, 1 << 32)))
    assert report == (
        "a.o:(.data+0x0): error: R_BPF_64_ABS32 value 4294967296 is not in the range "
        "-2147483648 to 4294967295 (against limit)"
    )


def test_an_offset_that_grows_out_of_its_field_is_an_error() -> None:
    bss = Section(".bss", 8, 3, 8, nobits_size=1 << 31)
    small = Section(".bss", 8, 3, 8, nobits_size=8)
    text = relocated(code("xdp", lddw(4), EXIT), (0, LOAD, section_symbol(small)))
    assert link_errors(obj("a.o", bss), obj("b.o", small, text)) == (
        "b.o:(xdp+0x0): error: R_BPF_64_64 addend 2147483652 is not in the range "
        "-2147483648 to 2147483647 (against .bss)"
    )


def test_a_16_bit_jump_inside_the_output_section_is_settled() -> None:
    target = code(".text", EXIT)
    text = relocated(code(".text", ja(), EXIT), (0, JUMP16, extern("out")))
    linked = link([obj("a.o", text), obj("b.o", target, glob("out", target))])
    assert section_of(linked, ".text").data[:8] == ja(1)


def test_a_16_bit_jump_to_another_section_is_an_error() -> None:
    target = code("other")
    text = relocated(code(".text", ja(), EXIT), (0, JUMP16, extern("out")))
    report = link_errors(obj("a.o", text), obj("b.o", target, glob("out", target)))
    assert "a.o:(.text+0x0): error: a 16-bit jump cannot leave its section for other" in report


def test_a_16_bit_jump_that_is_too_far_is_an_error() -> None:
    text = relocated(code(".text", ja(), EXIT * 32768), (0, JUMP16, extern("out")))
    target = code()
    report = link_errors(obj("a.o", text), obj("b.o", target, glob("out", target)))
    assert "R_BPF_GNU_64_16 value 32768 is not in the range -32768 to 32767 (against out)" in report


def test_the_offset_of_a_load_is_no_place_for_a_jump() -> None:
    load = bytes.fromhex("7910000000000000")
    text = relocated(code(".text", load, EXIT), (0, JUMP16, glob("f", SpecialSection.ABS, 8)))
    assert "R_BPF_GNU_64_16 needs a jump; the instruction's opcode is 0x79" in link_errors(obj("a.o", text))


def test_a_call_between_instructions_is_an_error() -> None:
    target = code(".text", EXIT, EXIT)
    text = relocated(code(".text", call(), EXIT), (0, CALL, extern("f")))
    report = link_errors(obj("a.o", text), obj("b.o", target, glob("f", target, 4)))
    assert "20 bytes away, which is not a whole number of instructions (against f)" in report


def test_an_unknown_relocation_type_is_an_error() -> None:
    text = relocated(code(), (0, 77, extern("f")))
    report = link_errors(obj("a.o", text), options=LinkOptions(unresolved=Unresolved.IGNORE))
    assert report == "a.o:(.text+0x0): error: unknown relocation type 77 against f"


def test_a_relocation_that_does_nothing_is_dropped() -> None:
    text = relocated(code(), (0, RelocationNumber.R_BPF_NONE, extern("f")))
    assert section_of(link([obj("a.o", text)]), ".text").relocations == []


def test_a_reference_to_a_section_that_was_dropped_is_an_error() -> None:
    types = Section(".llvm_addrsig", SectionType.LLVM_ADDRSIG)
    text = relocated(code(".text", lddw()), (0, LOAD, section_symbol(types)))
    report = link_errors(obj("a.o", text, types), obj("b.o"))
    assert report.endswith(
        "a.o:(.text+0x0): error: R_BPF_64_64 against .llvm_addrsig, which the output does not hold"
    )


def test_debug_information_of_two_objects_keeps_its_references() -> None:
    def debug(text: bytes) -> list[Section]:
        strings = Section(".debug_str", sh_flags=0x30, sh_entsize=1, data=text)
        info = relocated(Section(".debug_info", data=bytes(4)), (0, ABS32, section_symbol(strings)))
        return [strings, info]

    linked = link([obj("a.o", *debug(b"one\0")), obj("b.o", *debug(b"two\0"))])
    assert struct.unpack("<2i", section_of(linked, ".debug_info").data) == (0, 4)


def test_relocations_of_a_license_that_is_kept_once_are_kept_once() -> None:
    objects = [
        obj(f"{name}.o", relocated(data("version", bytes(8), 8), (0, ABS64, weak("here", SpecialSection.UNDEF))))
        for name in "ab"
    ]
    assert len(section_of(link(objects), "version").relocations) == 1


@pytest.mark.parametrize("order", ByteOrder)
def test_a_call_of_a_number_is_a_call_of_a_helper(order: ByteOrder) -> None:
    caller = assemble("call number\nexit\n", "caller.s", order)
    number = assemble(".globl number\n.set number, 6\n", "number.s", order)
    section = link([caller, number]).section(".text")
    assert section
    assert not section.relocations
    assert section.data == getattr(assemble("call 6\nexit\n", byte_order=order).section(".text"), "data", None)


def test_a_number_that_no_helper_can_have_is_an_error() -> None:
    caller, number = (
        assemble("call number\n", "caller.s"),
        assemble(".globl number\n.set number, -1\n", "number.s"),
    )
    with pytest.raises(BpfasError, match="a helper's number is in the range 0 to 2147483647"):
        link([caller, number])


def jump_table(name: str, targets: list[int], order: ByteOrder, before: int = 0) -> tuple[Section, Symbol]:
    """A section .jumptables whose table counts from the start of the code that loads its address."""
    words = b"".join(target.to_bytes(8, order.name_for_int) for target in targets)
    section = Section(".jumptables", data=bytes(before) + words)
    return section, Symbol(name, section, before, len(words), SymbolBinding.GLOBAL, SymbolType.OBJECT)


@pytest.mark.parametrize("order", ByteOrder)
def test_jump_tables_follow_their_code(order: ByteOrder) -> None:
    objects = []
    for number, targets in enumerate(([16, 24], [24, 16, 24])):
        table, symbol = jump_table("BPF.JT.0.0", targets, order, before=8 * number)
        text = relocated(code("xdp", lddw(), EXIT, EXIT), (0, LOAD, symbol))
        objects.append(obj(f"{number}.o", text, table, symbol, order=order))
    tables = bytes(section_of(link(objects), ".jumptables").data)
    words = [int.from_bytes(tables[at : at + 8], order.name_for_int) for at in range(0, len(tables), 8)]
    assert words == [16, 24, 0, 32 + 24, 32 + 16, 32 + 24]


def test_a_jump_table_of_no_code_stays_as_it_is() -> None:
    table, symbol = jump_table("BPF.JT.0.0", [16], ByteOrder.LITTLE)
    linked = link([obj("a.o", code("xdp")), obj("b.o", code("xdp"), table, symbol)])
    assert section_of(linked, ".jumptables").data[0] == 16


def test_a_jump_table_that_leads_out_of_its_code_is_an_error() -> None:
    table, symbol = jump_table("BPF.JT.0.0", [16, 1 << 40], ByteOrder.LITTLE)
    text = relocated(code("xdp", lddw(), EXIT), (0, LOAD, symbol))
    assert link_errors(obj("a.o", text, table, symbol)) == (
        "a.o:(.jumptables+0x8): error: BPF.JT.0.0 leads to 0x10000000000 of section xdp, where the output has no "
        "code"
    )


@pytest.mark.parametrize("size", [12, 24])
def test_a_jump_table_of_another_size_than_its_words_is_an_error(size: int) -> None:
    table, symbol = jump_table("BPF.JT.0.0", [16, 16], ByteOrder.LITTLE)
    symbol.st_size = size
    text = relocated(code("xdp", lddw(), EXIT), (0, LOAD, symbol))
    assert link_errors(obj("a.o", text, table, symbol)) == (
        f"a.o:(.jumptables+0x0): error: BPF.JT.0.0 has {size} bytes; a table of jumps is whole words of 8 in its "
        "section"
    )


@pytest.mark.parametrize("r_type", [ABS32, RelocationNumber.R_BPF_64_NODYLD32])
@pytest.mark.parametrize("order", ByteOrder)
def test_words_of_tables_without_addends_in_place(r_type: int, order: ByteOrder) -> None:
    values = data(contents=bytes(8))
    table = Section(".debug_addr", data=bytes(8))
    table.relocations = [Relocation(4, r_type, section_symbol(values), r_addend=4)]
    linked = link([obj("a.o", data(), order=order), obj("b.o", values, table, order=order)])
    found = section_of(linked, ".debug_addr")
    assert int.from_bytes(found.data[4:], order.name_for_int) == 8
    assert one_reloc(found).r_addend is None


def test_an_addend_that_does_not_fit_its_field_is_an_error() -> None:
    values = data()
    text = code("xdp", lddw(), EXIT)
    text.relocations = [Relocation(0, LOAD, section_symbol(values), r_addend=1 << 31)]
    assert link_errors(obj("a.o", values, text)) == (
        "a.o:(xdp+0x0): error: R_BPF_64_64 addend 2147483648 is not in the range -2147483648 to 2147483647 "
        "(against .data)"
    )


def test_a_function_that_became_local_is_referred_to_by_its_section() -> None:
    # libbpf refuses the address of a static function by its own symbol.
    text = code(".text", EXIT, EXIT)
    callback = Symbol("callback", text, 8, 8, SymbolBinding.GLOBAL, SymbolType.FUNC)
    program = relocated(code("xdp", lddw(), EXIT), (0, LOAD, extern("callback")))
    linked = link([obj("a.o", text, callback), obj("b.o", program)], options=LinkOptions(localized=("callback",)))
    reloc = one_reloc(section_of(linked, "xdp"))
    assert reloc.symbol.st_type is SymbolType.SECTION
    assert reloc.symbol.section is section_of(linked, ".text")
    assert imm_at(section_of(linked, "xdp"), 0) == 8
