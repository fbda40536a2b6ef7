"""Map definitions in `maps` sections: plain structs of 32-bit words, each at a symbol that gives the map its name.

A definition is four or five words, type, key size, value size, max entries and (if there) flags. It ends where the
next symbol stands; words behind the fifth must be zero. Source: the section's use by libbpf before 1.0.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from bpfas.elf.constants import SectionType, SymbolBinding, SymbolType
from bpfas.loader.kinds import MapType
from bpfas.loader.spec import MapSpec, kernel_name
from bpfas.objfile import place

if TYPE_CHECKING:
    from bpfas.diag import Diagnostics
    from bpfas.objfile import ObjectFile, Section, Symbol

_WORD = 4
_REQUIRED_WORDS = 4
_DEFINED_WORDS = 5
_DEFINITION_FORM = "a definition is four or five 32-bit words: type, key size, value size, max entries[, flags]"


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
