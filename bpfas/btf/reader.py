"""The bytes of a `.BTF` section to a Btf.

The section is not trusted: whatever is wrong is reported, up to a limit, in a BpfasError. What is promised of the
result: records are whole, every type id and string offset leads somewhere, the rules of `bpfas.btf.checks` hold.
Sources: Documentation/bpf/btf.rst of Linux, and what libbpf's btf.c refuses.
"""

from __future__ import annotations

import struct
import sys
from array import array
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from bpfas.btf.btf import Btf
from bpfas.btf.checks import (
    MAX_NAME_BYTES,
    described,
    incomplete_values,
    pointers_to_themselves,
    type_errors,
    types_in_themselves,
)
from bpfas.btf.kinds import (
    ENTRY_WORDS,
    FIXED_WORDS,
    HEADER_WORDS,
    KINDS,
    MAX_VLEN,
    UNKNOWN_INFO_BITS,
    Kind,
    Word,
    kind_of,
)
from bpfas.diag import BpfasError, Diagnostics

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bpfas.elf.constants import ByteOrder

_Bytes = TypeVar("_Bytes", bytes, memoryview)

MAGIC = 0xEB9F
VERSION = 1
HEADER_SIZE = 24
LAYOUT_HEADER_SIZE = 32
"""That of a header which also has the place of a table of kinds, of use for kinds that are not known."""

MAX_ERRORS = 20
_MAX_CYCLE_SHOWN = 8


COLUMN_BYTES = 240_000
"""From so many bytes of types on, importing numpy pays."""


def read_btf(data: bytes, order: ByteOrder, name: str) -> Btf:
    """The types in `data`, the contents of a section `.BTF` of the object that messages call `name`.

    Raises BpfasError with everything that is wrong, up to a limit.
    """
    return read_all([(data, order, name)])[0]


def read_all(sections: Sequence[tuple[bytes, ByteOrder, str]]) -> list[Btf]:
    """The types of several objects, each as for `read_btf`; for many objects that is faster than one by one.

    Raises BpfasError with everything that is wrong with any of them.
    """
    diagnostics = Diagnostics()
    parts = []
    for data, order, name in sections:
        with _collected(diagnostics):
            types_at, types, strings = sections_of(data, order, f"{name}:(.BTF)")
            parts.append((name, order, host_words(types, order), strings, types_at))
    if sum(len(data) for data, _, _ in sections) < COLUMN_BYTES:
        units = []
        for name, order, words, strings, types_at in parts:
            with _collected(diagnostics):
                units.append(Btf(name, order, words, *_scan(words, name), strings, types_at))
                check_types(units[-1], range(1, len(units[-1]) + 1))
    else:
        units = _read_columns(parts, diagnostics)
    diagnostics.raise_if_errors()
    return units


def _read_columns(
    parts: Sequence[tuple[str, ByteOrder, array[int], bytes, int]], diagnostics: Diagnostics
) -> list[Btf]:
    from bpfas.btf.columns import reader as columns  # its import takes longer than small inputs

    units = []
    for (name, order, words, strings, types_at), found in zip(
        parts, columns.scanned([part[2] for part in parts]), strict=True
    ):
        with _collected(diagnostics):
            units.append(Btf(name, order, words, *(found or _scan(words, name)), strings, types_at))
    for btf, type_ids in columns.suspicious(units):
        with _collected(diagnostics):
            check_types(btf, type_ids)
    return units


@contextmanager
def _collected(diagnostics: Diagnostics) -> Iterator[None]:
    """Go on after what is wrong with one object, keeping what is said of it."""
    try:
        yield
    except BpfasError as error:
        diagnostics.items += error.diagnostics


def host_words(data: bytes | memoryview, order: ByteOrder) -> array[int]:
    """`data`, a whole number of 32-bit words of a byte order, as numbers."""
    words = array("I")
    words.frombytes(data)
    if order.name_for_int != sys.byteorder:
        words.byteswap()
    return words


def check_types(btf: Btf, type_ids: Sequence[int]) -> None:
    """Raise BpfasError with what is wrong with any of these types, up to a limit."""
    diagnostics = Diagnostics()
    errors = ((type_id, message) for type_id in type_ids for message in type_errors(btf, type_id))
    for type_id, message in islice(errors, MAX_ERRORS):
        diagnostics.error(f"{described(btf, type_id)} {message}", btf.place)
    diagnostics.raise_if_errors()
    for verb, cycles in (
        ("contains", types_in_themselves(btf, type_ids)),
        ("points to", pointers_to_themselves(btf, type_ids)),
    ):
        for cycle in islice(cycles, MAX_ERRORS):
            shown = [described(btf, type_id) for type_id in cycle[1:_MAX_CYCLE_SHOWN]]
            if len(cycle) > _MAX_CYCLE_SHOWN:
                shown.append(f"({len(cycle) - _MAX_CYCLE_SHOWN} more)")
            way = f", by way of {', '.join(shown)}" if shown else ""
            diagnostics.error(f"{described(btf, cycle[0])} {verb} itself{way}", btf.place)
        diagnostics.raise_if_errors()
    for type_id, declaration in islice(incomplete_values(btf, type_ids), MAX_ERRORS):
        message = f"contains {described(btf, declaration)}, of which it may have pointers only"
        diagnostics.error(f"{described(btf, type_id)} {message}", btf.place)
    diagnostics.raise_if_errors()
    _check_name_bytes(btf)


