"""What holds for every link: each reference leads to what it led to, and joining in steps is joining at once.

Each piece of the generated objects begins with a number of its own, so that the tests find it in the output
without asking the linker where it went.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from bpfas.elf.constants import ByteOrder, SymbolType
from bpfas.link.linker import link
from bpfas.link.options import LinkOptions, Unresolved
from bpfas.objfile import ObjectFile, Relocation, Section, SpecialSection, Symbol
from bpfas.reloc import RELOCATION_TYPES, read_addend
from tests.elf.strategies import essence
from tests.link.builders import CALL, EXIT, LOAD, call, code, data, extern, glob, lddw, section_of, section_symbol

CODE_NAMES = (".text", "xdp", "tc")
DATA_NAMES = (".data", ".rodata")


def marker(number: int) -> bytes:
    """Eight bytes that stand at the start of piece `number` and nowhere else: `r9 = …`."""
    return struct.pack("<BBhi", 0xB7, 9, 0, 0x5EED0000 + number)


@dataclass(slots=True)
class Reference:
    """An instruction, by its piece and the offset there, that leads to `offset` in piece `target`."""

    piece: int
    at: int
    target: int
    offset: int


@dataclass(slots=True)
class Program:
    """Objects, their sections by number of piece, and what they refer to."""

    objects: list[ObjectFile]
    pieces: list[Section] = field(default_factory=list)
    owners: list[ObjectFile] = field(default_factory=list)
    references: list[Reference] = field(default_factory=list)


@st.composite
def programs(draw: st.DrawFn) -> Program:
    """One to four objects whose code calls and loads what they define: named, local or by section."""
    program = Program([ObjectFile(f"{number}.o") for number in range(draw(st.integers(1, 4)))])
    for obj in program.objects:
        for name in draw(st.lists(st.sampled_from(CODE_NAMES + DATA_NAMES), unique=True, max_size=4)):
            number = len(program.pieces)
            is_code = name in CODE_NAMES
            slots = marker(number) + EXIT * draw(st.integers(0, 2))
            piece = code(name, slots) if is_code else data(name, slots, draw(st.sampled_from([1, 4, 16])))
            obj.sections.append(piece)
            program.pieces.append(piece)
            program.owners.append(obj)
            obj.symbols.append(glob(f"piece{number}", piece))
    targets = list(range(len(program.pieces)))
    for number in targets:
        if program.pieces[number].name in CODE_NAMES:
            for target in draw(st.lists(st.sampled_from(targets), max_size=3)):
                _refer(draw, program, number, target)
    return program


def _refer(draw: st.DrawFn, program: Program, number: int, target: int) -> None:
    """Let piece `number` call or load some place in piece `target`."""
    section, obj, aim = program.pieces[number], program.owners[number], program.pieces[target]
    calls = aim.name in CODE_NAMES
    offset = 8 * draw(st.integers(0, len(aim.data) // 8 - 1))
    if program.owners[target] is not obj:
        symbol, addend = _named(obj, f"piece{target}"), offset
    else:
        form = draw(st.sampled_from(["named", "local", "section"]))
        if form == "named":
            symbol, addend = _named(obj, f"piece{target}"), offset
        elif form == "local":
            symbol, addend = Symbol(".L", aim, offset), 0
            obj.symbols.append(symbol)
        else:
            symbol, addend = section_symbol(aim), offset
            obj.symbols.append(symbol)
    at = len(section.data)
    section.data = bytes(section.data) + (call(addend // 8 - 1) if calls else lddw(addend))
    section.relocations.append(Relocation(at, CALL if calls else LOAD, symbol))
    program.references.append(Reference(number, at, target, offset))


def _named(obj: ObjectFile, name: str) -> Symbol:
    found = obj.symbol(name)
    if found is None:
        found = extern(name)
        obj.symbols.append(found)
    return found


def destination(section: Section, at: int) -> tuple[Section, int]:
    """Where the instruction at `at` of an output section leads, by its relocation or without one."""
    for reloc in section.relocations:
        if reloc.r_offset == at:
            home = reloc.symbol.section
            assert isinstance(home, Section)
            row = RELOCATION_TYPES[reloc.r_type]
            addend = read_addend(row, section.data, at, ByteOrder.LITTLE)
            return home, reloc.symbol.st_value + addend
    opcode, _, _, imm = struct.unpack_from("<BBhi", section.data, at)
    assert opcode == 0x85
    return section, at + 8 + 8 * imm


@given(programs())
def test_every_reference_leads_to_the_bytes_that_it_led_to(program: Program) -> None:
    linked = link(program.objects)
    starts = []
    for number, piece in enumerate(program.pieces):
        output = section_of(linked, piece.name)
        starts.append((output, bytes(output.data).index(marker(number))))
    for reference in program.references:
        section, start = starts[reference.piece]
        target, target_start = starts[reference.target]
        assert destination(section, start + reference.at) == (target, target_start + reference.offset)


@given(programs())
def test_a_link_leaves_its_inputs_alone(program: Program) -> None:
    before = [essence(obj) for obj in program.objects]
    link(program.objects)
    assert [essence(obj) for obj in program.objects] == before


@given(programs())
def test_no_symbol_of_an_input_is_in_the_output(program: Program) -> None:
    linked = link(program.objects)
    old = {symbol for obj in program.objects for symbol in obj.symbols}
    assert not old & set(linked.symbols)
    assert {reloc.symbol for section in linked.sections for reloc in section.relocations} <= set(linked.symbols)
    assert all(
        isinstance(symbol.section, SpecialSection) or symbol.section in linked.sections
        for symbol in linked.symbols
    )
    section_symbols = [symbol.section for symbol in linked.symbols if symbol.st_type is SymbolType.SECTION]
    assert len(section_symbols) == len(set(section_symbols))


@given(programs())
def test_a_link_of_what_was_linked_changes_nothing(program: Program) -> None:
    linked = link(program.objects, "app.o")
    assert essence(link([linked], "app.o")) == essence(linked)


@given(programs())
def test_joining_in_steps_is_joining_at_once(program: Program) -> None:
    relocatable = LinkOptions(unresolved=Unresolved.IGNORE)
    stepwise = program.objects[0]
    for obj in program.objects[1:]:
        stepwise = link([stepwise, obj], "app.o", relocatable)
    assert essence(link([stepwise], "app.o")) == essence(link(program.objects, "app.o"))
