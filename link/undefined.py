"""Names that are used and that nobody defines: each an error with all the places that use it.

A weak name may stay undefined, and so may one that the loader will resolve (`kernel_names`).
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from bpfas.diag import Severity
from bpfas.elf.constants import SectionFlag, SymbolBinding
from bpfas.link.holes import Address, Holes
from bpfas.link.places import place_in_source, place_of_declaration
from bpfas.link.symtab import takes_part

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence, Set

    from bpfas.diag import Diagnostics
    from bpfas.link.gc import Removed
    from bpfas.link.symtab import SymbolTable
    from bpfas.objfile import ObjectFile, Relocation, Section

_MAX_PLACES = 3
_MAX_HINTS = 10  # looking for a near name among many takes time


def report_undefined(
    objects: Sequence[ObjectFile],
    table: SymbolTable,
    discarded: Set[Section],
    removed: Sequence[Removed],
    kernel_names: Set[str],
    severity: Severity,
    diagnostics: Diagnostics,
) -> None:
    """An error or warning for each strong name that a loadable section of `objects` uses and that `table` lacks.

    What `discarded` sections and `removed` functions use does not matter.
    """
    missing: dict[str, list[str]] = {
        name: []
        for name, found in table.resolutions.items()
        if not found.is_defined and found.st_bind is not SymbolBinding.WEAK
    }
    for name in kernel_names:
        missing.pop(name, None)
    if not missing:
        return
    counts = dict.fromkeys(missing, 0)
    holes = Holes(removed)
    for obj, section, reloc in _uses(objects, discarded):
        name = table.name_of(reloc.symbol)
        if name not in missing or holes.cover(Address(section, reloc.r_offset)):
            continue
        counts[name] += 1
        if len(missing[name]) < _MAX_PLACES:
            missing[name].append(f"referenced by {place_in_source(obj, section, reloc.r_offset)}")
    defined = [name for name, found in table.resolutions.items() if found.is_defined]
    for number, (name, notes) in enumerate(missing.items()):
        if not notes:
            continue  # declared, but not used
        if counts[name] > len(notes):
            notes.append(f"referenced {counts[name] - len(notes)} more times")
        if number < _MAX_HINTS:
            notes += _static_namesakes(name, objects)
        near = _nearest(name, defined) if number < _MAX_HINTS else None
        if near:
            notes.append(f"did you mean: {near} (of {table.resolutions[near].obj.name})")
        add = diagnostics.error if severity is Severity.ERROR else diagnostics.warning
        add(f"undefined symbol: {name}", notes=tuple(notes))


def drop_unneeded(
    objects: Sequence[ObjectFile], table: SymbolTable, discarded: Set[Section], removed: Sequence[Removed]
) -> None:
    """Mark the undefined names of `table` that only `removed` functions used: the output is to do without them."""
    if not removed:
        return
    holes = Holes(removed)
    used: dict[str, bool] = {}
    for _, section, reloc in _uses(objects, discarded):
        name = table.name_of(reloc.symbol)
        if not table.resolutions[name].is_defined:
            used[name] = used.get(name, False) or not holes.cover(Address(section, reloc.r_offset))
    for name, is_needed in used.items():
        table.resolutions[name].is_needed = is_needed


def _uses(
    objects: Sequence[ObjectFile], discarded: Set[Section]
) -> Iterator[tuple[ObjectFile, Section, Relocation]]:
    """Every use of a global name by what is loaded; types and debug information only mention names."""
    for obj in objects:
        for section in obj.sections:
            if section.sh_flags & SectionFlag.ALLOC and section not in discarded:
                for reloc in section.relocations:
                    if takes_part(reloc.symbol):
                        yield obj, section, reloc


def _static_namesakes(name: str, objects: Sequence[ObjectFile]) -> list[str]:
    """Where objects have the name for themselves."""
    return [
        f"{place_of_declaration(obj, symbol)} has a static one of that name; make it global to use it elsewhere"
        for obj in objects
        for symbol in obj.symbols
        if symbol.name == name and symbol.is_defined and symbol.st_bind is SymbolBinding.LOCAL
    ][:_MAX_PLACES]


def _nearest(name: str, defined: Iterable[str]) -> str | None:
    """The defined name that is most like `name`, if any is much like it."""
    candidates = [other for other in defined if abs(len(other) - len(name)) <= 2]
    return next(iter(difflib.get_close_matches(name, candidates, n=1, cutoff=0.75)), None)
