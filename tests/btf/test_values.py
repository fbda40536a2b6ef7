"""Python values of BTF types: what comes out of bytes, what may be given, and what is refused in which words."""

from __future__ import annotations

import ctypes
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpfas.btf.codecs import Codec, EncodingError
from bpfas.btf.kinds import Kind
from bpfas.btf.records import Record, UnionValue, plain
from bpfas.btf.values import codec_of, find_type
from bpfas.diag import BpfasError
from bpfas.elf.constants import ByteOrder
from tests.btf.builders import Types

INT, UNSIGNED, CHAR_BIT, BOOL_BIT = 1, 0, 2, 4
BITFIELD = 24


def refusal(codec: Codec[Any], value: object) -> str:
    """What encoding a value that is none is refused with."""
    with pytest.raises(EncodingError) as caught:
        codec.encode(value)
    return str(caught.value)


def one(add: Any, order: ByteOrder = ByteOrder.LITTLE) -> Codec[Any]:
    """The codec of the type that `add` adds to new types."""
    types = Types()
    type_id = add(types)
    return codec_of(types.read(order=order), type_id)


@pytest.mark.parametrize(("size", "encoding"), [(1, 0), (1, 1), (2, 0), (4, 1), (8, 0), (8, 1), (16, 0), (16, 1)])
@pytest.mark.parametrize("order", ByteOrder)
def test_integers_to_their_ends(size: int, encoding: int, order: ByteOrder) -> None:
    codec = one(lambda types: types.integer("number", size, encoding), order)
    signed = encoding == 1
    low, high = (-1 << 8 * size - 1, (1 << 8 * size - 1) - 1) if signed else (0, (1 << 8 * size) - 1)
    for number in (low, 0, 1, high):
        data = number.to_bytes(size, "little" if order is ByteOrder.LITTLE else "big", signed=signed)
        assert codec.encode(number) == data
        assert codec.decode(b"??" + data, 2) == number
    for number in (low - 1, high + 1):
        assert f"{number} does not fit into 'number'" in refusal(codec, number)


def test_what_is_no_integer() -> None:
    codec = one(lambda types: types.integer("int", 4))
    assert refusal(codec, "5") == "error: '5' is no integer, which 'int' asks for"
    assert refusal(codec, 1.5) == "error: 1.5 is no integer, which 'int' asks for"
    assert refusal(codec, 1 << 31) == "error: 2147483648 does not fit into 'int' (-2147483648 to 2147483647)"
    assert refusal(codec, b"abc") == "error: 'int' has 4 bytes, not 3"
    assert codec.encode(b"abcd") == b"abcd"
    assert codec.encode(ctypes.c_int(5)) == struct.pack("=i", 5)
    with pytest.raises(EncodingError, match="'int' has 4 bytes, but there are 2"):
        codec.decode(b"ab")


def test_booleans() -> None:
    codec = one(lambda types: types.integer("_Bool", 1, BOOL_BIT))
    assert codec.encode(True) == b"\1"
    assert codec.encode(0) == b"\0"
    assert codec.decode(b"\2") is True
    assert "neither true nor false" in refusal(codec, 2)


def test_floating_point() -> None:
    codec = one(lambda types: types.floating("double", 8))
    assert codec.decode(codec.encode(1.5)) == 1.5
    assert "'x' is no number that 'double' can hold" in refusal(codec, "x")
    assert one(lambda types: types.floating("long double", 16)).decode(bytes(range(16))) == bytes(range(16))


def test_pointers_are_numbers_and_none_is_null() -> None:
    codec = one(lambda types: types.pointer(types.integer()))
    assert codec.decode(codec.encode(0xFFFF888812345678)) == 0xFFFF888812345678
    assert codec.encode(None) == bytes(8)


def test_enumerations_by_name_and_number() -> None:
    codec = one(lambda types: types.enum("color", [("RED", 0), ("GREEN", 1), ("ALSO_GREEN", 1)]))
    assert codec.encode("GREEN") == codec.encode(1) == struct.pack("=I", 1)
    green = codec.decode(struct.pack("=I", 1))
    assert (green, green.name, str(green)) == (1, "GREEN", "GREEN")
    unknown = codec.decode(struct.pack("=I", 7))
    assert (unknown, unknown.name, str(unknown)) == (7, "", "7")
    assert refusal(codec, "GREN") == "error: 'enum color' has no 'GREN'; did you mean 'GREEN'?"


