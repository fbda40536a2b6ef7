"""Which definition of a name wins, and what is reported when two claim it."""

from __future__ import annotations

import pytest

from bpfas.elf.constants import SymbolBinding, SymbolType, SymbolVisibility
from bpfas.link.linker import link
from bpfas.link.options import LinkOptions
from bpfas.objfile import ObjectFile, SpecialSection, Symbol
from tests.link.builders import (
    CALL,
    EXIT,
    LOAD,
    call,
    code,
    common,
    data,
    extern,
    glob,
    lddw,
    license_section,
    link_errors,
    obj,
    relocated,
    section_of,
    symbol_of,
    weak,
)

MULDEFS = LinkOptions(allow_multiple_definition=True)


def caller(name: str) -> ObjectFile:
    return obj("caller.o", relocated(code("xdp", call(), EXIT), (0, CALL, extern(name))))


def test_a_reference_leads_to_another_objects_definition() -> None:
    text = code()
    linked = link([caller("helper"), obj("b.o", text, glob("helper", text, 0, 8))])
    helper = symbol_of(linked, "helper")
    assert helper.section is section_of(linked, ".text")
    assert helper.st_size == 8
    assert section_of(linked, "xdp").relocations[0].symbol is helper


def test_two_strong_definitions_are_reported_with_both_places() -> None:
    first, second = code(".text", EXIT, EXIT), data()
    assert link_errors(obj("a.o", first, glob("f", first, 8)), obj("b.o", second, glob("f", second))) == (
        "error: duplicate symbol: f\n>>> defined in a.o:(.text+0x8)\n>>> defined in b.o:(.data+0x0)\n"
        ">>> make all but one of them weak or static, or take the first with -z muldefs"
    )


def test_three_strong_definitions_are_one_error() -> None:
    objects = [obj(f"{name}.o", text := code(), glob("f", text)) for name in "abc"]
    assert link_errors(*objects).count("error:") == 1
    assert ">>> defined in c.o:(.text+0x0)" in link_errors(*objects)


def test_a_number_and_a_function_of_one_name_are_duplicates() -> None:
    text = code()
    report = link_errors(obj("a.o", text, glob("f", text)), obj("b.o", glob("f", SpecialSection.ABS, 5)))
    assert ">>> defined in b.o:(absolute 0x5)" in report


def test_muldefs_takes_the_first_definition() -> None:
    objects = [obj(f"{name}.o", text := code(), glob("f", text)) for name in "ab"]
    assert symbol_of(link(objects, options=MULDEFS), "f").st_value == 0


@pytest.mark.parametrize("strong_first", [True, False])
def test_a_strong_definition_beats_a_weak_one(strong_first: bool) -> None:
    strong_text, weak_text = code(".text", EXIT), code("weak", EXIT)
    objects = [
        obj("s.o", strong_text, Symbol("f", strong_text, 0, 8, SymbolBinding.GLOBAL, SymbolType.FUNC)),
        obj("w.o", weak_text, weak("f", weak_text)),
    ]
    found = symbol_of(link(objects if strong_first else objects[::-1]), "f")
    assert found.section.name == ".text"
    assert (found.st_bind, found.st_type, found.st_size) == (SymbolBinding.GLOBAL, SymbolType.FUNC, 8)


def test_the_first_of_two_weak_definitions_wins() -> None:
    first, second = code("first"), code("second")
    linked = link([obj("a.o", first, weak("f", first)), obj("b.o", second, weak("f", second))])
    assert symbol_of(linked, "f").section.name == "first"
    assert symbol_of(linked, "f").st_bind is SymbolBinding.WEAK


def test_the_loser_keeps_its_contents_but_not_its_name() -> None:
    strong_text, weak_text = code(".text", EXIT), code(".text", EXIT, EXIT)
    linked = link([obj("w.o", weak_text, weak("f", weak_text)), obj("s.o", strong_text, glob("f", strong_text))])
    assert section_of(linked, ".text").sh_size == 24
    assert symbol_of(linked, "f").st_value == 16


def test_a_strong_reference_makes_a_weak_definition_strong_but_loses_none_that_comes_later() -> None:
    weak_text, strong_text = code("weak"), code("strong")
    objects = [caller("f"), obj("w.o", weak_text, weak("f", weak_text))]
    assert symbol_of(link(objects), "f").st_bind is SymbolBinding.GLOBAL
    assert symbol_of(link(objects[::-1]), "f").st_bind is SymbolBinding.GLOBAL
    linked = link([*objects, obj("s.o", strong_text, glob("f", strong_text))])
    assert symbol_of(linked, "f").section.name == "strong"


@pytest.mark.parametrize("order", [1, -1])
def test_a_partial_link_leaves_weak_definitions_to_lose_in_the_next_one(order: int) -> None:
    weak_text, strong_text = code("weak"), code("strong")
    objects = [caller("f"), obj("w.o", weak_text, weak("f", weak_text))]
    partial = link(objects[::order], "part.o", LinkOptions(partial=True))
    assert symbol_of(partial, "f").st_bind is SymbolBinding.WEAK
    linked = link([partial, obj("s.o", strong_text, glob("f", strong_text))])
    assert symbol_of(linked, "f").section.name == "strong"


