"""Any object, disassembled and assembled, is itself: random ones of ours, and clang's and gcc's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpfas.asm import assemble
from bpfas.elf.constants import (
    ByteOrder,
    SectionFlag,
    SectionType,
    SymbolBinding,
    SymbolType,
    SymbolVisibility,
)
from bpfas.elf.reader import read_object
from bpfas.elf.writer import write_object
from bpfas.isa import SLOT_SIZE, Dialect, encode
from bpfas.objdump.disassemble import disassemble
from bpfas.objfile import ObjectFile, Relocation, Section, SpecialSection, Symbol
from bpfas.reloc import RELOCATION_TYPES, RelocationNumber
from tests.objdump.compare import assert_same_object, section_facts
from tests.peers import Peer
from tests.strategies import byte_orders, dialects, programs

if TYPE_CHECKING:
    from pathlib import Path

ALLOC, WRITE, CODE = SectionFlag.ALLOC, SectionFlag.WRITE, SectionFlag.ALLOC | SectionFlag.EXECINSTR

# Names as C and other languages make them; some are words of the assembly language.
NAMES = [
    *(
        "main",
        "_x",
        "a.b$1",
        "LBB0_1",
        ".str",
        "exit",
        "lock",
        "call",
        "mov",
        "add32",
        "le16",
        "gotol",
        "may_goto",
    ),
    *(
        "s",
        "u32",
        "bpf_map_lookup_elem",
        "callx",
        "load_acquire",
        "wide",
        "r12x",
        "w",
        "llx",
        "ifx",
        "data",
        "\u00e4",
    ),
    *(
        "if_",
        "pcx",
        "xpc",
        "fpx",
        "jeq",
        "neg",
        "atomic_fetch_add",
        "xchg_64",
        "ld_pseudo",
        "r",
        "c0",
        "ja",
        "text",
    ),
]


def round_trip(obj: ObjectFile, dialect: Dialect, *, everything: bool = True) -> ObjectFile:
    """What the object's disassembly assembles to."""
    lines = disassemble(obj, dialect, everything=everything)
    again = assemble("".join(f"{line}\n" for line in lines), byte_order=obj.byte_order)
    return read_object(write_object(again), "again.o")


@st.composite
def code_sections(draw: st.DrawFn, name: str, order: ByteOrder) -> Section:
    data = b"".join(
        encode(instruction, order) for instruction in draw(programs(lambda row: not row.is_alias, max_size=8))
    )
    if draw(st.booleans()):  # something that is no instruction
        junk = draw(st.binary(min_size=SLOT_SIZE, max_size=SLOT_SIZE))
        at = SLOT_SIZE * draw(st.integers(0, len(data) // SLOT_SIZE))
        data = data[:at] + junk + data[at:]
    return Section(name, sh_flags=CODE, sh_addralign=8, data=bytearray(data))


@st.composite
def data_sections(draw: st.DrawFn, name: str, flags: int) -> Section:
    pieces = draw(
        st.lists(st.sampled_from([b"text\n\0", b"\0" * 20, b'"q\\"\0', bytes(range(256))]) | st.binary())
    )
    align = draw(st.sampled_from([1, 4, 8]))
    data = b"".join(pieces)
    return Section(name, sh_flags=flags, sh_addralign=align, data=bytearray(data + bytes(-len(data) % align)))


@st.composite
def objects(draw: st.DrawFn) -> ObjectFile:
    """An object with code, data and symbols anywhere in them."""
    order = draw(byte_orders)
    sections = [
        draw(code_sections(".text", order)),
        draw(code_sections("xdp/a-b", order)),
        draw(data_sections(".data", ALLOC | WRITE)),
        draw(data_sections(".rodata", ALLOC)),
        Section(".bss", SectionType.NOBITS, ALLOC | WRITE, 8, nobits_size=draw(st.integers(0, 5)) * 8),
    ]
    symbols = []
    homes: list[Section | SpecialSection] = [*sections, SpecialSection.ABS, SpecialSection.COMMON]
    for name in draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=8)):
        home = draw(st.sampled_from(homes))
        bind = draw(st.sampled_from(SymbolBinding))
        size, value = draw(st.integers(0, 100)), draw(st.integers(0, 100))
        if home is SpecialSection.COMMON:
            bind, size, value = SymbolBinding.GLOBAL, size + 1, 8
        elif isinstance(home, Section):
            value = min(value, home.sh_size) // SLOT_SIZE * SLOT_SIZE if home.is_code else min(value, home.sh_size)
        kind = SymbolType.OBJECT if home is SpecialSection.COMMON else draw(st.sampled_from(list(SymbolType)[:3]))
        is_local = bind is SymbolBinding.LOCAL
        visibility = SymbolVisibility.DEFAULT if is_local else draw(st.sampled_from(SymbolVisibility))
        symbols.append(Symbol(name, home, value, size, bind, kind, visibility))
    return ObjectFile("random.o", order, sections, symbols)


