"""A struct of operations as a kernel has it: the value of a STRUCT_OPS map, and what its programs are loaded for.

The struct is found by its name without a flavour, in vmlinux or a module, with the struct around it that is the
map's value. Members are matched by name, so that an object may leave out what it does not need and have zeros in
what this kernel does not know. Source: libbpf 1.8.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NamedTuple

from bpfas.btf.declaration import declaration
from bpfas.btf.kinds import Kind
from bpfas.btf.sizes import size_of
from bpfas.loader.core.flavours import stem_of
from bpfas.loader.image.addresses import POINTER_SIZE
from bpfas.loader.nearest import close_matches

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from bpfas.btf.btf import Btf, Member
    from bpfas.diag import Diagnostics
    from bpfas.loader.kernel.kernel import Kernel, KernelBtf
    from bpfas.loader.spec import Image, MapSpec, StructOps

_VALUE_PREFIX = "bpf_struct_ops_"


class StructOpsMember(NamedTuple):
    """What a program is loaded for: a member of the struct `ops_type` (its attach_btf_id) of `owner`.

    `member_index` is its expected attach type. Its descriptor stands `offset` bytes into the map's value.
    """

    owner: KernelBtf
    ops_type: int
    name: str
    member_index: int
    offset: int


class StructOpsValue(NamedTuple):
    """The value of a STRUCT_OPS map on a kernel.

    `ops_type` is the kernel's struct of operations and `value_type` the struct around it, ids of `owner`.
    `contents` are `value_size` bytes without the programs' descriptors, `programs` the programs that it calls.
    """

    owner: KernelBtf
    ops_type: int
    value_type: int
    value_size: int
    contents: bytes
    programs: dict[str, StructOpsMember]

    def with_programs(self, descriptors: Mapping[str, int]) -> bytes:
        """The value as the kernel takes it; `descriptors` are those of the programs by their names."""
        value = bytearray(self.contents)
        for name, member in self.programs.items():
            value[member.offset : member.offset + POINTER_SIZE] = descriptors[name].to_bytes(
                POINTER_SIZE, sys.byteorder
            )
        return bytes(value)


def resolve_struct_ops(
    spec: MapSpec, image: Image, kernel: Kernel, diagnostics: Diagnostics
) -> StructOpsValue | None:
    """What the instance `spec.struct_ops` is on `kernel`; None with errors in `diagnostics` where it is nothing.

    Programs of members that the kernel does not have, and that are zero but for the program, are left out.
    """
    operations, types = spec.struct_ops, image.types
    assert operations is not None
    assert types is not None  # an instance is known by its type
    at = f"{image.name}: struct_ops '{spec.name}'"
    wrapper = _find_wrapper(operations, kernel, at, diagnostics)
    if wrapper is None:
        return None
    resolver = _Resolver(spec, operations, types, wrapper, kernel, at, diagnostics)
    contents = bytearray(wrapper.size)
    programs: dict[str, StructOpsMember] = {}
    for member, in_kernel in resolver.pairs():
        program = operations.programs.get(member.name)
        if in_kernel is None:
            resolver.check_absent(member)
        elif not resolver.fits(member, in_kernel.member):
            continue
        elif not resolver.is_pointer(member):
            data = resolver.data(member)
            start = wrapper.data_offset + in_kernel.member.bit_offset // 8
            contents[start : start + len(data)] = data
        elif program is not None:
            resolver.bind(program, in_kernel, programs)
    return StructOpsValue(
        wrapper.owner, wrapper.ops_type, wrapper.value_type, wrapper.size, bytes(contents), programs
    )


def agreed_members(
    values: Mapping[str, StructOpsValue], image: Image, diagnostics: Diagnostics
) -> dict[str, StructOpsMember]:
    """What each program of these maps is loaded for. That is one member of one struct, or an error."""
    agreed: dict[str, tuple[str, StructOpsMember]] = {}
    for map_name, value in values.items():
        for program, member in value.programs.items():
            first_map, first = agreed.setdefault(program, (map_name, member))
            if first[:-1] != member[:-1]:
                words = [
                    f"member {each.name} of '{name}' (struct {each.owner.btf.name(each.ops_type)})"
                    for name, each in ((first_map, first), (map_name, member))
                ]
                message = f"program '{program}' is {words[0]} and {words[1]}; it can be loaded for one of them"
                diagnostics.error(message, image.name, ("make it two programs",))
    return {program: member for program, (_, member) in agreed.items()}


class _Wrapper(NamedTuple):
    """The kernel's struct of operations, and the struct of `size` bytes that has it at `data_offset`."""

    owner: KernelBtf
    ops_type: int
    value_type: int
    size: int
    data_offset: int


class _InKernel(NamedTuple):
    """A member of the kernel's struct, and its number there."""

    member_index: int
    member: Member


