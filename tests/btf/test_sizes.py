"""Sizes and alignments of types."""

from __future__ import annotations

from bpfas.btf.kinds import Kind
from bpfas.btf.sizes import alignment_of, pointer_size_of, size_of
from tests.btf.builders import Types


def test_sizes_of_what_has_a_size() -> None:
    types = Types()
    short = types.integer("short", 2)
    typedef = types.typedef("u16", types.refer(Kind.CONST, short))
    pointer = types.pointer(typedef)
    matrix = types.array(types.array(typedef, short, 3), short, 5)
    pointers = types.array(pointer, short, 7)
    flexible = types.array(short, short, 0)
    struct = types.struct("pair", 4, [("a", short, 0), ("b", short, 16)])
    btf = types.read()
    sizes = {short: 2, typedef: 2, pointer: 8, matrix: 30, pointers: 56, flexible: 0, struct: 4}
    assert {type_id: size_of(btf, type_id) for type_id in sizes} == sizes
    assert size_of(btf, pointers, pointer_size=4) == 28


def test_void_functions_and_forwards_have_no_size() -> None:
    types = Types()
    forward = types.forward("later")
    typedef = types.typedef("later_t", forward)
    proto = types.prototype(0, [])
    btf = types.read()
    assert [size_of(btf, type_id) for type_id in (0, forward, typedef, proto)] == [None] * 4
    assert [alignment_of(btf, type_id) for type_id in (0, forward, typedef, proto)] == [None] * 4


def test_alignment_is_that_of_the_widest_member_unless_packed() -> None:
    types = Types()
    char = types.integer("char", 1)
    integer = types.integer()
    wide = types.integer("__int128", 16)
    inner = types.struct("inner", 8, [("a", integer, 0), ("b", integer, 32)])
    outer = types.struct("outer", 12, [("c", char, 0), ("inner", inner, 32)])
    packed = types.struct("packed", 9, [("c", char, 0), ("inner", inner, 8)])
    short_end = types.struct("short_end", 6, [("a", integer, 0), ("c", char, 32)])
    array = types.array(outer, integer, 3)
    btf = types.read()
    alignments = {char: 1, integer: 4, wide: 8, inner: 4, outer: 4, packed: 1, short_end: 1, array: 4}
    assert {type_id: alignment_of(btf, type_id) for type_id in alignments} == alignments


def test_bit_fields_do_not_make_a_struct_packed() -> None:
    types = Types()
    integer = types.integer()
    fields = types.struct("fields", 4, [("a", integer, 3 << 24), ("b", integer, 5 << 24 | 3)], kflag=True)
    assert alignment_of(types.read(), fields) == 4


def test_pointers_are_as_wide_as_long() -> None:
    for name, size in (("long unsigned int", 4), ("long", 8), ("unsigned long", 4)):
        types = Types()
        types.integer("long long int", 8)
        types.integer(name, size)
        assert pointer_size_of(types.read()) == size
    types = Types()
    types.integer()
    assert pointer_size_of(types.read()) == 8
