"""Call frames: .debug_frame and .eh_frame are those of LLVM's assembler, and what is at fault is reported."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpfas.asm import Options, Reading, assemble, assemble_sources
from bpfas.diag import BpfasError, Source
from bpfas.elf.constants import ByteOrder, SectionFlag
from bpfas.elf.reader import read_object
from bpfas.elf.writer import write_object
from bpfas.loader import load
from tests.peers import Peer

every_order = pytest.mark.parametrize("order", ByteOrder)

FUNCTIONS = """\
first:
    .cfi_startproc
    r1 = 1
    .cfi_def_cfa_offset 16
    .cfi_offset 6, -8
    r2 = 2 ll
    .cfi_def_cfa 10, 24
    .cfi_rel_offset 7, 8
    .cfi_remember_state
    .fill 63, 8, 0
    .cfi_def_cfa_register 9
    .fill 64, 8, 0
    .cfi_adjust_cfa_offset 8
    .fill 255, 8, 0
    .cfi_offset 6, 12
    .cfi_offset 64, -12
    .fill 256, 8, 0
    .cfi_register 5, 100
    .fill 65535, 8, 0
    .cfi_restore 6
    .cfi_restore 64
    .fill 65536, 8, 0
    .cfi_restore_state
    .cfi_undefined 1
    .cfi_same_value 200
    r1 = 1
    .cfi_val_offset 3, -8
    .cfi_val_offset 3, 8
    .cfi_escape 0x2e, 16 , 0
    exit
    .cfi_endproc
second:
    .cfi_startproc simple
    .cfi_signal_frame
    exit
    .cfi_endproc
    .cfi_startproc
    .cfi_personality 0, handler
    .cfi_lsda 0x0b, table
    exit
    .cfi_endproc
    .cfi_startproc
    .cfi_personality 0x83, another
    .cfi_personality 0xff
    .cfi_lsda 3, table
    exit
    .cfi_endproc
    .cfi_startproc
    exit
    .cfi_endproc
    .section other,"ax"
    .cfi_startproc
    .cfi_personality 0x8c, another
    .cfi_lsda 0xff
    exit
    exit
    .cfi_undefined 3
    exit
    .cfi_endproc
    .data
    .long 0
table:
    .long 0
