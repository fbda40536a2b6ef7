"""What names stand for when an object is bound to libraries, and what is said of names that stay open."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from bpfas.asm import assemble
from bpfas.diag import BpfasError
from bpfas.elf.constants import ByteOrder
from bpfas.elf.writer import write_object
from bpfas.loader.cli import main
from bpfas.loader.image.build import build_image, describe_bindings
from bpfas.loader.instructions import Code
from bpfas.loader.spec import BindingKind, ExternReference, ExternSource, MapReference, ReferenceKind
from tests.loader.builders import CALL, CALL_SYMBOL, PASS, code, function, obj, relocate, undefined

if TYPE_CHECKING:
    from pathlib import Path

    from bpfas.loader.spec import Image, ProgramSpec
    from bpfas.objfile import ObjectFile

LICENSE = '.section license,"aw"\n.asciz "GPL"\n'


def app(body: str, declarations: str = "") -> ObjectFile:
    """An object whose program is `body` and the return of r0."""
    return assemble(
        f'.section xdp,"ax"\n.globl prog\n.type prog,@function\nprog:\n{body}\nexit\n{declarations}\n', "app.o"
    )


def library(text: str, name: str = "lib.o") -> ObjectFile:
    return assemble(text, name)


def sub(name: str, body: str, binding: str = ".globl") -> str:
    """A function of .text."""
    return f".text\n{binding} {name}\n.type {name},@function\n{name}:\n{body}\nexit\n.size {name},.-{name}\n"


def program(image: Image) -> ProgramSpec:
    return image.programs["prog"]


def lines(image: Image) -> bytes:
    return program(image).instructions


def errors_of(*objects: ObjectFile, ksyms: tuple[str, ...] = ()) -> str:
    with pytest.raises(BpfasError) as caught:
        build_image(objects[0], objects[1:], ksyms)
    return str(caught.value)


def test_a_function_of_a_library_is_put_behind_the_program() -> None:
    image = build_image(app("call f"), [library(sub("f", "r0 = 7"))])
    assert lines(image) == lines(build_image(app("call f", sub("f", "r0 = 7"))))
    assert list(image.programs) == ["prog"]


def test_what_a_function_needs_comes_with_it_and_nothing_else() -> None:
    text = f"""
    {sub("unused", "call nobody_has_this")}
    {sub("own", "r0 = 1", ".local")}
    {sub("f", "call own; r1 = counts ll; r1 = tally ll; r2 = zeros+4 ll")}
    .section maps,"aw"
    .globl counts
    counts: .long 1, 4, 8, 16
    unused_map: .long 1, 4, 8, 16
    .data
    .long 5
    .globl tally
    tally: .long 6
    .bss
    zeros: .skip 16
    .section .rodata
    .asciz "not needed"
    """
    image = build_image(app("call f\nr1 = mine ll", ".data\nmine: .quad 1"), [library(text)])
    assert list(image.maps) == [".data", "lib:counts", "lib:.data", "lib:.bss"]
    assert image.maps["lib:.data"].contents == (5).to_bytes(4, "little") + (6).to_bytes(4, "little")
    assert [image.maps[name].kernel_name for name in image.maps] == ["app.data", "counts", "lib.data", "lib.bss"]
    # prog has call, lddw, exit; f begins at 4, its first load is at 5.
    assert program(image).references == (
        MapReference(1, ".data", ReferenceKind.MAP_VALUE, 0),
        MapReference(5, "lib:counts", ReferenceKind.MAP_FD),
        MapReference(7, "lib:.data", ReferenceKind.MAP_VALUE, 4),
        MapReference(9, "lib:.bss", ReferenceKind.MAP_VALUE, 4),
    )


def test_variables_and_maps_of_a_library_can_be_referred_to() -> None:
    text = '.section maps,"aw"\n.globl counts\ncounts: .long 1, 4, 8, 16\n.data\n.globl tally\ntally: .long 6'
    image = build_image(app("r1 = counts ll; r1 = tally ll; r0 = 0"), [library(text)])
    assert [reference.map_name for reference in program(image).references] == ["lib:counts", "lib:.data"]


def test_libraries_use_one_another_and_call_back() -> None:
    a = library(sub("a", "call b; call back"), "a.o")
    b = library(sub("b", "call c"), "b.o")
    c = library(sub("c", "call back"), "c.o")
    caller = app("call a", sub("back", "r0 = 3"))
    expected = app(
        "call a",
        sub("back", "r0 = 3") + sub("a", "call b; call back") + sub("b", "call c") + sub("c", "call back"),
    )
    assert lines(build_image(caller, [a, b, c])) == lines(build_image(caller, [c, b, a]))
    assert lines(build_image(caller, [a, b, c])) == lines(build_image(expected))


def test_functions_of_the_same_static_name_are_kept_apart() -> None:
    a = library(sub("a", "call own") + sub("own", "r0 = 1", ".local"), "a.o")
    b = library(sub("b", "call own") + sub("own", "r0 = 2", ".local"), "b.o")
    caller = app("call own; call a; call b", sub("own", "r0 = 3", ".local"))
    immediates = Code(lines(build_image(caller, [a, b])), ByteOrder.LITTLE)
    returned = [immediates.imm(index) for index in immediates.starts() if immediates.opcode(index) == 0xB7]
    assert returned == [3, 1, 2]


def test_libraries_of_one_name_are_told_apart() -> None:
    texts = (f"{sub(name, 'r1 = x ll')}\n.data\nx: .long 1" for name in "ab")
    a, b = (library(text, f"{number}/lib.o") for number, text in enumerate(texts))
    assert list(build_image(app("call a; call b"), [a, b]).maps) == ["lib:.data", "lib#2:.data"]


WEAK, STRONG, OTHER = sub("f", "r0 = 1", ".weak"), sub("f", "r0 = 2"), sub("f", "r0 = 3", ".weak")


@pytest.mark.parametrize(
    ("own", "libraries", "result"),
    [
        ("", [WEAK, STRONG], 2),
        ("", [STRONG, WEAK], 2),
        ("", [WEAK, OTHER], 1),
        ("", [OTHER, WEAK], 3),
        (WEAK, [STRONG], 2),
        (WEAK, [OTHER], 1),
        (STRONG, [WEAK], 2),
    ],
)
def test_strong_and_weak_definitions_are_as_in_a_link(own: str, libraries: list[str], result: int) -> None:
    others = [library(text, f"{number}.o") for number, text in enumerate(libraries)]
    assert Code(lines(build_image(app("call f", own), others)), ByteOrder.LITTLE).imm(2) == result


def test_two_strong_definitions_are_an_error_where_the_name_is_used() -> None:
    a, b = library(STRONG, "a.o"), library(STRONG, "b.o")
    assert errors_of(app("call f; call f"), a, b) == (
        "app.o:(xdp+0x0): error: 'f' is defined twice\n"
        ">>> defined at a.o:(.text+0x0)\n"
        ">>> defined at b.o:(.text+0x0)\n"
        ">>> make one of them weak (.weak) or hidden (.hidden), or leave out one of the objects"
    )
    assert build_image(app("call g"), [a, b, library(sub("g", "r0 = 1"), "g.o")])


def test_hidden_names_stay_within_their_object() -> None:
    hidden = library(f"{sub('f', 'call g')}{sub('g', 'r0 = 1')}.hidden g", "a.o")
    other = library(sub("g", "r0 = 2"), "b.o")
    code_ = Code(lines(build_image(app("call f; call g"), [hidden, other])), ByteOrder.LITTLE)
    assert [code_.imm(index) for index in code_.starts() if code_.opcode(index) == 0xB7] == [1, 2]
    assert ">>> a.o:(.text+0x10) defines it, but hidden from other objects" in errors_of(app("call g"), hidden)


def test_all_open_names_are_reported_with_what_to_do() -> None:
    errors = errors_of(
        app("call f; call g; call f; r1 = v ll; call bpf_get_prandom_u32_"), library(sub("other", "r0 = 1"))
    )
    first, second, *_ = errors.split("\napp.o:")
    assert first == (
        "app.o:(xdp+0x0): error: undefined symbol: f\n"
        ">>> link it with the object that defines the symbol (bpf-ld -o linked.o ...), or bind it to that object "
        "when it is loaded (bpf-load --with OTHER.o ...)\n"
        ">>> also used at app.o:(xdp+0x10)\n"
        ">>> if it is the kernel's, say so: bpf-load --ksym f ..., or in C declare it with __ksym"
    )
    assert second.startswith("(xdp+0x8): error: undefined symbol: g\n>>> link it")
    assert [line.split()[-1] for line in errors.splitlines() if "error" in line] == [
        "f", "g", "v", "bpf_get_prandom_u32_"
    ]  # fmt: skip


def test_a_name_that_a_library_has_nearly_is_named() -> None:
    assert ">>> did you mean 'triple', defined at lib.o:(.text+0x0)?" in errors_of(
        app("call tripel"), library(sub("triple", "r0 = 1"))
    )


def test_a_name_that_a_library_leaves_open_is_an_error_in_the_library() -> None:
    errors = errors_of(app("call f"), library(sub("f", "call gone")))
    assert errors.startswith("lib.o:(.text+0x0): error: undefined symbol: gone\n")


def test_a_weak_name_without_definition_is_left_to_loading() -> None:
    image = build_image(app("r1 = f ll; if r1 == 0 goto 1f; call f; 1: r0 = 0", ".weak f"))
    assert program(image).externs == (ExternReference(0, "f"), ExternReference(3, "f"))
    spec = image.externs["f"]
    assert (spec.source, spec.is_weak, spec.is_called) == (ExternSource.NOWHERE, True, True)


def test_a_name_is_strong_if_any_use_is() -> None:
    errors = errors_of(app("call f; call g", ".weak f"), library(sub("g", "call f")))
    assert "undefined symbol: f" in errors


def test_a_test_whether_a_weak_function_is_there_finds_it() -> None:
    image = build_image(app("r1 = f ll; if r1 == 0 goto 1f; call f; 1: r0 = 0", ".weak f"), [library(STRONG)])
    instructions = Code(lines(image), ByteOrder.LITTLE)
    assert (instructions.src(0), instructions.imm(0)) == (0, 1)
    assert not image.externs


def test_an_offset_from_what_is_not_known_yet_is_an_error() -> None:
    assert "+0x8 to the address of 'v', which is not known before loading" in errors_of(
        app("r1 = v+8 ll"), ksyms=("v",)
    )


def test_a_name_asked_for_from_the_kernel_that_is_not_used_is_an_error() -> None:
    errors = errors_of(app("call bpf_rcu_read_lock"), ksyms=("bpf_rcu_red_lock",))
    assert "'bpf_rcu_red_lock' is asked for from the kernel, but it is not used, or not open" in errors
    assert ">>> did you mean 'bpf_rcu_read_lock'?" in errors


def test_a_library_goes_before_the_kernel() -> None:
    image = build_image(app("call f"), [library(STRONG)], ["f"])
    assert not image.externs
    assert image.bindings[0].kind is BindingKind.OBJECT


def test_licenses_must_agree() -> None:
    proprietary = LICENSE.replace("GPL", "none")
    taken = library(sub("f", "r0 = 1") + proprietary)
    assert errors_of(app("call f", LICENSE), taken) == (
        "lib.o: error: section 'license' says 'none', but that of app.o says 'GPL'\n"
        ">>> code that is loaded together must agree in it"
    )
    assert program(build_image(app("r0 = 0", LICENSE), [taken])).license == b"GPL"
    assert program(build_image(app("call f"), [taken])).license == b"none"


def test_byte_orders_must_agree() -> None:
    xdp = code("xdp", CALL_SYMBOL, PASS)
    relocate(xdp, 0, CALL, undefined("f"))
    big = obj(xdp, function("f", xdp), order=ByteOrder.BIG, name="big.o")
    assert "big.o: error: the byte order is not that of app.o" in errors_of(app("r0 = 0"), big)


def test_bindings_are_listed_with_all_that_is_open(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    body = "call f; call f; call bpf_rcu_read_lock; call gone; call maybe; r0 = 0"
    for each in (app(body, ".weak maybe"), library(sub("f", "r0 = 1"))):
        (tmp_path / each.name).write_bytes(write_object(each))
    path, lib = str(tmp_path / "app.o"), str(tmp_path / "lib.o")
    arguments = ["bindings", path, "--with", lib, "--ksym", "bpf_rcu_read_lock"]
    assert main(arguments) == 1
    rows = [line.replace(f"{tmp_path}/", "").split() for line in capsys.readouterr().out.splitlines()]
    assert [" ".join(row) for row in rows] == [
        "NAME STRENGTH BOUND TO USED AT",
        "f strong lib.o:(.text+0x0) app.o:(xdp+0x0) and 1 more",
        "bpf_rcu_read_lock strong the kernel app.o:(xdp+0x10)",
        "gone strong OPEN app.o:(xdp+0x18)",
        "maybe weak nothing: its address is 0 app.o:(xdp+0x20)",
    ]
    assert main([*arguments, "--json"]) == 1
    first, *_, last = json.loads(capsys.readouterr().out)
    assert (first["bound_to"], first["uses"]) == ("object", [f"{path}:(xdp+0x0)", f"{path}:(xdp+0x8)"])
    assert (last["strength"], last["bound_to"], last["definition"]) == ("weak", "nothing", "")
    assert main(["bindings", lib]) == 0
    assert capsys.readouterr().out == "no name is left to others\n"


def test_bindings_of_an_object_that_is_complete_are_none() -> None:
    assert describe_bindings(app("call f", STRONG)) == ()
