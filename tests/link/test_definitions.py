"""Symbols of the command line (--defsym), other names for symbols (--wrap), and what is kept or made local."""

from __future__ import annotations

import pytest

from bpfas.elf.constants import SymbolBinding, SymbolType
from bpfas.link.linker import link
from bpfas.link.options import Discard, LinkOptions, Strip
from bpfas.objfile import ObjectFile, Section, SpecialSection, Symbol
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
    imm_at,
    lddw,
    license_section,
    link_errors,
    obj,
    relocated,
    section_of,
    symbol_of,
)


def defined(*definitions: tuple[str, str]) -> LinkOptions:
    return LinkOptions(definitions=definitions)


def user(name: str) -> ObjectFile:
    """An object that loads the address of `name`."""
    return obj("user.o", relocated(code("xdp", lddw(), EXIT), (0, LOAD, extern(name))))


def values() -> ObjectFile:
    contents = data(contents=bytes(16))
    return obj("values.o", contents, glob("values", contents, 8, 4))


@pytest.mark.parametrize(
    ("expression", "value"), [("5", 5), ("0x10", 16), (" 010 ", 8), ("0", 0), ("-1", (1 << 64) - 1)]
)
def test_a_number(expression: str, value: int) -> None:
    linked = link([user("n")], options=defined(("n", expression)))
    symbol = symbol_of(linked, "n")
    assert (symbol.section, symbol.st_value) == (SpecialSection.ABS, value)
    assert imm_at(section_of(linked, "xdp"), 0) == value - (value >> 63 << 64)


def test_a_number_is_one_that_a_call_can_have() -> None:
    caller = obj("a.o", relocated(code(".text", call(), EXIT), (0, CALL, extern("helper"))))
    assert imm_at(section_of(link([caller], options=defined(("helper", "6"))), ".text"), 0) == 6


@pytest.mark.parametrize(
    ("expression", "value", "size"),
    [("values", 8, 4), ("values+4", 12, 0), ("values - 0x8", 0, 0), ("values+010", 16, 0)],
)
def test_another_symbol(expression: str, value: int, size: int) -> None:
    linked = link([user("alias"), values()], options=defined(("alias", expression)))
    symbol = symbol_of(linked, "alias")
    assert (symbol.section, symbol.st_value, symbol.st_size) == (section_of(linked, ".data"), value, size)
    (reloc,) = section_of(linked, "xdp").relocations
    assert reloc.symbol is symbol


def test_a_later_definition_may_use_an_earlier_one_and_a_common_symbol() -> None:
    objects = [user("second"), obj("c.o", common("room", 8, 8))]
    linked = link(objects, options=defined(("first", "room"), ("second", "first+4")))
    assert symbol_of(linked, "second").section is section_of(linked, ".bss")
    assert symbol_of(linked, "second").st_value == 4


def test_it_wins_against_what_objects_define() -> None:
    text = code()
    objects = [user("values"), values(), obj("b.o", text, glob("values", text))]
    linked = link(objects, options=defined(("values", "7")))
    assert symbol_of(linked, "values").st_value == 7


def test_what_is_wrong_with_definitions_is_said_of_all() -> None:
    options = defined(("a", "nothing"), ("b", "1 2"), ("c", "values+"), ("d", str(1 << 64)), ("e", ""))
    assert link_errors(values(), options=options).splitlines() == [
        "--defsym a=nothing: error: no object defines nothing",
        "--defsym b=1 2: error: the value is a number, a symbol, or a symbol + or - a number",
        "--defsym c=values+: error: the value is a number, a symbol, or a symbol + or - a number",
        "--defsym d=18446744073709551616: error: the value 18446744073709551616 has more than 64 bits",
        "--defsym e=: error: the value is a number, a symbol, or a symbol + or - a number",
    ]


@pytest.mark.parametrize("name", ["a b", "1x", "x-y", "", ".", "a@b"])
def test_a_name_that_nothing_can_refer_to_is_refused(name: str) -> None:
    assert link_errors(values(), options=defined((name, "1"))).startswith(
        f"--defsym {name}=1: error: nothing can refer to a symbol called `{name}`; a name is letters, digits"
    )


@pytest.mark.parametrize("name", ["_x", ".hidden", "$0", "f.llvm.12", "zähler", "r1"])
def test_a_name_as_the_assembler_takes_it_is_defined(name: str) -> None:
    assert symbol_of(link([values()], options=defined((name, "1"))), name).st_value == 1


def test_a_name_that_an_object_refers_to_is_defined_whatever_it_is() -> None:
    linked = link([user("a b"), values()], options=defined(("a b", "values")))
    assert symbol_of(linked, "a b").section is section_of(linked, ".data")


