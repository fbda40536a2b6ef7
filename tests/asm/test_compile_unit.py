"""What `-g` says of a source, in an object with a line table: other tools read it, and it is true.

The code is two functions with labels in `.text`, and one in `other`; the object is put together by hand.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from elftools.elf.elffile import ELFFile

from bpfas.asm.compile_unit import CodeRange, CodeSymbol, UnitDescription, main_file, unit_sections
from bpfas.asm.line_table import LineFlag, LineTable, SourceFile, SourceLocation, line_bytes
from bpfas.asm.section import SectionBuilder
from bpfas.elf.constants import ByteOrder, SectionFlag, SectionType, SymbolBinding, SymbolType
from bpfas.elf.reader import read_object
from bpfas.elf.writer import write_object
from bpfas.objfile import ObjectFile, Relocation, Section, Symbol
from bpfas.reloc import RelocationNumber
from tests.peers import Peer

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from bpfas.asm.line_table import SectionRows

SOURCE = """\
.globl first
.type first, @function
first:
    r1 = 1
middle:
    exit
.size first, .-first
second:
    r0 = 0
    exit
end:
.section other, "ax"
.type third, @function
third:
    r0 = 3
    exit
.size third, .-third
"""
LINES = {"text": {0: 4, 8: 6, 16: 9, 24: 10}, "other": {0: 15, 8: 16}}
VERSIONS = [2, 3, 4, 5]

every_unit = pytest.mark.parametrize("is_split", [False, True], ids=["one section", "two sections"])
every_version = pytest.mark.parametrize("version", VERSIONS)
every_order = pytest.mark.parametrize("order", ByteOrder)


@dataclass(frozen=True, slots=True)
class Code:
    """The sections of the program above, or the first of them alone."""

    text: SectionBuilder
    other: SectionBuilder | None

    @property
    def sections(self) -> list[SectionBuilder]:
        return [self.text] if self.other is None else [self.text, self.other]


def code(order: ByteOrder, *, is_split: bool) -> Code:
    def instruction(opcode: int, register: int, imm: int) -> bytes:
        registers = register if order is ByteOrder.LITTLE else register << 4
        return bytes((opcode, registers, 0, 0)) + imm.to_bytes(4, order.name_for_int)

    leave = instruction(0x95, 0, 0)
    flags = SectionFlag.ALLOC | SectionFlag.EXECINSTR
    text = SectionBuilder(".text", SectionType.PROGBITS, flags)
    text.subsection(0).data += instruction(0xB7, 1, 1) + leave + instruction(0xB7, 0, 0) + leave
    other = SectionBuilder("other", SectionType.PROGBITS, flags)
    other.subsection(0).data += instruction(0xB7, 0, 3) + leave
    return Code(text, other if is_split else None)


def unit(
    program: Code, version: int, symbols: Iterable[CodeSymbol[SectionBuilder]] | None = None
) -> UnitDescription[SectionBuilder]:
    ranges = [CodeRange(section, 0, section.size) for section in program.sections]
    if symbols is None:
        symbols = program_symbols(program, main_file(version))
    return UnitDescription(version, "main.s", "/source", "bpf-as 1", ranges, symbols)


def program_symbols(program: Code, file: int) -> list[CodeSymbol[SectionBuilder]]:
    symbols = [
        CodeSymbol("first", program.text, 0, 16, file, 3, is_global=True),
        CodeSymbol("middle", program.text, 8, 0, file, 5, is_global=False),
        CodeSymbol("second", program.text, 16, 0, file, 8, is_global=False),
        CodeSymbol("end", program.text, 32, 0, file, 11, is_global=False),
    ]
    if program.other is not None:
        symbols.append(CodeSymbol("third", program.other, 0, 16, file, 14, is_global=False))
    return symbols


def line_table(version: int, directory: str) -> LineTable:
    file = main_file(version)
    return LineTable(version, {file: SourceFile("main.s")}, [directory])


def line_rows(program: Code, version: int) -> SectionRows:
    file = main_file(version)
    return {
        section: [(offset, SourceLocation(file, line, 0, LineFlag.IS_STMT)) for offset, line in lines.items()]
        for section, lines in zip(program.sections, LINES.values(), strict=False)
    }


def write(program: Code, described: UnitDescription[SectionBuilder], order: ByteOrder) -> bytes:
    """The object with the unit's debug sections, each field with a relocation."""
    rows = line_rows(program, described.version)
    table = line_bytes(line_table(described.version, described.directory), rows, order)
    string_fields = [
        (at, ".debug_line_str", int.from_bytes(table.line[at : at + 4], order.name_for_int))
        for at in table.string_fields
    ]
    appended = [
        (made.name, made.data, made.address_fields, made.section_fields)
        for made in unit_sections(described, order)
    ]
    appended.append((".debug_line", table.line, table.address_fields, string_fields))
    if table.strings:
        appended.append((".debug_line_str", table.strings, [], []))

    obj = ObjectFile("main.o", order)
    of_code = {
        section: Section(section.name, section.sh_type, section.sh_flags, 8, data=section.subsection(0).data)
        for section in program.sections
    }
    of_name = {name: Section(name, data=data) for name, data, _, _ in appended}
    if strings := of_name.get(".debug_line_str"):
        strings.sh_flags, strings.sh_entsize = SectionFlag.MERGE | SectionFlag.STRINGS, 1
    obj.sections = [*of_code.values(), *of_name.values()]
    symbol_of = {section: Symbol("", section, st_type=SymbolType.SECTION) for section in obj.sections}
    obj.symbols = [*symbol_of.values(), Symbol("first", of_code[program.text], 0, 16, SymbolBinding.GLOBAL)]

    def refer(section: Section, at: int, width: int, target: Section, offset: int) -> None:
        assert isinstance(section.data, bytearray)
        section.data[at : at + width] = offset.to_bytes(width, order.name_for_int)
        number = RelocationNumber.R_BPF_64_ABS64 if width == 8 else RelocationNumber.R_BPF_64_ABS32
        section.relocations.append(Relocation(at, number, symbol_of[target]))

    for name, _, address_fields, section_fields in appended:
        for at, target, offset in address_fields:
            refer(of_name[name], at, 8, of_code[target], offset)
        for at, target_name, offset in section_fields:
            refer(of_name[name], at, 4, of_name[target_name], offset)
    return write_object(obj)


