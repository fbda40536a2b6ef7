"""Whatever is wrong with a file is said, with its place and values; nothing else is ever raised."""

from __future__ import annotations

import contextlib
import struct
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpfas.diag import BpfasError
from bpfas.elf.constants import REL_SIZE, ByteOrder, SectionFlag, SectionType
from bpfas.elf.reader import read_object
from bpfas.elf.writer import write_object
from bpfas.objfile import Group, ObjectFile, Relocation, Section, Symbol
from bpfas.reloc import RelocationNumber
from tests.elf.samples import Image, sample

if TYPE_CHECKING:
    from collections.abc import Callable

WHOLE = write_object(sample())


def messages(data: bytes) -> str:
    with pytest.raises(BpfasError) as caught:
        read_object(data, "a.o")
    assert all(str(item.at).startswith("a.o") for item in caught.value.diagnostics)
    return str(caught.value)


def with_bytes(offset: int, replacement: bytes) -> bytes:
    return WHOLE[:offset] + replacement + WHOLE[offset + len(replacement) :]


def test_truncation_anywhere_is_an_error() -> None:
    # The section headers come last, so no shorter file can be whole.
    for length in range(len(WHOLE)):
        assert messages(WHOLE[:length])


@given(st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), min_size=1, max_size=6))
def test_random_bytes_in_a_real_file_give_an_object_or_an_error(changes: list[tuple[int, int]]) -> None:
    data = bytearray(WHOLE)
    for offset, value in changes:
        data[offset] = value
    with contextlib.suppress(BpfasError):
        # What is accepted can be written again.
        write_object(read_object(bytes(data), "a.o"))


@given(st.binary(max_size=300), st.booleans())
def test_random_files_are_an_error(data: bytes, with_magic: bool) -> None:
    assert messages(WHOLE[:20] + data if with_magic else data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "a.o: error: is empty, not an ELF file"),
        (b"main: exit\n", "begins with 6d 61 69 6e, not 7f 45 4c 46"),
        (b"BC\xc0\xde1234", "is LLVM bitcode; compile it without -flto"),
        (b"!<arch>\nx", "is an archive"),
        (WHOLE[:30], "is truncated: 30 bytes, less than an ELF header's 64"),
        (with_bytes(4, b"\1"), "is a 32-bit ELF file; BPF objects are 64-bit"),
        (with_bytes(4, b"\7"), "unknown class 7"),
        (with_bytes(5, b"\3"), "unknown byte order (EI_DATA 3)"),
        (with_bytes(6, b"\0"), "has ELF version 0, not 1"),
        (with_bytes(18, b"\x3e\0"), "for another machine, Advanced Micro Devices X86-64 (EM_X86_64)"),
        (with_bytes(18, b"\x99\x99"), "for another machine, unknown (39321)"),
        (with_bytes(16, b"\2\0"), "is not a relocatable object but of type EXEC"),
        (with_bytes(40, bytes(8)), "has no section headers"),
        (with_bytes(40, b"\xff" * 8), "is truncated: section headers begin at 0xffffffffffffffff"),
        (with_bytes(58, b"\x28\0"), "section headers of 40 bytes (e_shentsize), not 64"),
        (with_bytes(60, b"\0\x70"), "is truncated: 28672 section headers"),
        (with_bytes(62, b"\1\0"), "has no table of section names: e_shstrndx is 1"),
    ],
)
def test_a_header_that_is_wrong(data: bytes, message: str) -> None:
    assert message in messages(data)


def damage(change: Callable[[Image], object]) -> str:
    image = Image.of(sample())
    change(image)
    return messages(bytes(image.data))


def symtab(image: Image) -> int:
    return image.index_of(SectionType.SYMTAB)


