"""Line tables that are written by hand; those of compilers are compared in test_compilers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from bpfas.asm import Options, Reading, assemble, assemble_sources
from bpfas.asm.line_table import advance, end_sequence
from bpfas.diag import BpfasError, Source
from bpfas.elf.constants import ByteOrder
from bpfas.elf.reader import read_object
from bpfas.elf.writer import write_object
from bpfas.leb128 import signed_leb128
from tests.peers import Peer

if TYPE_CHECKING:
    from pathlib import Path

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


OLD_LOCATIONS = LOCATIONS.replace(".loc 0", ".loc 1").partition("\n")[2]
"""The same without file 0, which only version 5 has."""


@pytest.mark.peer
@pytest.mark.parametrize("order", ByteOrder)
@pytest.mark.parametrize("version", [2, 3, 4, 5])
def test_the_version_asked_for_is_that_of_the_line_table(version: int, order: ByteOrder) -> None:
    target = f"-triple=bpf{'el' if order is ByteOrder.LITTLE else 'eb'}"
    theirs = Peer.LLVM_MC.run(
        target, f"-dwarf-version={version}", "-filetype=obj", "-", stdin=OLD_LOCATIONS.encode()
    ).output
    options = Options(order, debug_version=version)
    ours = write_object(assemble_sources([Source("main.s", OLD_LOCATIONS)], "main.o", options).object_file)
    assert lines(ours) == lines(theirs)


FILES = [
    '.file 0 "main.s"\n.file 1 "sub/lib.s"\n',
    '.file 0 "/d" "main.s" source "exit\\n"\n.file 1 "/d/e" "a.s"\n.file 2 "/d" "b.s" source ""\n',
    '.file 0 "/d" "main.s" md5 0x15 source "exit"\n.file 1 "a.s" source "r1 = 1" md5 0x16\n',
    '.file 2 "/d" "main.s"\n.file 1 "/d" "other.s"\n.file 3 "/e" "main.s"\n',
]


@pytest.mark.peer
@pytest.mark.parametrize("order", ByteOrder)
@pytest.mark.parametrize("files", FILES)
def test_files_are_llvms(files: str, order: ByteOrder) -> None:
    text = f"{files}.loc 1\n    exit\n"
    target = f"-triple=bpf{'el' if order is ByteOrder.LITTLE else 'eb'}"
    theirs = Peer.LLVM_MC.run(target, "-filetype=obj", "-", stdin=text.encode()).output
    ours = write_object(assemble(text, byte_order=order))
    assert lines(ours) == lines(theirs)
    for name in (".debug_line", ".debug_line_str"):
        mine, other = (read_object(obj, "x.o").section(name) for obj in (ours, theirs))
        assert bytes(mine.data if mine else b"") == bytes(other.data if other else b"")


def test_an_md5_that_only_some_files_have_is_warned_of_once() -> None:
    text = '.file 0 "/d" "main.s" md5 0x15\n.file 1 "a.s"\n.file 2 "b.s"\n.loc 1 1\nexit\n'
    assembled = assemble_sources([Source("main.s", text)], "main.o", Options())
    assert [warning.render().partition("\n")[0] for warning in assembled.warnings] == [
        "main.s:2:1: warning: only some files have an MD5, so the line table will hold none"
    ]


ODD = """\
.file 1 "main.c"
.loc 1 1 1
mov %r1, 1
.byte 1, 2, 3
.loc 1 3 1
mov %r1, 1
.loc 1 300 1
mov %r2, 1
.byte 4, 5
.loc 1 4 1
mov %r2, 1
.fill 70001, 1, 0
.loc 1 5 1
mov %r2, 2
"""


@pytest.mark.peer
@pytest.mark.parametrize("order", ByteOrder)
@pytest.mark.parametrize("reading", [Reading.SHAPES, Reading.BATCHES])
def test_rows_behind_odd_data_are_exact_as_gnus(order: ByteOrder, reading: Reading, tmp_path: Path) -> None:
    (tmp_path / "odd.s").write_text(ODD)
    Peer.GNU_AS.run("-EL" if order is ByteOrder.LITTLE else "-EB", tmp_path / "odd.s", "-o", tmp_path / "gnu.o")
    ours = write_object(assemble(ODD, byte_order=order, reading=reading))
    assert places(ours) == places((tmp_path / "gnu.o").read_bytes())
    assert len(places(ours)) == 6


def places(obj: bytes) -> list[tuple[str, ...]]:
    """Address, line, and the flags of all rows."""
    shown = Peer.LLVM_DWARFDUMP.run("--debug-line", "-", stdin=obj).text
    rows = re.findall(r"^(0x[0-9a-f]{16}) +(\d+) +\d+ +\d+ +\d+ +\d+(?: +0)? +([a-z_ ]*)$", shown, re.MULTILINE)
    return [tuple(part.strip() for part in row) for row in rows]


VIEWS = """\
.file 1 "main.c"
.loc 1 1
mov %r0, 1
.loc 1 2 view .LVU1
.loc 1 3 view .LVU2
.loc 1 3 view .LVU3
mov %r0, 1
.loc 1 4 view 0
.p2align 3
.loc 1 5 view .LVU4
.p2align 6
.loc 1 6 view .LVU5
.loc 1 6 view -0
mov %r0, 1
.data
.byte .LVU1, .LVU2, .LVU3, .LVU4, .LVU5
"""


@pytest.mark.peer
def test_views_are_numbered_as_gnu_numbers_them(tmp_path: Path) -> None:
    (tmp_path / "views.s").write_text(VIEWS)
    Peer.GNU_AS.run(tmp_path / "views.s", "-o", tmp_path / "gnu.o")
    theirs = (tmp_path / "gnu.o").read_bytes()
    ours = write_object(assemble(VIEWS))
    for obj in (ours, theirs):
        data = read_object(obj, "x.o").section(".data")
        assert data
        assert bytes(data.data[:5]) == bytes((0, 1, 2, 1, 0))
    assert places(ours) == places(theirs)


def test_views_know_what_becomes_longer_behind_them() -> None:
    text = """\
