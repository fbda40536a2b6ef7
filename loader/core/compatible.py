"""Whether a type of a program and a type of a kernel fit each other.

`types_compatible` is what bpf_core_type_exists asks and what typed externs have to be: a rough likeness of shapes.
`types_match` is what bpf_core_type_matches asks: that all the program knows of a type is so in the kernel, too.
Types of float fit nothing in either. The caller has compared the names of the two types themselves.
Source: libbpf's relo_core.c.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from bpfas.btf.kinds import Kind
from bpfas.diag import BpfasError
from bpfas.loader.core.flavours import stem_of

if TYPE_CHECKING:
    from bpfas.btf.btf import Btf

ENUMS = frozenset({Kind.ENUM, Kind.ENUM64})
STRUCTS = frozenset({Kind.STRUCT, Kind.UNION})
MAX_DEPTH = 100
"""Of types within types; no compiler makes any that deep."""

_FORWARDED = (Kind.STRUCT, Kind.UNION)  # by the kflag of a FWD
_ALIKE_BY_KIND = frozenset({Kind.VOID, Kind.FWD}) | STRUCTS | ENUMS


def same_kind(kind: Kind, other: Kind) -> bool:
    """Whether the kinds are the same; those of enumerations of 32 and 64 bits count as one."""
    return kind is other or (kind in ENUMS and other in ENUMS)


def types_compatible(local: Btf, local_id: int, target: Btf, target_id: int, *, forwards: bool = False) -> bool:
    """Whether types are alike in shape: kinds along pointers and arrays, and functions' numbers of parameters.

    Typedefs and qualifiers do not count, nor do names, sizes, signs, members and lengths of arrays. With
    `forwards` what the program only declares to be a struct (or union) is like any.
    """
    waiting, seen = [(local_id, target_id)], set[tuple[int, int]]()
    while waiting:
        first, second = waiting.pop()
        pair = first, second = local.without_qualifiers(first), target.without_qualifiers(second)
        if pair in seen:
            continue
        seen.add(pair)
        kind = local.kind(first)
        if forwards and kind is Kind.FWD and target.kind(second) is _FORWARDED[local.kflag(first)]:
            continue
        if not same_kind(kind, target.kind(second)):
            return False
        match kind:
            case _ if kind in _ALIKE_BY_KIND:
                pass
            case Kind.INT:
                if local.encoding(first).bit_offset or target.encoding(second).bit_offset:
                    return False
            case Kind.PTR:
                waiting.append((local.size_or_type(first), target.size_or_type(second)))
            case Kind.ARRAY:
                waiting.append((local.array(first).element, target.array(second).element))
            case Kind.FUNC_PROTO:
                parameters, others = local.parameters(first), target.parameters(second)
                if len(parameters) != len(others):
                    return False
                waiting += ((mine.type_id, other.type_id) for mine, other in zip(parameters, others, strict=True))
                waiting.append((local.size_or_type(first), target.size_or_type(second)))
            case _:
                return False
    return True


def types_match(local: Btf, local_id: int, target: Btf, target_id: int) -> bool:
    """Whether the kernel's type has all that the program's type has.

    Structs have members of the same names, which match in turn, in any place; enumerations have the names, with
    any values, and the same size; integers have the same size and sign, arrays the same length. Of structs behind
    pointers only the names count. Typedefs and qualifiers do not count. Names count without their flavours.
    Raises BpfasError for types that nest too deep.
    """
    return _Matching(local, target).match(local_id, target_id, False, 0)


class _Matching:
    """The comparison of types of two Btfs. What was found of two types is kept."""

    def __init__(self, local: Btf, target: Btf) -> None:
        self.local = local
        self.target = target
        self.found: dict[tuple[int, int, bool], bool] = {}

    def match(self, first: int, second: int, behind_pointer: bool, depth: int) -> bool:
        local, target = self.local, self.target
        first, second = local.without_qualifiers(first), target.without_qualifiers(second)
        key = first, second, behind_pointer
        if key not in self.found:
            if depth == MAX_DEPTH:
                message = f"type {first} ({local.name(first)}) nests deeper than {MAX_DEPTH} levels"
                raise BpfasError.of(message, local.place)
            self.found[key] = True  # as far as it refers to itself
            self.found[key] = self.compare(first, second, behind_pointer, depth)
        return self.found[key]

    def compare(self, first: int, second: int, behind_pointer: bool, depth: int) -> bool:
        local, target = self.local, self.target
        kind, other = local.kind(first), target.kind(second)
        if stem_of(local.name(first)) != stem_of(target.name(second)):
            return False
        if behind_pointer and Kind.FWD in (kind, other):
            return _declared_as(local, first) is _declared_as(target, second) is not None
        if not same_kind(kind, other):
            return False
        match kind:
            case Kind.VOID:
                return True
            case Kind.FWD:
                return local.kflag(first) == target.kflag(second)
            case Kind.ENUM | Kind.ENUM64:
                return self.enums_match(first, second)
            case Kind.STRUCT | Kind.UNION:
                return behind_pointer or self.members_match(first, second, depth)
            case Kind.INT:
                return (
                    local.size_or_type(first) == target.size_or_type(second)
                    and local.encoding(first).is_signed == target.encoding(second).is_signed
                )
            case Kind.PTR:
                return self.match(local.size_or_type(first), target.size_or_type(second), True, depth + 1)
            case Kind.ARRAY:
                array, other_array = local.array(first), target.array(second)
                same_length = array.nelems == other_array.nelems
                return same_length and self.match(array.element, other_array.element, behind_pointer, depth + 1)
            case Kind.FUNC_PROTO:
                parameters, others = local.parameters(first), target.parameters(second)
                return (
                    len(parameters) == len(others)
                    and all(
                        self.match(mine.type_id, other.type_id, behind_pointer, depth + 1)
                        for mine, other in zip(parameters, others, strict=True)
                    )
                    and self.match(
                        local.size_or_type(first), target.size_or_type(second), behind_pointer, depth + 1
                    )
                )
            case _:
                return False

    def enums_match(self, first: int, second: int) -> bool:
        names = [stem_of(enumerator.name) for enumerator in self.local.enumerators(first)]
        others = [stem_of(enumerator.name) for enumerator in self.target.enumerators(second)]
        same_size = self.local.size_or_type(first) == self.target.size_or_type(second)
        return same_size and len(names) <= len(others) and set(names) <= set(others)

    def members_match(self, first: int, second: int, depth: int) -> bool:
        members, others = self.local.members(first), self.target.members(second)
        if len(members) > len(others):
            return False
        named: defaultdict[str, set[int]] = defaultdict(set)
        for member in others:
            named[stem_of(member.name)].add(member.type_id)
        return all(
            any(self.match(member.type_id, other, False, depth + 1) for other in named[stem_of(member.name)])
            for member in members
        )


def _declared_as(btf: Btf, type_id: int) -> Kind | None:
    """What a FWD, STRUCT or UNION says that its name is."""
    kind = btf.kind(type_id)
    if kind is Kind.FWD:
        return Kind.UNION if btf.kflag(type_id) else Kind.STRUCT
    return kind if kind in STRUCTS else None
