"""Attaching struct_ops."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpfas.diag import BpfasError

if TYPE_CHECKING:
    from bpfas.loader.attach.link import Link
    from bpfas.loader.runtime.maps import Map


def attach_struct_ops(map_: Map) -> Link:
    """Attach it."""
    raise BpfasError.of("cannot be attached", map_.name)
