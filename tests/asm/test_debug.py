"""Line tables that are written by hand; those of compilers are compared in test_compilers."""

from __future__ import annotations

import pytest

from bpfas.asm import Reading, assemble
from bpfas.asm.line_table import advance, end_sequence
from bpfas.elf.constants import ByteOrder
from bpfas.elf.writer import write_object
from bpfas.leb128 import signed_leb128
from tests.peers import Peer

LOCATIONS = """\
    .file 0 "/source" "main.s" md5 0x000102030405060708090a0b0c0d0e0f
    .file 1 "/source/include" "lib.s" md5 0xf00102030405060708090a0b0c0d0e0f
    .text
    .loc 0 1 0
start:
    r1 = 1
    .loc 0 2 7 prologue_end
    r2 = 2
    r3 = 3
    .loc 1 900 2 basic_block discriminator 5 is_stmt 0
    r4 = 5 ll
    .loc 1 901 3
    .loc 1 880 3 isa 2 epilogue_begin is_stmt 1
    r5 = 5
    .fill 4000, 8, 0
    .loc 1 881 3
    exit
    .section other,"ax"
    .loc 0 70 1
    exit
"""


@pytest.mark.peer
@pytest.mark.parametrize("order", ByteOrder)
@pytest.mark.parametrize("reading", [Reading.SHAPES, Reading.BATCHES])
def test_the_line_table_is_llvms(order: ByteOrder, reading: Reading) -> None:
    target = f"-triple=bpf{'el' if order is ByteOrder.LITTLE else 'eb'}"
    theirs = Peer.LLVM_MC.run(target, "-filetype=obj", "-", "-o", "-", stdin=LOCATIONS.encode()).output
    ours = write_object(assemble(LOCATIONS, byte_order=order, reading=reading))
    assert lines(ours) == lines(theirs)
    assert b"lib.s" in lines(ours)


def lines(obj: bytes) -> bytes:
    """What LLVM reads in the line table of an object, opcode by opcode."""
    shown = Peer.LLVM_DWARFDUMP.run("--debug-line", "-v", "-", stdin=obj)
    assert not shown.errors
    return shown.output.partition(b"debug_line[")[2]


@pytest.mark.parametrize("line_delta", [-200, -6, -5, 0, 1, 8, 9, 200])
@pytest.mark.parametrize("instructions", [0, 1, 16, 17, 18, 33, 34, 35, 4000])
def test_advancing_does_what_it_says(line_delta: int, instructions: int) -> None:
    assert run(advance(line_delta, 8 * instructions)) == (line_delta, instructions, True)
    assert run(end_sequence(8 * instructions)[:-3]) == (0, instructions, False)


def run(program: bytes) -> tuple[int, int, bool]:
    """A line number program's effect (DWARF 5 §6.2.5): lines, instructions, and whether a row was appended."""
    lines = address = at = 0
    is_appended = False
    while at < len(program):
        opcode, at = program[at], at + 1
        if opcode in (2, 3):
            value, at = leb128(program, at, is_signed=opcode == 3)
            lines, address = (lines + value, address) if opcode == 3 else (lines, address + value)
        elif opcode == 8:
            address += (255 - 13) // 14
        else:
            assert not is_appended
            is_appended = True
            if opcode != 1:
                lines, address = lines - 5 + (opcode - 13) % 14, address + (opcode - 13) // 14
    return lines, address, is_appended


def leb128(data: bytes, at: int, *, is_signed: bool) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte, at = data[at], at + 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return (value - (1 << shift) if is_signed and byte & 0x40 else value), at


@pytest.mark.parametrize("number", [0, 1, -1, 63, 64, -64, -65, 127, 128, 1 << 40, -(1 << 63), (1 << 63) - 1])
def test_signed_leb128_reads_back(number: int) -> None:
    encoded = signed_leb128(number)
    assert leb128(encoded, 0, is_signed=True) == (number, len(encoded))