def test_a_signed_and_a_wide_enumeration() -> None:
    signed = one(lambda types: types.enum("sign", [("MINUS", -1)], kflag=True))
    assert signed.decode(signed.encode("MINUS")) == -1
    wide = one(lambda types: types.enum64("wide", [("BIG", 1 << 40)]))
    assert wide.decode(wide.encode("BIG")).name == "BIG"


def test_text_ends_at_the_first_nul() -> None:
    codec = one(lambda types: types.array(types.integer("char", 1, INT), types.integer(), 8))
    assert codec.encode("bash") == b"bash\0\0\0\0"
    assert codec.decode(b"bash\0gar") == "bash"
    assert codec.decode(codec.encode(codec.decode(b"\xff\xfe\0\0\0\0\0\0"))) == "\udcff\udcfe"
    assert codec.encode(b"12345678") == b"12345678"
    assert "has room for 8 bytes, not 9" in refusal(codec, "123456789")


def test_arrays_of_bytes_are_bytes() -> None:
    codec = one(lambda types: types.array(types.integer("unsigned char", 1, UNSIGNED), types.integer(), 4))
    assert codec.decode(b"\0\1\2\3") == b"\0\1\2\3"
    assert codec.encode([0, 1, 2, 255]) == b"\0\1\2\xff"
    assert "has 4 bytes, not 3" in refusal(codec, b"abc")
    assert "is not bytes" in refusal(codec, [0, 1, 2, 256])


def test_arrays_are_tuples() -> None:
    codec = one(lambda types: types.array(types.array(types.integer(), 1, 2), 1, 3))
    assert codec.decode(struct.pack("=6i", *range(6))) == ((0, 1), (2, 3), (4, 5))
    assert codec.encode([[0, 1], (2, 3), range(4, 6)]) == struct.pack("=6i", *range(6))
    assert refusal(codec, [[0, 1], [2, "x"], [4, 5]]) == "error: [1][1]: 'x' is no integer, which 'int' asks for"
    assert "has 3 elements, not 1" in refusal(codec, [[0, 1]])


def event(types: Types) -> int:
    """struct event { unsigned pid; bool ok; char comm[8]; u64 *next; };"""
    pid, ok = types.integer("unsigned int", 4, UNSIGNED), types.integer("_Bool", 1, BOOL_BIT)
    comm = types.array(types.integer("char", 1, INT), pid, 8)
    members = [("pid", pid, 0), ("ok", ok, 32), ("comm", comm, 40), ("next", types.pointer(0), 128)]
    return types.struct("event", 24, members)


def test_a_struct_is_a_named_tuple() -> None:
    codec = one(event)
    data = struct.pack("=I?8s3xQ", 7, True, b"bash", 0x1234)
    record = codec.decode(data)
    assert (record.pid, record.ok, record.comm, record["next"]) == (7, True, "bash", 0x1234)
    assert tuple(record) == (7, True, "bash", 0x1234)
    assert record == {"pid": 7, "ok": True, "comm": "bash", "next": 0x1234}
    assert {record: "usable as a key"}[codec.decode(data)]
    assert repr(record) == "event(pid=7, ok=True, comm='bash', next=4660)"
    assert codec.encode(record) == codec.encode([7, True, "bash", 0x1234]) == data
    assert codec.encode(record._replace(pid=8)) == codec.encode({**record._asdict(), "pid": 8})
    with pytest.raises(AttributeError):
        record.pid = 5
    with pytest.raises(KeyError):
        record["nothing"]


def test_members_left_out_are_zero_and_unknown_ones_refused() -> None:
    codec = one(event)
    assert codec.encode({"comm": "x"}) == struct.pack("=I?8s3xQ", 0, False, b"x", 0)
    assert refusal(codec, {"pidd": 1}) == "error: 'struct event' has no member 'pidd'; did you mean 'pid'?"
    assert refusal(codec, [1, 2]) == "error: 'struct event' has 4 members, not 2"
    assert refusal(codec, {"pid": -1}) == "error: pid: -1 does not fit into 'unsigned int' (0 to 4294967295)"
    assert "is no dictionary of members" in refusal(codec, 5)


