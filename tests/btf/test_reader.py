"""What is read of a `.BTF`, and what is said of one that is damaged or makes no sense."""

from __future__ import annotations

import contextlib
import struct
import tracemalloc
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpfas.btf import reader
from bpfas.btf.kinds import Kind, Linkage, info_word
from bpfas.btf.reader import read_all, read_btf
from bpfas.diag import BpfasError
from bpfas.elf.constants import ByteOrder
from tests.btf.builders import Types, listing, section
from tests.btf.strategies import types
from tests.strategies import byte_orders

if TYPE_CHECKING:
    from collections.abc import Callable

    from bpfas.btf.btf import Btf


def one_of_each() -> Types:
    made = Types()
    number = made.integer()
    union = made.struct("u", 4, [("a", number, 0), ("b", number, 0)], Kind.UNION)
    struct_ = made.struct("s", 8, [("bits", number, 3 << 24 | 1), ("u", union, 32)], kflag=True)
    made.enum("e", [("MINUS", -1)], kflag=True)
    made.enum64("e64", [("BIG", 1 << 40)])
    made.forward("f", is_union=True)
    made.typedef("t", struct_)
    for kind in (Kind.VOLATILE, Kind.CONST, Kind.RESTRICT):
        made.refer(kind, number)
    made.refer(Kind.TYPE_TAG, number, "tag")
    made.array(number, number, 3)
    prototype = made.prototype(number, [("p", made.pointer(0)), ("", 0)])
    function = made.func("fn", prototype, Linkage.EXTERN)
    variable = made.var("v", number, Linkage.STATIC)
    made.floating("double", 8)
    made.tag("whole", struct_)
    made.tag("part", function, 0)
    made.datasec(".data", [(variable, 4, 4), (function, 0, 0)], 8)
    return made


def ways_to_read(data: bytes, order: ByteOrder = ByteOrder.LITTLE) -> list[Btf]:
    """The result of both implementations, which must be the same, as what is raised must."""
    results: list[Btf] = []
    errors = []
    for column_bytes in (1 << 62, 0):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(reader, "COLUMN_BYTES", column_bytes)
            try:
                results.append(read_btf(data, order, "a.o"))
                errors.append("")
            except BpfasError as error:
                errors.append(str(error))
    assert errors[0] == errors[1]
    if errors[0]:
        raise BpfasError.of(errors[0])
    left, right = results
    for part in ("words", "starts", "kinds", "strings"):
        assert getattr(left, part) == getattr(right, part)
    return results


@pytest.mark.parametrize("order", ByteOrder)
def test_every_kind_is_read(order: ByteOrder) -> None:
    for btf in ways_to_read(one_of_each().data(order), order):
        assert btf.order is order
        assert len(btf) == 20
        assert listing(btf) == [
            "1 INT int 4",
            "2 UNION u 4 {a:1@0/0 b:1@0/0}",
            "3 STRUCT s 8 {bits:1@1/3 u:2@32/0}",
            "4 ENUM e 4 MINUS=-1",
            "5 ENUM64 e64 8 BIG=1099511627776",
            "6 FWD f union",
            "7 TYPEDEF t 3",
            "8 VOLATILE - 1",
            "9 CONST - 1",
            "10 RESTRICT - 1",
            "11 TYPE_TAG tag 1",
            "12 ARRAY - 1[3] by 1",
            "13 PTR - 0",
            "14 FUNC_PROTO - 1 (p:13 :0)",
            "15 FUNC fn 14 EXTERN",
            "16 VAR v 1 STATIC",
            "17 FLOAT double 8",
            "18 DECL_TAG whole 3 -1",
            "19 DECL_TAG part 15 0",
            "20 DATASEC .data 16@4+4 15@0+0",
        ]
        assert btf.ids_of_kind(Kind.DECL_TAG) == [18, 19]
        assert btf.encoding(1) == (True, False, False, 0, 32)
        assert btf.kind(0) is Kind.VOID
        assert btf.name(0) == ""


