"""The maps of an object as the text of Python: what makes each, and which parts that takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bpfas.btf.kinds import Kind
from bpfas.btf.sizes import size_of
from bpfas.loader.core.flavours import stem_of
from bpfas.loader.gen.loader_program import FactKind
from bpfas.loader.gen.python.names import identifier
from bpfas.loader.gen.python.text import Call, Expression, Keyword, Table, bytes_expression, quoted
from bpfas.loader.kinds import (
    MAPS_OF_MAPS,
    PER_CPU_MAP_TYPES,
    STORAGE_MAP_TYPES,
    MapFlag,
    MapType,
    map_type_name,
)
from bpfas.loader.spec import Pinning, file_name
from bpfas.section_names import KCONFIG_SECTION

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bpfas.btf.btf import Member
    from bpfas.loader.gen.loader_program import LoaderProgram
    from bpfas.loader.gen.python.types import ValueTypes
    from bpfas.loader.spec import MapSpec

_HOLDING_DESCRIPTORS = MAPS_OF_MAPS | {
    MapType.PROG_ARRAY,
    MapType.PERF_EVENT_ARRAY,
    MapType.CGROUP_ARRAY,
    MapType.SOCKMAP,
    MapType.SOCKHASH,
    MapType.XSKMAP,
    MapType.REUSEPORT_SOCKARRAY,
}
_QUEUES = {MapType.QUEUE: "QueueMap", MapType.STACK: "QueueMap", MapType.BLOOM_FILTER: "BloomFilter"}
_PIN_ROOT = "/sys/fs/bpf"


class MapText(NamedTuple):
    """A map: the expression that makes it, the parts that this takes, and whether it has variables."""

    expression: Expression
    parts: tuple[str, ...]
    has_variables: bool = False


def map_attribute(spec: MapSpec) -> str:
    """What a map is called as an attribute, as far as nothing else is called so."""
    is_data = spec.section and spec.map_type == MapType.ARRAY
    return identifier(spec.section.lstrip(".") if is_data else spec.name)


class MapWriter:
    """Writing the maps of one program. `facts` are places in its context."""

    def __init__(
        self, program: LoaderProgram, types: ValueTypes, facts: Mapping[tuple[FactKind, str], int]
    ) -> None:
        self.program = program
        self.image = program.image
        self.types = types
        self.facts = facts

    def map(self, spec: MapSpec, entry: int, programs: Mapping[str, str]) -> MapText:
        """A map at `entry` of the context; `programs` are the expressions of programs by their names."""
        start = (quoted(spec.name), str(entry))
        fact = self.facts.get((FactKind.ARENA_ADDRESS, spec.name))
        if not spec.autocreate or (spec.map_type == MapType.ARENA and fact is None):
            # Nothing is found out for a map that is not there.
            plain = Call("Map", (*start, quoted(map_type_name(spec.map_type)), str(spec.max_entries)))
            return MapText(plain, ("maps",))
        if spec.section == KCONFIG_SECTION:
            return self._kconfig(spec, start)
        if spec.struct_ops:
            return self._struct_ops(spec, start, programs)
        if spec.map_type == MapType.ARENA:
            return self._arena(spec, start, fact or 0)
        if spec.section:
            return self._data(spec, start)
        return self._elements(spec, start)

    def pin(self, spec: MapSpec, entry: int, expression: str) -> str:
        """Where a map is pinned; empty for one that is not."""
        path = spec.pin_path
        if path is None and spec.pinning is Pinning.BY_NAME:
            path = f"{_PIN_ROOT}/{file_name(spec.name.rpartition(':')[2])}"
        if not path or not spec.autocreate:
            return ""
        definition = (
            *(spec.map_type, spec.key_size, spec.value_size, spec.max_entries),
            *(spec.map_flags, spec.map_extra),
        )
        return f"Pin({expression}, {entry}, {path!a}, {tuple(map(int, definition))})"

    def _variables(self, spec: MapSpec, size: int) -> str:
        title = f"{self.program.name}_{map_attribute(spec)}"
        return self.types.section(title, size, spec.variables, spec.section or spec.name)

    def _kconfig(self, spec: MapSpec, start: tuple[str, ...]) -> MapText:
        kinds = Table(
            tuple(
                (quoted(each.name), f"({quoted(each.kind.value)}, {each.is_signed}, {each.is_weak})")
                for each in self.image.kconfig
            )
        )
        arguments: tuple[Expression, ...] = (
            *start,
            str(spec.value_size),
            self._variables(spec, spec.value_size),
            kinds,
            quoted(self.program.kconfig),
            f"is_mapped={bool(spec.map_flags & MapFlag.MMAPABLE)}",
            *(() if self.program.scheme is None else ("is_fixed=True",)),
        )
        return MapText(Call("KconfigMap", arguments), ("kconfig",), has_variables=True)

    def _data(self, spec: MapSpec, start: tuple[str, ...]) -> MapText:
        contents = spec.contents if spec.contents is not None else bytes(spec.value_size)
        # What is not told to the loader program is written once the map is there, if it may be.
        is_filled = spec.contents is not None and (self.program.scheme is None or spec.frozen)
        arguments: tuple[Expression, ...] = (
            *start,
            bytes_expression(contents),
            self._variables(spec, spec.value_size),
            f"is_mapped={bool(spec.map_flags & MapFlag.MMAPABLE)}",
            f"is_frozen={spec.frozen}",
            f"is_filled={is_filled}",
        )
        return MapText(Call("DataMap", arguments), ("data_maps",), has_variables=True)

    def _arena(self, spec: MapSpec, start: tuple[str, ...], fact: int) -> MapText:
        contents = spec.contents or b""
        arguments: tuple[Expression, ...] = (
            *start,
            str(spec.max_entries),
            Keyword("fact", str(fact)),
            Keyword("contents", bytes_expression(contents)),
            Keyword("offset", str(spec.data_offset)),
            Keyword("values", self._variables(spec, len(contents))),
            *((Keyword("wanted", f"{spec.map_extra:#x}"),) if spec.map_extra else ()),
        )
        return MapText(Call("ArenaMap", arguments), ("arenas",), has_variables=bool(contents))

    def _struct_ops(self, spec: MapSpec, start: tuple[str, ...], programs: Mapping[str, str]) -> MapText:
        operations, types = spec.struct_ops, self.image.types
        assert operations is not None
        assert types is not None  # an instance is known by its type
        members = tuple(
            (quoted(member.name), self._member(member))
            for member in types.members(operations.type_id)
            if member.name
        )
        owners = tuple(
            (quoted(member), programs[program])
            for member, program in operations.programs.items()
            if program in programs
        )
        indices = tuple(
            (quoted(program), str(offset))
            for (kind, program), offset in self.facts.items()
            if kind is FactKind.MEMBER_INDEX and program in operations.programs.values()
        )
        arguments: tuple[Expression, ...] = (
            *start,
            quoted(stem_of(operations.type_name)),
            bytes_expression(spec.contents or bytes(spec.value_size)),
            self.types.struct(operations.type_id),
            Keyword("members", Table(members)),
            Keyword("programs", Table(owners)),
            Keyword("value_size", str(self.facts.get((FactKind.VALUE_SIZE, spec.name), 0))),
            Keyword("indices", Table(indices)),
            Keyword("is_link", str(operations.is_link)),
        )
        return MapText(Call("StructOpsMap", arguments), ("struct_ops",), has_variables=True)

    def _member(self, member: Member) -> str:
        """Where a member of an instance is, how long it is, and of what kind."""
        types = self.image.types
        assert types is not None
        if member.bit_size or member.bit_offset % 8:
            start, end = member.bit_offset // 8, -(-(member.bit_offset + member.bit_size) // 8)
            return f'({start}, {end - start}, "bits")'
        plain = types.without_qualifiers(member.type_id)
        kind = "pointer" if types.kind(plain) is Kind.PTR else "data"
        return f'({member.bit_offset // 8}, {size_of(types, plain) or 0}, "{kind}")'

    def _elements(self, spec: MapSpec, start: tuple[str, ...]) -> MapText:
        kind = spec.map_type
        first = (*start, quoted(map_type_name(kind)), str(spec.max_entries))
        if kind == MapType.RINGBUF:
            return MapText(Call("RingBuffer", first), ("ring_buffers",))
        value, parts = self._value(spec)
        if kind in _QUEUES:
            return MapText(Call(_QUEUES[MapType(kind)], (*first, "None", value)), ("queues", *parts))
        if not spec.key_size:
            return MapText(Call("Map", first), ("maps",))
        key = self.types.value(spec.key_type, spec.key_size)
        if kind in STORAGE_MAP_TYPES:
            key, parts = f"Descriptor({spec.key_size})", ("descriptors", *parts)
        if kind == MapType.PERF_EVENT_ARRAY:
            return MapText(Call("PerfEventArray", (*first, key, value)), ("perf_event_array", *parts))
        return MapText(Call("ElementMap", (*first, key, value)), ("elements", *parts))

    def _value(self, spec: MapSpec) -> tuple[str, tuple[str, ...]]:
        if spec.map_type in _HOLDING_DESCRIPTORS:
            return f"Descriptor({spec.value_size})", ("descriptors",)
        value = self.types.value(spec.value_type, spec.value_size)
        return (f"PerCpu({value})", ("per_cpu",)) if spec.map_type in PER_CPU_MAP_TYPES else (value, ("values",))
