"""USDT probes (statically defined tracing) of an executable or a library: the notes that describe them.

Source: SystemTap's document "User Space Probe Implementation" (section .note.stapsdt, notes of type 3).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfas.loader.attach.binary import Binary

_SECTION, _BASE_SECTION = ".note.stapsdt", ".stapsdt.base"
_OWNER, _TYPE = b"stapsdt\0", 3
_X86_64 = 62
_NOP_COMBINATION = b"\x90\x0f\x1f\x44\x00\x00"
"""A nop and a nop of 5 bytes, which the kernel makes into a system call instead of a trap (x86-64, Linux 6.18)."""


class UsdtNote(NamedTuple):
    """A probe's site: virtual addresses as the file has them, `semaphore` 0 for none, `arguments` as written."""

    provider: str
    name: str
    arguments: str
    address: int
    semaphore: int


def usdt_notes(binary: Binary) -> Iterator[UsdtNote]:
    """All sites of probes. Damaged notes, and what follows them, are left out."""
    section = binary.section_named(_SECTION)
    if section is None:
        return
    base = binary.section_named(_BASE_SECTION)
    data = binary.contents(section)
    header = struct.Struct(f"{binary.order}III")
    addresses = struct.Struct(binary.order + ("QQQ" if binary.is_64bit else "III"))
    at = 0
    while at + header.size <= len(data):
        name_size, size, kind = header.unpack_from(data, at)
        start = at + header.size + _aligned(name_size)
        described = data[start : start + size]
        owner = data[at + header.size : at + header.size + name_size]
        at = start + _aligned(size)
        if owner != _OWNER or kind != _TYPE or len(described) < addresses.size:
            continue
        address, linked_base, semaphore = addresses.unpack_from(described)
        # Prelinking moves the sections, but does not know the notes.
        moved = base.address - linked_base if base is not None and linked_base else 0
        texts = described[addresses.size :].split(b"\0")
        if len(texts) < 3:
            continue
        provider, name, arguments = (text.decode(errors="replace") for text in texts[:3])
        yield UsdtNote(provider, name, arguments, address + moved, semaphore + moved if semaphore else 0)


def has_fast_nop(binary: Binary, address: int) -> bool:
    """Whether the byte behind `address` begins a nop that the kernel can make into a system call."""
    segment = binary.segment_of(address)
    if binary.machine != _X86_64 or segment is None:
        return False
    offset = segment.offset + address - segment.address
    return binary.read(offset, len(_NOP_COMBINATION)) == _NOP_COMBINATION


def _aligned(size: int) -> int:
    return (size + 3) // 4 * 4
