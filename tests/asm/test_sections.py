"""Sections and what belongs to them: groups, link order, sections of one name, .comment, .note, .llvm_addrsig."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bpfas.asm import Reading, assemble
from bpfas.diag import BpfasError
from bpfas.elf.constants import ByteOrder, SectionFlag, SectionType, SymbolBinding, SymbolType
from bpfas.elf.reader import read_object
from bpfas.elf.writer import write_object
from bpfas.objdump.disassemble import disassemble
from tests.objdump.compare import symbol_facts
from tests.peers import Peer

if TYPE_CHECKING:
    from pathlib import Path

    from bpfas.objfile import ObjectFile, Section, Symbol


def made(text: str, order: ByteOrder = ByteOrder.LITTLE) -> ObjectFile:
    return read_object(write_object(assemble(f"{text}\n", byte_order=order)), "ours.o")


def rows(obj: ObjectFile) -> list[tuple[object, ...]]:
    """All that is said of each section that says something; references to others by their place in the list."""
    kept = [section for section in obj.sections if section.sh_size]
    return [
        (
            *(section.name, section.sh_type, section.sh_flags, section.sh_entsize, section.sh_info),
            b"" if section.group else bytes(section.data),
            section.nobits_size,
            section.link_order and section.link_order.name,
            section.group and (signature(section.group.signature), section.group.is_comdat),
            [kept.index(member) for member in section.group.members] if section.group else [],
        )
        for section in kept
    ]


def signature(symbol: Symbol) -> object:
    return symbol.section.name if symbol.st_type is SymbolType.SECTION else symbol_facts(symbol)


def symbols(obj: ObjectFile) -> list[tuple[object, ...]]:
    return [symbol_facts(symbol) for symbol in obj.symbols]


SAME_AS_LLVM = {
    "flags": """
        .section a,"awxMSG",@progbits,1,grp,comdat\n .byte 1
        .section d,"e",@progbits\n .byte 2
        .section e,"aR",@init_array\n .byte 2
        .section f,"awT",@nobits\n .zero 2
        .section g,"6"\n .byte 2
        .section h,"0x80000002"\n .byte 2
        .section i,"a",%fini_array\n .byte 3
        .section j,"a","preinit_array"\n .byte 3
        .section k,"a",@0x6000\n .byte 3""",
    "LLVM's types": "".join(
        f'.section {name.partition(",")[0]},"",@llvm_{name}\n.byte 1\n'
        for name in (
            *("odrtab", "linker_options", "dependent_libraries", "sympart", "bb_addr_map", "offloading", "lto"),
            *("jt_sizes", "call_graph", "call_graph_profile", "cfi_jump_table,4"),
        )
    ),
    "types that names have": "".join(
        f".section {name}\n.zero 4\n"
        for name in (
            *(".init_array", ".init_array.5", ".fini_array", ".preinit_array", ".tdata", ".tdata.x", ".tbss"),
            *(".tbss.x", ".note.x", ".notex", ".comment", ".debug_info", ".rodata1", ".data1", ".data.rel.ro"),
            *(".sdata", ".bssx", ".textx", ".text.hot", ".init", ".fini", ".init.x", ".bss.x"),
        )
    ),
    "one name in several groups": """
        .section b,"axG",@progbits,grp2\n .zero 8
        .section b,"axG",@progbits,grp3,comdat\n .zero 16
        .section b,"ax?",@progbits\n .zero 24
        .section c,"a?"\n .byte 1
        .section b\n .byte 1""",
    "no group to be in": '.section y,"a?",@progbits\n .byte 2',
    "group without relocations, and with": """
        .section x,"axG",@progbits,g,comdat\n .quad foo\n foo: .byte 1
        .section y,"axG",@progbits,g,comdat\n .byte 1""",
    "signatures": """
        .section foo,"axG",@progbits,foo,comdat\n exit
        .section bar,"axG",@progbits,.text,comdat\n exit
        .section bar,"axG",@progbits,5,comdat\n exit
        .section bar,"axG",@progbits,"a b",comdat\n exit
        .section bar,"axG",@progbits,.L1,comdat\n .L1: exit
        .section bar,"axG",@progbits,defined,comdat\n .globl defined\n defined: exit
        .section bar,"axG",@progbits,used,comdat\n .quad used""",
    "the group of a later mention without comdat": """
        .section x,"aG",@progbits,g,comdat\n .byte 1
        .section x,"aG",@progbits,g\n .byte 2""",
    "unique": """
        .section x,"a",@progbits,unique,0\n .byte 1
        .section x,"a"\n .byte 2
        .section x,"a",@progbits,unique,7\n .byte 3
        .section x,"a",@progbits,unique,0\n .byte 4
        .section x,"aG",@progbits,g,comdat,unique,0\n .byte 5""",
    "link order": """
        .text\n exit
        .section y,"awo",@progbits,.text\n .byte 1
        .section x,"aw",@progbits\n foo: .byte 1
        .section yy,"awo",@progbits,foo\n .byte 1
        .section y,"awo",@progbits,x\n .byte 1
        .section y,"awo",@progbits,0\n .byte 1
        .section zz,"aGMo",@progbits,1,.text,5,comdat,unique,4\n .byte 2""",
    "subsections of a pushed section": """
        .pushsection x,3\n .byte 2\n .popsection
        .pushsection x,1,""\n .byte 1\n .popsection
        .section x\n .byte 0""",
    "previous after a pushed section": """
        .data\n .text\n .pushsection x\n .previous\n .byte 1\n .previous\n .byte 2\n .popsection\n .previous
        .byte 3""",
    "ident": '.ident "abc"\n .byte 1\n .ident "d"\n .section foo\n .byte 1',
    "ident behind other comments": '.section .comment\n .byte 7\n .text\n .ident "a"',
    "ident between": '.section .comment,"MS",@progbits,1\n .byte 7\n .ident "a"\n .section .comment\n .byte 8',
    "version": '.version "01.01"\n .version "01.0"\n .byte 1',
    "list of symbols": """
        .file "x.c"\n .addrsig\n .globl f\n f: exit\n .local l\n l: exit
        .data\n g: .quad l, .data2\n .section .data2\n .byte 1\n .Lx: .byte 1
        .addrsig_sym g\n .addrsig_sym f\n .addrsig_sym l\n .addrsig_sym f\n .addrsig_sym .Lx\n .addrsig_sym .text
        .addrsig_sym unused\n .addrsig_sym .Lunused""",
    "list of symbols that is not asked for": "f: exit\n .addrsig_sym f",
}


@pytest.mark.peer
@pytest.mark.parametrize("order", ByteOrder)
@pytest.mark.parametrize("name", SAME_AS_LLVM)
def test_sections_and_symbols_are_llvm_s(name: str, order: ByteOrder) -> None:
    text = SAME_AS_LLVM[name]
    triple = "bpfel" if order is ByteOrder.LITTLE else "bpfeb"
    data = Peer.LLVM_MC.run(
        f"-triple={triple}", "-filetype=obj", "-", "-o", "-", stdin=f"{text}\n".encode()
    ).output
    expected, found = read_object(data, "theirs.o"), made(text, order)
    assert rows(found) == rows(expected)
    assert symbols(found) == symbols(expected)


SAME_AS_GNU = {
    "ident": '.ident "a" "b"\n.ident "c", "d"\n.ident "\\101"',
    "version": '.version "01.0"',
    "flags among letters": '.section z,"2x"\n.byte 1\n',
    "entries of strings": '.section z,"aMS",@progbits,2\n.short 0\n',
    "groups": """
        .section x,"axG",@progbits,g,comdat\n .byte 1
        .section y,"a?"\n .byte 1
        .section x,"a"\n .byte 1""",
    "link order with what comes later": '.section y,"ao",@progbits,later\n.byte 0\n.data\nlater: .byte 1',
}


@pytest.mark.peer
@pytest.mark.parametrize("name", SAME_AS_GNU)
def test_sections_are_gnu_s(name: str, tmp_path: Path) -> None:
    source, expected = tmp_path / "prog.s", tmp_path / "prog.o"
    source.write_text(f"{SAME_AS_GNU[name]}\n")
    Peer.GNU_AS.run("-EL", source, "-o", expected)

    def facts(obj: ObjectFile) -> list[tuple[object, ...]]:
        # GNU as puts all groups first.
        return sorted((row[:-2] for row in rows(obj)), key=str)

    assert facts(made(SAME_AS_GNU[name])) == facts(read_object(expected.read_bytes(), "gnu.o"))


def test_a_group_comes_before_its_first_member_and_nothing_else_moves() -> None:
    text = '.byte 1\n.data\n.byte 1\n.section a,"aG",@progbits,g\n.byte 1\n.section b\n.byte 1\n'
    names = [section.name for section in made(f'{text}.section c,"aG",@progbits,g\n.byte 1\n').sections]
    assert names == [".text", ".data", ".group", "a", "b", "c"]


def test_an_empty_group_is_not_made() -> None:
    assert made('.section a,"aG",@progbits,g\n').sections == []


@pytest.mark.parametrize(
    ("declaration", "bind"), [(".globl g", SymbolBinding.GLOBAL), (".weak g", SymbolBinding.WEAK)]
)
def test_a_declared_signature_is_a_reference(declaration: str, bind: SymbolBinding) -> None:
    symbol = made(f'{declaration}\n.section a,"aG",@progbits,g\n.byte 1\n').symbol("g")
    assert symbol
    assert (symbol.is_defined, symbol.st_bind) == (False, bind)


def test_the_flag_for_memory_takes_a_number() -> None:
    (section,) = made('.section a,"ad",@progbits,5\n.byte 1\n').sections
    assert (section.sh_flags, section.sh_info) == (SectionFlag.ALLOC | SectionFlag.GNU_MBIND, 5)


def test_texts_about_the_object_leave_the_next_source_location_alone() -> None:
    text = '.file 1 "a.c"\n.loc 1 5\n.ident "x"\nexit\n'
    without = made(text.replace('.ident "x"', "")).section(".debug_line")
    line = made(text).section(".debug_line")
    assert line
    assert without
    assert bytes(line.data) == bytes(without.data)


@pytest.mark.parametrize("reading", Reading)
@pytest.mark.parametrize("name", SAME_AS_LLVM)
def test_every_reading_gives_the_same(name: str, reading: Reading) -> None:
    text = f"{SAME_AS_LLVM[name]}\n"
    assert write_object(assemble(text, reading=reading)) == write_object(assemble(text, reading=Reading.PLAIN))


@pytest.mark.parametrize("name", [name for name in SAME_AS_LLVM if "list" not in name])
def test_a_disassembly_gives_the_sections_again(name: str) -> None:
    obj = made(SAME_AS_LLVM[name])
    listing = "\n".join(disassemble(obj, everything=True))
    assert [row[:-2] for row in rows(made(listing))] == [row[:-2] for row in rows(obj)]
    assert groups(made(listing)) == groups(obj)


def groups(obj: ObjectFile) -> list[tuple[bool, list[str]]]:
    found = [section.group for section in obj.sections if section.group]
    return [(group.is_comdat, [member.name for member in group.members]) for group in found]


def error(text: str) -> str:
    with pytest.raises(BpfasError) as raised:
        assemble(f"{text}\n")
    return str(raised.value)


def test_a_link_to_nowhere_names_the_statement() -> None:
    assert error('exit\n.section y,"ao",@progbits,zork\n.byte 0').startswith(
        "<string>:2:12: error: section `y` is to go with `zork`, which is neither a section nor in one"
    )


def test_a_group_that_becomes_comdat_names_its_first_mention() -> None:
    text = '.section x,"aG",@progbits,g\n.section y,"aG",@progbits,g,comdat'
    assert error(text).splitlines()[0] == "<string>:2:12: error: group `g` was not comdat before"
    assert error(text).splitlines()[-1] == ">>> first named at <string>:1:1"


def listed(obj: ObjectFile) -> list[Section]:
    return [section for section in obj.sections if section.sh_type == SectionType.LLVM_ADDRSIG]


def test_a_disassembly_lists_the_same_symbols_again() -> None:
    obj = made(SAME_AS_LLVM["list of symbols"])
    (again,) = listed(made("\n".join(disassemble(obj, everything=True))))
    (first,) = listed(obj)
    assert again.listed_symbols
    assert first.listed_symbols
    assert [signature(s) for s in again.listed_symbols] == [signature(s) for s in first.listed_symbols]


@pytest.mark.parametrize(
    "text",
    [
        '.section maps, "aw"\n.text\nr1 = %map(maps) ll\n',
        ".bss\n.L1:\n.text\nr1 = %map(.L1) ll\n",
        '.section .g, "axG", @progbits, .L1, comdat\n.L1:\n.text\nexit\n',
        'g = 1\n.section .f, "axG", @progbits, g, comdat\nexit\ng = 2\n',
    ],
)
def test_what_is_referred_to_is_in_the_object(text: str) -> None:
    obj = assemble(text)
    assert read_object(write_object(obj), "x.o").sections


def test_a_group_is_not_named_by_what_is_elsewhere() -> None:
    with pytest.raises(BpfasError, match="g: is set to `h`, which is not defined here"):
        assemble('.section .g, "axG", @progbits, g, comdat\ng = h\nexit\n')


def test_address_significant_symbols_that_are_set_again() -> None:
    section = assemble("x = 1\n.addrsig\n.addrsig_sym x\nx = 2\n").section(".llvm_addrsig")
    assert section is not None
    assert [symbol.name for symbol in section.listed_symbols or ()] == ["x"]
