"""Values of maps that have one for each possible CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpfas.loader.gen.python.parts.cpus import possible_cpus
from bpfas.loader.gen.python.parts.values import Memory, raw_value

if TYPE_CHECKING:
    from typing import Any


class PerCpu:
    """A list of values, one for each possible CPU, each filled up to a multiple of 8 bytes."""

    def __init__(self, each: Any) -> None:
        self.each = each
        self._step = -(-each.size // 8) * 8
        self._count = 0

    @property
    def count(self) -> int:
        """How many there are, on this machine."""
        self._count = self._count or possible_cpus()
        return self._count

    @property
    def size(self) -> int:
        """Bytes of all of them."""
        whole: int = self._step * self.count
        return whole

    def read(self, memory: Memory, at: int) -> list[Any]:
        """The values."""
        return [self.each.read(memory, at + number * self._step) for number in range(self.count)]

    def write(self, memory: Memory, at: int, value: Any) -> None:
        """Write all values."""
        data = raw_value(value, self.size, "the value for all CPUs")
        if data is not None:
            memory.write(at, data)
            return
        values = list(value)
        if len(values) != self.count:
            raise ValueError(f"there are {self.count} CPUs, and as many values are to be given, not {len(values)}")
        for number, each in enumerate(values):
            self.each.write(memory, at + number * self._step, each)
