"""What a loader program looks up in the kernel it runs on: externs, attach targets, structs of operations.

Whether what is found is what the program declares is not compared, as there is no helper for that: a variable of
another type is the verifier's to refuse.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpfas.btf.kinds import Kind
from bpfas.loader.core.flavours import stem_of
from bpfas.loader.gen.cells import address_cell, owner_cell, type_cell
from bpfas.loader.gen.script import Find, Owner, Place
from bpfas.loader.kinds import ProgramType
from bpfas.loader.loading.attach_target import is_for_many, target_form
from bpfas.loader.spec import ExternSource

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bpfas.loader.loading.attach_target import TargetForm
    from bpfas.loader.spec import ExternSpec, Image, MapSpec, ProgramSpec, StructOps

_VALUE_PREFIX = "bpf_struct_ops_"
_VMLINUX = "vmlinux"
_TRACEPOINT_SYMBOL = "__traceiter_"
_PLACES = {
    ExternSource.KERNEL_FUNCTION: (Place.FUNCTION,),
    ExternSource.KERNEL_VARIABLE: (Place.VARIABLE,),
    ExternSource.KERNEL_ADDRESS: (Place.ADDRESS,),
    ExternSource.KERNEL_NAME: (Place.FUNCTION, Place.VARIABLE, Place.ADDRESS),
}
_TARGET_PLACES = {Kind.FUNC: Place.FUNCTION, Kind.TYPEDEF: Place.TYPEDEF}


def find_extern(extern: ExternSpec) -> Find | None:
    """The look-up of a name that the object leaves to the kernel; None for a weak name that nobody defines."""
    places = _PLACES.get(extern.source)
    if places is None:
        return None
    if extern.is_called:
        places = (Place.FUNCTION,)
    # Of a function, what stands behind three underscores is the program's own affair.
    return _find(stem_of(extern.name) if Place.FUNCTION in places else extern.name, places)


def find_target(target: str, form: TargetForm) -> Find:
    """The look-up of what a program is attached to: `NAME`, `vmlinux:NAME` or `MODULE:NAME`.

    The kernel looks in vmlinux first, then in all modules. That it has found the name in the right one is seen by
    a descriptor, which vmlinux has none of, and by kallsyms, which knows the symbols of each module.
    """
    module, _, name = target.rpartition(":")
    found = _find(form.prefix + name, (_TARGET_PLACES[form.kind],))
    if not module:
        return found
    key = f"{found.name} in {module}"
    found = found._replace(type_id=type_cell(key), owner=owner_cell(key), address=address_cell(key))
    if module == _VMLINUX:
        return found._replace(expected_owner=Owner.VMLINUX)
    symbol = _TRACEPOINT_SYMBOL + name if form.kind is Kind.TYPEDEF else form.prefix + name
    # Files and messages write the names of modules with - as well; the kernel has _ in them.
    return found._replace(expected_owner=Owner.MODULE, symbol=f"{module.replace('-', '_')}:{symbol}")


def find_program_target(program: ProgramSpec, ops_types: Mapping[str, str]) -> Find | None:
    """The look-up of what a program is loaded for, None for nothing of the kernel's types.

    `ops_types` are the structs of operations that call programs, by the programs' names.
    """
    if program.program_type == ProgramType.STRUCT_OPS:
        return _find(ops_types[program.name], (Place.STRUCT,))
    form = target_form(program)
    return None if form is None or is_for_many(program) else find_target(program.attach_target, form)


def all_finds(
    image: Image, maps: Iterable[MapSpec], programs: Iterable[ProgramSpec], ops_types: Mapping[str, str]
) -> list[Find]:
    """All that is looked up for these maps and programs, each thing once."""
    finds = []
    for program in programs:
        finds += [find_extern(image.externs[reference.name]) for reference in program.externs]
        finds.append(find_program_target(program, ops_types))
    finds += [find_value_struct(spec.struct_ops) for spec in maps if spec.struct_ops]
    return list({found.type_id: found for found in finds if found}.values())


def find_value_struct(operations: StructOps) -> Find:
    """The look-up of the kernel's struct around a struct of operations, which is the value of its map."""
    return _find(_VALUE_PREFIX + stem_of(operations.type_name), (Place.STRUCT,))


def _find(name: str, places: tuple[Place, ...]) -> Find:
    key = f"{'/'.join(place.value for place in places)} {name}"
    return Find(name, places, type_cell(key), owner_cell(key), address_cell(key))
