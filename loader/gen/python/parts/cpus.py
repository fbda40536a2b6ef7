"""The CPUs of the machine, which some maps have an element or a value for."""

from __future__ import annotations

from bpfas.loader.gen.python.parts.kernel import read_text


def possible_cpus() -> int:
    """How many CPUs the machine may have, those that are offline among them."""
    last = read_text("/sys/devices/system/cpu/possible").strip().rpartition(",")[2]
    return int(last.rpartition("-")[2]) + 1


def online_cpus() -> list[int]:
    """The numbers of the CPUs that are running."""
    numbers: list[int] = []
    for part in read_text("/sys/devices/system/cpu/online").strip().split(","):
        first, _, last = part.partition("-")
        numbers.extend(range(int(first), int(last or first) + 1))
    return numbers
