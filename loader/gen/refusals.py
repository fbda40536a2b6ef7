"""What no loader program can do, found in an Image before anything is made, and told with the reason.

Source: bpf_sys_bpf, the checks of BPF_PROG_LOAD and of programs of type SYSCALL in Linux 6.18.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpfas.loader.gen.kconfig import undetermined
from bpfas.loader.gen.lookups import find_extern
from bpfas.loader.gen.script import Place
from bpfas.loader.kernel.kconfig import OPTION_PREFIX
from bpfas.loader.loading.attach_target import is_for_many, report_no_target, target_form
from bpfas.section_names import KCONFIG_SECTION

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bpfas.diag import Diagnostics
    from bpfas.loader.gen.options import GenOptions
    from bpfas.loader.spec import Image, MapSpec, ProgramSpec

_MOST_FUNCTIONS = 0x7FFF
"""A call names the module of a function by an index of 16 bits, a signed one."""


def refuse(
    image: Image,
    maps: Mapping[str, MapSpec],
    programs: Sequence[ProgramSpec],
    options: GenOptions,
    kconfig: bytes | None,
    diagnostics: Diagnostics,
) -> None:
    """Tell `diagnostics` what of these maps and programs no loader program can make."""
    names = {program.name for program in programs}
    for spec in maps.values():
        _check_map(spec, image, names, diagnostics)
        if spec.section == KCONFIG_SECTION and kconfig is None and options.scheme is not None:
            _report_unsigned_kconfig(image, options, diagnostics)
        elif spec.struct_ops and options.scheme is not None and options.types is None:
            diagnostics.error(
                f"map '{spec.name}' is as long as the kernel's struct, which a signed program is not told",
                image.name,
                ("give the kernel's types, --btf FILE, by which the program is made then",),
            )
    functions = {
        extern.name
        for extern in image.externs.values()
        if (found := find_extern(extern)) and found.places[0] is Place.FUNCTION
    }
    if len(functions) > _MOST_FUNCTIONS:
        message = f"{len(functions)} functions of the kernel are called"
        diagnostics.error(message, image.name, (f"a call can tell {_MOST_FUNCTIONS} of them apart",))
    for program in programs:
        _check_program(program, image, diagnostics)


def _check_map(spec: MapSpec, image: Image, programs: set[str], diagnostics: Diagnostics) -> None:
    name = spec.exclusive_program
    if not name:
        return
    if name not in programs:
        message = f"map '{spec.name}' is exclusive to program '{name}', which is not loaded"
        diagnostics.error(message, image.name, ("have it loaded (autoload), or the map not created (autocreate)",))
        return
    program = image.programs[name]
    looked_up = {each.name for each in program.externs if find_extern(image.externs[each.name])}
    reasons = []
    if looked_up:
        reasons.append(f"its instructions name {', '.join(sorted(looked_up))} of the kernel it is loaded into")
    if program.core:
        reasons.append(f"the kernel it is loaded into resolves its {len(program.core)} CO-RE relocations")
    if reasons:
        diagnostics.error(
            f"map '{spec.name}' is exclusive to program '{name}', whose hash cannot be known before it is loaded",
            image.name,
            (*reasons, "load the object directly, or leave exclusive_program empty"),
        )


def _check_program(program: ProgramSpec, image: Image, diagnostics: Diagnostics) -> None:
    at = f"{image.name}:({program.section})"
    form = target_form(program)
    if form and is_for_many(program):
        module, colon, _ = program.attach_target.partition(":")
        if colon and module != "vmlinux":
            diagnostics.error(
                f"program '{program.name}' is for many functions of module '{module}'",
                at,
                ("a loader program finds a module by a name in its types only; load the object directly",),
            )
    elif form and not program.attach_target:
        report_no_target(program, form, at, diagnostics)
    if program.core and not program.func_info and not program.line_info:
        diagnostics.error(
            f"program '{program.name}' has {len(program.core)} CO-RE relocations, but no records of functions",
            at,
            (
                "a loader program leaves them to the kernel, which resolves them in programs with such records",
                "compile with -g, or load the object directly",
            ),
        )


def _report_unsigned_kconfig(image: Image, options: GenOptions, diagnostics: Diagnostics) -> None:
    names = undetermined(image, options)
    remedies = []
    if any(name.startswith(OPTION_PREFIX) for name in names):
        remedies.append("give those that CONFIG_… has on the kernels it is for, --kconfig FILE")
    if not all(name.startswith(OPTION_PREFIX) for name in names):
        remedies.append("LINUX_… is known where the program runs alone; declare it weak, and it is 0")
    diagnostics.error(
        f"the values of {', '.join(names)} are not known, and a signed program takes none from whoever runs it",
        image.name,
        tuple(remedies),
    )
