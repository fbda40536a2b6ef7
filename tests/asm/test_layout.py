"""Sizes that depend on where things lie: they are right in the end, whatever they depend on."""

from __future__ import annotations

import pytest

from bpfas.asm import assemble
from bpfas.diag import BpfasError

FAR = "r1 = r2\n" * (1 << 15)


def data(text: str, name: str = ".data") -> bytes:
    section = assemble(text).section(name)
    assert section is not None
    return bytes(section.data)


def test_leb128_of_a_distance_that_comes_later() -> None:
    text = ".data\n.uleb128 b-a\na: .zero {}\nb: .byte 9\n.sleb128 a-b\n"
    assert data(text.format(127)) == b"\x7f" + bytes(127) + b"\x09\x81\x7f"
    assert data(text.format(128)) == b"\x80\x01" + bytes(128) + b"\x09\x80\x7f"


def test_leb128_that_counts_itself() -> None:
    # With one byte the distance would be 128, which needs two.
    assert data(".data\na: .uleb128 b-a\n.zero 127\nb:\n") == b"\x81\x01" + bytes(127)


def test_alignment_behind_what_grows() -> None:
    assert data(".data\n.uleb128 b-a\n.balign 4, 0xff\na: .zero 200\nb:\n") == b"\xc8\x01\xff\xff" + bytes(200)
    # The gap is one byte at first, and none when the number has got its second one.
    assert data(".data\n.byte 1, 1\n.uleb128 b-a\n.balign 4\na: .zero 128\nb:\n") == b"\1\1\x80\x01" + bytes(128)


def test_a_label_in_front_of_a_gap_stays_and_one_behind_it_moves() -> None:
    obj = assemble(".data\n.uleb128 e-b\n.zero 2\na: .balign 1\n.balign 4\nb: .zero 200\ne:\n")
    symbols = {symbol.name: symbol.st_value for symbol in obj.symbols}
    assert (symbols["a"], symbols["b"], symbols["e"]) == (4, 4, 204)
    obj = assemble(".data\n.uleb128 e-b\n.zero 3\na: .balign 4\nb: .zero 200\ne:\n")
    symbols = {symbol.name: symbol.st_value for symbol in obj.symbols}
    assert (symbols["a"], symbols["b"], symbols["e"]) == (5, 8, 208)


def test_fillings_and_origins_that_are_known_later() -> None:
    assert data(".data\n.skip e-b, 7\n.byte 1\nb: .zero 3\ne:\n") == b"\7\7\7\1" + bytes(3)
    assert data(".data\n.fill e-b, 2, 0x102\nb: .byte 5, 5\ne:\n") == b"\2\1\2\1\5\5"
    assert data(".data\na: .byte 1\n.org a+(e-b), 9\nb: .zero 3\ne:\n") == b"\1\x09\x09" + bytes(3)


def test_an_origin_behind_a_long_jump_is_where_it_says() -> None:
    text = data(f"if r1 == 0 goto 1f\n{FAR}.org 0x50000\nx: exit\n1: exit\n", ".text")
    assert text[0x50000:] == bytes.fromhex("9500000000000000") * 2


def test_subsections_lie_in_the_order_of_their_numbers() -> None:
    text = ".data 2\nc: .byte 3\n.data\na: .byte 1\n.subsection 1\nb: .byte 2\n.long c-a\n.previous\n.byte 9\n"
    obj = assemble(text)
    assert data(text) == b"\1\x09\2" + (7).to_bytes(4, "little") + b"\3"
    assert {symbol.name: symbol.st_value for symbol in obj.symbols} == {"a": 0, "b": 2, "c": 7}


def test_jumps_and_relocations_between_subsections() -> None:
    section = assemble("goto 1f\n.text 1\n1: exit\n.quad here\n.text 0\nr0 = 0\nhere: exit\n").section(".text")
    assert section is not None
    assert section.data[:8].hex() == "0500020000000000"
    assert [relocation.r_offset for relocation in section.relocations] == [32]
    assert section.data[32:40] == (16).to_bytes(8, "little")


def test_lines_of_subsections_are_in_order() -> None:
    section = assemble('.file 1 "a.c"\n.text 1\n.loc 1 7\nexit\n.text 0\n.loc 1 3\nexit\n').section(".debug_line")
    assert section is not None
    assert [relocation.r_offset for relocation in section.relocations]


def test_a_number_that_was_used_before_a_jump_became_long_is_an_error() -> None:
    text = f"a: if r1 == 0 goto 1f\nb:\n.data\n.fill {{}}, 1\n.text\n{FAR}1: exit\n"
    assert data(text.format("b-a, 1")) == b"\1" * 24  # found out later
    with pytest.raises(BpfasError, match="this was taken for 8, but is 24 because something in between"):
        assemble(text.format("1, b-a"))


def test_sizes_that_chase_one_another_are_an_error() -> None:
    with pytest.raises(BpfasError, match="<string>:2:10: error: this size and others depend on one another"):
        assemble(".data\na: .skip c-b\nb: .skip b-a+1\nc:\n")


def test_sizes_that_swing_are_an_error_soon() -> None:
    numbers = "".join(f".uleb128 x{number}-a\nx{number}:\n" for number in range(300))
    with pytest.raises(BpfasError, match="<string>:2:10: error: this size and others depend on one another"):
        assemble(f".data\na: .zero 8-(b-a)\nb:\n{numbers}")


@pytest.mark.parametrize(
    "statement",
    [".octa b-a", ".fill b-a, 1, 5", ".uleb128 b-a", ".balign 8, 0xff", ".org 64, 0xff", ".sleb128 a-b"],
)
def test_a_section_without_contents_has_only_zeros(statement: str) -> None:
    with pytest.raises(BpfasError, match="is @nobits, so its bytes can only be zero"):
        assemble(f".bss\n.zero 1\n{statement}\na: .zero 8\nb:\n")
    assert assemble(".bss\n.fill b-a, 1, 0\n.balign 8\na: .zero 8\nb:\n").section(".bss")


def test_a_number_that_has_no_value_in_the_end_is_an_error() -> None:
    with pytest.raises(BpfasError, match="this was taken for 4, but in the end has no value"):
        assemble(".set b, a+4\n.if b-a\nexit\n.endif\n.set a, b\n")


def test_a_sum_may_be_long() -> None:
    assert data(f".data\n.quad x{'+1' * 5000}-x\nx:\n") == (5000).to_bytes(8, "little")


def test_a_section_without_contents_refuses_even_very_many_other_bytes() -> None:
    with pytest.raises(BpfasError, match="is @nobits, so its bytes can only be zero"):
        assemble(".bss\n.fill 1 << 40, 1, 1\n")
    section = assemble(".bss\n.fill 1 << 40, 8, 0\n.fill 0, 1, 1\n").section(".bss")
    assert section is not None
    assert section.nobits_size == 1 << 43
