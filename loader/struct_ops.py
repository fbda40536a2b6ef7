"""What a struct_ops map is for this kernel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bpfas.diag import BpfasError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bpfas.diag import Diagnostics
    from bpfas.loader.attach_target import AttachTarget
    from bpfas.loader.kernel.kernel import Kernel, KernelBtf
    from bpfas.loader.spec import Image, MapSpec


@dataclass(frozen=True, slots=True)
class StructOpsValue:
    """What the kernel's struct has: its type, its size in bytes, and the programs."""

    owner: KernelBtf
    value_type: int
    value_size: int
    programs: Mapping[str, AttachTarget]


def resolve_struct_ops(spec: MapSpec, image: Image, kernel: Kernel, diagnostics: Diagnostics) -> StructOpsValue:
    """What `spec` is on `kernel`."""
    diagnostics.error(f"{kernel.name} has no struct_ops", f"{image.name}:({spec.section})")
    raise BpfasError(diagnostics.items)
