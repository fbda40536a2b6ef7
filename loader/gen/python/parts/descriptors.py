"""Values that are given as descriptors: of maps, programs, sockets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpfas.loader.gen.python.parts.values import Integer, Memory

if TYPE_CHECKING:
    from typing import Any


class Descriptor(Integer):
    """What has a descriptor (`fd`, `fileno()`) or the number itself; the kernel gives back an id."""

    def write(self, memory: Memory, at: int, value: Any) -> None:
        """Write the descriptor."""
        if hasattr(value, "fileno"):
            value = value.fileno()
        super().write(memory, at, getattr(value, "fd", value))
