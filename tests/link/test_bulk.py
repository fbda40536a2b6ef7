"""Tables of very many relocations: whole columns at a time come to what one by one come to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bpfas.diag import BpfasError
from bpfas.elf.constants import ByteOrder, SymbolBinding, SymbolType
from bpfas.elf.reader import read_object
from bpfas.elf.writer import write_object
from bpfas.link import relocate
from bpfas.link.linker import link
from bpfas.objfile import ObjectFile, Relocation, RelocationTable, Section, Symbol
from bpfas.reloc import RelocationNumber
from tests.elf.strategies import essence
from tests.link.builders import ABS32, ABS64, EXIT, code, data, glob, obj, section_of, section_symbol

if TYPE_CHECKING:
    from collections.abc import Sequence

NODYLD32 = RelocationNumber.R_BPF_64_NODYLD32


def debug(name: str, contents: bytes = b"", merged: bool = False) -> Section:
    return Section(name, sh_flags=0x30 if merged else 0, sh_entsize=1 if merged else 0, data=contents)


@st.composite
def described(draw: st.DrawFn) -> list[ObjectFile]:
    """Objects with debugging information of strings, data, and functions of which some are left out."""
    order = draw(st.sampled_from(ByteOrder))
    objects = []
    for number in range(draw(st.integers(1, 3))):
        text = code(".text", EXIT * 6)
        strings = debug(
            ".debug_str", b"".join(b"%d\0" % n for n in draw(st.lists(st.integers(0, 12)))), merged=True
        )
        values = data(contents=bytes(8))
        sizes = [16, 8, 24]
        functions = [
            Symbol(
                name,
                text,
                start,
                size,
                draw(st.sampled_from([SymbolBinding.LOCAL, SymbolBinding.WEAK])),
                SymbolType.FUNC,
            )
            for name, start, size in zip("fgh", (0, 16, 24), sizes, strict=True)
        ]
        name = draw(st.sampled_from([".debug_info", ".debug_ranges", "notes"]))
        info = debug(name)
        symbols = [section_symbol(home) for home in (text, strings, values)]
        symbols += [*functions, glob(f"value{number}", values, 4)]
        has_addends = draw(st.booleans())
        contents = bytearray()
        for _ in range(draw(st.integers(0, 12))):
            symbol = draw(st.sampled_from(symbols))
            r_type = draw(st.sampled_from([ABS32, ABS64, NODYLD32]))
            assert isinstance(symbol.section, Section)
            addend = draw(st.integers(0, symbol.section.sh_size))
            size = 8 if r_type == ABS64 else 4
            info.relocations.append(Relocation(len(contents), r_type, symbol, addend if has_addends else None))
            contents += (0 if has_addends else addend).to_bytes(size, order.name_for_int)
        info.data = bytes(contents)
        objects.append(obj(f"{number}.o", text, strings, values, info, *symbols, order=order))
    return objects


def read_back(objects: Sequence[ObjectFile]) -> list[ObjectFile]:
    return [read_object(write_object(item), item.name) for item in objects]


@given(described())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_columns_come_to_what_single_relocations_come_to(
    monkeypatch: pytest.MonkeyPatch, objects: list[ObjectFile]
) -> None:
    monkeypatch.setattr(relocate, "_MANY", 1 << 30)
    one_by_one = link(read_back(objects), "app.o")
    monkeypatch.setattr(relocate, "_MANY", 0)
    in_bulk = link(read_back(objects), "app.o")
    assert essence(in_bulk) == essence(one_by_one)


def test_a_value_that_a_word_cannot_hold_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relocate, "_MANY", 0)
    home = Section(".bss", 8, 3, 8, nobits_size=1 << 31)
    info = debug(".debug_info", bytes(4))
    info.relocations = [Relocation(0, ABS32, section_symbol(home), 8)]
    before = Section(".bss", 8, 3, 8, nobits_size=(1 << 31) - 8)
    with pytest.raises(BpfasError, match=r"R_BPF_64_ABS32 addend 2147483648 is not in the range -2147483648 to"):
        link(read_back([obj("a.o", before), obj("b.o", home, info)]))


def test_what_is_left_of_a_table_is_a_table() -> None:
    strings = debug(".debug_str", b"".join(b"%d\0" % number for number in range(100)), merged=True)
    offsets = debug(".debug_str_offsets", bytes(4 * 30_000))
    offsets.relocations = [Relocation(4 * n, ABS32, section_symbol(strings), None) for n in range(30_000)]
    linked = link(read_back([obj("a.o", strings, offsets)]))
    table = section_of(linked, ".debug_str_offsets").relocation_table
    assert isinstance(table, RelocationTable)
    assert len(table) == 30_000