def test_wrapped_references_lead_to_the_wrapper_and_its_real_ones_to_the_function() -> None:
    caller = obj("a.o", relocated(code("xdp", call(), EXIT), (0, CALL, extern("f"))))
    wrapper_code = relocated(code("wrap", call(), EXIT), (0, CALL, extern("__real_f")))
    wrapper = obj("w.o", wrapper_code, glob("__wrap_f", wrapper_code))
    function_code = code(".text")
    function = obj("f.o", function_code, glob("f", function_code))
    linked = link([caller, wrapper, function], options=LinkOptions(wrapped=frozenset({"f"})))
    targets = {section.name: [reloc.symbol.name for reloc in section.relocations] for section in linked.sections}
    assert targets == {"xdp": ["__wrap_f"], "wrap": ["f"], ".text": []}


def test_a_wrapper_that_is_missing_is_called_by_its_name() -> None:
    caller = obj("a.o", relocated(code("xdp", call(), EXIT), (0, CALL, extern("f"))))
    report = link_errors(caller, options=LinkOptions(wrapped=frozenset({"f"})))
    assert report.startswith("error: undefined symbol: __wrap_f\n>>> referenced by a.o:(xdp+0x0)")


def library() -> ObjectFile:
    text, variables, maps = code(".text", EXIT, EXIT), data(contents=bytes(8)), data(".maps", bytes(8))
    program, license_ = code("xdp"), license_section()
    return obj(
        "lib.o",
        *(text, variables, maps, program, license_),
        Symbol("api_open", text, 0, 8, SymbolBinding.GLOBAL, SymbolType.FUNC),
        Symbol("internal", text, 8, 8, SymbolBinding.GLOBAL, SymbolType.FUNC),
        Symbol("state", variables, 0, 8, SymbolBinding.GLOBAL, SymbolType.OBJECT),
        Symbol("map", maps, 0, 8, SymbolBinding.GLOBAL, SymbolType.OBJECT),
        Symbol("prog", program, 0, 8, SymbolBinding.GLOBAL, SymbolType.FUNC),
        Symbol("LICENSE", license_, 0, 4, SymbolBinding.GLOBAL, SymbolType.OBJECT),
    )


@pytest.mark.parametrize(
    ("options", "local"),
    [
        (LinkOptions(exported=("api_*",)), {"internal", "state"}),
        (LinkOptions(localized=("inter*",)), {"internal"}),
        (LinkOptions(localized=("*",)), {"internal", "state", "api_open"}),
        (LinkOptions(exported=("api_*", "state"), localized=("api_x",)), {"internal"}),
        (LinkOptions(), set()),
    ],
)
def test_which_names_become_local(options: LinkOptions, local: set[str]) -> None:
    linked = link([library()], options=options)
    assert {symbol.name for symbol in linked.symbols if symbol.st_bind is SymbolBinding.LOCAL} == local


def test_local_names_of_two_libraries_do_not_clash_any_more() -> None:
    first = link([library()], "1.o", LinkOptions(localized=("*",)))
    other_text = code()
    linked = link([first, obj("2.o", other_text, glob("internal", other_text))])
    assert [symbol.st_bind for symbol in linked.symbols if symbol.name == "internal"] == [
        SymbolBinding.LOCAL,
        SymbolBinding.GLOBAL,
    ]


def many() -> ObjectFile:
    """An object with a symbol of every sort."""
    text, variables = code("xdp", lddw(), EXIT), data()
    debug = Section(".debug_info", data=bytes(4))
    used = Symbol(".Lused", variables)
    relocated(text, (0, LOAD, used))
    return obj(
        "a.o",
        *(text, variables, debug),
        Symbol("a.c", SpecialSection.ABS, st_type=SymbolType.FILE),
        Symbol(".Ltmp", text),
        Symbol("label", text, 16),
        Symbol("static_function", text, 16, 8, SymbolBinding.LOCAL, SymbolType.FUNC),
        Symbol("static_variable", variables, 0, 4, SymbolBinding.LOCAL, SymbolType.OBJECT),
        Symbol("prog", text, 0, 24, SymbolBinding.GLOBAL, SymbolType.FUNC),
        glob("global_label", text, 16),
    )


ALL = {"a.c", ".Ltmp", "label", "static_function", "static_variable", "prog", "global_label", ".Lused"}


@pytest.mark.parametrize(
    ("options", "gone"),
    [
        (LinkOptions(), set()),
        (LinkOptions(strip=Strip.DEBUG), set()),
        (LinkOptions(strip=Strip.ALL), {"a.c", ".Ltmp", "label", "static_variable", "global_label"}),
        (LinkOptions(discard=Discard.TEMPORARY), {".Ltmp"}),
        (LinkOptions(discard=Discard.LOCALS), {"a.c", ".Ltmp", "label", "static_variable"}),
        (LinkOptions(retained=frozenset({"prog", "label"})), ALL - {"prog", "label", "static_function", ".Lused"}),
    ],
)
def test_which_symbols_are_left_out(options: LinkOptions, gone: set[str]) -> None:
    linked = link([many()], options=options)
    assert {symbol.name for symbol in linked.symbols} == ALL - gone
    assert bool(linked.section(".debug_info")) == (options.strip is Strip.NOTHING)


def test_a_root_that_nobody_defines_is_an_error() -> None:
    report = link_errors(obj("a.o", code()), options=LinkOptions(roots=("entry",)))
    assert report == "error: no object defines entry, which -e asks for"
