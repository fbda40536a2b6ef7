"""Where each type of a large BTF begins, made by one walk over its words, and kept from one process to the next.

Only for BTF that is known to be right, as the running kernel's. Files are kept by the contents they are of, with a
check sum; what cannot be used is made anew.
"""

from __future__ import annotations

import struct
import sys
import zlib
from array import array
from typing import TYPE_CHECKING, NamedTuple

from bpfas.btf.kinds import ENTRY_WORDS, FIXED_WORDS
from bpfas.diag import BpfasError
from bpfas.loader.kernel.names import NameTable
from bpfas.user_cache import read_cached, write_cached

if TYPE_CHECKING:
    from collections.abc import Callable

_KIND_MASK = 0x7F
_VLEN_MASK = 0xFFFFFF
_WITHOUT_KFLAG = bytes(byte & _KIND_MASK for byte in range(256))
_FORMAT = 1
_HEAD = struct.Struct("=III")  # format, check sum of what follows, and the bytes of the first of its two parts


class TypeIndex(NamedTuple):
    """Starts and kinds as Btf has them."""

    starts: array[int]
    kinds: bytes


def walk(words: array[int], place: str) -> TypeIndex:
    """Find all types of words that are known to be right."""
    starts, infos = array("I", (0,)), array("I", (0,))
    add_start, add_info = starts.append, infos.append
    sizes: dict[int, int] = {}
    at, end = 0, len(words)
    while at < end:
        info = words[at + 1]
        add_start(at)
        add_info(info)
        try:
            at += sizes[info]
        except KeyError:
            sizes[info] = size = _record_words(info, place)
            at += size
    add_start(at)
    highest = slice(3, None, 4) if sys.byteorder == "little" else slice(0, None, 4)
    return TypeIndex(starts, infos.tobytes()[highest].translate(_WITHOUT_KFLAG))


def _record_words(info: int, place: str) -> int:
    kind = info >> 24 & _KIND_MASK
    if not 0 < kind < len(FIXED_WORDS):
        message = f"has a type of kind {kind}, which is not known here"
        raise BpfasError.of(message, place, ("use a newer bpf-as",))
    return FIXED_WORDS[kind] + ENTRY_WORDS[kind] * (info & _VLEN_MASK)


def walked(words: array[int], place: str, key: str) -> TypeIndex:
    """As `walk`, or what is kept of an earlier one under `key`, if that is not empty."""
    starts, kinds = _kept(f"types-{key}" if key else "", lambda: _parts(walk(words, place)))
    return TypeIndex(array("I", starts), kinds)


def named(make: Callable[[], NameTable], what: str, key: str) -> NameTable:
    """A table of names, or what is kept of an earlier one under `what` and `key`, if that is not empty."""

    def parts() -> tuple[bytes, bytes]:
        table = make()
        return table.ids.tobytes(), table.text

    ids, text = _kept(f"{what}-{key}" if key else "", parts)
    return NameTable(array("I", ids), text)


def cache_key(types: bytes | memoryview, strings: bytes | memoryview) -> str:
    """What BTF of these contents, and hardly any other, is kept under."""
    return f"{len(types):x}-{zlib.crc32(types):08x}-{len(strings):x}-{zlib.crc32(strings):08x}"


def _parts(index: TypeIndex) -> tuple[bytes, bytes]:
    return index.starts.tobytes(), index.kinds


def _kept(name: str, make: Callable[[], tuple[bytes, bytes]]) -> tuple[bytes, bytes]:
    """What a cached file holds; without a sound one, what `make` gives, which is then kept."""
    contents = read_cached(name) if name else None
    if contents and len(contents) >= _HEAD.size:
        version, check, size = _HEAD.unpack_from(contents)
        body = memoryview(contents)[_HEAD.size :]
        if version == _FORMAT and size <= len(body) and not size % 4 and zlib.crc32(body) == check:
            return bytes(body[:size]), bytes(body[size:])
    first, second = make()
    if name:
        write_cached(name, _HEAD.pack(_FORMAT, zlib.crc32(first + second), len(first)) + first + second)
    return first, second
