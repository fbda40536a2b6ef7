"""What `.BTF.ext` says of instructions, as it is said of whole programs."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

from bpfas.btf.ext import BtfExt, Records, write_btf_ext
from bpfas.btf.kinds import Linkage
from bpfas.elf.constants import ByteOrder
from bpfas.loader.image.build import build_image
from bpfas.loader.spec import CoreRelocation, Image, ProgramSpec
from tests.btf.builders import Types, listing
from tests.loader.builders import (
    CALL,
    CALL_SYMBOL,
    EXIT,
    LDDW,
    PASS,
    code,
    data,
    function,
    image_errors,
    obj,
    relocate,
    undefined,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bpfas.objfile import ObjectFile, Section, Symbol

    _Rows = Mapping[str, Sequence[tuple[int, ...]]]


def described(
    types: Types,
    *parts: Section | Symbol,
    functions: _Rows | None = None,
    lines: _Rows | None = None,
    core: _Rows | None = None,
    spare: int = 0,
    name: str = "app.o",
) -> ObjectFile:
    """An object with these types and records, which have `spare` words more than are known."""

    def table(rows: _Rows | None, known: int) -> dict[str, Records]:
        return {
            section: Records(
                4 * (known + spare), array("I", [word for row in records for word in (*row, *[7] * spare)])
            )
            for section, records in (rows or {}).items()
        }

    ext = BtfExt(table(functions, 2), table(lines, 4), table(core, 4))
    ext_data = write_btf_ext(ext, ByteOrder.LITTLE, types.text)
    return obj(*parts, data(".BTF", types.data()), data(".BTF.ext", ext_data), name=name)


def rows(words: array[int], each: int) -> list[tuple[int, ...]]:
    return [tuple(words[at : at + each]) for at in range(0, len(words), each)]


def texts(image: Image, program: ProgramSpec) -> list[tuple[int, str, str, int]]:
    """The lines with their strings."""
    types = image.types
    assert types is not None
    found = rows(program.line_info, 4)
    return [(slot, types.string(file), types.string(text), line) for slot, file, text, line in found]


def two_functions() -> tuple[Section, Section, Symbol, Symbol]:
    """A program and what it calls; the called one is the second of its section."""
    xdp, text = code("xdp", CALL_SYMBOL, PASS), code(".text", EXIT, LDDW, EXIT)
    prog, callee = function("prog", xdp), function("callee", text, 8)
    relocate(xdp, 0, CALL, callee)
    return xdp, text, prog, callee


def test_records_move_with_their_functions() -> None:
    types = Types()
    prototype = types.prototype(0, [])
    prog_type, callee_type = types.func("prog", prototype), types.func("callee", prototype)
    file, line = types.text("a.c"), types.text("return;")
    access = types.text("0:1")
    image = build_image(
        described(
            types,
            *two_functions(),
            functions={"xdp": [(0, prog_type)], ".text": [(0, prog_type), (8, callee_type)]},
            lines={"xdp": [(0, file, line, 1), (16, file, line, 2)], ".text": [(0, 0, 0, 9), (8, file, line, 3)]},
            core={"xdp": [(8, 3, access, 0)], ".text": [(0, 1, access, 1), (24, 2, access, 8)]},
            spare=1,
        )
    )
    program = image.programs["prog"]
    assert rows(program.func_info, 2) == [(0, prog_type), (3, callee_type)]
    assert texts(image, program) == [(0, "a.c", "return;", 1), (2, "a.c", "return;", 2), (3, "a.c", "return;", 3)]
    assert program.core == (CoreRelocation(1, 3, "0:1", 0), CoreRelocation(5, 2, "0:1", 8))
    parts = [(part.instruction, part.name, part.section.name, part.offset) for part in program.parts]
    assert parts == [(0, "prog", "xdp", 0), (3, "callee", ".text", 8)]


def test_records_come_in_the_order_of_instructions() -> None:
    types = Types()
    func = types.func("prog", types.prototype(0, []))
    xdp = code("xdp", LDDW, PASS)
    lines = [(16, 0, 0, 4), (0, 0, 0, 1), (16, 0, 0, 5), (8, 0, 0, 3)]
    program = build_image(
        described(types, xdp, function("prog", xdp), functions={"xdp": [(0, func)]}, lines={"xdp": lines})
    ).programs["prog"]
    # The second slot of a load is no instruction; of two lines for an instruction the last one counts.
    assert rows(program.line_info, 4) == [(0, 0, 0, 1), (2, 0, 0, 5)]


def test_a_function_begins_with_a_line() -> None:
    types = Types()
    func = types.func("prog", types.prototype(0, []))
    xdp = code("xdp", PASS)
    program = build_image(
        described(types, xdp, function("prog", xdp), functions={"xdp": [(0, func)]}, lines={"xdp": [(8, 0, 0, 6)]})
    ).programs["prog"]
    assert rows(program.line_info, 4) == [(0, 0, 0, 6), (1, 0, 0, 6)]


def test_a_function_without_records_leaves_the_program_without() -> None:
    types = Types()
    func = types.func("prog", types.prototype(0, []))
    program = build_image(
        described(types, *two_functions(), functions={"xdp": [(0, func)]}, lines={"xdp": [(0, 0, 0, 6)]})
    ).programs["prog"]
    assert not program.func_info
    assert not program.line_info


def test_a_relocation_of_no_instruction_is_an_error() -> None:
    types = Types()
    xdp = code("xdp", PASS)
    parts = described(types, xdp, function("prog", xdp), core={"xdp": [(4, 0, 0, 0)]})
    errors = image_errors(*parts.sections, *parts.symbols)
    assert "app.o:(xdp+0x4): error: a CO-RE relocation does not apply to the start of an instruction" in errors


def test_objects_are_joined_with_their_types() -> None:
    first, second = Types(), Types()
    char = first.integer("char", 1)
    prototype = first.prototype(char, [])
    prog_type = first.func("prog", prototype)
    declared = first.func("callee", prototype, Linkage.EXTERN)
    first_line = first.text("prog.c")
    prototype = second.prototype(second.integer("char", 1), [])
    callee_type = second.func("callee", prototype)
    second_line = second.text("callee.c")
    xdp, text, prog, callee = two_functions()
    called = undefined("callee")
    xdp.relocations[0].symbol = called
    main = described(
        first,
        xdp,
        prog,
        called,
        functions={"xdp": [(0, prog_type)]},
        lines={"xdp": [(0, first_line, 0, 1)]},
    )
    library = described(
        second,
        text,
        callee,
        functions={".text": [(8, callee_type)]},
        lines={".text": [(8, second_line, 0, 2)]},
        core={".text": [(8, 1, second.text("0"), 8)]},
        name="lib.o",
    )
    image = build_image(main, [library])
    assert image.types is not None
    assert declared
    assert listing(image.types) == [
        "1 INT char 1",
        "2 FUNC_PROTO - 1 ()",
        "3 FUNC prog 2 GLOBAL",
        "4 FUNC callee 2 GLOBAL",
    ]
    program = image.programs["prog"]
    assert rows(program.func_info, 2) == [(0, 3), (3, 4)]
    assert [(slot, file) for slot, file, _, _ in texts(image, program)] == [(0, "prog.c"), (3, "callee.c")]
    assert program.core == (CoreRelocation(3, 1, "0", 8),)


def test_sections_of_joined_objects_stay_apart_and_lists_are_one() -> None:
    made = []
    for name in ("first", "second"):
        types = Types()
        integer = types.integer()
        own = types.var(name, integer)
        types.datasec(".data", [(own, 0, 4)], 4)
        both, one = types.var("jiffies", 0, Linkage.EXTERN), types.var(f"{name}_sym", 0, Linkage.EXTERN)
        types.datasec(".ksyms", [(both, 0, 0), (one, 0, 0)])
        made.append(types)
    xdp, text, prog, callee = two_functions()
    called = undefined("callee")
    xdp.relocations[0].symbol = called
    main = obj(xdp, prog, called, data(".data", bytes(4)), data(".BTF", made[0].data()))
    library = obj(text, callee, data(".data", bytes(4)), data(".BTF", made[1].data()), name="lib.o")
    image = build_image(main, [library])
    assert image.types is not None
    assert listing(image.types)[1:] == [
        "2 VAR first 1 GLOBAL",
        "3 DATASEC .data 2@0+4",
        "4 VAR jiffies 0 EXTERN",
        "5 VAR first_sym 0 EXTERN",
        "6 VAR second 1 GLOBAL",
        "7 DATASEC .data 6@0+4",
        "8 VAR second_sym 0 EXTERN",
        "9 DATASEC .ksyms 4@0+0 5@0+0 8@0+0",
    ]
    assert image.maps[".data"].value_type == 3


def test_records_are_of_the_first_section_of_a_name() -> None:
    types = Types()
    func = types.func("prog", types.prototype(0, []))
    xdp, other = code("xdp", PASS), code("xdp", PASS)
    image = build_image(
        described(
            types, xdp, other, function("prog", xdp), function("other", other), functions={"xdp": [(0, func)]}
        )
    )
    assert [len(program.func_info) for program in image.programs.values()] == [2, 0]
