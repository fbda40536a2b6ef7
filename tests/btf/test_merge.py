"""Types of several objects become one set: what is equal is there once, and nothing else is lost or mixed up."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpfas.btf import merge as merging
from bpfas.btf.columns import table
from bpfas.btf.kinds import Kind, Linkage
from bpfas.btf.merge import Merged, merge
from bpfas.btf.reader import read_btf
from bpfas.diag import BpfasError
from bpfas.elf.constants import ByteOrder
from tests.btf.builders import Types, listing
from tests.btf.strategies import types

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bpfas.btf.btf import Btf

    Replaced = Mapping[int, tuple[int, int] | None]


class Way(enum.Enum):
    """How types are merged: from how many words on as columns, and how many words are taken together."""

    PLAIN = (1 << 62, 1)
    COLUMNS = (0, 1 << 62)
    COLUMNS_IN_LOTS = (0, 1)


every_way = pytest.mark.parametrize("way", Way)


def merged(way: Way, units: Sequence[Btf], replaced: Sequence[Replaced] | None = None) -> Merged:
    """Merge in one of the ways."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(merging, "COLUMN_WORDS", way.value[0])
        patch.setattr(table, "LOT_WORDS", way.value[1])
        return merge(units, [{} for _ in units] if replaced is None else replaced)


def joined(*objects: Types) -> list[str]:
    """The listing of the output, the same in every way, and of the output merged again."""
    units = [made.read(f"{index}.o") for index, made in enumerate(objects)]
    outputs = [merged(way, units) for way in Way]
    data = outputs[0].write(ByteOrder.LITTLE)
    for output in outputs:
        assert output.write(ByteOrder.LITTLE) == data
        assert output.ids == outputs[0].ids
        assert output.starts == outputs[0].starts
    read = read_btf(data, ByteOrder.LITTLE, "out")
    assert merged(Way.PLAIN, [read]).write(ByteOrder.LITTLE) == data
    return listing(read)


def test_equal_types_of_two_objects_are_there_once() -> None:
    first, second = Types(), Types()
    for made in (first, second):
        made.struct("s", 8, [("next", made.pointer(made.count + 2), 0)])
    assert joined(first, second) == ["1 PTR - 2", "2 STRUCT s 8 {next:1@0/0}"]


def test_recursive_types_of_different_order_are_equal() -> None:
    first, second = Types(), Types()
    first.struct("s", 16, [("next", 2, 0), ("value", 3, 64)])
    first.pointer(1)
    first.integer()
    second.integer()
    second.pointer(3)
    second.struct("s", 16, [("next", 2, 0), ("value", 1, 64)])
    assert joined(first, second) == ["1 STRUCT s 16 {next:2@0/0 value:3@64/0}", "2 PTR - 1", "3 INT int 4"]


def test_types_that_differ_far_behind_pointers_stay_apart() -> None:
    first, second = Types(), Types()
    for made, size in ((first, 4), (second, 8)):
        made.struct("outer", 8, [("inner", 2, 0)])
        made.pointer(3)
        made.struct("inner", 16, [("value", 4, 0)])
        made.integer("value_t", size)
    assert len(joined(first, second)) == 8


def test_a_forward_declaration_becomes_the_type_of_its_name() -> None:
    first, second = Types(), Types()
    first.struct("user", 8, [("p", 2, 0)])
    first.pointer(3)
    first.forward("s")
    second.struct("user", 8, [("p", 2, 0)])
    second.pointer(3)
    second.struct("s", 4, [("value", second.count + 2, 0)])
    second.integer()
    assert joined(first, second) == [
        "1 STRUCT user 8 {p:2@0/0}",
        "2 PTR - 3",
        "3 STRUCT s 4 {value:4@0/0}",
        "4 INT int 4",
    ]


def test_a_forward_declaration_of_a_union_is_not_a_struct() -> None:
    first, second = Types(), Types()
    first.pointer(first.forward("s", is_union=True))
    second.struct("s", 0, [])
    assert joined(first, second) == ["1 FWD s union", "2 PTR - 1", "3 STRUCT s 0 {}"]


@pytest.mark.parametrize("size", [0, 4])
def test_an_enumeration_without_enumerators_becomes_the_one_of_its_name(size: int) -> None:
    first, second = Types(), Types()
    first.pointer(first.enum("e", [], size))
    second.enum64("e", [("A", 1 << 40)])
    assert joined(first, second) == ["1 PTR - 2", "2 ENUM64 e 8 A=1099511627776"]


