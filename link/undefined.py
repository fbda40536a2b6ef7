"""Names that are used and that nobody defines: each an error with all the places that use it.

A weak name may stay undefined, and so may one that the loader will resolve (`kernel_names`).
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from bpfas.diag import Severity
from bpfas.elf.constants import SectionFlag, SymbolBinding
from bpfas.link.holes import Address
from bpfas.link.limits import MOST_MESSAGES, report_rest
from bpfas.link.symtab import takes_part
from bpfas.link.unknown_names import nearest
from bpfas.reloc import RelocationNumber
from bpfas.source_lines import place_in_source, place_of_declaration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence, Set

    from bpfas.diag import Diagnostics
    from bpfas.link.archive import Member
    from bpfas.link.holes import Holes
    from bpfas.link.symtab import SymbolTable
    from bpfas.objfile import ObjectFile, Relocation, Section

_GENERAL_REMEDY = (
    "link the object or archive that defines it; or leave it to the loader: declare it __weak, or __ksym if it is "
    "the kernel's, or link with --unresolved-symbols=ignore-all"
)
_MAX_PLACES = 3
_MAX_HINTS = 10  # looking for a near name among many takes time


class _Users:
    """How often a name is used, and the first places of that: an object, its section and an offset."""

    def __init__(self) -> None:
        self.number = 0
        self.first: list[tuple[ObjectFile, Section, int]] = []


def report_undefined(
    objects: Sequence[ObjectFile],
    table: SymbolTable,
    discarded: Set[Section],
    holes: Holes,
    kernel_names: Set[str],
    severity: Severity,
    members_left_out: Callable[[str], Sequence[Member]],
    diagnostics: Diagnostics,
) -> None:
    """An error or warning for each strong name that a loadable section of `objects` uses and that `table` lacks.

    What `discarded` sections and removed functions use does not matter. `members_left_out` gives the members of
    archives that define a name, and do not take part.
    """
    missing: dict[str, _Users] = {
        name: _Users()
        for name, found in table.resolutions.items()
        if not found.is_defined and found.st_bind is not SymbolBinding.WEAK
    }
    for name in kernel_names:
        missing.pop(name, None)
    if not missing:
        return
    for obj, section, reloc in _uses(objects, discarded):
        name = table.name_of(reloc.symbol)
        if name not in missing or holes.cover(Address(section, reloc.r_offset)):
            continue
        users = missing[name]
        users.number += 1
        if len(users.first) < _MAX_PLACES:
            users.first.append((obj, section, reloc.r_offset))
    # What nobody uses is only declared.
    used = {name: users for name, users in missing.items() if users.number}
    defined = [name for name, found in table.resolutions.items() if found.is_defined]
    has_general_remedy = severity is not Severity.ERROR
    for number, (name, users) in enumerate(islice(used.items(), MOST_MESSAGES)):
        places = [place_in_source(*use) for use in users.first]
        notes = [f"referenced by {place}" for place in places]
        if users.number > len(places):
            notes.append(f"referenced {users.number - len(places)} more times")
        hints = _hints_outside(name, users.first[0][0].name, members_left_out)
        if number < _MAX_HINTS:
            hints += _static_namesakes(name, objects)
            if near := nearest(name, defined):
                hints.append(f"did you mean: {near} (of {table.resolutions[near].obj.name})")
        if not hints and not has_general_remedy:
            hints.append(_GENERAL_REMEDY)
            has_general_remedy = True
        add = diagnostics.error if severity is Severity.ERROR else diagnostics.warning
        add(f"undefined symbol: {name}", notes=(*notes, *hints), first_place=places[0])
    report_rest(len(used), "undefined symbols", diagnostics, severity)


def _hints_outside(name: str, user: str, members_left_out: Callable[[str], Sequence[Member]]) -> list[str]:
    """What to do about a name that somebody defines who takes no part: the kernel, or an archive."""
    from bpfas.helpers import HELPERS  # few links fail

    hints = [
        f"{member.shown} defines it, but was named before {user}: name it later, or use --start-group"
        for member in members_left_out(name)[:_MAX_PLACES]
    ]
    if name in HELPERS:
        hints.append("it is a helper of the kernel, called by its number: include <bpf/bpf_helpers.h>")
    return hints


def drop_unneeded(
    objects: Sequence[ObjectFile], table: SymbolTable, discarded: Set[Section], holes: Holes
) -> None:
    """Mark the undefined names of `table` that only removed functions used: the output is to do without them."""
    if not holes:
        return
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
                    if reloc.r_type != RelocationNumber.R_BPF_NONE and takes_part(reloc.symbol):
                        yield obj, section, reloc


def _static_namesakes(name: str, objects: Sequence[ObjectFile]) -> list[str]:
    """Where objects have the name for themselves."""
    return [
        f"{place_of_declaration(obj, symbol)} has a static one of that name; make it global to use it elsewhere"
        for obj in objects
        for symbol in obj.symbols
        if symbol.name == name and symbol.is_defined and symbol.st_bind is SymbolBinding.LOCAL
    ][:_MAX_PLACES]