@given(objects(), dialects)
def test_random_objects(obj: ObjectFile, dialect: Dialect) -> None:
    assert_same_object(round_trip(obj, dialect), obj)


@given(objects(), dialects)
def test_code_alone_keeps_its_bytes(obj: ObjectFile, dialect: Dialect) -> None:
    again = round_trip(obj, dialect, everything=False)
    for section in obj.sections[:2]:
        found = again.section(section.name)
        assert found
        assert section_facts(found) == section_facts(section)


RELOCATED = [
    ("main", "18010000000000000000000000000000", RelocationNumber.R_BPF_64_64),
    ("main", "18110000000000000000000000000000", RelocationNumber.R_BPF_64_64),
    ("main", "18430000000000000000000000000000", RelocationNumber.R_BPF_64_64),
    ("main", "8510000000000000", RelocationNumber.R_BPF_64_32),
    ("main", "0600000000000000", RelocationNumber.R_BPF_64_32),
    ("main", "0500000000000000", RelocationNumber.R_BPF_GNU_64_16),
    ("main", "1d12000000000000", RelocationNumber.R_BPF_GNU_64_16),
    ("main", "b701000000000000", RelocationNumber.R_BPF_64_ABS32),
    ("main", "6201f80000000000", RelocationNumber.R_BPF_64_ABS32),
    ("main", "0000000000000000", RelocationNumber.R_BPF_64_ABS64),
    (".values", "0000000000000000", RelocationNumber.R_BPF_64_ABS64),
    (".values", "00000000", RelocationNumber.R_BPF_64_ABS32),
]
"""A section, little-endian contents for it, and a relocation that they can have."""


def append_relocated(
    section: Section, contents: str, number: RelocationNumber, symbol: Symbol, addend: int, order: ByteOrder
) -> None:
    """Add the contents to the section, with a relocation against `symbol` plus `addend` bytes."""
    slot = bytearray.fromhex(contents)
    if order is ByteOrder.BIG and section.is_code:
        slot[1] = slot[1] >> 4 | slot[1] << 4 & 0xF0
    row = RELOCATION_TYPES[number]
    at_immediate = 4 if section.is_code and number is RelocationNumber.R_BPF_64_ABS32 else 0
    ((start, width),) = row.addend_field.pieces
    value = addend // SLOT_SIZE - 1 if row.pc_relative else addend
    start += at_immediate
    slot[start : start + width] = value.to_bytes(width, order.name_for_int, signed=True)
    section.relocations.append(Relocation(section.sh_size + at_immediate, number, symbol))
    section.data = bytes(section.data) + slot


