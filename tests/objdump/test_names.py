"""Symbols that a source cannot name, places without a label, relocations that no operand stands for."""

from __future__ import annotations

import pytest

from bpfas.asm import assemble
from bpfas.elf.constants import SectionFlag, SymbolBinding, SymbolType
from bpfas.isa import BY_NAME, Dialect, Instruction, encode
from bpfas.objdump.disassemble import disassemble
from bpfas.objdump.labels import written_name
from bpfas.objfile import ObjectFile, Relocation, Section, SpecialSection, Symbol
from bpfas.reloc import RelocationNumber

CODE = SectionFlag.ALLOC | SectionFlag.EXECINSTR


def code(*instructions: Instruction | bytes) -> Section:
    data = b"".join(i if isinstance(i, bytes) else encode(i) for i in instructions)
    return Section(".text", sh_flags=CODE, sh_addralign=8, data=data)


def text_of(obj: ObjectFile) -> str:
    return "".join(f"{line}\n" for line in disassemble(obj, everything=True))


def assert_same_code(obj: ObjectFile) -> ObjectFile:
    """Both dialects give the bytes of .text; the object that the last one assembles to."""
    for dialect in Dialect:
        again = assemble("".join(f"{line}\n" for line in disassemble(obj, dialect, everything=True)))
        ours, theirs = again.section(".text"), obj.section(".text")
        assert ours
        assert theirs
        assert bytes(ours.data).hex(" ", 8) == bytes(theirs.data).hex(" ", 8)
    return again


EXIT = Instruction(BY_NAME["exit"])


@pytest.mark.parametrize(
    "name", ["r1", "R10", "w0", "fp", "pc", "if", "goto", "ll", "skb", "1a", "a b", "f@V", 'q"\\']
)
def test_names_that_are_no_words_stand_in_quotes(name: str) -> None:
    section = code(EXIT, Instruction(BY_NAME["lddw"], dst=1), Instruction(BY_NAME["lddw_map"], dst=1))
    symbol = Symbol(name, section, 8, st_bind=SymbolBinding.GLOBAL)
    section.relocations = [Relocation(at, RelocationNumber.R_BPF_64_64, symbol) for at in (8, 24)]
    again = assert_same_code(ObjectFile("x.o", sections=[section], symbols=[symbol]))
    assert [found.name for found in again.symbols] == [name]


@pytest.mark.parametrize("name", [".", "", "a\nb"])
def test_names_that_a_source_cannot_use(name: str) -> None:
    assert written_name(name) is None
    section = code(EXIT, EXIT)
    obj = ObjectFile("x.o", sections=[section], symbols=[Symbol(name, section, 8, st_bind=SymbolBinding.GLOBAL)])
    assert "# symbol_1 is " in text_of(obj)
    again = assert_same_code(obj)
    assert [symbol.name for symbol in again.symbols] == ["symbol_1"]


def test_local_symbols_of_one_name_keep_their_places() -> None:
    section = code(Instruction(BY_NAME["ja"], off=0), EXIT, Instruction(BY_NAME["ja"], off=-3))
    obj = ObjectFile("x.o", sections=[section], symbols=[Symbol("loop", section, at) for at in (0, 8)])
    assert ".Lsymbol_2:" in text_of(obj)
    assert_same_code(obj)


def test_generated_labels_avoid_the_objects_names() -> None:
    section = code(Instruction(BY_NAME["ja"], off=0), EXIT)
    obj = ObjectFile("x.o", sections=[section], symbols=[Symbol(".L1_8", section, 0)])
    assert "ja .L1_8_ " in text_of(obj)
    assert_same_code(obj)


def test_a_branch_to_a_global_function_does_not_become_a_relocation() -> None:
    section = code(Instruction(BY_NAME["call_pseudo"], imm=0), EXIT)
    for bind in SymbolBinding:
        symbol = Symbol("function", section, 8, st_bind=bind)
        again = assert_same_code(ObjectFile("x.o", sections=[section], symbols=[symbol]))
        assert [found.relocations for found in again.sections if found.is_code] == [[]]


def test_a_branch_into_an_instruction_stays_a_number() -> None:
    section = code(Instruction(BY_NAME["ja"], off=1), Instruction(BY_NAME["lddw"], dst=1, imm=5), EXIT)
    obj = ObjectFile("x.o", sections=[section])
    assert "ja +1 " in text_of(obj)
    assert_same_code(obj)


def test_a_branch_out_of_the_section_stays_a_number() -> None:
    section = code(Instruction(BY_NAME["jal"], imm=-1000), Instruction(BY_NAME["call_pseudo"], imm=99))
    obj = ObjectFile("x.o", sections=[section])
    assert "jal -1000 " in text_of(obj)
    assert "call pc+99 " in text_of(obj)
    assert_same_code(obj)


@pytest.mark.parametrize("value", [4, 12, 20, 1000])
def test_a_symbol_inside_an_instruction_or_beyond_the_end_keeps_its_value(value: int) -> None:
    section = code(Instruction(BY_NAME["lddw"], dst=1), EXIT)
    obj = ObjectFile(
        "x.o", sections=[section], symbols=[Symbol("odd", section, value, st_bind=SymbolBinding.GLOBAL)]
    )
    again = assert_same_code(obj)
    assert [(symbol.name, symbol.st_value) for symbol in again.symbols] == [("odd", value)]


