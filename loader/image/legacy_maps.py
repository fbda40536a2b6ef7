"""Map definitions in `maps` sections: plain structs of 32-bit words, each at a symbol that gives the map its name.

A definition begins with type, key size, value size, max entries and flags, of which the flags may be missing. It
ends where the next symbol stands. iproute2's struct bpf_elf_map goes on with id, pinning, inner_id and inner_idx,
the last two of which came later. Words behind these must be zero. Sources: the section's use by libbpf before 1.0,
and the header bpf_elf.h of iproute2 with the examples that use it.
"""

from __future__ import annotations

import re
import struct
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from bpfas.elf.constants import SectionType, SymbolBinding, SymbolType
from bpfas.loader.image.addresses import program_at
from bpfas.loader.kinds import MAPS_OF_MAPS, MapType
from bpfas.loader.spec import MapSpec, Slot, file_name, kernel_name
from bpfas.objfile import place

if TYPE_CHECKING:
    from bpfas.diag import Diagnostics
    from bpfas.objfile import ObjectFile, Section, Symbol

_WORD = 4
_REQUIRED_WORDS = 4
_DEFINITION_FORM = (
    "a definition is four or five 32-bit words: type, key size, value size, max entries[, flags]; or, as in "
    "iproute2, seven or nine: ..., flags, id, pinning[, inner_id, inner_idx]"
)
_NO_PINNING, _PIN_GLOBAL_NS = 0, 2
_GLOBAL_NAMESPACE = "/sys/fs/bpf/tc/globals/"
"""Where iproute2 pins maps that all objects share."""
_NO_INDEX = 0xFFFFFFFF
_TAIL_CALL_SECTION = re.compile(r"(0[xX][0-9a-fA-F]+|[0-9]+)/(0[xX][0-9a-fA-F]+|[0-9]+)")


class _Definition(NamedTuple):
    """The words of a definition, 0 where it has fewer. The first five are bpf(2)'s, the others iproute2's.

    `id` is a number by which others refer to the map: an array of maps to those that it holds (their `inner_id`,
    each of which goes to `inner_idx`), and the names of sections, ID/INDEX, to the program array they belong to.
    """

    map_type: int
    key_size: int
    value_size: int
    max_entries: int
    map_flags: int = 0
    id: int = 0
    pinning: int = _NO_PINNING
    inner_id: int = 0
    inner_idx: int = 0


def describe_legacy_maps(
    obj: ObjectFile, section: Section, prefix: str, diagnostics: Diagnostics
) -> dict[int, MapSpec]:
    """The maps of a `maps` section by their offsets there, in bytes; errors go to `diagnostics`."""
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
    starts = sorted(names)
    if starts[0]:
        message = f"the first {starts[0]} bytes of section '{section.name}' belong to no map"
        diagnostics.error(message, place(obj, section, 0), ("put a label in front of each definition",))
    definitions = {
        offset: _read_definition(obj, section, names[offset], offset, end, diagnostics)
        for offset, end in zip(starts, [*starts[1:], size], strict=True)
    }
    specs = {offset: _map(names[offset], prefix, definition) for offset, definition in definitions.items()}
    for offset, definition in definitions.items():
        at = place(obj, section, offset)
        if definition.pinning not in (_NO_PINNING, _PIN_GLOBAL_NS):
            diagnostics.error(
                f"map definition '{names[offset]}' has pinning {definition.pinning}; there are 0 (none) and 2 "
                f"({_GLOBAL_NAMESPACE}{names[offset]})",
                at,
                ("namespaces of an object's own are iproute2's alone; pin the map when it is loaded",),
            )
        if definition.map_type in MAPS_OF_MAPS:
            specs[offset] = _with_inner_maps(specs[offset], definition, definitions, specs, at, diagnostics)
        elif definition.inner_id:
            message = f"map definition '{names[offset]}' has inner_id {definition.inner_id}, but holds no maps"
            diagnostics.error(message, at, (_DEFINITION_FORM,))
        elif definition.map_type == MapType.PROG_ARRAY:
            specs[offset] = specs[offset]._replace(slots=_tail_calls(obj, definition.id))
    return specs


def _read_definition(
    obj: ObjectFile, section: Section, name: str, offset: int, end: int, diagnostics: Diagnostics
) -> _Definition:
    """A definition; one of zeros, which keeps its place, for what is none."""
    length = end - offset
    if length % _WORD or length < _REQUIRED_WORDS * _WORD:
        message = f"map definition '{name}' has {length} bytes"
        diagnostics.error(message, place(obj, section, offset), (_DEFINITION_FORM,))
        return _Definition(0, 0, 0, 0)
    words = struct.unpack_from(f"{obj.byte_order.value}{length // _WORD}I", section.data, offset)
    known = len(_Definition._fields)
    if any(words[known:]):
        diagnostics.error(
            f"map definition '{name}' has {len(words)} words, of which those behind number {known} are not zero",
            place(obj, section, offset + known * _WORD),
            (_DEFINITION_FORM,),
        )
    return _Definition(*words[:known])


def _map(name: str, prefix: str, definition: _Definition) -> MapSpec:
    map_type = definition.map_type
    return MapSpec(
        prefix + name,
        kernel_name(name),
        MapType(map_type) if map_type in set(MapType) else map_type,
        definition.key_size,
        definition.value_size,
        definition.max_entries,
        definition.map_flags,
        pin_path=_GLOBAL_NAMESPACE + file_name(name) if definition.pinning == _PIN_GLOBAL_NS else None,
    )


def _with_inner_maps(
    spec: MapSpec,
    definition: _Definition,
    definitions: dict[int, _Definition],
    specs: dict[int, MapSpec],
    at: str,
    diagnostics: Diagnostics,
) -> MapSpec:
    """`spec`, a map of maps, with those maps of the section that have its inner_id for their id."""
    inner = {
        specs[offset].name: (each, specs[offset])
        for offset, each in definitions.items()
        if each is not definition and each.id == definition.inner_id and each.id
    }
    if not definition.inner_id:
        return spec
    if not inner:
        known = ", ".join(str(each.id) for each in definitions.values() if each.id and each is not definition)
        message = (
            f"map definition '{spec.name}' holds maps like the one with id {definition.inner_id}, which is missing"
        )
        diagnostics.error(message, at, (f"ids are {known or 'not given'}", _DEFINITION_FORM))
        return spec
    _, first = next(iter(inner.values()))
    template_name = f"{spec.name}.inner"
    slots = sorted((each.inner_idx, name) for name, (each, _) in inner.items() if each.inner_idx != _NO_INDEX)
    for (index, one), (other_index, other) in pairwise(slots):
        if index == other_index:
            diagnostics.error(f"map definitions '{one}' and '{other}' have the same id and inner_idx, {index}", at)
    return spec._replace(
        inner=first._replace(name=template_name, kernel_name=kernel_name(template_name), pin_path=None),
        slots=tuple(Slot(*slot) for slot in slots),
    )


def _tail_calls(obj: ObjectFile, array_id: int) -> tuple[Slot, ...]:
    """The programs that are alone in sections called `array_id`/INDEX."""
    found = {}
    for section in obj.sections:
        match = _TAIL_CALL_SECTION.fullmatch(section.name)
        if match and int(match[1], 0) == array_id and (program := program_at(obj, section, 0)):
            found[int(match[2], 0)] = program
    return tuple(Slot(*slot) for slot in sorted(found.items()))


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