def test_errors_name_the_path_to_the_member() -> None:
    def nested(types: Types) -> int:
        inner = event(types)
        return types.struct("outer", 48, [("events", types.array(inner, 1, 2), 0)])

    codec = one(nested)
    message = refusal(codec, {"events": [{}, {"pid": "x"}]})
    assert message == "error: events[1].pid: 'x' is no integer, which 'unsigned int' asks for"
    with pytest.raises(EncodingError) as caught:
        codec.encode({"events": 5})
    error = caught.value.about("map m: the value")
    assert isinstance(error, BpfasError)
    assert str(error).startswith("error: map m: the value: events: 5 is no list")


def test_members_called_like_methods_are_members() -> None:
    codec = one(lambda types: types.struct("s", 8, [("count", types.integer(), 0), ("index", 1, 32)]))
    record = codec.decode(struct.pack("=ii", 3, 4))
    assert (record.count, record.index) == (3, 4)


@pytest.mark.parametrize("order", ByteOrder)
def test_bit_fields(order: ByteOrder) -> None:
    def fields(types: Types) -> int:
        unsigned, signed = types.integer("unsigned int", 4, UNSIGNED), types.integer("int", 4)
        color = types.enum("color", [("RED", 0), ("GREEN", 1)])
        return types.struct(
            "fields",
            4,
            [
                ("a", unsigned, 3 << BITFIELD | 0),
                ("b", signed, 7 << BITFIELD | 3),
                ("c", color, 2 << BITFIELD | 10),
                ("", unsigned, 4 << BITFIELD | 12),
                ("d", unsigned, 16 << BITFIELD | 16),
            ],
            kflag=True,
        )

    codec = one(fields, order)
    value = {"a": 5, "b": -2, "c": "GREEN", "d": 0xABCD}
    data = codec.encode(value)
    if order is ByteOrder.LITTLE:
        assert int.from_bytes(data, "little") == 5 | (-2 & 0x7F) << 3 | 1 << 10 | 0xABCD << 16
    else:
        assert int.from_bytes(data, "big") == 5 << 29 | (-2 & 0x7F) << 22 | 1 << 20 | 0xABCD
    record = codec.decode(data)
    assert record == {"a": 5, "b": -2, "c": 1, "d": 0xABCD}
    assert record.c.name == "GREEN"
    assert refusal(codec, {"a": 8}) == "error: a: 8 does not fit into 'unsigned int : 3' of 3 bits (0 to 7)"
    assert "(-64 to 63)" in refusal(codec, {"b": 64})


def test_unions() -> None:
    def word(types: Types) -> int:
        return types.struct(
            "word",
            4,
            [("whole", types.integer("u32", 4, UNSIGNED), 0), ("low", types.integer("u16", 2, 0), 0)],
            Kind.UNION,
        )

    codec = one(word)
    value = codec.decode(struct.pack("<I", 0x12345678))
    assert isinstance(value, UnionValue)
    assert (value.whole, value["low"]) == (0x12345678, 0x5678)
    assert value == {"low": 0x5678}
    assert codec.encode(value) == codec.encode({"whole": 0x12345678})
    assert codec.encode({"low": 1}) == b"\1\0\0\0"
    assert "give one of them" in refusal(codec, {"low": 1, "whole": 2})
    assert "has no member 'hole'; did you mean 'whole'?" in refusal(codec, {"hole": 1})
    with pytest.raises(AttributeError):
        value.nothing  # noqa: B018


def test_anonymous_members_belong_to_their_owner() -> None:
    def packet(types: Types) -> int:
        u32, u16 = types.integer("u32", 4, UNSIGNED), types.integer("u16", 2, UNSIGNED)
        ports = types.struct("", 4, [("source", u16, 0), ("destination", u16, 16)])
        either = types.struct("", 4, [("", ports, 0), ("both", u32, 0)], Kind.UNION)
        inner = types.struct("", 8, [("address", u32, 0), ("mask", u32, 8 << BITFIELD | 32)], kflag=True)
        return types.struct("packet", 16, [("", either, 0), ("", inner, 32), ("length", u32, 96)])

    codec = one(packet)
    value = {"source": 80, "destination": 443, "address": 1, "mask": 24, "length": 9}
    data = codec.encode(value)
    assert data == struct.pack("<HHIB3xI", 80, 443, 1, 24, 9)
    record = codec.decode(data)
    assert record == {**value, "both": 443 << 16 | 80}
    assert (record.both, record.source, record["destination"], record.mask) == (443 << 16 | 80, 80, 443, 24)
    assert codec.encode(record._replace(length=10, both=7)) == struct.pack("<IIB3xI", 7, 1, 24, 10)
    assert "in the same place" in refusal(codec, {"source": 1, "both": 2})


