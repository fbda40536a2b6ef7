"""BTF without what older kernels do not know."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bpfas.loader.kernel.kernel import Kernel


def sanitize(data: bytes, kernel: Kernel) -> bytes:  # noqa: ARG001
    """`data` as `kernel` takes it."""
    return data