def sections_of(
    data: _Bytes, order: ByteOrder, place: str, *, is_split: bool = False
) -> tuple[int, _Bytes, _Bytes]:
    """Where the types begin, the types and the strings of BTF. Raises BpfasError if they are not all there.

    BTF that `is_split` goes on where another one ends, so that it need not have the empty string.
    """
    if len(data) < HEADER_SIZE:
        raise BpfasError.of(f"has {len(data)} bytes, but its header alone has {HEADER_SIZE}", place)
    magic, version, flags, header_size, type_off, type_len, str_off, str_len = struct.unpack_from(
        f"{order.value}HBBIIIII", data
    )
    if magic != MAGIC:
        message = f"begins with {magic:#06x}; in the object's byte order BTF begins with {MAGIC:#06x}"
        raise BpfasError.of(message, place)
    if version != VERSION or flags:
        raise BpfasError.of(
            f"is of version {version} with flags {flags:#x}; known is {VERSION} without flags", place
        )
    if not HEADER_SIZE <= header_size <= len(data):
        message = (
            f"gives {header_size} bytes as its header's size, which has {HEADER_SIZE} or {LAYOUT_HEADER_SIZE}"
        )
        raise BpfasError.of(message, place)
    parts = {"types": (type_off, type_len), "strings": (str_off, str_len)}
    if header_size >= LAYOUT_HEADER_SIZE:
        layout = struct.unpack_from(f"{order.value}II", data, HEADER_SIZE)
        if layout[1]:
            parts["kinds' sizes"] = layout
    if any(data[LAYOUT_HEADER_SIZE if header_size >= LAYOUT_HEADER_SIZE else HEADER_SIZE : header_size]):
        message = f"has a header of {header_size} bytes with values in it that are not known"
        raise BpfasError.of(message, place)
    diagnostics = Diagnostics()
    room = len(data) - header_size
    end, previous = 0, "header"
    for part, (offset, size) in sorted(parts.items(), key=lambda item: item[1]):
        if offset + size > room:
            diagnostics.error(
                f"{part} reach from {offset:#x} over {size:#x} bytes, but behind the header there are {room:#x}",
                place,
            )
        elif offset < end:
            diagnostics.error(f"{part} begin at {offset:#x}, before the end of the {previous} at {end:#x}", place)
        end, previous = offset + size, part
    if type_off % 4 or type_len % 4:
        diagnostics.error(
            f"types reach from {type_off:#x} over {type_len:#x} bytes; both must be multiples of 4", place
        )
    diagnostics.raise_if_errors()
    strings = data[header_size + str_off : header_size + str_off + str_len]
    if is_split and strings and strings[-1]:
        raise BpfasError.of("strings must end with a zero byte", place)
    if not is_split and (not strings or strings[0] or strings[-1]):
        raise BpfasError.of("strings must begin and end with a zero byte", place)
    types_at = header_size + type_off
    return types_at, data[types_at : types_at + type_len], strings


def _scan(words: array[int], name: str) -> tuple[array[int], bytes]:
    """Where each type's record begins and what its kind is, from type 0 on; the starts end with the end.

    Raises BpfasError at the first record whose size is not known or that is not whole: behind it none can be
    found.
    """
    starts, kinds = array("I", (0,)), bytearray(1)
    at, end = 0, len(words)
    last_kind = len(KINDS)
    while at < end:
        info = words[at + 1] if at + 1 < end else 0
        kind = kind_of(info)
        if info & UNKNOWN_INFO_BITS or not 0 < kind <= last_kind:
            raise BpfasError.of(_unknown_record(len(kinds), words[at:]), f"{name}:(.BTF)")
        starts.append(at)
        kinds.append(kind)
        at += FIXED_WORDS[kind] + ENTRY_WORDS[kind] * (info & MAX_VLEN)
    if at > end:
        last = len(kinds) - 1
        raise BpfasError.of(
            f"type {last} ({Kind(kinds[last]).name}) with {words[starts[last] + 1] & MAX_VLEN} entries needs "
            f"{at - starts[last]} words, but only {end - starts[last]} are left of the types",
            f"{name}:(.BTF)",
        )
    starts.append(at)
    return starts, bytes(kinds)


def _unknown_record(type_id: int, words: array[int]) -> str:
    if len(words) < HEADER_WORDS:
        return f"type {type_id} has {HEADER_WORDS} words at least, but only {len(words)} are left of the types"
    info = words[1]
    kind, vlen = info >> 24 & 0x7F, info & 0xFFFFFF
    if kind == Kind.VOID:
        return f"type {type_id} is of kind 0, which no record can have"
    if kind > len(KINDS):
        return f"type {type_id} is of kind {kind}; known are 1 to {len(KINDS)}"
    return f"type {type_id} ({Kind(kind).name}) has {vlen} entries; up to {MAX_VLEN} are possible"


def _check_name_bytes(btf: Btf) -> None:
    """Raise BpfasError if the names of all types are together so long that nobody can keep them."""
    words, starts = btf.words, btf.starts
    offsets: set[int] = set()
    for type_id in range(1, len(btf) + 1):
        start, kind = starts[type_id], btf.kinds[type_id]
        offsets.add(words[start])
        if kind in _NAMES_IN_ENTRIES:
            offsets.update(words[start + HEADER_WORDS : starts[type_id + 1] : ENTRY_WORDS[kind]])
    total = 0
    find = btf.strings.find
    for offset in offsets:
        total += find(0, offset) - offset
        if total > MAX_NAME_BYTES:
            message = f"names share their ends; apart they have more than {MAX_NAME_BYTES >> 20} MiB"
            raise BpfasError.of(message, btf.place)


_NAMES_IN_ENTRIES = frozenset(kind for kind, layout in KINDS.items() if layout.entry[:1] == (Word.STRING,))
