"""Changing an Image before it is loaded: the values of variables, what maps and programs are.

These are the methods of Image. What is asked for by a wrong name or with a wrong value is an error at once, and
then nothing is changed. Source: what users of libbpf may override.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

from bpfas.btf.btf import DatasecEntry
from bpfas.btf.codecs import EncodingError, shown
from bpfas.btf.edit import BtfEditor
from bpfas.btf.kinds import Kind, info_word
from bpfas.btf.reader import read_btf
from bpfas.btf.sizes import size_of
from bpfas.btf.writer import write_btf
from bpfas.diag import BpfasError, Diagnostic, Severity
from bpfas.loader.image.struct_ops import is_function_pointer
from bpfas.loader.image.variables import UnknownNameError, VariableDirectory, unknown_name
from bpfas.loader.kinds import (
    MAPS_OF_MAPS,
    AttachType,
    MapFlag,
    MapType,
    ProgramFlag,
    ProgramType,
    map_flags_called,
)
from bpfas.loader.nearest import close_matches
from bpfas.loader.sections import (
    SECTION_KINDS,
    UNKNOWN_SECTION,
    section_kind,
    similar_sections,
    split_autoload,
)
from bpfas.loader.spec import MapSpec, Pinning, Slot
from bpfas.section_names import KCONFIG_SECTION

if TYPE_CHECKING:
    import enum

    from bpfas.btf.btf import Btf
    from bpfas.loader.image.variables import VariablePlace
    from bpfas.loader.sections import SectionKind
    from bpfas.loader.spec import Image, ProgramSpec, StructOps

_WORD_BITS = 32

_Reader = Callable[[Any], Any]
"""What makes of a value that is given what a spec has. Raises ValueError with what the value is to be."""


class ConfigurationError(BpfasError, ValueError):
    """A value that a map or program of an Image cannot have."""

    def __init__(self, message: str, *notes: str) -> None:
        super().__init__([Diagnostic(Severity.ERROR, message, None, notes)])


class ImageData(MutableMapping[str, Any]):
    """The values that an Image's global variables start with, by name.

    A name that several maps have is given as `MAP:NAME`. Values are of the variables' types as in
    `bpfas.btf.values`; those without types are bytes. Raises UnknownNameError, and EncodingError for a value that
    is none of its type.
    """

    def __init__(self, image: Image) -> None:
        self._image = image

    def __getitem__(self, name: str) -> Any:
        place = self._find(name)
        return place.codec.decode(_contents(self._image.maps[place.map_name]), place.variable.offset)

    def __setitem__(self, name: str, value: Any) -> None:
        place = self._find(name)
        try:
            data = place.codec.encode(value)
        except EncodingError as error:
            raise error.about(f"variable {name}") from None
        spec = self._image.maps[place.map_name]
        contents = bytearray(_contents(spec))
        contents[place.variable.offset : place.end] = data
        self._image.maps[place.map_name] = spec._replace(contents=bytes(contents))

    def __delitem__(self, name: str) -> None:
        raise TypeError(f"variable {name} cannot be taken out of its map")

    def __iter__(self) -> Iterator[str]:
        return iter(self._directory().names())

    def __len__(self) -> int:
        return len(self._directory().names())

    def __repr__(self) -> str:
        return f"<variables of {self._image.name!r}: {', '.join(self)}>"

    def _find(self, name: str) -> VariablePlace:
        if any(name == option.name for option in self._image.kconfig):
            remedy = f"to have it otherwise than the kernel, load with the text {name}=VALUE for `kconfig`"
            raise UnknownNameError(
                f"'{name}' has its value from the kernel's configuration, when it is loaded", remedy
            )
        return self._directory().find(name)

    def _directory(self) -> VariableDirectory:
        image = self._image
        known = (spec for spec in image.maps.values() if spec.section != KCONFIG_SECTION)
        return VariableDirectory(known, image.types, image.byte_order)


def _contents(spec: MapSpec) -> bytes:
    """What the map's data is at the start."""
    if spec.contents is not None:
        return spec.contents
    return bytes(spec.value_size)


