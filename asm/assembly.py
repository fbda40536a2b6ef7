"""The state of one assembly: its sections, its symbols, where the next byte goes, and what was found wrong.

Statements change it through the methods here, which check what any statement must not do (define a symbol twice,
put data into .bss). Which statement does what is said by `bpfas.asm.assembler` and the directive tables.
"""

from __future__ import annotations

import contextlib
import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from bpfas.asm.debug import DebugInformation
from bpfas.asm.expression import Binder, Bound, ExpressionError, resolve
from bpfas.asm.files import SourceFiles
from bpfas.asm.fixup import DATA8, DATA16, DATA32, DATA64, Fixup, FixupError, check_number
from bpfas.asm.fragment import FragmentError, checked_size, only_zero
from bpfas.asm.options import Options
from bpfas.asm.section import SectionBuilder, SectionKey, default_attributes
from bpfas.asm.statement import (
    Directive,
    Expression,
    Label,
    SectionName,
    Statement,
    String,
    SymbolName,
)
from bpfas.asm.strings import name_text, string_bytes
from bpfas.asm.symbol import AssemblySymbol, SymbolTable
from bpfas.diag import Diagnostics, Span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfas.asm.fragment import Fragment
    from bpfas.asm.listing import ListingRecord
    from bpfas.asm.relocation_directives import ExplicitRelocation
    from bpfas.asm.section import SectionGroup, Subsection
    from bpfas.asm.statement import Argument, Node
    from bpfas.elf.constants import ByteOrder

DATA_FIXUPS = {1: DATA8, 2: DATA16, 4: DATA32, 8: DATA64}
"""What a datum of so many bytes waits for when it has a symbol."""


