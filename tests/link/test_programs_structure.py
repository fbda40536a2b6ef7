"""What we link says what libbpf's linker makes of the same files; `known_differences` has the exceptions."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

from bpfas.elf.constants import ByteOrder, SymbolType
from bpfas.elf.reader import read_object
from bpfas.objfile import Section
from tests.link import object_facts
from tests.link.btf_text import Btf, extension_records
from tests.link.linked_programs import Build, Linker, Workshop, link_files
from tests.link.program_sets import SETS, ProgramSet

if TYPE_CHECKING:
    from pathlib import Path

    from bpfas.objfile import ObjectFile

pytestmark = pytest.mark.peer

Pair = tuple["ObjectFile", "ObjectFile"]


def sets(chosen: list[ProgramSet]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("program_set", chosen, ids=lambda program_set: program_set.name)


@pytest.fixture(scope="module")
def links() -> dict[str, Pair]:
    """What was linked already, by the names of the sets."""
    return {}


@pytest.fixture(
    params=[program_set for program_set in SETS if not program_set.not_by_bpftool],
    ids=lambda program_set: program_set.name,
)
def pair(request: pytest.FixtureRequest, workshop: Workshop, links: dict[str, Pair], tmp_path: Path) -> Pair:
    """A set linked by us and by libbpf's linker."""
    program_set: ProgramSet = request.param
    if program_set.name not in links:
        units = workshop.objects(program_set)
        theirs = Linker.BPFTOOL.link(units, tmp_path / "theirs.o")
        links[program_set.name] = link_files(units), read_object(theirs.read_bytes(), "theirs.o")
    return links[program_set.name]


def test_symbols(pair: Pair) -> None:
    ours, theirs = map(object_facts.symbols, pair)
    assert ours == theirs


def test_sections(pair: Pair) -> None:
    ours, theirs = map(object_facts.section_heads, pair)
    assert ours == theirs


def test_contents(pair: Pair) -> None:
    ours, theirs = map(object_facts.contents, pair)
    assert ours == theirs


def test_references(pair: Pair) -> None:
    ours, theirs = map(object_facts.references, pair)
    assert ours == theirs


def test_types(pair: Pair) -> None:
    ours, theirs = (Btf(obj).texts() for obj in pair)
    assert ours == theirs


def test_variables_of_sections(pair: Pair) -> None:
    ours, theirs = (Btf(obj).variables() for obj in pair)
    assert ours == theirs


def test_records_of_functions_lines_and_relocations_against_the_kernel(pair: Pair) -> None:
    ours, theirs = (extension_records(obj, Btf(obj)) for obj in pair)
    assert ours == theirs


@sets(SETS)
def test_the_other_byte_order_says_the_same(program_set: ProgramSet, workshop: Workshop) -> None:
    # libbpf 1.1 links only objects of its machine's byte order, hence our own as the measure.
    little = link_files(workshop.objects(program_set))
    big = link_files(workshop.objects(program_set, Build(ByteOrder.BIG)))
    assert big.byte_order is ByteOrder.BIG
    assert object_facts.symbols(big) == object_facts.symbols(little)
    assert object_facts.section_heads(big) == object_facts.section_heads(little)
    assert object_facts.references(big) == object_facts.references(little)
    if not program_set.has_types:
        return
    types, expected = Btf(big), Btf(little)
    assert types.texts() == expected.texts()
    assert types.variables() == expected.variables()
    assert extension_records(big, types) == extension_records(little, expected)


def tables_of_jumps(obj: ObjectFile) -> list[list[int]]:
    """Of each instruction that names a table, the targets there as offsets from its function's start, in order."""
    found = []
    for section in obj.sections:
        for relocation in section.relocations:
            table = relocation.symbol.section
            if not isinstance(table, Section) or table.name != ".jumptables":
                continue
            (function,) = (
                symbol
                for symbol in obj.symbols
                if symbol.section is section
                and symbol.st_type is SymbolType.FUNC
                and 0 <= relocation.r_offset - symbol.st_value < symbol.st_size
            )
            start = relocation.symbol.st_value
            targets = struct.unpack_from(
                f"{obj.byte_order.value}{relocation.symbol.st_size // 8}Q", table.data, start
            )
            found.append([target - function.st_value for target in targets])
    return found


@pytest.mark.parametrize("order", ByteOrder, ids=lambda order: order.name)
def test_tables_of_jumps_lead_to_the_same_instructions(order: ByteOrder, workshop: Workshop) -> None:
    (program_set,) = (program_set for program_set in SETS if program_set.name == "jump_tables")
    units = workshop.objects(program_set, Build(order))
    expected = [tables_of_jumps(read_object(unit.read_bytes(), unit.name)) for unit in units]
    assert all(expected)
    assert tables_of_jumps(link_files(units)) == [*expected[0], *expected[1]]
