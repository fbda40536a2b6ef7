"""Where each type of a large BTF begins, made by one walk over its words, and kept from one process to the next.

Only for BTF that is known to be right, as the running kernel's. Files are kept by the contents they are of, with a
check sum; what cannot be used is made anew. Those of other kernels are removed but for the newest.
"""

from __future__ import annotations

import struct
import sys
import zlib
from array import array
from typing import TYPE_CHECKING, NamedTuple, cast

from bpfas.btf.kinds import ENTRY_WORDS, FIXED_WORDS
from bpfas.diag import BpfasError
from bpfas.loader.kernel.names import NameTable
from bpfas.user_cache import read_cached, remove_old_cached, write_cached

if TYPE_CHECKING:
    from collections.abc import Callable

_KIND_MASK = 0x7F
_VLEN_MASK = 0xFFFFFF
_WITHOUT_KFLAG = bytes(byte & _KIND_MASK for byte in range(256))
_FORMAT = 1
_STRETCH = 1 << 14
_SAMPLE = 1 << 9
"""Of every stretch of so many bytes, so many are looked at."""

_KEPT_KERNELS = 4
"""Of how many contents files are kept; virtual machines and containers may share a cache."""

_TRIED = 64
"""How many types are looked at to see whether an index is of these types."""

_HEAD = struct.Struct("=III")  # format, check sum of what follows, and the bytes of the first of its two parts


class TypeIndex(NamedTuple):
    """Starts and kinds as Btf has them."""

    starts: array[int]
    kinds: bytes

    def is_of(self, words: array[int]) -> bool:
        """Whether this can be the index of these words, by its end and some of the types."""
        starts, kinds = self
        count = len(kinds) - 1
        if count < 0 or len(starts) != count + 2 or starts[count + 1] != len(words):
            return False
        return all(
            starts[number] + 1 < starts[number + 1] <= len(words)
            and words[starts[number] + 1] >> 24 & _KIND_MASK == kinds[number]
            and starts[number] + _record_words(words[starts[number] + 1], "") == starts[number + 1]
            for number in range(1, count + 1, max(1, count // _TRIED))
        )


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

    def is_sound(starts: array[int], kinds: bytes) -> bool:
        return TypeIndex(starts, kinds).is_of(words)

    return TypeIndex(*_kept("types", key, lambda: walk(words, place), is_sound))


def named(make: Callable[[], NameTable], what: str, key: str) -> NameTable:
    """A table of names, or what is kept of an earlier one under `what` and `key`, if that is not empty."""
    return NameTable(*_kept(what, key, make))


def cache_key(types: bytes | memoryview, strings: bytes | memoryview, build_id: str = "") -> str:
    """What BTF of these contents, and hardly any other, is kept under.

    A `build_id` that is not empty stands for the contents. Then it is enough to look at a part of them, to notice
    a file that is not the kernel's own, but one that was put in its place.
    """
    check = _sampled_sum if build_id else zlib.crc32
    return f"{len(types):x}-{check(types):08x}-{len(strings):x}-{check(strings):08x}{build_id and '-'}{build_id}"


def _sampled_sum(data: bytes | memoryview) -> int:
    """A check sum of the beginning of every stretch, and of the end."""
    check = 0
    for start in range(0, len(data), _STRETCH):
        check = zlib.crc32(data[start : start + _SAMPLE], check)
    return zlib.crc32(data[-_SAMPLE:], check)


def _kept(
    what: str,
    key: str,
    make: Callable[[], tuple[array[int], bytes]],
    is_sound: Callable[[array[int], bytes], bool] = lambda *_: True,
) -> tuple[array[int], bytes]:
    """What a cached file holds; without a sound one, what `make` gives, which is then kept."""
    name = f"{what}-{key}"
    contents = read_cached(name) if key else None
    if contents and len(contents) >= _HEAD.size:
        version, check, size = _HEAD.unpack_from(contents)
        body = memoryview(contents)[_HEAD.size :]
        if version == _FORMAT and size <= len(body) and not size % 4 and zlib.crc32(body) == check:
            # A view is read like an array, and takes no time to make.
            numbers, text = cast("array[int]", body[:size].cast("I")), bytes(body[size:])
            if is_sound(numbers, text):
                return numbers, text
    numbers, text = make()
    if key:
        first = numbers.tobytes()
        write_cached(name, _HEAD.pack(_FORMAT, zlib.crc32(text, zlib.crc32(first)), len(first)) + first + text)
        remove_old_cached(f"{what}-", _KEPT_KERNELS)
    return numbers, text