def set_map(image: Image, name: str, **fields: Any) -> None:
    """Change fields of a map; Image.set_map says which."""
    spec = image.maps.get(name)
    if spec is None:
        raise unknown_name("map", name, image.maps)
    subject = f"map {name}"
    changes = {field: _read(_MAP_FIELDS, subject, field, value) for field, value in fields.items()}
    if _is_data(spec):
        for field in changes.keys() - _FIELDS_OF_DATA:
            raise ConfigurationError(f"{subject} holds global data, whose {field} cannot be another")
        if "value_size" in changes and changes["value_size"] != spec.value_size:
            changes |= _resized_data(image, spec, subject, changes["value_size"])
    if (user := changes.get("exclusive_program")) and user not in image.programs:
        raise unknown_name("program", user, image.programs)
    if "inner" in changes:
        changes["inner"] = _inner_map(image, subject, changes["inner"])
    if "slots" in changes:
        changes["slots"] = _slots(image, spec, subject, changes["slots"])
    if "programs" in changes:
        changes["struct_ops"] = _with_programs(image, spec, subject, changes.pop("programs"))
    changed = spec._replace(**changes)
    # A type of another size would keep the kernel from creating the map.
    image.maps[name] = changed._replace(
        key_type=_fitting_type(image.types, changed.key_type, changed.key_size),
        value_type=_fitting_type(image.types, changed.value_type, changed.value_size),
    )


def _fitting_type(types: Btf | None, type_id: int, size: int) -> int:
    return type_id if types is not None and type_id and size_of(types, type_id) == size else 0


def set_program(image: Image, name: str, **fields: Any) -> None:
    """Change fields of a program; Image.set_program says which."""
    spec = image.programs.get(name)
    if spec is None:
        raise unknown_name("program", name, image.programs)
    subject = f"program {name}"
    changes = {field: _read(_PROGRAM_FIELDS, subject, field, value) for field, value in fields.items()}
    if "section" in changes:
        section, _ = split_autoload(changes["section"])
        kind = section_kind(section)
        if kind is UNKNOWN_SECTION:
            similar = similar_sections(section)
            notes = [f"did you mean {' or '.join(similar)}?"] if similar else []
            raise ConfigurationError(f"{subject}: section '{section}' stands for no program type", *notes)
        of_section = {"section": section, "kind": kind, "program_type": kind.program_type, "target": None}
        of_section |= {"expected_attach_type": kind.attach_type, "flags": kind.program_flags}
        changes = of_section | changes | {"section": section}
    changed = spec._replace(**changes)
    image.programs[name] = changed._replace(kind=kind_of(changed))


def _read(table: Mapping[str, _Reader], subject: str, field: str, value: Any) -> Any:
    """The value of a field as a spec has it. Raises UnknownNameError and ConfigurationError."""
    if field not in table:
        raise unknown_name(f"field of {subject.partition(' ')[0]}s called", field, table)
    try:
        return table[field](value)
    except ValueError as error:
        raise ConfigurationError(f"{subject}: {field} cannot be {shown(value)}: {error}") from None


def _number(bits: int) -> _Reader:
    def read(value: Any) -> int:
        if isinstance(value, bool) or not hasattr(value, "__index__"):
            raise ValueError("it is a number")
        number = int(value.__index__())
        if not 0 <= number < 1 << bits:
            raise ValueError(f"it is a number from 0 to {(1 << bits) - 1}")
        return number

    return read


def _member_of(enumeration: type[enum.IntEnum]) -> _Reader:
    """A number, or a name in an enumeration; numbers that are not in it are let through."""

    def read(value: Any) -> int:
        if isinstance(value, str):
            found = enumeration.__members__.get(value.upper())
            if found is None:
                near = close_matches(value.upper(), enumeration.__members__)
                hint = f", did you mean {near[0].lower()}?" if near else ""
                raise ValueError(f"it is no {enumeration.__name__}{hint}")
            return found
        number = _number(_WORD_BITS)(value)
        return enumeration(number) if number in set(enumeration) else number

    return read


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("it is True or False")
    return value