.file 1 "main.c"
exit
.loc 1 2 view .L1
.skip later - before
.loc 1 3 view .L2
exit
.data
before: .skip %s
later: .byte .L1, .L2
"""
    for size, view in ((0, 1), (8, 0)):
        data = assemble(text % size).section(".data")
        assert data
        assert bytes(data.data[size:]) == bytes((0, view))


LABELS = """\
.file 1 "main.c"
before: mov %r0, 0
.loc 1 1 discriminator 3
mov %r0, 1
.loc_mark_labels 1
first: mov %r0, 2
.loc 1 7
second: mov %r0, 3
5:
.data
.long 5
elsewhere:
.text
.loc_mark_labels 0
third: exit
"""


@pytest.mark.peer
@pytest.mark.parametrize("reading", [Reading.PLAIN, Reading.SHAPES, Reading.BATCHES])
def test_marked_labels_are_gnus(reading: Reading, tmp_path: Path) -> None:
    (tmp_path / "labels.s").write_text(LABELS)
    Peer.GNU_AS.run(tmp_path / "labels.s", "-o", tmp_path / "gnu.o")
    ours = places(write_object(assemble(LABELS, reading=reading)))
    assert ours == places((tmp_path / "gnu.o").read_bytes())
    assert [row[2] for row in ours].count("is_stmt basic_block") == 3


WRONG = [
    (".file 1", "1:1: error: .file is written"),
    ('.file 1 "a" md5', "1:13: error: after the file's name"),
    ('.file 1 "a" md5 0x123456789012345678901234567890123', "1:17: error: an MD5 is a number"),
    ('.file 1 "a" source 5', "1:13: error: after the file's name"),
    ('.file 1 "a" source "a\\0b"', "1:20: error: a source cannot have a zero"),
    ('.file 1 "a"\n.file 1 "a"\n.file 1 "b"', "3:7: error: file 1 is `a` already"),
    ('.file 1 "a"\n.file 4000000000 "b"\n.loc 1 1\nexit', "2:1: error: there is no .file 2,"),
    (".loc 1 1", "1:6: error: there is no .file 1 before"),
    ('.file 1 "a"\n.loc', "2:1: error: .loc needs a file's number"),
    ('.file 1 "a"\n.loc -1 1', "2:6: error: -1 is negative"),
    ('.file 1 "a"\n.loc 1 1 1 1', "2:12: error: a name is needed"),
    ('.file 1 "a"\n.loc 1 1 isa', "2:10: error: `isa` needs a number"),
    ('.file 1 "a"\n.loc 1 1 isa -1', "2:14: error: -1 is negative"),
    ('.file 1 "a"\n.loc 1 1 is_stmt 2', "2:18: error: `is_stmt` is 0 or 1, not 2"),
    ('.file 1 "a"\n.loc 1 1 prologue', "2:10: error: .loc does not know `prologue`"),
    ('.file 1 "a"\n.loc 1 1 view 3', "2:15: error: a view is a symbol"),
    ('.file 1 "a"\n.loc 1 1\n.loc 1 1 view 0', "3:15: error: the view is 1,"),
    (".loc_mark_labels 2", "1:18: error: the argument of .loc_mark_labels is 0 or 1, not 2"),
    ('.line "x"', "1:7: error: the line must be a number"),
    (".linefile 5", "1:1: error: .linefile is written"),
]


@pytest.mark.parametrize(("text", "message"), WRONG)
def test_what_is_wrong_is_said_where_it_stands(text: str, message: str) -> None:
    with pytest.raises(BpfasError) as raised:
        assemble(f"{text}\n", "x.s")
    (said,) = str(raised.value).split("\nx.s:")
    assert said.startswith(f"x.s:{message}")


def lines(obj: bytes) -> bytes:
    """What LLVM reads in the line table of an object, opcode by opcode."""
    shown = Peer.LLVM_DWARFDUMP.run("--debug-line", "-v", "-", stdin=obj)
    assert not shown.errors
    return shown.output.partition(b"debug_line[")[2]


@pytest.mark.parametrize("line_delta", [-200, -6, -5, 0, 1, 8, 9, 200])
@pytest.mark.parametrize("instructions", [0, 1, 16, 17, 18, 33, 34, 35, 4000, 8191, 8192, 100_000])
@pytest.mark.parametrize("odd_bytes", [0, 1, 7])
@pytest.mark.parametrize("order", ByteOrder)
def test_advancing_does_what_it_says(line_delta: int, instructions: int, odd_bytes: int, order: ByteOrder) -> None:
    forward = 8 * instructions + odd_bytes
    assert run(advance(line_delta, forward, order), order) == (line_delta, forward, True)
    assert run(end_sequence(forward, order)[:-3], order) == (0, forward, False)


def run(program: bytes, order: ByteOrder) -> tuple[int, int, bool]:
    """A line number program's effect (DWARF 5 §6.2.5): lines, bytes forward, and whether a row was appended."""
    lines = address = at = 0
    is_appended = False
    while at < len(program):
        opcode, at = program[at], at + 1
        if opcode in (2, 3):
            value, at = leb128(program, at, is_signed=opcode == 3)
            lines, address = (lines + value, address) if opcode == 3 else (lines, address + 8 * value)
        elif opcode == 8:
            address += (255 - 13) // 14 * 8
        elif opcode == 9:
            address += int.from_bytes(program[at : at + 2], order.name_for_int)
            at += 2
        else:
            assert not is_appended
            is_appended = True
            if opcode != 1:
                lines, address = lines - 5 + (opcode - 13) % 14, address + (opcode - 13) // 14 * 8
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
