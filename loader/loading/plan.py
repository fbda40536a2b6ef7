"""A Plan: what bpf(2) is to be asked for an Image on one kernel, complete but for descriptors.

Data only. `bpfas.loader.loading.resolve` makes a Plan from an Image and a kernel, without any system call that
changes something; `bpfas.loader.loading.execute` carries it out.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bpfas.diag import Diagnostic
    from bpfas.loader.kernel.kernel import KernelBtf
    from bpfas.loader.loading.attach_target import AttachTarget
    from bpfas.loader.loading.struct_ops import StructOpsValue
    from bpfas.loader.spec import Image, MapSpec, ProgramSpec


class BtfField(NamedTuple):
    """A 64-bit immediate load whose second imm waits for the descriptor of a module's BTF."""

    instruction: int
    owner: KernelBtf


class MapPlan(NamedTuple):
    """A map to create: `spec` has the sizes, entries and contents for the kernel at hand.

    `struct_ops` is what a map of that type is filled with, once its programs are loaded.
    """

    spec: MapSpec
    struct_ops: StructOpsValue | None = None


class ProgramPlan(NamedTuple):
    """A program to load.

    `instructions` are those of `spec` with everything in its place but descriptors: of maps, where
    `spec.references` and `spec.jump_tables` say so, and of modules' BTF, in `btf_fields`. `fd_array` are the
    modules whose functions are called, by their index there less one. `attach` is the kernel's function or type
    that it is loaded for. `poisoned` says in words, by instruction, what CO-RE relocations did not find.
    """

    spec: ProgramSpec
    instructions: bytes
    btf_fields: tuple[BtfField, ...] = ()
    fd_array: tuple[KernelBtf, ...] = ()
    attach: AttachTarget | None = None
    poisoned: Mapping[int, str] = MappingProxyType({})


class Plan(NamedTuple):
    """All that is to be created and loaded, in order.

    `btf` is the object's BTF for the kernel, None where there is none. `maps` are those to create: maps that are
    not created on this kernel, or not asked for, are missing, and what refers to them is poisoned. `warnings` tell
    of what is left out, those of the image first.
    """

    image: Image
    btf: bytes | None
    maps: Mapping[str, MapPlan]
    programs: Mapping[str, ProgramPlan]
    warnings: tuple[Diagnostic, ...] = ()
