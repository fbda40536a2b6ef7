"""Data: floating-point numbers, strings, wide numbers and files, by themselves and beside the peers."""

from __future__ import annotations

import math
import random
import struct
from fractions import Fraction
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpfas.asm import assemble
from bpfas.asm.assembler import assemble_sources
from bpfas.asm.floating_point import DOUBLE, SINGLE, FloatFormat, parse_float
from bpfas.asm.options import Options
from bpfas.diag import BpfasError, Source
from bpfas.elf.reader import read_object
from tests.peers import Peer

if TYPE_CHECKING:
    from pathlib import Path


def data(statements: str) -> bytes:
    section = assemble(f".data\n{statements}\n").section(".data")
    assert section
    return bytes(section.data)


def double_bits(text: str) -> int:
    return DOUBLE.bits(parse_float(text)[1])


@given(st.floats(min_value=0, allow_infinity=False), st.integers(1, 25))
def test_doubles_are_as_python_has_them(number: float, digits: int) -> None:
    for text in (repr(number), f"{number:.{digits}e}", f"{number:.{digits}f}", number.hex()):
        expected = float.fromhex(text) if "x" in text else float(text)
        assert double_bits(text) == int.from_bytes(struct.pack(">d", expected)), text


@given(st.floats(min_value=0, width=32, allow_infinity=False))
def test_every_single_comes_back(number: float) -> None:
    assert data(f".float {number!r}") == struct.pack("<f", number)


@given(st.integers(0, DOUBLE.infinity - 1), st.sampled_from([SINGLE, DOUBLE]))
def test_halves_are_rounded_to_even(bits: int, form: FloatFormat) -> None:
    bits %= form.infinity - 1
    low, high = (_number(form, value) for value in (bits, bits + 1))
    middle = (low + high) / 2
    assert form.bits(middle) == bits + bits % 2
    nudge = (high - low) / 1000
    assert form.bits(middle - nudge) == bits
    assert form.bits(middle + nudge) == bits + 1


def _number(form: FloatFormat, bits: int) -> Fraction:
    letter = ">f" if form is SINGLE else ">d"
    (number,) = struct.unpack(letter, bits.to_bytes(form.width))
    return Fraction(number)


def test_a_single_is_rounded_once() -> None:
    # Rounded to 53 bits first, this is the middle between two singles, and the wrong one is even.
    assert data(".float 1.00000017881393432617187499") == struct.pack("<I", 0x3F800001)


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        (".double 1e400, -1e400", struct.pack("<2d", math.inf, -math.inf)),
        (".double 1e-400, -1e-400", struct.pack("<2d", 0.0, -0.0)),
        (".double 1e999999999999, 1e-999999999999", struct.pack("<2d", math.inf, 0.0)),
        (
            ".double 00e-999999999999, 0.0e999999999999, -0, -0.0",
            struct.pack("<4d", 0, 0, -0.0, -0.0),
        ),
        (".float 3.4028236e38", struct.pack("<f", math.inf)),
        (".float 3.4028235677973366e38", bytes.fromhex("ffff7f7f")),
        (".float nan, -nan, snan, qnan", bytes.fromhex("ffffff7fffffffffffffbf7fffffff7f")),
        (".float 0f-1.5, 0d-1.5, 0d1.5e1, 0r15, 0e15", struct.pack("<5f", -1.5, -1.5, 15, 15, 15)),
    ],
)
def test_special_numbers(statement: str, expected: bytes) -> None:
    assert data(statement) == expected


def warnings(statement: str) -> list[str]:
    assembled = assemble_sources([Source("x.s", f".data\n{statement}\n")], "x.s", Options())
    return [warning.render().splitlines()[0] for warning in assembled.warnings]


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        (
            ".double 1.5, -1e400",
            "x.s:2:14: warning: 1e400 becomes infinite; 64 bits hold 4.9407e-324 to 1.7977e+308",
        ),
        (".float 1e-46", "x.s:2:8: warning: 1e-46 becomes zero; 32 bits hold 1.4013e-45 to 3.4028e+38"),
        (".zero 2, 256", "x.s:2:10: warning: the fill value 256 does not fit in 8 bits (-128 to 255); 0 is taken"),
        (
            ".p2alignw 2, 65537",
            "x.s:2:14: warning: the fill value 65537 does not fit in 16 bits (-32768 to 65535)",
        ),
        (".ds.l 1, -0x80000001", "x.s:2:10: warning: the fill value -2147483649 does not fit in 32 bits"),
        (".fill 1, 9, 1", "x.s:2:10: warning: the size 9 is taken for 8"),
        (".fill 1, 8, -1", "x.s:2:13: warning: of the value -1 only the low 32 bits are taken"),
    ],
)
def test_what_is_not_what_was_written_is_warned_of(statement: str, expected: str) -> None:
    (message,) = warnings(statement)
    assert message.startswith(expected)


