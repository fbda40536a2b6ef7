"""A wrong number in any field of a file gives an error or an object, the same ones however the file is read."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from bpfas.diag import BpfasError
from bpfas.elf import relocations
from bpfas.elf.constants import ByteOrder, SectionFlag, SectionType, SymbolBinding
from bpfas.elf.reader import read_object
from bpfas.elf.writer import write_object
from bpfas.objfile import Group, ObjectFile, Relocation, RelocationTable, Section, Symbol
from bpfas.reloc import RelocationNumber
from tests.elf.damage import every_wrong_field
from tests.elf.samples import Image, sample
from tests.elf.strategies import essence

if TYPE_CHECKING:
    from collections.abc import Hashable


def rich() -> ObjectFile:
    """The sample with everything else that a file can say by numbers."""
    obj = sample()
    text, data, bss = obj.sections
    counter = obj.symbols[1]
    data.data = bytes(64)
    data.relocations = [Relocation(8 * n, RelocationNumber.R_BPF_64_ABS64, counter, n) for n in range(4)]
    signature = Symbol("signature", text, st_bind=SymbolBinding.WEAK)
    obj.symbols += (signature, Symbol("", bss))
    obj.sections += (
        Section(".group", SectionType.GROUP, sh_addralign=4, sh_entsize=4, group=Group(signature, [data])),
        Section("ordered", sh_flags=SectionFlag.LINK_ORDER, data=b"x", link_order=text),
        Section("list", SectionType.LLVM_ADDRSIG, SectionFlag.EXCLUDE, listed_symbols=[counter, signature]),
    )
    return obj


def outcome(data: bytes, *, on_demand: bool = False) -> Hashable:
    """What reading and looking at everything gives: the whole object, or the messages."""
    try:
        obj = read_object(data, "a.o", on_demand=(lambda _: True) if on_demand else None)
        said = essence(obj), tuple(len(section.data) for section in obj.sections)
    except BpfasError as error:
        return str(error)
    write_object(obj)  # what is accepted can be written
    return said


def test_wrong_numbers_in_every_field() -> None:
    refused = total = 0
    for damaged in every_wrong_field(Image.of(rich())):
        first = outcome(damaged)
        second = outcome(damaged, on_demand=True)
        # On demand, what is wrong in several sections is told of the first that somebody looks at.
        assert first == second or (isinstance(first, str) and isinstance(second, str))
        refused += isinstance(first, str)
        total += 1
    assert total > 1000
    assert refused > total / 3


def test_relocations_are_refused_as_if_they_were_looked_at_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    damaged = list(every_wrong_field(Image.of(rich())))
    by_columns = [outcome(data) for data in damaged]

    def never(*_: object) -> bool:
        return False

    monkeypatch.setattr(relocations, "_is_faultless", never)
    assert [outcome(data) for data in damaged] == by_columns


def test_sections_that_overlap() -> None:
    whole = Image.of(rich())
    for first in range(1, whole.section_count):
        for second in range(1, whole.section_count):
            image = Image(bytearray(whole.data))
            place = image.header(first)
            image.set_header(second, offset=place["offset"], size=place["size"])
            outcome(bytes(image.data))


@pytest.mark.parametrize("count", [0, 1, 2, 20, 0xFEFF, 0xFF00, 0x10000, 1 << 31, 1 << 58, (1 << 64) - 1])
@pytest.mark.parametrize("names_index", [0, 1, 7, 1 << 31])
def test_counts_beyond_the_header(count: int, names_index: int) -> None:
    # With e_shnum 0 and e_shstrndx SHN_XINDEX the numbers stand in the first section's header.
    image = Image.of(rich())
    image.set_header(0, size=count, link=names_index)
    image.data[60:64] = bytes((0, 0, 0xFF, 0xFF))
    with pytest.raises(BpfasError):
        read_object(bytes(image.data), "a.o")


def test_alignments_that_make_a_small_file_large() -> None:
    image = Image.of(ObjectFile("a.o", sections=[Section(f"s{n}", data=b"x") for n in range(64)]))
    for index in range(1, 64):
        image.set_header(index, addralign=1 << 20)
    read_object(bytes(image.data), "a.o")
    image.set_header(64, addralign=1 << 20)
    with pytest.raises(BpfasError, match=r"alignments ask for 671088\d\d bytes of padding, more than 67108864"):
        read_object(bytes(image.data), "a.o")
    # What has no contents needs no padding.
    image.set_header(64, type=SectionType.NOBITS)
    read_object(bytes(image.data), "a.o")


@pytest.mark.parametrize("order", ByteOrder)
def test_random_bytes(order: ByteOrder) -> None:
    chance = random.Random(1)  # noqa: S311
    whole = write_object(sample(order))
    for _ in range(1000):
        damaged = bytearray(whole)
        for _ in range(chance.choice((1, 2, 5, 50))):
            damaged[chance.randrange(len(whole))] = chance.randrange(256)
        outcome(bytes(damaged))


def test_tables_of_relocations_are_made_for_files_in_order() -> None:
    tables = [section.relocation_table for section in read_object(write_object(rich()), "a.o").sections]
    assert [table and len(table) for table in tables] == [2, 4, None, None, None, None]
    assert isinstance(tables[1], RelocationTable)
    assert tables[1].has_addends
