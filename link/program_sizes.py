"""How many instructions the programs of an object have, with the functions that they call.

A loader puts every function that a program calls, directly or not, behind the program. Source: what libbpf does
with calls, and with addresses of functions, which are passed to helpers that call them.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from typing import TYPE_CHECKING, NamedTuple

from bpfas.elf.constants import ByteOrder, SymbolBinding, SymbolType
from bpfas.isa import SLOT_SIZE
from bpfas.objfile import Section
from bpfas.section_names import SUBPROGRAM_SECTION

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfas.objfile import ObjectFile, Symbol

_CALL = 0x85
_LOAD_64 = 0x18
_CALL_OF_FUNCTION = 1  # src_reg: BPF_PSEUDO_CALL
_LOAD_OF_FUNCTION = 4  # src_reg: BPF_PSEUDO_FUNC


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
    callees: dict[Symbol, list[Function]] = {}
    for section, found in functions.items():
        targets = {reloc.r_offset: reloc.symbol for reloc in section.relocations}
        for function in found:
            references = _references(function, targets, obj.byte_order)
            called = (_function_at(functions.get(home, []), offset) for home, offset in references)
            callees[function.symbol] = [callee for callee in called if callee is not None]
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


def _references(function: Function, targets: dict[int, Symbol], order: ByteOrder) -> Iterator[tuple[Section, int]]:
    """The section and offset of each function that one calls or takes the address of.

    `targets` are what the relocations of the function's section lead to, by place.
    """
    section, start = function.section, function.start
    end = start + function.slots * SLOT_SIZE
    rows = struct.iter_unpack(f"{order.value}BBhi", bytes(section.data[start:end]))
    for offset, (opcode, registers, _, imm) in zip(range(start, end, SLOT_SIZE), rows, strict=True):
        src = registers >> 4 if order is ByteOrder.LITTLE else registers & 0xF
        symbol = targets.get(offset)
        distance = (imm + 1) * SLOT_SIZE
        if opcode == _CALL and src == _CALL_OF_FUNCTION:
            if symbol is None:
                yield section, offset + distance
            elif isinstance(symbol.section, Section):
                yield symbol.section, symbol.st_value + distance
        elif opcode == _LOAD_64 and symbol is None and src == _LOAD_OF_FUNCTION:
            yield section, offset + distance
        elif opcode == _LOAD_64 and symbol and isinstance(symbol.section, Section) and symbol.section.is_code:
            yield symbol.section, symbol.st_value + imm
