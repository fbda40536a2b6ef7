"""Arrays in memory for the kernel to read: names and numbers, by address.

The memory lives as long as what these give (`Names`) or were given (`array.array`).
"""

from __future__ import annotations

import ctypes
import os
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import array
    from collections.abc import Sequence


class Names(NamedTuple):
    """An array of pointers to names, at `address` (0 for none of them), and what it points to."""

    address: int
    memory: object


def name_pointers(names: Sequence[str]) -> Names:
    """`names` as const char *[], without an end mark."""
    texts = [ctypes.create_string_buffer(os.fsencode(name)) for name in names]
    pointers = (ctypes.c_uint64 * len(texts))(*map(ctypes.addressof, texts))
    return Names(ctypes.addressof(pointers) if texts else 0, (texts, pointers))


def word_pointer(words: array.array[int]) -> int:
    """The address of the numbers; 0 for none."""
    return words.buffer_info()[0] if words else 0
