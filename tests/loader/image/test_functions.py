"""Which functions are programs, and where they end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpfas.diag import Diagnostics
from bpfas.loader.image.build import build_image
from bpfas.loader.image.functions import FunctionTable, find_functions
from tests.loader.builders import EXIT, LDDW, PASS, code, function, image_errors, label, obj

if TYPE_CHECKING:
    from bpfas.objfile import Section, Symbol


def functions(*parts: Section | Symbol) -> FunctionTable:
    diagnostics = Diagnostics()
    table = find_functions(obj(*parts), diagnostics)
    assert not diagnostics.items
    return table


def extents(table: FunctionTable) -> dict[str, tuple[int, int]]:
    return {found.name: (found.start, found.end) for found in table.by_place.values()}


def names(table: FunctionTable) -> list[str]:
    return [symbol.name for symbol, _ in table.programs]


def test_global_functions_of_a_section_are_programs() -> None:
    xdp = code("xdp", PASS, PASS)
    table = functions(xdp, function("second", xdp, 16, 16), function("first", xdp, 0, 16))
    assert names(table) == ["first", "second"]
    assert extents(table) == {"first": (0, 16), "second": (16, 32)}


def test_functions_of_text_are_no_programs() -> None:
    text = code(".text", PASS)
    table = functions(text, function("helper", text))
    assert names(table) == []
    assert extents(table) == {"helper": (0, 16)}


def test_a_local_function_beside_a_program_is_no_program() -> None:
    xdp = code("xdp", PASS, PASS)
    table = functions(xdp, function("helper", xdp, 16, is_local=True), function("prog", xdp))
    assert names(table) == ["prog"]
    assert extents(table) == {"prog": (0, 16), "helper": (16, 32)}


def test_without_a_size_a_function_ends_where_the_next_begins() -> None:
    xdp = code("xdp", EXIT, PASS)
    table = functions(xdp, function("a", xdp), function("b", xdp, 8))
    assert extents(table) == {"a": (0, 8), "b": (8, 24)}


def test_a_label_at_the_start_names_a_program() -> None:
    xdp = code("xdp", PASS, PASS)
    table = functions(xdp, label("inner", xdp, 16), label("prog", xdp))
    assert names(table) == ["prog"]
    assert extents(table) == {"prog": (0, 32)}


def test_a_global_label_is_preferred_to_a_local_one() -> None:
    xdp = code("xdp", PASS)
    assert names(functions(xdp, label("loop", xdp, is_local=True), label("prog", xdp))) == ["prog"]


def test_a_local_label_names_a_program_if_it_is_all_there_is() -> None:
    xdp = code("xdp", PASS)
    assert names(functions(xdp, label("prog", xdp, is_local=True))) == ["prog"]


def test_global_labels_are_the_functions_of_a_text_without_types() -> None:
    text = code(".text", PASS, PASS)
    table = functions(text, label("a", text), label("loop", text, 8, is_local=True), label("b", text, 16))
    assert extents(table) == {"a": (0, 16), "b": (16, 32)}


def test_two_names_of_a_place_are_two_programs() -> None:
    xdp = code("xdp", PASS)
    assert names(functions(xdp, function("a", xdp), function("b", xdp))) == ["a", "b"]


def test_a_program_section_without_a_label_is_an_error() -> None:
    assert "app.o:(xdp+0x0): error: no symbol names the program" in image_errors(code("xdp", PASS))


def test_code_of_no_program_type_needs_no_label() -> None:
    assert names(functions(code("whatever", PASS))) == []


def test_code_that_is_no_whole_number_of_instructions_is_an_error() -> None:
    xdp = code("xdp", PASS, b"\0\0\0\0")
    assert "20 bytes, which are no whole number of instructions" in image_errors(xdp, function("p", xdp))


def test_faulty_extents_are_errors() -> None:
    xdp = code("xdp", PASS, LDDW)
    errors = image_errors(
        xdp,
        function("beyond", xdp, 0, 48),
        function("odd_start", xdp, 4, 8),
        function("odd_size", xdp, 8, 12),
        function("half_a_load", xdp, 16, 8),
        function("at_the_end", xdp, 32, 8),
    )
    assert "function 'beyond' ends at 0x30, beyond the end of the section at 0x20" in errors
    assert "function 'odd_start' begins at 0x4, which is not the start of an instruction" in errors
    assert "function 'odd_size' ends at 0x14, which is not the end of an instruction" in errors
    assert "function 'half_a_load' ends at 0x18, within a 64-bit immediate load" in errors
    assert "function 'at_the_end' ends at 0x28, beyond" in errors


def test_two_programs_of_a_name_are_an_error() -> None:
    xdp, tc = code("xdp", PASS), code("tc", PASS)
    parts = (xdp, tc, label("prog", xdp, is_local=True), label("prog", tc, is_local=True))
    assert "app.o:(tc+0x0): error: a second program is called 'prog'" in image_errors(*parts)


def test_programs_marked_with_a_question_mark_are_not_loaded_by_themselves() -> None:
    xdp = code("?xdp", PASS)
    program = build_image(obj(xdp, function("prog", xdp))).programs["prog"]
    assert (program.section, program.autoload) == ("xdp", False)
