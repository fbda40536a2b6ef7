"""An Image and a kernel to a Plan: everything that an object leaves to the kernel is looked up and written in.

The passes are `resolve`'s lines: the kernel's configuration, names, types (CO-RE), what programs are attached to,
what maps are like on this machine. Nothing is created, so a kernel that only files describe serves as well, and
all errors of the image are told in one run. The system calls are `bpfas.loader.loading.execute`. The modules of
passes that many objects have nothing for are imported by those that have.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from bpfas.diag import Diagnostics
from bpfas.helpers import HELPERS
from bpfas.loader.instructions import ABSENT_MAP, CALL, CallSource, Code
from bpfas.loader.kernel.features import Feature
from bpfas.loader.kinds import NO_ATTACH_TYPE, RING_BUFFER_MAP_TYPES, AttachType, MapType, ProgramType
from bpfas.loader.loading.arg_ctx import has_tagged_contexts, with_context_types
from bpfas.loader.loading.attach_target import AttachTarget, find_attach_target
from bpfas.loader.loading.options import NO_OPTIONS
from bpfas.loader.loading.plan import BtfField, MapPlan, Plan, ProgramPlan
from bpfas.loader.nearest import did_you_mean
from bpfas.loader.sections import SectionFlag, similar_sections
from bpfas.section_names import KCONFIG_SECTION

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from bpfas.loader.core.failures import CoreFailure
    from bpfas.loader.core.resolver import CoreResolver
    from bpfas.loader.kernel.kernel import Kernel, KernelBtf
    from bpfas.loader.loading.ksyms import KernelSymbol
    from bpfas.loader.loading.options import LoadOptions
    from bpfas.loader.loading.struct_ops import StructOpsMember, StructOpsValue
    from bpfas.loader.spec import Image, MapSpec, ProgramSpec, Slot

_VERSION_OF_PROBES = 5 << 16 | 5 << 8
_OLDER_HELPERS = {
    HELPERS[f"bpf_{new}"].number: HELPERS[f"bpf_{old}"].number
    for new, old in (
        ("probe_read_user", "probe_read"),
        ("probe_read_kernel", "probe_read"),
        ("probe_read_user_str", "probe_read_str"),
        ("probe_read_kernel_str", "probe_read_str"),
    )
}
_VERSION_OF_GLOBAL_DATA = 5 << 16 | 2 << 8
"""From this version of Linux on nobody has to try whether there is global data."""

_MOST_MODULES = 0x7FFF
"""Modules whose functions a program may call: a call has their index in its offset, from 1 on."""
_NO_VALUE_BY_ADDRESS = "this kernel has no global data (Linux before 5.2), so the map is left out"


def resolve(image: Image, kernel: Kernel, options: LoadOptions = NO_OPTIONS) -> Plan:
    """What is to be created and loaded for `image` on `kernel`.

    Raises BpfasError with everything that the kernel lacks and the image cannot do without.
    """
    diagnostics = Diagnostics()
    if has_tagged_contexts(image) and not kernel.has(Feature.ARG_CTX_TAG):
        image = with_context_types(image)
    struct_ops, operations = _resolve_struct_ops(image, kernel, diagnostics)
    programs_to_load = _programs_to_load(image, struct_ops)
    for name in options.target if isinstance(options.target, Mapping) else ():
        if name not in image.programs:
            message = f"a target is given for program '{name}', which there is not"
            diagnostics.error(message, image.name, did_you_mean(name, list(image.programs)))
    for program in programs_to_load:
        _check_program(program, image, options, diagnostics, is_of_struct_ops=program.name in operations)
    used = {extern.name for program in programs_to_load for extern in program.externs}
    externs = {name: extern for name, extern in image.externs.items() if name in used}
    symbols = _find_externs(image.with_parts(externs=externs), kernel, diagnostics) if externs else {}
    names = {program.name for program in programs_to_load}
    maps = _plan_maps(image, names, kernel, options, struct_ops, diagnostics)
    # From here on it is settled which maps there are and what each name stands for.
    resolver = _core_resolver(image, kernel, options)
    extern_numbers = {name: number for number, name in enumerate(image.numbered_externs)}
    programs = {
        program.name: _plan_program(
            program,
            image,
            maps,
            symbols,
            extern_numbers,
            operations.get(program.name),
            resolver,
            kernel,
            options,
            diagnostics,
        )
        for program in programs_to_load
    }
    diagnostics.raise_if_errors()
    return Plan(image, image.kernel_btf, maps, programs, (*image.warnings, *diagnostics.items))


def _resolve_struct_ops(
    image: Image, kernel: Kernel, diagnostics: Diagnostics
) -> tuple[dict[str, StructOpsValue], dict[str, StructOpsMember]]:
    """The maps of struct_ops by name, and by a program's name the member that calls it."""
    specs = {name: spec for name, spec in image.maps.items() if spec.struct_ops and spec.autocreate}
    if not specs:
        return {}, {}
    from bpfas.loader.loading.struct_ops import agreed_members, resolve_struct_ops

    values = {
        name: value
        for name, spec in specs.items()
        if (value := resolve_struct_ops(spec, image, kernel, diagnostics))
    }
    return values, agreed_members(values, image, diagnostics)


