"""CO-RE: letting the instructions of a program hold what the kernel's types say.

What the kernel does not have makes an instruction one that the verifier refuses, should it be reached; a program
may well test for a field and do without. So that is no error here, but told to who loads the program.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpfas.diag import BpfasError
from bpfas.loader.core.failures import CoreFailure, ill_sized, missing
from bpfas.loader.core.patch import patch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bpfas.diag import Diagnostics
    from bpfas.loader.core.resolver import CoreResolver
    from bpfas.loader.instructions import Code
    from bpfas.loader.spec import CoreRelocation


def apply_core(
    code: Code,
    relocations: Sequence[CoreRelocation],
    resolver: CoreResolver,
    place: str,
    diagnostics: Diagnostics,
) -> list[CoreFailure]:
    """Change the instructions of a program, called `place` in messages; gives those that are poisoned, and why.

    What is wrong with a relocation itself, or ambiguous in the kernel, is an error in `diagnostics`.
    """
    failures = []
    for relocation in relocations:
        at = relocation.instruction
        try:
            if not 0 <= at < len(code):
                message = f"is of an instruction beyond the program's {len(code)}"
                raise BpfasError.of(message)
            resolution = resolver.resolve(relocation)
            if not patch(code, at, resolution):
                failures.append(
                    missing(at, resolution, resolver) if resolution.new is None else ill_sized(at, resolution)
                )
        except BpfasError as error:
            for diagnostic in error.diagnostics:
                text = f"CO-RE relocation of instruction {at}: {diagnostic.message}"
                diagnostics.error(text, place, diagnostic.notes)
    return failures
