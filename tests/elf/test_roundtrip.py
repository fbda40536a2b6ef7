"""What is written is read back the same, and the same object gives the same bytes."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given

from bpfas.elf.constants import SHN_LORESERVE, SectionFlag, SectionType, SymbolBinding, SymbolType
from bpfas.elf.reader import read_object
from bpfas.elf.writer import write_object
from bpfas.objfile import Group, ObjectFile, Relocation, Section, Symbol
from bpfas.reloc import RelocationNumber
from tests.elf.samples import Image, sample
from tests.elf.strategies import essence, objects


@given(objects())
def test_reading_what_was_written_gives_the_object(obj: ObjectFile) -> None:
    assert essence(read_object(write_object(obj), obj.name)) == essence(obj)


@given(objects())
def test_writing_what_was_read_gives_the_file(obj: ObjectFile) -> None:
    written = write_object(obj)
    assert write_object(read_object(written, obj.name)) == written


def test_locals_come_first_and_sh_info_counts_them() -> None:
    image = Image.of(sample())
    symtab = image.header(image.index_of(SectionType.SYMTAB))
    assert symtab["info"] == 2  # the null symbol and `counter`
    names = [symbol.name for symbol in read_object(bytes(image.data), "a.o").symbols]
    assert names == ["counter", "prog", "helper"]


def test_nobits_takes_no_room_in_the_file() -> None:
    obj = ObjectFile("a.o", sections=[Section(".bss", SectionType.NOBITS, 3, 4096, nobits_size=1 << 40)])
    data = write_object(obj)
    assert len(data) < 1000
    assert read_object(data, "a.o").sections[0].sh_size == 1 << 40


def test_contents_stand_at_offsets_that_honour_alignment() -> None:
    obj = ObjectFile("a.o", sections=[Section("a", data=b"x"), Section("b", sh_addralign=4096, data=b"y")])
    assert Image.of(obj).header(2)["offset"] == 4096


def test_a_name_used_twice_stands_in_the_file_once() -> None:
    section = Section("both", data=b"x")
    obj = ObjectFile("a.o", sections=[section], symbols=[Symbol("both", section)])
    assert write_object(obj).count(b"both\0") == 1


def test_a_section_symbol_has_no_name_of_its_own() -> None:
    text = Section(".text")
    obj = ObjectFile("a.o", sections=[text], symbols=[Symbol("named", text, st_type=SymbolType.SECTION)])
    assert read_object(write_object(obj), "a.o").symbols[0].name == ""
    assert b"named" not in write_object(obj)


def test_a_flag_that_speaks_of_a_lost_link_is_not_kept() -> None:
    flags = SectionFlag.ALLOC | SectionFlag.INFO_LINK
    written = write_object(ObjectFile("a.o", sections=[Section(".order", sh_flags=flags)]))
    assert read_object(written, "a.o").sections[0].sh_flags == SectionFlag.ALLOC


def test_relocations_of_a_group_s_member_are_in_the_group() -> None:
    obj = sample()
    group = Section(".group", SectionType.GROUP, 0, 4, 4, group=Group(obj.symbols[0], obj.sections[:1]))
    obj.sections.insert(0, group)
    image = Image.of(obj)
    offset = image.header(1)["offset"]
    assert struct.unpack_from("<III", image.data, offset) == (1, 2, 3)
    assert image.header(3)["flags"] == SectionFlag.INFO_LINK | SectionFlag.GROUP


@pytest.mark.parametrize(
    ("obj", "osabi"),
    [
        (ObjectFile("a.o", sections=[Section("a", sh_flags=SectionFlag.GNU_RETAIN)]), 3),
        (ObjectFile("a.o", symbols=[Symbol("a", st_type=SymbolType.GNU_IFUNC)]), 3),
        (sample(), 0),
    ],
)
def test_what_only_gnu_defines_makes_the_file_one_of_gnu(obj: ObjectFile, osabi: int) -> None:
    assert write_object(obj)[7] == osabi


def missing_member() -> ObjectFile:
    obj = sample()
    obj.sections.append(Section(".group", SectionType.GROUP, group=Group(obj.symbols[0], [Section("other")])))
    return obj


def missing_link() -> ObjectFile:
    obj = sample()
    obj.sections[0].link_order = Section("other")
    return obj


@pytest.mark.parametrize("obj", [missing_member(), missing_link()])
def test_a_reference_to_a_section_of_another_object_is_refused(obj: ObjectFile) -> None:
    with pytest.raises(ValueError, match=r"names Section\('other', 0 bytes\), which is not in the object"):
        write_object(obj)


def test_more_sections_than_a_16_bit_index_counts() -> None:
    sections = [Section("s", data=b"") for _ in range(SHN_LORESERVE + 5)]
    sections[-1].data = bytes(8)
    last = Symbol("last", sections[-1], st_bind=SymbolBinding.GLOBAL)
    sections[-1].relocations = [Relocation(0, RelocationNumber.R_BPF_64_ABS64, last)]
    obj = ObjectFile("a.o", sections=sections, symbols=[Symbol("first", sections[0]), last])
    assert essence(read_object(write_object(obj), "a.o")) == essence(obj)


def test_a_name_with_nul_is_refused() -> None:
    with pytest.raises(ValueError, match="NUL"):
        write_object(ObjectFile("a.o", symbols=[Symbol("a\0b")]))


def test_a_relocation_against_a_symbol_of_another_object_is_refused() -> None:
    obj = sample()
    obj.symbols.remove(obj.sections[0].relocations[0].symbol)
    with pytest.raises(ValueError, match="counter"):
        write_object(obj)


def test_a_symbol_in_a_section_of_another_object_is_refused() -> None:
    obj = sample()
    obj.sections.pop(0)
    with pytest.raises(ValueError, match="prog"):
        write_object(obj)
