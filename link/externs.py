"""Which undefined names the loader will resolve: the kernel functions, variables and options that BTF lists.

Clang puts an extern with `__ksym` or `__kconfig` into the DATASEC `.ksyms` or `.kconfig`. Only their names are
read here. Source: the kernel's documentation of BTF, and libbpf's use of those two sections.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfas.objfile import ObjectFile

_LOADERS_SECTIONS = frozenset({".ksyms", ".kconfig"})
_MAGIC = 0xEB9F
_KIND_DATASEC = 15
# Bytes that follow the 12 of btf_type, by kind: (fixed, for each of vlen).
_TRAILERS = {
    1: (4, 0),
    3: (12, 0),
    4: (0, 12),
    5: (0, 12),
    6: (0, 8),
    13: (0, 8),
    14: (4, 0),
    _KIND_DATASEC: (0, 12),
    17: (4, 0),
    19: (0, 12),
}


class _Type(NamedTuple):
    """A btf_type: its name's offset, its kind, and what follows it."""

    name_off: int
    kind: int
    trailer: bytes


def loader_externs(obj: ObjectFile) -> set[str]:
    """The names in the DATASECs `.ksyms` and `.kconfig` of the object's BTF; none where it can't be read."""
    section = obj.section(".BTF")
    if section is None:
        return set()
    prefix, data = obj.byte_order.value, bytes(section.data)
    try:
        magic, _, _, hdr_len, type_off, type_len, str_off, str_len = struct.unpack_from(f"{prefix}HBBIIIII", data)
        if magic != _MAGIC:
            return set()
        types = list(_types(data[hdr_len + type_off :][:type_len], prefix))
        strings = data[hdr_len + str_off :][:str_len]

        def name(item: _Type) -> str:
            return strings[item.name_off : strings.index(0, item.name_off)].decode("utf-8", "surrogateescape")

        return {
            name(types[type_id - 1])
            for item in types
            if item.kind == _KIND_DATASEC and name(item) in _LOADERS_SECTIONS
            for type_id, _, _ in struct.iter_unpack(f"{prefix}III", item.trailer)
        }
    except (struct.error, IndexError, ValueError):
        # What is wrong with the types is for who uses them to say; here they only excuse undefined names.
        return set()


def _types(data: bytes, prefix: str) -> Iterator[_Type]:
    offset = 0
    while offset < len(data):
        name_off, info, _ = struct.unpack_from(f"{prefix}III", data, offset)
        kind, vlen = info >> 24 & 0x1F, info & 0xFFFF
        fixed, each = _TRAILERS.get(kind, (0, 0))
        end = offset + 12 + fixed + each * vlen
        yield _Type(name_off, kind, data[offset + 12 : end])
        offset = end
