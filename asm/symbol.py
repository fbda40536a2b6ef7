"""The symbols of an assembly: where they are defined, what directives said of them, and numeric labels.

Symbols come into being when they are first named. Which of them an object shows, and how, is decided in
`bpfas.asm.output`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from bpfas.diag import Span
from bpfas.elf.constants import SymbolBinding, SymbolType, SymbolVisibility

if TYPE_CHECKING:
    from bpfas.asm.expression import Bound
    from bpfas.asm.section import SectionBuilder, Subsection
    from bpfas.asm.statement import Expression, Statement
    from bpfas.asm.symbol_versions import SymbolVersion

LOCAL_PREFIX = ".L"
"""What the names of labels begin with that are no symbols of the object."""


class LabelOrigin(Protocol):
    """What can find out where a label stands."""

    def label_span(self) -> Span:
        """The label in its source."""
        ...


@dataclass(eq=False, slots=True)
class AssemblySymbol:
    """A name. It is defined by a place, by an expression, or by `.comm`.

    The place is `offset` bytes of what was read of `subsection`, behind `after` of its fragments. Another name for
    a place, set by an expression, is `displacement` bytes away from it. `evaluated_at_use` is the expression of
    `.eqv`, which means something else in each place, with its statement; `is_weak_reference` says that `.weakref`
    has made the name. `size_at` is where the `size` was given.
    """

    name: str
    subsection: Subsection | None = None
    offset: int = 0
    after: int = 0
    displacement: int = 0
    expression: Bound | None = None
    evaluated_at_use: tuple[Expression, Statement] | None = None
    common_alignment: int | None = None
    binding: SymbolBinding | None = None
    visibility: SymbolVisibility = SymbolVisibility.DEFAULT
    st_type: SymbolType = SymbolType.NOTYPE
    size: Bound = 0
    size_at: Span | None = None
    is_declared: bool = False
    is_section: bool = False
    is_final: bool = False
    is_weak_reference: bool = False
    versions: tuple[SymbolVersion, ...] = ()
    defined_at: Span | LabelOrigin | None = None

    @property
    def section(self) -> SectionBuilder | None:
        """The section that its place lies in."""
        return None if self.subsection is None else self.subsection.section

    @property
    def position(self) -> int:
        """Where in its section it lies by the layout so far, in bytes; its subsection must not be None."""
        assert self.subsection is not None
        return self.subsection.position(self.offset, self.after) + self.displacement

    @property
    def is_plain_label(self) -> bool:
        """Whether it is a place, and no directive has said anything of it; so are nearly all of many symbols."""
        return (
            self.subsection is not None
            and not self.is_declared
            and self.expression is None
            and self.binding is None
            and self.size == 0
            and not (self.st_type or self.versions or self.is_section or self.is_weak_reference)
        )

    @property
    def definition(self) -> Span | None:
        """Where it is defined, if that is in a source."""
        at = self.defined_at
        return at if at is None or isinstance(at, Span) else at.label_span()

    @property
    def is_defined(self) -> bool:
        """Whether this assembly gives it a value."""
        return self.subsection is not None or self.expression is not None or self.common_alignment is not None

    @property
    def is_temporary(self) -> bool:
        """Whether it is for the assembler only: `.L…`, a numeric label, `.`, or the name of a section."""
        return self.is_section or self.name.startswith((LOCAL_PREFIX, "\1"))

    @property
    def is_shown_by_name(self) -> bool:
        """Whether relocations name it rather than its section."""
        return not self.is_defined or self.binding in (SymbolBinding.GLOBAL, SymbolBinding.WEAK)


def here(subsection: Subsection) -> AssemblySymbol:
    """The symbol `.`: the place at the end of a subsection."""
    return AssemblySymbol("\1.", subsection, *subsection.place)


@dataclass(eq=False, slots=True)
class SymbolTable:
    """All symbols by name, in the order in which they were first named."""

    symbols: dict[str, AssemblySymbol] = field(default_factory=dict)
    _numeric_counts: dict[str, int] = field(default_factory=dict)
    _dollar_labels: set[str] = field(default_factory=set)

    def named(self, name: str) -> AssemblySymbol:
        """The symbol called `name`, made if it is new."""
        symbol = self.symbols.get(name)
        if symbol is None:
            symbol = self.symbols[name] = AssemblySymbol(name)
        return symbol

    def next_numeric(self, number: str) -> AssemblySymbol | None:
        """A new symbol for the numeric label `number:`; None for a `1$:` that is defined already.

        `1$` is one label from one ordinary label to the next.
        """
        if number.endswith("$"):
            number = _without_zeros(number)
            if number in self._dollar_labels:
                return None
            self._dollar_labels.add(number)
        count = self._numeric_counts[number] = self._numeric_counts.get(number, 0) + 1
        return self.named(_numeric_name(number, count))

    def numeric(self, number: str, *, is_forward: bool) -> AssemblySymbol | None:
        """The symbol that `1f`, `1b` or `1$` means here; None for `1b` where no `1:` came before."""
        if number.endswith("$"):
            number = _without_zeros(number)
            is_forward = number not in self._dollar_labels
        count = self._numeric_counts.get(number, 0) + is_forward
        return self.named(_numeric_name(number, count)) if count else None

    def end_dollar_labels(self, label: AssemblySymbol) -> None:
        """Behind an ordinary label, `1$` means another label."""
        if self._dollar_labels and not label.is_temporary:
            self._dollar_labels.clear()


def _without_zeros(number: str) -> str:
    return number[:-1].lstrip("0") + "$"


def _numeric_name(number: str, count: int) -> str:
    # No source can spell this name; messages show the part before the second control character.
    return f"\1{number}\2{count}"


def display_name(symbol: AssemblySymbol) -> str:
    """The symbol's name for a message."""
    return symbol.name.lstrip("\1").partition("\2")[0]
