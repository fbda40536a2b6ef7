"""Which CO-RE relocations of an object which kernels can satisfy, without any of them running.

What `bpf-load check-core` shows: for each kernel whose types are given, every distinct thing that programs ask
for, and in words what is lacking.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, NamedTuple

from bpfas.diag import BpfasError
from bpfas.loader.core.access import local_access, type_text
from bpfas.loader.core.apply import apply_one
from bpfas.loader.core.failures import missing
from bpfas.loader.core.kinds import WORDS, CoreKind
from bpfas.loader.core.resolver import CoreResolver
from bpfas.loader.instructions import Code

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bpfas.loader.kernel.kernel import TypedKernel
    from bpfas.loader.spec import CoreRelocation, Image


class Outcome(enum.Enum):
    """What becomes of a relocation."""

    RESOLVED = "resolved"
    ABSENT = "absent"  # the program asks whether something exists, and it does not
    POISONED = "missing"  # the program must not come to the instruction
    ERROR = "error"  # the object cannot be loaded


class Finding(NamedTuple):
    """What becomes of a relocation for a kernel.

    `kind` is None where it cannot be told, `access` what the relocation is about (`struct task_struct.pids`).
    `programs` are those that have it, each with the instruction, in slots from the program's start. `value` is
    what the instruction gets, None for nothing. `reason` says what is lacking, `near` what the kernel has that is
    called alike.
    """

    kernel: str
    kind: CoreKind | None
    access: str
    outcome: Outcome
    value: int | None
    programs: tuple[tuple[str, int], ...] = ()
    reason: str = ""
    near: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The finding in one line, without the kernel."""
        kind = f"{WORDS[self.kind]} of " if self.kind is not None else ""
        if self.outcome is Outcome.RESOLVED:
            return f"{kind}{self.access}: {self.value}"
        near = f"; did you mean {' or '.join(self.near)}?" if self.near else ""
        return f"{kind}{self.access}: {self.reason}{near}"


def survey(image: Image, kernels: Iterable[TypedKernel]) -> Iterator[Finding]:
    """What becomes of the relocations of all programs, for one kernel after the other; equal ones are one finding.

    Kernels are taken one by one, so that an iterator may read each when it is its turn. Programs that are not to
    be loaded count, too.
    """
    if image.types is None:
        return
    for kernel in kernels:
        resolver = CoreResolver(image.types, kernel)
        found: dict[Finding, list[tuple[str, int]]] = {}
        for program in image.programs.values():
            code = Code(program.instructions, image.byte_order)
            for relocation in program.core:
                finding = _finding(code, relocation, resolver, kernel.name)
                found.setdefault(finding, []).append((program.name, relocation.instruction))
        yield from (finding._replace(programs=tuple(places)) for finding, places in found.items())


def _finding(code: Code, relocation: CoreRelocation, resolver: CoreResolver, kernel: str) -> Finding:
    """What becomes of one relocation."""
    try:
        resolution, failure = apply_one(code, relocation, resolver)
    except BpfasError as error:
        reason = "; ".join(diagnostic.message for diagnostic in error.diagnostics)
        return Finding(kernel, None, _access_text(relocation, resolver), Outcome.ERROR, None, reason=reason)
    kind, access = resolution.kind, resolution.local.text
    if failure:
        return Finding(kernel, kind, access, Outcome.POISONED, None, reason=failure.reason, near=failure.near)
    if resolution.new is None:
        lack = missing(relocation.instruction, resolution, resolver)
        return Finding(kernel, kind, access, Outcome.ABSENT, 0, reason=lack.reason, near=lack.near)
    return Finding(kernel, kind, access, Outcome.RESOLVED, resolution.new.number)


def _access_text(relocation: CoreRelocation, resolver: CoreResolver) -> str:
    """What a relocation is about, as far as it can be told."""
    try:
        return local_access(resolver.types, relocation, CoreKind(relocation.kind)).text
    except (BpfasError, ValueError):
        return f"{type_text(resolver.types, relocation.type_id)} ({relocation.access})"
