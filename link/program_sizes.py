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

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfas.objfile import ObjectFile, Symbol

_CALL = 0x85
_LOAD_64 = 0x18
_CALL_OF_FUNCTION = 1  # src_reg: BPF_PSEUDO_CALL
_LOAD_OF_FUNCTION = 4  # src_reg: BPF_PSEUDO_FUNC
_LIBRARY_SECTION = ".text"
"""Where functions lie that are no programs."""


class Function(NamedTuple):
    """A function, and its slots of 8 bytes; of several names for one place, the first."""

    symbol: Symbol
    start: int
    slots: int

    @property
    def name(self) -> str:
        """Its name."""
        return self.symbol.name


class Program(NamedTuple):
    """A program, and the functions that it calls, directly or not, in order of the calls."""

    section: str
    function: Function
    called: tuple[Function, ...]

    @property
    def total(self) -> int:
        """Slots of the program and of all that it calls."""
        return self.function.slots + sum(function.slots for function in self.called)


def programs_of(obj: ObjectFile) -> list[Program]:
    """The programs of an object, in its order."""
    functions = {section: _functions(obj, section) for section in obj.sections if section.is_code}
    found: list[Program] = []
    for section, members in functions.items():
        if section.name == _LIBRARY_SECTION:
            continue
        for function in members:
            if function.symbol.st_bind is not SymbolBinding.LOCAL:
                called = tuple(_called(section, function, functions, obj.byte_order))
                found.append(Program(section.name, function, called))
    return found


def _functions(obj: ObjectFile, section: Section) -> list[Function]:
    """The functions of a section by their places; symbols without a type are functions if there are no others."""
    symbols = [symbol for symbol in obj.symbols if symbol.section is section]
    chosen = [symbol for symbol in symbols if symbol.st_type is SymbolType.FUNC]
    if not chosen:
        chosen = [symbol for symbol in symbols if symbol.name and symbol.st_bind is not SymbolBinding.LOCAL]
    chosen.sort(key=lambda symbol: (symbol.st_value, symbol.st_bind is SymbolBinding.LOCAL))
    starts = sorted({symbol.st_value for symbol in chosen})
    ends = dict(zip(starts, [*starts[1:], section.sh_size], strict=True))
    firsts: dict[int, Symbol] = {}
    for symbol in chosen:
        firsts.setdefault(symbol.st_value, symbol)
    return [
        Function(symbol, start, (symbol.st_size or ends[start] - start) // SLOT_SIZE)
        for start, symbol in firsts.items()
    ]


def _called(
    section: Section, function: Function, functions: dict[Section, list[Function]], order: ByteOrder
) -> Iterator[Function]:
    seen = {function.symbol}
    waiting = [(section, function)]
    while waiting:
        where, caller = waiting.pop()
        found: list[tuple[Section, Function]] = []
        for home, offset in _references(where, caller, order):
            callee = _function_at(functions.get(home, []), offset)
            if callee is not None and callee.symbol not in seen:
                seen.add(callee.symbol)
                found.append((home, callee))
                yield callee
        waiting += reversed(found)


def _function_at(functions: list[Function], offset: int) -> Function | None:
    index = bisect_right(functions, offset, key=lambda function: function.start) - 1
    return functions[index] if index >= 0 else None


def _references(section: Section, function: Function, order: ByteOrder) -> Iterator[tuple[Section, int]]:
    """The section and offset of each function that one calls or takes the address of."""
    symbols = {reloc.r_offset: reloc.symbol for reloc in section.relocations}
    end = function.start + function.slots * SLOT_SIZE
    rows = struct.iter_unpack(f"{order.value}BBhi", bytes(section.data[function.start : end]))
    for offset, (opcode, registers, _, imm) in zip(range(function.start, end, SLOT_SIZE), rows, strict=False):
        src = registers >> 4 if order is ByteOrder.LITTLE else registers & 0xF
        symbol = symbols.get(offset)
        if opcode == _CALL and src == _CALL_OF_FUNCTION:
            distance = (imm + 1) * SLOT_SIZE
            if symbol is None:
                yield section, offset + distance
            elif isinstance(symbol.section, Section):
                yield symbol.section, symbol.st_value + distance
        elif opcode == _LOAD_64 and symbol is None and src == _LOAD_OF_FUNCTION:
            yield section, offset + (imm + 1) * SLOT_SIZE
        elif opcode == _LOAD_64 and symbol and isinstance(symbol.section, Section) and symbol.section.is_code:
            yield symbol.section, symbol.st_value + imm
