"""Tables of computed jumps: from offsets in a section to instructions of a program."""

from __future__ import annotations

import struct

import pytest

from bpfas.elf.constants import ByteOrder, SymbolBinding, SymbolType
from bpfas.loader.image.build import build_image
from bpfas.loader.instructions import Code
from bpfas.loader.spec import JumpTable
from bpfas.objfile import Section, Symbol
from tests.loader.builders import (
    CALL,
    CALL_SYMBOL,
    EXIT,
    LDDW,
    LOAD,
    PASS,
    code,
    data,
    function,
    image_errors,
    obj,
    relocate,
)


def table(*targets: int, before: int = 0, size: int | None = None) -> tuple[Section, Symbol]:
    section = data(".jumptables", bytes(before) + struct.pack(f"<{len(targets)}Q", *targets))
    length = 8 * len(targets) if size is None else size
    return section, Symbol("BPF.JT.0.0", section, before, length, SymbolBinding.GLOBAL, SymbolType.OBJECT)


def test_targets_count_from_the_program() -> None:
    section, symbol = table(24, 16, before=8)
    xdp, text = code("xdp", CALL_SYMBOL, PASS), code(".text", EXIT, LDDW, LDDW, PASS)
    callee = function("callee", text, 8)
    relocate(xdp, 0, CALL, callee)
    relocate(text, 8, LOAD, symbol)
    relocate(text, 24, LOAD, symbol)
    program = build_image(obj(xdp, text, section, function("prog", xdp), callee, symbol)).programs["prog"]
    # `callee` begins at slot 3 of the program and byte 8 of .text.
    assert program.jump_tables == (JumpTable(".jumptables+0x8", (3, 5), (5, 4)),)
    loaded = Code(program.instructions, ByteOrder.LITTLE)
    assert [(loaded.src(index), loaded.imm(index), loaded.imm(index + 1)) for index in (3, 5)] == [(2, 0, 0)] * 2


def test_each_function_has_its_own_table() -> None:
    section, symbol = table(0)
    xdp = code("xdp", CALL_SYMBOL, LDDW, PASS)
    text = code(".text", LDDW, EXIT)
    callee = function("callee", text)
    relocate(xdp, 0, CALL, callee)
    relocate(xdp, 8, LOAD, symbol)
    relocate(text, 0, LOAD, symbol)
    program = build_image(obj(xdp, text, section, function("prog", xdp), callee, symbol)).programs["prog"]
    assert [(each.loads, each.targets) for each in program.jump_tables] == [((1,), (0,)), ((5,), (5,))]


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (table(0, size=0), "no table of jumps begins at '.jumptables+0x0'"),
        (table(0, size=16), "reaches from 0x0 over 0x10 bytes"),
        (table(0, size=4), "reaches from 0x0 over 0x4 bytes"),
        (table(0, before=4), "reaches from 0x4 over 0x8 bytes"),
        (table(0, 32), "leads to 0x20 of section xdp, which is no instruction of 'prog'"),
        (table(4), "leads to 0x4 of section xdp, which is no instruction of 'prog'"),
        (table(1 << 63), "leads to 0x8000000000000000 of section xdp"),
    ],
    ids=["no size", "beyond", "half a word", "unaligned", "behind the end", "within", "huge"],
)
def test_what_is_no_table_is_told(made: tuple[Section, Symbol], message: str) -> None:
    section, symbol = made
    xdp = code("xdp", LDDW, PASS)
    relocate(xdp, 0, LOAD, symbol)
    assert message in image_errors(xdp, section, function("prog", xdp), symbol)


def test_objects_may_call_their_tables_alike() -> None:
    objects = []
    for name in ("prog", "helper"):
        section, symbol = table(8)
        home = code("xdp" if name == "prog" else ".text", CALL_SYMBOL, LDDW, PASS)
        own = function(name, home)
        relocate(home, 8, LOAD, symbol)
        objects.append((home, obj(home, section, own, symbol, name=f"{name}.o"), own))
    (home, first, _), (other, second, helper) = objects
    relocate(other, 0, CALL, helper)
    called = Symbol("helper", st_bind=SymbolBinding.GLOBAL)
    first.symbols.append(called)
    relocate(home, 0, CALL, called)
    program = build_image(first, [second]).programs["prog"]
    assert [(each.loads, each.targets) for each in program.jump_tables] == [((1,), (1,)), ((6,), (6,))]
