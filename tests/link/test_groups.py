"""Section groups and link order: one copy of a COMDAT group is kept, and the rest follows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bpfas.asm import assemble
from bpfas.diag import BpfasError, Diagnostics
from bpfas.elf.constants import SectionFlag, SectionType
from bpfas.elf.reader import read_object
from bpfas.elf.writer import write_object
from bpfas.link.linker import link
from bpfas.link.options import LinkOptions

if TYPE_CHECKING:
    from bpfas.objfile import ObjectFile, Section


def made(text: str, name: str) -> ObjectFile:
    return read_object(write_object(assemble(text, name)), name)


def linked(*texts: str) -> ObjectFile:
    objects = [made(text, f"{number}.o") for number, text in enumerate(texts)]
    return read_object(write_object(link(objects)), "out.o")


def section(obj: ObjectFile, name: str) -> Section:
    found = obj.section(name)
    assert found
    return found


SHARED = """
    .section .text.twice,"axG",@progbits,twice,comdat
    .weak twice
twice:
    r0 = {value}
    exit
.Lend:
    .section .debug_here,"",@progbits
    .quad .Lend
    .section .rodata.twice,"aG",@progbits,twice,comdat
    .byte {value}
    .section .sizes,"o",@progbits,.text.twice
    .byte 16
    .section {program},"ax",@progbits
    call twice
    exit
"""


def test_of_two_comdat_groups_the_first_is_kept() -> None:
    out = linked(SHARED.format(value=1, program="xdp"), SHARED.format(value=2, program="tc"))
    assert bytes(section(out, ".text").data[:8]).hex() == "b700000001000000"
    assert bytes(section(out, ".rodata.twice").data) == b"\1"
    assert [symbol.section for symbol in out.symbols if symbol.name == "twice"] == [section(out, ".text")]
    for program in ("xdp", "tc"):
        (relocation,) = section(out, program).relocations
        assert relocation.symbol.name == "twice"


def test_groups_end_with_the_link() -> None:
    out = linked(SHARED.format(value=1, program="xdp"))
    assert not any(s.sh_type == SectionType.GROUP or s.sh_flags & SectionFlag.GROUP for s in out.sections)


def test_a_partial_link_tells_that_groups_end() -> None:
    diagnostics = Diagnostics()
    weak = SHARED.format(value=1, program="xdp")
    for text in (weak, weak.replace(".weak", ".globl")):
        link([made(text, "a.o")], "part.o", LinkOptions(partial=True), diagnostics)
    (warning,) = diagnostics.items
    assert warning.render().startswith("a.o: warning: section group twice ends with this link")


def test_what_goes_with_a_section_left_out_is_left_out() -> None:
    out = linked(SHARED.format(value=1, program="xdp"), SHARED.format(value=2, program="tc"))
    sizes = section(out, ".sizes")
    assert bytes(sizes.data) == b"\x10"
    assert sizes.link_order is section(out, ".text")


def test_debugging_information_of_what_was_left_out_says_nowhere() -> None:
    out = linked(SHARED.format(value=1, program="xdp"), SHARED.format(value=2, program="tc"))
    debug = section(out, ".debug_here")
    assert bytes(debug.data).hex() == "1000000000000000" + "ff" * 8
    assert [relocation.r_offset for relocation in debug.relocations] == [0]


def test_a_loadable_reference_to_a_local_place_that_was_left_out_is_an_error() -> None:
    text = '.section a,"aG",@progbits,a,comdat\n.byte 1\nplace: .byte 2\n.data\n.quad place\n'
    with pytest.raises(BpfasError, match=r"1\.o:\(\.data\+0x0\): error: R_BPF_64_ABS64 against a"):
        linked(text, text)


def test_groups_that_are_not_comdat_are_all_kept() -> None:
    text = '.section a,"aG",@progbits,a\n.byte 1\n'
    assert bytes(section(linked(text, text), "a").data) == b"\1\1"


def test_what_a_group_left_out_uses_need_not_be_defined() -> None:
    kept = '.section a,"axG",@progbits,a,comdat\nexit\n'
    left_out = '.section a,"axG",@progbits,a,comdat\ncall nobody\nexit\n'
    assert bytes(section(linked(kept, left_out), "a").data).hex() == "9500000000000000"


def test_sections_that_go_with_different_ones_are_not_joined() -> None:
    text = '.text\nexit\n.section xdp,"ax"\nexit\n'
    text += '.section .sizes,"o",@progbits,.text\n.byte 1\n.section .sizes,"o",@progbits,xdp\n.byte 2\n'
    out = linked(text, text)
    found = {s.link_order.name: bytes(s.data) for s in out.sections if s.link_order}
    assert found == {".text": b"\1\1", "xdp": b"\2\2"}


@pytest.mark.parametrize("flags", [("ax", "axR"), ("axR", "ax")])
def test_a_section_is_retained_if_a_part_of_it_is(flags: tuple[str, str]) -> None:
    out = linked(*(f'.section x,"{letters}"\nexit\n' for letters in flags))
    assert section(out, "x").sh_flags & SectionFlag.GNU_RETAIN
