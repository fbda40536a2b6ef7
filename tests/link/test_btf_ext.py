"""Records of functions, lines and CO-RE of several objects, as one `.BTF.ext`."""

from __future__ import annotations

from array import array

import pytest

from bpfas.btf.ext import BtfExt, Records, read_btf_ext, write_btf_ext
from bpfas.btf.kinds import Kind, Linkage
from bpfas.btf.merge import merge
from bpfas.btf.reader import read_btf
from bpfas.elf.constants import ByteOrder, SymbolBinding, SymbolType
from bpfas.link.linker import link
from bpfas.link.options import LinkOptions
from bpfas.objfile import ObjectFile, Section, Symbol
from tests.link.builders import EXIT, code, link_errors, obj, section_of


def described(name: str, function: str, order: ByteOrder, record_size: int = 8) -> ObjectFile:
    """An object with a function of two instructions, its type and its record."""
    text = code(".text", EXIT, EXIT)
    symbol = Symbol(function, text, 0, 16, SymbolBinding.GLOBAL, SymbolType.FUNC)
    made = obj(name, text, symbol, order=order)
    types = merge([], [])
    prototype = types.add_func_proto(types.add_int("int", 4, is_signed=True), [])
    func = types.add_func(function, prototype, Linkage.GLOBAL)
    record = array("I", (0, func, *([7] * (record_size // 4 - 2))))
    ext = write_btf_ext(BtfExt({".text": Records(record_size, record)}, {}, {}), order, types.string)
    made.sections += [Section(".BTF", data=types.write(order)), Section(".BTF.ext", data=ext)]
    return made


@pytest.mark.parametrize("order", ByteOrder)
def test_records_move_with_their_code(order: ByteOrder) -> None:
    linked = link([described("a.o", "f", order), described("b.o", "g", order)])
    btf = read_btf(bytes(section_of(linked, ".BTF").data), order, "linked.o")
    ext = read_btf_ext(bytes(section_of(linked, ".BTF.ext").data), order, btf, "linked.o")
    _, words = ext.func_info[".text"]
    assert list(zip(words[::2], map(btf.name, words[1::2]), strict=True)) == [(0, "f"), (16, "g")]


def test_words_of_longer_records_are_kept() -> None:
    order = ByteOrder.LITTLE
    linked = link([described("a.o", "f", order, 12), described("b.o", "g", order, 12)])
    btf = read_btf(bytes(section_of(linked, ".BTF").data), order, "linked.o")
    ext = read_btf_ext(bytes(section_of(linked, ".BTF.ext").data), order, btf, "linked.o")
    assert ext.func_info[".text"].record_size == 12
    assert ext.func_info[".text"].words[2::3].tolist() == [7, 7]


def test_records_of_two_sizes_are_an_error_that_names_both_objects() -> None:
    order = ByteOrder.LITTLE
    assert link_errors(described("a.o", "f", order), described("b.o", "g", order, 12)) == (
        "b.o:(.BTF.ext): error: func_info has records of 12 bytes here, of 8 in a.o; "
        "compile both with one compiler"
    )


def test_the_type_of_a_function_that_nobody_uses_goes_with_it() -> None:
    order = ByteOrder.LITTLE
    objects = [described("a.o", "f", order), described("b.o", "g", order)]
    linked = link(objects, options=LinkOptions(gc_functions=True, roots=("g",)))
    btf = read_btf(bytes(section_of(linked, ".BTF").data), order, "linked.o")
    assert [btf.name(func) for func in btf.ids_of_kind(Kind.FUNC)] == ["g"]
    assert [symbol.name for symbol in linked.symbols] == ["g"]