def test_weak_definitions_and_references_stay_weak() -> None:
    text = code()
    reference = obj("r.o", weak("f", SpecialSection.UNDEF))
    linked = link([reference, obj("w.o", text, weak("f", text))])
    assert symbol_of(linked, "f").st_bind is SymbolBinding.WEAK


def test_local_names_may_repeat() -> None:
    first, second = data(contents=b"1234"), data(contents=b"5678")
    linked = link([obj("a.o", first, Symbol("here", first)), obj("b.o", second, Symbol("here", second))])
    assert [symbol.st_value for symbol in linked.symbols] == [0, 4]


def test_a_local_symbol_does_not_answer_another_objects_reference() -> None:
    text = code()
    assert "undefined symbol: f" in link_errors(caller("f"), obj("b.o", text, Symbol("f", text)))


@pytest.mark.parametrize("hidden_first", [True, False])
def test_hidden_in_one_object_is_hidden_in_the_output(hidden_first: bool) -> None:
    text = code()
    reference = extern("f")
    reference.st_visibility = SymbolVisibility.HIDDEN
    objects = [obj("r.o", reference), obj("d.o", text, glob("f", text))]
    linked = link(objects if hidden_first else objects[::-1])
    assert symbol_of(linked, "f").st_visibility is SymbolVisibility.HIDDEN


def test_common_symbols_of_a_name_share_room_of_the_largest_size_and_alignment() -> None:
    linked = link([obj("a.o", common("c", 4, 16)), obj("b.o", common("c", 40, 8)), obj("c.o", common("d", 1, 1))])
    bss = section_of(linked, ".bss")
    assert (symbol_of(linked, "c").st_value, symbol_of(linked, "c").st_size) == (0, 40)
    assert symbol_of(linked, "d").st_value == 40
    assert (bss.sh_size, bss.sh_addralign) == (41, 16)


def test_common_symbols_come_after_what_bss_held() -> None:
    bss = data(".bss", b"")
    bss.sh_type, bss.nobits_size = 8, 5
    linked = link([obj("a.o", bss, common("c", 8, 8))])
    assert symbol_of(linked, "c").st_value == 8
    assert section_of(linked, ".bss").sh_size == 16


def test_a_definition_beats_a_common_symbol() -> None:
    section = data()
    linked = link([obj("a.o", common("c", 400, 8)), obj("b.o", section, glob("c", section, 0, 4))])
    assert symbol_of(linked, "c").section.name == ".data"
    assert [section.name for section in linked.sections] == [".data"]


def test_the_symbol_of_a_license_may_be_in_every_object() -> None:
    objects = [obj(f"{name}.o", text := license_section(), glob("_license", text, 0, 4)) for name in "ab"]
    linked = link(objects)
    assert symbol_of(linked, "_license").section is section_of(linked, "license")


def test_a_name_at_two_places_of_the_license_is_a_duplicate() -> None:
    objects = [obj(f"{value}.o", text := license_section(), glob("end", text, value, 1)) for value in (0, 3)]
    assert "duplicate symbol: end" in link_errors(*objects)


def test_of_two_names_of_the_license_the_first_stays() -> None:
    objects = [obj(f"{name}.o", text := license_section(), glob(name, text, 0, 4)) for name in "ab"]
    assert [symbol.name for symbol in link(objects).symbols] == ["a"]


def test_functions_without_a_size_end_where_the_next_one_begins() -> None:
    text = code(".text", EXIT, EXIT, EXIT)
    names = [Symbol(name, text, at, 0, SymbolBinding.GLOBAL, SymbolType.FUNC) for name, at in (("g", 8), ("f", 0))]
    linked = link([obj("a.o", text, *names), obj("b.o", other := code(), glob("label", other))])
    assert [(symbol.name, symbol.st_size) for symbol in linked.symbols if symbol.st_size] == [("g", 24), ("f", 8)]


def test_a_label_may_be_set_behind_its_section_but_no_function_may() -> None:
    text = code()
    label = Symbol("after", text, 0x320)
    assert symbol_of(link([obj("a.o", text, label)]), "after").st_value == 0x320
    function = Symbol("f", text, 0x320, 0, SymbolBinding.GLOBAL, SymbolType.FUNC)
    report = link_errors(obj("a.o", text, function))
    assert report == "a.o:(.text+0x320): error: symbol f lies behind its section, which has 0x8 bytes"
    report = link_errors(obj("a.o", text, Symbol("far", text, (1 << 64) - 1)))
    assert "symbol far lies behind its section" in report


def test_an_undefined_symbol_that_is_local_is_an_error() -> None:
    text = relocated(code("xdp", lddw(), EXIT), (0, LOAD, Symbol("counter", SpecialSection.UNDEF)))
    other = data()
    report = link_errors(obj("a.o", text), obj("b.o", other, glob("counter", other)))
    assert report == (
        "a.o, used at a.o:(xdp+0x0): error: symbol counter is undefined but local, so nobody can define it"
    )