def _text(value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str | os.PathLike):
        raise ValueError("it is a text, or None")
    return os.fspath(value)


def _required_text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("it is a text")
    return value


def _license(value: Any) -> bytes:
    return value if isinstance(value, bytes) else _required_text(value).encode()


def _pinning(value: Any) -> Pinning:
    return value if isinstance(value, Pinning) else Pinning(_number(_WORD_BITS)(value))


def _anything(value: Any) -> Any:
    return value


def _map_flags(value: Any) -> MapFlag:
    return map_flags_called(value) if isinstance(value, str) else MapFlag(_number(_WORD_BITS)(value))


_MAP_FIELDS: dict[str, _Reader] = {
    "map_type": _member_of(MapType),
    "key_size": _number(_WORD_BITS),
    "value_size": _number(_WORD_BITS),
    "max_entries": _number(_WORD_BITS),
    "map_flags": _map_flags,
    "map_extra": _number(2 * _WORD_BITS),
    "numa_node": _number(_WORD_BITS),
    "ifindex": _number(_WORD_BITS),
    "pinning": _pinning,
    "pin_path": _text,
    "autocreate": _flag,
    "exclusive_program": _required_text,
    "inner": _anything,
    "slots": _anything,
    "programs": _anything,
}
_FIELDS_OF_DATA = frozenset(
    {"value_size", "map_flags", "numa_node", "pinning", "pin_path", "autocreate", "exclusive_program"}
)
_PROGRAM_FIELDS: dict[str, _Reader] = {
    "section": _required_text,
    "program_type": _member_of(ProgramType),
    "expected_attach_type": _member_of(AttachType),
    "flags": lambda value: ProgramFlag(_number(_WORD_BITS)(value)),
    "autoload": _flag,
    "target": _text,
    "ifindex": _number(_WORD_BITS),
    "license": _license,
    "kernel_version": _number(_WORD_BITS),
}


def _is_data(spec: MapSpec) -> bool:
    return bool(spec.section) and spec.map_type == MapType.ARRAY


def kind_of(program: ProgramSpec) -> SectionKind:
    """What is known of programs of this type and attach type; what the section says where it agrees."""
    wanted = program.program_type, program.expected_attach_type
    rows = (program.kind, *SECTION_KINDS)
    fitting = (row for row in rows if (row.program_type, row.attach_type) == wanted)
    return next(fitting, UNKNOWN_SECTION)


def _inner_map(image: Image, subject: str, inner: Any) -> MapSpec | None:
    """The template of the maps that a map holds: a MapSpec, or like the map of a name."""
    if inner is None or isinstance(inner, MapSpec):
        return inner
    if not isinstance(inner, str):
        raise ConfigurationError(f"{subject}: inner is a MapSpec or the name of a map, not {shown(inner)}")
    if inner not in image.maps:
        raise unknown_name("map", inner, image.maps)
    return image.maps[inner]._replace(contents=None, slots=(), pinning=Pinning.NONE, pin_path=None)


def _slots(image: Image, spec: MapSpec, subject: str, slots: Any) -> tuple[Slot, ...]:
    """What a map of maps or programs is filled with: names by their indexes."""
    holds_programs = spec.map_type == MapType.PROG_ARRAY
    if not holds_programs and spec.map_type not in MAPS_OF_MAPS:
        raise ConfigurationError(f"{subject} holds neither maps nor programs")
    if not isinstance(slots, Mapping):
        raise ConfigurationError(f"{subject}: slots are names by their indexes, not {shown(slots)}")
    known: Mapping[str, object] = image.programs if holds_programs else image.maps
    found = []
    for index, name in sorted(slots.items()):
        if name not in known:
            raise unknown_name("program" if holds_programs else "map", name, known)
        found.append(Slot(_read({"index": _number(_WORD_BITS)}, subject, "index", index), name))
    return tuple(found)


