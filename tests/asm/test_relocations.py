"""Which relocation stands for which operand, against which symbol, with which addend in place.

The facts are those of GNU as and LLVM, whose common ground and differences bpfas.asm.fixup names; a comparison
with LLVM's assembler is at the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bpfas.asm import assemble
from bpfas.diag import BpfasError
from bpfas.elf.constants import ByteOrder, SymbolType
from bpfas.elf.reader import read_object
from bpfas.elf.writer import write_object
from bpfas.reloc import RELOCATION_TYPES, RelocationNumber, read_addend
from tests.peers import Peer

if TYPE_CHECKING:
    from bpfas.objfile import ObjectFile, Section

R_64, ABS64, ABS32, NODYLD32, R_32, GNU_16 = (
    RelocationNumber.R_BPF_64_64,
    RelocationNumber.R_BPF_64_ABS64,
    RelocationNumber.R_BPF_64_ABS32,
    RelocationNumber.R_BPF_64_NODYLD32,
    RelocationNumber.R_BPF_64_32,
    RelocationNumber.R_BPF_GNU_64_16,
)

SYMBOLS = """
        .text
        exit
        .globl tglobal
tglobal: exit
tlocal: exit
        .weak tweak
tweak:  exit
.Ltemp: exit
        .section other,"ax",@progbits
        exit
olocal: exit
        .globl oglobal
oglobal: exit
.Lotemp: exit
        .data
        .quad 0, 0
dlocal: .quad 0
        .globl dglobal
dglobal: .quad 0
.Ldtemp: .quad 0
        .section .rodata,"a",@progbits
        .quad 0
rlocal: .quad 0
        .weak wundef
        .section user,"ax",@progbits
