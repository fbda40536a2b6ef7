"""Instances of structs of operations, each of which becomes a STRUCT_OPS map, as the object has them.

A variable of `.struct_ops` or `.struct_ops.link` is an instance; its pointers to functions are programs. Those of
sections with `?` in front are created only when asked for. What the kernel makes of them is
`bpfas.loader.loading.struct_ops`. Source: libbpf 1.8.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, NamedTuple

from bpfas.btf.declaration import declaration
from bpfas.btf.kinds import Kind
from bpfas.btf.sizes import size_of
from bpfas.loader.image.addresses import addresses, program_at
from bpfas.loader.image.datasecs import datasec_named, section_variables
from bpfas.loader.kinds import NO_MAP_FLAGS, MapFlag, MapType, ProgramType
from bpfas.loader.sections import section_kind, split_autoload
from bpfas.loader.spec import MapSpec, StructOps, Variable, kernel_name
from bpfas.objfile import Section, place
from bpfas.section_names import BTF_SECTION

if TYPE_CHECKING:
    from bpfas.btf.btf import Btf, Member
    from bpfas.diag import Diagnostics
    from bpfas.loader.image.addresses import Address
    from bpfas.loader.image.datasecs import SectionVariable
    from bpfas.objfile import ObjectFile

_LINK_SUFFIX = ".link"
_KEY_SIZE = 4
_PROGRAM_FORM = "a program is a global function in a section called struct_ops or struct_ops/NAME"


def describe_struct_ops(
    obj: ObjectFile, section: Section, types: Btf | None, prefix: str, diagnostics: Diagnostics
) -> dict[int, MapSpec]:
    """The maps that the instances in `section` become, by their offsets; errors go to `diagnostics`."""
    datasec = datasec_named(types, section.name) if types else 0
    if types is None or not datasec:
        missing = f"section {BTF_SECTION}" if types is None else f"DATASEC '{section.name}' in its BTF"
        message = f"section '{section.name}' holds structs of operations, but the object has no {missing}"
        diagnostics.error(message, place(obj, section, 0), ("compile with clang -g, which writes BTF",))
        return {}
    reader = _Reader(obj, section, types, diagnostics)
    variables = section_variables(obj, section, types, datasec, diagnostics)
    found = [(variable, reader.instance(variable)) for variable in variables]
    reader.bind(found, is_library=bool(prefix))
    return {variable.offset: instance.spec(section, prefix) for variable, instance in found if instance}


class _Instance(NamedTuple):
    """An instance of a STRUCT: its members by their offsets in bits, and by name the programs that they call."""

    name: str
    start: int
    size: int
    type_id: int
    type_name: str
    members: dict[int, Member]
    programs: dict[str, str]

    def spec(self, section: Section, prefix: str) -> MapSpec:
        """The map that it becomes."""
        plain, autocreate = split_autoload(section.name)
        is_link = plain.endswith(_LINK_SUFFIX)
        return MapSpec(
            prefix + self.name,
            kernel_name(self.name),
            MapType.STRUCT_OPS,
            _KEY_SIZE,
            self.size,
            max_entries=1,
            map_flags=MapFlag.LINK if is_link else NO_MAP_FLAGS,
            contents=bytes(section.data[self.start : self.start + self.size]),
            autocreate=autocreate,
            variables=(Variable(self.name, 0, self.size, self.type_id),),
            struct_ops=StructOps(self.type_id, self.type_name, self.programs, is_link),
        )


class _Reader(NamedTuple):
    obj: ObjectFile
    section: Section
    types: Btf
    diagnostics: Diagnostics

    def error(self, message: str, offset: int, notes: tuple[str, ...] = ()) -> None:
        self.diagnostics.error(message, place(self.obj, self.section, offset), notes)

    def instance(self, variable: SectionVariable) -> _Instance | None:
        """The instance that a variable is; None for one that is at fault."""
        types, at = self.types, variable.offset
        value_type = types.size_or_type(variable.var_id)
        type_id = types.without_qualifiers(value_type)
        type_name, size = types.name(type_id), size_of(types, type_id) or 0
        fault, note = "", "its type is to be a struct with the name that the kernel's has"
        if types.kind(type_id) is not Kind.STRUCT or not type_name:
            fault = f"is `{declaration(types, value_type)}`, which is no struct of operations"
        elif size > variable.size or at + size > len(self.section.data):
            room = min(variable.size, len(self.section.data) - at)
            fault, note = f"has {room} bytes, its type `{declaration(types, type_id)}` {size}", ""
        if fault:
            self.error(f"'{variable.name}' {fault}", at, (note,) if note else ())
            return None
        members = {member.bit_offset: member for member in types.members(type_id)}
        return _Instance(variable.name, at, size, type_id, type_name, members, {})

    def bind(self, found: list[tuple[SectionVariable, _Instance | None]], *, is_library: bool) -> None:
        """Note which programs the members of the instances call."""
        starts = [variable.offset for variable, _ in found]
        for address in addresses(self.obj, self.section):
            index = bisect_right(starts, address.at) - 1
            if index < 0 or address.at >= starts[index] + found[index][0].size:
                self.error(f"no instance holds the address of '{address.text}'", address.at)
            elif instance := found[index][1]:
                self.bind_member(instance, address, is_library=is_library)

    def bind_member(self, instance: _Instance, address: Address, *, is_library: bool) -> None:
        """Note which program a member calls."""
        member = instance.members.get(8 * (address.at - instance.start))
        subject = f"'{instance.name}'"
        if member is None or not address.is_whole:
            message = (
                f"{subject}: {address.r_type} against '{address.text}' is not at a member of {instance.type_name}"
            )
            self.error(message, address.at)
            return
        subject = f"{subject}: member {member.name}"
        if not is_function_pointer(self.types, member.type_id):
            text = declaration(self.types, member.type_id)
            message = f"{subject} is `{text}`, which cannot be the address of '{address.text}' in the kernel"
            self.error(message, address.at, ("only pointers to functions are bound, to programs",))
            return
        program = program_at(self.obj, address.section, address.offset)
        if program is None or not isinstance(address.section, Section):
            self.error(f"{subject} is '{address.text}', which is no program", address.at, (_PROGRAM_FORM,))
        elif is_library:
            message = f"{subject} is program '{program}' of an object that is not loaded for its programs"
            self.error(message, address.at, ("link the objects: bpf-ld -o linked.o ...",))
        else:
            name = split_autoload(address.section.name)[0]
            # A section without a program type does not contradict the struct.
            if section_kind(name).program_type not in (ProgramType.STRUCT_OPS, ProgramType.UNSPEC):
                message = f"{subject} is program '{program}' of section '{name}'"
                self.error(message, address.at, (_PROGRAM_FORM,))
            instance.programs[member.name] = program


def is_function_pointer(types: Btf, type_id: int) -> bool:
    """Whether a type is that of pointers to functions."""
    pointer = types.without_qualifiers(type_id)
    if types.kind(pointer) is not Kind.PTR:
        return False
    return types.kind(types.without_qualifiers(types.size_or_type(pointer))) is Kind.FUNC_PROTO
