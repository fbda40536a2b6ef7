"""Which functions the output goes without: weak ones whose name another definition won, and unused ones of .text.

A function goes if nothing that stays leads to it, by relocation or by a distance in the code, and it goes or stays
as a whole. Data stays, and so do programs. What the link does about the removed bytes is for
`bpfas.link.layout`, `bpfas.link.relocate` and who writes types and debugging information.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, NamedTuple

from bpfas.elf.constants import SectionFlag, SymbolBinding, SymbolType
from bpfas.isa import SLOT_SIZE
from bpfas.link.branches import branches, relocated_fields
from bpfas.link.layout import holds_subprograms
from bpfas.link.options import matches
from bpfas.objfile import Section
from bpfas.reloc import RELOCATION_TYPES, addend_of
from bpfas.source_lines import place_of_symbol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence, Set

    from bpfas.diag import Diagnostics
    from bpfas.link.options import LinkOptions
    from bpfas.link.symtab import SymbolTable
    from bpfas.objfile import ObjectFile, Relocation, Symbol


class Removed(NamedTuple):
    """The bytes `start` (included) to `end` (excluded) of an input's section that the output goes without."""

    obj: ObjectFile
    section: Section
    start: int
    end: int
    name: str
    reason: str


class _Function:
    """Bytes that go or stay together: a function with its other names, or several that overlap."""

    __slots__ = ("leads_to", "removed")

    def __init__(self, removed: Removed) -> None:
        self.removed = removed
        self.leads_to: list[_Function] = []


class _Index:
    """The functions that may go, by where they lie."""

    def __init__(self, functions: Iterable[_Function]) -> None:
        self._by_section: dict[Section, list[_Function]] = {}
        for function in functions:
            self._by_section.setdefault(function.removed.section, []).append(function)
        self._starts = {
            section: [function.removed.start for function in found] for section, found in self._by_section.items()
        }

    def in_section(self, section: Section) -> list[_Function]:
        """Those of a section, in order."""
        return self._by_section.get(section, [])

    def at(self, section: Section, offset: int) -> _Function | None:
        """The one that holds the byte at `offset`."""
        starts = self._starts.get(section)
        index = bisect_right(starts, offset) if starts else 0
        if not index:
            return None
        function = self._by_section[section][index - 1]
        return function if offset < function.removed.end else None


def removed_functions(
    objects: Sequence[ObjectFile],
    table: SymbolTable,
    discarded: Set[Section],
    options: LinkOptions,
    kept_names: Set[str] = frozenset(),
) -> list[Removed]:
    """The functions that go, in order of objects, sections and offsets.

    With `options.gc_weak` these are weak ones all of whose names lost, with `options.gc_functions` those of .text
    but for the names in `options.roots`, `options.wanted`, `options.exported` and `kept_names`.
    References from `discarded` sections and from those that are not loaded do not count.
    """
    functions = [
        function
        for obj in objects
        for section, symbols in _symbols_of_code(obj, discarded).items()
        for function in _candidates(obj, section, symbols, table, options, kept_names)
    ]
    if not functions:
        return []
    index = _Index(functions)
    waiting: list[_Function] = []
    for obj in objects:
        for section in obj.sections:
            if section in discarded or not section.sh_flags & SectionFlag.ALLOC:
                continue
            for source, target in _references(obj, section, index, table):
                (waiting if source is None else source.leads_to).append(target)
    # From here on `waiting` holds what the rest of the output leads to.
    kept: set[_Function] = set()
    while waiting:
        function = waiting.pop()
        if function not in kept:
            kept.add(function)
            waiting += function.leads_to
    return [function.removed for function in functions if function not in kept]


def warn_if_no_code_stays(
    objects: Sequence[ObjectFile], discarded: Set[Section], removed: Sequence[Removed], diagnostics: Diagnostics
) -> None:
    """Warn if the functions that go are all the code there is, for then nobody has said what the output is for."""
    code = sum(
        section.sh_size
        for obj in objects
        for section in obj.sections
        if section.is_code and section not in discarded
    )
    if code and code == sum(item.end - item.start for item in removed):
        diagnostics.warning(
            "--gc-sections leaves no code at all, for there is no program that would use any of it",
            notes=("name the functions to be kept with -e, -u or --export",),
        )


def _symbols_of_code(obj: ObjectFile, discarded: Set[Section]) -> dict[Section, list[Symbol]]:
    """The symbols in each section of code that stays, without section symbols; in order of the sections."""
    found: dict[Section, list[Symbol]] = {
        section: [] for section in obj.sections if section.is_code and section not in discarded
    }
    for symbol in obj.symbols:
        if symbol.section in found and symbol.st_type is not SymbolType.SECTION:
            found[symbol.section].append(symbol)
    return found


