"""CO-RE: letting the instructions of a program hold what the kernel's types say.

What the kernel does not have makes an instruction one that the verifier refuses, should it be reached; a program
may well test for a field and do without. So that is no error here, but told to who loads the program.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpfas.diag import BpfasError
from bpfas.loader.core.failures import ill_sized, missing
from bpfas.loader.core.patch import patch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bpfas.diag import Diagnostics
    from bpfas.loader.core.failures import CoreFailure
    from bpfas.loader.core.resolver import CoreResolver, Resolution
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
    errors: dict[tuple[str, tuple[str, ...]], list[int]] = {}
    for relocation in relocations:
        try:
            _, failure = apply_one(code, relocation, resolver)
            if failure:
                failures.append(failure)
        except BpfasError as error:
            for diagnostic in error.diagnostics:
                errors.setdefault((diagnostic.message, diagnostic.notes), []).append(relocation.instruction)
    for (message, notes), (first, *others) in errors.items():
        more = f" and of {len(others)} more" if others else ""
        diagnostics.error(f"CO-RE relocation of instruction {first}{more}: {message}", place, notes)
    return failures


def apply_one(
    code: Code, relocation: CoreRelocation, resolver: CoreResolver
) -> tuple[Resolution, CoreFailure | None]:
    """Change one instruction; gives what its relocation leads to and, if it is poisoned, why.

    Raises BpfasError for what is wrong with the relocation itself, or ambiguous in the kernel.
    """
    at = relocation.instruction
    if not 0 <= at < len(code):
        raise BpfasError.of(f"it is of instruction {at}, but the program has {len(code)}")
    resolution = resolver.resolve(relocation)
    if patch(code, at, resolution):
        return resolution, None
    return resolution, missing(at, resolution, resolver) if resolution.new is None else ill_sized(at, resolution)