def test_bytes_that_are_no_instruction_are_data_with_the_reason() -> None:
    obj = ObjectFile("x.o", sections=[code(EXIT, bytes.fromhex("0710000000000000"), b"\x95\x00\x00")])
    text = text_of(obj)
    assert ".byte 0x07, 0x10, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00 # 8: add_imm: src is 1, not 0" in text
    assert ".byte 0x95, 0x00, 0x00               # 10: 3 bytes are left; an instruction has 8" in text
    again = assemble(text).section(".text")
    assert again
    assert bytes(again.data).startswith(bytes(obj.sections[0].data))


@pytest.mark.parametrize(
    ("row", "r_type"),
    [("exit", RelocationNumber.R_BPF_64_64), ("call", RelocationNumber.R_BPF_64_32), ("add_imm", 77)],
)
def test_a_relocation_that_no_operand_stands_for_is_named_in_the_comment(row: str, r_type: int) -> None:
    section = code(Instruction(BY_NAME[row]))
    symbol = Symbol("there", st_bind=SymbolBinding.GLOBAL)
    section.relocations.append(Relocation(0, r_type, symbol))
    obj = ObjectFile("x.o", sections=[section], symbols=[symbol])
    assert "not written: " in text_of(obj)
    assert_same_code(obj)


def test_two_relocations_of_one_place() -> None:
    section = Section(".data", sh_flags=SectionFlag.ALLOC, data=bytes(12))
    symbols = [Symbol(name, st_bind=SymbolBinding.GLOBAL) for name in "ab"]
    for at, symbol in zip((0, 4), symbols, strict=True):
        section.relocations.append(Relocation(at, RelocationNumber.R_BPF_64_ABS64, symbol))
    text = text_of(ObjectFile("x.o", sections=[section], symbols=symbols))
    assert "# not written: R_BPF_64_ABS64 at 4 b\n" in text
    again = assemble(text).section(".data")
    assert again
    assert bytes(again.data) == bytes(12)


def test_a_map_known_by_its_section_is_a_pseudo_load() -> None:
    maps = Section("maps", sh_flags=SectionFlag.ALLOC | SectionFlag.WRITE, data=bytes(40))
    section = code(Instruction(BY_NAME["ld_pseudo"], dst=1, src=1, imm=20), EXIT)
    symbol = Symbol("", maps, st_type=SymbolType.SECTION)
    section.relocations.append(Relocation(0, RelocationNumber.R_BPF_64_64, symbol))
    obj = ObjectFile("x.o", sections=[section, maps], symbols=[symbol])
    assert "ld_pseudo %r1, 1, .L2_14 " in text_of(obj)
    assert_same_code(obj)


@pytest.mark.parametrize("r_type", [RelocationNumber.R_BPF_64_ABS32, RelocationNumber.R_BPF_64_NODYLD32])
@pytest.mark.parametrize("flags", [CODE, SectionFlag.ALLOC | SectionFlag.WRITE])
def test_a_32_bit_datum_keeps_its_relocation_type(r_type: RelocationNumber, flags: SectionFlag) -> None:
    home = Section("home", sh_flags=flags, sh_addralign=8, data=encode(EXIT) * 2)
    values = Section(".values", data=bytes.fromhex("08000000"))
    symbol = Symbol("", home, st_type=SymbolType.SECTION)
    values.relocations.append(Relocation(0, r_type, symbol))
    again = assemble(text_of(ObjectFile("x.o", sections=[home, values], symbols=[symbol]))).section(".values")
    assert again
    assert bytes(again.data) == values.data
    assert [relocation.r_type for relocation in again.relocations] == [r_type]


@pytest.mark.parametrize("addend", [-8, 4, 800])
def test_a_place_that_can_have_no_label_is_counted_from_the_sections_start(addend: int) -> None:
    """Before the section, inside an instruction, and beyond the end."""
    other = Section("other", sh_flags=CODE, sh_addralign=8, data=encode(EXIT) * 2)
    section = code(Instruction(BY_NAME["lddw"], dst=1, imm=addend & 0xFFFFFFFF))
    symbol = Symbol("", other, st_type=SymbolType.SECTION)
    section.relocations.append(Relocation(0, RelocationNumber.R_BPF_64_64, symbol))
    obj = ObjectFile("x.o", sections=[section, other], symbols=[symbol])
    assert f"lddw %r1, .L2_0{addend:+d} " in text_of(obj)
    assert_same_code(obj)


def test_a_relocation_against_a_file_is_a_number() -> None:
    file = Symbol("a.c", SpecialSection.ABS, st_type=SymbolType.FILE)
    data = Section(".data", sh_flags=SectionFlag.ALLOC | SectionFlag.WRITE, data=bytes((5, 0, 0, 0)))
    data.relocations.append(Relocation(0, RelocationNumber.R_BPF_64_ABS32, file))
    obj = ObjectFile("a.o", sections=[data], symbols=[file])
    again = assemble("\n".join(disassemble(obj, everything=True))).section(".data")
    assert again
    assert again.data == data.data