class StatementError(ValueError):
    """What is wrong with a statement; `node` is the part at fault, `notes` are further lines."""

    def __init__(self, message: str, node: Node | Label | None = None, notes: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.node = node
        self.notes = notes


class Assumption(NamedTuple):
    """The number that a distance in the source had when a statement that needs a number was read."""

    bound: Bound
    number: int
    statement: Statement
    node: Node


@dataclass(eq=False, slots=True)
class Assembly:
    """What the statements so far have made.

    `assumptions` are numbers that statements have used before the layout was known. `address_significant` are the
    symbols of `.addrsig_sym`, which the object lists if `lists_address_significant`; `has_ident` says whether
    there was an `.ident`. `weak_references` are what `.weakref` refers to, by name: the symbol of that name if it
    is defined or used otherwise, and a weak undefined one if not. `listing` records what a listing will show, if
    one is wanted.
    """

    options: Options = field(default_factory=Options)
    diagnostics: Diagnostics = field(default_factory=Diagnostics)
    symbols: SymbolTable = field(default_factory=SymbolTable)
    sections: dict[SectionKey, SectionBuilder] = field(default_factory=dict)
    groups: dict[str, SectionGroup] = field(default_factory=dict)
    subsection: Subsection = field(init=False)
    section_stack: list[tuple[Subsection, Subsection | None]] = field(default_factory=list)
    previous: Subsection | None = None
    file_names: list[str] = field(default_factory=list)
    assumptions: list[Assumption] = field(default_factory=list)
    relocations: list[ExplicitRelocation] = field(default_factory=list)
    debug: DebugInformation = field(default_factory=DebugInformation)
    files: SourceFiles = field(init=False)
    address_significant: list[AssemblySymbol] = field(default_factory=list)
    lists_address_significant: bool = False
    has_ident: bool = False
    weak_references: dict[str, AssemblySymbol] = field(default_factory=dict)
    listing: ListingRecord | None = None

    def __post_init__(self) -> None:
        self.files = SourceFiles(self.options.include_directories)
        self.subsection = self.section_named(".text").subsection(0)

    @property
    def order(self) -> ByteOrder:
        """The byte order of the object."""
        return self.options.byte_order

    @property
    def section(self) -> SectionBuilder:
        """The current section."""
        return self.subsection.section

    @property
    def binder(self) -> Binder:
        """Binds expressions that stand at the end of the current section."""
        return Binder(self.symbols, self.subsection)

    def section_named(self, name: str) -> SectionBuilder:
        """The section called `name` of which nothing else is said, made if it is new."""
        return self.section_by(SectionKey(name))

    def section_by(self, key: SectionKey) -> SectionBuilder:
        """The section that `key` tells from others, made with its name's attributes if it is new."""
        section = self.sections.get(key)
        if section is None:
            sh_type, sh_flags = default_attributes(key.name)
            section = SectionBuilder(key.name, sh_type, sh_flags, symbols_before=len(self.symbols.symbols))
            self.sections[key] = section
            if section.is_code:
                section.sh_addralign = 8
        return section

    @contextlib.contextmanager
    def elsewhere(self, name: str) -> Iterator[None]:
        """Put what is appended in between into the section called `name`, as if it were not the source's text."""
        current, location = self.subsection, self.debug.location
        self.subsection = self.section_named(name).subsection(0)
        try:
            yield
        finally:
            self.subsection, self.debug.location = current, location

    def switch_to(self, subsection: Subsection) -> None:
        """Make `subsection` the current one."""
        self.previous, self.subsection = self.subsection, subsection

    # Symbols

    def define_label(self, label: Label, statement: Statement) -> None:
        """Define a label at the end of the current section."""
        name = statement.texts[label.slot]
        if label.is_numeric:
            numeric = self.symbols.next_numeric(name)
            if numeric is None:
                raise StatementError(f"label `{name}` is defined already since the last ordinary label", label)
            symbol = numeric
        else:
            symbol = self._symbol_called(_unquoted(name, label), label)
            self.symbols.end_dollar_labels(symbol)
            self.refuse_redefinition(symbol, label)
            symbol.defined_at = statement.span_of(label)
        self.define_at_end(symbol)
        if self.debug.marks_labels:
            self.debug.mark_label()
            self.place_location()

    def define_at_end(self, symbol: AssemblySymbol) -> None:
        """Give `symbol`, which is not defined yet, the place at the end of the current section."""
        symbol.subsection = self.subsection
        symbol.offset, symbol.after = self.subsection.place

    def refuse_redefinition(self, symbol: AssemblySymbol, node: Node | Label | None) -> None:
        """Raise StatementError, with the first place, if `symbol` has a value already."""
        if symbol.is_defined:
            notes = (f"first defined at {symbol.definition.place}",) if symbol.definition else ()
            raise StatementError(f"symbol `{symbol.name}` is already defined", node, notes)

    def set_expression(self, symbol: AssemblySymbol, value: Bound, span: Span) -> None:
        """Let `symbol` stand for `value`; a symbol that is no label may be set again.

        What has named it before goes on to mean the value it had then.
        """
        if symbol.subsection is not None or symbol.common_alignment is not None or symbol.is_final:
            self.refuse_redefinition(symbol, None)
        if symbol.expression is not None:
            symbol = self.symbols.symbols[symbol.name] = dataclasses.replace(symbol)
        symbol.expression, symbol.defined_at = value, span

    # Contents

    def append(self, data: bytes) -> None:
        """Put instructions or data at the end of the current section; the source location that waits is theirs.

        Raises StatementError where they cannot be.
        """
        self.place_location()
        self._put(data)

    def _put(self, data: bytes) -> None:
        subsection = self.subsection
        if subsection.section.is_nobits:
            if any(data):
                raise StatementError(only_zero(self.section))
            subsection.nobits_size += len(data)
        else:
            subsection.data += data

    def place_location(self) -> None:
        """Let the source location that waits, if one does, be that of the end of the current section.

        Line tables speak of code only.
        """
        debug = self.debug
        if debug.location is not None and self.section.is_code:
            debug.rows.setdefault(self.subsection, []).append((*self.subsection.place, debug.location))
        debug.location = None

    def place_source_line(self, statement: Statement) -> None:
        """With -g, let the line of `statement` be that of the end of the current section.

        With `.loc` in the source its rows are the only ones.
        """
        debug = self.debug
        if debug.source_lines is not None and self.section.is_code and not debug.rows:
            debug.source_lines.add(self.subsection, statement.source, statement.start)

    def append_fill(self, count: int, unit: bytes, node: Node | None = None) -> None:
        """Put `unit` `count` times at the end of the current section."""
        subsection = self.subsection
        try:
            size = checked_size(count * len(unit), subsection.size, subsection.section)
        except FragmentError as error:
            raise StatementError(str(error), node) from error
        if not subsection.section.is_nobits:
            self._put(unit * count)
        elif size:
            self._put(unit)  # which cannot be if it is not zero
            subsection.nobits_size += size - len(unit)

    def append_fragment(self, fragment: Fragment) -> None:
        """Put a fragment, which begins at the end of the current section, with the size that it would have now."""
        subsection = self.subsection
        fragment.section, fragment.start = subsection.section, subsection.size
        try:
            size = fragment.wanted_size(subsection.size)
            checked_size(size, subsection.size, subsection.section)
        except FragmentError as error:
            raise StatementError(str(error), fragment.node) from error
        except ExpressionError:
            size = 0  # something in it is not known yet
        fragment.read_size = fragment.size = size
        if subsection.section.is_nobits:
            with contextlib.suppress(ExpressionError, FragmentError):  # reported by the layout
                if not fragment.is_zero:
                    raise StatementError(only_zero(subsection.section), fragment.node)
            subsection.nobits_size += size
        elif size:
            contents = bytes(size)
            with contextlib.suppress(ExpressionError, FragmentError):  # reported by the layout
                contents = fragment.contents()
            self._put(contents)
        subsection.fragments.append(fragment)

    def append_number(self, expression: Expression, width: int, statement: Statement) -> None:
        """Put the value of `expression` in `width` bytes at the end of the current section."""
        bound = self.binder.bind(expression, statement)
        if isinstance(bound, int):
            try:
                check_number(bound, 8 * width)
            except FixupError as error:
                raise StatementError(str(error), expression) from error
            self.append((bound & (1 << 8 * width) - 1).to_bytes(width, self.order.name_for_int))
            return
        if self.section.is_nobits:
            raise StatementError(
                f"section `{self.section.name}` is @nobits, so it can hold no address", expression
            )
        offset, after = self.subsection.place
        self.subsection.fixups.append(Fixup(DATA_FIXUPS[width], offset, bound, statement, expression, after))
        self.append(bytes(width))

    # Arguments of directives

    def number(self, argument: Argument, statement: Statement, what: str) -> int:
        """The value of an argument that must be a number known here. Raises StatementError."""
        bound = self.bound(argument, statement, what)
        if isinstance(bound, int):
            return bound
        try:
            value = resolve(bound)
        except ExpressionError as error:
            raise StatementError(str(error), error.node or argument) from error
        if value.symbol is not None:
            raise StatementError(f"{what} must be a number that is known here", argument)
        self.assumptions.append(Assumption(bound, value.constant, statement, argument))
        return value.constant

    def bound(self, argument: Argument, statement: Statement, what: str) -> Bound:
        """An argument that must be an expression, whose value may be found later. Raises StatementError."""
        if not isinstance(argument, Expression):
            raise StatementError(f"{what} must be a number", argument)
        try:
            return self.binder.bind(argument, statement)
        except ExpressionError as error:
            raise StatementError(str(error), error.node or argument) from error

    def name(self, argument: Argument, statement: Statement) -> str:
        """The name that an argument spells, as it is or as a string. Raises StatementError."""
        match argument:
            case SymbolName(slot) | String(slot) | SectionName(slot):
                name = _unquoted(statement.texts[slot], argument)
            case _:
                raise StatementError("a name is needed here", argument)
        if self.options.substitutes_section_names and isinstance(argument, SectionName):
            name = name.replace("%S", self.section.name)
        return name

    def symbol(self, argument: Argument, statement: Statement) -> AssemblySymbol:
        """The symbol that an argument names. Raises StatementError."""
        return self._symbol_called(self.name(argument, statement), argument)

    def _symbol_called(self, name: str, node: Node | Label) -> AssemblySymbol:
        if name == ".":
            raise StatementError("`.` is no symbol", node)
        return self.symbols.named(name)

    def string(self, argument: Argument, statement: Statement) -> bytes:
        """The bytes of a string argument. Raises StatementError."""
        if not isinstance(argument, String):
            raise StatementError('a string in quotes is needed here, such as "text"', argument)
        return string_bytes(statement.texts[argument.slot])


def _unquoted(text: str, node: Node | Label) -> str:
    """A name as it is, or without its quotes. Raises StatementError."""
    try:
        return name_text(text)
    except ValueError as error:
        raise StatementError(str(error), node) from error


def need_arguments(directive: Directive, least: int = 1, most: int | None = None) -> None:
    """Raise StatementError unless the directive has `least` to `most` arguments."""
    count = len(directive.arguments)
    if count < least or (most is not None and count > most):
        wanted = f"{least}" if least == most else f"{least} to {most}" if most else f"at least {least}"
        noun = "argument" if wanted in ("1", "at least 1") else "arguments"
        raise StatementError(f"{directive.name} takes {wanted} {noun}, not {count}")
