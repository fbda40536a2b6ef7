"""Types as the kernel is given them: ids as in the object, without what only loaders understand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bpfas.btf.kinds import Kind, Linkage, info_word
from bpfas.btf.reader import read_btf
from bpfas.elf.constants import ByteOrder
from bpfas.loader import load
from bpfas.loader.image.kernel_btf import kernel_btf
from bpfas.loader.spec import KconfigKind, KconfigVariable
from tests.btf.builders import Types, listing

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence


def kernel_listing(
    types: Types,
    kconfig: Sequence[KconfigVariable] = (),
    kconfig_size: int = 0,
    own_functions: Collection[int] = (),
) -> list[str]:
    data = kernel_btf(types.read(), kconfig, kconfig_size, own_functions)
    return listing(read_btf(data, ByteOrder.LITTLE, "kernel"))


def test_names_of_the_kernel_become_integers_and_one_dummy() -> None:
    types = Types()
    short, integer = types.integer("short", 2), types.integer()
    prototype = types.prototype(integer, [("", integer), ("given", integer), ("", 0)])
    first = types.func("bpf_first", prototype, Linkage.EXTERN)
    variable = types.var("jiffies", types.refer(Kind.CONST, 0), Linkage.EXTERN)
    second = types.func("bpf_second", prototype, Linkage.EXTERN)
    types.datasec(".ksyms", [(first, 0, 0), (variable, 0, 0), (second, 0, 0)])
    assert short == 1
    assert kernel_listing(types) == [
        "1 INT short 2",
        "2 INT int 4",
        "3 FUNC_PROTO - 2 (r1:2 given:2 :0)",
        "4 FUNC bpf_first 3 GLOBAL",
        "5 CONST - 0",
        "6 VAR jiffies 2 GLOBAL",
        "7 FUNC bpf_second 3 GLOBAL",
        "8 DATASEC .ksyms 9@0+4 6@4+4 9@8+4",
        "9 VAR dummy_ksym 2 GLOBAL",
    ]


def test_an_integer_is_added_where_there_is_none() -> None:
    types = Types()
    variable = types.var("jiffies", 0, Linkage.EXTERN)
    types.datasec(".ksyms", [(variable, 0, 0)])
    assert kernel_listing(types) == [
        "1 VAR jiffies 3 GLOBAL",
        "2 DATASEC .ksyms 1@0+4",
        "3 INT int 4",
    ]


def test_variables_of_the_configuration_lie_where_the_map_has_them() -> None:
    types = Types()
    integer, byte = types.integer(), types.integer("char", 1)
    small = types.var("CONFIG_B", byte, Linkage.EXTERN)
    large = types.var("CONFIG_A", integer, Linkage.EXTERN)
    types.datasec(".kconfig", [(small, 0, 1), (large, 0, 4)])
    layout = [
        KconfigVariable("CONFIG_A", KconfigKind.INTEGER, 0, 4, True, False),
        KconfigVariable("CONFIG_B", KconfigKind.CHAR, 4, 1, True, False),
    ]
    assert kernel_listing(types, layout, 5)[2:] == [
        "3 VAR CONFIG_B 2 GLOBAL",
        "4 VAR CONFIG_A 1 GLOBAL",
        "5 DATASEC .kconfig 4@0+4 3@4+1",
    ]


def test_hidden_functions_become_static_and_declarations_global() -> None:
    types = Types()
    prototype = types.prototype(0, [])
    hidden = types.func("hidden", prototype)
    types.func("seen", prototype)
    elsewhere = types.func("elsewhere", prototype, Linkage.EXTERN)
    assert kernel_listing(types, own_functions={hidden, elsewhere})[1:] == [
        "2 FUNC hidden 1 STATIC",
        "3 FUNC seen 1 GLOBAL",
        "4 FUNC elsewhere 1 GLOBAL",
    ]


def test_a_section_without_variables_keeps_its_id() -> None:
    types = Types()
    integer = types.integer()
    types.datasec(".data", [], 8)
    types.datasec(".bss", [(types.var("x", integer), 0, 4)])
    assert kernel_listing(types)[1:] == ["2 STRUCT - 0 {}", "3 VAR x 1 GLOBAL", "4 STRUCT - 0 {}"]


def test_declarations_of_structs_refer_to_nothing() -> None:
    types = Types()
    types.add("later", info_word(Kind.FWD, 0, kflag=True), 1)
    given = read_btf(kernel_btf(types.read()), ByteOrder.LITTLE, "kernel")
    assert given.kind(1) is Kind.FWD
    assert given.size_or_type(1) == 0


def test_enumerations_that_are_only_declared_have_a_size() -> None:
    types = Types()
    types.enum("later", [], size=0)
    assert read_btf(kernel_btf(types.read()), ByteOrder.LITTLE, "kernel").size_or_type(1) == 4


@pytest.mark.kernel
@pytest.mark.peer
def test_the_kernel_takes_what_is_only_declared(compile_c: Callable[..., str]) -> None:
    declarations = "enum later; union other; struct third; enum later *a; union other *b; struct third *c;"
    with load(
        compile_c(f'{declarations} SEC("xdp") int pass(void *context) {{ return a || b || c; }}', "-g")
    ) as app:
        assert not app.warnings
        assert app.programs["pass"].info().btf_id
