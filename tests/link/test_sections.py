"""How sections of one name become one, and what is reported when they cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bpfas.asm import assemble
from bpfas.diag import BpfasError
from bpfas.elf.constants import ByteOrder, SectionFlag, SectionType
from bpfas.elf.reader import read_object
from bpfas.elf.writer import write_object
from bpfas.link.linker import link
from bpfas.link.options import LinkOptions, Strip
from bpfas.objfile import ObjectFile, Section, Symbol
from tests.link.builders import (
    ABS32,
    CODE,
    EXIT,
    code,
    data,
    glob,
    license_section,
    link_errors,
    obj,
    relocated,
    section_of,
    section_symbol,
    symbol_of,
)
from tests.peers import Peer

if TYPE_CHECKING:
    from pathlib import Path


def nobits(size: int, alignment: int) -> Section:
    return Section(".bss", SectionType.NOBITS, SectionFlag.ALLOC | SectionFlag.WRITE, alignment, nobits_size=size)


def test_contents_follow_one_another_with_zeros_up_to_the_alignment() -> None:
    linked = link([obj("a.o", data(contents=b"abc", alignment=1)), obj("b.o", data(contents=b"def", alignment=8))])
    assert section_of(linked, ".data").data == b"abc\0\0\0\0\0def"
    assert section_of(linked, ".data").sh_addralign == 8


def test_symbols_move_with_their_section() -> None:
    second = data(contents=b"defg", alignment=8)
    linked = link([obj("a.o", data(contents=b"abc", alignment=1)), obj("b.o", second, glob("g", second, 2))])
    assert symbol_of(linked, "g").st_value == 10


def test_nobits_sections_add_up_without_contents() -> None:
    linked = link([obj("a.o", nobits(3, 1)), obj("b.o", nobits(1 << 40, 8))])
    bss = section_of(linked, ".bss")
    assert (bss.sh_size, bss.data) == (8 + (1 << 40), b"")


def test_sections_stand_in_order_of_first_appearance() -> None:
    linked = link([obj("a.o", code("xdp"), data()), obj("b.o", code("tc"), code("xdp"))])
    assert [section.name for section in linked.sections] == ["xdp", ".data", "tc"]


def test_sections_of_one_name_in_one_object_are_joined() -> None:
    linked = link([obj("a.o", data(contents=b"1111"), data(contents=b"2222"))])
    assert section_of(linked, ".data").data == b"11112222"


def test_nothing_is_left_of_addrsig() -> None:
    addrsig = Section(".llvm_addrsig", SectionType.LLVM_ADDRSIG, SectionFlag.EXCLUDE, data=b"\1\2")
    assert [section.name for section in link([obj("a.o", code(), addrsig)]).sections] == [".text"]


def test_a_difference_of_type_is_an_error() -> None:
    note = Section(".bss", SectionType.NOTE, SectionFlag.ALLOC | SectionFlag.WRITE, data=b"note")
    report = link_errors(obj("a.o", nobits(8, 8)), obj("b.o", note))
    assert report == (
        'b.o:(.bss): error: section .bss is "aw",@note here, "aw",@nobits in a.o\n'
        ">>> give one of them another name"
    )


def test_a_difference_of_flags_is_an_error() -> None:
    report = link_errors(obj("a.o", data("maps")), obj("b.o", code("maps")))
    assert report == (
        'b.o:(maps): error: section maps is "ax",@progbits here, "aw",@progbits in a.o\n'
        ">>> give one of them another name"
    )


def test_a_difference_of_entry_size_is_an_error() -> None:
    strings, words = data("s"), data("s")
    strings.sh_entsize, words.sh_entsize = 1, 4
    assert '"aw",@progbits,4 here, "aw",@progbits,1 in a.o' in link_errors(obj("a.o", strings), obj("b.o", words))


def test_flags_and_types_without_a_name_are_shown_as_numbers() -> None:
    odd = Section("odd", 0x70000001, 0x102)
    assert '"a"+0x100,of type 0x70000001 here' in link_errors(obj("a.o", data("odd")), obj("b.o", odd))


def test_the_license_is_kept_once() -> None:
    linked = link([obj("a.o", license_section()), obj("b.o", license_section())])
    assert section_of(linked, "license").data == b"GPL\0"


def test_another_license_is_an_error() -> None:
    report = link_errors(obj("a.o", license_section(b"GPL\0")), obj("b.o", license_section(b"MIT\0")))
    assert report == (
        'b.o:(license): error: section license must be the same in all objects: "MIT" here, "GPL" in a.o\n'
        ">>> give all files the same license"
    )


def test_another_version_is_shown_in_numbers() -> None:
    first, second = data("version", b"\1\x0a\6\0"), data("version", b"\0\x0a\6\0")
    assert "00 0a 06 00 here, 01 0a 06 00 in a.o" in link_errors(obj("a.o", first), obj("b.o", second))


def test_a_section_without_a_name_is_an_error() -> None:
    report = link_errors(obj("a.o", data("", bytes(3))))
    assert report == "a.o: error: a section of 3 bytes has no name; is the file damaged?"


def test_code_that_is_not_whole_instructions_is_an_error() -> None:
    ragged = Section("xdp", SectionType.PROGBITS, CODE, 8, 0, bytes(12))
    report = link_errors(obj("a.o", ragged))
    assert report == "a.o:(xdp): error: code of 12 bytes is not a whole number of 8-byte instructions"


def test_compressed_sections_cannot_be_joined() -> None:
    parts = [obj(f"{name}.o", Section(".debug_info", sh_flags=0x800, data=b"x")) for name in "ab"]
    assert "b.o: error: section .debug_info is compressed by no known method" in link_errors(*parts)


def test_objects_of_two_byte_orders_are_an_error() -> None:
    report = link_errors(obj("a.o", code()), obj("b.o", code(), order=ByteOrder.BIG))
    assert report == ("b.o: error: is big-endian, but a.o is little-endian; compile both for the same target")


def test_the_highest_isa_version_is_kept() -> None:
    assert link([obj("a.o", code(), e_flags=1), obj("b.o", code(), e_flags=4)]).e_flags == 4


def test_every_error_is_reported_in_one_run() -> None:
    text = code()
    report = link_errors(
        obj("a.o", data("maps"), license_section(b"GPL\0"), text, glob("f", text)),
        obj("b.o", code("maps"), license_section(b"MIT\0"), other := code(), glob("f", other)),
    )
    assert report.count("error:") == 3


@pytest.mark.parametrize("local", [True, False])
def test_symbols_in_dropped_sections_go_with_them(local: bool) -> None:
    types = Section(".llvm_addrsig", SectionType.LLVM_ADDRSIG)
    inside = Symbol("inside", types) if local else glob("inside", types)
    assert link([obj("a.o", types, inside, code()), obj("b.o", code())]).symbols == []


def test_contents_of_the_inputs_are_left_alone() -> None:
    first, second = code(".text", EXIT), code(".text", EXIT)
    objects = [obj("a.o", first), obj("b.o", second)]
    link(objects)
    assert (first.data, second.data) == (EXIT, EXIT)


def test_sections_that_are_too_large_together_are_an_error() -> None:
    objects = [
        ObjectFile(f"{name}.o", sections=[Section(".bss", SectionType.NOBITS, 3, 8, nobits_size=1 << 62)])
        for name in "abcde"
    ]
    with pytest.raises(BpfasError, match=r"section \.bss would have \d+ bytes"):
        link(objects)


def test_zeros_and_contents_of_one_name_are_contents() -> None:
    ones = Section(".bss", SectionType.PROGBITS, nobits(1, 1).sh_flags, 2, data=b"\1\1")
    linked = link([obj("a.o", nobits(3, 1)), obj("b.o", ones), obj("c.o", nobits(2, 1))])
    bss = section_of(linked, ".bss")
    assert (bss.sh_type, bss.data) == (SectionType.PROGBITS, b"\0\0\0\0\1\1\0\0")


def test_too_many_zeros_are_not_written_out() -> None:
    ones = Section(".bss", SectionType.PROGBITS, nobits(1, 1).sh_flags, 1, data=b"\1")
    assert link_errors(obj("a.o", nobits(1 << 40, 1)), obj("b.o", ones)) == (
        "error: section .bss would need 1099511627776 bytes of zeros in the file, more than 268435456, because "
        "b.o:(.bss) has contents (@progbits); make that @nobits, or give it another name"
    )


@pytest.mark.parametrize("alignment", [3, 1 << 21])
def test_an_alignment_that_is_no_power_of_two_or_enormous_is_an_error(alignment: int) -> None:
    assert link_errors(obj("a.o", data(alignment=alignment))) == (
        f"a.o:(.data): error: alignment {alignment:#x} is no power of two up to 0x100000"
    )


def debug_sections() -> list[Section]:
    strings = Section(".debug_str", sh_flags=0x30, sh_entsize=1, data=b"text\0")
    info = relocated(Section(".debug_info", data=bytes(4)), (0, ABS32, section_symbol(strings)))
    comment = Section(".comment", sh_flags=0x30, sh_entsize=1, data=b"compiler\0")
    loaded = data(".debug_level")
    return [code(), strings, info, comment, loaded]


@pytest.mark.parametrize("strip", [Strip.DEBUG, Strip.ALL])
def test_debugging_sections_are_left_out_if_asked_for(strip: Strip) -> None:
    linked = link([obj("a.o", *debug_sections())], options=LinkOptions(strip=strip))
    assert [section.name for section in linked.sections] == [".text", ".comment", ".debug_level"]


def test_debugging_sections_are_kept_otherwise() -> None:
    linked = link([obj("a.o", *debug_sections())])
    assert [reloc.symbol.section.name for reloc in section_of(linked, ".debug_info").relocations] == [".debug_str"]


def test_sections_of_single_functions_become_one() -> None:
    first, second = code(".text.f"), code(".text.g", EXIT, EXIT)
    objects = [obj("a.o", first, glob("f", first)), obj("b.o", second, glob("g", second, 8))]
    linked = link(objects)
    assert [(section.name, section.sh_size) for section in linked.sections] == [(".text", 24)]
    assert symbol_of(linked, "g").st_value == 16
    partial = link(objects, options=LinkOptions(partial=True))
    assert [section.name for section in partial.sections] == [".text.f", ".text.g"]


GNU_PARTS = [
    """