def rel(image: Image) -> int:
    return image.index_of(SectionType.REL)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda i: i.set_header(1, name=0x7000), "name of section 1 is at 0x7000 of a string table"),
        (lambda i: i.set_header(1, offset=0x7000), "a.o:(xdp): error: contents from 0x7000 to 0x7020 lie beyond"),
        (lambda i: i.set_header(1, size=2**63), "contents from 0x40 to 0x8000000000000040 lie beyond"),
        (lambda i: i.set_header(1, addralign=3), "alignment 0x3 is no power of two"),
        (lambda i: i.set_header(1, addralign=2**40), "alignment 0x10000000000 is no power of two up to 0x100000"),
        (lambda i: i.set_header(3, type=SectionType.HASH), "a.o:(.data): error: is a symbol hash table"),
        (lambda i: i.set_header(symtab(i), link=1), "symbol names are in section 1, no string table"),
        (lambda i: i.set_header(symtab(i), entsize=16), "sh_entsize is 16, not 24"),
        (lambda i: i.set_header(symtab(i), size=95), "size 0x5f is no multiple of an entry's 24 bytes"),
        (
            lambda i: i.set_header(3, type=SectionType.SYMTAB, link=i.section_count - 1, entsize=24),
            "has two symbol tables, .data and .symtab",
        ),
        (lambda i: i.set_header(rel(i), info=99), "a.o:(.relxdp): error: relocates section 99, but the file has"),
        (lambda i: i.set_header(rel(i), info=0), "relocates section 0, <null>, which holds no code or data"),
        (lambda i: i.set_header(rel(i), info=rel(i)), "relocates section 2, .relxdp, which holds no code"),
        (lambda i: i.set_header(rel(i), info=4), "relocates .bss, which has no contents (SHT_NOBITS)"),
        (lambda i: i.set_header(rel(i), link=1), "takes its symbols from section 1, not the symbol table"),
        (lambda i: i.set_header(rel(i), entsize=24), "sh_entsize is 24, not 16"),
        (lambda i: i.set_symbol(1, "I", 0, 0x999), "the name of symbol 1 is at 0x999 of a string table"),
        (lambda i: i.set_symbol(1, "B", 4, 0xA1), "symbol 1 (counter) has binding 10"),
        (lambda i: i.set_symbol(1, "B", 4, 0x0B), "symbol 1 (counter) has unknown type 11"),
        (lambda i: i.set_symbol(0, "Q", 8, 5), "a.o:(.symtab): error: its first symbol is not empty"),
        (lambda i: i.set_symbol(1, "B", 5, 0x10), "symbol 1 (counter) has unknown visibility (st_other 0x10)"),
        (lambda i: i.set_symbol(1, "H", 6, 77), "symbol 1 (counter) is in section 77, but the file has only"),
        (lambda i: i.set_symbol(1, "H", 6, 0xFF05), "symbol 1 (counter) is in section 65285"),
        (lambda i: i.set_symbol(1, "H", 6, 0xFFFF), "symbol 1 (counter) is in section 65535"),
        (lambda i: i.set_symbol(1, "H", 6, symtab(i)), "is in section 5, .symtab, which holds no code or data"),
        (
            lambda i: i.set_symbol(2, "B", 4, 0x03).set_symbol(2, "Q", 8, 8),
            "symbol 2 (prog) stands for a section but is not at a section's start",
        ),
    ],
)
def test_a_table_that_is_wrong(change: Callable[[Image], Image], message: str) -> None:
    assert message in damage(change)


def grouped() -> Image:
    """The sample with a group, which is section 1, of its code and data (2 and 4), ordered after one another."""
    obj = sample()
    text, data, _ = obj.sections
    text.sh_flags |= SectionFlag.LINK_ORDER
    text.link_order = data
    group = Section(".group", SectionType.GROUP, 0, 4, 4, group=Group(obj.symbols[0], [text, data]))
    listed = Section(".llvm_addrsig", SectionType.LLVM_ADDRSIG, SectionFlag.EXCLUDE, listed_symbols=obj.symbols)
    obj.sections = [group, *obj.sections, listed]
    return Image.of(obj)


def set_word(image: Image, index: int, number: int, word: int) -> Image:
    """Replace a word of the contents of section `index`."""
    struct.pack_into("<I", image.data, image.header(index)["offset"] + 4 * number, word)
    return image


LIST = 6
"""The number of .llvm_addrsig in `grouped`."""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda i: i.set_header(2, link=99),
            "a.o:(xdp): error: is ordered after section 99, but the file",
        ),
        (lambda i: i.set_header(2, link=symtab(i)), "is ordered after section 7, .symtab, which holds no code"),
        (lambda i: i.set_header(1, entsize=8), "a.o:(.group): error: sh_entsize is 8, not 4"),
        (lambda i: i.set_header(1, size=5), "size 0x5 is no multiple of an entry's 4 bytes"),
        (lambda i: i.set_header(1, link=3), "takes its signature from section 3, not the symbol table"),
        (lambda i: i.set_header(1, info=77), "has symbol 77 as its signature; symbols go from 1 to 3"),
        (lambda i: i.set_header(1, info=0), "has symbol 0 as its signature"),
        (lambda i: set_word(i, 1, 0, 0x11), "a.o:(.group): error: has unknown flags of a group, 0x11"),
        (lambda i: set_word(i, 1, 1, 99), "has section 99 as a member, but the file has only"),
        (lambda i: set_word(i, 1, 1, 0), "has section 0 as a member, <null>, which holds no code or data"),
        (lambda i: set_word(i, 1, 1, 1), "has section 1 as a member, .group, which holds no code or data"),
        (lambda i: set_word(i, 1, 1, 4), "has .data as a member, which is in a group already"),
        (lambda i: i.set_header(LIST, link=3), "a.o:(.llvm_addrsig): error: takes its symbols from section 3"),
        (
            lambda i: set_word(i, LIST, 0, 0x00010104),
            "a.o:(.llvm_addrsig): error: lists symbol 4; symbols go",
        ),
        (lambda i: set_word(i, LIST, 0, 0x01010100), "lists symbol 0"),
        (lambda i: set_word(i, LIST, 0, 0x01810101), "its list of symbols ends inside a number"),
    ],
)
def test_a_group_or_list_that_is_wrong(change: Callable[[Image], Image], message: str) -> None:
    assert message in messages(bytes(change(grouped()).data))


