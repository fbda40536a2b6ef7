"""The struct that a variable of `.maps` has for its type, read as the definition of a map.

A member is an attribute. Its value stands in its type: a number is the length of an array that it points to
(`__uint`), a type is what it points to (`__type`), 64 bits are the only value of an enumeration (`__ulong`), and
`values` is an array of pointers to what the map's elements are (`__array`). Source: the rules of
libbpf 1.8 and of its bpf_helpers.h.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bpfas.btf.declaration import declaration
from bpfas.btf.kinds import Kind
from bpfas.btf.sizes import size_of

if TYPE_CHECKING:
    from bpfas.btf.btf import Btf, Member

NUMBERS = ("type", "key_size", "value_size", "max_entries", "map_flags", "numa_node", "pinning")
WIDE_NUMBER = "map_extra"
TYPES = ("key", "value")
VALUES = "values"
ATTRIBUTES = (*NUMBERS, WIDE_NUMBER, *TYPES, VALUES)
"""The names of all attributes."""

DESCRIPTOR_SIZE = 4
"""The bytes of a map's value that stands for a map or a program."""

_ENUMS = (Kind.ENUM, Kind.ENUM64)
_PROG_ARRAY = 3
_MAPS_OF_MAPS = (12, 13)
_LARGEST_PINNING = 1


class MapValues(NamedTuple):
    """What `values` says: that the elements are maps as the STRUCT `inner` describes, or (0) programs.

    `offset` is where in the variable the pointers to them begin, in bytes.
    """

    inner: int
    offset: int


class MapDefinition:
    """What a definition says.

    `numbers` are the attributes that are numbers, and key_size and value_size where a type tells them; `types`
    those that are types. `unknown` are the members that are no attribute, by name, as C. `faults` say what is
    wrong.
    """

    __slots__ = ("faults", "numbers", "types", "unknown", "values")

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}
        self.types: dict[str, int] = {}
        self.values: MapValues | None = None
        self.unknown: dict[str, str] = {}
        self.faults: list[str] = []


def read_map_definition(btf: Btf, type_id: int, *, is_inner: bool = False) -> MapDefinition:
    """The definition that a struct is; `is_inner` for one that `values` of another describes."""
    definition = MapDefinition()
    struct_id = btf.without_qualifiers(type_id)
    if btf.kind(struct_id) is not Kind.STRUCT:
        definition.faults.append(f"it is `{declaration(btf, type_id)}`, no definition of a map")
        return definition
    members = btf.members(struct_id)
    seen: set[str] = set()
    for member in members:
        if member.name in seen:
            definition.faults.append(f"attribute {member.name} is given twice")
        seen.add(member.name)
        if member.name in NUMBERS:
            _read_number(btf, member, definition)
        elif member.name == WIDE_NUMBER:
            _read_wide_number(btf, member, definition)
        elif member.name in TYPES:
            _read_type(btf, member, definition)
        elif member.name == VALUES and is_inner:
            definition.faults.append("an inner map has `values`; maps in maps have one level")
        elif member.name == VALUES:
            _read_values(btf, member, definition)
            if member is not members[-1]:
                definition.faults.append("attribute values is not the last")
        else:
            definition.unknown[member.name] = _text(btf, member)
    _check_numbers(definition, is_inner=is_inner)
    return definition


def _text(btf: Btf, member: Member) -> str:
    """A member as C, as far as it has words of its own."""
    return f"{declaration(btf, member.type_id)} {member.name}".rstrip()


def _read_number(btf: Btf, member: Member, definition: MapDefinition) -> None:
    target = _pointed(btf, member.type_id)
    if target and btf.kind(target) is Kind.ARRAY:
        _set_number(definition, member.name, btf.array(target).nelems)
    else:
        definition.faults.append(f"attribute `{_text(btf, member)}` is no number: __uint({member.name}, N)")


def _read_wide_number(btf: Btf, member: Member, definition: MapDefinition) -> None:
    type_id = btf.without_qualifiers(member.type_id)
    if btf.kind(type_id) not in _ENUMS:
        _read_number(btf, member, definition)
    elif btf.vlen(type_id) == 1:
        definition.numbers[member.name] = btf.enumerators(type_id)[0].value % (1 << 64)
    else:
        count = btf.vlen(type_id)
        definition.faults.append(f"attribute {member.name} is an enumeration of {count} values, not of one")


def _read_type(btf: Btf, member: Member, definition: MapDefinition) -> None:
    target = _pointed(btf, member.type_id)
    if target is None:
        definition.faults.append(f"attribute `{_text(btf, member)}` is no type: __type({member.name}, TYPE)")
        return
    size = size_of(btf, target)
    if size is None:
        definition.faults.append(f"attribute {member.name} is `{declaration(btf, target)}`, which has no size")
        return
    definition.types[member.name] = target
    name = f"{member.name}_size"
    # A size may be told by itself as well.
    known = definition.numbers.setdefault(name, size)
    if known != size:
        definition.faults.append(f"attribute {name} is {known} and {size}, that of `{declaration(btf, target)}`")


def _set_number(definition: MapDefinition, name: str, value: int) -> None:
    """Note a number; a type may have told a size before, which must agree."""
    known = definition.numbers.setdefault(name, value)
    if known != value:
        definition.faults.append(f"attribute {name} is {known} and {value}")


def _read_values(btf: Btf, member: Member, definition: MapDefinition) -> None:
    map_type = definition.numbers.get("type")
    array_id = btf.without_qualifiers(member.type_id)
    if map_type != _PROG_ARRAY and map_type not in _MAPS_OF_MAPS:
        definition.faults.append(
            "attribute values is for maps that hold maps or programs (array_of_maps, hash_of_maps, prog_array)"
        )
        return
    size = definition.numbers.setdefault("value_size", DESCRIPTOR_SIZE)
    if size != DESCRIPTOR_SIZE:
        definition.faults.append(
            f"its values are descriptors of {DESCRIPTOR_SIZE} bytes, but value_size is {size}"
        )
    if btf.kind(array_id) is not Kind.ARRAY or btf.array(array_id).nelems:
        text = _text(btf, member)
        definition.faults.append(f"attribute `{text}` is no array without a length: __array(values, TYPE)")
        return
    target = _pointed(btf, btf.array(array_id).element)
    element = btf.without_qualifiers(target) if target else 0
    wanted = Kind.FUNC_PROTO if map_type == _PROG_ARRAY else Kind.STRUCT
    if btf.kind(element) is not wanted:
        words = "functions, as in int (void *)" if map_type == _PROG_ARRAY else "the struct of a map's definition"
        found = declaration(btf, btf.array(array_id).element)
        definition.faults.append(f"its values are `{found}`, not pointers to {words}")
        return
    definition.values = MapValues(0 if map_type == _PROG_ARRAY else element, member.bit_offset // 8)


def _pointed(btf: Btf, type_id: int) -> int | None:
    """The type that a pointer leads to; None for what is no pointer."""
    type_id = btf.without_qualifiers(type_id)
    return btf.size_or_type(type_id) if btf.kind(type_id) is Kind.PTR else None


def _check_numbers(definition: MapDefinition, *, is_inner: bool) -> None:
    if not definition.numbers.get("type"):
        definition.faults.append("the type of the map is missing")
    pinning = definition.numbers.get("pinning")
    if pinning is not None and is_inner:
        definition.faults.append("an inner map has `pinning`; only maps with a name of their own are pinned")
    elif pinning is not None and pinning > _LARGEST_PINNING:
        definition.faults.append(f"attribute pinning is {pinning}; there are 0 (none) and 1 (by name)")
