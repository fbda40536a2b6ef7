"""`.BTF.ext` is read as it is meant, written so that it reads the same, and what is wrong with it is told."""

from __future__ import annotations

import contextlib
import struct
from array import array
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpfas.btf.ext import BtfExt, Records, read_btf_ext, write_btf_ext
from bpfas.diag import BpfasError
from bpfas.elf.constants import ByteOrder
from tests.btf.builders import Types
from tests.strategies import byte_orders

if TYPE_CHECKING:
    from bpfas.btf.btf import Btf

TYPES = Types()
TYPES.func("f", TYPES.prototype(0, ()))
SECTION, FILE = TYPES.text("xdp"), TYPES.text("a.c")


def types(order: ByteOrder = ByteOrder.LITTLE) -> Btf:
    return TYPES.read("a.o", order)


def table(record_size: int, *blocks: tuple[int, int, list[int]]) -> list[int]:
    """A table's words: of each block, its section's name, its count and all words of its records."""
    return [record_size, *(word for name, count, words in blocks for word in (name, count, *words))]


def section(*tables: list[int], order: ByteOrder = ByteOrder.LITTLE, header_size: int = 32) -> bytes:
    places = []
    offset = 0
    for words in tables:
        places += [offset, 4 * len(words)]
        offset += 4 * len(words)
    fields = header_size // 4 - 2
    head = (places + [0] * fields)[:fields]
    words = [word for of_table in tables for word in of_table]
    return struct.pack(f"{order.value}HBBI{fields + len(words)}I", 0xEB9F, 1, 0, header_size, *head, *words)


FUNCS = table(8, (SECTION, 1, [0, 2]))
LINES = table(16, (SECTION, 2, [0, FILE, 0, 1 << 10, 8, FILE, 0, 2 << 10 | 5]))
RELOCATIONS = table(16, (SECTION, 1, [8, 1, FILE, 0]))


def strings(order: ByteOrder = ByteOrder.LITTLE) -> dict[str, int]:
    btf = types(order)
    return {text.decode(): offset for text, offset in TYPES.texts.items() if btf.string(offset) == text.decode()}


@pytest.mark.parametrize("order", ByteOrder)
def test_records_of_all_tables_are_read_and_written_again(order: ByteOrder) -> None:
    data = section(FUNCS, LINES, RELOCATIONS, order=order)
    ext = read_btf_ext(data, order, types(order), "a.o")
    assert ext.func_info == {"xdp": Records(8, array("I", [0, 2]))}
    assert ext.line_info["xdp"].words[4:] == array("I", [8, FILE, 0, 2 << 10 | 5])
    assert ext.core_relo["xdp"].record_size == 16
    assert write_btf_ext(ext, order, strings(order).__getitem__) == data


def test_a_short_header_has_no_relocations() -> None:
    ext = read_btf_ext(section(FUNCS, LINES, header_size=24), ByteOrder.LITTLE, types(), "a.o")
    assert list(ext.line_info) == ["xdp"]
    assert ext.core_relo == {}


def test_blocks_of_one_section_are_joined_and_empty_ones_not_written() -> None:
    data = section(table(8, (SECTION, 1, [0, 2]), (SECTION, 1, [8, 2])), [], [])
    ext = read_btf_ext(data, ByteOrder.LITTLE, types(), "a.o")
    assert ext.func_info["xdp"].words == array("I", [0, 2, 8, 2])
    empty = BtfExt({"xdp": Records(8, array("I"))}, {}, {})
    assert write_btf_ext(empty, ByteOrder.LITTLE, strings().__getitem__) == section([], [], [])


def test_longer_records_are_kept_whole() -> None:
    data = section(table(12, (SECTION, 1, [0, 2, 77])))
    ext = read_btf_ext(data, ByteOrder.LITTLE, types(), "a.o")
    assert ext.func_info["xdp"] == Records(12, array("I", [0, 2, 77]))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "has 0 bytes, but its header alone has 24"),
        (b"\x9f\xeb" + bytes(30), "is of version 0 with flags 0x0"),
        (bytes(32), "begins with 0x0000, where BTF has 0xeb9f"),
        (section(header_size=24)[:4] + b"\x80\0\0\0" + bytes(16), "says that its header has 128 bytes"),
        (
            section(header_size=32)[:4] + b"\x24\0\0\0" + bytes(27) + b"\1\0",
            "of which those behind 32 mean nothing",
        ),
        (section([8])[:32], "func_info reaches from 0x0 over 0x4 bytes, but behind the header there are only 0x0"),
        (section([8]), "func_info: has 4 bytes, which"),
        (
            section(table(4, (SECTION, 1, [0]))),
            "func_info: has records of 4 bytes; 8 are needed, in multiples of 4",
        ),
        (section(table(10, (SECTION, 1, [0, 2, 0]))), "func_info: has records of 10 bytes; 8 are needed"),
        (section(table(8, (SECTION, 0, []))), "func_info: has a block without records at 0x4"),
        (section(table(8, (SECTION, 2, [0, 2]))), "has a block at 0x4 with 2 records, but room for 1"),
        (section([*FUNCS, SECTION]), "func_info: ends within the head of a block, at 0x14"),
        (section(table(8, (0, 1, [0, 2]))), "whose section has no name"),
        (section(table(8, (999, 1, [0, 2]))), "whose section has no name"),
        (section(table(8, (SECTION, 1, [0, 7]))), "section xdp, record 0: is of type 7, but there are 2 types"),
        (section(table(8, (SECTION, 1, [0, 1]))), "is of type 1, which is a FUNC_PROTO and not a FUNC"),
        (
            section([], table(16, (SECTION, 1, [0, 999, 0, 0]))),
            "line_info: section xdp, record 0: string 0x3e7 lies",
        ),
        (section([], [], table(16, (SECTION, 1, [0, 9, 0, 0]))), "core_relo: section xdp, record 0: is of type 9"),
    ],
)
def test_what_is_wrong_is_told(data: bytes, message: str) -> None:
    with pytest.raises(BpfasError, match=rf"a\.o:\(\.BTF\.ext\): error: .*{message}"):
        read_btf_ext(data, ByteOrder.LITTLE, types(), "a.o")


def test_not_more_than_some_errors_are_told() -> None:
    data = section(table(8, (SECTION, 60, [0, 9] * 60)))
    with pytest.raises(BpfasError) as caught:
        read_btf_ext(data, ByteOrder.LITTLE, types(), "a.o")
    assert len(caught.value.diagnostics) == 20


def test_records_of_different_sizes_cannot_be_written() -> None:
    ext = BtfExt({"a": Records(8, array("I", [0, 2])), "b": Records(12, array("I", [0, 2, 0]))}, {}, {})
    with pytest.raises(BpfasError, match="records of func_info in section b have 12 bytes, in others 8"):
        write_btf_ext(ext, ByteOrder.LITTLE, lambda _: 1)


@given(st.data(), byte_orders)
def test_damaged_contents_are_read_or_told(data: st.DataObject, order: ByteOrder) -> None:
    contents = bytearray(section(FUNCS, LINES, RELOCATIONS, order=order))
    for _ in range(data.draw(st.integers(0, 3))):
        contents[data.draw(st.integers(0, len(contents) - 1))] = data.draw(st.integers(0, 255))
    length = data.draw(st.integers(0, len(contents)))
    with contextlib.suppress(BpfasError):
        ext = read_btf_ext(bytes(contents[:length]), order, types(order), "a.o")
        again = write_btf_ext(ext, order, {**strings(order), "": 0}.get)  # type: ignore[arg-type]
        assert read_btf_ext(again, order, types(order), "a.o") == ext
