"""Whether two types of one name fit: a declaration and the definition that it leads to.

The rules are libbpf's: functions and variables by structure, where types behind pointers need only the same name;
maps by their definition, attribute for attribute. Typedefs, qualifiers, the names of parameters, the signs of
integers and the lengths of arrays do not matter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bpfas.btf.declaration import declaration
from bpfas.btf.kinds import Kind
from bpfas.btf.map_definition import NUMBERS, TYPES, read_map_definition
from bpfas.section_names import MAPS_SECTION

if TYPE_CHECKING:
    from bpfas.btf.btf import Btf
    from bpfas.btf.map_definition import MapDefinition

_NAMED = frozenset({Kind.STRUCT, Kind.UNION, Kind.ENUM, Kind.ENUM64, Kind.FWD})
_SIZED = frozenset({Kind.INT, Kind.FLOAT, Kind.ENUM, Kind.ENUM64})
_MAP_DEFAULTS = {"map_flags": 0, "numa_node": 0, "pinning": 0}


class TypeOf(NamedTuple):
    """A type of an object."""

    btf: Btf
    type_id: int

    @property
    def text(self) -> str:
        """The type as C."""
        return declaration(self.btf, self.type_id)


class _Pair(NamedTuple):
    """Two types that must fit. `exact`: not behind a pointer, so that the members of structs count."""

    first: int
    second: int
    exact: bool
    what: str


def difference(first: TypeOf, second: TypeOf, *, is_map: bool) -> str | None:
    """In what two VARs or FUNCs of one name do not fit, in words, or None. `is_map`: variables of .maps."""
    if is_map and first.btf.kind(first.type_id) == second.btf.kind(second.type_id) == Kind.VAR:
        return _map_difference(
            TypeOf(first.btf, first.btf.size_or_type(first.type_id)),
            TypeOf(second.btf, second.btf.size_or_type(second.type_id)),
            "",
        )
    return _Comparison(first.btf, second.btf).run(_Pair(first.type_id, second.type_id, exact=True, what="it"))


class _Comparison:
    """The comparison of types of two objects. Pairs wait in a list, for types may nest deeper than calls can."""

    def __init__(self, first: Btf, second: Btf) -> None:
        self.first = first
        self.second = second
        self.waiting: list[_Pair] = []
        self.seen: set[tuple[int, int, bool]] = set()

    def run(self, pair: _Pair) -> str | None:
        self.waiting.append(pair)
        while self.waiting:
            pair = self.waiting.pop()
            first, second = self.first.without_qualifiers(pair.first), self.second.without_qualifiers(pair.second)
            key = first, second, pair.exact
            if key in self.seen:
                continue
            self.seen.add(key)
            fault = self.compare(pair._replace(first=first, second=second))
            if fault:
                return fault
        return None

    def compare(self, pair: _Pair) -> str | None:
        """The fault of two types without qualifiers; what they refer to is left waiting."""
        first, second, exact, what = pair
        kind, other_kind = self.first.kind(first), self.second.kind(second)
        if kind != other_kind:
            is_forward = not exact and self.is_forward_of(first, second)
            return None if is_forward else self.differs(pair)
        if kind in _NAMED and self.first.name(first) != self.second.name(second):
            return self.differs(pair)
        match kind:
            case Kind.PTR:
                self.wait_for_targets(first, second, False, what)
            case Kind.ARRAY:
                element, other = self.first.array(first).element, self.second.array(second).element
                self.waiting.append(_Pair(element, other, exact, f"an element of {what}"))
            case Kind.FUNC | Kind.VAR:
                self.wait_for_targets(first, second, exact, what)
            case Kind.FUNC_PROTO:
                return self.compare_prototypes(pair)
            case Kind.STRUCT | Kind.UNION if exact:
                return self.compare_members(pair)
            case _ if kind in _SIZED:
                if self.first.size_or_type(first) != self.second.size_or_type(second):
                    return self.differs(pair)
            case Kind.DATASEC | Kind.DECL_TAG:
                return self.differs(pair)
        return None

    def wait_for_targets(self, first: int, second: int, exact: bool, what: str) -> None:
        self.waiting.append(_Pair(self.first.size_or_type(first), self.second.size_or_type(second), exact, what))

    def is_forward_of(self, first: int, second: int) -> bool:
        """Whether one is a forward declaration of the other, a struct or union."""
        flavours = {self.flavour(self.first, first), self.flavour(self.second, second)}
        kinds = {self.first.kind(first), self.second.kind(second)}
        same_name = self.first.name(first) == self.second.name(second)
        return Kind.FWD in kinds and len(flavours) == 1 and None not in flavours and same_name

    @staticmethod
    def flavour(btf: Btf, type_id: int) -> Kind | None:
        kind = btf.kind(type_id)
        if kind is Kind.FWD:
            return Kind.UNION if btf.kflag(type_id) else Kind.STRUCT
        return kind if kind in (Kind.STRUCT, Kind.UNION) else None

    def compare_prototypes(self, pair: _Pair) -> str | None:
        parameters, others = self.first.parameters(pair.first), self.second.parameters(pair.second)
        if len(parameters) != len(others):
            return f"{pair.what} has {len(parameters)} and {len(others)} parameters"
        numbered = enumerate(zip(parameters, others, strict=True), 1)
        pairs = [
            _Pair(mine.type_id, other.type_id, pair.exact, f"parameter {number}")
            for number, (mine, other) in numbered
        ]
        self.waiting += reversed(pairs)
        self.wait_for_targets(pair.first, pair.second, pair.exact, "the return type")
        return None

    def compare_members(self, pair: _Pair) -> str | None:
        members, others = self.first.members(pair.first), self.second.members(pair.second)
        what = self.first.name(pair.first)
        what = f"struct {what}" if what else f"the struct of {pair.what}"
        if len(members) != len(others):
            return f"{what} has {len(members)} and {len(others)} members"
        for mine, other in zip(members, others, strict=True):
            if mine.name != other.name:
                return f"{what} has a member {mine.name or '(anonymous)'} and {other.name or '(anonymous)'}"
            if (mine.bit_offset, mine.bit_size) != (other.bit_offset, other.bit_size):
                return f"member {mine.name} of {what} is at bit {mine.bit_offset} and at bit {other.bit_offset}"
            self.waiting.append(_Pair(mine.type_id, other.type_id, pair.exact, f"member {mine.name} of {what}"))
        return None

    def differs(self, pair: _Pair) -> str:
        mine, other = declaration(self.first, pair.first), declaration(self.second, pair.second)
        return f"{pair.what} is `{mine}` and `{other}`"


def _map_difference(first: TypeOf, second: TypeOf, prefix: str, *, is_inner: bool = False) -> str | None:
    mine = read_map_definition(*first, is_inner=is_inner)
    other = read_map_definition(*second, is_inner=is_inner)
    for definition in (mine, other):
        if wrong := _fault(definition):
            which = "the first" if definition is mine else "the second"
            return f"{prefix}it is in {MAPS_SECTION}, but of {which}, {wrong}"
    for name in TYPES:
        if (name in mine.types) != (name in other.types):
            return f"{prefix}the type of the {name} is given in one of them only"
        if name in mine.types:
            pair = _Pair(mine.types[name], other.types[name], exact=True, what=f"{prefix}the {name}")
            fault = _Comparison(first.btf, second.btf).run(pair)
            if fault:
                return fault
    for name in NUMBERS:
        value, other_value = (
            definition.numbers.get(name, _MAP_DEFAULTS.get(name)) for definition in (mine, other)
        )
        if value != other_value:
            words = [f"{number}" if number is not None else "not given" for number in (value, other_value)]
            return f"{prefix}{name} is {words[0]} and {words[1]}"
    inner, other_inner = (definition.values.inner if definition.values else 0 for definition in (mine, other))
    if bool(inner) != bool(other_inner):
        return f"{prefix}the maps that it holds are described in one of them only"
    if inner:
        return _map_difference(
            TypeOf(first.btf, inner), TypeOf(second.btf, other_inner), "in the inner map, ", is_inner=True
        )
    return None


def _fault(definition: MapDefinition) -> str:
    """What is wrong with a definition first, if anything is."""
    unknown = [f"its attribute `{text}` is unknown" for text in definition.unknown.values()]
    return next(iter([*definition.faults, *unknown]), "")
