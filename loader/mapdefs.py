"""The maps of an object: definitions in `maps` sections, and the array maps that hold global data.

A definition in a `maps` section is four or five 32-bit words, type, key size, value size, max entries and
(if there) flags, at a symbol that gives the map its name. A definition ends where the next symbol stands; words
behind the fifth must be zero. Definitions written as BTF are not read
here. Source: the section's use by libbpf before 1.0; loader.md's naming rules for data maps as in libbpf 1.8.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bpfas.elf.constants import SectionType, SymbolBinding, SymbolType
from bpfas.loader.kinds import NO_MAP_FLAGS, MapFlag, MapType
from bpfas.loader.spec import KERNEL_NAME_LENGTH, MapSpec, kernel_name
from bpfas.objfile import place
from bpfas.reloc import RelocationNumber
from bpfas.section_names import OLD_MAPS_SECTION

if TYPE_CHECKING:
    from bpfas.diag import Diagnostics
    from bpfas.objfile import ObjectFile, Section, Symbol

_WORD = 4
_REQUIRED_WORDS = 4
_DEFINED_WORDS = 5
_LARGEST_VALUE = (1 << 32) - 1
_DEFINITION_FORM = "a definition is four or five 32-bit words: type, key size, value size, max entries[, flags]"


@dataclass(frozen=True, slots=True)
class DataSectionKind:
    """What sections called `stem`, or `stem.` and anything, become."""

    stem: str
    map_flags: MapFlag = NO_MAP_FLAGS
    frozen: bool = False


DATA_SECTION_KINDS = (
    DataSectionKind(".data"),
    DataSectionKind(".rodata", MapFlag.RDONLY_PROG, frozen=True),
    DataSectionKind(".bss"),
)


@dataclass(slots=True)
class MapTable:
    """The maps by name, and by where in the object they are referred to."""

    by_name: dict[str, MapSpec] = field(default_factory=dict)
    definitions: dict[Section, dict[int, MapSpec]] = field(default_factory=dict)
    """Of each `maps` section, the map that is defined at an offset in bytes."""
    data: dict[Section, MapSpec] = field(default_factory=dict)
    """The map that holds a data section."""

    def add(self, other: MapTable) -> None:
        """Take in the maps of another object, whose names are others."""
        self.by_name.update(other.by_name)
        self.definitions.update(other.definitions)
        self.data.update(other.data)


def describe_maps(obj: ObjectFile, object_name: str, diagnostics: Diagnostics, prefix: str = "") -> MapTable:
    """The maps of `obj`: those of `maps` sections in order, then one for each data section that is not empty.

    `object_name` is what the kernel names of data maps begin with, `prefix` what our own names of all maps begin
    with. Errors go to `diagnostics`.
    """
    table = MapTable()
    for section in obj.sections:
        if section.name == OLD_MAPS_SECTION and section.sh_size:
            table.definitions[section] = _read_definitions(obj, section, prefix, diagnostics)
    for section in obj.sections:
        kind = _data_section_kind(section)
        if kind is not None and section.sh_size > _LARGEST_VALUE:
            message = f"section '{section.name}' has {section.sh_size} bytes, more than {_LARGEST_VALUE}"
            diagnostics.error(message, place(obj, section, 0))
        elif kind is not None and section.sh_size:
            table.data[section] = _data_map(section, kind, object_name, prefix)
    for section, definitions in table.definitions.items():
        for offset, spec in definitions.items():
            _enter(table, spec, place(obj, section, offset), diagnostics)
    for section, spec in table.data.items():
        _enter(table, spec, place(obj, section, 0), diagnostics)
    for section in (*table.definitions, *table.data):
        _refuse_relocations(obj, section, diagnostics)
    return table


def _enter(table: MapTable, spec: MapSpec, at: str, diagnostics: Diagnostics) -> None:
    if table.by_name.setdefault(spec.name, spec) is not spec:
        diagnostics.error(f"a second map is called '{spec.name}'", at, ("give one of them another name",))


def _read_definitions(
    obj: ObjectFile, section: Section, prefix: str, diagnostics: Diagnostics
) -> dict[int, MapSpec]:
    names = _definition_names(obj, section)
    size = section.sh_size
    if not names:
        message = f"section '{section.name}' holds {size} bytes, but no symbol names a map in it"
        diagnostics.error(message, place(obj, section, 0), ("put a label in front of each definition",))
        return {}
    if section.sh_type == SectionType.NOBITS:
        diagnostics.error(
            f"section '{section.name}' has no contents (NOBITS)",
            place(obj, section, 0),
            (f'declare it as .section {section.name},"aw",@progbits',),
        )
        return {}
    definitions: dict[int, MapSpec] = {}
    starts = sorted(names)
    if starts[0]:
        message = f"the first {starts[0]} bytes of section '{section.name}' belong to no map"
        diagnostics.error(message, place(obj, section, 0), ("put a label in front of each definition",))
    for offset, end in zip(starts, [*starts[1:], size], strict=True):
        name, length = names[offset], end - offset
        if length % _WORD or length < _REQUIRED_WORDS * _WORD:
            message = f"map definition '{name}' has {length} bytes"
            diagnostics.error(message, place(obj, section, offset), (_DEFINITION_FORM,))
            continue
        words = struct.unpack_from(f"{obj.byte_order.value}{length // _WORD}I", section.data, offset)
        if any(words[_DEFINED_WORDS:]):
            diagnostics.error(
                f"map definition '{name}' has {len(words)} words, of which those behind the fifth are not zero",
                place(obj, section, offset + _DEFINED_WORDS * _WORD),
                (
                    _DEFINITION_FORM,
                    "what other loaders read there (pinning, inner maps) has no effect here",
                ),
            )
            continue
        map_type, key_size, value_size, max_entries, map_flags = (*words, 0)[:_DEFINED_WORDS]
        known_type = MapType(map_type) if map_type in set(MapType) else map_type
        definitions[offset] = MapSpec(
            prefix + name, kernel_name(name), known_type, key_size, value_size, max_entries, map_flags
        )
    return definitions


def _definition_names(obj: ObjectFile, section: Section) -> dict[int, str]:
    """The name of the map at each offset; of several symbols in one place, a global one."""
    chosen: dict[int, Symbol] = {}
    for symbol in obj.symbols:
        is_label = symbol.st_type in (SymbolType.NOTYPE, SymbolType.OBJECT) and symbol.name
        if symbol.section is section and is_label and symbol.st_value < section.sh_size:
            known = chosen.setdefault(symbol.st_value, symbol)
            if known.st_bind is SymbolBinding.LOCAL and symbol.st_bind is not SymbolBinding.LOCAL:
                chosen[symbol.st_value] = symbol
    return {offset: symbol.name for offset, symbol in chosen.items()}


def _data_section_kind(section: Section) -> DataSectionKind | None:
    if section.sh_type not in (SectionType.PROGBITS, SectionType.NOBITS):
        return None
    return next(
        (
            kind
            for kind in DATA_SECTION_KINDS
            if section.name == kind.stem or section.name.startswith(f"{kind.stem}.")
        ),
        None,
    )


def _data_map(section: Section, kind: DataSectionKind, object_name: str, prefix: str) -> MapSpec:
    return MapSpec(
        prefix + section.name,
        data_map_kernel_name(section.name, object_name),
        MapType.ARRAY,
        key_size=4,
        value_size=section.sh_size,
        max_entries=1,
        map_flags=kind.map_flags,
        # New elements are zero already.
        contents=None if section.sh_type == SectionType.NOBITS else bytes(section.data),
        frozen=kind.frozen,
    )


def data_map_kernel_name(section: str, object_name: str) -> str:
    """`app.rodata` for `.rodata` of app.o, the object's part cut to fit; `.data.own` stays as it is."""
    if section.find(".", 1) >= 0:
        return kernel_name(section)
    # Seven characters are always left for the section, so that all data maps of an object begin alike.
    prefix = object_name[: KERNEL_NAME_LENGTH - max(len(".rodata"), len(section))]
    return kernel_name(prefix + section)


def _refuse_relocations(obj: ObjectFile, section: Section, diagnostics: Diagnostics) -> None:
    for relocation in section.relocations:
        if relocation.r_type == RelocationNumber.R_BPF_NONE:
            continue
        name = relocation.symbol.name or relocation.symbol.section.name
        diagnostics.error(
            f"section '{section.name}' holds the address of '{name}', which data in a map cannot hold",
            place(obj, section, relocation.r_offset),
            ("take the address in code, by a 64-bit immediate load",),
        )
