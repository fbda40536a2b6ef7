"""The kernel's symbols and their addresses, as /proc/kallsyms lists them.

A process without CAP_SYSLOG may be shown 0 for all of them. Source: libbpf 1.8; the kernel's document on
kptr_restrict.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

KALLSYMS = Path("/proc/kallsyms")
_SOME_ADDRESS = re.compile(rb"^0*[1-9a-f]", re.MULTILINE)


def read_kallsyms(path: Path = KALLSYMS) -> bytes:
    """The whole list; empty where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


def shows_addresses(text: bytes) -> bool:
    """Whether any symbol in the list has an address other than 0."""
    return bool(_SOME_ADDRESS.search(text))


def addresses_in(text: bytes, names: Collection[str]) -> dict[str, set[int]]:
    """The addresses of each of `names`; an empty set for one that is not in the list.

    All of a list that hides its addresses are missing, too: what it has is known by 0 alone.
    """
    found: dict[str, set[int]] = {name: set() for name in names}
    if not names:
        return found
    wanted = b"|".join(re.escape(name.encode()) for name in names)
    # Link-time optimisation renames static data.
    symbol = re.compile(rb"^([0-9a-f]+) (?:\S (%b)|d (%b)\.llvm\.\w+)(?:\t.*)?$" % (wanted, wanted), re.MULTILINE)
    for address, name, renamed in symbol.findall(text):
        found[(name or renamed).decode()].add(int(address, 16))
    return found


def names_at(text: bytes, addresses: Collection[int]) -> dict[int, str]:
    """The names of the symbols at these addresses, the first of each in the list."""
    if not addresses:
        return {}
    wanted = b"|".join(f"{address:x}".encode() for address in addresses)
    found: dict[int, str] = {}
    for address, name in re.findall(rb"^0*(%b) \S ([^\s]+)" % wanted, text, re.MULTILINE):
        found.setdefault(int(address, 16), name.decode(errors="replace"))
    return found