def _find_externs(image: Image, kernel: Kernel, diagnostics: Diagnostics) -> Mapping[str, KernelSymbol]:
    from bpfas.loader.loading.ksyms import find_externs

    return find_externs(image, kernel, diagnostics)


def _core_resolver(image: Image, kernel: Kernel, options: LoadOptions) -> CoreResolver | None:
    """What resolves the image's CO-RE relocations; None where it has none."""
    if image.types is None or not any(program.core for program in image.programs.values()):
        return None
    from bpfas.loader.core.resolver import CoreResolver

    if options.btf is None:
        return CoreResolver(image.types, kernel)
    from bpfas.loader.kernel.described import DescribedKernel
    from bpfas.loader.kernel.type_files import types_in_file

    return CoreResolver(image.types, DescribedKernel(types_in_file(options.btf)))


def _programs_to_load(image: Image, struct_ops: Mapping[str, StructOpsValue]) -> list[ProgramSpec]:
    """The programs that are asked for; those of struct_ops are if a map that is created calls them."""
    wanted = {name for value in struct_ops.values() for name in value.programs}
    of_struct_ops = {
        name for spec in image.maps.values() if spec.struct_ops for name in spec.struct_ops.programs.values()
    }
    return [
        program
        for program in image.programs.values()
        if (program.name in wanted if program.name in of_struct_ops else program.autoload)
    ]


def _check_program(
    program: ProgramSpec, image: Image, options: LoadOptions, diagnostics: Diagnostics, *, is_of_struct_ops: bool
) -> None:
    at = f"{image.name}:({program.section})"
    if program.program_type == ProgramType.UNSPEC:
        similar = similar_sections(program.section)
        hint = f"did you mean {' or '.join(similar)}?" if similar else "name the section xdp, tc, kprobe/..., ..."
        diagnostics.error(
            f"section '{program.section}' of program '{program.name}' stands for no program type", at, (hint,)
        )
    elif program.program_type == ProgramType.EXT:
        if not program.attach_target:
            message = f"section '{program.section}' does not say which function '{program.name}' replaces"
            diagnostics.error(message, at, ("name the section freplace/FUNCTION",))
        elif options.target_of(program) is None:
            message = f"program '{program.name}' replaces function '{program.attach_target}' of a loaded program"
            diagnostics.error(message, at, ("say of which: bpf-load --target ID or --target /sys/fs/bpf/PATH",))
    elif program.program_type == ProgramType.STRUCT_OPS and not is_of_struct_ops:
        diagnostics.error(
            f"program '{program.name}' is of type struct_ops, but no struct of operations refers to it",
            at,
            ("put its address into a member of a variable in section .struct_ops or .struct_ops.link",),
        )


