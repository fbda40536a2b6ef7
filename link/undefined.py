"""Names that are used and that nobody defines: each an error with all the places that use it.

A weak name may stay undefined, and so may one that the loader will resolve (`kernel_names`).
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from bpfas.diag import Severity
from bpfas.elf.constants import SectionFlag, SymbolBinding
from bpfas.link.places import place_in_source, place_of_declaration
from bpfas.link.symtab import takes_part

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence, Set

    from bpfas.diag import Diagnostics
    from bpfas.link.symtab import SymbolTable
    from bpfas.objfile import ObjectFile, Section

_MAX_PLACES = 3
_MAX_HINTS = 10  # looking for a near name among many takes time


def report_undefined(
    objects: Sequence[ObjectFile],
    table: SymbolTable,
    discarded: Set[Section],
    kernel_names: Set[str],
    severity: Severity,
    diagnostics: Diagnostics,
) -> None:
    """An error or warning for each strong name that a loadable section of `objects` uses and that `table` lacks.

    What `discarded` sections use does not matter.
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
    for obj in objects:
        for section in obj.sections:
            if section in discarded or not section.sh_flags & SectionFlag.ALLOC:
                continue  # types and debug information only mention names
            for reloc in section.relocations:
                if not takes_part(reloc.symbol):
                    continue
                name = table.name_of(reloc.symbol)
                if name not in missing:
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
