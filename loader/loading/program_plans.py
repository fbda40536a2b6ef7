"""A program of an Image as one kernel is to be given it: instructions with all in place but descriptors."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bpfas.helpers import HELPERS
from bpfas.loader.instructions import ABSENT_MAP, CALL, CallSource, Code
from bpfas.loader.kernel.features import Feature
from bpfas.loader.kinds import NO_ATTACH_TYPE, AttachType
from bpfas.loader.loading.attach_target import AttachTarget, find_attach_target
from bpfas.loader.loading.plan import BtfField, MapPlan, ProgramPlan
from bpfas.loader.sections import SectionFlag
from bpfas.loader.spec import ReferenceKind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bpfas.diag import Diagnostics
    from bpfas.loader.core.failures import CoreFailure
    from bpfas.loader.core.resolver import CoreResolver
    from bpfas.loader.kernel.kernel import Kernel, KernelBtf
    from bpfas.loader.loading.ksyms import KernelSymbol
    from bpfas.loader.loading.options import LoadOptions
    from bpfas.loader.loading.struct_ops import StructOpsMember
    from bpfas.loader.spec import Image, ProgramSpec

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

_MOST_MODULES = 0x7FFF
"""Modules whose functions a program may call: a call has their index in its offset, from 1 on."""


class ProgramPlanner(NamedTuple):
    """What the plans of an Image's programs depend on.

    `maps` are those that are created, `symbols` what externs stand for and `extern_numbers` their numbers,
    `operations` what programs of struct_ops are loaded for, by their names; `resolver` resolves CO-RE relocations
    (None where there are none).
    """

    image: Image
    kernel: Kernel
    options: LoadOptions
    maps: Mapping[str, MapPlan]
    symbols: Mapping[str, KernelSymbol]
    extern_numbers: Mapping[str, int]
    operations: Mapping[str, StructOpsMember]
    resolver: CoreResolver | None
    diagnostics: Diagnostics

    def plan(self, program: ProgramSpec) -> ProgramPlan:
        """The plan of one program; what is wrong goes to `diagnostics`."""
        code = Code(program.instructions, self.image.byte_order)
        failures: Sequence[CoreFailure] = ()
        if program.core and self.resolver:
            from bpfas.loader.core.apply import apply_core

            failures = apply_core(
                code, program.core, self.resolver, f"{self.image.name}:({program.section})", self.diagnostics
            )
        references = [reference for reference in program.references if reference.map_name in self.maps]
        for reference in references:
            data_offset = self.maps[reference.map_name].spec.data_offset
            if data_offset and reference.kind is ReferenceKind.MAP_VALUE:
                code.set_imm(reference.instruction + 1, reference.offset + data_offset)
        _poison_absent_maps(program, code, self.image, self.maps)
        btf_fields, fd_array = _write_externs(program, code, self.extern_numbers, self.symbols)
        if len(fd_array) > _MOST_MODULES:
            message = f"program '{program.name}' calls functions of {len(fd_array)} modules"
            remedy = f"an instruction can tell {_MOST_MODULES} apart; make it several programs"
            self.diagnostics.error(message, f"{self.image.name}:({program.section})", (remedy,))
        _avoid_new_helpers(code, self.kernel)
        attach, operation = None, self.operations.get(program.name)
        if operation:
            attach = AttachTarget(operation.ops_type, operation.owner)
            program = program._replace(expected_attach_type=operation.member_index)
        elif self.options.target_of(program) is None:
            attach = find_attach_target(program, self.kernel, self.diagnostics, self.image.name)
        if SectionFlag.USDT in program.kind.flags and _has_multi_uprobes(program, self.kernel):
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