@given(st.data(), byte_orders, dialects)
def test_every_kind_of_relocation(data: st.DataObject, order: ByteOrder, dialect: Dialect) -> None:
    """Against undefined, global and weak symbols, and against sections."""
    rodata = Section(".rodata", sh_flags=ALLOC, sh_addralign=8, data=bytes(range(64)))
    text = Section(".text", sh_flags=CODE, sh_addralign=8, data=bytes.fromhex("9500000000000000" * 8))
    changing = {
        "main": Section("main", sh_flags=CODE, sh_addralign=8),
        ".values": Section(".values", sh_flags=ALLOC),
    }
    names = data.draw(st.lists(st.sampled_from(NAMES), min_size=4, max_size=4, unique=True))
    undefined = [
        Symbol(names[0], st_bind=SymbolBinding.GLOBAL),
        Symbol(names[1], st_bind=SymbolBinding.WEAK),
    ]
    defined = [
        Symbol(names[2], rodata, 8, st_bind=SymbolBinding.GLOBAL),
        Symbol(names[3], text, 8, st_bind=SymbolBinding.WEAK),
    ]
    of_sections = [Symbol("", section, st_type=SymbolType.SECTION) for section in (rodata, text)]
    for name, contents, number in data.draw(st.lists(st.sampled_from(RELOCATED))):
        choice = [*undefined, *defined, *of_sections]
        if number is RelocationNumber.R_BPF_64_ABS32 and name == ".values":
            choice.pop()  # it takes a symbol more: see test_names
        symbol = data.draw(st.sampled_from(choice))
        addend = data.draw(st.sampled_from([0, 8, 64]))
        append_relocated(changing[name], contents, number, symbol, addend, order)
    symbols = [*of_sections, *undefined, *defined]
    obj = ObjectFile("relocated.o", order, [text, rodata, *changing.values()], symbols)
    assert_same_object(round_trip(obj, dialect), obj)


CLANG_SOURCE = rb"""
    struct { int (*type)[1]; unsigned *key; long *value; int (*max_entries)[4]; } map
        __attribute__((section(".maps"), used));
    static void *(*lookup)(void *, const void *) = (void *)1;
    static int (*printk)(const char *, int, ...) = (void *)6;
    long counter = 5;
    static long hidden = 7;
    static const int table[] = {1, 2, 3, 9};
    extern int kernel_function(int);
    static __attribute__((noinline)) int local(int x) { hidden += x; return x * 3 + table[x & 3]; }
    __attribute__((noinline)) int global(int x) { asm volatile("%0 += 1" : "+r"(x)); return local(x) + 1; }
    __attribute__((section("xdp/first"), used)) int first(int *context) {
        unsigned key = 0;
        long *value = lookup(&map, &key);
        if (value) { __sync_fetch_and_add(value, 1); *value += local(*context); }
        printk("x=%d\n", 5, counter);
        for (int i = 0; i < global(3); i++) if (kernel_function(i)) break;
        return global(*context);
    }
    char license_text[] __attribute__((section("license"), used)) = "GPL";
    void *pointers[] = {&counter, &hidden, (void *)first};
"""


@pytest.mark.peer
@pytest.mark.parametrize("dialect", Dialect)
@pytest.mark.parametrize("debug", ["-g0", "-g"])
@pytest.mark.parametrize("version", ["v1", "v3", "v4"])
@pytest.mark.parametrize("target", ["bpfel", "bpfeb"])
def test_what_clang_compiles(target: str, version: str, debug: str, dialect: Dialect, tmp_path: Path) -> None:
    path = tmp_path / "clang.o"
    options = ("-O2", debug, "-target", target, f"-mcpu={version}", "-w", "-x", "c", "-c", "-", "-o", path)
    Peer.CLANG.run(*options, stdin=CLANG_SOURCE)
    obj = read_object(path.read_bytes(), str(path))
    assert_same_object(round_trip(obj, dialect), obj)


@pytest.mark.peer
@pytest.mark.parametrize("order", ByteOrder)
def test_llvm_assembles_the_pseudoc_listing(order: ByteOrder, tmp_path: Path) -> None:
    """The directives and labels are LLVM's too; the instructions are those that it takes in text."""
    triple = "bpfel" if order is ByteOrder.LITTLE else "bpfeb"
    path = tmp_path / "clang.o"
    Peer.CLANG.run(
        "-O2", "-target", triple, "-mcpu=v4", "-w", "-x", "c", "-c", "-", "-o", path, stdin=CLANG_SOURCE
    )
    obj = read_object(path.read_bytes(), str(path))
    listing = "".join(f"{line}\n" for line in disassemble(obj, Dialect.PSEUDOC, everything=False))
    options = (f"-triple={triple}", "-mcpu=v4", "-filetype=obj", "-o", tmp_path / "again.o")
    Peer.LLVM_MC.run(*options, stdin=listing.encode())
    again = read_object((tmp_path / "again.o").read_bytes(), "again.o")
    for section in obj.sections:
        if section.is_code:
            found = again.section(section.name)
            assert found
            assert section_facts(found) == section_facts(section)
