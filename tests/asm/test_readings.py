"""The ways to read a source (plainly, by shapes, in batches) give the same object or the same errors, byte for byte."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpfas.asm import batch
from bpfas.asm.assembler import Reading, assemble
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
