"""The ways to read a source (plainly, by shapes, in batches) give the same object or errors, byte for byte."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given

from bpfas.asm import batch
from bpfas.asm.assembler import BATCH_THRESHOLD, Reading, assemble
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
        pytest.param("goto .L1\n.L1: .byte 1\n.text\ngoto .L1\n", id="dots before labels and directives"),
        pytest.param("0: (b7) r1 = 5\n1: (18) r1 = 6\n3: (bf) r1 = 7\nr1 = 8\n", id="opcodes that choose the row"),
        pytest.param("12: (07) r1 += 5\n1: (07) r1 += 6\n7: (7) r1 += 7\n", id="an opcode has two digits"),
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