def _with_programs(image: Image, spec: MapSpec, subject: str, programs: Any) -> StructOps:
    """The struct of operations with other programs, by member; None for a member that calls none."""
    operations, types = spec.struct_ops, image.types
    if operations is None or types is None:
        raise ConfigurationError(f"{subject} is no struct of operations")
    if not isinstance(programs, Mapping):
        raise ConfigurationError(f"{subject}: programs are names by members, not {shown(programs)}")
    members = [
        member.name for member in types.members(operations.type_id) if is_function_pointer(types, member.type_id)
    ]
    found = dict(operations.programs)
    for member, program in programs.items():
        if member not in members:
            raise unknown_name(f"function in struct {operations.type_name} called", member, members)
        found.pop(member, None)
        if program is None:
            continue
        if program not in image.programs:
            raise unknown_name("program", program, image.programs)
        if image.programs[program].program_type != ProgramType.STRUCT_OPS:
            message = f"{subject}: program '{program}' is not of type struct_ops"
            raise ConfigurationError(message, f"set_program('{program}', section='struct_ops')")
        found[member] = program
    return operations._replace(programs=found)


def _resized_data(image: Image, spec: MapSpec, subject: str, size: int) -> dict[str, Any]:
    """What changes in a map of global data of another size: its last variable, if an array, ends with it."""
    last = max(spec.variables, key=lambda each: each.offset + each.size, default=None)
    types = image.types
    array_id = types.without_qualifiers(last.type_id) if types and last else 0
    grows = types is not None and last is not None and types.kind(array_id) is Kind.ARRAY
    for variable in spec.variables:
        limit = variable.offset if grows and variable is last else variable.offset + variable.size
        if limit > size:
            raise ConfigurationError(f"{subject}: {size} bytes have no room for variable '{variable.name}'")
    if not size:
        raise ConfigurationError(f"{subject}: value_size cannot be 0")
    changes: dict[str, Any] = {}
    if spec.contents is not None:
        changes["contents"] = spec.contents[:size].ljust(size, b"\0")
    if types is None or not spec.value_type:
        return changes
    count = None
    if grows and last is not None:
        element = size_of(types, types.array(array_id).element) or 0
        count, rest = divmod(size - last.offset, element) if element else (0, 0)
        if rest:
            raise ConfigurationError(
                f"{subject}: the last variable '{last.name}' is an array of {element} bytes each, of which {size} "
                f"bytes have room for {count}, and {rest} more bytes",
                f"value_size may be {size - rest} or {size - rest + element}",
            )
    image.types, type_id = _resized_section(types, spec.value_type, size, count)
    if image.kernel_btf is not None:
        kernel_types = read_btf(image.kernel_btf, image.byte_order, image.name)
        resized, _ = _resized_section(kernel_types, spec.value_type, size, count)
        image.kernel_btf = write_btf(resized.words, resized.strings, image.byte_order)
    if last is not None and count is not None:
        longer = last._replace(size=size - last.offset, type_id=type_id)
        changes["variables"] = tuple(longer if each is last else each for each in spec.variables)
    return changes


def _resized_section(types: Btf, datasec: int, size: int, count: int | None) -> tuple[Btf, int]:
    """Types with a DATASEC of another size, and the new type of its last variable, an array of `count`."""
    editor = BtfEditor(types)
    entries = sorted(types.entries(datasec), key=lambda entry: entry.offset)
    array_id = 0
    if count is not None:
        last = entries[-1]
        array = types.array(types.without_qualifiers(types.size_or_type(last.type_id)))
        array_id = editor.add((0, info_word(Kind.ARRAY), 0, array.element, array.index_type, count))
        variable = editor.add_var(types.name(last.type_id), array_id, types.linkage(last.type_id))
        entries[-1] = DatasecEntry(variable, last.offset, size - last.offset)
    editor.set_datasec(datasec, size, entries)
    return editor.finish(), array_id
