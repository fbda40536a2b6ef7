"""How many CPUs the machine may have, which some maps have an element or a value for."""

from __future__ import annotations

from bpfas.loader.gen.parts.kernel import read_text


def possible_cpus() -> int:
    """How many CPUs the machine may have, those that are offline among them."""
    last = read_text("/sys/devices/system/cpu/possible").strip().rpartition(",")[2]
    return int(last.rpartition("-")[2]) + 1
