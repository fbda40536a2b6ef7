"""Types to the bytes of a section `.BTF`."""

from __future__ import annotations

import struct
import sys
from typing import TYPE_CHECKING

from bpfas.btf.reader import HEADER_SIZE, MAGIC, VERSION

if TYPE_CHECKING:
    from array import array

    from bpfas.elf.constants import ByteOrder


def write_btf(words: array[int], strings: bytes, order: ByteOrder) -> bytes:
    """A header, the records of all types, and behind them the strings, as kernels and libbpf want it."""
    if order.name_for_int != sys.byteorder:
        words = words[:]
        words.byteswap()
    types = words.tobytes()
    lengths = (0, len(types), len(types), len(strings))
    return struct.pack(f"{order.value}HBBIIIII", MAGIC, VERSION, 0, HEADER_SIZE, *lengths) + types + strings
