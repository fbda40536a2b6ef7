"""What the places of an object are called in the text of its disassembly.

A symbol keeps its name, in quotes where that is not a plain word. A place that an operand refers to and that has
no local symbol gets a generated label, `.L<section number>_<offset in hexadecimal>`. What refers to a place is
decided in `bpfas.objdump.operands`; where the labels are printed, in `bpfas.objdump.disassemble`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bpfas.elf.constants import SymbolBinding, SymbolType
from bpfas.objdump.directives import quoted
from bpfas.objfile import ObjectFile, Section, Symbol

if TYPE_CHECKING:
    from collections.abc import Callable

_LOCAL_PREFIX = ".L"
_NAME = re.compile(r"(?:[^\W\d]|[.$])[\w.$]*")
_RESERVED = re.compile(r"[rw]\d+|fp|pc|if|goto|ll|skb|\.", re.IGNORECASE)
"""Names that an operand would be taken for something else by: registers and the words of pseudo-C."""


_CONTROL = re.compile(r"[\0-\x1f]")


def written_name(name: str) -> str | None:
    """How a source names a symbol so, as a label and in every operand; None if it cannot."""
    if _NAME.fullmatch(name) and not _RESERVED.fullmatch(name):
        return name
    return None if name in ("", ".") or _CONTROL.search(name) else quoted(name)


def is_named(symbol: Symbol) -> bool:
    """Whether the symbol has a name of its own that a source could give it."""
    return symbol.st_type not in (SymbolType.SECTION, SymbolType.FILE)


class Labels:
    """The names of an object's symbols, and labels for its other places, made as they are asked for.

    `can_label` says whether a label can stand at an offset (bytes) of a section. `renamed` lists the symbols
    that could not keep their names, `anchors` the symbols that the text adds at a section's start.
    """

    def __init__(self, obj: ObjectFile, can_label: Callable[[Section, int], bool]) -> None:
        self.can_label = can_label
        self.renamed: list[Symbol] = []
        self.anchors: dict[Section, str] = {}
        self._section_numbers = {section: number for number, section in enumerate(obj.sections, 1)}
        self._taken = {symbol.name for symbol in obj.symbols}
        self._names: dict[Symbol, str] = {}
        self._local_symbols: dict[tuple[Section, int], list[Symbol]] = {}
        self._named_in: dict[Section, Symbol] = {}
        self._generated: dict[Section, dict[int, str]] = {}
        used: set[str] = set()
        for number, symbol in enumerate(filter(is_named, obj.symbols), 1):
            self._name(symbol, number, used)
            if isinstance(symbol.section, Section) and symbol.st_bind is SymbolBinding.LOCAL:
                self._local_symbols.setdefault((symbol.section, symbol.st_value), []).append(symbol)
                if not self._names[symbol].startswith(_LOCAL_PREFIX):
                    self._named_in.setdefault(symbol.section, symbol)

    def _name(self, symbol: Symbol, number: int, used: set[str]) -> None:
        name = written_name(symbol.name)
        if name is None or name in used:
            is_local = symbol.st_bind is SymbolBinding.LOCAL
            name = self._fresh(f"{_LOCAL_PREFIX if is_local else ''}symbol_{number}")
            self.renamed.append(symbol)
        used.add(name)
        self._names[symbol] = name

    def _fresh(self, name: str) -> str:
        while name in self._taken:
            name += "_"
        self._taken.add(name)
        return name

    def name_of(self, symbol: Symbol) -> str:
        """What the text calls a symbol that is neither a section's nor a file's."""
        return self._names[symbol]

    def generated(self, section: Section) -> dict[int, str]:
        """The labels made so far for the section, by offset in bytes."""
        return self._generated.get(section, {})

    def local(self, section: Section, offset: int) -> str:
        """A label at the offset that other objects cannot see: it stands for a place and not for a name."""
        for symbol in self._local_symbols.get((section, offset), ()):
            return self._names[symbol]
        return self._generate(section, offset)

    def _generate(self, section: Section, offset: int) -> str:
        labels = self._generated.setdefault(section, {})
        if offset not in labels:
            labels[offset] = self._fresh(f"{_LOCAL_PREFIX}{self._section_numbers[section]}_{offset:x}")
        return labels[offset]

    def _anchor(self, section: Section) -> str:
        if section not in self.anchors:
            self.anchors[section] = self._fresh(f"section_{self._section_numbers[section]}")
        return self.anchors[section]

    def expression(self, symbol: Symbol, addend: int, *, temporary: bool | None = None) -> str:
        """The operand for a symbol plus `addend` bytes.

        A section's symbol is written as a local label in the section. `temporary` asks for one that is no symbol
        of the object (True), or for one that is (False); if the section has none, the text adds one at its start.
        """
        if symbol.st_type is SymbolType.FILE:
            return str(symbol.st_value + addend)  # no source can name it; its value is a number
        if symbol.st_type is not SymbolType.SECTION:
            return self._names[symbol] + (f"{addend:+d}" if addend else "")
        section = symbol.section
        assert isinstance(section, Section)
        if temporary is False:
            if named := self._named_in.get(section):
                return self.expression(named, addend - named.st_value)
            return self._anchor(section) + (f"{addend:+d}" if addend else "")
        place = self._generate if temporary else self.local
        if self.can_label(section, addend):
            return place(section, addend)
        return f"{place(section, 0)}{addend:+d}"
