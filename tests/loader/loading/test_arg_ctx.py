"""Parameters that are contexts, for kernels that know no tag for them."""

from __future__ import annotations

from array import array

from bpfas.btf.kinds import Linkage
from bpfas.btf.reader import read_btf
from bpfas.elf.constants import ByteOrder
from bpfas.loader.kinds import ProgramType
from bpfas.loader.loading.arg_ctx import with_context_types
from bpfas.loader.spec import Image, ProgramSpec
from tests.btf.builders import Types, listing


def image(types: Types, **func_info: list[int]) -> Image:
    """An image whose programs, called by their types, have these functions."""
    programs = {
        name: ProgramSpec(name, name, name, ProgramType[name], b"", func_info=array("I", words))
        for name, words in func_info.items()
    }
    return Image("app", ByteOrder.LITTLE, programs=programs, kernel_btf=types.data())


def shared_function(linkage: Linkage = Linkage.GLOBAL) -> tuple[Types, int, int]:
    """Types with a program's FUNC, and one whose second parameter is a context."""
    types = Types()
    integer = types.integer()
    pointer = types.pointer(0)
    prog = types.func("prog", types.prototype(integer, [("ctx", pointer)]))
    function = types.func("f", types.prototype(integer, [("x", integer), ("ctx", pointer)]), linkage)
    types.tag("arg:ctx", function, 1)
    return types, prog, function


def test_every_type_of_program_has_its_own_function() -> None:
    types, prog, function = shared_function()
    own = [0, prog, 5, function]
    changed = with_context_types(image(types, XDP=own, SCHED_CLS=own, CGROUP_SKB=own, TRACING=own))
    assert changed.kernel_btf is not None
    found = listing(read_btf(changed.kernel_btf, ByteOrder.LITTLE, "kernel"))
    assert found[7:] == [
        "8 STRUCT xdp_md 0 {}",
        "9 PTR - 8",
        "10 FUNC_PROTO - 1 (x:1 ctx:9)",
        "11 FUNC f 10 GLOBAL",
        "12 STRUCT __sk_buff 0 {}",
        "13 PTR - 12",
        "14 FUNC_PROTO - 1 (x:1 ctx:13)",
        "15 FUNC f 14 GLOBAL",
    ]
    assert {name: list(program.func_info) for name, program in changed.programs.items()} == {
        "XDP": [0, prog, 5, 11],
        "SCHED_CLS": [0, prog, 5, 15],
        "CGROUP_SKB": [0, prog, 5, 15],
        "TRACING": own,
    }


def test_the_context_of_kprobes_is_a_typedef() -> None:
    types, prog, function = shared_function()
    changed = with_context_types(image(types, KPROBE=[0, prog, 5, function]))
    assert changed.kernel_btf is not None
    found = listing(read_btf(changed.kernel_btf, ByteOrder.LITTLE, "kernel"))
    assert found[8:10] == ["9 TYPEDEF bpf_user_pt_regs_t 8", "10 PTR - 9"]


def test_only_pointers_of_global_functions_are_changed() -> None:
    types, prog, function = shared_function(Linkage.STATIC)
    integer = types.integer("long", 8)
    other = types.func("g", types.prototype(integer, [("x", integer)]))
    types.tag("arg:ctx", other, 0)
    types.tag("arg:nonnull", other, 0)
    given = image(types, XDP=[0, prog, 5, function, 9, other])
    assert with_context_types(given) is given


def test_without_types_there_is_nothing_to_do() -> None:
    given = Image("app", ByteOrder.LITTLE)
    assert with_context_types(given) is given
