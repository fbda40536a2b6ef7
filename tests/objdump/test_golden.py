"""What the disassembly looks like: golden listings of sources, in both dialects; they assemble to the same object.

`x.s` is assembled and disassembled to `x.normal.d` and `x.pseudoc.d`; --update-golden writes these anew.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bpfas.asm import assemble
from bpfas.elf.constants import ByteOrder
from bpfas.isa import Dialect
from bpfas.objdump.disassemble import disassemble
from tests.objdump.compare import assert_same_object

if TYPE_CHECKING:
    from collections.abc import Callable

SOURCES = sorted((Path(__file__).parent / "golden").glob("*.s"))


@pytest.mark.parametrize("dialect", Dialect)
@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_listing(source: Path, dialect: Dialect, golden: Callable[[Path, str], None]) -> None:
    lines = disassemble(assemble(source.read_text(), f"{source.stem}.o"), dialect)
    golden(source.with_suffix(f".{dialect.value}.d"), "".join(f"{line}\n" for line in lines))


@pytest.mark.parametrize("order", ByteOrder)
@pytest.mark.parametrize("dialect", Dialect)
@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_the_whole_listing_assembles_to_the_same_object(source: Path, dialect: Dialect, order: ByteOrder) -> None:
    obj = assemble(source.read_text(), byte_order=order)
    lines = disassemble(obj, dialect, everything=True)
    assert_same_object(assemble("".join(f"{line}\n" for line in lines), byte_order=order), obj)
