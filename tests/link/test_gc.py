"""Which functions a link leaves out, and that the code around them still leads where it led."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpfas.asm import assemble
from bpfas.diag import Diagnostics
from bpfas.elf.constants import ByteOrder, SymbolBinding, SymbolType
from bpfas.elf.reader import read_object
from bpfas.elf.writer import write_object
from bpfas.link.linker import Linked, link_objects
from bpfas.link.options import DEFAULT_OPTIONS, LinkOptions, Unresolved
from bpfas.objfile import ObjectFile, Relocation, Section, Symbol
from tests.link.builders import (
    CALL,
    LOAD,
    call,
    code,
    imm_at,
    ja,
    lddw,
    obj,
    section_of,
    section_symbol,
    symbol_of,
)
from tests.link.test_properties import marker

GC = LinkOptions(gc_functions=True)


def made(text: str, name: str, order: ByteOrder = ByteOrder.LITTLE) -> ObjectFile:
    return read_object(write_object(assemble(text, name, order)), name)


def linked(*texts: str, options: LinkOptions = DEFAULT_OPTIONS, order: ByteOrder = ByteOrder.LITTLE) -> Linked:
    return link_objects([made(text, f"{number}.o", order) for number, text in enumerate(texts)], options=options)


def function(name: str, *lines: str, binding: str = ".globl") -> str:
    """The source of a function with type and size, which ends with `exit`."""
    head = f"{binding} {name}\n" if binding else ""
    body = "".join(f"{line}\n" for line in (*lines, "exit"))
    return f"{head}.type {name}, @function\n{name}:\n{body}.size {name}, .-{name}\n"


def weak(name: str, *lines: str) -> str:
    return function(name, *lines, binding=".weak")


def local(name: str, *lines: str) -> str:
    return function(name, *lines, binding="")


def program(*lines: str) -> str:
    return '.section xdp, "ax"\n' + function("prog", *lines) + ".text\n"


def gone(out: Linked) -> list[str]:
    return [f"{removed.obj.name}:{removed.name}" for removed in out.removed]


def code_of(out: Linked, name: str = ".text") -> str:
    return bytes(section_of(out.output, name).data).hex()


STRONG = function("f", "r0 = 2")
SET = {value: bytes((0xB7, 0, 0, 0, value, 0, 0, 0)).hex() for value in range(10)}
EXIT = "9500000000000000"


def test_a_weak_function_that_lost_goes() -> None:
    out = linked(".text\n" + weak("f", "r0 = 1"), ".text\n" + STRONG)
    assert gone(out) == ["0.o:f"]
    assert code_of(out) == SET[2] + EXIT
    assert symbol_of(out.output, "f").st_value == 0
    assert out.removed[0].reason == "weak: f is 1.o:(.text+0x0)"


def test_of_two_weak_functions_the_second_goes() -> None:
    out = linked(".text\n" + weak("f", "r0 = 1"), ".text\n" + weak("f", "r0 = 2"))
    assert (gone(out), code_of(out)) == (["1.o:f"], SET[1] + EXIT)


def test_a_weak_function_that_lost_stays_if_asked_for() -> None:
    out = linked(".text\n" + weak("f", "r0 = 1"), ".text\n" + STRONG, options=LinkOptions(gc_weak=False))
    assert (gone(out), code_of(out)) == ([], SET[1] + EXIT + SET[2] + EXIT)


def test_a_weak_program_that_lost_goes() -> None:
    section = '.section xdp, "ax"\n'
    out = linked(section + weak("f", "r0 = 1"), section + STRONG)
    assert code_of(out, "xdp") == SET[2] + EXIT


def test_a_function_without_a_size_goes_up_to_the_next_one() -> None:
    text = ".text\n.weak f\n.type f, @function\nf:\nr0 = 1\nexit\n" + function("g", "r0 = 3")
    assert code_of(linked(text, ".text\n" + STRONG)) == SET[3] + EXIT + SET[2] + EXIT


def test_a_function_without_a_size_goes_up_to_the_sections_end() -> None:
    text = ".text\n" + function("g", "r0 = 3") + ".weak f\n.type f, @function\nf:\nr0 = 1\nexit\n"
    assert code_of(linked(text, ".text\n" + STRONG)) == SET[3] + EXIT + SET[2] + EXIT


def test_a_label_that_is_no_function_is_left_alone() -> None:
    out = linked(".text\n.weak f\nf:\nr0 = 1\nexit\n", ".text\n" + STRONG)
    assert gone(out) == []


@pytest.mark.parametrize("other", [".globl g\n.type g, @function\n.set g, f\n", ".type g, @function\n.set g, f\n"])
def test_a_function_with_another_name_that_did_not_lose_stays(other: str) -> None:
    assert gone(linked(".text\n" + weak("f", "r0 = 1") + other, ".text\n" + STRONG)) == []


def test_a_function_goes_when_all_its_names_lost() -> None:
    both = ".weak g\n.type g, @function\n.set g, f\n"
    out = linked(".text\n" + weak("f", "r0 = 1") + both, ".text\n" + STRONG + function("g", "r0 = 4"))
    assert gone(out) == ["0.o:f"]


REFERENCES = {
    "a call": function("user", "call here"),
    "a jump": function("user", "if r1 == 0 goto here"),
    "a jump of the class of 32 bits": function("user", "if w1 == 0 goto here"),
    "may_goto": function("user", "may_goto here"),
    "gotol": function("user", "gotol here"),
    "data": ".data\n.quad here\n.text\n",
    "the place before": local("user").replace("exit", "r0 = 7"),
}


def referred_to(reference: str) -> str:
    """A weak function `f` with a local name inside, behind what refers to that."""
    return f".text\n{reference}" + weak("f", "r0 = 1").replace("f:\n", "f:\nhere:\n")


@pytest.mark.parametrize("reference", REFERENCES.values(), ids=REFERENCES)
def test_a_weak_function_that_lost_but_is_reached_stays_whole(reference: str) -> None:
    out = linked(referred_to(reference), ".text\n" + STRONG)
    assert gone(out) == []
    assert SET[1] + EXIT in code_of(out)


@pytest.mark.parametrize("order", ByteOrder)
def test_a_load_of_a_code_address_keeps_a_function(order: ByteOrder) -> None:
    text = ".text\n" + function("user", "r1 = 0 ll") + weak("f", "r0 = 1")
    obj = made(text, "0.o", order)
    load = bytearray(section_of(obj, ".text").data)
    load[1] |= 0x40 if order is ByteOrder.LITTLE else 0x04  # src_reg: a function's distance follows
    load[4:8] = (2).to_bytes(4, order.name_for_int)
    section_of(obj, ".text").data = bytes(load)
    assert link_objects([obj, made(".text\n" + STRONG, "1.o", order)]).removed == []


@pytest.mark.parametrize("reference", ["call f", "r1 = f ll"])
def test_references_by_name_go_to_the_winner(reference: str) -> None:
    out = linked(".text\n" + weak("f", "r0 = 1") + function("user", reference), ".text\n" + STRONG)
    assert gone(out) == ["0.o:f"]


def test_what_debug_information_mentions_may_go() -> None:
    text = ".text\n.Lstart:\n" + weak("f", "r0 = 1") + '.section .debug_info, "", @progbits\n.quad .Lstart\n'
    out = linked(text, ".text\n" + STRONG)
    assert gone(out) == ["0.o:f"]
    assert bytes(section_of(out.output, ".debug_info").data) == b"\xff" * 8
    assert section_of(out.output, ".debug_info").relocations == []


@pytest.mark.parametrize("name", [".debug_ranges", ".debug_loc"])
def test_lists_of_ranges_do_not_end_at_what_is_gone(name: str) -> None:
    text = ".text\n.Lstart:\n" + weak("f", "r0 = 1") + f'.section {name}, "", @progbits\n.quad .Lstart\n'
    out = linked(text, ".text\n" + STRONG)
    assert int.from_bytes(section_of(out.output, name).data, "little") == 1


def test_relocations_of_what_is_gone_go_with_it() -> None:
    text = ".text\n" + weak("f", "call elsewhere") + function("g", "call beyond")
    relocatable = LinkOptions(unresolved=Unresolved.IGNORE)
    out = linked(text, ".text\n" + STRONG, options=relocatable)
    assert [(reloc.r_offset, reloc.symbol.name) for reloc in section_of(out.output, ".text").relocations] == [
        (0, "beyond")
    ]


def test_what_only_a_function_that_goes_uses_need_not_be_weak_to_go() -> None:
    text = ".text\n" + weak("f", "call helper") + local("helper", "r0 = 5")
    out = linked(program("call f"), text, ".text\n" + STRONG, options=GC)
    assert gone(out) == ["1.o:f", "1.o:helper"]
    assert out.removed[1].reason == "nothing refers to it"


@pytest.mark.parametrize("order", ByteOrder)
def test_code_joined_across_a_hole_leads_where_it_led(order: ByteOrder) -> None:
    # Every instruction that holds a distance, over the hole forwards and backwards.
    text = (
        ".text\n"
        + local("before", "r0 = 8")
        + function(
            "user", "call after", "if r1 == 1 goto after", "if w1 == 1 goto after", "may_goto after", "gotol after"
        )
        + weak("f", "r0 = 1", "r0 = 1", "r0 = 1")
        + function("back", "call before", "if r1 == 1 goto before", "goto before", "gotol before")
        + local("after", "r0 = 9")
    )
    out = linked(text, ".text\n" + STRONG, order=order)
    assert gone(out) == ["0.o:f"]
    without = made(text.replace(weak("f", "r0 = 1", "r0 = 1", "r0 = 1"), "") + STRONG, "x.o", order)
    assert code_of(out) == bytes(section_of(without, ".text").data).hex()


def test_a_load_of_a_code_address_across_a_hole_is_adjusted() -> None:
    text = ".text\n" + function("user", "r1 = 0 ll") + weak("f", "r0 = 1") + local("after", "r0 = 9")
    obj = made(text, "0.o")
    load = bytearray(section_of(obj, ".text").data)
    load[1] |= 0x40
    load[4] = 2 + 2
    section_of(obj, ".text").data = bytes(load)
    out = link_objects([obj, made(".text\n" + STRONG, "1.o")])
    assert gone(out) == ["0.o:f"]
    assert imm_at(section_of(out.output, ".text"), 0) == 2


def test_a_static_function_behind_a_hole_is_called_through_its_section() -> None:
    text = program("call after", "call after") + weak("f", "r0 = 1") + local("after", "r0 = 9")
    out = linked(text, ".text\n" + STRONG)
    xdp = section_of(out.output, "xdp")
    assert [imm_at(xdp, at) for at in (0, 8)] == [-1, -1]
    assert symbol_of(out.output, "after").st_value == 0


def test_data_that_points_behind_a_hole_is_adjusted() -> None:
    text = ".text\n" + weak("f", "r0 = 1") + local("after", "r0 = 9") + ".data\n.quad after\n.quad after + 8\n"
    out = linked(text, ".text\n" + STRONG)
    values = section_of(out.output, ".data").data
    starts = [
        reloc.symbol.st_value + int.from_bytes(values[reloc.r_offset :][:8], "little")
        for reloc in section_of(out.output, ".data").relocations
    ]
    assert starts == [0, 8]


def test_local_names_of_what_is_gone_go_and_others_move() -> None:
    text = ".text\n" + weak("f", "inner: r0 = 1") + local("after", "r0 = 9")
    out = linked(text, ".text\n" + STRONG)
    assert out.output.symbol("inner") is None
    assert symbol_of(out.output, "after").st_value == 0


def test_a_section_of_which_everything_goes_is_empty() -> None:
    out = linked(".text\n" + weak("f", "r0 = 1"), '.section x, "ax"\n' + STRONG)
    assert section_of(out.output, ".text").sh_size == 0


def test_unused_functions_of_text_go_when_asked_for() -> None:
    library = (
        ".text\n" + function("used", "call inner") + local("inner", "r0 = 5") + function("unused", "call inner")
    )
    out = linked(program("call used"), library, options=GC)
    assert gone(out) == ["1.o:unused"]
    assert gone(linked(program("call used"), library)) == []


def test_functions_that_only_use_each_other_go() -> None:
    library = ".text\n" + function("a", "call b") + function("b", "call a")
    assert gone(linked(program(), library, options=GC)) == ["1.o:a", "1.o:b"]


@pytest.mark.parametrize(
    "options", [LinkOptions(gc_functions=True, roots=("f",)), LinkOptions(gc_functions=True, wanted=("f",))]
)
def test_roots_and_wanted_names_stay(options: LinkOptions) -> None:
    assert gone(linked(".text\n" + STRONG + function("g"), options=options)) == ["0.o:g"]


@pytest.mark.parametrize(
    "keeper", [".data\n.quad f\n", '.section .struct_ops, "aw"\n.quad f\n', '.section .x, "ax"\ncall f\nexit\n']
)
def test_what_data_and_other_sections_refer_to_stays(keeper: str) -> None:
    assert gone(linked(".text\n" + STRONG + function("g") + keeper, options=GC)) == ["0.o:g"]


def test_a_retained_section_stays() -> None:
    assert gone(linked('.section .text, "axR"\n' + STRONG, options=GC)) == []


def test_code_of_text_that_is_no_function_keeps_what_it_uses() -> None:
    assert gone(linked(".text\ncall f\nexit\n" + STRONG, options=GC)) == []


def test_what_a_weak_loser_uses_does_not_count() -> None:
    first = ".text\n" + weak("f", "call g") + function("g", "r0 = 3")
    assert gone(linked(first, program("call f") + STRONG, options=GC)) == ["0.o:f", "0.o:g"]


class Ref(NamedTuple):
    """The instruction at slot `at` of function `source` leads to slot `slot` of function `target`."""

    source: int
    at: int
    target: int
    slot: int


@dataclass(slots=True)
class Functions:
    """Objects made of functions that begin with `marker` of their number, and what these refer to."""

    objects: list[ObjectFile]
    names: list[str]
    refs: list[Ref]


@st.composite
def functions(draw: st.DrawFn) -> Functions:
    """Objects whose .text is local, weak and global functions that lead to one another in all ways there are."""
    made_functions = Functions([], [], [])
    for number in range(draw(st.integers(2, 3))):
        first = len(made_functions.names)
        count = draw(st.integers(1, 5))
        names = draw(st.lists(st.sampled_from("abcde"), min_size=count, max_size=count, unique=True))
        text = code(".text", b"")
        contents = bytearray()
        aims = [
            draw(
                st.lists(
                    st.tuples(st.sampled_from(_FORMS), st.integers(0, count - 1), st.integers(0, 1)), max_size=3
                )
            )
            for _ in range(count)
        ]
        sizes = [8 * (2 + sum(2 if "load" in form else 1 for form, _, _ in found)) for found in aims]
        starts = list(accumulate(sizes, initial=0))
        symbols = [
            Symbol(name, text, start, size, draw(st.sampled_from(_BINDINGS)), SymbolType.FUNC)
            for name, start, size in zip(names, starts, sizes, strict=False)
        ]
        whole = section_symbol(text)
        for index, found in enumerate(aims):
            contents += marker(first + index)
            for form, other, slot in found:
                at, target = len(contents), starts[other] + 8 * slot
                made_functions.refs.append(Ref(first + index, (at - starts[index]) // 8, first + other, slot))
                contents += _instruction(form, target, at)
                if form in ("call", "load"):
                    text.relocations.append(Relocation(at, CALL if form == "call" else LOAD, whole))
            contents += bytes.fromhex(EXIT)
        text.data = bytes(contents)
        made_functions.names += names
        made_functions.objects.append(obj(f"{number}.o", text, *symbols, whole))
    return made_functions


_BINDINGS = (SymbolBinding.LOCAL, SymbolBinding.WEAK)
_FORMS = ("call", "load", "near call", "near load", "ja", "gotol")


def _instruction(form: str, target: int, at: int) -> bytes:
    distance = (target - at) // 8 - 1
    match form:
        case "call":
            return call(target // 8 - 1)
        case "load":
            return lddw(target)
        case "near call":
            return call(distance)
        case "near load":
            return struct.pack("<BBhiBBhi", 0x18, 0x41, 0, distance, 0, 0, 0, 0)
        case "ja":
            return ja(distance)
    return struct.pack("<BBhi", 0x06, 0, 0, distance)


def _destination(section: Section, at: int) -> int:
    """Where the instruction at `at` of .text leads."""
    opcode, registers, off, imm = struct.unpack_from("<BBhi", section.data, at)
    if opcode == 0x18 and registers >> 4 == 0:
        return int(imm)
    return int(at + 8 * (off if opcode == 0x05 else imm) + 8)


@given(functions())
def test_what_is_kept_leads_to_what_it_led_to(inputs: Functions) -> None:
    out = link_objects(inputs.objects)
    text = section_of(out.output, ".text")
    at = {
        number: found
        for number in range(len(inputs.names))
        if (found := bytes(text.data).find(marker(number))) >= 0
    }
    assert len(at) + len(out.removed) == len(inputs.names)
    for ref in inputs.refs:
        if ref.source in at:
            assert _destination(text, at[ref.source] + 8 * ref.at) == at[ref.target] + 8 * ref.slot


@given(functions())
def test_only_weak_functions_that_lost_and_that_nothing_kept_reaches_go(inputs: Functions) -> None:
    out = link_objects(inputs.objects)
    winners = {found.symbol for found in out.table.resolutions.values()}
    symbols = [symbol for obj in inputs.objects for symbol in obj.symbols if symbol.st_type is SymbolType.FUNC]
    removed = {(item.section, item.start) for item in out.removed}
    kept = {n for n, symbol in enumerate(symbols) if (symbol.section, symbol.st_value) not in removed}
    may_go = {
        n for n, symbol in enumerate(symbols) if symbol.st_bind is SymbolBinding.WEAK and symbol not in winners
    }
    reached = set(range(len(symbols))) - may_go
    while more := {ref.target for ref in inputs.refs if ref.source in reached} - reached:
        reached |= more
    assert kept == reached


@pytest.mark.parametrize(
    ("text", "options", "warns"),
    [
        (function("f") + function("g"), GC, True),
        (function("f") + function("g"), DEFAULT_OPTIONS, False),
        (function("f") + function("g"), GC._replace(wanted=("g",)), False),
        (function("f") + function("g"), GC._replace(exported=("g*",)), False),
        (function("f") + '.section xdp,"ax"\n' + function("p"), GC, False),
        (".data\n.long 1\n", GC, False),
    ],
)
def test_a_link_that_leaves_no_code_says_so(text: str, options: LinkOptions, warns: bool) -> None:
    diagnostics = Diagnostics()
    link_objects([made(text, "a.o")], options=options, diagnostics=diagnostics)
    assert [item.message.partition(",")[0] for item in diagnostics.items] == (
        ["--gc-sections leaves no code at all"] if warns else []
    )