@pytest.mark.parametrize(
    "statement", [".fill 2, 4, -1", ".zero 1, -1", ".double inf, 0, 0.0e5", ".fill 1, 1, 256"]
)
def test_what_is_usual_is_not_warned_of(statement: str) -> None:
    assert warnings(statement) == []


def test_bytes_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "f.bin").write_bytes(b"0123456789")
    source = tmp_path / "x.s"

    def included(arguments: str) -> bytes:
        text = f'.data\n.incbin "f.bin"{arguments}\n'
        assembled = assemble_sources([Source(str(source), text)], "x.s", Options())
        assert assembled.dependencies == [str(tmp_path / "f.bin")]
        section = assembled.object_file.section(".data")
        return bytes(section.data) if section else b""

    assert included("") == b"0123456789"
    assert included(", 2") == b"23456789"
    assert included(", 2, 3") == b"234"
    assert included(",, 3") == b"012"
    assert included(", 10") == included(", 2, 0") == b""
    for arguments, message in [
        (", 11", "the bytes to skip, 11, must be 0 to 10: so many the file has"),
        (", -1", "the bytes to skip, -1, cannot be negative"),
        (", 2, 9", "the count, 9, must be 0 to 8"),
        (", 2, x", "the count must be a number that is known here"),
    ]:
        with pytest.raises(BpfasError, match=message):
            included(arguments)


def peer_data(peer: Peer, text: str, tmp_path: Path) -> bytes:
    """What a peer makes of data statements."""
    source, output = tmp_path / "x.s", tmp_path / "x.o"
    source.write_text(f".data\n{text}\n")
    options = ["-EL"] if peer is Peer.GNU_AS else ["-triple=bpfel", "-filetype=obj"]
    peer.run(*options, source, "-o", output)
    section = read_object(output.read_bytes(), "x.o").section(".data")
    assert section
    return bytes(section.data)


def _numbers(count: int) -> list[str]:
    choose = random.Random(7)  # noqa: S311
    numbers = []
    for _ in range(count):
        bits = choose.getrandbits(63) % DOUBLE.infinity
        (number,) = struct.unpack("<d", struct.pack("<Q", bits))
        if choose.random() < 0.5:
            number = choose.uniform(0, 10 ** choose.randrange(-40, 39))
        numbers.append(choose.choice([f"{number!r}", f"{number:.{choose.randrange(1, 25)}e}", f"-{number:.6e}"]))
    return numbers


@pytest.mark.peer
def test_llvm_gives_the_same_floating_point_numbers(tmp_path: Path) -> None:
    numbers = [*_numbers(1500), "inf", "-inf", "nan", "-nan", "Infinity", "0", "-0", "1.", ".5", "1e400", "1e-400"]
    numbers += [f"0x{n:x}.{n * 7919:x}p{n * 37 - 1100}" for n in range(60)]
    numbers += [
        "9007199254740993",
        "16777217",
        "16777219",
        "4.9e-324",
        "2.5e-324",
        "2.4e-324",
        "3.4028235677973366e38",
    ]
    for name in (".double", ".float"):
        text = "\n".join(f"{name} {number}" for number in numbers)
        assert data(text) == peer_data(Peer.LLVM_MC, text, tmp_path)


@pytest.mark.peer
def test_gnu_as_gives_the_same_floating_point_numbers(tmp_path: Path) -> None:
    # Numbers that need rounding GNU as does not always give the nearest of.
    choose = random.Random(8)  # noqa: S311
    numbers = [f"{choose.randrange(1 << 24) / (1 << choose.randrange(12))}" for _ in range(300)]
    numbers += [f"{choose.randrange(1, 1 << 20)}e{choose.randrange(2)}" for _ in range(300)]
    numbers += [
        "inf",
        "-inf",
        "nan",
        "-nan",
        "snan",
        "qnan",
        "0f1.5",
        "0d1e2",
        "0E1.5",
        "0e15",
        "0r2",
        "0f-1.5",
        "-0",
    ]
    numbers += ["0e-1", "0d-1.5", "010", ".5", "1.", "+1", "+.5"]
    for name in (".double", ".float", ".single", ".dc.d", ".dc.s", ".dcb.d 2,", ".dcb.s 2,"):
        text = "\n".join(f"{name} {number}" for number in numbers)
        assert data(text) == peer_data(Peer.GNU_AS, text, tmp_path)