def test_a_list_of_symbols_without_a_symbol_table_is_kept_as_it_is() -> None:
    listed = read_object(bytes(grouped().set_header(LIST, link=0).data), "a.o").sections[-1]
    assert (listed.listed_symbols, bytes(listed.data)) == (None, b"\2\1\3")


def with_relocation(r_offset: int, r_type: int, symbol: int) -> bytes:
    """The sample with its first relocation replaced."""
    image = Image.of(sample())
    struct.pack_into("<QII", image.data, image.header(rel(image))["offset"], r_offset, r_type, symbol)
    return bytes(image.data)


def test_a_relocation_that_names_no_symbol() -> None:
    assert "a.o:(xdp+0x0): error: R_BPF_64_64 names symbol 9; symbols go from 1 to 3" in messages(
        with_relocation(0, 1, 9)
    )
    assert "names symbol 0" in messages(with_relocation(0, 1, 0))


def test_a_relocation_whose_field_leaves_the_section() -> None:
    # A 64-bit load takes 16 bytes: it fits at 0x10 of 0x20, not at 0x18.
    read_object(with_relocation(0x10, 1, 1), "a.o")
    assert "a.o:(xdp+0x18): error: R_BPF_64_64 lies beyond the section's end at 0x20" in messages(
        with_relocation(0x18, 1, 1)
    )
    assert "unknown relocation type 999 lies beyond" in messages(with_relocation(0x21, 999, 1))


def test_a_relocation_that_does_nothing_is_dropped() -> None:
    obj = read_object(with_relocation(0, RelocationNumber.R_BPF_NONE, 0), "a.o")
    assert [reloc.r_offset for reloc in obj.sections[0].relocations] == [16]


def test_every_bad_symbol_is_reported_in_one_run() -> None:
    image = Image.of(sample()).set_symbol(1, "H", 6, 77).set_symbol(3, "B", 5, 0xFC)
    text = messages(bytes(image.data))
    assert "symbol 1 (counter)" in text
    assert "symbol 3 (helper)" in text


def test_a_file_with_thousands_of_errors_reports_the_first_twenty() -> None:
    text = Section(".text", data=bytes(8), sh_flags=6)
    symbol = Symbol("s")
    text.relocations = [Relocation(0, RelocationNumber.R_BPF_64_32, symbol)] * 5000
    image = Image.of(ObjectFile("a.o", sections=[text], symbols=[symbol]))
    start = image.header(rel(image))["offset"]
    for number in range(5000):
        struct.pack_into("<Q", image.data, start + number * REL_SIZE, 8)
    report = messages(bytes(image.data))
    assert report.count("lies beyond") == 20
    assert "stopped after 20 errors; is the file damaged?" in report


def test_a_name_that_runs_out_of_its_string_table() -> None:
    image = Image.of(sample())
    strtab = image.header(image.index_of(SectionType.STRTAB))
    image.data[strtab["offset"] + strtab["size"] - 1] = ord("x")
    assert "does not end inside the table" in messages(bytes(image.data))


def test_an_empty_string_table_holds_the_empty_name() -> None:
    obj = ObjectFile("a.o", sections=[Section("none", SectionType.STRTAB)], symbols=[Symbol("")])
    image = Image.of(obj).set_header(2, link=1)
    assert [symbol.name for symbol in read_object(bytes(image.data), "a.o").symbols] == [""]
    image.set_symbol(1, "I", 0, 1)
    assert "the name of symbol 1 is at 0x1 of a string table of 0x0 bytes" in messages(bytes(image.data))


def test_an_object_without_symbol_table_has_no_symbols() -> None:
    image = Image.of(ObjectFile("a.o", sections=[Section(".text")], symbols=[Symbol("gone")]))
    image.set_header(2, type=SectionType.NOTE)
    assert read_object(bytes(image.data), "a.o").symbols == []


def test_sections_that_share_their_bytes_are_refused_before_they_are_copied() -> None:
    image = Image.of(ObjectFile("a.o", sections=[Section("s", data=b"x") for _ in range(100)]))
    for index in range(1, 101):
        image.set_header(index, offset=0, size=len(image.data))
    assert "sections overlap: they claim" in messages(bytes(image.data))


def test_names_that_share_their_bytes_without_end_are_refused() -> None:
    # 20,000 names, each a suffix of one of 20,000 bytes: 200 million characters from a file of half a million.
    symbols = [Symbol("x" * 20_000)] + [Symbol("") for _ in range(20_000)]
    image = Image.of(ObjectFile("a.o", symbols=symbols))
    for number in range(2, 20_001):
        image.set_symbol(number, "I", 0, number)
    assert "has names of more than 67108864 bytes together" in messages(bytes(image.data))


@pytest.mark.parametrize("order", ByteOrder)
def test_an_object_for_no_machine_is_read(order: ByteOrder) -> None:
    data = bytearray(write_object(sample(order)))
    data[18:20] = bytes(2)
    assert [section.name for section in read_object(bytes(data), "a.o").sections] == ["xdp", ".data", ".bss"]
