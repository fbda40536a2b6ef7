"""The maps of an object as the text of Python: what makes each, and which parts that takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bpfas.btf.kinds import Kind
from bpfas.btf.sizes import size_of
from bpfas.loader.core.flavours import stem_of
from bpfas.loader.gen.loader_program import FactKind
from bpfas.loader.gen.python_names import identifier
from bpfas.loader.gen.python_text import bytes_expression
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
    from bpfas.loader.gen.python_types import ValueTypes
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

    expression: str
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
        name = f"{spec.name!a}, {entry}"
        if spec.section == KCONFIG_SECTION:
            return self._kconfig(spec, name)
        if spec.struct_ops:
            return self._struct_ops(spec, name, programs)
        if spec.map_type == MapType.ARENA:
            return self._arena(spec, name)
        if spec.section:
            return self._data(spec, name)
        return self._elements(spec, name)

    def pin(self, spec: MapSpec, entry: int, expression: str) -> str:
        """Where a map is pinned; empty for one that is not."""
        path = spec.pin_path
        if path is None and spec.pinning is Pinning.BY_NAME:
            path = f"{_PIN_ROOT}/{file_name(spec.name.rpartition(':')[2])}"
        if not path or not spec.autocreate:
            return ""
        definition = (spec.map_type, spec.key_size, spec.value_size, spec.max_entries, spec.map_flags)
        return f"Pin({expression}, {entry}, {path!a}, {tuple(map(int, definition))})"

    def _variables(self, spec: MapSpec, size: int) -> str:
        title = f"{self.program.name}_{identifier(spec.section.lstrip('.') or spec.name)}"
        if spec.map_type == MapType.ARENA:
            title = f"{self.program.name}_{spec.name}"
        return self.types.section(title, size, spec.variables, spec.section or spec.name)

    def _kconfig(self, spec: MapSpec, name: str) -> MapText:
        values = self._variables(spec, spec.value_size)
        kinds = "".join(
            f"                    {each.name!a}: {(each.kind.value, each.is_signed, each.is_weak)},\n"
            for each in self.image.kconfig
        )
        is_mapped = bool(spec.map_flags & MapFlag.MMAPABLE)
        text = _call(
            "KconfigMap",
            name,
            str(spec.value_size),
            values,
            f"{{\n{kinds}                }}",
            ascii(self.program.kconfig),
            str(is_mapped),
        )
        return MapText(text, ("kconfig",), has_variables=True)

    def _data(self, spec: MapSpec, name: str) -> MapText:
        contents = spec.contents if spec.contents is not None else bytes(spec.value_size)
        text = _call(
            "DataMap",
            name,
            bytes_expression(contents),
            self._variables(spec, spec.value_size),
            f"is_mapped={bool(spec.map_flags & MapFlag.MMAPABLE)}",
            f"is_frozen={spec.frozen}",
            f"is_filled={spec.contents is not None}",
        )
        return MapText(text, ("data_maps",), has_variables=True)

    def _arena(self, spec: MapSpec, name: str) -> MapText:
        contents = spec.contents or b""
        text = _call(
            "ArenaMap",
            name,
            str(spec.max_entries),
            str(self.facts.get((FactKind.ARENA_ADDRESS, spec.name), 0)),
            bytes_expression(contents),
            str(spec.data_offset),
            self._variables(spec, len(contents)),
        )
        return MapText(text, ("arenas",), has_variables=bool(contents))

    def _struct_ops(self, spec: MapSpec, name: str, programs: Mapping[str, str]) -> MapText:
        operations, types = spec.struct_ops, self.image.types
        assert operations is not None
        assert types is not None  # an instance is known by its type
        members = "".join(
            f"                    {member.name!a}: {self._member(member)},\n"
            for member in types.members(operations.type_id)
            if member.name
        )
        owners = "".join(
            f"                    {member!a}: {programs[program]},\n"
            for member, program in operations.programs.items()
            if program in programs
        )
        indices = {
            program: offset
            for (kind, program), offset in self.facts.items()
            if kind is FactKind.MEMBER_INDEX and program in operations.programs.values()
        }
        contents = spec.contents or bytes(spec.value_size)
        text = _call(
            "StructOpsMap",
            name,
            ascii(stem_of(operations.type_name)),
            bytes_expression(contents),
            self.types.struct(operations.type_id),
            f"{{\n{members}                }}",
            f"{{\n{owners}                }}" if owners else "{}",
            str(self.facts.get((FactKind.VALUE_SIZE, spec.name), 0)),
            ascii(indices),
            str(operations.is_link),
        )
        return MapText(text, ("struct_ops",), has_variables=True)

    def _member(self, member: Member) -> tuple[int, int, str]:
        types = self.image.types
        assert types is not None
        if member.bit_size or member.bit_offset % 8:
            start, end = member.bit_offset // 8, -(-(member.bit_offset + member.bit_size) // 8)
            return start, end - start, "bits"
        plain = types.without_qualifiers(member.type_id)
        kind = "pointer" if types.kind(plain) is Kind.PTR else "data"
        return member.bit_offset // 8, size_of(types, plain) or 0, kind

    def _elements(self, spec: MapSpec, name: str) -> MapText:
        kind = spec.map_type
        first = f"{name}, {map_type_name(kind)!a}, {spec.max_entries}"
        if kind == MapType.RINGBUF:
            return MapText(_call("RingBuffer", first), ("ring_buffers",))
        value, parts = self._value(spec)
        if kind in _QUEUES:
            return MapText(_call(_QUEUES[MapType(kind)], first, "None", value), ("queues", *parts))
        if not spec.key_size:
            return MapText(_call("Map", first), ("maps",))
        key = self.types.value(spec.key_type, spec.key_size)
        if kind in STORAGE_MAP_TYPES:
            key, parts = f"Descriptor({spec.key_size})", ("descriptors", *parts)
        if kind == MapType.PERF_EVENT_ARRAY:
            return MapText(_call("PerfEventArray", first, key, value), ("perf_event_array", *parts))
        return MapText(_call("ElementMap", first, key, value), ("elements", *parts))

    def _value(self, spec: MapSpec) -> tuple[str, tuple[str, ...]]:
        if spec.map_type in _HOLDING_DESCRIPTORS:
            return f"Descriptor({spec.value_size})", ("descriptors",)
        value = self.types.value(spec.value_type, spec.value_size)
        return (f"PerCpu({value})", ("per_cpu",)) if spec.map_type in PER_CPU_MAP_TYPES else (value, ("values",))


def _call(function: str, *arguments: str) -> str:
    """A call on one line if it fits there, else with a line for each argument."""
    line = f"{function}({', '.join(arguments)})"
    if len(line) < 80 and "\n" not in line:
        return line
    return f"{function}(\n" + "".join(f"                {each},\n" for each in arguments) + "            )"
