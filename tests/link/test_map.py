"""The map of a link, and the table of cross references."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bpfas.asm import assemble
from bpfas.btf.reader import read_btf
from bpfas.elf.constants import ByteOrder, SectionFlag
from bpfas.elf.reader import read_object
from bpfas.elf.writer import write_object
from bpfas.link.cli import main
from bpfas.link.linker import link_objects
from bpfas.link.map_file import cross_reference_table, map_text
from bpfas.link.options import LinkOptions, Unresolved
from bpfas.link.program_sizes import programs_of
from bpfas.objfile import Section, Symbol
from tests.link.builders import EXIT, code, data, glob, lddw, license_section, obj, section_of, weak
from tests.link.test_archives import archive
from tests.peers import Peer

if TYPE_CHECKING:
    from collections.abc import Callable

    from bpfas.link.program_sizes import Program
    from bpfas.objfile import ObjectFile

MAIN = """
    .section xdp, "ax", @progbits
    .globl count
    .type count, @function
count:
    call total
    call near
    exit
    .size count, .-count
    .type near, @function
near:
    exit
    .size near, .-near
    .section tc, "ax", @progbits
    .globl other
    .type other, @function
other:
    r2 = callback ll
    call kernel_function
    exit
    .size other, .-other
    .section .rodata.str1.1, "aMS", @progbits, 1
    .asciz "same"
    .asciz "one"
    .section license, "aw", @progbits
    .asciz "GPL"
"""

LIBRARY = """
    .text
    .globl total
    .type total, @function
total:
    call help
    exit
    .size total, .-total
    .globl help
    .weak help
    .type help, @function
help:
    r0 = 1
    exit
    .size help, .-help
    .section .rodata.str1.1, "aMS", @progbits, 1
    .asciz "same"
    .section license, "aw", @progbits
    .asciz "GPL"
"""

CALLBACK = """
    .text
    .globl callback, unused
    .type callback, @function
callback:
    call help
    exit
    .size callback, .-callback
    .type unused, @function
unused:
    exit
    .size unused, .-unused
    .globl help
    .type help, @function
help:
    r0 = 2
    r0 += 1
    exit
    .size help, .-help
    .bss
    .globl counter
    .balign 8
counter:
    .skip 16
