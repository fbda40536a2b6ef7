"""What a loader program is given on the machine at hand, and what it will have made there: a Plan.

Nothing is asked of bpf(2) here. Only what the program cannot find out by itself is looked up: the contents of
`.kconfig`, CPUs, the kernel's structs of operations. Everything else is left to the program, and so costs nothing.
"""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any, NamedTuple

from bpfas.diag import BpfasError, Diagnostics
from bpfas.elf.constants import HOST_ORDER, ByteOrder
from bpfas.loader.gen.loader_program import CONTENTS_OFFSET, ENTRIES_OFFSET, FactKind
from bpfas.loader.gen.script import Call, Fill
from bpfas.loader.kinds import MapType
from bpfas.loader.loading.map_plans import check_room, with_entries
from bpfas.loader.loading.plan import MapPlan, Plan, ProgramPlan
from bpfas.section_names import KCONFIG_SECTION

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from bpfas.loader.gen.loader_program import LoaderProgram
    from bpfas.loader.kernel.kernel import Kernel
    from bpfas.loader.loading.options import LoadOptions
    from bpfas.loader.loading.struct_ops import StructOpsMember, StructOpsValue
    from bpfas.loader.spec import Image, MapSpec

_ORDER_WORDS = {ByteOrder.LITTLE: "little-endian", ByteOrder.BIG: "big-endian"}


class Inputs(NamedTuple):
    """What is put into the context, and the Plan of what results.

    `contents` and `entries` are, by map, what takes the place of the object's; `facts` those that need no
    descriptor. `left_out` are programs that are not to be loaded on this kernel.
    """

    plan: Plan
    contents: dict[str, bytes]
    entries: dict[str, int]
    facts: dict[tuple[FactKind, str], int]
    left_out: frozenset[str]


def inputs_of(
    program: LoaderProgram,
    kernel: Kernel,
    options: LoadOptions,
    values: Mapping[str, Any],
    max_entries: Mapping[str, int],
) -> Inputs:
    """What `program` is given on `kernel`: `values` are of variables, `max_entries` of maps, by their names.

    Raises BpfasError for what this machine or the program cannot do, and with all that the kernel lacks.
    """
    check_byte_order(program)
    _check_can_be_given(program, options, values, max_entries)
    image = _changed(program.image, values, max_entries)
    diagnostics = Diagnostics()
    struct_ops, members = _struct_ops(image, kernel, diagnostics)
    contents = {
        name: spec.contents
        for name, spec in image.maps.items()
        if spec.contents is not None and spec.contents != program.image.maps[name].contents
    }
    if program.scheme is None:
        contents |= _kconfig(program, image, kernel, options, diagnostics)
    maps = {}
    for name, spec in image.maps.items():
        if not spec.autocreate:
            continue
        planned = with_entries(spec._replace(contents=contents.get(name, spec.contents)), kernel)
        value = struct_ops.get(name)
        if value:
            planned = planned._replace(value_size=value.value_size, value_type=0)
        check_room(planned, kernel, program.name, diagnostics)
        maps[name] = MapPlan(planned, value)
    diagnostics.raise_if_errors()
    entries = {
        name: plan.spec.max_entries
        for name, plan in maps.items()
        if name in max_entries
        or (plan.spec.map_type == MapType.PERF_EVENT_ARRAY and not image.maps[name].max_entries)
    }
    facts = {(FactKind.VALUE_SIZE, name): value.value_size for name, value in struct_ops.items()}
    facts |= {(FactKind.MEMBER_INDEX, name): member.member_index for name, member in members.items()}
    # Members that the kernel does not have are nothing that a program could be loaded for.
    left_out = frozenset(
        fact.subject
        for fact in program.context.facts
        if fact.kind is FactKind.MEMBER_INDEX and fact.subject not in members
    )
    programs = {}
    for entry in program.context.programs:
        if entry.is_loaded and entry.spec.name not in left_out:
            loaded = entry.spec
            if member := members.get(loaded.name):
                loaded = loaded._replace(expected_attach_type=member.member_index)
            programs[loaded.name] = ProgramPlan(loaded, loaded.instructions)
    warnings = (*program.warnings, *diagnostics.items)
    _check_has_places(program, image, contents.keys(), max_entries.keys())
    return Inputs(Plan(image, image.kernel_btf, maps, programs, warnings), contents, entries, facts, left_out)


