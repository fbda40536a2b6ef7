"""Reading of .BTF.ext: what is wrong with it is said."""

from __future__ import annotations

import struct

import pytest

from bpfas.btf.ext import read_btf_ext
from bpfas.btf.merge import merge
from bpfas.btf.reader import read_btf
from bpfas.diag import BpfasError
from bpfas.elf.constants import ByteOrder


@pytest.mark.parametrize(("table", "record_size"), [("func_info", 8), ("line_info", 16), ("core_relo", 16)])
def test_a_block_without_records_is_an_error(table: str, record_size: int) -> None:
    merged = merge([], [])
    merged.add_int("int", 4)
    section_name = merged.string(".text")
    btf = read_btf(merged.write(ByteOrder.LITTLE), ByteOrder.LITTLE, "a.o")
    places = {name: (0, 12 if name == table else 0) for name in ("func_info", "line_info", "core_relo")}
    header = struct.pack("<HBBI6I", 0xEB9F, 1, 0, 32, *(word for place in places.values() for word in place))
    data = header + struct.pack("<3I", record_size, section_name, 0)
    with pytest.raises(BpfasError, match=rf"a.o:\(.BTF.ext\): error: {table}: has a block without records at 0x4"):
        read_btf_ext(data, ByteOrder.LITTLE, btf, "a.o")
