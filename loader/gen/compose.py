"""An Image to a Script and the Context of its loader program: the same on every machine.

The passes are `compose`'s lines. What the kernel makes impossible for a loader program is told before anything is
made (`bpfas.loader.gen.refusals`).
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

from bpfas.diag import Diagnostics
from bpfas.loader.core.flavours import stem_of
from bpfas.loader.gen.access_strings import with_access_strings
from bpfas.loader.gen.cells import BTF, inner_cell, jump_table_cell, map_cell, program_cell
from bpfas.loader.gen.kconfig import fixed_kconfig
from bpfas.loader.gen.layout import Inputs, lay_out
from bpfas.loader.gen.loader_program import FactKind
from bpfas.loader.gen.lookups import all_finds
from bpfas.loader.gen.map_steps import MapSteps
from bpfas.loader.gen.program_steps import LOG_FIELDS, ProgramSteps
from bpfas.loader.gen.refusals import refuse
from bpfas.loader.gen.script import Address, Call, Close, Item, Result, Script
from bpfas.loader.kernel.described import DescribedKernel
from bpfas.loader.kinds import MapType
from bpfas.loader.loading.program_choice import check_program, programs_to_load
from bpfas.loader.loading.struct_ops import agreed_members, resolve_struct_ops
from bpfas.loader.syscall.bpf import Command

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bpfas.diag import Diagnostic
    from bpfas.loader.gen.loader_program import Context
    from bpfas.loader.gen.options import GenOptions
    from bpfas.loader.gen.script import Cell, Find, Step, Value
    from bpfas.loader.loading.struct_ops import StructOpsValue
    from bpfas.loader.spec import Image, MapSpec, ProgramSpec

_BTF_TOKEN_FLAG = 1 << 16
"""BPF_F_TOKEN_FD, in the flags of BTF_LOAD."""


class Composition(NamedTuple):
    """What a loader program does, and the memory that it is given; `warnings` tell what is left out."""

    script: Script
    context: Context
    warnings: tuple[Diagnostic, ...]


def compose(image: Image, options: GenOptions) -> Composition:
    """What the loader program of `image` does.

    Raises BpfasError with everything that is wrong with the image, or that no loader program can do.
    """
    diagnostics = Diagnostics()
    maps = {name: spec for name, spec in image.maps.items() if spec.autocreate}
    values = _struct_ops_values(maps.values(), image, options, diagnostics)
    members = agreed_members(values, image, diagnostics)
    ops_types = _operations(maps.values())
    programs = programs_to_load(image, members.keys() if options.types else ops_types.keys())
    for program in programs:
        check_program(program, image, diagnostics, has_target=True, is_of_struct_ops=program.name in ops_types)
    kconfig = fixed_kconfig(image, options, diagnostics)
    refuse(image, maps, programs, options, kconfig, diagnostics)
    diagnostics.raise_if_errors()
    # From here on it is settled which maps and programs there are, and that they can be made.
    context = lay_out(image, {program.name for program in programs}, options)
    inputs = Inputs(context)
    kernel_btf, strings = with_access_strings(image.kernel_btf, image.byte_order, programs)
    finds = all_finds(image, maps.values(), programs, ops_types)
    table = _table(finds, maps.values(), programs)
    program_steps = ProgramSteps(image, inputs, table, strings, ops_types, members)
    hashes = {
        spec.name: hashlib.sha256(program_steps.code(image.programs[spec.exclusive_program]).data).digest()
        for spec in maps.values()
        if spec.exclusive_program
    }
    map_steps = MapSteps(image, inputs, options, hashes, kconfig)
    value_sizes = {name: value.value_size for name, value in values.items()}
    loaded = {program.name: program for program in programs}
    filled = [_without_absent(spec, maps, loaded, image, diagnostics) for spec in maps.values() if spec.slots]
    steps: list[Step] = [*finds]
    if kernel_btf is not None:
        steps.append(_load_btf(kernel_btf, inputs))
    for spec in maps.values():
        steps += map_steps.create(spec, value_sizes)
    # A slot may name a map that comes later, or a program.
    steps += [step for spec in filled if not _holds_programs(spec) for step in map_steps.fill_slots(spec)]
    steps += map(program_steps.load, programs)
    steps += [step for spec in filled if _holds_programs(spec) for step in map_steps.fill_slots(spec)]
    steps += [Close(found.owner) for found in finds]
    if kernel_btf is not None:
        steps.append(Close(BTF))
    results = [Result(map_cell(spec.name), offset) for spec, offset in context.maps if spec.name in maps]
    results += [Result(program_cell(each.spec.name), each.offset) for each in context.programs if each.is_loaded]
    warnings = (*image.warnings, *diagnostics.items)
    return Composition(Script(tuple(table), tuple(steps), tuple(results)), context, warnings)


def _holds_programs(spec: MapSpec) -> bool:
    return spec.map_type == MapType.PROG_ARRAY


def _struct_ops_values(
    maps: Iterable[MapSpec], image: Image, options: GenOptions, diagnostics: Diagnostics
) -> dict[str, StructOpsValue]:
    """The kernel's values of struct_ops maps, if the kernel's types are known."""
    if options.types is None:
        return {}
    kernel = DescribedKernel(options.types)
    return {
        spec.name: value
        for spec in maps
        if spec.struct_ops and (value := resolve_struct_ops(spec, image, kernel, diagnostics))
    }


def _operations(maps: Iterable[MapSpec]) -> dict[str, str]:
    """By the name of a program, the struct of operations that calls it."""
    return {
        program: stem_of(spec.struct_ops.type_name)
        for spec in maps
        if spec.struct_ops
        for program in spec.struct_ops.programs.values()
    }


def _table(finds: Iterable[Find], maps: Iterable[MapSpec], programs: Iterable[ProgramSpec]) -> list[Cell]:
    """All descriptors: those that calls name by 16 bits first, behind one that no call can name."""
    table = [BTF, *(found.owner for found in finds)]
    for spec in maps:
        table.append(map_cell(spec.name))
        if spec.inner:
            table.append(inner_cell(spec.name))
    for program in programs:
        table.append(program_cell(program.name))
        table += [jump_table_cell(program.name, number) for number in range(len(program.jump_tables))]
    return table


def _load_btf(kernel_btf: bytes, inputs: Inputs) -> Call:
    item = Item("BTF", kernel_btf)
    fields: dict[str, Value] = {"btf": Address(item), "btf_size": len(kernel_btf)}
    fields |= {f"btf_{name}": value for name, value in LOG_FIELDS}
    token = inputs.fact(FactKind.TOKEN)
    if token:
        fields["btf_token_fd"] = token
    flags_if = (("btf_flags", token, _BTF_TOKEN_FLAG),) if token else ()
    return Call("BTF", Command.BTF_LOAD, tuple(fields.items()), BTF, flags_if=flags_if)


def _without_absent(
    spec: MapSpec,
    maps: Mapping[str, MapSpec],
    programs: Mapping[str, ProgramSpec],
    image: Image,
    diagnostics: Diagnostics,
) -> MapSpec:
    """A map without slots for what is not created or loaded, which is told."""
    known = programs if _holds_programs(spec) else maps
    for slot in spec.slots:
        if slot.name not in known:
            diagnostics.warning(
                f"map {spec.name}[{slot.index}] stays empty: '{slot.name}' is not loaded", image.name
            )
    return spec._replace(slots=tuple(slot for slot in spec.slots if slot.name in known))
