"""Which functions an object has, where they begin and end, and which of them are programs.

A function is what an STT_FUNC symbol in an executable section says. Outside .text (and .text.NAME) the global ones
are programs, and the local ones functions that programs can call, which libbpf refuses. Hand-written assembly has
often neither `.type` nor `.globl`, so two more rules: a section other than .text without any global function is
one program, named by the label at its start; in a .text without any function, the global labels are taken for
functions. A function without st_size ends where the next one begins.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from bpfas.elf.constants import SymbolBinding, SymbolType
from bpfas.isa import SLOT_SIZE
from bpfas.loader.instructions import LOAD_IMMEDIATE_64, Code
from bpfas.loader.sections import UNKNOWN_SECTION, section_kind, split_autoload
from bpfas.objfile import OWN_ONLY, place
from bpfas.section_names import is_subprogram_section

if TYPE_CHECKING:
    from bpfas.diag import Diagnostics
    from bpfas.objfile import ObjectFile, Section, SpecialSection, Symbol


class Function:
    """The instructions `start` (included) to `end` (excluded), in bytes from the start of `section` of `obj`.

    A hidden one is global, but other objects do not see it.
    """

    __slots__ = ("end", "is_global", "is_hidden", "name", "obj", "section", "start")

    def __init__(
        self,
        name: str,
        obj: ObjectFile,
        section: Section,
        start: int,
        end: int,
        is_global: bool = True,
        is_hidden: bool = False,
    ) -> None:
        self.name = name
        self.obj = obj
        self.section = section
        self.start = start
        self.end = end
        self.is_global = is_global
        self.is_hidden = is_hidden

    @property
    def code(self) -> bytes:
        """Its instructions as they stand in the object."""
        return bytes(self.section.data[self.start : self.end])


class FunctionTable:
    """The functions by place, and the programs with the symbols that name them."""

    def __init__(self) -> None:
        self.by_place: dict[tuple[Section, int], Function] = {}
        self.programs: list[tuple[Symbol, Function]] = []

    def add(self, other: FunctionTable) -> None:
        """Take in the functions of another object, which are no programs here."""
        self.by_place.update(other.by_place)

    def at(self, section: Section, offset: int) -> Function | None:
        """The function that begins `offset` bytes into `section`."""
        return self.by_place.get((section, offset))


def find_functions(obj: ObjectFile, diagnostics: Diagnostics) -> FunctionTable:
    """The functions of all executable sections of `obj`; errors go to `diagnostics`."""
    table = FunctionTable()
    symbols_of: dict[Section | SpecialSection, list[Symbol]] = {}
    for symbol in obj.symbols:
        if symbol.name:
            symbols_of.setdefault(symbol.section, []).append(symbol)
    for section in obj.sections:
        if not section.is_code or not section.sh_size:
            continue
        if section.sh_size % SLOT_SIZE:
            message = f"the section has {section.sh_size} bytes, which are no whole number of instructions"
            diagnostics.error(message, place(obj, section, 0))
            continue
        symbols = symbols_of.get(section, [])
        if is_subprogram_section(section.name):
            _add_functions(obj, section, _subprogram_symbols(symbols), table, diagnostics)
        else:
            programs = _program_symbols(symbols)
            if not programs:
                _report_nameless(obj, section, diagnostics)
            others = [symbol for symbol in symbols if symbol.st_type is SymbolType.FUNC]
            _add_functions(obj, section, [*programs, *others], table, diagnostics)
            for symbol in programs:
                if function := table.at(section, symbol.st_value):
                    table.programs.append((symbol, function))
    return table


def _subprogram_symbols(symbols: list[Symbol]) -> list[Symbol]:
    functions = [symbol for symbol in symbols if symbol.st_type is SymbolType.FUNC]
    return functions or [symbol for symbol in symbols if _is_global(symbol) and _is_code_label(symbol)]


def _program_symbols(symbols: list[Symbol]) -> list[Symbol]:
    """The symbols that name a section's programs, by address."""
    programs = [symbol for symbol in symbols if symbol.st_type is SymbolType.FUNC and _is_global(symbol)]
    if programs:
        return sorted(programs, key=lambda symbol: symbol.st_value)
    labels = [symbol for symbol in symbols if symbol.st_value == 0 and _is_code_label(symbol)]
    labels.sort(key=lambda symbol: (not _is_global(symbol), symbol.st_type is not SymbolType.FUNC))
    return labels[:1]


def _is_global(symbol: Symbol) -> bool:
    return symbol.st_bind is not SymbolBinding.LOCAL


def _is_code_label(symbol: Symbol) -> bool:
    return symbol.st_type in (SymbolType.NOTYPE, SymbolType.FUNC)


def _report_nameless(obj: ObjectFile, section: Section, diagnostics: Diagnostics) -> None:
    # Code in a section that stands for no program type may be anything; nobody asked to load it.
    if section_kind(split_autoload(section.name)[0]) is not UNKNOWN_SECTION:
        diagnostics.error(
            "no symbol names the program in this section",
            place(obj, section, 0),
            ("put a label at its start, with .globl NAME and .type NAME, @function",),
        )


def _add_functions(
    obj: ObjectFile, section: Section, symbols: list[Symbol], table: FunctionTable, diagnostics: Diagnostics
) -> None:
    """Enter the functions that `symbols` of `section` name, one for each address, the first name counting."""
    starts = sorted({symbol.st_value for symbol in symbols})
    next_start = dict(pairwise([*starts, section.sh_size]))
    code = Code(section.data, obj.byte_order)
    for symbol in symbols:
        if table.at(section, symbol.st_value):
            continue
        start = symbol.st_value
        end = start + symbol.st_size if symbol.st_size else next_start[start]
        fault = ""
        if start % SLOT_SIZE:
            fault = f"begins at {start:#x}, which is not the start of an instruction"
        elif start >= section.sh_size or end > section.sh_size:
            fault = f"ends at {end:#x}, beyond the end of the section at {section.sh_size:#x}"
        elif end % SLOT_SIZE:
            fault = f"ends at {end:#x}, which is not the end of an instruction"
        elif _ends_within_load(code, start, end):
            fault = f"ends at {end:#x}, within a 64-bit immediate load"
        if fault:
            diagnostics.error(f"function '{symbol.name}' {fault}", place(obj, section, start))
        else:
            table.by_place[section, start] = Function(
                symbol.name,
                obj,
                section,
                start,
                end,
                _is_global(symbol),
                _is_global(symbol) and symbol.st_visibility in OWN_ONLY,
            )


def _ends_within_load(code: Code, start: int, end: int) -> bool:
    if code.opcode(end // SLOT_SIZE - 1) != LOAD_IMMEDIATE_64:
        return False
    function = Code(code.data[start:end], code.order)
    *_, last = function.starts()
    return function.opcode(last) == LOAD_IMMEDIATE_64 and last + 2 > len(function)