@pytest.mark.peer
@every_order
@every_version
@every_unit
def test_llvm_finds_no_fault(order: ByteOrder, version: int, is_split: bool) -> None:
    program = code(order, is_split=is_split)
    verified = Peer.LLVM_DWARFDUMP.run("--verify", "-", stdin=write(program, unit(program, version), order))
    assert "No errors" in verified.text
    assert "warning" not in verified.text + verified.errors


@every_order
@every_version
@every_unit
def test_pyelftools_reads_functions_and_labels(order: ByteOrder, version: int, is_split: bool) -> None:
    program = code(order, is_split=is_split)
    top = top_entry(write(program, unit(program, version), order))
    assert top.cu["version"] == version
    assert named(top) == {
        "AT_name": b"main.s",
        "AT_comp_dir": b"/source",
        "AT_producer": b"bpf-as 1",
        "AT_language": 0x8001,
        "AT_stmt_list": 0,
        **({"AT_ranges": 12 if version == 5 else 0} if is_split else {"AT_low_pc": 0, "AT_high_pc": 32}),
    }
    file = main_file(version)
    first, second, end, *others = [
        child for child in top.iter_children() if child.tag != "DW_TAG_unspecified_type"
    ]
    assert first.tag == "DW_TAG_subprogram"
    assert first.get_DIE_from_attribute("DW_AT_type").tag == "DW_TAG_unspecified_type"
    assert declared(first) == (b"first", file, 3, 0)
    assert first.attributes["DW_AT_high_pc"].value == 16
    assert first.attributes["DW_AT_external"].value
    assert [(label.tag, declared(label)) for label in first.iter_children()] == [
        ("DW_TAG_label", (b"middle", file, 5, 8))
    ]
    assert (second.tag, declared(second)) == ("DW_TAG_label", (b"second", file, 8, 16))
    assert (end.tag, declared(end)) == ("DW_TAG_label", (b"end", file, 11, 32))
    assert [(other.tag, declared(other)) for other in others] == (
        [("DW_TAG_subprogram", (b"third", file, 14, 0))] if is_split else []
    )
    assert not any("DW_AT_external" in other.attributes for other in others)


