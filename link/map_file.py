"""What a link has made of its inputs, as text: the map of -Map, and the table of --cref.

Offsets are in hexadecimal digits, sizes in decimal bytes. What there is nothing of is left out.
What programs and the functions that they call take is `bpfas.link.program_sizes`.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

from bpfas.elf.constants import SectionFlag, SymbolBinding, SymbolType, SymbolVisibility
from bpfas.link.program_sizes import programs_of
from bpfas.objfile import Section

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from bpfas.link.inputs import Extraction
    from bpfas.link.layout import Layout, Piece, Placement
    from bpfas.link.linker import Linked
    from bpfas.objfile import ObjectFile, Symbol

_NAME_WIDTH = 24
_CROSS_REFERENCE_WIDTH = 40


def map_text(linked: Linked, extractions: Sequence[Extraction]) -> str:
    """The map of a link; `extractions` tell why members of archives took part."""
    parts = (
        ("Members of archives, and who wanted what of them", _extraction_lines(extractions)),
        ("Sections: offset, size, where from; the symbols there", _section_lines(linked)),
        ("Left out", _removed_lines(linked)),
        ("Programs, in instructions: own, with all that they call", _program_lines(linked.output)),
        ("Symbols: section and offset, size, binding, where from", _symbol_lines(linked)),
        ("Types", _type_lines(linked)),
        ("Left open for the loader", (f"  {name}" for name in linked.open_names)),
    )
    texts = []
    for title, lines in parts:
        text = "".join(f"{line.rstrip()}\n" for line in lines)
        if text:
            texts.append(f"{title}\n\n{text}")
    return "\n".join(texts)


def cross_reference_table(objects: Iterable[ObjectFile]) -> str:
    """Each global name and the files that mention it, those first that define it."""
    users: dict[str, list[str]] = {}
    definers: dict[str, list[str]] = {}
    for obj in objects:
        for symbol in obj.symbols:
            if symbol.st_bind is not SymbolBinding.LOCAL:
                mentions = definers if symbol.is_defined else users
                mentions.setdefault(symbol.name, []).append(obj.name)
    lines = ["Cross Reference Table", "", f"{'Symbol':<{_CROSS_REFERENCE_WIDTH}} File"]
    for name in sorted({*users, *definers}):
        files = dict.fromkeys([*definers.get(name, ()), *users.get(name, ())])
        lines += [
            f"{'' if number else name:<{_CROSS_REFERENCE_WIDTH}} {file}" for number, file in enumerate(files)
        ]
    return "".join(f"{line}\n" for line in lines)


def _extraction_lines(extractions: Sequence[Extraction]) -> Iterator[str]:
    width = max((len(extraction.obj.name) for extraction in extractions), default=0)
    for obj, name, referrer in extractions:
        yield f"  {obj.name:<{width}}  {f'{name} for {referrer}' if name else '--whole-archive'}"


def _section_lines(linked: Linked) -> Iterator[str]:
    inputs: dict[Section, list[tuple[ObjectFile, Section, Placement]]] = {}
    for obj in linked.objects:
        for section in obj.sections:
            if placement := linked.layout.placements.get(section):
                inputs.setdefault(placement.section, []).append((obj, section, placement))
    symbols = _symbols_by_section(linked.output)
    for output in linked.output.sections:
        yield f"  {output.name:<{_NAME_WIDTH}} {output.sh_size:>8}  align {max(1, output.sh_addralign)}"
        parts = inputs.get(output, [])
        is_merged = bool(output.sh_flags & SectionFlag.MERGE)
        for obj, section, placement in parts:
            if placement.is_copy:
                yield f"    {'':>10} {'':>8}  {obj.name} has the same"
            elif is_merged:
                yield f"    {'':>10} {section.sh_size:>8}  {obj.name}"
            else:
                yield from _piece_lines(obj, section, placement, symbols.get(output, []))
        before = sum(section.sh_size for _, section, _ in parts)
        if is_merged and before != output.sh_size:
            yield f"    {'':>10} {output.sh_size - before:>8}  equal entries kept once"


def _piece_lines(obj: ObjectFile, section: Section, placement: Placement, symbols: list[Symbol]) -> Iterator[str]:
    for start, end, output in _runs(placement.pieces):
        source = f"{obj.name}{f', from {start:#x}' if (start, end) != (0, section.sh_size) else ''}"
        yield f"    {output:>#10x} {end - start:>8}  {source}"
        first, last = (
            bisect_left(symbols, place, key=lambda symbol: symbol.st_value)
            for place in (output, output + end - start)
        )
        for symbol in symbols[first:last]:
            yield f"    {symbol.st_value:>#10x} {symbol.st_size or '':>8}    {symbol.name}"


def _runs(pieces: Sequence[Piece]) -> Iterator[tuple[int, int, int]]:
    """Start, end and output offset of what was kept, with pieces as one that follow each other in both."""
    run: tuple[int, int, int] | None = None
    for start, end, output in pieces:
        if output is None:
            continue
        if run is not None and run[1] == start and run[2] + run[1] - run[0] == output:
            run = run[0], end, run[2]
            continue
        if run is not None:
            yield run
        run = start, end, output
    if run is not None:
        yield run


def _symbols_by_section(obj: ObjectFile) -> dict[Section, list[Symbol]]:
    """The symbols with names of each section, by their places."""
    symbols: dict[Section, list[Symbol]] = {}
    for symbol in obj.symbols:
        if isinstance(symbol.section, Section) and symbol.name and symbol.st_type is not SymbolType.SECTION:
            symbols.setdefault(symbol.section, []).append(symbol)
    for found in symbols.values():
        found.sort(key=lambda symbol: symbol.st_value)
    return symbols


def _removed_lines(linked: Linked) -> Iterator[str]:
    for removed in linked.removed:
        place = f"{removed.obj.name}:({removed.section.name}+{removed.start:#x})"
        yield f"  {removed.name:<{_NAME_WIDTH}} {removed.end - removed.start:>8}  {place}: {removed.reason}"


def _program_lines(output: ObjectFile) -> Iterator[str]:
    for program in programs_of(output):
        name = f"{program.function.section.name} {program.function.name}"
        called = ", ".join(f"{function.name} {function.slots}" for function in program.called)
        yield f"  {name:<{_NAME_WIDTH}} {program.function.slots:>8} {program.total:>8}  {called}"


def _symbol_lines(linked: Linked) -> Iterator[str]:
    # A static symbol may have the same name, and what was global may have become local: the place tells.
    outputs = {
        symbol.name: symbol
        for symbol in linked.output.symbols
        if (found := linked.table.resolutions.get(symbol.name)) and _is_at(symbol, found.symbol, linked.layout)
    }
    for name, symbol in sorted(outputs.items()):
        found = linked.table.resolutions[name]
        if isinstance(symbol.section, Section):
            where = f"{symbol.section.name}+{symbol.st_value:#x}"
        else:
            where = f"{symbol.st_value:#x}" if symbol.is_defined else "undefined"
        words = symbol.st_bind.name.lower()
        if symbol.st_visibility is not SymbolVisibility.DEFAULT:
            words = f"{words} {symbol.st_visibility.name.lower()}"
        source = found.obj.name if found.is_defined else f"for {found.obj.name}"
        yield f"  {name:<{_NAME_WIDTH}} {where:<{_NAME_WIDTH}} {symbol.st_size:>6}  {words:<8} {source}"


def _is_at(output: Symbol, symbol: Symbol, layout: Layout) -> bool:
    """Whether a symbol of the output lies where `symbol` of an input does there."""
    if not isinstance(symbol.section, Section):
        return output.section is symbol.section
    placement = layout.placements.get(symbol.section)
    return (
        placement is not None
        and output.section is placement.section
        and output.st_value == placement.at(symbol.st_value)
    )


def _type_lines(linked: Linked) -> Iterator[str]:
    if linked.types is not None:
        for name, count in linked.types.inputs.items():
            yield f"  {count:>8}  {name}"
        yield f"  {linked.types.before:>8}  in all inputs"
        yield f"  {linked.types.after:>8}  in the output, where equal ones are one"