def _plan_maps(
    image: Image,
    programs: Collection[str],
    kernel: Kernel,
    options: LoadOptions,
    struct_ops: Mapping[str, StructOpsValue],
    diagnostics: Diagnostics,
) -> dict[str, MapPlan]:
    has_global_data = kernel.version >= _VERSION_OF_GLOBAL_DATA or kernel.has(Feature.GLOBAL_DATA)
    maps = {}
    for name, spec in image.maps.items():
        if not spec.autocreate:
            continue
        if spec.section and not has_global_data:
            diagnostics.warning(_NO_VALUE_BY_ADDRESS, f"{image.name}:({spec.section})")
            continue
        if spec.section == KCONFIG_SECTION:
            from bpfas.loader.kernel.kconfig import kconfig_contents

            contents = kconfig_contents(
                image.kconfig,
                spec.value_size,
                kernel,
                options.kconfig,
                diagnostics,
                order=image.byte_order,
            )
            spec = spec._replace(contents=contents)
        value = struct_ops.get(name)
        if value:
            # Elements are the kernel's struct, not the object's.
            spec = spec._replace(value_size=value.value_size, value_type=0)
        spec = _for_machine(spec, kernel)
        _check_room(spec, kernel, image.name, diagnostics)
        if spec.exclusive_program and spec.exclusive_program not in programs:
            message = f"map '{name}' is exclusive to program '{spec.exclusive_program}', which is not loaded"
            diagnostics.error(
                message, image.name, ("have it loaded (autoload), or the map not created (autocreate)",)
            )
        maps[name] = MapPlan(spec, value)
    return maps