def top_entry(obj: bytes) -> Any:  # pyelftools has no types
    """The compile unit's own entry."""
    (compile_unit,) = ELFFile(io.BytesIO(obj)).get_dwarf_info().iter_CUs()
    return compile_unit.get_top_DIE()


def named(entry: Any) -> dict[str, object]:
    return {name.removeprefix("DW_"): attribute.value for name, attribute in entry.attributes.items()}


def declared(entry: Any) -> tuple[object, ...]:
    names = ("DW_AT_name", "DW_AT_decl_file", "DW_AT_decl_line", "DW_AT_low_pc")
    return tuple(entry.attributes[name].value for name in names)


@pytest.mark.peer
@every_order
@every_version
def test_ranges_cover_each_section(order: ByteOrder, version: int) -> None:
    program = code(order, is_split=True)
    dumped = Peer.LLVM_DWARFDUMP.run(
        "--debug-info", "--debug-aranges", "-", stdin=write(program, unit(program, version), order)
    ).text
    info, _, aranges = dumped.partition(".debug_aranges")
    for text in (info, aranges):
        assert "[0x0000000000000000, 0x0000000000000020)" in text
        assert "[0x0000000000000000, 0x0000000000000010)" in text


@pytest.mark.peer
@every_order
@pytest.mark.parametrize("version", [4, 5])
@every_unit
def test_address_ranges_are_llvms(order: ByteOrder, version: int, is_split: bool) -> None:
    program = code(order, is_split=is_split)
    triple = f"-triple=bpf{'el' if order is ByteOrder.LITTLE else 'eb'}"
    source = SOURCE if is_split else SOURCE[: SOURCE.index(".section")]
    theirs = Peer.LLVM_MC.run(
        triple, "-filetype=obj", "-g", f"-dwarf-version={version}", "-", stdin=source.encode()
    ).output
    ours = write(program, unit(program, version), order)
    names = [".debug_aranges", ".debug_rnglists"] if version == 5 else [".debug_aranges"]
    for name in names:
        assert contents(ours, name) == contents(theirs, name)


def contents(obj: bytes, name: str) -> tuple[bytes, list[tuple[int, int, str]]] | None:
    section = read_object(obj, "x.o").section(name)
    if section is None:
        return None
    places = ((place.r_offset, place.r_type, place.symbol.section.name) for place in section.relocations)
    return bytes(section.data), sorted(places)


@pytest.mark.peer
@every_order
@every_version
def test_addresses_have_functions_and_lines(order: ByteOrder, version: int, tmp_path: Path) -> None:
    program = code(order, is_split=False)
    path = tmp_path / "main.o"
    path.write_bytes(write(program, unit(program, version), order))
    asked = Peer.LLVM_SYMBOLIZER.run(f"--obj={path}", *map(hex, LINES["text"])).text
    assert asked.split() == [
        *("first", "/source/main.s:4:0", "first", "/source/main.s:6:0"),
        *("??", "/source/main.s:9:0", "??", "/source/main.s:10:0"),
    ]


@pytest.mark.peer
@every_order
@every_version
def test_the_source_is_shown_among_the_instructions(order: ByteOrder, version: int, tmp_path: Path) -> None:
    program = code(order, is_split=True)
    described = unit(program, version)
    here = UnitDescription(
        version, described.name, str(tmp_path), described.producer, described.ranges, described.symbols
    )
    (tmp_path / "main.s").write_text(SOURCE)
    path = tmp_path / "main.o"
    path.write_bytes(write(program, here, order))
    shown = Peer.LLVM_OBJDUMP.run("-S", "-l", path).text
    source = SOURCE.splitlines()
    for line in (line for lines in LINES.values() for line in lines.values()):
        assert f"{tmp_path}/main.s:{line}\n;     {source[line - 1].strip()}" in shown


