"""What each global name of the link stands for: one winner among all its definitions and references.

Local symbols take no part: their names may repeat. Which names may stay undefined is `bpfas.link.undefined`, what
is said of several definitions `bpfas.link.duplicates`, where the winners come to lie `bpfas.link.layout`. Source:
gABI chapter 4, symbol binding and visibility.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, NamedTuple

from bpfas.elf.constants import SectionFlag, SectionType, SymbolBinding, SymbolType, SymbolVisibility
from bpfas.link.layout import is_kept_once
from bpfas.objfile import ObjectFile, Section, SpecialSection, Symbol
from bpfas.section_names import JUMP_TABLES_SECTION

if TYPE_CHECKING:
    from collections.abc import Sequence, Set

    from bpfas.elf.constants import ByteOrder

_COMMONS_NAME = "common symbols"


class Strength(enum.IntEnum):
    """How a symbol fares against others of its name: the greater wins, and of two equals the first."""

    UNDEFINED = 0
    WEAK = 1
    COMMON = 2
    STRONG = 3

    @classmethod
    def of(cls, symbol: Symbol) -> Strength:
        """The strength of `symbol`."""
        if symbol.section is SpecialSection.UNDEF:
            return cls.UNDEFINED
        if symbol.section is SpecialSection.COMMON:
            return cls.COMMON
        return cls.WEAK if symbol.st_bind is SymbolBinding.WEAK else cls.STRONG


# gABI: of several visibilities the most constraining one holds.
_CONSTRAINT = (
    SymbolVisibility.DEFAULT,
    SymbolVisibility.PROTECTED,
    SymbolVisibility.HIDDEN,
    SymbolVisibility.INTERNAL,
)


def takes_part(symbol: Symbol) -> bool:
    """Whether a symbol competes for its name with those of other objects.

    Clang calls the jump tables of all objects alike and makes them global; each is its object's own all the same.
    """
    if symbol.st_bind is SymbolBinding.LOCAL:
        return False
    return not (isinstance(symbol.section, Section) and symbol.section.name == JUMP_TABLES_SECTION)


class Mention(NamedTuple):
    """A global or weak symbol of an object: a definition of its name, or a reference to it."""

    obj: ObjectFile
    symbol: Symbol


class Resolution:
    """What a name stands for.

    `symbol` of `obj` gives section, value, size and type. The binding is GLOBAL if the winner is, or if any
    reference is (libbpf's rule), but not in a partial link. The visibility is the most
    constraining one of all. `mentions` are all symbols that compete for the name, in their order.
    """

    __slots__ = ("is_needed", "mentions", "obj", "st_bind", "st_visibility", "symbol")

    def __init__(self, obj: ObjectFile, symbol: Symbol) -> None:
        self.obj = obj
        self.symbol = symbol
        self.st_bind = symbol.st_bind
        self.st_visibility = symbol.st_visibility
        self.mentions = [Mention(obj, symbol)]
        self.is_needed = True
        """False for a name without definition that only code used which the output goes without."""

    @property
    def is_defined(self) -> bool:
        """Whether any object defines the name."""
        return self.symbol.is_defined


class SymbolTable:
    """Every global and weak name of the link, in order of first appearance, and what it stands for.

    References to a name in `wrapped` mean `__wrap_` and the name; `__real_` and the name means the name itself. In
    the output of a `partial` link weak definitions stay weak, for a strong one may come with the next.
    """

    def __init__(self, wrapped: Set[str] = frozenset(), *, partial: bool = False) -> None:
        self.wrapped = wrapped
        self.partial = partial
        self.resolutions: dict[str, Resolution] = {}
        self.duplicates: dict[str, list[Mention]] = {}

    def name_of(self, symbol: Symbol) -> str:
        """The name that a global or weak symbol of an input competes for."""
        name = symbol.name
        if self.wrapped and not symbol.is_defined:
            if name in self.wrapped:
                return f"__wrap_{name}"
            real = name.removeprefix("__real_")
            if real != name and real in self.wrapped:
                return real
        return name

    def resolution_of(self, symbol: Symbol) -> Resolution | None:
        """What the name of an input's symbol stands for; None for one that is its object's own matter."""
        return self.resolutions[self.name_of(symbol)] if takes_part(symbol) else None

    def add(self, obj: ObjectFile, symbol: Symbol) -> None:
        """Let `symbol` of `obj` compete for its name."""
        name = self.name_of(symbol)
        found = self.resolutions.get(name)
        if found is None:
            self.resolutions[name] = Resolution(obj, symbol)
            return
        found.mentions.append(Mention(obj, symbol))
        if symbol.st_visibility is not found.st_visibility:
            found.st_visibility = max(found.st_visibility, symbol.st_visibility, key=_CONSTRAINT.index)
        old, new = Strength.of(found.symbol), Strength.of(symbol)
        if new > old:
            found.obj, found.symbol = obj, symbol
        if self.partial and found.is_defined:
            found.st_bind = found.symbol.st_bind
        elif symbol.st_bind is SymbolBinding.GLOBAL:
            found.st_bind = SymbolBinding.GLOBAL
        if new == old and new is Strength.COMMON:
            found.symbol = Symbol(
                name,
                SpecialSection.COMMON,
                max(found.symbol.st_value, symbol.st_value),  # the alignment
                max(found.symbol.st_size, symbol.st_size),
                SymbolBinding.GLOBAL,
                SymbolType.OBJECT,
            )
        if new == old and new is Strength.STRONG and not _are_one_definition(found.symbol, symbol):
            self.duplicates.setdefault(name, [Mention(found.obj, found.symbol)]).append(Mention(obj, symbol))

    def override(self, obj: ObjectFile, symbol: Symbol) -> None:
        """Let `symbol` of `obj` win its name, whatever else defines it."""
        self.add(obj, symbol)
        self.duplicates.pop(symbol.name, None)
        found = self.resolutions[symbol.name]
        found.obj, found.symbol = obj, symbol


def _are_one_definition(first: Symbol, second: Symbol) -> bool:
    """Whether both lie at the same place of a section of which the output keeps one copy."""
    return (
        isinstance(first.section, Section)
        and isinstance(second.section, Section)
        and first.section.name == second.section.name
        and is_kept_once(first.section)
        and first.st_value == second.st_value
    )


def resolve(
    objects: Sequence[ObjectFile],
    discarded: Set[Section] = frozenset(),
    wrapped: Set[str] = frozenset(),
    *,
    partial: bool = False,
) -> SymbolTable:
    """The symbol table of `objects`; the order of the objects decides between equals.

    A definition in one of the `discarded` sections counts as a reference. For `wrapped` and
    `partial` see SymbolTable.
    """
    table = SymbolTable(wrapped, partial=partial)
    for obj in objects:
        for symbol in obj.symbols:
            if not takes_part(symbol):
                continue
            if symbol.section in discarded:
                reference = Symbol(symbol.name, st_bind=symbol.st_bind, st_visibility=symbol.st_visibility)
                table.add(obj, reference)
            else:
                table.add(obj, symbol)
    return table


def allocate_commons(table: SymbolTable, order: ByteOrder) -> ObjectFile | None:
    """An object whose .bss gives room to every common symbol that won its name, or None if there is none.

    The table's resolutions then lead to that object's symbols.
    """
    winners = [found for found in table.resolutions.values() if Strength.of(found.symbol) is Strength.COMMON]
    if not winners:
        return None
    bss = Section(".bss", SectionType.NOBITS, SectionFlag.ALLOC | SectionFlag.WRITE)
    commons = ObjectFile(_COMMONS_NAME, order, [bss])
    for found in winners:
        alignment = max(1, found.symbol.st_value)
        st_value = bss.nobits_size + -bss.nobits_size % alignment
        bss.nobits_size = st_value + found.symbol.st_size
        bss.sh_addralign = max(bss.sh_addralign, alignment)
        symbol = Symbol(found.symbol.name, bss, st_value, found.symbol.st_size, found.st_bind, SymbolType.OBJECT)
        found.obj, found.symbol = commons, symbol
        commons.symbols.append(symbol)
    return commons