def test_a_forward_declaration_that_may_be_two_types_stays() -> None:
    first, second, third = Types(), Types(), Types()
    first.pointer(first.forward("s"))
    second.struct("s", 4, [])
    third.struct("s", 8, [])
    assert joined(first, second, third) == ["1 FWD s struct", "2 PTR - 1", "3 STRUCT s 4 {}", "4 STRUCT s 8 {}"]


def test_a_forward_declaration_that_may_be_two_types_is_what_an_equal_struct_has() -> None:
    first, second, third = Types(), Types(), Types()
    for made in (first, second):
        made.struct("user", 8, [("p", 2, 0)])
        made.pointer(3)
    first.forward("s")
    first.typedef("s_t", 3)
    second.struct("s", 4, [])
    third.struct("s", 8, [])
    assert joined(first, second, third) == [
        "1 STRUCT user 8 {p:2@0/0}",
        "2 PTR - 4",
        "3 TYPEDEF s_t 4",
        "4 STRUCT s 4 {}",
        "5 STRUCT s 8 {}",
    ]


def test_a_forward_declaration_is_not_guessed_where_structs_disagree() -> None:
    objects = [Types(), Types(), Types()]
    for made in objects:
        made.struct("user", 8, [("p", 2, 0)])
        made.pointer(3)
    objects[0].forward("s")
    objects[1].struct("s", 4, [])
    objects[2].struct("s", 8, [])
    lines = joined(*objects)
    assert lines[2] == "3 FWD s struct"
    assert len(lines) == 9


def test_variables_and_sections_are_never_taken_for_equal() -> None:
    objects = [Types(), Types()]
    for made in objects:
        made.datasec(".data", [(made.var("x", made.integer()), 0, 4)])
    assert joined(*objects) == [
        "1 INT int 4",
        "2 VAR x 1 GLOBAL",
        "3 DATASEC .data 2@0+4",
        "4 VAR x 1 GLOBAL",
        "5 DATASEC .data 4@0+4",
    ]


def test_tags_of_equal_types_are_there_once() -> None:
    objects = [Types(), Types()]
    for made in objects:
        made.tag("t", made.struct("s", 4, [("m", made.integer(), 0)]), 0)
    assert joined(*objects) == ["1 INT int 4", "2 STRUCT s 4 {m:1@0/0}", "3 DECL_TAG t 2 0"]


def test_names_that_share_their_end_are_known() -> None:
    made = Types()
    made.integer("xint")
    made.words[0] += 1
    assert joined(made) == ["1 INT int 4"]


@every_way
def test_references_to_a_replaced_type_go_to_the_other(way: Way) -> None:
    objects = [Types(), Types()]
    for made, linkage in zip(objects, (Linkage.EXTERN, Linkage.GLOBAL), strict=True):
        made.datasec(".data", [(made.var("x", made.integer(), linkage), 0, 4)])
    units = [made.read() for made in objects]
    output = merged(way, units, [{2: (1, 2)}, {3: None}])
    assert listing(read_btf(output.write(ByteOrder.BIG), ByteOrder.BIG, "out")) == [
        "1 INT int 4",
        "2 DATASEC .data 3@0+4",
        "3 VAR x 1 GLOBAL",
    ]
    assert [list(ids) for ids in output.ids] == [[0, 1, 3, 2], [0, 1, 3, 0]]


@every_way
def test_a_tag_goes_with_its_type_and_other_references_are_an_error(way: Way) -> None:
    made = Types()
    variable = made.var("x", made.integer())
    made.tag("t", variable)
    units = [made.read()]
    assert len(merged(way, units, [{variable: None}])) == 1
    made.datasec(".data", [(variable, 0, 4)])
    with pytest.raises(BpfasError, match=r"a\.o:\(\.BTF\).*type 4 \(DATASEC \.data\) refers to type 2 \(VAR x\)"):
        merged(way, [made.read()], [{variable: None}])