@every_order
def test_a_function_that_overlaps_another_is_a_label(order: ByteOrder) -> None:
    program = code(order, is_split=False)
    text = program.text
    functions = [
        CodeSymbol("entry", text, 0, 0, 0, 1, is_global=True),
        CodeSymbol("alias", text, 0, 16, 0, 1, is_global=False),
        CodeSymbol("first", text, 0, 16, 0, 1, is_global=True),
        CodeSymbol("across", text, 8, 16, 0, 1, is_global=True),
        CodeSymbol("beyond", text, 24, 16, 0, 1, is_global=True),
        CodeSymbol("outside", text, 40, 8, 0, 1, is_global=True),
    ]
    top = top_entry(write(program, unit(program, 5, functions), order))
    _, first, beyond = top.iter_children()
    assert (first.tag, first.attributes["DW_AT_name"].value) == ("DW_TAG_subprogram", b"first")
    assert [label.attributes["DW_AT_name"].value for label in first.iter_children()] == [
        *(b"alias", b"entry", b"across")
    ]
    assert (beyond.tag, beyond.attributes["DW_AT_name"].value) == ("DW_TAG_label", b"beyond")


@pytest.mark.peer
@every_version
def test_a_function_behind_another_ends_where_it_does(version: int) -> None:
    program = code(ByteOrder.LITTLE, is_split=False)
    functions = [
        CodeSymbol("first", program.text, 0, 16, 0, 0, is_global=False),
        CodeSymbol("second", program.text, 16, 16, 0, 0, is_global=False),
    ]
    obj = write(program, unit(program, version, functions), ByteOrder.LITTLE)
    dumped = Peer.LLVM_DWARFDUMP.run("--debug-info", "--name=second", "-", stdin=obj).text
    assert "DW_AT_low_pc\t(0x0000000000000010)" in dumped
    assert "DW_AT_high_pc\t(0x0000000000000020)" in dumped


@pytest.mark.parametrize(
    ("version", "section_offset", "high_pc"),
    [
        (2, "DW_FORM_data4", "DW_FORM_addr"),
        (3, "DW_FORM_data4", "DW_FORM_addr"),
        (4, "DW_FORM_sec_offset", "DW_FORM_udata"),
        (5, "DW_FORM_sec_offset", "DW_FORM_udata"),
    ],
)
def test_forms_are_those_that_the_version_has(version: int, section_offset: str, high_pc: str) -> None:
    program = code(ByteOrder.LITTLE, is_split=False)
    top = top_entry(write(program, unit(program, version), ByteOrder.LITTLE))
    assert top.attributes["DW_AT_stmt_list"].form == section_offset
    assert top.attributes["DW_AT_high_pc"].form == high_pc


def test_a_symbol_without_a_line_is_not_declared_anywhere() -> None:
    program = code(ByteOrder.LITTLE, is_split=False)
    symbols = [CodeSymbol("first", program.text, 0, 0, 0, 0, is_global=False)]
    (label,) = top_entry(write(program, unit(program, 5, symbols), ByteOrder.LITTLE)).iter_children()
    assert named(label) == {"AT_name": b"first", "AT_low_pc": 0}


def test_a_unit_without_symbols_and_one_without_code() -> None:
    program = code(ByteOrder.LITTLE, is_split=False)
    top = top_entry(write(program, unit(program, 5, []), ByteOrder.LITTLE))
    assert not top.has_children
    assert not list(top.iter_children())
    empty = UnitDescription[SectionBuilder](5, "main.s", "/source", "bpf-as 1", [], [])
    assert unit_sections(empty, ByteOrder.LITTLE) == []
