"""Relocations as tables hold what the list would, and are written as it would be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpfas.elf import writer
from bpfas.elf.constants import ByteOrder
from bpfas.elf.reader import read_object
from bpfas.elf.writer import write_object
from bpfas.objfile import RelocationTable, Section, Symbol
from bpfas.reloc import RelocationNumber
from tests.elf.samples import sample
from tests.elf.strategies import objects

if TYPE_CHECKING:
    from bpfas.objfile import ObjectFile, Relocation


def fields(relocations: list[Relocation] | RelocationTable) -> list[tuple[int, int, Symbol, int | None]]:
    return [(reloc.r_offset, reloc.r_type, reloc.symbol, reloc.r_addend) for reloc in relocations]


def read_sample(order: ByteOrder = ByteOrder.LITTLE) -> Section:
    return read_object(write_object(sample(order)), "a.o").sections[0]


@pytest.mark.parametrize("order", ByteOrder)
def test_a_section_of_a_file_has_a_table_until_somebody_asks_for_the_list(order: ByteOrder) -> None:
    section = read_sample(order)
    table = section.relocation_table
    assert table is not None
    assert len(table) == 2
    in_table = fields(table)
    assert [(r_offset, r_type, symbol.name, r_addend) for r_offset, r_type, symbol, r_addend in in_table] == [
        (0, RelocationNumber.R_BPF_64_64, "counter", None),
        (16, RelocationNumber.R_BPF_64_32, "helper", None),
    ]
    assert fields(section.relocations) == in_table
    assert section.relocation_table is None
    section.relocations.pop()
    assert fields(section.relocations) == in_table[:1]


def test_a_new_list_takes_the_place_of_the_table() -> None:
    section = read_sample()
    section.relocations = []
    assert section.relocation_table is None
    assert section.relocations == []


@pytest.mark.parametrize("order", ByteOrder)
def test_columns_are_the_fields(order: ByteOrder) -> None:
    table = read_sample(order).relocation_table
    assert table is not None
    columns = table.columns()
    assert columns.r_offset.tolist() == [0, 16]
    assert columns.r_type.tolist() == [RelocationNumber.R_BPF_64_64, RelocationNumber.R_BPF_64_32]
    names = [symbol and symbol.name for symbol in table.symbols]
    assert [names[number] for number in columns.r_sym.tolist()] == ["counter", "helper"]
    assert columns.r_addend is None


@given(objects())
def test_columns_make_the_table_that_they_came_from(obj: ObjectFile) -> None:
    for section in read_object(write_object(obj), obj.name).sections:
        table = section.relocation_table
        if table is not None:
            made = RelocationTable.of_columns(table.columns(), table.symbols, table.order)
            assert bytes(made.entries) == bytes(table.entries)
            assert fields(made) == fields(table)


@given(objects())
def test_a_table_is_written_as_its_list_would_be(obj: ObjectFile) -> None:
    read = read_object(write_object(obj), obj.name)
    # Other symbols before those that the tables count, so that their numbers change.
    read.symbols[:0] = [Symbol("first")]
    from_tables = write_object(read)
    for section in read.sections:
        assert isinstance(section.relocations, list)
    assert write_object(read) == from_tables


@given(objects(), st.sampled_from(ByteOrder))
def test_a_table_is_written_in_the_order_of_the_file(obj: ObjectFile, order: ByteOrder) -> None:
    read = read_object(write_object(obj), obj.name)
    read.byte_order = order
    from_tables = write_object(read)
    for section in read.sections:
        assert isinstance(section.relocations, list)
    assert write_object(read) == from_tables


@given(objects(), st.sampled_from(ByteOrder))
def test_large_tables_are_written_as_small_ones_are(obj: ObjectFile, order: ByteOrder) -> None:
    read = read_object(write_object(obj), obj.name)
    read.symbols[:0] = [Symbol("first")]
    read.byte_order = order
    written = write_object(read)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer, "_MANY", 0)
        assert write_object(read) == written


def test_a_table_that_names_a_symbol_of_no_object_is_not_written() -> None:
    obj = read_object(write_object(sample()), "a.o")
    obj.symbols = [symbol for symbol in obj.symbols if symbol.name != "helper"]
    with pytest.raises(ValueError, match="names Symbol\\('helper'"):
        write_object(obj)
