"""Whatever an input holds, a link ends soon, with little memory, and with an object or an error."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from bpfas.elf.constants import ByteOrder, SectionFlag, SectionType, SymbolBinding, SymbolType
from bpfas.elf.file_header import read_file_header
from bpfas.elf.reader import read_object
from bpfas.elf.section_headers import ElfFile
from bpfas.elf.writer import write_object
from bpfas.objfile import ObjectFile, Section, Symbol
from tests.elf.damage import EHDR_FIELDS, changed, every_wrong_field, wrong_values
from tests.elf.samples import Image
from tests.link.builders import CALL, DATA, EXIT, code, common, data, extern, glob, obj, relocated, weak
from tests.link.hostile import Linker, main_object, other_object

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def linker(tmp_path: Path) -> Linker:
    return Linker(tmp_path)


def test_the_objects_themselves_are_linked(linker: Linker) -> None:
    assert linker.link(main_object()) == ""
    output = read_object(linker.output.read_bytes(), "out.o")
    names = {section.name for section in output.sections}
    assert {"xdp", ".text", ".data", ".bss", ".BTF", ".BTF.ext", ".rodata.str1.1", ".debug_info"} <= names


def test_truncation_anywhere_is_an_error(linker: Linker) -> None:
    whole = main_object()
    for length in range(len(whole)):
        assert "hostile.o: error: " in linker.link(whole[:length])


def test_wrong_numbers_in_every_field(linker: Linker) -> None:
    for damaged in every_wrong_field(Image(bytearray(main_object()))):
        linker.link(damaged)


@pytest.mark.parametrize("name", [".BTF", ".BTF.ext", ".data", "xdp", ".llvm_addrsig", ".group", ".strtab"])
def test_wrong_numbers_in_contents(linker: Linker, name: str) -> None:
    whole = main_object()
    file = ElfFile(whole, "hostile.o", read_file_header(whole, "hostile.o"))
    header = file.headers[file.section_names.index(name)]
    end = header.sh_offset + header.sh_size
    for at in range(header.sh_offset, end, 4):
        size = min(4, end - at)
        old = int.from_bytes(whole[at : at + size], "little")
        for value in wrong_values(old, size):
            linker.link(changed(whole, at, size, value))


@pytest.mark.parametrize("options", [(), ("-S",), ("-s", "--gc-sections", "-e", "program")])
def test_random_bytes_anywhere(linker: Linker, options: tuple[str, ...]) -> None:
    chance = random.Random(1)  # noqa: S311
    whole = main_object()
    for _ in range(300):
        damaged = bytearray(whole)
        for _ in range(chance.choice((1, 1, 2, 5, 20))):
            damaged[chance.randrange(len(whole))] = chance.randrange(256)
        linker.link(bytes(damaged), *options)


@pytest.mark.parametrize("order", ByteOrder)
def test_wrong_numbers_in_the_header_of_a_file_of_the_other_byte_order(linker: Linker, order: ByteOrder) -> None:
    linker.other.write_bytes(other_object(order))
    whole = main_object(order)
    assert linker.link(whole) == ""
    for at, size in EHDR_FIELDS.items():
        old = int.from_bytes(whole[at : at + size], order.name_for_int)
        for value in wrong_values(old, size):
            linker.link(whole[:at] + value.to_bytes(size, order.name_for_int) + whole[at + size :])


def test_sections_that_overlap(linker: Linker) -> None:
    whole = main_object()
    count = Image(bytearray(whole)).section_count
    for first in range(1, count):
        for second in range(1, count):
            image = Image(bytearray(whole))
            place = image.header(first)
            image.set_header(second, offset=place["offset"], size=place["size"])
            linker.link(bytes(image.data))


def test_as_many_sections_as_a_file_can_have(linker: Linker) -> None:
    sections = [Section(f"s{number}") for number in range(70_000)]
    assert linker.link(write_object(ObjectFile("a.o", sections=sections))) == ""


def test_many_sections_with_a_great_alignment(linker: Linker) -> None:
    # A file of a quarter of a megabyte, of which the output would have 4 GB.
    sections = [Section(f"s{number}", data=b"x") for number in range(4000)]
    image = Image.of(ObjectFile("a.o", sections=sections))
    for index in range(1, 4001):
        image.set_header(index, addralign=1 << 20)
    assert "alignment" in linker.link(bytes(image.data))


@pytest.mark.parametrize("size", [1 << 31, 1 << 40, (1 << 64) - 8])
def test_zeros_without_end_become_contents(linker: Linker, size: int) -> None:
    bss = Section("data", SectionType.NOBITS, DATA, nobits_size=size)
    linker.other.write_bytes(write_object(ObjectFile("b.o", sections=[data("data")])))
    assert "bytes of zeros" in linker.link(write_object(ObjectFile("a.o", sections=[bss])))


@pytest.mark.parametrize("size", [1 << 40, (1 << 64) - 8])
def test_sections_without_contents_may_be_large_but_not_beyond_addresses(linker: Linker, size: int) -> None:
    bss = Section(".bss", SectionType.NOBITS, DATA, nobits_size=size)
    said = linker.link(write_object(ObjectFile("a.o", sections=[bss])))
    assert ("bytes" in said) == (size > 1 << 62)


def test_common_symbols_without_end(linker: Linker) -> None:
    symbols = [common(f"c{number}", 1 << 63, 1 << 63) for number in range(9)]
    assert linker.link(write_object(ObjectFile("a.o", symbols=symbols)))


def test_strings_to_be_merged_without_end(linker: Linker) -> None:
    # Half a million strings, half of them equal.
    flags = SectionFlag.MERGE | SectionFlag.STRINGS
    text = b"".join(b"%x\0" % (number // 2) for number in range(500_000))
    obj = ObjectFile("a.o", sections=[Section("strings", sh_flags=flags, sh_entsize=1, data=text)])
    assert linker.link(write_object(obj)) == ""


def test_entries_to_be_merged_of_any_size(linker: Linker) -> None:
    for entsize in (0, 1, 3, 8, 1 << 31, (1 << 64) - 1):
        for flags in (SectionFlag.MERGE, SectionFlag.MERGE | SectionFlag.STRINGS):
            merged = Section("merged", sh_flags=flags, sh_entsize=entsize, data=b"x" * 20)
            linker.link(write_object(ObjectFile("a.o", sections=[merged])))


def test_very_many_of_everything(linker: Linker) -> None:
    # Nothing takes time that grows with the square of these, or the clock runs out.
    count = 20_000
    text, program = code(), code("xdp", *[EXIT] * count)
    undefined = [extern(f"u{number}") for number in range(count)]
    calls = relocated(program, *((8 * number, CALL, symbol) for number, symbol in enumerate(undefined)))
    linked = (
        obj("a.o", text, *(weak("same", text, 0, 8) for _ in range(count))),
        obj("a.o", text, *(weak(f"w{number}", text, 0, 8) for number in range(count))),
        obj("a.o", program, *(weak(f"w{n}", program, 8 * n, 8 * (count - n)) for n in range(count))),
        obj("a.o", *(common(f"c{number}", 8, 8) for number in range(count))),
        obj("a.o", *(data("same", b"x", 1) for _ in range(count))),
    )
    for made in linked:
        assert linker.link(write_object(made), "-r", "--gc-sections") == ""
    refused = (
        (obj("a.o", text, *(glob("same", text) for _ in range(count))), "duplicate symbol: same"),
        (obj("a.o", calls), "and 19980 more undefined symbols"),
    )
    for made, said in refused:
        assert said in linker.link(write_object(made))


def test_symbols_beyond_their_sections(linker: Linker) -> None:
    text = code()
    for value in (8, 9, 1 << 31, (1 << 64) - 1):
        for size in (0, 8, 1 << 31, (1 << 64) - 1):
            for bind in SymbolBinding:
                symbol = Symbol("far", text, value, size, bind, SymbolType.FUNC)
                for options in ((), ("--gc-sections",)):
                    linker.link(write_object(ObjectFile("a.o", sections=[text], symbols=[symbol])), *options)
