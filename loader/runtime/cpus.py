"""The CPUs of this machine: how many the kernel has made room for, and which are there now."""

from __future__ import annotations

import functools
import os
from pathlib import Path

_CPUS = Path("/sys/devices/system/cpu")


@functools.cache
def possible_cpu_count() -> int:
    """How many CPUs the kernel has made room for; per-CPU values have one part for each."""
    return max(parse_cpu_list((_CPUS / "possible").read_text())) + 1


def online_cpus() -> list[int]:
    """The CPUs that are running now; the first ones, as many as there are, where /sys is not mounted."""
    try:
        return parse_cpu_list((_CPUS / "online").read_text())
    except OSError:
        return list(range(os.cpu_count() or 1))


def parse_cpu_list(text: str) -> list[int]:
    """The numbers of a list such as `0-3,8`."""
    cpus: list[int] = []
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        cpus += range(int(first), int(last or first) + 1)
    return cpus
