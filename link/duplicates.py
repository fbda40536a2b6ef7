"""Names with more than one strong definition: an error for each, or one for two objects that hold the same code.

Which definitions compete is `bpfas.link.symtab`'s part.
"""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

from bpfas.elf.constants import SymbolType
from bpfas.link.layout import is_kept_once
from bpfas.link.limits import MOST_MESSAGES, report_rest
from bpfas.link.symtab import Strength, takes_part
from bpfas.objfile import Section
from bpfas.source_lines import place_of_declaration, source_line

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from bpfas.diag import Diagnostics
    from bpfas.link.symtab import Mention
    from bpfas.objfile import ObjectFile

    _Pair = tuple[ObjectFile, ObjectFile]

_MAX_PLACES = 3
"""How many definitions of one name a message shows, and how many names of one pair of objects."""

_MANY_NAMES = 4
"""So many names that two objects define both make one message, if nobody knows which lines define them."""

_MANY_LINES = 2
"""So many names do, if both objects have them of the same lines of the source."""

_HEADER_ENDINGS = frozenset({".h", ".hh", ".hpp", ".inc"})


def report_duplicates(duplicates: Mapping[str, Sequence[Mention]], diagnostics: Diagnostics) -> None:
    """Errors for names with several strong definitions, with the places of these.

    Two objects that define many names both at the same lines of the source, as one that the other was linked into
    does, get one error.
    """
    pairs: dict[_Pair, list[str]] = {}
    for name, places in duplicates.items():
        if len(places) == 2:
            pairs.setdefault((places[0].obj, places[1].obj), []).append(name)
    reports: list[Callable[[Diagnostics], None]] = []
    told: set[str] = set()
    for pair, names in pairs.items():
        remedy = _remedy_of_pair(*pair, [duplicates[name] for name in names])
        if remedy is not None:
            reports.append(partial(_report_pair, names, duplicates[names[0]], remedy))
            told.update(names)
    reports += [partial(_report, name, places) for name, places in duplicates.items() if name not in told]
    for report in reports[:MOST_MESSAGES]:
        report(diagnostics)
    report_rest(len(reports), "errors about duplicate symbols", diagnostics)


def _report(name: str, places: Sequence[Mention], diagnostics: Diagnostics) -> None:
    shown = [place_of_declaration(obj, symbol) for obj, symbol in places[:_MAX_PLACES]]
    others = len(places) - _MAX_PLACES
    notes = (
        *(f"defined in {place}" for place in shown),
        *([f"defined {others} more times"] if others > 0 else []),
        f"{_remedy(places)}, or take the first with -z muldefs",
    )
    diagnostics.error(f"duplicate symbol: {name}", notes=notes, first_place=shown[0])


def _remedy(places: Sequence[Mention]) -> str:
    is_data = places[0].symbol.st_type is SymbolType.OBJECT
    line = source_line(*places[0])
    if line is not None and _is_same_source(places) and _is_header(line):
        if is_data:
            return "the definition is in a header: put `extern` there, and define it in one file"
        return "the definition is in a header: make it static inline there, or define it in one file"
    if is_data:
        return "declare it extern in all but one of them, or make those weak"
    return "make all but one of them weak or static"


def _is_same_source(places: Sequence[Mention]) -> bool:
    """Whether all definitions of a name are of one line of the source, as far as anybody knows."""
    return len({source_line(obj, symbol) for obj, symbol in places}) == 1


def _is_header(line: str) -> bool:
    return os.path.splitext(line.rpartition(":")[0])[1] in _HEADER_ENDINGS


def _remedy_of_pair(first: ObjectFile, second: ObjectFile, duplicates: Sequence[Sequence[Mention]]) -> str | None:
    """What to do about two objects that seem to hold the same code; None if they do not."""
    lines = [source_line(*places[0]) for places in duplicates]
    enough = _MANY_NAMES if None in lines else _MANY_LINES
    if len(duplicates) < enough or not all(map(_is_same_source, duplicates)):
        return None
    if all(line is not None and _is_header(line) for line in lines):
        return "the definitions are in a header: only declare there, with `extern`, and define each in one file"
    for outer, inner in ((first, second), (second, first)):
        if len(duplicates) == _strong_definitions(inner):
            return f"{outer.name} seems to contain {inner.name} already: leave one of them out"
    if None in lines:
        return None
    return f"{first.name} and {second.name} seem to have the same file linked into them: leave it out of one"


def _report_pair(names: Sequence[str], places: Sequence[Mention], remedy: str, diagnostics: Diagnostics) -> None:
    """One error for all names that two objects define both; `places` are those of the first."""
    more = [f"{len(names) - _MAX_PLACES} more"] if len(names) > _MAX_PLACES else []
    shown = [place_of_declaration(obj, symbol) for obj, symbol in places]
    diagnostics.error(
        f"{len(names)} duplicate symbols: {', '.join((*names[:_MAX_PLACES], *more))}",
        notes=(*(f"{names[0]} is defined in {place}" for place in shown), remedy),
        first_place=shown[0],
    )


def _strong_definitions(obj: ObjectFile) -> int:
    """How many names an object has a strong definition of that no other object may have."""
    return sum(
        takes_part(symbol)
        and Strength.of(symbol) is Strength.STRONG
        and not (isinstance(symbol.section, Section) and is_kept_once(symbol.section))
        for symbol in obj.symbols
    )