def _check_room(spec: MapSpec, kernel: Kernel, at: str, diagnostics: Diagnostics) -> None:
    """Whether a map has room for what it is to be filled with."""
    entries, subject = spec.max_entries, f"map '{spec.name}' has {spec.max_entries}"
    if spec.map_type == MapType.ARENA and spec.contents:
        pages = -(-len(spec.contents) // kernel.page_size)
        if pages > entries:
            message = f"{subject} pages of {kernel.page_size} bytes, but the data in it takes {pages}"
            diagnostics.error(message, at, (f"give it max_entries of {pages} at least",))
    elif spec.map_type == MapType.HASH_OF_MAPS:
        if len(spec.slots) > entries:
            message = f"{subject} entries, but {len(spec.slots)} maps are put into it"
            diagnostics.error(message, at, (f"give it max_entries of {len(spec.slots)} at least",))
    elif spec.slots and (last := max(spec.slots, key=_index_of)).index >= entries:
        message = f"{subject} entries, but '{last.name}' is put into it as number {last.index}"
        diagnostics.error(message, at, (f"give it max_entries of {last.index + 1} at least",))


def _index_of(slot: Slot) -> int:
    return slot.index


def _for_machine(spec: MapSpec, kernel: Kernel) -> MapSpec:
    """`spec` with the entries that depend on the machine: those of ring buffers, and one for each CPU."""
    inner = spec.inner and _for_machine(spec.inner, kernel)
    entries = spec.max_entries
    if spec.map_type in RING_BUFFER_MAP_TYPES:
        # A power of two, and whole pages.
        entries = max(kernel.page_size, 1 << (entries - 1).bit_length()) if entries else 0
    elif spec.map_type == MapType.PERF_EVENT_ARRAY and not entries:
        entries = kernel.possible_cpus
    elif spec.map_type == MapType.ARENA and spec.contents and kernel.has(Feature.LDIMM64_FULL_RANGE_OFF):
        # At the end, so that the program's own allocations begin where the arena does.
        pages = -(-len(spec.contents) // kernel.page_size)
        spec = spec._replace(data_offset=max(0, entries - pages) * kernel.page_size)
    return spec._replace(max_entries=entries, inner=inner)


def _plan_program(
    program: ProgramSpec,
    image: Image,
    maps: Mapping[str, MapPlan],
    symbols: Mapping[str, KernelSymbol],
    extern_numbers: Mapping[str, int],
    operation: StructOpsMember | None,
    resolver: CoreResolver | None,
    kernel: Kernel,
    options: LoadOptions,
    diagnostics: Diagnostics,
) -> ProgramPlan:
    code = Code(program.instructions, image.byte_order)
    failures: Sequence[CoreFailure] = ()
    if program.core and resolver:
        from bpfas.loader.core.apply import apply_core

        failures = apply_core(code, program.core, resolver, f"{image.name}:({program.section})", diagnostics)
    references = [reference for reference in program.references if reference.map_name in maps]
    for reference in references:
        if data_offset := maps[reference.map_name].spec.data_offset:
            code.set_imm(reference.instruction + 1, reference.offset + data_offset)
    _poison_absent_maps(program, code, image, maps)
    btf_fields, fd_array = _write_externs(program, code, extern_numbers, symbols)
    if len(fd_array) > _MOST_MODULES:
        message = f"program '{program.name}' calls functions of {len(fd_array)} modules"
        remedy = f"an instruction can tell {_MOST_MODULES} apart; make it several programs"
        diagnostics.error(message, f"{image.name}:({program.section})", (remedy,))
    _avoid_new_helpers(code, kernel)
    attach = None
    if operation:
        attach = AttachTarget(operation.ops_type, operation.owner)
        program = program._replace(expected_attach_type=operation.member_index)
    elif options.target_of(program) is None:
        attach = find_attach_target(program, kernel, diagnostics, image.name)
    if SectionFlag.USDT in program.kind.flags and _has_multi_uprobes(program, kernel):
        # All sites of a probe by one link.
        program = program._replace(expected_attach_type=AttachType.TRACE_UPROBE_MULTI)
    return ProgramPlan(
        program._replace(references=tuple(references)),
        bytes(code.data),
        btf_fields,
        fd_array,
        attach,
        {failure.instruction: failure.text for failure in failures},
    )


def _poison_absent_maps(program: ProgramSpec, code: Code, image: Image, maps: Mapping[str, MapPlan]) -> None:
    """Put calls that no kernel knows into both halves of loads of what is not created.

    The verifier names them if the program gets there.
    """
    absent = [reference for reference in program.references if reference.map_name not in maps]
    numbers = {name: number for number, name in enumerate(image.maps)} if absent else {}
    for reference in absent:
        for half in (reference.instruction, reference.instruction + 1):
            code.put_call(half, ABSENT_MAP + numbers[reference.map_name])


def _has_multi_uprobes(program: ProgramSpec, kernel: Kernel) -> bool:
    return program.expected_attach_type == NO_ATTACH_TYPE and kernel.has(Feature.UPROBE_MULTI_LINK)


def _write_externs(
    program: ProgramSpec, code: Code, numbers: Mapping[str, int], symbols: Mapping[str, KernelSymbol]
) -> tuple[tuple[BtfField, ...], tuple[KernelBtf, ...]]:
    """Put what externs stand for into their instructions; what is left are the descriptors of modules' BTF."""
    if not program.externs:
        return (), ()
    from bpfas.loader.loading.ksyms import write_extern

    fields: list[BtfField] = []
    modules: list[KernelBtf] = []
    for reference in program.externs:
        symbol = symbols.get(reference.name)
        if symbol is None:
            continue  # which was reported
        write_extern(code, reference.instruction, symbol, numbers[reference.name])
        owner = symbol.owner
        if owner is None or owner.first_own_id == 1:
            continue
        if code.opcode(reference.instruction) != CALL:
            fields.append(BtfField(reference.instruction, owner))
            continue
        if owner not in modules:
            modules.append(owner)
        code.set_offset(reference.instruction, min(modules.index(owner) + 1, _MOST_MODULES))
    return tuple(fields), tuple(modules)


def _avoid_new_helpers(code: Code, kernel: Kernel) -> None:
    """Read memory by the older helpers on a kernel that lacks those which tell whose memory it is."""
    if kernel.version >= _VERSION_OF_PROBES:
        return
    calls = [
        index
        for index in code.starts()
        if code.opcode(index) == CALL
        and code.src(index) == CallSource.HELPER
        and code.imm(index) in _OLDER_HELPERS
    ]
    if calls and not kernel.has(Feature.PROBE_READ_KERNEL):
        for index in calls:
            code.set_imm(index, _OLDER_HELPERS[code.imm(index)])
