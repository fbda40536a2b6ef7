"""What may be wrong with a type whose record is whole: rules by kind, and types that contain themselves.

Each rule looks at one type and gives messages. Rules are those that a linker or loader relies on; what only the
kernel minds (characters of names, order of qualifiers) is left to it. FUNCs without a name are let through, which
GCC 12 writes for prototypes that are only pointed to, and so are enumerations of size 0, which is what Clang makes
of a forward declaration. Sources: kernel/bpf/btf.c's rules as in Documentation/bpf/btf.rst, and libbpf's btf.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpfas.btf.kinds import (
    BY_VALUE,
    ENTRY_WORDS,
    HEADER_WORDS,
    KINDS,
    MAX_VLEN,
    POINTED_THROUGH,
    TRANSPARENT,
    Kind,
    KindLayout,
    Linkage,
    Word,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from bpfas.btf.btf import Btf

MAX_NAME_BYTES = 1 << 26
"""The lengths of all names together: strings may share their ends, so that a small file can ask for terabytes."""

MAX_NAME_SHOWN = 128

NAMED = frozenset((Kind.FWD, Kind.TYPEDEF, Kind.VAR, Kind.DATASEC, Kind.FLOAT, Kind.DECL_TAG, Kind.TYPE_TAG))
"""The kinds whose types must have a name."""

TAGGED = frozenset((Kind.STRUCT, Kind.UNION, Kind.FUNC, Kind.VAR, Kind.TYPEDEF))
"""The kinds that a DECL_TAG may be of."""

NOT_A_VALUE = frozenset((Kind.FUNC, Kind.VAR, Kind.DATASEC, Kind.DECL_TAG))
"""The kinds that are not types of anything: only some kinds may refer to them."""

REFERS_TO_ANY = frozenset((Kind.DECL_TAG, Kind.DATASEC))
"""The kinds that may refer to those."""

INT_SIZES = (1, 2, 4, 8, 16)
ENUM_SIZES = (0, 1, 2, 4, 8)
FLOAT_SIZES = (2, 4, 8, 12, 16)


def described(btf: Btf, type_id: int) -> str:
    """How messages call a type: id, kind and name."""
    offset = btf.words[btf.starts[type_id]] if 0 < type_id <= len(btf) else 0
    name = ""
    if offset < len(btf.strings):
        end = btf.strings.find(0, offset, offset + MAX_NAME_SHOWN)
        name = btf.strings[offset : end if end >= 0 else offset + MAX_NAME_SHOWN].decode(errors="replace")
    kind = btf.kind(type_id).name
    return f"type {type_id} ({kind} {name})" if name else f"type {type_id} ({kind})"


def type_errors(btf: Btf, type_id: int) -> Iterator[str]:
    """What is wrong with a type; its record lies within `btf.words`, and its kind is known."""
    bad_references = False
    if _may_have_bad_references(btf, type_id):
        for message in _reference_errors(btf, type_id):
            bad_references = True
            yield message
    if not bad_references:
        kind = btf.kind(type_id)
        if kind in NAMED and not btf.strings[btf.words[btf.starts[type_id]]]:
            yield "has no name"
        check = _CHECKS.get(kind)
        if check:
            yield from check(btf, type_id)


def _may_have_bad_references(btf: Btf, type_id: int) -> bool:
    """Whether it is worth looking at every word of a type, which few types need: column by column it is faster."""
    words, start, kind = btf.words, btf.starts[type_id], btf.kinds[type_id]
    names, targets, name_columns, type_columns = _REFERENCES[kind]
    end = btf.starts[type_id + 1]
    each = ENTRY_WORDS[kind]
    name_limit, type_limit = len(btf.strings), len(btf)
    for word in names:
        if words[start + word] >= name_limit:
            return True
    for word in targets:
        if words[start + word] > type_limit:
            return True
    found = [words[start + word] for word in targets]
    for column in name_columns:
        if max(words[start + column : end : each], default=0) >= name_limit:
            return True
    for column in type_columns:
        types = words[start + column : end : each]
        if max(types, default=0) > type_limit:
            return True
        found += types
    kinds = btf.kinds
    return kind not in REFERS_TO_ANY and not NOT_A_VALUE.isdisjoint([kinds[target] for target in found])


def _reference_places(
    layout: KindLayout,
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Where a kind's records have names and types: single words, and the first of those that every entry has."""
    header = (Word.STRING, Word.VALUE, layout.third, *layout.fixed)

    def places(roles: tuple[Word, ...], role: Word, first: int) -> tuple[int, ...]:
        return tuple(first + index for index, found in enumerate(roles) if found is role)

    return (
        places(header, Word.STRING, 0),
        places(header, Word.TYPE, 0),
        places(layout.entry, Word.STRING, len(header)),
        places(layout.entry, Word.TYPE, len(header)),
    )


