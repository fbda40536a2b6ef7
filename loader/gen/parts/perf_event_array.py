"""Maps of perf events, which have an entry for each possible CPU."""

from __future__ import annotations

from bpfas.loader.gen.parts.cpus import possible_cpus
from bpfas.loader.gen.parts.elements import ElementMap


class PerfEventArray(ElementMap):
    """A map of perf events that has an entry for each possible CPU unless another number is set."""

    def prepare(self, context: bytearray) -> None:
        """Tell the loader program how many CPUs there are."""
        if not self._max_entries:
            self.max_entries = possible_cpus()
        super().prepare(context)