.data
.balign 4
first: .byte 1, 2, 3
.section .rodata, "a"
.balign 8
word: .quad 5
.bss
.zero 3
.text
exit
""",
    """
.data
.balign 16
second: .byte 4, 5
.bss
.balign 8
zeros: .zero 9
.section xdp, "ax"
r0 = 0
exit
""",
    """
.section .rodata, "a"
last: .byte 7
.text
r1 = 2
exit
.globl end
end:
.data
.balign 2
.quad 9
.section .comment, "MS", @progbits, 1
.asciz "x"
""",
]


@pytest.mark.peer
def test_gnu_ld_joins_sections_alike(tmp_path: Path) -> None:
    paths = []
    for number, text in enumerate(GNU_PARTS):
        paths.append(tmp_path / f"{number}.o")
        paths[-1].write_bytes(write_object(assemble(text, f"{number}.s")))
    theirs = tmp_path / "theirs.o"
    Peer.GNU_LD.run("-r", *paths, "-o", theirs)
    reference = read_object(theirs.read_bytes(), "theirs.o")
    ours = link([read_object(path.read_bytes(), path.name) for path in paths])
    for section in ours.sections:
        other = section_of(reference, section.name)
        assert (section.sh_type, section.sh_size, bytes(section.data)) == (
            other.sh_type,
            other.sh_size,
            bytes(other.data),
        )
    for name in ("first", "second", "word", "zeros", "last", "end"):
        mine, their = symbol_of(ours, name), symbol_of(reference, name)
        assert (mine.section.name, mine.st_value) == (their.section.name, their.st_value)