def _candidates(
    obj: ObjectFile,
    section: Section,
    symbols: Sequence[Symbol],
    table: SymbolTable,
    options: LinkOptions,
    kept_names: Set[str],
) -> Iterator[_Function]:
    """The functions of a section that may go."""
    unused_go = (
        options.gc_functions and holds_subprograms(section) and not section.sh_flags & SectionFlag.GNU_RETAIN
    )
    if not unused_go and not (options.gc_weak and any(_has_lost(symbol, table) for symbol in symbols)):
        return
    roots = {*options.roots, *options.wanted}

    def is_root(name: str) -> bool:
        return name in roots or matches(name, options.exported)

    by_place = sorted(filter(_is_name, symbols), key=_place)
    for start, end, name in _extents(section, symbols):
        if start % SLOT_SIZE or end % SLOT_SIZE:
            continue
        names = by_place[bisect_left(by_place, start, key=_place) : bisect_left(by_place, end, key=_place)]
        if options.gc_weak and all(_has_lost(symbol, table) for symbol in names):
            winner = table.resolutions[table.name_of(names[0])]
            reason = f"weak: {winner.symbol.name} is {place_of_symbol(winner.obj, winner.symbol)}"
            yield _Function(Removed(obj, section, start, end, name, reason))
        elif unused_go and not any(
            symbol.name in kept_names or (is_root(symbol.name) and _has_won(symbol, table)) for symbol in names
        ):
            yield _Function(Removed(obj, section, start, end, name, "nothing refers to it"))


def _is_name(symbol: Symbol) -> bool:
    """Whether the symbol is more than a label within a function."""
    return symbol.st_type is SymbolType.FUNC or symbol.st_bind is not SymbolBinding.LOCAL


def _place(symbol: Symbol) -> int:
    return symbol.st_value


def _has_won(symbol: Symbol, table: SymbolTable) -> bool:
    found = table.resolution_of(symbol)
    return found is not None and found.symbol is symbol


def _has_lost(symbol: Symbol, table: SymbolTable) -> bool:
    found = table.resolution_of(symbol)
    return symbol.st_bind is SymbolBinding.WEAK and found is not None and found.symbol is not symbol


def _extents(section: Section, symbols: Sequence[Symbol]) -> list[tuple[int, int, str]]:
    """Start, end and a name of each function of the section, in order; those that overlap are one."""
    functions = [symbol for symbol in symbols if symbol.st_type is SymbolType.FUNC]
    functions.sort(key=lambda symbol: symbol.st_value)
    starts = [symbol.st_value for symbol in functions]
    extents: list[tuple[int, int, str]] = []
    for symbol in functions:
        start = symbol.st_value
        if symbol.st_size:
            end = start + symbol.st_size
        else:
            following = bisect_right(starts, start)
            end = starts[following] if following < len(starts) else section.sh_size
        if end > section.sh_size or start >= end:
            continue  # not a function that the section holds
        if extents and start < extents[-1][1]:
            first, last, name = extents[-1]
            extents[-1] = first, max(last, end), name
        else:
            extents.append((start, end, symbol.name))
    return extents


def _references(
    obj: ObjectFile, section: Section, index: _Index, table: SymbolTable
) -> Iterator[tuple[_Function | None, _Function]]:
    """What of the functions that may go is referred to in a section, and by which of them, if by one."""
    for reloc in section.relocations:
        for home, offset in _targets(reloc, section, obj, table):
            target = index.at(home, offset)
            if target is not None:
                yield index.at(section, reloc.r_offset), target
    functions = index.in_section(section)
    if not functions:
        return
    relocated = relocated_fields(section)
    for start, end in _stretches(functions, section.sh_size):
        source = index.at(section, start)
        for branch in branches(section, obj.byte_order, start, end, relocated):
            target = index.at(section, branch.target)
            if target is not None:
                yield source, target


def _stretches(functions: Sequence[_Function], size: int) -> Iterator[tuple[int, int]]:
    """The functions that may go, and what lies between them, from the section's start to its end."""
    at = 0
    for function in functions:
        yield at, function.removed.start
        yield function.removed.start, function.removed.end
        at = function.removed.end
    yield at, size


def _targets(
    reloc: Relocation, section: Section, obj: ObjectFile, table: SymbolTable
) -> Iterator[tuple[Section, int]]:
    """Where a relocation leads: its symbol's place, and what its addend makes of it."""
    row = RELOCATION_TYPES.get(reloc.r_type)
    symbol = reloc.symbol
    found = table.resolution_of(symbol)
    if found is not None:
        symbol = found.symbol
    if row is None or not isinstance(symbol.section, Section):
        return
    addend = addend_of(row, reloc.r_addend, section.data, reloc.r_offset, obj.byte_order)
    yield symbol.section, symbol.st_value + addend
    if symbol.st_type is not SymbolType.SECTION:
        yield symbol.section, symbol.st_value