def _find_wrapper(operations: StructOps, kernel: Kernel, at: str, diagnostics: Diagnostics) -> _Wrapper | None:
    stem = stem_of(operations.type_name)
    vmlinux = kernel.types
    if vmlinux is None:
        message = f"struct {stem} is to be found in the kernel's types (BTF), but {kernel.name} has none"
        diagnostics.error(message, at, ("use a kernel built with CONFIG_DEBUG_INFO_BTF=y",))
        return None
    for owner in _owners(vmlinux, kernel):
        for value_type in _structs(owner, _VALUE_PREFIX + stem):
            # A module's value may be of a struct that vmlinux declares.
            known = {*_structs(owner, stem), *_structs(vmlinux, stem)}
            for member in owner.btf.members(value_type):
                if member.type_id in known:
                    size = owner.btf.size_or_type(value_type)
                    return _Wrapper(owner, member.type_id, value_type, size, member.bit_offset // 8)
            message = f"struct {_VALUE_PREFIX}{stem} of {kernel.name} has no member of type struct {stem}"
            diagnostics.error(message, at)
            return None
    wrappers = (name for name in vmlinux.names(Kind.STRUCT) if name.startswith(_VALUE_PREFIX))
    names = [name.removeprefix(_VALUE_PREFIX) for name in wrappers]
    near = close_matches(stem, names)
    notes = [f"did you mean struct {near[0]}?"] if near else []
    notes.append("a module that has it must be loaded first")
    message = f"{kernel.name} has no struct of operations called {stem}, for lack of struct {_VALUE_PREFIX}{stem}"
    diagnostics.error(message, at, tuple(notes))
    return None


def _owners(vmlinux: KernelBtf, kernel: Kernel) -> Iterator[KernelBtf]:
    yield vmlinux
    yield from kernel.modules()


def _structs(owner: KernelBtf, name: str) -> Sequence[int]:
    return [type_id for type_id in owner.ids_named(name) if owner.btf.kind(type_id) is Kind.STRUCT]


class _Resolver:
    """The instance of an object and the kernel's struct, member by member."""

    def __init__(
        self,
        spec: MapSpec,
        operations: StructOps,
        types: Btf,
        wrapper: _Wrapper,
        kernel: Kernel,
        at: str,
        diagnostics: Diagnostics,
    ) -> None:
        self.contents = spec.contents or bytes(spec.value_size)
        self.operations = operations
        self.types = types
        self.wrapper = wrapper
        self.kernel_types = wrapper.owner.btf
        self.at = at
        self.diagnostics = diagnostics
        self.kernel_struct = f"struct {self.kernel_types.name(wrapper.ops_type)} of {kernel.name}"

    def error(self, message: str, *notes: str) -> None:
        self.diagnostics.error(message, self.at, notes)

    def pairs(self) -> Iterator[tuple[Member, _InKernel | None]]:
        """Every member of the instance with that of the kernel of the same name; nameless ones by their order."""
        waiting: dict[str, list[_InKernel]] = {}
        for index, member in enumerate(self.kernel_types.members(self.wrapper.ops_type)):
            waiting.setdefault(member.name, []).append(_InKernel(index, member))
        for member in self.types.members(self.operations.type_id):
            found = waiting.get(member.name)
            yield member, found.pop(0) if found else None

    def data(self, member: Member) -> bytes:
        """The bytes of a member of the instance."""
        start = member.bit_offset // 8
        bits = member.bit_offset % 8 + member.bit_size
        size = -(-bits // 8) if member.bit_size else size_of(self.types, member.type_id) or 0
        return self.contents[start : start + size]

    def is_pointer(self, member: Member) -> bool:
        """Whether a member of the instance is a pointer."""
        return self.types.kind(self.types.without_qualifiers(member.type_id)) is Kind.PTR

    def check_absent(self, member: Member) -> None:
        """A member that the kernel does not have must be zero."""
        if any(self.data(member)):
            names = [each.name for each in self.kernel_types.members(self.wrapper.ops_type) if each.name]
            near = close_matches(member.name, names)
            self.error(
                f"member {member.name} is not zero, but {self.kernel_struct} has no such member",
                *([f"did you mean {near[0]}?"] if near else []),
                "leave it zero for kernels that do not have it",
            )

    def fits(self, member: Member, in_kernel: Member) -> bool:
        """Whether a member of the instance can be the kernel's; else an error."""
        mine = self.types.without_qualifiers(member.type_id)
        other = self.kernel_types.without_qualifiers(in_kernel.type_id)
        texts = [declaration(self.types, member.type_id), declaration(self.kernel_types, in_kernel.type_id)]
        what = f"member {member.name} is `{texts[0]}`, but `{texts[1]}` in {self.kernel_struct}"
        if member.bit_size or in_kernel.bit_size:
            self.error(f"member {member.name} is a bit-field, which cannot be given to the kernel")
        elif self.types.kind(mine) is not self.kernel_types.kind(other):
            self.error(what, "declare it as the kernel does")
        elif self.types.kind(mine) is Kind.PTR:
            return self.is_callable(member, other)
        elif (sizes := (size_of(self.types, mine), size_of(self.kernel_types, other)))[0] != sizes[1]:
            self.error(f"{what}: {sizes[0]} and {sizes[1]} bytes", "declare it as the kernel does")
        else:
            return True
        return False

    def is_callable(self, member: Member, in_kernel: int) -> bool:
        """Whether a pointer is empty, or a program that the kernel calls; else an error."""
        program = self.operations.programs.get(member.name)
        target = self.kernel_types.without_qualifiers(self.kernel_types.size_or_type(in_kernel))
        if any(self.data(member)):
            value = int.from_bytes(self.data(member), sys.byteorder)
            self.error(f"member {member.name} is the address {value:#x}; only programs can be given to the kernel")
        elif program is not None and self.kernel_types.kind(target) is not Kind.FUNC_PROTO:
            text = declaration(self.kernel_types, in_kernel)
            self.error(
                f"member {member.name} is program '{program}', but in {self.kernel_struct} it is `{text}`",
                "only pointers to functions can be programs",
            )
        else:
            return True
        return False

    def bind(self, program: str, in_kernel: _InKernel, programs: dict[str, StructOpsMember]) -> None:
        """Note what a program is loaded for."""
        member_index, member = in_kernel
        offset = self.wrapper.data_offset + member.bit_offset // 8
        bound = StructOpsMember(self.wrapper.owner, self.wrapper.ops_type, member.name, member_index, offset)
        first = programs.setdefault(program, bound)
        if first is not bound:
            message = f"program '{program}' is member {first.name} and member {member.name}"
            self.error(f"{message}; it can be loaded for one of them", "make it two programs")