def test_a_table_of_kinds_in_the_header_is_skipped() -> None:
    made = one_of_each()
    strings = made.strings
    types_ = struct.pack(f"<{len(made.words)}I", *made.words)
    layout = bytes(80)
    header = struct.pack(
        "<HBBIIIIIII", 0xEB9F, 1, 0, 32, 0, len(types_), len(types_) + 80, len(strings), len(types_), 80
    )
    for btf in ways_to_read(header + types_ + layout + strings):
        assert len(btf) == 20


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", r"a\.o:\(\.BTF\): error: has 0 bytes, but its header alone has 24"),
        (b"\x7fELF" + bytes(40), "begins with 0x457f; in the object's byte order BTF begins with 0xeb9f"),
        (one_of_each().data(ByteOrder.BIG), "begins with 0x9feb"),
        (b"\x9f\xeb\2" + one_of_each().data()[3:], "is of version 2 with flags 0x0"),
        (b"\x9f\xeb\1\1" + one_of_each().data()[4:], "is of version 1 with flags 0x1"),
        (struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 20, 0, 0, 0, 1) + b"\0", "gives 20 bytes as its header's size"),
        (struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 99, 0, 0, 0, 1) + b"\0", "gives 99 bytes as its header's size"),
        (struct.pack("<HBBIIIIII", 0xEB9F, 1, 0, 28, 0, 0, 0, 1, 7) + b"\0", "a header of 28 bytes with values"),
        (struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, 8, 8, 1) + b"\0", "types reach from 0x0 over 0x8 bytes"),
        (struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, 0, 0, 2) + b"\0", "strings reach from 0x0 over 0x2 bytes"),
        (
            struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 2, 12, 16, 1) + bytes(17),
            "types reach from 0x2 over 0xc bytes; both must be multiples of 4",
        ),
        (
            struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, 12, 8, 1) + bytes(17),
            "strings begin at 0x8, before",
        ),
        (section(b"", b""), "strings must begin and end with a zero byte"),
        (section(b"", b"\0a"), "strings must begin and end with a zero byte"),
        (section(b"", b"a\0"), "strings must begin and end with a zero byte"),
    ],
)
def test_a_bad_header_is_told(data: bytes, message: str) -> None:
    with pytest.raises(BpfasError, match=message):
        ways_to_read(data)


def _bad(make: Callable[[Types], object]) -> bytes:
    made = Types()
    made.integer()
    make(made)
    return made.data()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda t: t.pointer(9), r"type 2 \(PTR\) refers to type 9, but the last one is 2"),
        (
            lambda t: t.struct("s", 4, [("m", 1, 0), ("n", 7, 0)]),
            r"type 2 \(STRUCT s\) member 1 refers to type 7, but the last one is 2",
        ),
        (lambda t: t.words.extend((99, info_word(Kind.PTR), 0)), r"type 2 \(PTR\) has its name at 0x63, outside"),
        (lambda t: t.add("", info_word(Kind.TYPEDEF), 1), r"type 2 \(TYPEDEF\) has no name"),
        (lambda t: t.add("v", info_word(Kind.VAR), 1, 3), r"type 2 \(VAR v\) has linkage 3"),
        (lambda t: t.func("f", 1), r"type 2 \(FUNC f\) has type 1 \(INT int\) for its prototype"),
        (lambda t: t.func("f", t.prototype(0, ()), 5), r"type 3 \(FUNC f\) has linkage 5"),
        (
            lambda t: t.pointer(t.var("v", 1)),
            r"type 3 \(PTR\) refers to type 2 \(VAR v\), which cannot be",
        ),
        (lambda t: t.array(0, 1, 1), r"type 2 \(ARRAY\) has elements of type void"),
        (lambda t: t.array(1, 0, 1), r"type 2 \(ARRAY\) is indexed by type void"),
        (lambda t: t.struct("s", 4, [("m", 0, 0)]), r"type 2 \(STRUCT s\) member 0 m is of type void"),
        (
            lambda t: t.struct("s", 4, [("m", 1, 33)]),
            r"type 2 \(STRUCT s\) member 0 m reaches from bit 33 to 33, but there are 32",
        ),
        (
            lambda t: t.struct("s", 4, [("m", 1, 4 << 24 | 30)], Kind.UNION, kflag=True),
            r"type 2 \(UNION s\) member 0 m reaches from bit 30 to 34, but there are 32",
        ),
        (lambda t: t.integer("i", 3), r"type 2 \(INT i\) has a size of 3 bytes; integers have 1, 2, 4, 8 or 16"),
        (
            lambda t: t.add("i", info_word(Kind.INT), 4, 33),
            r"type 2 \(INT i\) has 33 bits from bit 0 on in 4 b",
        ),
        (lambda t: t.floating("f", 5), r"type 2 \(FLOAT f\) has a size of 5 bytes instead of 2, 4, 8, 12 or 16"),
        (lambda t: t.enum("e", [("A", 1)], 3), r"type 2 \(ENUM e\) has a size of 3 bytes"),
        (lambda t: t.prototype(0, [("a", 0), ("b", 1)]), r"type 2 \(FUNC_PROTO\) parameter 0 a is of type void"),
        (lambda t: t.prototype(0, [("c", 0)]), r"type 2 \(FUNC_PROTO\) parameter 0 c is of type void"),
        (
            lambda t: t.datasec(".d", [(1, 0, 4)]),
            r"type 2 \(DATASEC \.d\) entry 0 is type 1 \(INT int\); a VAR",
        ),
        (lambda t: t.tag("t", 1), r"type 2 \(DECL_TAG t\) is of type 1 \(INT int\); a STRUCT, UNION, FUNC"),
        (
            lambda t: t.tag("t", t.struct("s", 4, [("m", 1, 0)]), 1),
            r"type 3 \(DECL_TAG t\) is of component 1 of type 2 \(STRUCT s\), which has 1",
        ),
        (
            lambda t: t.tag("t", t.func("f", t.prototype(0, ())), 0),
            r"0 of type 3 \(FUNC f\), which has 0",
        ),
        (lambda t: t.struct("s", 4, [("m", 2, 0)]), r"type 2 \(STRUCT s\) contains itself"),
        (
            lambda t: [t.typedef("a", 3), t.refer(Kind.CONST, 4), t.array(2, 1, 1)],
            r"type 2 \(TYPEDEF a\) contains itself, by way of type 3 \(CONST\), type 4 \(ARRAY\)",
        ),
        (lambda t: t.refer(Kind.PTR, 2), r"type 2 \(PTR\) points to itself"),
        (
            lambda t: [t.refer(Kind.PTR, 3), t.refer(Kind.CONST, 4), t.array(2, 1, 1)],
            r"type 2 \(PTR\) points to itself, by way of type 3 \(CONST\), type 4 \(ARRAY\)",
        ),
        (
            lambda t: [t.forward("f"), t.typedef("g", 2), t.struct("s", 8, [("m", 3, 0)])],
            r"type 4 \(STRUCT s\) contains type 2 \(FWD f\), of which it may have pointers only",
        ),
        (lambda t: t.array(t.forward("f"), 1, 1), r"type 3 \(ARRAY\) contains type 2 \(FWD f\)"),
        (lambda t: t.add("", 0, 0), "type 2 is of kind 0, which no record can have"),
        (lambda t: t.add("", 20 << 24, 0), "type 2 is of kind 20; known are 1 to 19"),
        (lambda t: t.add("", 40 << 24, 0), "type 2 is of kind 40; known are 1 to 19"),
        (
            lambda t: t.add("", info_word(Kind.STRUCT) | 1 << 16, 0),
            r"type 2 \(STRUCT\) has 65536 entries; up to 65535 are possible",
        ),
        (
            lambda t: t.add("", info_word(Kind.STRUCT, 0xFFFF), 0),
            r"type 2 \(STRUCT\) with 65535 entries needs 196608 words, but only 3 are left of the types",
        ),
        (lambda t: t.words.append(0), "type 2 has 3 words at least, but only 1 are left of the types"),
    ],
)
def test_a_bad_type_is_told_with_its_number_kind_and_name(make: Callable[[Types], object], message: str) -> None:
    with pytest.raises(BpfasError, match=message):
        ways_to_read(_bad(make))


