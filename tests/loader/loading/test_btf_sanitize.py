"""Types for older kernels: each kind that is lacking as something that is known, by hand-made expectations."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from bpfas.btf.kinds import Kind, Linkage
from bpfas.btf.reader import read_btf
from bpfas.elf.constants import ByteOrder
from bpfas.loader.kernel.features import SINCE, Feature
from bpfas.loader.loading.btf_sanitize import sanitize
from tests.btf.builders import Types, listing

if TYPE_CHECKING:
    from bpfas.loader.kernel.kernel import Kernel


class OldKernel:
    """A kernel that lacks some features."""

    def __init__(self, *lacking: Feature) -> None:
        self.lacking = lacking

    def has(self, feature: Feature) -> bool:
        return feature not in self.lacking


def sanitized(types: Types, *lacking: Feature) -> list[str]:
    data = sanitize(types.data(), cast("Kernel", OldKernel(*lacking)))
    return listing(read_btf(data, ByteOrder.LITTLE, "kernel"))


def test_a_kernel_that_lacks_nothing_gets_what_there_is() -> None:
    data = Types().data()
    assert sanitize(data, cast("Kernel", OldKernel(Feature.BTF_LAYOUT, Feature.ARG_CTX_TAG))) is data


def test_sections_become_structs() -> None:
    types = Types()
    integer = types.integer()
    first, second = types.var("first", integer), types.var("second", integer)
    types.datasec("?.data.own", [(first, 0, 4), (second, 8, 4)], 12)
    assert sanitized(types, Feature.BTF_DATASEC) == [
        "1 INT int 4",
        "2 INT first 1",
        "3 INT second 1",
        "4 STRUCT __data_own 12 {first:2@0/0 second:3@64/0}",
    ]


def test_sections_lose_their_question_marks() -> None:
    types = Types()
    variable = types.var("x", types.integer())
    types.datasec("?.struct_ops", [(variable, 0, 4)], 4)
    types.datasec(".struct_ops?", [(variable, 0, 4)], 4)
    assert sanitized(types, Feature.BTF_QMARK_DATASEC)[2:] == [
        "3 DATASEC _.struct_ops 2@0+4",
        "4 DATASEC .struct_ops? 2@0+4",
    ]


def test_a_name_that_others_share_stays_with_them() -> None:
    types = Types()
    variable = types.var("x", types.integer())
    types.datasec("?data", [(variable, 0, 4)], 4)
    types.tag("?data", variable)
    assert sanitized(types, Feature.BTF_QMARK_DATASEC)[2:] == ["3 DATASEC _data 2@0+4", "4 DECL_TAG ?data 2 -1"]


def test_functions_become_typedefs_of_enumerations() -> None:
    types = Types()
    integer = types.integer()
    types.func("f", types.prototype(integer, [("a", integer), ("", 0)]))
    types.pointer(2)
    assert sanitized(types, Feature.BTF_FUNC, Feature.BTF_GLOBAL_FUNC) == [
        "1 INT int 4",
        "2 ENUM - 4 a=1 parameter1=0",
        "3 TYPEDEF f 2",
        "4 PTR - 2",
    ]


def test_global_functions_become_static() -> None:
    types = Types()
    prototype = types.prototype(0, [])
    types.func("f", prototype, Linkage.GLOBAL)
    assert sanitized(types, Feature.BTF_GLOBAL_FUNC) == ["1 FUNC_PROTO - 0 ()", "2 FUNC f 1 STATIC"]


def test_floats_become_structs_of_their_size() -> None:
    types = Types()
    types.pointer(types.floating("double", 8))
    assert sanitized(types, Feature.BTF_FLOAT) == ["1 STRUCT - 8 {}", "2 PTR - 1"]


def test_tags_become_what_changes_nothing() -> None:
    types = Types()
    integer = types.integer()
    types.tag("arg:ctx", types.var("x", integer))
    types.pointer(types.refer(Kind.TYPE_TAG, integer, "user"))
    assert sanitized(types, Feature.BTF_DECL_TAG, Feature.BTF_TYPE_TAG)[2:] == [
        "3 INT arg:ctx 1",
        "4 CONST - 1",
        "5 PTR - 4",
    ]


def test_wide_enumerations_become_unions_and_all_lose_their_sign() -> None:
    types = Types()
    types.enum64("wide", [("A", 1 << 40), ("B", -1)])
    types.enum("narrow", [("C", -1)], kflag=True)
    types.enum("plain", [("D", 3)])
    assert sanitized(types, Feature.BTF_ENUM64) == [
        "1 UNION wide 8 {A:4@0/0 B:4@0/0}",
        f"2 ENUM narrow 4 C={(1 << 32) - 1}",
        "3 ENUM plain 4 D=3",
        "4 INT enum64_placeholder 1",
    ]


def test_nothing_is_added_without_wide_enumerations() -> None:
    types = Types()
    types.integer()
    assert sanitized(types, Feature.BTF_ENUM64) == ["1 INT int 4"]


@pytest.mark.parametrize("first", [feature for feature in Feature if feature.name.startswith("BTF")])
def test_however_old_the_kernel_is_every_id_stays(first: Feature) -> None:
    lacking = [feature for feature in Feature if SINCE[feature] >= SINCE[first]]
    types = Types()
    integer = types.integer()
    function = types.func("f", types.prototype(integer, [("a", integer)]))
    types.tag("arg:ctx", function, 0)
    variable = types.var("x", types.floating())
    types.datasec("?.data", [(variable, 0, 4)], 4)
    types.enum64("wide", [("A", 1)])
    last = types.pointer(types.refer(Kind.TYPE_TAG, integer, "tag"))
    found = sanitized(types, *lacking)
    assert found[last - 1] == f"{last} PTR - {last - 1}"
    assert [line.split()[0] for line in found] == [str(number + 1) for number in range(len(found))]