_REFERENCES = [((), (), (), ()), *(_reference_places(KINDS[kind]) for kind in KINDS)]
"""By kind, what `_reference_places` says."""


def _reference_errors(btf: Btf, type_id: int) -> Iterator[str]:
    """Ids and string offsets that lead nowhere, and references to what is no type of anything."""
    words, start, kind = btf.words, btf.starts[type_id], btf.kinds[type_id]
    layout = KINDS[Kind(kind)]
    header = (Word.STRING, Word.VALUE, layout.third, *layout.fixed)
    for index, role in enumerate(header):
        message = _reference_error(btf, kind, role, words[start + index])
        if message:
            yield message
    each = ENTRY_WORDS[kind]
    if each:
        first = start + len(header)
        for number in range(words[start + 1] & MAX_VLEN):
            for index, role in enumerate(layout.entry):
                message = _reference_error(btf, kind, role, words[first + number * each + index])
                if message:
                    yield f"{_ENTRY_NAMES[kind]} {number} {message}"


def _reference_error(btf: Btf, kind: int, role: Word, word: int) -> str:
    if role is Word.STRING:
        if word >= len(btf.strings):
            return f"has its name at {word:#x}, outside the strings, which have {len(btf.strings):#x} bytes"
    elif role is Word.TYPE:
        if word > len(btf):
            return f"refers to type {word}, but the last one is {len(btf)}"
        if btf.kinds[word] in NOT_A_VALUE and kind not in REFERS_TO_ANY:
            return f"refers to {described(btf, word)}, which cannot be the type of anything"
    return ""


def _int_errors(btf: Btf, type_id: int) -> Iterator[str]:
    size, encoding = btf.size_or_type(type_id), btf.encoding(type_id)
    if size not in INT_SIZES:
        yield f"has a size of {size} bytes; integers have {_listed(INT_SIZES)}"
    elif encoding.bit_offset + encoding.bits > 8 * size:
        yield f"has {encoding.bits} bits from bit {encoding.bit_offset} on in {size} bytes"


def _array_errors(btf: Btf, type_id: int) -> Iterator[str]:
    array = btf.array(type_id)
    if not array.element:
        yield "has elements of type void"
    if not array.index_type:
        yield "is indexed by type void"


def _struct_errors(btf: Btf, type_id: int) -> Iterator[str]:
    bits = 8 * btf.size_or_type(type_id)
    if _members_fit(btf, type_id, bits):
        return
    for number, member in enumerate(btf.members(type_id)):
        if not member.type_id:
            yield f"member {number} {member.name} is of type void"
        if member.bit_offset + member.bit_size > bits:
            yield (
                f"member {number} {member.name} reaches from bit {member.bit_offset} to "
                f"{member.bit_offset + member.bit_size}, but there are {bits}"
            )


def _members_fit(btf: Btf, type_id: int, bits: int) -> bool:
    """Whether no member is of type void or ends behind `bits`; without making a Member of each."""
    words, end = btf.words, btf.starts[type_id + 1]
    first = btf.starts[type_id] + HEADER_WORDS
    if 0 in words[first + 1 : end : 3]:
        return False
    offsets = words[first + 2 : end : 3]
    if btf.kflag(type_id):
        return all((offset & 0xFFFFFF) + (offset >> 24) <= bits for offset in offsets)
    return max(offsets, default=0) <= bits


def _size_errors(sizes: tuple[int, ...]) -> Callable[[Btf, int], Iterator[str]]:
    def errors(btf: Btf, type_id: int) -> Iterator[str]:
        if btf.size_or_type(type_id) not in sizes:
            yield f"has a size of {btf.size_or_type(type_id)} bytes instead of {_listed(sizes)}"

    return errors


def _func_errors(btf: Btf, type_id: int) -> Iterator[str]:
    target = btf.size_or_type(type_id)
    if btf.kinds[target] != Kind.FUNC_PROTO:
        yield f"has {described(btf, target)} for its prototype; a FUNC_PROTO is needed"
    if btf.vlen(type_id) > Linkage.EXTERN:
        yield f"has linkage {btf.vlen(type_id)}; there are 0 (static), 1 (global), 2 (extern)"


def _prototype_errors(btf: Btf, type_id: int) -> Iterator[str]:
    parameters = btf.parameters(type_id)
    for number, parameter in enumerate(parameters):
        if not parameter.type_id and (number + 1 < len(parameters) or parameter.name):
            yield f"parameter {number} {parameter.name} is of type void, as only a nameless last one may be"


def _var_errors(btf: Btf, type_id: int) -> Iterator[str]:
    linkage = btf.words[btf.starts[type_id] + 3]
    if linkage > Linkage.EXTERN:
        yield f"has linkage {linkage}; there are 0 (static), 1 (global), 2 (extern)"


def _datasec_errors(btf: Btf, type_id: int) -> Iterator[str]:
    for number, entry in enumerate(btf.entries(type_id)):
        if btf.kinds[entry.type_id] not in (Kind.VAR, Kind.FUNC):
            yield f"entry {number} is {described(btf, entry.type_id)}; a VAR or FUNC is needed"


