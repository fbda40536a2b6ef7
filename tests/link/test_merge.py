"""Sections of strings and constants: equal entries stand in the output once, and every reference finds its own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpfas.elf.constants import ByteOrder, SectionFlag, SectionType
from bpfas.link.linker import link
from bpfas.objfile import ObjectFile, Relocation, Section, Symbol
from tests.elf.strategies import essence
from tests.link.builders import (
    ABS32,
    ABS64,
    EXIT,
    LOAD,
    code,
    data,
    extern,
    glob,
    imm_at,
    lddw,
    link_errors,
    obj,
    relocated,
    section_of,
    section_symbol,
    symbol_of,
)

MERGE, STRINGS, ALLOC = SectionFlag.MERGE, SectionFlag.STRINGS, SectionFlag.ALLOC


def strings(text: bytes, entsize: int = 1, alignment: int = 1, name: str = ".rodata.str1.1") -> Section:
    return Section(name, SectionType.PROGBITS, ALLOC | MERGE | STRINGS, alignment, entsize, text)


def constants(contents: bytes, entsize: int, alignment: int = 1) -> Section:
    return Section(".rodata.cst", SectionType.PROGBITS, ALLOC | MERGE, alignment, entsize, contents)


def test_equal_strings_of_all_objects_stand_once_in_order_of_first_appearance() -> None:
    linked = link([obj("a.o", strings(b"one\0two\0one\0")), obj("b.o", strings(b"three\0two\0\0"))])
    assert section_of(linked, ".rodata.str1.1").data == b"one\0two\0three\0\0"


def test_the_end_of_a_string_is_a_string_of_its_own() -> None:
    linked = link([obj("a.o", strings(b"two\0o\0"))])
    assert section_of(linked, ".rodata.str1.1").data == b"two\0o\0"


@pytest.mark.parametrize("entsize", [2, 4])
def test_strings_of_wide_characters_end_at_a_wide_terminator(entsize: int) -> None:
    def wide(*texts: str) -> bytes:
        return "".join(f"{text}\0" for text in texts).encode({2: "utf-16-le", 4: "utf-32-le"}[entsize])

    linked = link(
        [
            obj("a.o", strings(wide("aĀ", "", "b"), entsize, entsize)),
            obj("b.o", strings(wide("b", "c", "aĀ"), entsize, entsize)),
        ]
    )
    assert section_of(linked, ".rodata.str1.1").data == wide("aĀ", "", "b", "c")


def test_equal_constants_stand_once() -> None:
    linked = link([obj("a.o", constants(b"1111222211112222", 4)), obj("b.o", constants(b"33332222", 4))])
    assert section_of(linked, ".rodata.cst").data == b"111122223333"


def test_a_reference_through_the_section_leads_to_the_entry_and_the_place_in_it() -> None:
    second = strings(b"two\0one\0")
    text = relocated(code("xdp", lddw(5), lddw(1), EXIT), *((at, LOAD, section_symbol(second)) for at in (0, 16)))
    linked = link([obj("a.o", strings(b"zero\0one\0")), obj("b.o", second, text)])
    assert section_of(linked, ".rodata.str1.1").data == b"zero\0one\0two\0"
    assert [imm_at(section_of(linked, "xdp"), at) for at in (0, 16)] == [6, 10]


@pytest.mark.parametrize(("r_type", "width"), [(ABS32, 4), (ABS64, 8)])
@pytest.mark.parametrize("order", ByteOrder)
@pytest.mark.parametrize("name", [".data", ".debug_str_offsets"])
def test_words_of_data_follow_their_strings(r_type: int, width: int, order: ByteOrder, name: str) -> None:
    second = strings(b"two\0one\0")
    words = [offset.to_bytes(width, order.name_for_int) for offset in (4, 0, 7)]
    table = relocated(
        Section(name, sh_flags=ALLOC if name == ".data" else 0, data=b"".join(words)),
        *((width * index, r_type, section_symbol(second)) for index in range(3)),
    )
    linked = link([obj("a.o", strings(b"one\0"), order=order), obj("b.o", second, table, order=order)])
    contents = section_of(linked, name).data
    found = [contents[width * index :][:width] for index in range(3)]
    assert [int.from_bytes(word, order.name_for_int) for word in found] == [0, 4, 3]


def test_symbols_lead_to_their_strings_and_into_them() -> None:
    second = strings(b"two\0one\0")
    linked = link(
        [obj("a.o", strings(b"one\0")), obj("b.o", second, glob("one", second, 4), glob("ne", second, 5))]
    )
    assert (symbol_of(linked, "one").st_value, symbol_of(linked, "ne").st_value) == (0, 1)


def test_an_addend_to_a_symbol_stays_within_the_symbols_string() -> None:
    second = strings(b"two\0one\0")
    text = relocated(code("xdp", lddw(2), lddw(4), EXIT), *((at, LOAD, extern("two")) for at in (0, 16)))
    linked = link([obj("a.o", strings(b"one\0")), obj("b.o", second, glob("two", second), text)])
    assert [imm_at(section_of(linked, "xdp"), at) for at in (0, 16)] == [2, 4]


def test_an_addend_that_leaves_the_symbols_string_leads_to_the_same_other_string() -> None:
    second = strings(b"two\0one\0")
    text = relocated(code("xdp", lddw(5), EXIT), (0, LOAD, extern("two")))
    linked = link([obj("a.o", strings(b"one\0")), obj("b.o", second, glob("two", second), text)])
    two = symbol_of(linked, "two").st_value
    assert two + imm_at(section_of(linked, "xdp"), 0) == 1


def test_the_end_of_the_section_is_the_end_of_its_last_entry() -> None:
    second = strings(b"two\0one\0")
    linked = link([obj("a.o", strings(b"one\0")), obj("b.o", second, glob("end", second, 8))])
    assert symbol_of(linked, "end").st_value == 4


def test_a_string_keeps_the_alignment_that_its_place_promised() -> None:
    first, second = strings(b"a\0b\0", alignment=1), strings(b"c\0\0\0d\0\0\0e\0", alignment=4)
    linked = link([obj("a.o", first), obj("b.o", second, glob("d", second, 4), glob("e", second, 8))])
    out = section_of(linked, ".rodata.str1.1")
    assert out.sh_addralign == 4
    for name in "de":
        at = symbol_of(linked, name).st_value
        assert at % 4 == 0
        assert out.data[at : at + 2] == name.encode() + b"\0"


def test_strings_that_begin_at_multiples_of_an_alignment_stand_once() -> None:
    first, second = strings(b"one\0\0\0\0\0two\0", alignment=8), strings(b"two\0\0\0\0\0one\0", alignment=8)
    linked = link([obj("a.o", first), obj("b.o", second)])
    assert section_of(linked, ".rodata.str1.1").data == b"one\0\0\0\0\0two\0\0\0\0\0"


def test_constants_keep_their_alignment() -> None:
    linked = link([obj("a.o", constants(b"aaa", 3)), obj("b.o", constants(b"bbb", 3, 8))])
    assert section_of(linked, ".rodata.cst").data == b"aaa\0\0\0\0\0bbb\0\0\0\0\0"


def test_a_section_without_entries_may_say_any_size_of_them() -> None:
    linked = link([obj(name, strings(b"", 1 << 62)) for name in ("a.o", "b.o")])
    assert section_of(linked, ".rodata.str1.1").sh_size == 0


def test_an_unterminated_string_is_an_error() -> None:
    assert link_errors(obj("a.o", strings(b"one\0two"))) == (
        "a.o:(.rodata.str1.1): error: of a section to be merged (SHF_MERGE), the last string has no terminator"
    )


def test_half_a_terminator_is_none() -> None:
    assert "has no terminator" in link_errors(obj("a.o", strings(b"a\0b\0", 2)))


@pytest.mark.parametrize("section", [constants(b"12345", 4), strings(b"123\0\0", 4)])
def test_a_size_that_is_no_whole_number_of_entries_is_an_error(section: Section) -> None:
    assert link_errors(obj("a.o", section)) == (
        f"a.o:({section.name}): error: of a section to be merged (SHF_MERGE), 5 bytes are no whole number of "
        "entries of 4 bytes (sh_entsize)"
    )


def test_what_relocations_change_is_not_merged() -> None:
    def pointers(target: Section) -> Section:
        return relocated(constants(bytes(16), 8), *((at, ABS64, section_symbol(target)) for at in (0, 8)))

    first, second = data(contents=b"1111"), data(contents=b"2222")
    linked = link([obj("a.o", first, pointers(first)), obj("b.o", second, pointers(second))])
    out = section_of(linked, ".rodata.cst")
    assert [out.data[at] for at in range(0, 32, 8)] == [0, 0, 4, 4]


@pytest.mark.parametrize("flags", [MERGE | ALLOC | SectionFlag.WRITE, MERGE | STRINGS])
def test_what_can_change_or_has_no_size_of_entries_is_not_merged(flags: int) -> None:
    entsize = 4 if flags & SectionFlag.WRITE else 0
    parts = [Section("x", SectionType.PROGBITS, flags, 1, entsize, b"abc\0abc\0") for _ in range(2)]
    linked = link([obj("a.o", parts[0]), obj("b.o", parts[1])])
    assert section_of(linked, "x").data == b"abc\0" * 4


def test_comments_of_compilers_stand_once() -> None:
    comments = [
        Section(".comment", sh_flags=MERGE | STRINGS, sh_entsize=1, data=b"GCC: (Debian) 12.2.0\0")
        for _ in range(3)
    ]
    linked = link([obj(f"{number}.o", comment) for number, comment in enumerate(comments)])
    assert section_of(linked, ".comment").data == b"GCC: (Debian) 12.2.0\0"


@st.composite
def merged_inputs(draw: st.DrawFn) -> tuple[list[ObjectFile], list[tuple[int, bytes]]]:
    """Objects with sections of one name, and words that lead into these, with the entry behind each place."""
    is_string, entsize = draw(st.booleans()), draw(st.sampled_from([1, 2, 4]))
    unit = (
        st.lists(st.integers(1, 3), max_size=3)
        if is_string
        else st.lists(st.integers(0, 2), min_size=1, max_size=1)
    )
    objects, aims = [], []
    for number in range(draw(st.integers(1, 3))):
        alignment = draw(st.sampled_from([1, 2, 4, 8, 16]))
        flags = ALLOC | MERGE | (STRINGS if is_string else 0)
        values = draw(
            st.lists(unit.map(lambda units: b"".join(u.to_bytes(entsize, "big") for u in units)), max_size=5)
        )
        terminator = bytes(entsize) if is_string else b""
        entries = Section("x", SectionType.PROGBITS, flags, alignment, entsize, b"")
        anchor = Symbol("anchor", entries, 0)
        words = Section(f"words{number}", SectionType.PROGBITS, ALLOC, 8)
        contents, text = bytearray(), bytearray()
        for value in values:
            for inner in draw(st.lists(st.integers(0, len(value + terminator) - 1), max_size=2)):
                addend = len(contents) + inner
                # Just behind the symbol's own entry is where that ends, not where the next one begins.
                by_name = (inner > 0 or addend == 0) and draw(st.booleans())
                words.relocations.append(
                    Relocation(len(text), ABS64, anchor if by_name else section_symbol(entries))
                )
                text += addend.to_bytes(8, "little")
                aims.append((number, (value + terminator)[inner:]))
            contents += value + terminator
        entries.data, words.data = bytes(contents), bytes(text)
        objects.append(obj(f"{number}.o", entries, words, *([anchor] if values else ())))
    return objects, aims


@given(merged_inputs())
def test_every_word_leads_to_the_entry_that_it_led_to(
    inputs: tuple[list[ObjectFile], list[tuple[int, bytes]]],
) -> None:
    objects, aims = inputs
    linked = link(objects)
    merged = section_of(linked, "x")
    places = {number: iter(section_of(linked, f"words{number}").relocations) for number, _ in aims}
    for number, expected in aims:
        reloc = next(places[number])
        words = section_of(linked, f"words{number}").data
        addend = int.from_bytes(words[reloc.r_offset :][:8], "little", signed=True)
        at = reloc.symbol.st_value + addend
        assert merged.data[at : at + len(expected)] == expected


@given(merged_inputs())
def test_merging_what_was_merged_changes_nothing(
    inputs: tuple[list[ObjectFile], list[tuple[int, bytes]]],
) -> None:
    linked = link(inputs[0], "app.o")
    assert essence(link([linked], "app.o")) == essence(linked)