def test_types_can_be_added_and_linkages_set() -> None:
    made = Types()
    made.func("f", made.prototype(0, ()), Linkage.EXTERN)
    output = merged(Way.PLAIN, [made.read()])
    output.set_linkage(2, Linkage.GLOBAL)
    number = output.add_int("long", 8, is_signed=True)
    prototype = output.add_func_proto(number, [("ctx", output.add_pointer(0)), ("n", number)])
    output.add_func("g", prototype, Linkage.STATIC)
    variable = output.add_var("x", number, Linkage.EXTERN)
    output.set_linkage(variable, Linkage.GLOBAL)
    output.add_datasec(".bss", 8, [(variable, 0, 8)])
    at = output.string("more")
    assert output.string("more") == at
    read = read_btf(output.write(ByteOrder.LITTLE), ByteOrder.LITTLE, "out")
    assert read.string(at) == "more"
    assert read.encoding(number) == (True, False, False, 0, 64)
    assert listing(read) == [
        "1 FUNC_PROTO - 0 ()",
        "2 FUNC f 1 GLOBAL",
        "3 INT long 8",
        "4 PTR - 0",
        "5 FUNC_PROTO - 3 (ctx:4 n:3)",
        "6 FUNC g 5 STATIC",
        "7 VAR x 3 GLOBAL",
        "8 DATASEC .bss 7@0+8",
    ]


def test_a_long_chain_is_merged_in_a_moment() -> None:
    objects = [Types(), Types()]
    for made in objects:
        target = made.integer()
        for _ in range(20_000):
            target = made.pointer(target)
    lines = joined(*objects)
    assert len(lines) == 20_001


@given(st.lists(types(), min_size=1, max_size=4))
def test_both_implementations_give_the_same_and_merging_again_changes_nothing(objects: list[Types]) -> None:
    joined(*objects)


@given(st.lists(types(names=("a",)), min_size=2, max_size=3))
def test_the_output_is_equal_to_each_input(objects: list[Types]) -> None:
    """Each type and the one that it has become are the same to any depth, but for forward declarations."""
    units = [made.read(f"{index}.o") for index, made in enumerate(objects)]
    output = merged(Way.PLAIN, units)
    read = read_btf(output.write(ByteOrder.LITTLE), ByteOrder.LITTLE, "out")
    for btf, ids in zip(units, output.ids, strict=True):
        for type_id in range(1, len(btf) + 1):
            _assert_alike(btf, type_id, read, ids[type_id])


def _assert_alike(left: Btf, left_id: int, right: Btf, right_id: int) -> None:
    pairs, seen = [(left_id, right_id)], set()
    while pairs:
        pair = pairs.pop()
        if pair in seen:
            continue
        seen.add(pair)
        one, other = pair
        assert bool(one) == bool(other)
        if not one:
            continue
        assert left.name(one) == right.name(other)
        is_forward = left.kind(one) is Kind.FWD or (left.kind(one) is Kind.ENUM and not left.vlen(one))
        if is_forward and (right.kind(other), right.vlen(other)) != (left.kind(one), left.vlen(one)):
            assert right.kind(other) in (Kind.STRUCT, Kind.UNION, Kind.ENUM)
            continue
        start, start_of_other = left.starts[one], right.starts[other]
        assert left.words[start + 1] == right.words[start_of_other + 1]
        match left.kind(one):
            case Kind.STRUCT | Kind.UNION:
                for member, same in zip(left.members(one), right.members(other), strict=True):
                    assert (member.name, member.bit_offset) == (same.name, same.bit_offset)
                    pairs.append((member.type_id, same.type_id))
            case Kind.FUNC_PROTO:
                for parameter, same_parameter in zip(left.parameters(one), right.parameters(other), strict=True):
                    assert parameter.name == same_parameter.name
                    pairs.append((parameter.type_id, same_parameter.type_id))
                pairs.append((left.size_or_type(one), right.size_or_type(other)))
            case Kind.ARRAY:
                pairs.append((left.array(one).element, right.array(other).element))
            case Kind.DATASEC:
                for entry, same_entry in zip(left.entries(one), right.entries(other), strict=True):
                    pairs.append((entry.type_id, same_entry.type_id))
            case Kind.INT | Kind.ENUM | Kind.FWD:
                assert left.size_or_type(one) == right.size_or_type(other)
                if left.kind(one) is Kind.ENUM:
                    assert left.enumerators(one) == right.enumerators(other)
            case _:
                pairs.append((left.size_or_type(one), right.size_or_type(other)))