"""


def ours(text: str, version: int | None = None, order: ByteOrder = ByteOrder.LITTLE) -> bytes:
    options = Options(order, debug_version=version)
    return write_object(assemble_sources([Source("main.s", text)], "main.o", options).object_file)


def llvms(text: str, version: int, order: ByteOrder) -> bytes:
    triple = f"-triple=bpf{'el' if order is ByteOrder.LITTLE else 'eb'}"
    arguments = (triple, f"-dwarf-version={version}", "-filetype=obj", "-")
    return Peer.LLVM_MC.run(*arguments, stdin=text.encode()).output


def contents(obj: bytes, name: str) -> object:
    """What there is to compare of a section."""
    section = read_object(obj, "x.o").section(name)
    if section is None:
        return None
    places = [
        (place.r_offset, place.r_type, place.symbol.name or place.symbol.section.name)
        for place in section.relocations
    ]
    return bytes(section.data), section.sh_type, section.sh_flags, section.sh_addralign, places


SECTIONS = [".debug_frame", ".eh_frame"]


@pytest.mark.peer
@every_order
@pytest.mark.parametrize("wanted", [None, "", ".eh_frame", ".debug_frame", ".debug_frame, .eh_frame"])
def test_frames_are_llvms(order: ByteOrder, wanted: str | None) -> None:
    text = FUNCTIONS if wanted is None else f".cfi_sections {wanted}\n{FUNCTIONS}"
    mine, theirs = ours(text, order=order), llvms(text, 4, order)
    for name in SECTIONS:
        assert contents(mine, name) == contents(theirs, name)
    assert (contents(mine, ".eh_frame") is not None) == (wanted is None or ".eh_frame" in wanted)


@pytest.mark.peer
@every_order
@pytest.mark.parametrize("version", [2, 3, 4, 5])
def test_frames_of_every_version_are_llvms(order: ByteOrder, version: int) -> None:
    text = f".cfi_sections .debug_frame, .eh_frame\n{FUNCTIONS}"
    mine, theirs = ours(text, version, order), llvms(text, version, order)
    for name in SECTIONS:
        assert contents(mine, name) == contents(theirs, name)


@pytest.mark.peer
@every_order
def test_frames_come_behind_what_the_source_has_in_their_section(order: ByteOrder) -> None:
    text = (
        '.section .eh_frame,"a",@progbits\n.long 8\n.long 0\n.long 0\n.text\n'
        ".cfi_startproc\nexit\n.cfi_undefined 5\n.cfi_endproc\n"
    )
    assert contents(ours(text, order=order), ".eh_frame") == contents(llvms(text, 4, order), ".eh_frame")


REGISTERS = st.integers(0, 300)
OFFSETS = st.integers(-5000, 5000).map(lambda number: 4 * number)
INSTRUCTIONS = st.one_of(
    st.builds(".cfi_def_cfa {}, {}".format, REGISTERS, st.integers(0, 5000)),
    st.builds(".cfi_def_cfa_offset {}".format, st.integers(0, 5000).map(lambda number: 4 * number)),
    st.builds(".cfi_def_cfa_register {}".format, REGISTERS),
    st.builds(".cfi_offset {}, {}".format, REGISTERS, OFFSETS),
    st.builds(".cfi_val_offset {}, {}".format, REGISTERS, OFFSETS),
    st.builds(".cfi_register {}, {}".format, REGISTERS, REGISTERS),
    st.builds(".cfi_restore {}".format, REGISTERS),
    st.builds(".cfi_undefined {}".format, REGISTERS),
    st.builds(".cfi_same_value {}".format, REGISTERS),
    st.builds(".fill {}, 8, 0".format, st.integers(0, 70000)),
    st.just("exit"),
    st.just(".cfi_remember_state\n.cfi_undefined 7\n.cfi_restore_state"),
    st.builds(".cfi_endproc\n.cfi_startproc {}".format, st.sampled_from(("", "simple"))),
    st.just(".cfi_signal_frame"),
)


@pytest.mark.peer
@given(lines=st.lists(INSTRUCTIONS, max_size=20), order=st.sampled_from(ByteOrder))
def test_any_frames_are_llvms(lines: list[str], order: ByteOrder) -> None:
    body = "\n".join(lines)
    text = f".cfi_sections .debug_frame, .eh_frame\n.cfi_startproc\n{body}\n.cfi_endproc\n"
    mine, theirs = ours(text, order=order), llvms(text, 4, order)
    for name in SECTIONS:
        assert contents(mine, name) == contents(theirs, name)


def dumped(text: str) -> str:
    return Peer.LLVM_DWARFDUMP.run("--eh-frame", "-", stdin=ours(text)).text


@pytest.mark.peer
def test_the_offset_of_the_frame_address_is_restored_with_the_state() -> None:
    text = """\
.cfi_startproc
.cfi_def_cfa 10, 16
.cfi_remember_state
.cfi_def_cfa_offset 32
.cfi_restore_state
.cfi_adjust_cfa_offset 8
.cfi_rel_offset 6, 8
.cfi_endproc
"""
    shown = dumped(text)
    assert "DW_CFA_def_cfa_offset: +24" in shown
    assert "DW_CFA_offset: W6 -16" in shown


@pytest.mark.peer
def test_the_frame_address_may_be_below_its_register() -> None:
    shown = dumped(".cfi_startproc\n.cfi_def_cfa 10, -8\n.cfi_def_cfa_offset -16\nexit\n.cfi_endproc\n")
    assert "DW_CFA_def_cfa_sf: W10 -8" in shown
    assert "DW_CFA_def_cfa_offset_sf: -16" in shown


@pytest.mark.peer
def test_return_columns_have_entries_of_their_own() -> None:
    functions = (f".cfi_startproc\n.cfi_return_column {column}\nexit\n.cfi_endproc\n" for column in (3, 5, 3))
    obj = ours(f".cfi_sections .debug_frame, .eh_frame\n{''.join(functions)}")
    shown = Peer.LLVM_DWARFDUMP.run("--eh-frame", "--debug-frame", "-", stdin=obj).text
    assert [line.split()[-1] for line in shown.splitlines() if "Return address column" in line] == [*"3535"]


@pytest.mark.peer
@pytest.mark.parametrize("reading", Reading)
def test_places_are_those_after_the_layout(reading: Reading) -> None:
    text = """\