def check_byte_order(program: LoaderProgram) -> None:
    """Raise BpfasError if `program` is not for machines of this byte order."""
    if program.byte_order is not HOST_ORDER:
        given, host = _ORDER_WORDS[program.byte_order], _ORDER_WORDS[HOST_ORDER]
        raise BpfasError.of(
            f"the loader program is {given}, but this machine is {host}",
            program.name,
            (f"generate it from an object that is assembled or compiled for {host}",),
        )


def _check_can_be_given(
    program: LoaderProgram, options: LoadOptions, values: Mapping[str, Any], max_entries: Mapping[str, int]
) -> None:
    if options.btf is not None:
        raise BpfasError.of(
            "a loader program has the kernel that runs it resolve CO-RE relocations: other types cannot be given",
            program.name,
            ("leave the file of types out; or load the object itself with it",),
        )
    given = [*(f"variable {name}" for name in values), *(f"max_entries of map {name}" for name in max_entries)]
    if program.scheme is not None and given:
        raise BpfasError.of(
            f"the loader program is made to be signed, so what is in it cannot be changed: {', '.join(given)}",
            program.name,
            ("set it when the program is generated (bpf-load gen --set, --map), and sign that",),
        )
    if program.scheme is not None and options.kconfig:
        raise BpfasError.of(
            "the loader program is made to be signed, so kernel configuration cannot be given when it runs",
            program.name,
            ("give it when the program is generated (bpf-load gen --kconfig), and sign that",),
        )


def _check_has_places(
    program: LoaderProgram, image: Image, contents: Collection[str], max_entries: Collection[str]
) -> None:
    """Refuse what the program would not look at."""
    in_context = [name for name in contents if not (image.maps[name].struct_ops or _is_arena(image.maps[name]))]
    if not in_context and not max_entries:
        return
    steps = program.script.numbered_steps()
    taken = {step.given.offset for step in steps if isinstance(step, Fill)}
    taken |= {given.offset for step in steps if isinstance(step, Call) for _, given in step.overrides}
    offsets = {entry.spec.name: entry.offset for entry in program.context.maps}
    for names, place, words in (
        (in_context, CONTENTS_OFFSET, "other contents"),
        (max_entries, ENTRIES_OFFSET, "another number of entries"),
    ):
        for name in names:
            if offsets[name] + place not in taken:
                message = f"the loader program is not made to give map '{name}' {words}"
                raise BpfasError.of(message, program.name, ("set it when the program is generated",))


def _is_arena(spec: MapSpec) -> bool:
    return spec.map_type == MapType.ARENA


def _changed(image: Image, values: Mapping[str, Any], max_entries: Mapping[str, int]) -> Image:
    """The image with other values of variables and other max_entries; `image` itself stays as it is."""
    changed = copy(image)
    changed.maps = dict(image.maps)
    for name, value in values.items():
        changed.data[name] = value
    for name, entries in max_entries.items():
        changed.set_map(name, max_entries=entries)
        if entries == 0 and image.maps[name].max_entries:
            message = f"map '{name}' cannot be given 0 entries when the program runs: 0 stands for what it has"
            raise BpfasError.of(message, image.name, ("set it when the program is generated",))
    return changed


def _kconfig(
    program: LoaderProgram, image: Image, kernel: Kernel, options: LoadOptions, diagnostics: Diagnostics
) -> dict[str, bytes]:
    """The contents of the map `.kconfig`, by its name; nothing for an image that has none."""
    found = [spec for spec in image.maps.values() if spec.section == KCONFIG_SECTION and spec.autocreate]
    if not found:
        return {}
    from bpfas.loader.kernel.kconfig import kconfig_contents  # few objects ask for it

    # Of several lines about an option the first counts.
    text = f"{options.kconfig}\n{program.kconfig}"
    return {
        spec.name: kconfig_contents(
            image.kconfig, spec.value_size, kernel, text, diagnostics, order=image.byte_order
        )
        for spec in found
    }


def _struct_ops(
    image: Image, kernel: Kernel, diagnostics: Diagnostics
) -> tuple[dict[str, StructOpsValue], dict[str, StructOpsMember]]:
    """The kernel's values of the maps of struct_ops by name, and by a program's name the member that calls it."""
    if not any(spec.struct_ops and spec.autocreate for spec in image.maps.values()):
        return {}, {}
    from bpfas.loader.loading.resolve import resolve_struct_ops_maps  # what few objects have

    return resolve_struct_ops_maps(image, kernel, diagnostics)
