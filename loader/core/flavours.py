"""Names with a flavour: `task_struct___old` is a program's own idea of the kernel's `task_struct`.

Source: libbpf's bpf_core_essential_name_len.
"""

from __future__ import annotations

import re

SEPARATOR = "___"
_FLAVOUR = re.compile(r"(.*[^_])___[^_].*", re.DOTALL)


def stem_of(name: str) -> str:
    """What is left of a name without its flavour: all before the last three underscores that stand alone."""
    if SEPARATOR in name and (match := _FLAVOUR.fullmatch(name)):
        return match[1]
    return name
