"""Runs of the project's loader programs on the simulated machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bpfas.loader.gen import loader_program as layout
from tests.loader.gen.machine.machine import Machine

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bpfas.loader.gen.loader_program import FactKind, LoaderProgram
    from tests.loader.gen.machine.kernel import Kernel
    from tests.loader.gen.machine.machine import Outcome
    from tests.loader.gen.machine.memory import Endian
    from tests.loader.gen.machine.record import BpfCall


class Given(NamedTuple):
    """What whoever runs a loader program puts into its context, by names of maps and programs.

    `log` is the verifier's level, and the address and the size of the buffer.
    """

    maps: Mapping[str, int] = {}
    entries: Mapping[str, int] = {}
    contents: Mapping[str, int] = {}
    programs: Mapping[str, int] = {}
    facts: Mapping[tuple[FactKind, str], int] = {}
    log: tuple[int, int, int] = (0, 0, 0)
    flags: int = 0


NOTHING_GIVEN = Given()


class Run(NamedTuple):
    """A run that has ended: `descriptors` are those in the context, as `map X` and `program X`, 0 included."""

    program: LoaderProgram
    kernel: Kernel
    outcome: Outcome
    descriptors: dict[str, int]
    failed_step: int

    @property
    def result(self) -> int:
        """The negative errno, 0 for success."""
        return self.outcome.result

    @property
    def calls(self) -> list[BpfCall]:
        """The calls of bpf()."""
        return self.kernel.calls


def endian_of(program: LoaderProgram) -> Endian:
    """The byte order that a program is for."""
    return program.byte_order.name_for_int


def context_of(program: LoaderProgram, given: Given = NOTHING_GIVEN) -> bytes:
    """The context before the run."""
    endian = endian_of(program)
    context = bytearray(program.context.size)

    def put(offset: int, size: int, value: int) -> None:
        context[offset : offset + size] = (value & (1 << 8 * size) - 1).to_bytes(size, endian)

    put(*layout.SIZE, len(context))
    put(*layout.FLAGS, given.flags)
    for field, value in zip((layout.LOG_LEVEL, layout.LOG_ADDRESS, layout.LOG_SIZE), given.log, strict=True):
        put(*field, value)
    for spec, offset in program.context.maps:
        put(offset, 4, given.maps.get(spec.name, 0))
        put(offset + 4, 4, given.entries.get(spec.name, 0))
        put(offset + 8, 8, given.contents.get(spec.name, 0))
    for program_spec, offset, _ in program.context.programs:
        put(offset, 4, given.programs.get(program_spec.name, 0))
    for kind, subject, offset in program.context.facts:
        put(offset, 8, given.facts.get((kind, subject), 0))
    return bytes(context)


def run(
    program: LoaderProgram,
    kernel: Kernel,
    given: Given = NOTHING_GIVEN,
    *,
    user: Mapping[int, bytes] | None = None,
    kernel_memory: Mapping[int, bytes] | None = None,
) -> Run:
    """Run a loader program to its end."""
    endian = endian_of(program)
    machine = Machine(
        program.instructions, program.data, kernel, endian=endian, user=user, kernel_memory=kernel_memory
    )
    outcome = machine.run(context_of(program, given))

    def number(offset: int) -> int:
        return int.from_bytes(outcome.context[offset : offset + 4], endian, signed=True)

    descriptors = {f"map {entry.spec.name}": number(entry.offset) for entry in program.context.maps}
    descriptors |= {f"program {entry.spec.name}": number(entry.offset) for entry in program.context.programs}
    return Run(program, kernel, outcome, descriptors, number(program.context.failed_step))