def _decl_tag_errors(btf: Btf, type_id: int) -> Iterator[str]:
    target, component = btf.size_or_type(type_id), btf.component(type_id)
    kind = btf.kind(target)
    if kind not in TAGGED:
        yield f"is of {described(btf, target)}; a STRUCT, UNION, FUNC, VAR or TYPEDEF is needed"
    elif component != -1:
        described_target = described(btf, target)
        if kind is Kind.FUNC:
            target = btf.size_or_type(target)
        has_components = target <= len(btf) and btf.kind(target) in (Kind.STRUCT, Kind.UNION, Kind.FUNC_PROTO)
        count = btf.vlen(target) if has_components else 0
        if not 0 <= component < count:
            yield f"is of component {component} of {described_target}, which has {count}"


_CHECKS: dict[Kind, Callable[[Btf, int], Iterator[str]]] = {
    Kind.INT: _int_errors,
    Kind.ARRAY: _array_errors,
    Kind.STRUCT: _struct_errors,
    Kind.UNION: _struct_errors,
    Kind.ENUM: _size_errors(ENUM_SIZES),
    Kind.ENUM64: _size_errors(ENUM_SIZES),
    Kind.FUNC: _func_errors,
    Kind.FUNC_PROTO: _prototype_errors,
    Kind.VAR: _var_errors,
    Kind.DATASEC: _datasec_errors,
    Kind.FLOAT: _size_errors(FLOAT_SIZES),
    Kind.DECL_TAG: _decl_tag_errors,
}

_ENTRY_NAMES: dict[int, str] = {
    Kind.STRUCT: "member",
    Kind.UNION: "member",
    Kind.ENUM: "enumerator",
    Kind.ENUM64: "enumerator",
    Kind.FUNC_PROTO: "parameter",
    Kind.DATASEC: "entry",
}


def types_in_themselves(btf: Btf, type_ids: Iterable[int]) -> Iterator[list[int]]:
    """The cycles among `type_ids` in which each type contains the next one, not only a pointer to it."""
    done = bytearray(len(btf) + 1)
    for root in type_ids:
        if done[root]:
            continue
        path = [root]
        open_references = [_contained(btf, root)]
        depth = {root: 0}
        while path:
            target = next(open_references[-1], 0)
            if not target:
                open_references.pop()
                last = path.pop()
                del depth[last]
                done[last] = 1
            elif btf.kinds[target] not in BY_VALUE:
                continue
            elif target in depth:
                yield path[depth[target] :]
            elif not done[target]:
                depth[target] = len(path)
                path.append(target)
                open_references.append(_contained(btf, target))


def pointers_to_themselves(btf: Btf, type_ids: Iterable[int]) -> Iterator[list[int]]:
    """The cycles among `type_ids` of pointers alone, with no struct between them that could be declared first.

    No type may be within itself.
    """
    fresh, open_, done = 0, 1, 2
    states = bytearray(len(btf) + 1)
    for root in type_ids:
        path: list[int] = []
        at = root
        while states[at] == fresh and btf.kinds[at] in POINTED_THROUGH:
            states[at] = open_
            path.append(at)
            start = btf.starts[at]
            at = btf.words[start + 3 if btf.kinds[at] == Kind.ARRAY else start + 2]
        if states[at] == open_:
            yield path[path.index(at) :]
        for type_id in path:
            states[type_id] = done


def _contained(btf: Btf, type_id: int) -> Iterator[int]:
    """The types that values of a type have inside."""
    kind = btf.kinds[type_id]
    start = btf.starts[type_id]
    if kind not in BY_VALUE:
        found: Iterable[int] = ()
    elif kind in (Kind.STRUCT, Kind.UNION):
        found = btf.words[start + 4 : start + 3 + 3 * btf.vlen(type_id) : 3]
    else:
        found = (btf.words[start + 3 if kind == Kind.ARRAY else start + 2],)
    return iter([target for target in found if target])


def incomplete_values(btf: Btf, type_ids: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Types with members or elements of a type that is only declared, and that declaration.

    No type may be within itself.
    """
    meant: dict[int, int] = {}
    for type_id in type_ids:
        if btf.kinds[type_id] not in (Kind.STRUCT, Kind.UNION, Kind.ARRAY):
            continue
        for target in _contained(btf, type_id):
            chain = []
            while target not in meant and btf.kinds[target] in TRANSPARENT:
                chain.append(target)
                target = btf.size_or_type(target)
            target = meant.get(target, target)
            meant.update(dict.fromkeys(chain, target))
            if btf.kinds[target] == Kind.FWD:
                yield type_id, target


def _listed(numbers: tuple[int, ...]) -> str:
    return f"{', '.join(map(str, numbers[:-1]))} or {numbers[-1]}"