def test_a_flexible_array_takes_what_is_left() -> None:
    def message(types: Types) -> int:
        u32, char = types.integer("u32", 4, UNSIGNED), types.integer("char", 1, INT)
        return types.struct("message", 4, [("length", u32, 0), ("text", types.array(char, u32, 0), 32)])

    codec = one(message)
    assert codec.decode(b"\5\0\0\0hello\0xx") == {"length": 5, "text": "hello"}
    assert codec.encode({"length": 5}) == b"\5\0\0\0"


def test_a_section_is_a_record_of_its_variables() -> None:
    def section(types: Types) -> int:
        number = types.integer()
        a, b = types.var("a", number), types.var("b", number)
        return types.datasec(".data", [(a, 0, 4), (b, 8, 4)], 12)

    codec = one(section)
    assert codec.decode(struct.pack("=i4xi", 1, 2)) == {"a": 1, "b": 2}


def test_types_without_values() -> None:
    with pytest.raises(EncodingError, match="'struct later' is a type without values"):
        one(lambda types: types.forward("later"))
    with pytest.raises(EncodingError, match="'enum e' is a type without values"):
        one(lambda types: types.enum("e", [("A", 0)], 0))
    with pytest.raises(EncodingError, match="'int : 40' has more bits than its type"):
        one(lambda types: types.struct("s", 8, [("f", types.integer(), 40 << 24)], kflag=True))
    with pytest.raises(EncodingError, match="is a type without values"):
        one(lambda types: types.prototype(0, []))


def test_types_are_found_by_their_names_in_c() -> None:
    types = Types()
    struct_id = event(types)
    typedef = types.typedef("event", struct_id)
    btf = types.read()
    assert find_type(btf, "struct event") == struct_id
    assert find_type(btf, "event") == typedef
    assert find_type(btf, "unsigned int") == 1
    assert find_type(btf, "struct nothing") == 0


def test_values_as_json_has_them() -> None:
    codec = one(event)
    assert plain(codec.decode(struct.pack("=I?8s3xQ", 7, True, b"bash", 1))) == {
        "pid": 7,
        "ok": True,
        "comm": "bash",
        "next": 1,
    }
    assert plain((b"\1\2", [None, 1.5])) == ["0102", [None, 1.5]]


@given(st.data())
def test_what_is_encoded_is_decoded(data: st.DataObject) -> None:
    members: list[tuple[str, int, int]] = []
    types = Types()
    formats, offset = "=", 0
    for place, letter in enumerate(data.draw(st.lists(st.sampled_from("bBhHiIqQ"), max_size=8))):
        size = struct.calcsize(f"={letter}")
        members.append((f"m{place}", types.integer(letter, size, letter.islower()), 8 * offset))
        formats, offset = formats + letter, offset + size
    type_id = types.struct("s", offset, members)
    codec = codec_of(types.read(), type_id)
    contents = data.draw(st.binary(min_size=offset, max_size=offset))
    record = codec.decode(contents)
    assert isinstance(record, Record)
    assert tuple(record) == struct.unpack(formats, contents)
    assert codec.encode(record) == codec.encode(record._asdict()) == contents


@given(
    st.recursive(
        st.integers() | st.text() | st.none() | st.binary(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_whatever_is_given_is_encoded_or_refused(value: object) -> None:
    codec = one(event)
    try:
        data = codec.encode(value)
    except EncodingError:
        return
    assert len(data) == codec.size


def test_members_at_the_same_place_do_not_make_endless_values() -> None:
    types = Types()
    inner = types.integer()
    for _ in range(40):
        inner = types.struct("s", 4, [("a", inner, 0), ("b", inner, 0)])
    with pytest.raises(EncodingError, match=r"has \d+ values in 4 bytes"):
        codec_of(types.read(), inner)
