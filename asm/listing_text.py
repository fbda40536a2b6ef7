"""The text of a listing: sources with the final offsets and bytes, pages, symbols; close to GNU as's format.

What was read is recorded by `bpfas.asm.listing`, what is to be shown is said by `bpfas.asm.listing_options`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bpfas.asm.listing import Edict, ReadStatement, ReadText
from bpfas.elf.constants import SymbolType
from bpfas.objfile import Section, SpecialSection

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bpfas.asm.listing import ListingRecord
    from bpfas.asm.listing_options import ListingOptions
    from bpfas.asm.symbol import SymbolTable
    from bpfas.diag import Source
    from bpfas.objfile import ObjectFile, Symbol

_WORD = 4
"""Bytes that are shown without a blank between them."""

_PROGRAM = "bpf-as"

_DEFAULT_PAGE_LENGTH = 60

_LINES_OF_HEAD = 3


@dataclass(slots=True)
class _Line:
    """A line of a source, of the file `file`, with the statements whose bytes stand beside it."""

    file: str
    number: int
    text: str
    statements: list[ReadStatement] = field(default_factory=list)


@dataclass(slots=True)
class _Stretch:
    """Bytes that lie one behind the other from `offset` of a section on, as far as they are shown."""

    offset: int
    data: bytes


def listing_text(record: ListingRecord, obj: ObjectFile, symbols: SymbolTable, options: ListingOptions) -> str:
    """The listing of an assembly that has become `obj`."""
    first_file = record.texts[0].source.name if record.texts else ""
    pages = _Pages(first_file, is_continuous="n" in options.forms)
    if "g" in options.forms:
        pages.add(options.facts)
    if options.shows_source:
        lines = [line for text in record.texts for line in _lines_of_file(text, options)]
        pages.titles.update(_first_titles(lines))
        _add_source(pages, lines, record, options)
    if "s" in options.forms:
        if options.shows_source:
            pages.begin_page()
        pages.add(_symbol_lines(obj, symbols))
    return pages.text


# Which lines there are


def _lines_of_file(text: ReadText, options: ListingOptions) -> Iterator[_Line]:
    """The lines of a file that were read, each followed by what was read because of it."""
    items = _items_by_line(text)
    left_out = _lines_left_out(text) if "c" in options.forms else frozenset()
    for number in range(1, _last_line(text) + 1):
        if number not in left_out:
            line = _Line(text.source.name, number, text.source.line_text(number))
            found = items.get(number, [])
            if "d" not in options.forms or not _is_debugging(found):
                yield from _with_expansions(line, found, options, 1)


def _with_expansions(
    line: _Line, items: list[ReadStatement | ReadText], options: ListingOptions, depth: int
) -> Iterator[_Line]:
    """A line with its statements, and behind it what was read because of it: expansions, and included files."""
    if "m" not in options.forms:
        items = _without_expansions(items)
    line.statements = [item for item in items if isinstance(item, ReadStatement)]
    yield line
    for text in items:
        if isinstance(text, ReadText) and text.is_expansion:
            yield from _lines_of_expansion(text, line, options, depth)
        elif isinstance(text, ReadText):
            yield from _lines_of_file(text, options)


def _without_expansions(items: Iterable[ReadStatement | ReadText]) -> list[ReadStatement | ReadText]:
    """The items, with what expansions contain in place of them."""
    found: list[ReadStatement | ReadText] = []
    for item in items:
        if isinstance(item, ReadText) and item.is_expansion:
            found += _without_expansions(item.items)
        else:
            found.append(item)
    return found


def _lines_of_expansion(text: ReadText, call: _Line, options: ListingOptions, depth: int) -> Iterator[_Line]:
    """The lines of an expansion, which have the number of the call."""
    items = _items_by_line(text)
    for number in range(1, _last_line(text) + 1):
        shown = text.source.line_text(number)
        if shown.strip():
            indent = " " if shown[0].isspace() else ""
            line = _Line(call.file, call.number, f"{'>' * depth} {indent}{shown.strip()}")
            yield from _with_expansions(line, items.get(number, []), options, depth + 1)


def _items_by_line(text: ReadText) -> dict[int, list[ReadStatement | ReadText]]:
    items: dict[int, list[ReadStatement | ReadText]] = {}
    for item in text.items:
        if item.start is not None:
            items.setdefault(_line_of(text.source, item.start), []).append(item)
    return items


def _line_of(source: Source, offset: int) -> int:
    return source.line_and_column(offset)[0]


def _last_line(text: ReadText) -> int:
    source = text.source
    if text.end is not None:
        return _line_of(source, text.end)
    return source.text.count("\n") + (source.text[-1:] not in ("", "\n"))


def _lines_left_out(text: ReadText) -> frozenset[int]:
    """The lines between the directives of conditions whose branches were not read."""
    return frozenset(
        number
        for start, end in text.passed_over
        for number in range(_line_of(text.source, start) + 1, _line_of(text.source, end))
    )


def _is_debugging(items: list[ReadStatement | ReadText]) -> bool:
    return bool(items) and all(isinstance(item, ReadStatement) and item.is_debugging for item in items)


def _first_titles(lines: Iterable[_Line]) -> dict[Edict, str]:
    """The first title and subtitle, which the first page has already."""
    titles: dict[Edict, str] = {}
    for edict, value in (pair for line in lines for statement in line.statements for pair in statement.edicts):
        if edict in (Edict.TITLE, Edict.SUBTITLE):
            titles.setdefault(edict, str(value))
    return titles


# Lines and their bytes


def _add_source(pages: _Pages, lines: Iterable[_Line], record: ListingRecord, options: ListingOptions) -> None:
    """Add all lines that `.list` and `.nolist` leave."""
    enabled = 1
    for line in lines:
        edicts = [edict for statement in line.statements for edict in statement.edicts]
        for edict, _ in edicts:
            enabled += (edict is Edict.LIST) - (edict is Edict.NOLIST)
        if enabled > 0:
            pages.file = line.file
            pages.add(_rows(line, record, options))
        for edict, value in edicts:
            pages.obey(edict, value)


def _rows(line: _Line, record: ListingRecord, options: ListingOptions) -> Iterator[str]:
    """The line with its first bytes, and lines with the further ones."""
    width = 2 * _WORD * options.words + options.words
    most = _WORD * (options.words + options.continuation_lines * options.continued_words)
    rows: list[tuple[str, bytes]] = []
    for stretch in _stretches(line.statements, record, most):
        size = _WORD * (options.words if not rows else options.continued_words)
        rows.append((f"{stretch.offset:04x}", stretch.data[:size]))
        rest = stretch.data[size:]
        step = _WORD * options.continued_words
        rows += [("    ", rest[at : at + step]) for at in range(0, len(rest), step)]
    offset, data = rows[0] if rows else ("    ", b"")
    # Without bytes, GNU as has a blank less before the tab.
    yield f"{line.number:4} {offset} {_words(data):{width - (not rows)}}\t{line.text[: options.source_width]}"
    for offset, data in rows[1 : 1 + options.continuation_lines]:
        yield f"{line.number:4} {offset} {_words(data)}"


def _words(data: bytes) -> str:
    return data.hex(" ", -_WORD).upper() if data else ""


def _stretches(statements: Iterable[ReadStatement], record: ListingRecord, most: int) -> list[_Stretch]:
    """What the statements have become, as far as up to `most` bytes of it are shown."""
    stretches: list[_Stretch] = []
    place = None
    for statement in statements:
        subsection = statement.subsection
        start, end = subsection.position(*statement.first), subsection.position(*statement.last)
        if start == end:
            continue
        if place != (subsection.section, start):
            stretches.append(_Stretch(start, b""))
        shown = min(end, start + most - len(stretches[-1].data))
        if subsection.section.is_nobits:
            stretches[-1].data += bytes(shown - start)
        else:
            stretches[-1].data += record.contents[subsection.section][start:shown]
        place = (subsection.section, end)
    return stretches


# Symbols


def _symbol_lines(obj: ObjectFile, symbols: SymbolTable) -> Iterator[str]:
    named = [symbol for symbol in obj.symbols if symbol.st_type not in (SymbolType.FILE, SymbolType.SECTION)]
    defined = [symbol for symbol in named if symbol.section is not SpecialSection.UNDEF]
    undefined = [symbol for symbol in named if symbol.section is SpecialSection.UNDEF]
    yield "DEFINED SYMBOLS" if defined else "NO DEFINED SYMBOLS"
    for symbol in defined:
        known = symbols.symbols.get(symbol.name)
        file, line = "", ""
        if known is not None and known.definition is not None:
            file, line, _ = known.definition.place.rsplit(":", 2)
        place = f"{file:>20}:{line:<5}" if file else " " * 26
        yield f"{place}  {_section_and_value(symbol)} {symbol.name}"
    yield ""
    yield "UNDEFINED SYMBOLS" if undefined else "NO UNDEFINED SYMBOLS"
    for symbol in undefined:
        yield symbol.name


def _section_and_value(symbol: Symbol) -> str:
    match symbol.section:
        case SpecialSection.COMMON:
            return f"*COM*:{symbol.st_size:016x}"
        case Section(name=name):
            return f"{name}:{symbol.st_value:016x}"
    return f"*ABS*:{symbol.st_value:016x}"


# Pages


@dataclass(slots=True)
class _Pages:
    """Lines divided into pages, each with a head of three lines, unless the listing is continuous."""

    file: str
    is_continuous: bool
    titles: dict[Edict, str] = field(default_factory=dict)
    length: int = _DEFAULT_PAGE_LENGTH
    page: int = 0
    _lines: list[str] = field(default_factory=list)
    _on_page: int = 0

    @property
    def text(self) -> str:
        """All lines."""
        return "".join(f"{line}\n" for line in self._lines)

    def add(self, lines: Iterable[str]) -> None:
        """Add lines to the current page, and to new ones behind it."""
        for line in lines:
            is_full = self.length and self._on_page >= max(self.length, _LINES_OF_HEAD + 1)
            if not self.is_continuous and (not self._on_page or is_full):
                self._add_head()
            self._lines.append(line)
            self._on_page += 1

    def begin_page(self) -> None:
        """Let what comes next be at the head of a page."""
        self._on_page = 0

    def obey(self, edict: Edict, value: str | int) -> None:
        """Do what a directive says about pages."""
        match edict, value:
            case ((Edict.TITLE | Edict.SUBTITLE), str()):
                self.titles[edict] = value
            case Edict.EJECT, _:
                self.begin_page()
            case Edict.PAGE_LENGTH, int():
                self.length = value

    def _add_head(self) -> None:
        self.page += 1
        feed = "\f" if self.page > 1 else ""
        self._lines.append(f"{feed}{_PROGRAM}  {self.file} \t\t\tpage {self.page}")
        self._lines += [self.titles.get(Edict.TITLE, ""), self.titles.get(Edict.SUBTITLE, "")]
        self._on_page = _LINES_OF_HEAD
