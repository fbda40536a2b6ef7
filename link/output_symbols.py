"""The symbols of the output: one for each name, one for each local symbol, one for each section.

Which of them are left out in the end, because of `-s`, `-x` and the like, is decided here too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpfas.elf.constants import SymbolBinding, SymbolType
from bpfas.link.layout import holds_subprograms, is_kept_once
from bpfas.link.options import Discard, Strip, matches
from bpfas.objfile import Section, Symbol
from bpfas.section_names import LICENSE_SECTION, MAPS_SECTION, OLD_MAPS_SECTION, VERSION_SECTION

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bpfas.link.layout import Layout
    from bpfas.link.options import LinkOptions
    from bpfas.link.symtab import SymbolTable
    from bpfas.objfile import ObjectFile

_ALWAYS_GLOBAL_SECTIONS = (
    MAPS_SECTION,
    OLD_MAPS_SECTION,
    LICENSE_SECTION,
    VERSION_SECTION,
    ".struct_ops",
    "struct_ops",
    "?.struct_ops",
)
_TYPES_OF_VARIABLES = frozenset({SymbolType.OBJECT, SymbolType.NOTYPE})


def make_symbols(
    objects: Sequence[ObjectFile], table: SymbolTable, layout: Layout, localized: frozenset[str]
) -> tuple[list[Symbol], dict[Symbol, Symbol]]:
    """The output's symbols, and the one that each symbol of the inputs leads to.

    Names in `localized` become local. Of section symbols there is one for each output section. Symbols in what was
    left out lead nowhere, and neither do references to them.
    """
    outputs: dict[Symbol | Section | str, Symbol] = {}
    mapping: dict[Symbol, Symbol] = {}
    kept_once: dict[tuple[Section, int], Symbol | Section | str] = {}
    for obj in objects:
        for symbol in obj.symbols:
            key: Symbol | Section | str = symbol
            name, origin, st_bind, st_visibility = symbol.name, symbol, SymbolBinding.LOCAL, symbol.st_visibility
            found = table.resolution_of(symbol)
            if found is not None:
                key = name = table.name_of(symbol)
                if not found.is_needed:
                    continue
                origin, st_visibility = found.symbol, found.st_visibility
                st_bind = SymbolBinding.LOCAL if name in localized else found.st_bind
            section, st_value = origin.section, origin.st_value
            if isinstance(section, Section):
                placement = layout.placements.get(section)
                if placement is None:
                    continue
                section = placement.section
                if origin.st_type is SymbolType.SECTION:
                    key, st_value = section, 0
                else:
                    place = placement.at(st_value)
                    if place is None:
                        continue
                    st_value = place
                    if is_kept_once(section):
                        # Of the names of a license and its copies, the first one stays.
                        key = kept_once.setdefault((section, st_value), key)
            if key not in outputs:
                outputs[key] = Symbol(
                    name, section, st_value, origin.st_size, st_bind, origin.st_type, st_visibility
                )
            mapping[symbol] = outputs[key]
    symbols = list(outputs.values())
    _give_functions_sizes(symbols)
    return symbols, mapping


def _give_functions_sizes(symbols: Sequence[Symbol]) -> None:
    """Let functions without st_size, as hand-written ones often are, end where the next one begins.

    libbpf takes such a function for an empty one.
    """
    functions: dict[Section, list[Symbol]] = {}
    for symbol in symbols:
        if symbol.st_type is SymbolType.FUNC and isinstance(symbol.section, Section) and symbol.section.is_code:
            functions.setdefault(symbol.section, []).append(symbol)
    for section, found in functions.items():
        if all(symbol.st_size for symbol in found):
            continue
        starts = sorted({symbol.st_value for symbol in found})
        ends = dict(zip(starts, [*starts[1:], section.sh_size], strict=True))
        for symbol in found:
            symbol.st_size = symbol.st_size or ends[symbol.st_value] - symbol.st_value


def localized_names(table: SymbolTable, options: LinkOptions) -> frozenset[str]:
    """The names that become local: those that `localized` matches, or, with `exported`, those it does not match.

    Programs, maps, the license and struct_ops keep their names whatever the patterns say: loaders find them so.
    """
    if not options.exported and not options.localized:
        return frozenset()
    return frozenset(
        name
        for name, found in table.resolutions.items()
        if _may_become_local(found.symbol)
        and (matches(name, options.localized) or (bool(options.exported) and not matches(name, options.exported)))
    )


def _may_become_local(symbol: Symbol) -> bool:
    section = symbol.section
    if not isinstance(section, Section):
        return False
    if section.is_code:
        return holds_subprograms(section)
    return section.name not in _ALWAYS_GLOBAL_SECTIONS and symbol.st_type in _TYPES_OF_VARIABLES


def kept_symbols(output: ObjectFile, options: LinkOptions) -> list[Symbol]:
    """The symbols of `output` that the options leave in it; those that relocations name always stay."""
    if options.strip < Strip.ALL and options.discard is Discard.NONE and options.retained is None:
        return output.symbols
    named = {reloc.symbol for section in output.sections for reloc in section.relocations}
    named.update(section.group.signature for section in output.sections if section.group is not None)
    return [symbol for symbol in output.symbols if symbol in named or _is_kept(symbol, options)]


def _is_kept(symbol: Symbol, options: LinkOptions) -> bool:
    """Whether a symbol that no relocation names stays."""
    if options.retained is not None and symbol.is_defined and symbol.name not in options.retained:
        return _is_found_by_loaders(symbol)
    if symbol.st_bind is SymbolBinding.LOCAL:
        if _is_found_by_loaders(symbol):
            return True
        if options.strip >= Strip.ALL or options.discard is Discard.LOCALS:
            return False
        return options.discard is not Discard.TEMPORARY or not symbol.name.startswith(".L")
    return options.strip < Strip.ALL or _is_found_by_loaders(symbol)


def _is_found_by_loaders(symbol: Symbol) -> bool:
    """Whether loaders find what they load by the symbol: functions, static ones too, maps and variables."""
    if symbol.st_type is SymbolType.FUNC:
        return symbol.is_defined
    return symbol.st_type is SymbolType.OBJECT and symbol.st_bind is not SymbolBinding.LOCAL
