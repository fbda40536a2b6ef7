"""How many instructions the programs of an object have, with the functions that they call.

A loader puts every function that a program calls, directly or not, behind the program. Source: what libbpf does
with calls, and with addresses of functions, which are passed to helpers that call them.
"""

from __future__ import annotations

from bisect import bisect_right
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple

from bpfas.elf.constants import SymbolBinding, SymbolType
from bpfas.isa import SLOT_SIZE
from bpfas.link.branches import CALL, LDDW, branches, relocated_fields, relocated_target
from bpfas.objfile import Section
from bpfas.section_names import SUBPROGRAM_SECTION

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bpfas.elf.constants import ByteOrder
    from bpfas.objfile import ObjectFile, Symbol

_LEADING_TO_FUNCTIONS = frozenset({CALL, LDDW})


class Function(NamedTuple):
    """A function, and its slots of 8 bytes; of several names for one place, the first."""

    symbol: Symbol
    section: Section
    start: int
    slots: int

    @property
    def name(self) -> str:
        """Its name."""
        return self.symbol.name

    @property
    def end(self) -> int:
        """The offset behind its last instruction."""
        return self.start + self.slots * SLOT_SIZE


class Program(NamedTuple):
    """A program, and the functions that it calls, directly or not, in order of the calls."""

    function: Function
    called: tuple[Function, ...]

    @property
    def total(self) -> int:
        """Slots of the program and of all that it calls."""
        return self.function.slots + sum(function.slots for function in self.called)


def programs_of(obj: ObjectFile) -> list[Program]:
    """The programs of an object, in its order."""
    symbols: dict[Section, list[Symbol]] = {section: [] for section in obj.sections if section.is_code}
    for symbol in obj.symbols:
        if isinstance(symbol.section, Section) and symbol.section in symbols:
            symbols[symbol.section].append(symbol)
    functions = {section: _functions(section, found) for section, found in symbols.items()}
    callees: dict[Symbol, list[Function]] = {
        function.symbol: [] for found in functions.values() for function in found
    }
    for section, found in functions.items():
        for place, home, offset in sorted(_references(section, found, obj.byte_order), key=itemgetter(0)):
            caller, callee = _function_at(found, place), _function_at(functions.get(home, []), offset)
            if caller is not None and callee is not None:
                callees[caller.symbol].append(callee)
    return [
        Program(function, tuple(_called(function, callees)))
        for section, found in functions.items()
        for function in found
        if section.name != SUBPROGRAM_SECTION and function.symbol.st_bind is not SymbolBinding.LOCAL
    ]


def _functions(section: Section, symbols: list[Symbol]) -> list[Function]:
    """The functions of a section by their places; symbols without a type are functions if there are no others."""
    chosen = [symbol for symbol in symbols if symbol.st_type is SymbolType.FUNC]
    if not chosen:
        chosen = [symbol for symbol in symbols if symbol.name and symbol.st_bind is not SymbolBinding.LOCAL]
    chosen.sort(key=lambda symbol: (symbol.st_value, symbol.st_bind is SymbolBinding.LOCAL))
    firsts: dict[int, Symbol] = {}
    for symbol in chosen:
        if symbol.st_value < section.sh_size:
            firsts.setdefault(symbol.st_value, symbol)
    ends = [*firsts, section.sh_size][1:]
    return [
        Function(symbol, section, start, min(symbol.st_size or end - start, end - start) // SLOT_SIZE)
        for (start, symbol), end in zip(firsts.items(), ends, strict=False)
    ]


def _function_at(functions: list[Function], offset: int) -> Function | None:
    index = bisect_right(functions, offset, key=lambda function: function.start) - 1
    return functions[index] if index >= 0 else None


def _called(program: Function, callees: dict[Symbol, list[Function]]) -> list[Function]:
    seen = {program.symbol: program}
    waiting = [program]
    while waiting:
        found = {callee.symbol: callee for callee in callees[waiting.pop().symbol] if callee.symbol not in seen}
        seen |= found
        waiting += reversed(found.values())
    return list(seen.values())[1:]


def _references(
    section: Section, functions: Sequence[Function], order: ByteOrder
) -> Iterator[tuple[int, Section, int]]:
    """Where code of `functions` calls one or takes its address: the place, and the section and offset it means."""
    relocated = relocated_fields(section)
    for function in functions:
        for branch in branches(section, order, function.start, function.end, relocated):
            if branch.field is not None and section.data[branch.place] in _LEADING_TO_FUNCTIONS:
                yield branch.place, section, branch.target
    for reloc in section.relocations:
        target = relocated_target(reloc, section, order)
        if target is not None and section.data[reloc.r_offset] in _LEADING_TO_FUNCTIONS:
            yield reloc.r_offset, *target
