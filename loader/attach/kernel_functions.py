"""The kernel's functions by name: whether there is one, what the compiler made of it, and which are called alike.

For the words of errors, and for the patterns of multi probes. Source: /proc/kallsyms.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import TYPE_CHECKING

from bpfas.loader.kernel.kallsyms import read_kallsyms
from bpfas.loader.nearest import nearest
from bpfas.loader.privilege import Explanation

if TYPE_CHECKING:
    from collections.abc import Collection

_BLACKLIST = Path("/sys/kernel/debug/kprobes/blacklist")
_MOST_SHOWN = 3


@functools.cache
def symbols() -> dict[str, tuple[int, ...]]:
    """The functions by name, and their addresses (0 where the kernel hides them)."""
    found: dict[str, tuple[int, ...]] = {}
    for address, name in re.findall(rb"^([0-9a-f]+) [tTwW] (\S+)", read_kallsyms(), re.MULTILINE):
        key = name.decode(errors="replace")
        found[key] = (*found.get(key, ()), int(address, 16))
    return found


def nearest_of(name: str, known: Collection[str]) -> str:
    """What a remedy says of the names that look like `name`: `nearest: a, b`; empty where there are none."""
    near = nearest(name, known)
    return f"nearest: {', '.join(near)}" if near else ""


def explain_missing_function(name: str) -> Explanation:
    """Why the kernel finds no function to probe that is called `name`."""
    known = symbols()
    if not known:
        return Explanation(f"the kernel has no function '{name}'", "check the name in /proc/kallsyms")
    if name in known:
        return explain_refused_function(name)
    variants = sorted(each for each in known if each.startswith(f"{name}."))
    if variants:
        return Explanation(
            f"the compiler has made '{name}' into {', '.join(variants[:_MOST_SHOWN])}, with other parameters or "
            "in parts",
            f"probe {variants[0]}, and look at its machine code for where the parameters are",
        )
    similar = nearest_of(name, known)
    return Explanation(
        f"the kernel has no function '{name}'",
        "it may be inlined everywhere, or belong to a module that is not loaded"
        + (f"; {similar}" if similar else ""),
    )


def explain_refused_function(name: str) -> Explanation:
    """Why the kernel refuses to probe a function that it has."""
    addresses = symbols().get(name, ())
    if len(addresses) > 1:
        places = ", ".join(f"{address:#x}" for address in addresses) if all(addresses) else "addresses hidden"
        return Explanation(
            f"{len(addresses)} functions of the kernel are called '{name}' ({places})",
            "give the address of the one that is meant: attach(address=…)",
        )
    if name in _blacklisted():
        return Explanation(
            f"'{name}' is among the functions that must not be probed ({_BLACKLIST})",
            "probe a function that calls it",
        )
    return Explanation(
        f"the kernel has the function '{name}', but does not let it be probed there",
        "functions that probing itself needs, and those outside of the kernel's text, cannot be probed; "
        f"{_BLACKLIST} lists them",
    )


def _blacklisted() -> set[str]:
    try:
        lines = _BLACKLIST.read_text().splitlines()
    except OSError:
        return set()
    return {line.split()[-1] for line in lines if line.strip()}