.cfi_startproc
    if r1 == 0 goto far
    .cfi_undefined 1
    .p2align 5
    .cfi_undefined 2
    .fill 40000, 8, 0
far:
    exit
    .cfi_endproc
"""
    obj = write_object(assemble(text, reading=reading))
    shown = Peer.LLVM_DWARFDUMP.run("--eh-frame", "-", stdin=obj).text
    assert "pc=00000000...0004e228" in shown
    assert "DW_CFA_advance_loc: 24 to 0x18" in shown
    assert "DW_CFA_advance_loc: 8 to 0x20" in shown


WRONG = [
    (".cfi_endproc", "1:1: error: .cfi_endproc without a .cfi_startproc"),
    (".cfi_undefined 1", "1:1: error: .cfi_undefined without a .cfi_startproc"),
    (".cfi_startproc", "1:1: error: .cfi_startproc has no .cfi_endproc"),
    (
        ".text 1\n.cfi_startproc\n.text\n.cfi_endproc\nexit",
        "4:1: error: .cfi_startproc was in subsection 1, which lies behind 0",
    ),
    (".cfi_startproc again", "1:16: error: .cfi_startproc can only have the argument `simple`"),
    (".cfi_sections .sframe", "1:15: error: `.sframe` is neither .debug_frame nor .eh_frame"),
    (".cfi_startproc\n.data\n.cfi_endproc", "3:1: error: .cfi_startproc was in section `.text`, not in `.data`"),
    *(
        (f".cfi_startproc\n{line}\n.cfi_endproc", f"{line.count(chr(10)) + 2}:{message}")
        for line, message in (
            (".cfi_startproc", "1: error: .cfi_startproc before the .cfi_endproc of the last one"),
            (".cfi_def_cfa 1", "1: error: .cfi_def_cfa takes 2 arguments, not 1"),
            (".cfi_offset -1, 4", "13: error: the register is -1, not one of 0 to"),
            (".cfi_offset 6, -17", "16: error: the offset -17 is not a multiple of 4"),
            (".cfi_restore_state", "1: error: there is no .cfi_remember_state to go back to"),
            (".cfi_return_column 256", "20: error: the return column is 256, not one of 0 to 255"),
            (".cfi_escape 1, 300", "16: error: the byte is 300, not one of 0 to 255"),
            (".cfi_personality 0x1b, f", "18: error: no BPF relocation can make the encoding 0x1b"),
            (".cfi_personality 0", "1: error: .cfi_personality takes 2 arguments, not 1"),
            (".cfi_lsda 0xff, f", "1: error: .cfi_lsda takes 1 argument, not 2"),
            (".cfi_personality 2, f", "21: error: no BPF relocation can put the address of `f` here"),
            (".cfi_lsda 0, .Lnowhere", "14: error: label `.Lnowhere` is not defined"),
            (".byte 1\n.cfi_undefined 1", "1: error: this is 1 bytes behind"),
        )
    ),
]


@pytest.mark.parametrize(("text", "message"), WRONG)
def test_what_is_wrong_is_said_at_the_directive(text: str, message: str) -> None:
    with pytest.raises(BpfasError) as raised:
        assemble(f"{text}\n", "x.s")
    (said,) = str(raised.value).split("\nx.s:")
    assert said.startswith(f"x.s:{message}")


@pytest.mark.kernel
def test_the_kernel_loads_code_with_frames() -> None:
    text = """\
.section xdp, "ax"
.globl pass
.type pass, @function
pass:
    .cfi_startproc
    r0 = 2
    .cfi_undefined 1
    exit
    .cfi_endproc
.size pass, . - pass
"""
    obj = read_object(ours(text), "main.o")
    section = obj.section(".eh_frame")
    assert section
    assert section.sh_flags == SectionFlag.ALLOC
    with load(obj) as collection:
        assert list(collection.programs) == ["pass"]