"""
"""Symbols of every kind; what is under test follows in a section `user`, of code."""


def user(statement: str, order: ByteOrder = ByteOrder.LITTLE) -> Section:
    section = assemble(f"{SYMBOLS}{statement}\n", byte_order=order).section("user")
    assert section
    return section


def relocations(section: Section, order: ByteOrder = ByteOrder.LITTLE) -> list[tuple[int, int, str, int]]:
    """(r_offset, type, symbol or section, addend in bytes) of each relocation."""
    found = []
    for relocation in section.relocations:
        symbol = relocation.symbol
        name = symbol.section.name if symbol.st_type is SymbolType.SECTION else symbol.name
        addend = read_addend(RELOCATION_TYPES[relocation.r_type], section.data, relocation.r_offset, order)
        found.append((relocation.r_offset, relocation.r_type, name, addend))
    return found


def error(statement: str) -> str:
    with pytest.raises(BpfasError) as raised:
        assemble(f"{SYMBOLS}{statement}\n")
    return str(raised.value)


ROWS = [
    # 64-bit immediates: at the instruction, the addend in the first slot.
    ("r1 = undef ll", (0, R_64, "undef", 0)),
    ("r1 = undef + 24 ll", (0, R_64, "undef", 24)),
    ("r1 = undef - 8 ll", (0, R_64, "undef", -8)),
    ("lddw %r1, wundef", (0, R_64, "wundef", 0)),
    ("ldimm64 %r1, dglobal", (0, R_64, "dglobal", 0)),
    ("r1 = dlocal ll", (0, R_64, ".data", 16)),
    ("r1 = dlocal + 4 ll", (0, R_64, ".data", 20)),
    ("r1 = dlocal - 20 ll", (0, R_64, ".data", -4)),
    ("r1 = .Ldtemp ll", (0, R_64, ".data", 32)),
    ("r1 = rlocal ll", (0, R_64, ".rodata", 8)),
    ("r1 = tlocal ll", (0, R_64, ".text", 16)),
    ("r1 = tweak ll", (0, R_64, "tweak", 0)),
    ("r1 = undef + 0x7fffffff ll", (0, R_64, "undef", 0x7FFFFFFF)),
    ("r1 = undef - 0x80000000 ll", (0, R_64, "undef", -0x80000000)),
    # Maps by name, whatever their binding.
    ("r1 = %map(dglobal) ll", (0, R_64, "dglobal", 0)),
    ("ldimm64 r1, %map(dlocal)", (0, R_64, "dlocal", 0)),
    ("lddw %r1, %map(undef)", (0, R_64, "undef", 0)),
    # Calls: the imm counts instructions, and is -1 for a plain symbol.
    ("call undef", (0, R_32, "undef", 0)),
    ("call wundef", (0, R_32, "wundef", 0)),
    ("call undef + 16", (0, R_32, "undef", 16)),
    ("call undef - 16", (0, R_32, "undef", -16)),
    ("call tglobal", (0, R_32, "tglobal", 0)),
    ("call tweak", (0, R_32, "tweak", 0)),
    ("call tlocal", (0, R_32, ".text", 16)),
    ("call tlocal + 8", (0, R_32, ".text", 24)),
    ("call .Ltemp", (0, R_32, ".text", 32)),
    ("call olocal", (0, R_32, "other", 8)),
    # Long jumps.
    ("gotol undef", (0, R_32, "undef", 0)),
    ("jal tlocal", (0, R_32, ".text", 16)),
    ("gotol tglobal - 8", (0, R_32, "tglobal", -8)),
    # 16-bit jumps and offsets.
    ("goto undef", (0, GNU_16, "undef", 0)),
    ("ja tlocal", (0, GNU_16, ".text", 16)),
    ("if r1 == 5 goto oglobal", (0, GNU_16, "oglobal", 0)),
    ("jeq %r1, %r2, wundef + 8", (0, GNU_16, "wundef", 8)),
    ("may_goto undef", (0, GNU_16, "undef", 0)),
    # Data.
    (".quad undef", (0, ABS64, "undef", 0)),
    (".quad undef - 5", (0, ABS64, "undef", -5)),
    (".quad undef + 0x123456789a", (0, ABS64, "undef", 0x123456789A)),
    (".quad tlocal", (0, ABS64, ".text", 16)),
    (".quad dglobal + 1", (0, ABS64, "dglobal", 1)),
    (".dword wundef", (0, ABS64, "wundef", 0)),
    (".long undef", (0, ABS32, "undef", 0)),
    (".word tlocal + 1", (0, ABS32, ".text", 17)),
    (".long tglobal", (0, ABS32, "tglobal", 0)),
    (".long rlocal", (0, ABS32, ".rodata", 8)),
    (".long undef - 0x80000000", (0, ABS32, "undef", -0x80000000)),
    # Kept from the loader: named symbols of writable sections, temporary ones of code.
    (".long dlocal", (0, NODYLD32, ".data", 16)),
    (".long dglobal", (0, NODYLD32, "dglobal", 0)),
    (".long .Ltemp + 8", (0, NODYLD32, ".text", 40)),
    (".long .Lotemp", (0, NODYLD32, "other", 24)),
    (".long .Ldtemp", (0, ABS32, ".data", 32)),
    (".byte 1; .long undef", (1, ABS32, "undef", 0)),
]


@pytest.mark.parametrize("order", ByteOrder)
@pytest.mark.parametrize(("statement", "expected"), ROWS, ids=[statement for statement, _ in ROWS])
def test_operand(statement: str, expected: tuple[int, int, str, int], order: ByteOrder) -> None:
    assert relocations(user(statement, order), order) == [expected]


@pytest.mark.parametrize("order", ByteOrder)
@pytest.mark.parametrize(
    ("statement", "symbol", "addend"),
    [
        ("mov %r1, undef", "undef", 0),
        ("w1 = dlocal + 4", ".data", 20),
        ("stw [%r1+0], tglobal - 1", "tglobal", -1),
    ],
)
def test_a_symbolic_immediate_is_relocated_at_the_immediate(
    statement: str, symbol: str, addend: int, order: ByteOrder
) -> None:
    section = user(statement, order)
    (relocation,) = section.relocations
    assert (relocation.r_offset, relocation.r_type) == (4, ABS32)
    name = relocation.symbol.name or relocation.symbol.section.name
    assert (name, int.from_bytes(section.data[4:8], order.name_for_int, signed=True)) == (symbol, addend)


@pytest.mark.parametrize("order", ByteOrder)
@pytest.mark.parametrize(
    ("statement", "mark"), [("call undef", 1), ("call tlocal", 1), ("call 7", 0), ("call bpf_map_lookup_elem", 0)]
)
def test_the_source_register_of_a_call_tells_functions_from_helpers(
    statement: str, mark: int, order: ByteOrder
) -> None:
    registers = user(statement, order).data[1]
    assert registers == (mark << 4 if order is ByteOrder.LITTLE else mark)


@pytest.mark.parametrize("order", ByteOrder)
@pytest.mark.parametrize(
    ("statement", "field"),
    [
        ("x: exit; call x", b"\xff\xff\xff\xfe"),
        ("call x; exit; x: exit", b"\0\0\0\1"),
        ("x: gotol x", b"\xff\xff\xff\xff"),
        (".globl x; gotol x; exit; x: exit", b"\0\0\0\1"),
        ("call .Lx; exit; .Lx: exit", b"\0\0\0\1"),
        ("call 1f; exit; 1: exit", b"\0\0\0\1"),
        ("call x + 8; exit; x: exit", b"\0\0\0\2"),
        ("x: exit; exit; call x", b"\xff\xff\xff\xfd"),
    ],
)
def test_a_near_target_is_settled_without_a_relocation(statement: str, field: bytes, order: ByteOrder) -> None:
    section = user(statement, order)
    assert section.relocations == []
    codes = (0x85, 0x06)
    at = next(at for at in range(0, len(section.data), 8) if section.data[at] in codes)
    assert section.data[at + 4 : at + 8] == (field if order is ByteOrder.BIG else field[::-1])


@pytest.mark.parametrize("order", ByteOrder)
@pytest.mark.parametrize(
    ("statement", "offset"), [("x: goto x", -1), (".globl x; goto x; exit; x:", 1), ("goto . + 16; exit", 1)]
)
def test_a_near_16_bit_target_is_settled_without_a_relocation(
    statement: str, offset: int, order: ByteOrder
) -> None:
    section = user(statement, order)
    assert section.relocations == []
    assert int.from_bytes(section.data[2:4], order.name_for_int, signed=True) == offset


def test_a_call_of_a_global_function_of_the_same_section_can_be_interposed() -> None:
    assert relocations(user(".globl x; x: exit; call x")) == [(8, R_32, "x", 0)]


def test_a_jump_to_a_weak_symbol_of_the_same_section_can_be_interposed() -> None:
    assert relocations(user(".weak x; x: exit; goto x")) == [(8, GNU_16, "x", 0)]


def test_a_helper_by_name_is_a_number() -> None:
    section = user("call bpf_map_lookup_elem")
    assert (section.data.hex(), section.relocations) == ("8500000001000000", [])


@pytest.mark.parametrize("declaration", [".globl", ".weak", ".extern"])
def test_a_declared_helper_name_is_a_symbol(declaration: str) -> None:
    section = user(f"{declaration} bpf_map_lookup_elem; call bpf_map_lookup_elem")
    assert relocations(section) == [(0, R_32, "bpf_map_lookup_elem", 0)]


def test_a_defined_helper_name_is_a_symbol() -> None:
    section = user("call bpf_map_lookup_elem; bpf_map_lookup_elem: exit")
    assert (section.data[:8].hex(), section.relocations) == ("8510000000000000", [])


def test_a_map_load_is_marked_as_one() -> None:
    assert user("r1 = %map(undef) ll").data[1] == 0x11
    assert user("r1 = undef ll").data[1] == 0x01


def test_distances_within_a_section_are_numbers() -> None:
    section = user(".byte y - x; x: .long 1; y: .short . - x; .quad (y - x) * 3")
    assert section.data.hex() == "040100000004000c00000000000000"
    assert section.relocations == []


def test_a_set_symbol_is_what_it_was_set_to() -> None:
    section = user(".set here, dlocal + 4; r1 = here + 4 ll")
    assert relocations(section) == [(0, R_64, ".data", 24)]


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("call undef + 4", "4 bytes from the symbol is not a whole number of 8-byte instructions"),
        (
            "call bpf_map_lookup_elem + 1",
            "is a kernel helper, which has no address to add to",
        ),
        ("call x + 4; x: exit", "the call target is 4 bytes from the next instruction"),
        ("goto undef + 1", "1 bytes from the symbol is not a whole number of 8-byte instructions"),
        ("r1 = undef + 0x80000000 ll", "the offset 2147483648 from the symbol does not fit in 32 bits"),
        ("r1 = undef - 0x80000001 ll", "the offset -2147483649 from the symbol does not fit in 32 bits"),
        (".long undef + 0x80000000", "the offset 2147483648 from the symbol does not fit in 32 bits"),
        ("goto undef + 8 * 32769", "the jump target is 32768 instructions away, out of the range -32768 to 32767"),
        (".short undef", "no BPF relocation can put the address of `undef` here; use .long or .quad"),
        (".byte tlocal", "no BPF relocation can put the address of `tlocal` here; use .long or .quad"),
        ("r1 = *(u8 *)(r2 + dlocal)", "`dlocal` is an address, not an offset"),
        ("r1 = undef - dlocal ll", "`-` of `undef` and `dlocal`"),
        ("r1 = -undef ll", "`-` needs numbers, but the address of `undef` is not known before linking"),
        ("r1 = .Lmissing ll", "label `.Lmissing` is not defined"),
        ("goto 7f", "label `7` is not defined"),
        ("goto 7b", "there is no label `7:` before this"),
        ("mov32 r1, %map(undef)", "needs a 64-bit immediate load"),
        ("r1 = %map(undef)", "needs a 64-bit immediate load"),
        (".set five, 5; r1 = %map(five) ll", "a map is named by a symbol, not by a number"),
    ],
)
def test_what_no_relocation_can_say_is_an_error(statement: str, message: str) -> None:
    assert message in error(statement)


@pytest.mark.parametrize("far", ["goto x; .zero 8 * 32767; x: exit", "x: .zero 8 * 32767; goto x"])
def test_a_16_bit_jump_reaches_its_whole_range(far: str) -> None:
    assert user(far).relocations == []


# What LLVM writes otherwise: type 1 for jumps, and for %map(…) and symbolic 32-bit immediates nothing sensible.
UNLIKE_LLVM = ("goto", "gotol", "ja", "jal", "may_goto", "if", "jeq", "lddw", "ldimm64", ".dword", ".word")
LIKE_LLVM = [
    statement for statement, _ in ROWS if statement.split()[0] not in UNLIKE_LLVM and "%map" not in statement
]


def facts(obj: ObjectFile) -> list[object]:
    """Contents, relocations and symbols."""
    sections = [
        (section.name, section.sh_flags, bytes(section.data), relocations(section, obj.byte_order))
        for section in obj.sections
        if section.sh_size
    ]
    symbols = sorted(
        (symbol.name, symbol.section.name, symbol.st_value, symbol.st_bind)
        for symbol in obj.symbols
        if symbol.st_type is not SymbolType.SECTION
    )
    return [*sections, symbols]


def by_llvm(text: str, order: ByteOrder) -> ObjectFile:
    triple = "bpfel" if order is ByteOrder.LITTLE else "bpfeb"
    arguments = (f"-triple={triple}", "-mcpu=v4", "-filetype=obj", "-o", "-", "-")
    return read_object(Peer.LLVM_MC.run(*arguments, stdin=text.encode()).output, "llvm.o")


@pytest.mark.peer
@pytest.mark.parametrize("order", ByteOrder)
@pytest.mark.parametrize("statements", [LIKE_LLVM], ids=["all"])
def test_llvm_relocates_the_same(statements: list[str], order: ByteOrder) -> None:
    text = SYMBOLS + "\n".join(statements) + "\n"
    ours = read_object(write_object(assemble(text, byte_order=order)), "ours.o")
    assert len(statements) > 30
    assert facts(ours) == facts(by_llvm(text, order))


@pytest.mark.peer
@pytest.mark.parametrize(
    ("statement", "ours", "llvms"),
    [
        ("goto undef", GNU_16, R_64),
        ("if r1 == 5 goto undef", GNU_16, R_64),
        ("gotol undef", R_32, R_64),
    ],
)
def test_jumps_are_relocated_as_gnu_does_and_not_as_llvm(
    statement: str, ours: RelocationNumber, llvms: RelocationNumber
) -> None:
    text = f"{SYMBOLS}{statement}\nexit\n"
    (our_relocation,) = user(statement).relocations
    section = by_llvm(text, ByteOrder.LITTLE).section("user")
    assert section
    assert (our_relocation.r_type, section.relocations[0].r_type) == (ours, llvms)


@pytest.mark.parametrize(
    ("statement", "expected", "data"),
    [
        (".reloc 0, R_BPF_64_64, x", (0, RelocationNumber.R_BPF_64_64, "x"), "00" * 32),
        (".reloc 8, BFD_RELOC_64, x + 5", (8, RelocationNumber.R_BPF_64_ABS64, "x"), "00" * 8 + "05" + "00" * 23),
        (
            ".reloc a, bfd_reloc_32, x - 1",
            (8, RelocationNumber.R_BPF_64_ABS32, "x"),
            "00" * 8 + "ffffffff" + "00" * 20,
        ),
        (".reloc b + 4, R_BPF_64_NODYLD32, x", (20, RelocationNumber.R_BPF_64_NODYLD32, "x"), "00" * 32),
        (".reloc ., R_BPF_64_32, x + 8", (8, RelocationNumber.R_BPF_64_32, "x"), "00" * 32),
        (
            ".reloc ., R_BPF_GNU_64_16, x",
            (8, RelocationNumber.R_BPF_GNU_64_16, "x"),
            "00" * 10 + "ffff" + "00" * 20,
        ),
        (".reloc 32, BFD_RELOC_NONE, x", (32, RelocationNumber.R_BPF_NONE, "x"), "00" * 32),
        (".reloc 0, BFD_RELOC_64, b + 1", (0, RelocationNumber.R_BPF_64_ABS64, ""), "11" + "00" * 31),
    ],
)
def test_a_relocation_by_hand(statement: str, expected: tuple[int, RelocationNumber, str], data: str) -> None:
    section = assemble(f".quad 0\na:\n{statement}\n.quad 0\nb: .quad 0, 0\n").section(".text")
    assert section
    (relocation,) = section.relocations
    assert (relocation.r_offset, relocation.r_type, relocation.symbol.name) == expected
    assert bytes(section.data).hex() == data


def test_a_relocation_by_hand_keeps_its_place_when_jumps_grow() -> None:
    text = "if r1 == 0 goto 1f\n" + "r1 = r2\n" * (1 << 15) + "a: r1 = 0 ll\n1: exit\n.reloc a, R_BPF_64_64, x\n"
    section = assemble(text).section(".text")
    assert section
    (relocation,) = section.relocations
    assert relocation.r_offset == (3 + (1 << 15)) * 8
    assert section.data[relocation.r_offset] == 0x18
