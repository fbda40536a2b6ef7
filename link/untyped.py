"""Types for functions of objects that come without them, so that typed objects can call them.

The kernel takes function and line information of a program only if all of its functions have it, and loaders that
put a program together refuse a function without. So hand-written functions get what a compiler would have written:
a FUNC, by the declaration that a caller gave or else `int f(void)`, and the line that they begin at.
"""

from __future__ import annotations

import posixpath
from array import array
from functools import lru_cache
from typing import TYPE_CHECKING

from bpfas.btf.ext import BtfExt, Records
from bpfas.btf.kinds import Kind, Linkage
from bpfas.btf.merge import merge
from bpfas.btf.reader import read_btf
from bpfas.elf.constants import SymbolBinding, SymbolType
from bpfas.link.layout import holds_subprograms
from bpfas.objfile import Section
from bpfas.source_lines import line_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bpfas.btf.btf import Btf
    from bpfas.link.declarations import Declarations, TypeKey
    from bpfas.link.layout import Layout
    from bpfas.link.symtab import SymbolTable
    from bpfas.link.types import Unit
    from bpfas.objfile import ObjectFile, Symbol

_INT_SIZE = 4
# line_col of a line_info record
_COLUMN_BITS = 10
_LAST_LINE = (1 << 32 - _COLUMN_BITS) - 1


def describe_untyped(
    units: Sequence[Unit],
    objects: Sequence[ObjectFile],
    table: SymbolTable,
    declarations: Declarations,
    layout: Layout,
    symbols: dict[Symbol, Symbol],
) -> list[tuple[ObjectFile, Btf, BtfExt]]:
    """For each object with functions that nothing describes, types for them, with function and line information.

    Empty if no object has function information. What a caller declared of a function is entered in `declarations`
    as what replaces its FUNC here; the types given are those of the units that follow `units`.
    """
    if not any(unit.ext is not None and unit.ext.func_info for unit in units):
        return []
    has_lines = any(unit.ext is not None and unit.ext.line_info for unit in units)
    described = _described_places(units)
    found: list[tuple[ObjectFile, Btf, BtfExt]] = []
    for obj in objects:
        functions = list(_functions(obj, described, layout, symbols))
        if functions:
            number = len(units) + len(found)
            btf, ids = _types_of(obj, functions, has_lines)
            for symbol, type_id in zip(functions, ids, strict=True):
                known = _known_type(obj, symbol, units, table, declarations)
                if known is not None:
                    declarations.replaced[number, type_id] = known
            found.append((obj, btf, _information(obj, functions, ids, btf, has_lines)))
    return found


def _known_type(
    obj: ObjectFile, symbol: Symbol, units: Sequence[Unit], table: SymbolTable, declarations: Declarations
) -> TypeKey | None:
    """The FUNC that describes a function without function information, if there is one."""
    if _is_global(symbol):
        name = table.name_of(symbol)
        winner = declarations.winners.get(name)
        return winner if winner is not None and declarations.kind(name) is Kind.FUNC else None
    for number, unit in enumerate(units):
        if unit.obj is obj:
            type_id = unit.function_named(symbol.name)
            return None if type_id is None else (number, type_id)
    return None


def _is_global(symbol: Symbol) -> bool:
    return symbol.st_bind is not SymbolBinding.LOCAL


def _described_places(units: Sequence[Unit]) -> set[tuple[Section, int]]:
    """Where a function with function information begins."""
    return {
        (section, offset)
        for unit in units
        if unit.ext is not None
        for name, records in unit.ext.func_info.items()
        if (section := unit.obj.section(name)) is not None
        for offset in records.words[:: records.record_size // 4]
    }


def _functions(
    obj: ObjectFile, described: set[tuple[Section, int]], layout: Layout, symbols: dict[Symbol, Symbol]
) -> Iterator[Symbol]:
    """The functions of `obj` that the output has and that nothing describes, one for each place."""
    seen: set[tuple[Section, int]] = set()
    for symbol in obj.symbols:
        section = symbol.section
        if symbol.st_type is not SymbolType.FUNC or not isinstance(section, Section) or not section.is_code:
            continue
        if symbol.st_value >= section.sh_size:
            continue  # there is no instruction
        key = section, symbol.st_value
        placement, output = layout.placements.get(section), symbols.get(symbol)
        if key in described or key in seen or placement is None or output is None:
            continue
        # A definition that lost may still be there, but nobody will find it.
        if (output.section, output.st_value) == (placement.section, placement.at(symbol.st_value)):
            seen.add(key)
            yield symbol


def _types_of(obj: ObjectFile, functions: Sequence[Symbol], has_lines: bool) -> tuple[Btf, list[int]]:
    """Types for `functions`, and the FUNC of each. The strings of their lines are there too."""
    merged = merge([], [])
    returned = merged.add_int("int", _INT_SIZE, is_signed=True)
    context = merged.add_pointer(0)
    program = merged.add_func_proto(returned, [("ctx", context)])
    subprogram = merged.add_func_proto(returned, [])
    ids = []
    for symbol in functions:
        assert isinstance(symbol.section, Section)
        is_program = not holds_subprograms(symbol.section) and _is_global(symbol)
        linkage = Linkage.GLOBAL if is_program else Linkage.STATIC
        ids.append(merged.add_func(symbol.name, program if is_program else subprogram, linkage))
        if has_lines:
            file, _ = _line(obj, symbol)
            merged.string(file)
            merged.string(_text(symbol))
    return read_btf(merged.write(obj.byte_order), obj.byte_order, obj.name), ids


def _information(
    obj: ObjectFile, functions: Sequence[Symbol], ids: Sequence[int], btf: Btf, has_lines: bool
) -> BtfExt:
    """Function and line information, one record of each for a function."""
    offsets: dict[bytes, int] = {}
    at = 0
    for text in btf.strings.split(b"\0")[:-1]:
        offsets.setdefault(text, at)
        at += len(text) + 1
    func_info: dict[str, Records] = {}
    line_info: dict[str, Records] = {}
    for symbol, type_id in zip(functions, ids, strict=True):
        name = symbol.section.name
        func_info.setdefault(name, Records(8, array("I"))).words.extend((symbol.st_value, type_id))
        if has_lines:
            file, line = _line(obj, symbol)
            strings = [offsets[text.encode(errors="surrogateescape")] for text in (file, _text(symbol))]
            record = symbol.st_value, *strings, min(line, _LAST_LINE) << _COLUMN_BITS
            line_info.setdefault(name, Records(16, array("I"))).words.extend(record)
    return BtfExt(func_info, line_info, {})


def _line(obj: ObjectFile, symbol: Symbol) -> tuple[str, int]:
    """The file and line that a function begins at; line 0 where nothing tells it."""
    assert isinstance(symbol.section, Section)
    line = line_of(obj, symbol.section, symbol.st_value)
    if line is not None:
        return line
    return _source_name(obj), 0


@lru_cache(maxsize=1)
def _source_name(obj: ObjectFile) -> str:
    """The name of the file that an object was made from, or of the object."""
    files = (symbol.name for symbol in obj.symbols if symbol.st_type is SymbolType.FILE)
    return next(files, posixpath.basename(obj.name))


def _text(symbol: Symbol) -> str:
    return f"{symbol.name}:"
