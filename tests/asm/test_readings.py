"""The ways to read a source (plainly, by shapes, in batches) give the same object or errors, byte for byte."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given

from bpfas.asm import batch
from bpfas.asm.assembler import BATCH_THRESHOLD, assemble
from bpfas.asm.list_template import list_template
from bpfas.asm.options import Reading
from bpfas.asm.parser import parse_plain
from bpfas.asm.shape import SLOT_MARK, split_shape
from bpfas.asm.source import statement_places
from bpfas.diag import BpfasError
from bpfas.elf.constants import ByteOrder
from bpfas.elf.writer import write_object
from tests.asm.sources import sources
from tests.strategies import byte_orders

if TYPE_CHECKING:
    from collections.abc import Iterator


def outcome(text: str, order: ByteOrder, reading: Reading) -> bytes | str:
    """The object's bytes, or all that is reported."""
    try:
        return write_object(assemble(text, byte_order=order, reading=reading))
    except BpfasError as error:
        return str(error)


def check(text: str, order: ByteOrder = ByteOrder.LITTLE) -> None:
    plain = outcome(text, order, Reading.PLAIN)
    assert outcome(text, order, Reading.SHAPES) == plain
    assert outcome(text, order, Reading.BATCHES) == plain


@pytest.fixture(params=[1, 40, 1 << 21], scope="module")
def chunk_size(request: pytest.FixtureRequest) -> Iterator[int]:
    """Batches of one line, of a few lines, and of whole sources."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batch, "CHUNK_SIZE", request.param)
        patch.setattr(batch, "LEARNS_FROM_SECOND_LINE", False)
        yield request.param


@given(sources(), byte_orders)
@pytest.mark.usefixtures("chunk_size")
def test_any_source(text: str, order: ByteOrder) -> None:
    check(text, order)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('.ascii "a"\n.ascii \1"\n', id="a control character and an open quote are no string"),
        pytest.param(".byte 'a'\n.byte \1'\n", id="a control character and a quote are no character"),
        pytest.param("1:\n0x1f:\n", id="a hexadecimal number is no numeric label"),
        pytest.param("1:\n0B1:\n", id="a binary number is no numeric label"),
        pytest.param("r0 = bswap16 r0\nr0 = bswap16 r01\n", id="two registers, one with a leading zero"),
        pytest.param("r7 = bswap16 r7\nr7 = bswap16 r8\n", id="two registers that must be one"),
        pytest.param("add32 %r1, 1\nadd7 %r1, 1\nadd64 %r1, 1\n", id="mnemonics that differ in digits"),
        pytest.param("call add7\ncall add32\nadd7: exit\n", id="a symbol like a mnemonic"),
        pytest.param("r1 = le16 r1\nr1 = le7 r1\nr1 = le64 r1\n", id="only some widths exist"),
        pytest.param("endle %r1, 16\nendle %r1, 0x10\nendle %r1, 17\n", id="operands that choose the row"),
        pytest.param("goto a\n.set a, 5\ngoto a\n.set a, 6\ngoto a\n", id="a symbol set again after a use"),
        pytest.param("x1: exit\nx2:\nx1:\nx01:\n", id="labels of one outline, one of them twice"),
        pytest.param("goto 1b\n1:\ngoto 1b\ngoto 1f\ngoto 01f\n", id="numeric labels that are not there"),
        pytest.param("exit\n.bss\n.text\nexit\n.bss\nexit\n", id="instructions in .bss"),
        pytest.param("r1 = 1\r\n\tr2  =  2 \r\n x9:\r\n", id="carriage returns and blanks"),
        pytest.param("r1 = 4611686018427387904 ll\nr1 = 18446744073709551615 ll\nr1 = 1 ll\n", id="wide numbers"),
        pytest.param("x = 1\ny == x + 1\nr1 = y\nx = 2\nr1 = y\n.quad y\n", id="a value found at each use"),
        pytest.param("y == x\ncall y\n.globl x\nx: exit\ncall y\n", id="a function found at each use"),
        pytest.param(".weakref x1, a\ncall x1\n.quad x1\nx2: call x2\nx1:\n", id="a weak reference"),
        pytest.param("x1: call y1\n.symver x1, a@@V\n.symver y1, b@V\ncall y1\n.quad x1\n", id="versions"),
        pytest.param('"a b": exit\n"c d":\n"a b":\ncall "c d"\ncall "c;d"\ncall a\n', id="names in quotes"),
        pytest.param('r1 = "a" ll\nr2 = %map("b c") ll\nr3 = %map("d") ll\n', id="maps with names in quotes"),
        pytest.param(
            "call z1\n.addrsig\n.addrsig_sym a1\na1: call z0\n.data\n.quad a2\na2:\n", id="symbols in order"
        ),
        pytest.param('.section x,"axG",@progbits,g,comdat\na1: exit\n.text\ncall a1\ncall g\n', id="a group"),
        pytest.param('.section .text,"ax",@progbits,unique,1\na1: exit\n.text\ncall a1\n', id="a unique section"),
        pytest.param("goto .L1\n.L1: .byte 1\n.text\ngoto .L1\n", id="dots before labels and directives"),
        pytest.param("f1: exit\n1$: goto 1$\nf2: exit\n1$: goto 1$\nf3: exit\ngoto 1$\n1$:\n", id="dollar labels"),
        pytest.param("0: (b7) r1 = 5\n1: (18) r1 = 6\n3: (bf) r1 = 7\nr1 = 8\n", id="opcodes that choose the row"),
        pytest.param("12: (07) r1 += 5\n1: (07) r1 += 6\n7: (7) r1 += 7\n", id="an opcode has two digits"),
        pytest.param(".1:\n1.5:\nexit\n", id="a floating-point number is no label, though a dot and digits are"),
        pytest.param(".1:\n0f1:\nexit\n", id="nor is one with a prefix"),
        pytest.param("0.5:\n.1:\n0.1:\nexit\n", id="nor in another order"),
        pytest.param(".1 = 5\n1.5 = 6\n", id="a floating-point number is no name"),
        pytest.param(".double .5, 1.5\n.5: .double 1.5, .5\n", id="a dot and digits are a number in an operand"),
        pytest.param("r1 = " + "1" * 5000, id="a number with thousands of digits"),
    ],
)
@pytest.mark.usefixtures("chunk_size")
def test_lines_of_one_outline_and_different_meaning(text: str) -> None:
    for order in ByteOrder:
        check(text, order)


def test_a_large_source_is_read_as_a_small_one() -> None:
    """The default reading takes batches for a large source; all its lines count."""
    text = "".join(f"x{i}:\n\tr1 = {i}\n\tif r1 != {i} goto x{i * 7 % 3000}\n" for i in range(6500))
    assert len(text) > BATCH_THRESHOLD
    assert outcome(text, ByteOrder.LITTLE, Reading.BEST) == outcome(text, ByteOrder.LITTLE, Reading.SHAPES)


@pytest.mark.parametrize(
    "text",
    [
        ".byte 1, -2, +3, 0x1f, 0b101, 017, 'a', '\\n, x, .L1",
        ".byte -1,- 2,\t+ 0x3 ,-'a',-x",
        "a: 1: .LONG 1",
        "a:.4byte 1,2 ",
        '.ascii "a", "b\\"c"',
        ".double 1.5, -.5, 0x1p3, 0e15, inf",
        ".byte'a'",
        ".type x, STT_FUNC",
        ".p2align 3",
    ],
)
def test_a_plain_list_needs_no_lark_and_is_what_lark_makes_of_it(text: str) -> None:
    shape, texts = split_shape(text)
    parsed = parse_plain(text)
    assert list_template(shape) == parsed.template
    assert texts == parsed.texts


@pytest.mark.parametrize(
    "text",
    [
        ".byte",
        ".byte 1,",
        ".byte 1 2",
        ".byte 1+2",
        ".byte (1)",
        ".byte -(1)",
        ".byte - -1",
        ".byte ~1",
        ".byte 1b",
        ".section 5",
        ".PUSHSECTION x",
        ".byte r1",
        ".byte exit",
        "x = 1",
        ".4byt 1",
        ".5 1",
        "exit: .byte 1",
        "mov x",
        '.ascii "a" "b"',
        '.ascii -"a"',
        ".p2align 2,,1",
        ".type x, @function",
        '.ascii <1>"a"',
        ".byte 12abc",
    ],
)
def test_what_is_no_plain_list_is_left_to_lark(text: str) -> None:
    assert list_template(split_shape(text)[0]) is None


@given(sources(1))
def test_a_list_without_lark_is_a_list_with_it(text: str) -> None:
    for first, last in statement_places(text, 0, len(text)):
        statement = text[first:last]
        shape, texts = split_shape(statement)
        if SLOT_MARK not in statement and (template := list_template(shape)) is not None:
            parsed = parse_plain(statement)
            assert (template, texts) == (parsed.template, parsed.texts)


def test_long_lists_are_read_as_short_ones() -> None:
    numbers = [str(number % 300 - 40) for number in range(3000)]
    long, short = (f".data\n.short {sep.join(numbers)}\n" for sep in (", ", "\n.short "))
    assert outcome(long, ByteOrder.LITTLE, Reading.BEST) == outcome(short, ByteOrder.LITTLE, Reading.PLAIN)
    with pytest.raises(BpfasError) as raised:
        assemble(long.replace(".short", ".byte"))
    wrong = [number for number in numbers if not -128 <= int(number) <= 255]
    assert [diagnostic.message.split()[0] for diagnostic in raised.value.diagnostics] == wrong


@pytest.mark.parametrize(
    "text",
    [
        '.file 1 "a"\n.file 2 "b"\n.loc 1 0b1\nexit\n.loc 1 0b12\nexit\n',
        ".short 0b1\n.short 0b12\n",
        ".p2align 0f1\n.p2align 1f1\n",
        "x = 5\n.macro x\n exit\n.endm\nx = 6\n x == 7\n",
        '.file 1 "a"\n.LOC_MARK_LABELS 1\n.loc 1 1\nexit\nx: exit\ny: exit\n',
        "x == 1f+4\n1: exit\n",
    ],
)
@pytest.mark.usefixtures("chunk_size")
def test_numbers_and_names_that_look_alike(text: str) -> None:
    check(text)
