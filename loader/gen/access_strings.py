"""The strings of CO-RE relocations in the types that the kernel is given, which names them by their offset there.

Source: struct bpf_core_relo of include/uapi/linux/bpf.h; the header of Documentation/bpf/btf.rst.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bpfas.elf.constants import ByteOrder
    from bpfas.loader.spec import ProgramSpec

_STRINGS_AT = 16
"""Where in the header the offset of the strings (counted from the header's end) and their size stand."""


def with_access_strings(
    btf: bytes | None, order: ByteOrder, programs: Iterable[ProgramSpec]
) -> tuple[bytes | None, dict[str, int]]:
    """The types with the access strings of all relocations, and the offset of each of them."""
    if btf is None:
        return None, {}
    header_size = int.from_bytes(btf[4:8], order.name_for_int)
    start, size = struct.unpack_from(f"{order.value}II", btf, _STRINGS_AT)
    before, strings = btf[: header_size + start], bytearray(btf[header_size + start : header_size + start + size])
    offsets: dict[str, int] = {}
    for program in programs:
        for relocation in program.core:
            if relocation.access in offsets:
                continue
            text = relocation.access.encode(errors="surrogateescape") + b"\0"
            place = strings.find(b"\0" + text)
            offsets[relocation.access] = place + 1 if place >= 0 else len(strings)
            if place < 0:
                strings += text
    words = bytearray(before)
    struct.pack_into(f"{order.value}I", words, _STRINGS_AT + 4, len(strings))
    return bytes(words + strings), offsets