BOTH = [
    ".octa 1, 0x123456789abcdef0fedcba9876543210, 0xffffffffffffffffffffffffffffffff, 'a'",
    ".quad 0xffffffffffffffff, -1, 9223372036854775807",
    ".dc 1\n.dc.b 2\n.dc.w 3\n.dc.l 4\n.dc.a 5",
    ".dcb 2, 1\n.dcb.b 3, 2\n.dcb.w 1, -3\n.dcb.l 2, 4\n.dcb.b 0, 1",
    ".ds 1\n.ds.b 1\n.ds.w 1\n.ds.l 1\n.ds.s 1\n.ds.d 1\n.ds.x 1\n.ds.p 1",
    ".zero 3\n.zero 2, 5\n.skip 3\n.skip 2, 7\n.space 4, -1",
    ".fill 3\n.fill 2, 2\n.fill 2, 3, 0x12345678\n.fill 1, 8, -1\n.fill 1, 8, 0x1122334455\n.fill 1, 0, 5",
    ".byte 1\n.org 7\n.byte 2\n.org 9, 3\n.byte 4",
    r'.ascii "a\\b\n\t\r\f\b\"\101\377\0", "\x41\x7f"',
    '.asciz "a", "b"\n.string "c"\n.string ""\n.ascii ""',
    ".byte 1\n.balign 4\n.byte 2\n.p2align 3, 9\n.byte 3\n.p2align 4,,3\n.byte 4\n.p2align 2,,3\n.byte 5",
    ".byte 1\n.balign 8, 1, 6\n.byte 2\n.balign 8, 1, 7\n.byte 3\n.balign 0\n.p2align 0\n.byte 4",
    ".long 1\n.balignw 8, 0x102\n.byte 1, 1\n.p2alignw 2, 0x304\n.balignl 8, 0x1020304\n.long 5\n.p2alignl 3, -2",
    ".uleb128 0, 127, 128, 0xffffffffffffffff, -1, ~0\n.sleb128 0, -1, 63, 64, -64, -65, 0x7fffffffffffffff",
    "1: .uleb128 2f-1b, 1b-2f\n.sleb128 1b-2f, 2f-1b\n.zero 100\n2:",
]

GNU_ONLY = [
    ".byte 1\n. = 12\n.byte 5",
    ".octa -1, -0x123456789abcdef0123456789abcdef0, 1 + 2",
    "1: .byte 1\n2: .octa 2b - 1b",
    ".dcb.b 2\n.dcb.l 1\n.dcb.d 1",
    ".ds 1, 2\n.ds.b 2, 1\n.ds.w 2, 1\n.ds.l 1, 0x12345678\n.ds.s 1, 5\n.ds.d 1, 5",
    ".byte 1\n.p2align 2,,0\n.byte 2\n.p2align 3, 5, 0\n.byte 3\n.p2align 2,,\n.byte 4\n.p2align 2, 7,\n.byte 5",
    ".half 1\n.hword 2\n.word 3\n.dword 4\n.int 5\n.2byte 6\n.4byte 7\n.8byte 8",
    ".uleb128 0x123456789abcdef0123456789abcdef0\n.sleb128 0x123456789abcdef0123456789abcdef0",
    ".sleb128 -0x123456789abcdef0123456789abcdef0, 0x8000000000000000, 0xffffffffffffffff, -0x10000000000000000",
    '.string8 "ab"\n.string16 "ab", "c"\n.string32 "a" "b"\n.string64 "a"\n.string16 "\\xff\\377\\n"',
    r'.ascii "\a\e\v\X41\x414\x\q\8\18\189\400\1234\'"',
    '.ascii <65>"b"<66>, <0x43>\n.string "a"<66>, "b"\n.string16 <65>"b"',
    ".nop\n.byte 'a', 'b, '\\n, '\\'', '\"', '''",
]

LLVM_ONLY = [
    '.base64 "YWJj", "YWI=", "YQ==", "YWK="',
    ".value 1, -1",
    ".sleb128 -0x8000000000000000, 0x7fffffffffffffff",
]


@pytest.mark.peer
@pytest.mark.parametrize("text", BOTH + GNU_ONLY)
def test_gnu_as_gives_the_same_data(text: str, tmp_path: Path) -> None:
    theirs, ours = peer_data(Peer.GNU_AS, text, tmp_path), data(text)
    # GNU as pads sections to their alignment.
    assert theirs[: len(ours)] == ours
    assert not any(theirs[len(ours) :])


@pytest.mark.peer
@pytest.mark.parametrize("text", BOTH + LLVM_ONLY)
def test_llvm_gives_the_same_data(text: str, tmp_path: Path) -> None:
    assert peer_data(Peer.LLVM_MC, text, tmp_path) == data(text)


def test_of_an_enormous_file_only_a_part_is_read(tmp_path: Path) -> None:
    with (tmp_path / "huge.bin").open("wb") as file:
        file.truncate(1 << 40)
    huge = tmp_path / "huge.bin"
    section = assemble(f'.data\n.incbin "{huge}", 1 << 39, 4\n').section(".data")
    assert section is not None
    assert section.data == bytes(4)
    for arguments in (f'"{huge}", 0, 1 << 31', '"/dev/zero"'):
        with pytest.raises(BpfasError, match=r"would get \d+ more bytes|gives more than \d+ bytes"):
            assemble(f".data\n.incbin {arguments}\n")
