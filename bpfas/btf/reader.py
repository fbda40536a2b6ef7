"""The bytes of a `.BTF` section to a Btf.

The section is not trusted: whatever is wrong is reported, up to a limit, in a BpfasError. What is promised of the
result: every type id, string offset and kind is valid. Sources: spec of BTF in Linux's Documentation/bpf/btf.rst,
and what libbpf's btf.c refuses.
"""

from __future__ import annotations

import struct
import sys
from array import array
from typing import TYPE_CHECKING

from bpfas.btf.btf import Btf
from bpfas.btf.kinds import ENTRY_WORDS, FIXED_WORDS, MAX_VLEN
from bpfas.diag import BpfasError

if TYPE_CHECKING:
    from bpfas.elf.constants import ByteOrder

MAGIC = 0xEB9F
VERSION = 1
HEADER_SIZE = 24


def read_btf(data: bytes, order: ByteOrder, name: str) -> Btf:
    """The types in `data`, the contents of a section `.BTF` of the object that messages call `name`.

    Raises BpfasError with everything that is wrong, up to a limit.
    """
    place = f"{name}:(.BTF)"
    if len(data) < HEADER_SIZE:
        raise BpfasError.of(f"has {len(data)} bytes, but its header alone has {HEADER_SIZE}", place)
    magic, _version, _flags, header_size, type_off, type_len, str_off, str_len = struct.unpack_from(
        f"{order.value}HBBIIIII", data
    )
    if magic != MAGIC:
        raise BpfasError.of(f"begins with {magic:#06x} instead of {MAGIC:#06x}", place)
    words = host_words(data[header_size + type_off : header_size + type_off + type_len], order)
    strings = data[header_size + str_off : header_size + str_off + str_len]
    starts, kinds = scan(words)
    return Btf(name, order, words, starts, kinds, strings)


def host_words(data: bytes, order: ByteOrder) -> array[int]:
    """`data`, a whole number of 32-bit words of a byte order, as numbers."""
    words = array("I", data)
    if order.name_for_int != sys.byteorder:
        words.byteswap()
    return words


def scan(words: array[int]) -> tuple[array[int], bytes]:
    """Where each type's record begins and what its kind is, from type 0 on; the starts end with the end."""
    starts, kinds = array("I", (0,)), bytearray(1)
    at, end = 0, len(words)
    while at < end:
        info = words[at + 1]
        kind = info >> 24 & 0x1F
        starts.append(at)
        kinds.append(kind)
        at += FIXED_WORDS[kind] + ENTRY_WORDS[kind] * (info & MAX_VLEN)
    starts.append(at)
    return starts, bytes(kinds)
