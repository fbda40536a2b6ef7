"""Structs of operations against the types of a kernel: one made by hand, and the running one's."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from bpfas.btf.kinds import Kind
from bpfas.diag import Diagnostics
from bpfas.elf.constants import ByteOrder
from bpfas.loader.kinds import MapType
from bpfas.loader.loading.struct_ops import StructOpsValue, agreed_members, resolve_struct_ops
from bpfas.loader.spec import Image, MapSpec, StructOps
from tests.btf.builders import Types

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from bpfas.btf.btf import Btf
    from bpfas.loader.kernel.features import Feature


@dataclass
class FakeTypes:
    """Types that are searched from the first to the last."""

    btf: Btf
    name: str = "vmlinux"
    first_own_id: int = 1

    def ids_named(self, name: str) -> Sequence[int]:
        return [each for each in range(self.first_own_id, len(self.btf) + 1) if self.btf.name(each) == name]

    def ids_with_stem(self, stem: str) -> Sequence[int]:
        raise NotImplementedError

    def names(self, *kinds: Kind) -> Sequence[str]:
        own = range(self.first_own_id, len(self.btf) + 1)
        return [self.btf.name(each) for each in own if self.btf.kind(each) in kinds]


@dataclass
class FakeKernel:
    """A kernel that has types and nothing else."""

    types: FakeTypes | None
    module_types: list[FakeTypes] = field(default_factory=list)
    name: str = "the kernel"
    is_running: bool = False
    page_size: int = 4096
    possible_cpus: int = 1
    version: int = 0
    release: str = ""

    def modules(self) -> Sequence[FakeTypes]:
        return self.module_types

    def btf_fd(self, owner: object) -> int:
        raise NotImplementedError

    def config(self) -> tuple[str, str] | None:
        raise NotImplementedError

    def addresses(self, names: Collection[str]) -> Mapping[str, set[int]]:
        raise NotImplementedError

    def has(self, feature: Feature) -> bool:
        raise NotImplementedError


def kernel_types(types: Types | None = None, name: str = "ops") -> Types:
    """A struct of operations: flags, two functions, a name, data; and the struct around it."""
    types = types or Types()
    integer, char = types.integer("unsigned int", 4, 0), types.integer("char", 1)
    function = types.pointer(types.prototype(integer, []))
    members = [
        ("flags", integer, 0),
        ("first", function, 64),
        ("name", types.array(char, integer, 8), 128),
        ("second", types.refer(Kind.CONST, function), 192),
        ("data", types.pointer(0), 256),
        ("bits", integer, 320),
    ]
    operations = types.struct(name, 48, members)
    types.struct(f"bpf_struct_ops_{name}", 128, [("common", integer, 0), ("data", operations, 512)])
    return types


KERNEL = FakeKernel(FakeTypes(kernel_types().read()))


def own_struct(*members: tuple[str, str, int], name: str = "ops___mine", size: int = 32) -> Image:
    """An image whose types are one struct with members (name, type, offset in bytes)."""
    types = Types()
    integer, char = types.integer(), types.integer("char", 1)
    known = {
        "int": types.typedef("number", integer),
        "long": types.integer("long", 8),
        "function": types.pointer(types.prototype(integer, [])),
        "name": types.array(char, integer, 8),
        "pointer": types.pointer(0),
    }
    types.struct(name, size, [(member, known[kind], 8 * offset) for member, kind, offset in members])
    return Image("app", ByteOrder.LITTLE, types=types.read())


def instance(image: Image, contents: bytes, name: str = "mine", **programs: str) -> MapSpec:
    assert image.types
    type_id = len(image.types)
    operations = StructOps(type_id, image.types.name(type_id), programs, is_link=False)
    return MapSpec(name, name, MapType.STRUCT_OPS, 4, len(contents), 1, contents=contents, struct_ops=operations)


def resolved(image: Image, spec: MapSpec, kernel: FakeKernel = KERNEL) -> StructOpsValue:
    diagnostics = Diagnostics()
    value = resolve_struct_ops(spec, image, kernel, diagnostics)
    assert [item.render() for item in diagnostics.items] == []
    assert value
    return value


def errors(image: Image, spec: MapSpec, kernel: FakeKernel = KERNEL) -> str:
    diagnostics = Diagnostics()
    resolve_struct_ops(spec, image, kernel, diagnostics)
    return "\n".join(item.render() for item in diagnostics.items)


def test_members_go_to_where_the_kernel_has_them() -> None:
    image = own_struct(
        ("name", "name", 0), ("second", "function", 8), ("flags", "int", 16), ("first", "function", 24)
    )
    value = resolved(image, instance(image, b"me".ljust(16, b"\0") + struct.pack("<IIQ", 7, 0, 0), second="prog"))
    types = KERNEL.types
    assert types
    assert types.btf.name(value.ops_type) == "ops"
    assert types.btf.name(value.value_type) == "bpf_struct_ops_ops"
    assert value.value_size == 128
    expected = bytearray(128)
    expected[64:68] = b"\7\0\0\0"
    expected[80:82] = b"me"
    assert value.contents == expected
    (member,) = value.programs.values()
    assert (member.name, member.member_index, member.offset) == ("second", 3, 64 + 24)
    expected[88:96] = (41).to_bytes(8, "little")
    assert value.with_programs({"prog": 41}) == expected


def test_empty_members_that_the_kernel_lacks_are_left_out() -> None:
    image = own_struct(("later", "int", 0), ("newer", "function", 8), ("first", "function", 16))
    value = resolved(image, instance(image, bytes(32), newer="old", first="prog"))
    assert list(value.programs) == ["prog"]


def test_filled_members_that_the_kernel_lacks_are_an_error() -> None:
    image = own_struct(("flag", "int", 0), ("first", "function", 8))
    found = errors(image, instance(image, b"\1".ljust(32, b"\0")))
    assert found == (
        "app: struct_ops 'mine': error: member flag is not zero, but struct ops of the kernel has no such member\n"
        ">>> did you mean flags?\n>>> leave it zero for kernels that do not have it"
    )


@pytest.mark.parametrize(
    ("member", "contents", "programs", "message"),
    [
        (("flags", "long", 0), bytes(32), {}, "member flags is `long`, but `unsigned int` in struct ops"),
        (("flags", "pointer", 0), bytes(32), {}, "member flags is `void *`, but `unsigned int` in struct ops"),
        (("first", "int", 0), bytes(32), {}, "member first is `typedef int number`, but `unsigned int (*)"),
        (("data", "function", 0), bytes(32), {"data": "prog"}, "member data is program 'prog', but in struct ops"),
        (("data", "pointer", 0), b"\5".ljust(32, b"\0"), {}, "member data is the address 0x5; only programs"),
        (("name", "int", 0), bytes(32), {}, "member name is `typedef int number`, but `char [8]` in struct ops"),
    ],
)
def test_members_that_differ_are_an_error(
    member: tuple[str, str, int], contents: bytes, programs: dict[str, str], message: str
) -> None:
    image = own_struct(member)
    assert message in errors(image, instance(image, contents, **programs))


def test_bit_fields_are_an_error() -> None:
    types = Types()
    integer = types.integer("unsigned int", 4, 0)
    types.struct("ops", 4, [("bits", integer, 3 << 24)], kflag=True)
    image = Image("app", ByteOrder.LITTLE, types=types.read())
    assert "member bits is a bit-field" in errors(image, instance(image, bytes(4)))


def test_a_struct_that_no_kernel_has() -> None:
    image = own_struct(("first", "function", 0), name="opps")
    found = errors(image, instance(image, bytes(32)))
    assert "the kernel has no struct of operations called opps, for lack of struct bpf_struct_ops_opps" in found
    assert "did you mean struct ops?" in found
    assert "a module that has it must be loaded first" in found


def test_a_kernel_without_types() -> None:
    image = own_struct(("first", "function", 0))
    assert "but the kernel has none" in errors(image, instance(image, bytes(32)), FakeKernel(None))


def test_a_value_without_the_struct() -> None:
    types = Types()
    types.struct("ops", 4, [("flags", types.integer(), 0)])
    types.struct("bpf_struct_ops_ops", 8, [("common", 1, 0)])
    image = own_struct(("flags", "int", 0))
    kernel = FakeKernel(FakeTypes(types.read()))
    assert "struct bpf_struct_ops_ops of the kernel has no member" in errors(
        image, instance(image, bytes(32)), kernel
    )


def test_a_module_may_have_the_struct() -> None:
    types = kernel_types(name="other")
    first_own = types.count + 1
    module = FakeTypes(kernel_types(types).read(), "a_module", first_own)
    kernel = FakeKernel(FakeTypes(kernel_types(name="other").read()), [module])
    image = own_struct(("first", "function", 0))
    value = resolved(image, instance(image, bytes(32), first="prog"), kernel)
    assert value.owner is module
    assert value.ops_type >= first_own
    assert value.programs["prog"].owner is module


def test_a_module_may_wrap_a_struct_of_vmlinux() -> None:
    types = Types()
    integer = types.integer("unsigned int", 4, 0)
    operations = types.struct("ops", 8, [("flags", integer, 0)])
    vmlinux = FakeTypes(types.read())
    types.struct("bpf_struct_ops_ops", 72, [("data", operations, 512)])
    module = FakeTypes(types.read(), "a_module", operations + 1)
    image = own_struct(("flags", "int", 0))
    value = resolved(image, instance(image, bytes(32)), FakeKernel(vmlinux, [module]))
    assert (value.owner, value.ops_type) == (module, operations)


def test_a_program_is_one_member() -> None:
    image = own_struct(("first", "function", 0), ("second", "function", 8))
    found = errors(image, instance(image, bytes(32), first="prog", second="prog"))
    assert "program 'prog' is member first and member second; it can be loaded for one of them" in found


def test_maps_may_share_programs_in_the_same_member() -> None:
    image = own_struct(("first", "function", 0), ("second", "function", 8))
    values = {name: resolved(image, instance(image, bytes(32), name, first="prog")) for name in ("a", "b")}
    diagnostics = Diagnostics()
    assert list(agreed_members(values, image, diagnostics)) == ["prog"]
    assert not diagnostics.items
    values["c"] = resolved(image, instance(image, bytes(32), "c", second="prog"))
    agreed_members(values, image, diagnostics)
    assert "program 'prog' is member first of 'a' (struct ops) and member second of 'c' (struct ops)" in str(
        diagnostics.items[0].render()
    )
