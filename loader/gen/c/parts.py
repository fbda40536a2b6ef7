"""The parts of a C header that only some objects need, in the order in which they are done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpfas.loader.gen.c.arena import arena_part
from bpfas.loader.gen.c.kconfig import kconfig_part
from bpfas.loader.gen.c.machine import cpus_part, pins_part, targets_part
from bpfas.loader.gen.c.runner import runner_part
from bpfas.loader.gen.c.struct_ops import struct_ops_part

if TYPE_CHECKING:
    from collections.abc import Callable

    from bpfas.loader.gen.c.skeleton import Part, Skeleton

_PARTS: tuple[Callable[[Skeleton], Part | None], ...] = (
    cpus_part,
    kconfig_part,
    targets_part,
    struct_ops_part,
    arena_part,
    pins_part,
    runner_part,
)


def parts_of(skeleton: Skeleton) -> list[Part]:
    """The parts that the skeleton's object needs."""
    return [part for make in _PARTS if (part := make(skeleton)) is not None]
