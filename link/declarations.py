"""Which VAR or FUNC describes each global name of the link, and whether all objects mean the same by it.

The type of the definition that won describes the name; the others are replaced by it. Where the definition has no
type, a declaration describes it.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from bpfas.btf.kinds import Kind, Linkage
from bpfas.link.compatibility import TypeOf, difference
from bpfas.link.layout import is_kept_once
from bpfas.link.limits import MOST_MESSAGES, report_rest
from bpfas.objfile import Section
from bpfas.section_names import EXTERN_SECTION, MAPS_SECTION
from bpfas.source_lines import place_of_declaration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bpfas.diag import Diagnostics
    from bpfas.link.symtab import Mention, Resolution, SymbolTable
    from bpfas.link.types import Unit
    from bpfas.objfile import ObjectFile

# Where GCC puts the declaration of a variable that it knows no section of.
_GUESSED_SECTIONS = frozenset({".bss", ".data", ".rodata"})

# What C refers to a function's type with.
_REFERRING_TO_PROTOTYPES = (Kind.FUNC, Kind.PTR, Kind.TYPEDEF)

TypeKey = tuple[int, int]
"""A type: the number of its unit, and its id there."""


class _Candidate(NamedTuple):
    """A mention of a name with the type that its object gives it."""

    mention: Mention
    key: TypeKey


class _Conflict(NamedTuple):
    """Two mentions of a name that mean something else by it."""

    message: str
    winner: _Candidate
    candidate: _Candidate
    remedy: str


class Declarations:
    """For each name that has a type: the winner, and which types it replaces."""

    def __init__(self, units: Sequence[Unit]) -> None:
        self.units = units
        self.winners: dict[str, TypeKey] = {}
        self.replaced: dict[TypeKey, TypeKey] = {}

    def kind(self, name: str) -> Kind:
        """VAR or FUNC."""
        unit, type_id = self.winners[name]
        return self.units[unit].btf.kind(type_id)

    def linkage(self, name: str) -> Linkage:
        """The linkage that the object gives the name which describes it."""
        unit, type_id = self.winners[name]
        return self.units[unit].btf.linkage(type_id)

    def describes_untyped(self, name: str, found: Resolution) -> bool:
        """Whether a declaration describes the name, because its definition has no type."""
        return found.is_defined and self.linkage(name) is Linkage.EXTERN

    def is_winner(self, key: TypeKey) -> bool:
        """Whether that type describes a name."""
        unit, type_id = key
        return self.winners.get(self.units[unit].btf.name(type_id)) == key


def match_declarations(units: Sequence[Unit], table: SymbolTable, diagnostics: Diagnostics) -> Declarations:
    """What describes each name of `table`; types that do not fit together are errors."""
    declarations = Declarations(units)
    number_of: dict[ObjectFile, int] = {unit.obj: number for number, unit in enumerate(units)}
    sections = [_declared_sections(unit) for unit in units]
    conflicts: list[_Conflict] = []
    for name, found in table.resolutions.items():
        candidates: list[_Candidate] = []
        for mention in found.mentions:
            number = number_of.get(mention.obj)
            type_id = units[number].type_of(mention.symbol) if number is not None else None
            if number is not None and type_id is not None:
                candidates.append(_Candidate(mention, (number, type_id)))
        if not candidates:
            continue
        winner = next((item for item in candidates if item.mention.symbol is found.symbol), candidates[0])
        declarations.winners[name] = winner.key
        for candidate in candidates:
            if candidate.key == winner.key:
                continue
            declarations.replaced[candidate.key] = winner.key
            conflict = _conflict(name, found, winner, candidate, units, sections)
            if conflict is not None:
                conflicts.append(conflict)
    for conflict in conflicts[:MOST_MESSAGES]:
        _report(conflict, units, diagnostics)
    report_rest(len(conflicts), "conflicting declarations", diagnostics)
    _replace_prototypes(declarations)
    return declarations


def _replace_prototypes(declarations: Declarations) -> None:
    """Let the prototypes of replaced FUNCs go as well, where nothing else refers to them.

    What a declaration says of parameters' names is less than what the definition says.
    """
    prototypes: dict[int, dict[int, TypeKey]] = {}
    replaced_uses: Counter[TypeKey] = Counter()
    for (unit, type_id), (winning_unit, winning_id) in declarations.replaced.items():
        btf, winning_btf = declarations.units[unit].btf, declarations.units[winning_unit].btf
        if btf.kind(type_id) is winning_btf.kind(winning_id) is Kind.FUNC:
            prototype = btf.size_or_type(type_id)
            replaced_uses[unit, prototype] += 1
            prototypes.setdefault(unit, {})[prototype] = winning_unit, winning_btf.size_or_type(winning_id)
    for unit, of_unit in prototypes.items():
        btf = declarations.units[unit].btf
        words, starts = btf.words, btf.starts
        uses = Counter(
            target
            for kind in _REFERRING_TO_PROTOTYPES
            for type_id in btf.ids_of_kind(kind)
            if (target := words[starts[type_id] + 2]) in of_unit
        )
        for prototype, winning in of_unit.items():
            if uses[prototype] == replaced_uses[unit, prototype]:
                declarations.replaced[unit, prototype] = winning


def _declared_sections(unit: Unit) -> dict[int, str]:
    """By the id of a VAR or FUNC, the DATASEC that it is in."""
    btf = unit.btf
    return {
        entry.type_id: btf.name(datasec)
        for datasec in btf.ids_of_kind(Kind.DATASEC)
        if btf.name(datasec) != EXTERN_SECTION
        for entry in btf.entries(datasec)
    }


def _conflict(
    name: str,
    found: Resolution,
    winner: _Candidate,
    candidate: _Candidate,
    units: Sequence[Unit],
    sections: Sequence[dict[int, str]],
) -> _Conflict | None:
    """In what two objects do not mean the same by a name; None if they do."""
    home = found.symbol.section
    if isinstance(home, Section) and is_kept_once(home):
        return None
    there, here = (sections[unit].get(type_id) for unit, type_id in (winner.key, candidate.key))
    if there is None and isinstance(home, Section):
        there = home.name
    if here is not None and there is not None and here != there and here not in _GUESSED_SECTIONS:
        places = f"{there} of {winner.mention.obj.name}, but in {here} of {candidate.mention.obj.name}"
        remedy = "declare it for the section that it is defined in"
        return _Conflict(f"{name} is in section {places}", winner, candidate, remedy)
    types = [TypeOf(units[unit].btf, type_id) for unit, type_id in (winner.key, candidate.key)]
    fault = difference(*types, is_map=there == MAPS_SECTION)
    if fault is None:
        return None
    remedy = "make them the same, best by one declaration in a header that both include"
    return _Conflict(f"conflicting types of {name}: {fault}", winner, candidate, remedy)


def _report(conflict: _Conflict, units: Sequence[Unit], diagnostics: Diagnostics) -> None:
    message, winner, candidate, remedy = conflict
    diagnostics.error(
        message,
        notes=(_described(winner, units), _described(candidate, units), remedy),
        first_place=place_of_declaration(*winner.mention),
    )


def _described(candidate: _Candidate, units: Sequence[Unit]) -> str:
    """What an object says of a name, and where, for a note."""
    unit, type_id = candidate.key
    obj, symbol = candidate.mention
    verb = "defined" if symbol.is_defined else "declared"
    text = TypeOf(units[unit].btf, type_id).text
    return f"{verb} as `{text}` in {place_of_declaration(obj, symbol)}"
