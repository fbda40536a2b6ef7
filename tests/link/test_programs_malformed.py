"""Objects of clang with one thing changed that makes no sense: the message names file, place and fault.

What any bytes anywhere do is another test's matter; here each rule of an input has one object that breaks it.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

from bpfas.diag import BpfasError
from bpfas.elf.constants import ByteOrder, SymbolBinding, SymbolType
from bpfas.elf.reader import read_object
from bpfas.elf.writer import write_object
from bpfas.link.linker import link
from bpfas.objfile import ObjectFile, Relocation, Section, SpecialSection, Symbol
from tests.link.builders import data, section_of, symbol_of
from tests.link.linked_programs import Build, make_object

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.peer

SOURCES = {
    "good": "int other = 1;\n",
    "bad": """\
#define SEC(name) __attribute__((section(name), used))
int variable = 3;
extern int other;
int add(int x) { return x + variable; }
SEC("xdp") int entry(void *c) { return add(other); }
""",
}
WORDS = {"func": 8, "line": 16}
"""Where the header of .BTF.ext says the offset of a table."""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The objects of the sources; `big` is the good one in the other byte order."""
    folder = tmp_path_factory.mktemp("malformed")
    found = {}
    for name, text in SOURCES.items():
        (folder / f"{name}.c").write_text(text)
        found[name] = make_object(folder / f"{name}.c", folder).read_bytes()
    found["big"] = make_object(folder / "good.c", folder, build=Build(ByteOrder.BIG)).read_bytes()
    return found


def words_at(section: Section, offset: int, *values: int) -> None:
    """Write words into a section."""
    section.data = bytearray(section.data)
    struct.pack_into(f"<{len(values)}I", section.data, offset, *values)


def table(section: Section, name: str) -> int:
    """Where a table of .BTF.ext begins: its size of records, then section name and number of records."""
    head, offset = struct.unpack_from("<I", section.data, 4)[0], WORDS[name]
    return int(head + struct.unpack_from("<I", section.data, offset)[0])


def without_types(obj: ObjectFile) -> None:
    obj.sections.remove(section_of(obj, ".BTF"))


def types_cut_off(obj: ObjectFile) -> None:
    section = section_of(obj, ".BTF")
    section.data = section.data[:60]


def record(name: str, word: int, value: int) -> Callable[[ObjectFile], None]:
    """Change a word of a table of .BTF.ext: 0 size of records, 1 section, 2 count, from 3 on the first record."""

    def change(obj: ObjectFile) -> None:
        section = section_of(obj, ".BTF.ext")
        words_at(section, table(section, name) + 4 * word, value)

    return change


def relocation_type(number: int) -> Callable[[ObjectFile], None]:
    def change(obj: ObjectFile) -> None:
        section_of(obj, "xdp").relocations[0].r_type = number

    return change


def relocation_offset(offset: int) -> Callable[[ObjectFile], None]:
    def change(obj: ObjectFile) -> None:
        section_of(obj, "xdp").relocations[0].r_offset = offset

    return change


def half_an_instruction(obj: ObjectFile) -> None:
    section = section_of(obj, "xdp")
    section.data = bytes(section.data) + bytes(4)


def no_power_of_two(obj: ObjectFile) -> None:
    section_of(obj, ".data").sh_addralign = 3


def symbol_behind_its_section(obj: ObjectFile) -> None:
    symbol_of(obj, "add").st_value = 0x1000


def variable_without_symbol(obj: ObjectFile) -> None:
    symbol_of(obj, "variable").name = "renamed"


def data_that_is_code_elsewhere(obj: ObjectFile) -> None:
    obj.sections.append(data("xdp", bytes(8), 8))


def relocation_in_data(obj: ObjectFile) -> None:
    section = section_of(obj, ".data")
    section.relocations.append(Relocation(0, 10, symbol_of(obj, "add")))


def reference_without_name(obj: ObjectFile) -> None:
    nameless = Symbol("", SpecialSection.UNDEF, 0, 0, SymbolBinding.GLOBAL, SymbolType.NOTYPE)
    obj.symbols.append(nameless)
    section_of(obj, "xdp").relocations[0].symbol = nameless


FAULTS: dict[str, tuple[Callable[[ObjectFile], None], tuple[str, ...]]] = {
    "records without types": (without_types, (".BTF.ext", "no .BTF")),
    "types cut off": (types_cut_off, (".BTF",)),
    "records too small": (record("func", 0, 4), (".BTF.ext", "func_info", "4 bytes")),
    "records of an odd size": (record("func", 0, 10), (".BTF.ext", "func_info", "10 bytes")),
    "lines too small": (record("line", 0, 12), (".BTF.ext", "line_info", "12 bytes")),
    "section without a name": (record("func", 1, 0xFFFFF), (".BTF.ext", "0xfffff")),
    "section that is not there": (record("func", 1, 1), (".BTF.ext", "int")),
    "no records": (record("func", 2, 0), (".BTF.ext", "without records")),
    "too many records": (record("func", 2, 0xFFFF), (".BTF.ext", "65535")),
    "function behind the code": (record("func", 3, 0x10000), (".BTF.ext", "0x10000")),
    "function between instructions": (record("func", 3, 4), (".BTF.ext", "0x4")),
    "type that is not there": (record("func", 4, 0xFFFF), (".BTF.ext", "65535")),
    "type of another kind": (record("func", 4, 1), (".BTF.ext", "FUNC")),
    "file name that is not there": (record("line", 4, 0xFFFFF), (".BTF.ext", "0xfffff")),
    "line that is not there": (record("line", 5, 0xFFFFF), (".BTF.ext", "0xfffff")),
    "unknown relocation": (relocation_type(99), ("xdp", "99")),
    "relocation between instructions": (relocation_offset(4), ("xdp+0x4",)),
    "relocation behind the code": (relocation_offset(0x400), ("xdp", "0x400")),
    "half an instruction": (half_an_instruction, ("xdp", "8-byte instructions")),
    "alignment": (no_power_of_two, (".data", "0x3")),
    "symbol behind its section": (symbol_behind_its_section, ("add", "0x1000")),
    "variable without a symbol": (variable_without_symbol, ("variable", ".data")),
    "code and data in one file": (data_that_is_code_elsewhere, ("xdp",)),
    "call in data": (relocation_in_data, (".data",)),
    "reference without a name": (reference_without_name, ("xdp",)),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_fault_is_told(fault: str, files: dict[str, bytes]) -> None:
    change, parts = FAULTS[fault]
    bad = read_object(files["bad"], "bad.o")
    change(bad)
    with pytest.raises(BpfasError) as caught:
        link([read_object(files["good"], "good.o"), read_object(write_object(bad), "bad.o")])
    message = str(caught.value)
    assert [part for part in ("bad.o", *parts) if part not in message] == [], message
    assert "good.o" not in message


def test_byte_orders(files: dict[str, bytes]) -> None:
    with pytest.raises(BpfasError) as caught:
        link([read_object(files["bad"], "bad.o"), read_object(files["big"], "big.o")])
    message = str(caught.value)
    assert all(part in message for part in ("bad.o", "little", "big.o", "big-endian", "compile"))
