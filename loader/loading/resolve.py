"""An Image and a kernel to a Plan: everything that an object leaves to the kernel is looked up and written in.

The passes are `resolve`'s lines: the kernel's configuration, names, types (CO-RE), what programs are attached to,
what maps are like on this machine. Nothing is created, so a kernel that only files describe serves as well, and
all errors of the image are told in one run. The system calls are `bpfas.loader.loading.execute`. The modules of
passes that many objects have nothing for are imported by those that have.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpfas.diag import Diagnostics
from bpfas.loader.kernel.features import Feature
from bpfas.loader.loading.arg_ctx import has_tagged_contexts, with_context_types
from bpfas.loader.loading.map_plans import plan_maps
from bpfas.loader.loading.options import NO_OPTIONS
from bpfas.loader.loading.plan import Plan
from bpfas.loader.loading.program_choice import check_program, check_targets, programs_to_load
from bpfas.loader.loading.program_plans import ProgramPlanner

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bpfas.loader.core.resolver import CoreResolver
    from bpfas.loader.kernel.kernel import Kernel
    from bpfas.loader.loading.ksyms import KernelSymbol
    from bpfas.loader.loading.options import LoadOptions
    from bpfas.loader.loading.struct_ops import StructOpsMember, StructOpsValue
    from bpfas.loader.spec import Image


def resolve(image: Image, kernel: Kernel, options: LoadOptions = NO_OPTIONS) -> Plan:
    """What is to be created and loaded for `image` on `kernel`.

    Raises BpfasError with everything that the kernel lacks and the image cannot do without.
    """
    diagnostics = Diagnostics()
    if has_tagged_contexts(image) and not kernel.has(Feature.ARG_CTX_TAG):
        image = with_context_types(image)
    struct_ops, operations = resolve_struct_ops_maps(image, kernel, diagnostics)
    chosen = programs_to_load(image, {name for value in struct_ops.values() for name in value.programs})
    check_targets(image, options, diagnostics)
    for program in chosen:
        check_program(
            program,
            image,
            diagnostics,
            has_target=options.target_of(program) is not None,
            is_of_struct_ops=program.name in operations,
        )
    used = {extern.name for program in chosen for extern in program.externs}
    externs = {name: extern for name, extern in image.externs.items() if name in used}
    symbols = _find_externs(image.with_parts(externs=externs), kernel, diagnostics) if externs else {}
    names = {program.name for program in chosen}
    maps = plan_maps(image, names, kernel, options, struct_ops, diagnostics)
    # From here on it is settled which maps there are and what each name stands for.
    resolver = _core_resolver(image, kernel, options)
    planner = ProgramPlanner(
        image,
        kernel,
        options,
        maps,
        symbols,
        {name: number for number, name in enumerate(image.numbered_externs)},
        operations,
        resolver,
        diagnostics,
    )
    programs = {program.name: planner.plan(program) for program in chosen}
    diagnostics.raise_if_errors()
    return Plan(image, image.kernel_btf, maps, programs, (*image.warnings, *diagnostics.items))


def resolve_struct_ops_maps(
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
