"""Which programs of an Image are loaded, and whether they can be, by what the Image says of them alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from bpfas.loader.kinds import ProgramType
from bpfas.loader.nearest import did_you_mean
from bpfas.loader.sections import similar_sections

if TYPE_CHECKING:
    from collections.abc import Collection

    from bpfas.diag import Diagnostics
    from bpfas.loader.loading.options import LoadOptions
    from bpfas.loader.spec import Image, ProgramSpec

_IPROUTE2_SLOT = re.compile(r"[0-9]+/[0-9]+")


def programs_to_load(image: Image, operations: Collection[str]) -> list[ProgramSpec]:
    """The programs that are asked for; of those of struct_ops, the ones in `operations`, which maps call."""
    of_struct_ops = {
        name for spec in image.maps.values() if spec.struct_ops for name in spec.struct_ops.programs.values()
    }
    return [
        program
        for program in image.programs.values()
        if (program.name in operations if program.name in of_struct_ops else program.autoload)
    ]


def check_targets(image: Image, options: LoadOptions, diagnostics: Diagnostics) -> None:
    """Whether there are the programs that targets are given for; what is wrong goes to `diagnostics`."""
    for name in options.target if isinstance(options.target, Mapping) else ():
        if name not in image.programs:
            message = f"a target is given for program '{name}', which there is not"
            diagnostics.error(message, image.name, did_you_mean(name, list(image.programs)))


def check_program(
    program: ProgramSpec, image: Image, diagnostics: Diagnostics, *, has_target: bool, is_of_struct_ops: bool
) -> None:
    """Whether a program is something that can be loaded; what is wrong goes to `diagnostics`.

    `has_target` says whether the program that it replaces a function of is known, `is_of_struct_ops` whether a
    struct of operations calls it.
    """
    at = f"{image.name}:({program.section})"
    if program.program_type == ProgramType.UNSPEC:
        similar = similar_sections(program.section)
        hint = f"did you mean {' or '.join(similar)}?" if similar else "name the section xdp, tc, kprobe/..., ..."
        if _IPROUTE2_SLOT.fullmatch(program.section):
            hint = (
                "iproute2 names sections MAP/INDEX for what tail calls lead to; say what the program is: "
                f"bpf-load --prog {program.name}.section=tc"
            )
        diagnostics.error(
            f"section '{program.section}' of program '{program.name}' stands for no program type", at, (hint,)
        )
    elif program.program_type == ProgramType.EXT:
        if not program.attach_target:
            message = f"section '{program.section}' does not say which function '{program.name}' replaces"
            diagnostics.error(message, at, ("name the section freplace/FUNCTION",))
        elif not has_target:
            message = f"program '{program.name}' replaces function '{program.attach_target}' of a loaded program"
            diagnostics.error(message, at, ("say of which: bpf-load --target ID or --target /sys/fs/bpf/PATH",))
    elif program.program_type == ProgramType.STRUCT_OPS and not is_of_struct_ops:
        diagnostics.error(
            f"program '{program.name}' is of type struct_ops, but no struct of operations refers to it",
            at,
            ("put its address into a member of a variable in section .struct_ops or .struct_ops.link",),
        )