"""


def assembled(source: str, name: str) -> bytes:
    return write_object(assemble(source, name))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("main.o").write_bytes(assembled(MAIN, "main.s"))
    members = (("total.o", assembled(LIBRARY, "total.s")), ("callback.o", assembled(CALLBACK, "callback.s")))
    Path("libx.a").write_bytes(archive(*members))
    return tmp_path


ARGUMENTS = ["main.o", "libx.a", "--gc-sections", "--unresolved-symbols=ignore-all", "-o", "app.o"]


def test_the_map_of_a_program_with_an_archive(here: Path, golden: Callable[[Path, str], None]) -> None:
    assert main([*ARGUMENTS, "-Map=app.map", "--cref"]) == 0
    golden(Path(__file__).parent / "golden" / "app.map", (here / "app.map").read_text())


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("option", ["-M", "--print-map", "-Map=-", "-Map -"])
def test_the_map_is_printed(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*ARGUMENTS, "-Map", "app.map"]) == 0
    assert main([*ARGUMENTS, *option.split()]) == 0
    assert capsys.readouterr().out == Path("app.map").read_text()


@pytest.mark.usefixtures("here")
def test_the_table_of_cross_references_stands_in_the_map_or_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*ARGUMENTS, "--cref"]) == 0
    table = capsys.readouterr().out
    assert table.startswith("Cross Reference Table\n")
    assert main([*ARGUMENTS, "--cref", "-Map=app.map"]) == 0
    assert Path("app.map").read_text().endswith("\n\n" + table)


@pytest.mark.usefixtures("here")
def test_after_an_error_no_map_is_written() -> None:
    assert main(["main.o", "-Map=app.map"]) == 1
    assert not Path("app.map").exists()


def mapped(*objects: ObjectFile, options: LinkOptions | None = None) -> str:
    linked = link_objects(list(objects), options=options or LinkOptions(unresolved=Unresolved.IGNORE))
    return map_text(linked, [])


def test_definitions_come_first_in_the_table_of_cross_references() -> None:
    text = code()
    user = assemble("call f\ncall absent\nexit\n", "user.o")
    table = cross_reference_table([user, obj("f.o", text, glob("f", text)), obj("g.o", text, weak("f", text))])
    rows = [line.split() for line in table.splitlines()[3:]]
    assert rows == [["absent", "user.o"], ["f", "f.o"], ["g.o"], ["user.o"]]


def test_pieces_have_their_places_with_the_gaps_for_alignment() -> None:
    lines = mapped(
        obj("a.o", data(contents=b"12345")), obj("b.o", data(contents=b"123", alignment=8))
    ).splitlines()
    assert [line.split() for line in lines[2:5]] == [
        [".data", "11", "align", "8"],
        ["0x0", "5", "a.o"],
        ["0x8", "3", "b.o"],
    ]


def test_what_is_kept_once_is_told() -> None:
    text = mapped(obj("a.o", license_section()), obj("b.o", license_section()))
    assert "b.o has the same" in text


def test_strings_that_are_saved_are_counted() -> None:
    def strings(contents: bytes) -> Section:
        flags = SectionFlag.ALLOC | SectionFlag.MERGE | SectionFlag.STRINGS
        return Section(".rodata.str1.1", sh_flags=flags, sh_entsize=1, data=contents)

    text = mapped(obj("a.o", strings(b"one\0two\0")), obj("b.o", strings(b"two\0three\0")))
    assert [line.split() for line in text.splitlines()[2:6]] == [
        [".rodata.str1.1", "14", "align", "1"],
        ["8", "a.o"],
        ["10", "b.o"],
        ["-4", "equal", "entries", "kept", "once"],
    ]


@pytest.mark.peer
@pytest.mark.usefixtures("here")
def test_types_are_counted_in_the_inputs_and_the_output() -> None:
    struct = "struct s { int a; long b; };\n"
    Path("f.c").write_text(f"{struct}int f(struct s *x) {{ return x->a; }}\n")
    Path("g.c").write_text(f"{struct}int f(struct s *);\nint g(struct s *x) {{ return f(x); }}\n")
    counts = []
    for name in ("f", "g"):
        Peer.CLANG.run("--target=bpf", "-O2", "-g", "-c", f"{name}.c")
        counts.append(number_of_types(f"{name}.o"))
    assert main(["f.o", "g.o", "-o", "app.o", "-Map=app.map"]) == 0
    _, _, types = Path("app.map").read_text().partition("\nTypes\n\n")
    rows = [line.split(maxsplit=1) for line in types.splitlines()[:4]]
    assert [(int(count), what) for count, what in rows] == [
        (counts[0], "f.o"),
        (counts[1], "g.o"),
        (sum(counts), "in all inputs"),
        (number_of_types("app.o"), "in the output, where equal ones are one"),
    ]


def number_of_types(path: str) -> int:
    section = section_of(read_object(Path(path).read_bytes(), path), ".BTF")
    return len(read_btf(bytes(section.data), ByteOrder.LITTLE, path))


# Sizes of programs


def sizes(program: Program) -> tuple[str, int, int, list[str]]:
    return program.function.name, program.function.slots, program.total, [called.name for called in program.called]


@pytest.mark.parametrize("order", ByteOrder)
def test_a_program_counts_with_all_that_it_calls_once(order: ByteOrder) -> None:
    source = """
        .globl f, prog, loop
        .type f, @function
        .type loop, @function
    f:  call loop
        call loop
        exit
    loop:
        call f
        exit
        .section xdp, "ax", @progbits
        .type prog, @function
        .type local, @function
    prog:
        r1 = 5 ll
        call f
        call local
        exit
    local:
        call loop
        exit
    """
    linked = link_objects([assemble(source, "a.o", order)]).output
    assert [sizes(program) for program in programs_of(linked)] == [("prog", 5, 12, ["f", "local", "loop"])]


def test_a_function_whose_address_is_taken_counts() -> None:
    source = '.globl f\nf: exit\n.section tc, "ax", @progbits\n.globl prog\nprog: r1 = f ll\nexit\n'
    linked = link_objects([assemble(source, "a.o")]).output
    assert [sizes(program) for program in programs_of(linked)] == [("prog", 3, 4, ["f"])]


def test_a_function_whose_distance_is_loaded_counts() -> None:
    source = '.section tc, "ax", @progbits\n.globl prog\nprog: exit\n.type prog, @function\n'
    linked = assemble(f"{source}.type f, @function\nexit\nexit\nf: exit\n", "a.o")
    section = linked.sections[0]
    section.data = lddw(2)[:1] + b"\x41" + lddw(2)[2:] + section.data[16:]  # r1 = f, 2 slots on
    assert [sizes(program) for program in programs_of(linked)] == [("prog", 3, 4, ["f"])]


def test_code_without_names_is_no_program() -> None:
    assert programs_of(obj("a.o", code("xdp"))) == []


@pytest.mark.parametrize(("value", "size"), [(3, 8), (8, 1 << 63), (4, 0), (99, 8)])
def test_symbols_that_make_no_sense_do_no_harm(value: int, size: int) -> None:
    text = code("xdp", EXIT, EXIT)
    odd = obj("a.o", text, glob("odd", text, value, size), glob("f", text, 8, 8))
    assert all(program.total <= 2 for program in programs_of(odd))


def test_helpers_and_data_do_not_count() -> None:
    source = '.globl prog\n.section tc, "ax", @progbits\nprog: call 6\nr1 = x ll\nexit\n.data\nx: .long 1\n'
    linked = link_objects([assemble(source, "a.o")]).output
    assert [sizes(program) for program in programs_of(linked)] == [("prog", 4, 4, [])]


@pytest.mark.parametrize("localized", [(), ("f",)])
@pytest.mark.parametrize("static_first", [False, True])
def test_static_functions_do_not_stand_for_the_global_one_of_their_name(
    static_first: bool, localized: tuple[str, ...]
) -> None:
    mine, other = code(".text", EXIT), code(".text", EXIT)
    objects = [obj("global.o", mine, glob("f", mine)), obj("static.o", other, Symbol("f", other))]
    linked = link_objects(objects[::-1] if static_first else objects, options=LinkOptions(localized=localized))
    (line,) = (line for line in map_text(linked, []).splitlines() if line.startswith("  f "))
    assert line.split()[1::3] == [f".text+{8 * static_first:#x}", "global.o"]
