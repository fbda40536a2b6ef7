"""How many bytes a value of a type takes, and at what multiples it lies.

Source: libbpf's btf__resolve_size and btf__align_of, which follow the C ABI.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpfas.btf.kinds import TRANSPARENT, Kind

if TYPE_CHECKING:
    from bpfas.btf.btf import Btf

BPF_POINTER_SIZE = 8
"""That of programs for BPF; a kernel's own may have 4 bytes."""

_SIZED = frozenset({Kind.INT, Kind.FLOAT, Kind.ENUM, Kind.ENUM64, Kind.STRUCT, Kind.UNION, Kind.DATASEC})
_PASSED_THROUGH = TRANSPARENT | {Kind.VAR, Kind.DECL_TAG}
_WORDS_OF_LONG = (frozenset(("long",)), frozenset(("long", "unsigned")))


def size_of(btf: Btf, type_id: int, pointer_size: int = BPF_POINTER_SIZE) -> int | None:
    """The bytes that a value of a type takes; None for one that has no size (void, a function, a FWD).

    A flexible array has 0. Of a VAR, it is the size of its value.
    """
    count = 1
    while True:
        kind = btf.kind(type_id)
        if kind in _PASSED_THROUGH:
            type_id = btf.size_or_type(type_id)
        elif kind is Kind.ARRAY:
            array = btf.array(type_id)
            count *= array.nelems
            type_id = array.element
        elif kind is Kind.PTR:
            return count * pointer_size
        else:
            return count * btf.size_or_type(type_id) if kind in _SIZED else None


def alignment_of(btf: Btf, type_id: int, pointer_size: int = BPF_POINTER_SIZE) -> int | None:
    """The bytes of which a value's place is a multiple; None for a type that has no alignment, as `size_of`.

    A struct that is packed, as its members' places tell, has 1.
    """
    alignments: dict[int, int | None] = {}
    waiting = [type_id]
    while waiting:
        current = waiting[-1]
        needed = [] if current in alignments else _aligned_by(btf, current)
        missing = [inner for inner in needed if inner not in alignments]
        if missing:
            waiting += missing
            continue
        waiting.pop()
        if current not in alignments:
            alignments[current] = _own_alignment(btf, current, pointer_size, alignments)
    return alignments[type_id]


def pointer_size_of(btf: Btf) -> int:
    """The bytes of a pointer where these types are from: those of `long`, 8 if there is none."""
    for type_id in btf.ids_of_kind(Kind.INT):
        words = btf.name(type_id).split()
        if words.count("long") == 1 and set(words) - {"int"} in _WORDS_OF_LONG:
            size = btf.size_or_type(type_id)
            if size in (4, 8):
                return size
    return BPF_POINTER_SIZE


def _aligned_by(btf: Btf, type_id: int) -> list[int]:
    """The types whose alignments decide that of a type."""
    kind = btf.kind(type_id)
    if kind in _PASSED_THROUGH:
        return [btf.size_or_type(type_id)]
    if kind is Kind.ARRAY:
        return [btf.array(type_id).element]
    if kind in (Kind.STRUCT, Kind.UNION):
        return [member.type_id for member in btf.members(type_id)]
    return []


def _own_alignment(btf: Btf, type_id: int, pointer_size: int, known: dict[int, int | None]) -> int | None:
    """The alignment of a type, by those of the types that decide it."""
    kind = btf.kind(type_id)
    if kind in _PASSED_THROUGH:
        return known[btf.size_or_type(type_id)]
    match kind:
        case Kind.INT | Kind.ENUM | Kind.ENUM64 | Kind.FLOAT:
            return min(pointer_size, btf.size_or_type(type_id)) or None
        case Kind.PTR:
            return pointer_size
        case Kind.ARRAY:
            return known[btf.array(type_id).element]
        case Kind.STRUCT | Kind.UNION:
            return _struct_alignment(btf, type_id, known)
        case _:
            return None


def _struct_alignment(btf: Btf, type_id: int, known: dict[int, int | None]) -> int | None:
    largest = 1
    for member in btf.members(type_id):
        alignment = known[member.type_id]
        if alignment is None:
            return None
        if not member.bit_size and member.bit_offset % (8 * alignment):
            return 1
        largest = max(largest, alignment)
    return 1 if btf.size_or_type(type_id) % largest else largest