def test_all_that_is_wrong_is_told_up_to_a_limit() -> None:
    made = Types()
    for _ in range(50):
        made.pointer(99)
    with pytest.raises(BpfasError) as caught:
        read_btf(made.data(), ByteOrder.LITTLE, "a.o")
    assert len(caught.value.diagnostics) == 20


def test_errors_of_all_objects_are_told() -> None:
    bad = Types()
    bad.pointer(9)
    with pytest.raises(BpfasError) as caught:
        read_all([(bad.data(), ByteOrder.LITTLE, name) for name in ("a.o", "b.o")])
    assert [diagnostic.at for diagnostic in caught.value.diagnostics] == ["a.o:(.BTF)", "b.o:(.BTF)"]


def test_functions_without_name_and_enumerations_without_size_are_let_through() -> None:
    """GCC 12 writes the former for prototypes, Clang the latter for forward declarations."""
    made = Types()
    made.func("", made.prototype(0, ()))
    made.enum("e", [], 0)
    assert len(ways_to_read(made.data())) == 2


def test_every_truncation_is_an_error() -> None:
    data = one_of_each().data()
    for count in range(len(data)):
        with pytest.raises(BpfasError):
            ways_to_read(data[:count])


@given(types(), st.data(), byte_orders)
def test_changed_bytes_are_read_alike_or_told_alike(made: Types, data: st.DataObject, order: ByteOrder) -> None:
    contents = bytearray(made.data(order))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(contents) - 1))
        contents[at] = data.draw(st.sampled_from((0, 1, 2, 0x7F, 0xFF)) | st.integers(0, 255))
    with contextlib.suppress(BpfasError):
        ways_to_read(bytes(contents), order)


@given(st.lists(st.integers(0, 0xFFFFFFFF) | st.integers(0, 30), max_size=60))
def test_random_words_are_read_alike_or_told_alike(words: list[int]) -> None:
    with contextlib.suppress(BpfasError):
        ways_to_read(section(struct.pack(f"<{len(words)}I", *words), b"\0a\0"))


def test_strings_that_share_their_ends_do_not_fill_the_memory() -> None:
    text = "a" * 200_000
    words = [word for at in range(10_000) for word in (1 + at, info_word(Kind.FWD), 0)]
    data = section(struct.pack(f"<{len(words)}I", *words), b"\0" + text.encode() + b"\0")
    tracemalloc.start()
    try:
        with pytest.raises(BpfasError, match="names share their ends; apart they have more than 64 MiB"):
            ways_to_read(data)
        assert tracemalloc.get_traced_memory()[1] < 40 << 20
    finally:
        tracemalloc.stop()


def test_a_deep_nesting_of_structs_is_no_problem() -> None:
    made = Types()
    inner = made.integer()
    for _ in range(5_000):
        inner = made.struct("", 4, [("m", inner, 0)])
    for btf in ways_to_read(made.data()):
        assert len(btf) == 5_001
