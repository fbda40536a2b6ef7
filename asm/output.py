"""From a finished assembly to an object file: fixups settled, symbols chosen, relocations attached.

Shown are all symbols that have a name of their own (`.L…` only with `-L`), and the section symbols that
relocations need. Order: the file names, then section symbols and local symbols, then the others (the writer puts
locals first).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpfas.asm.debug_sections import add_debug_sections
from bpfas.asm.expression import ExpressionError, resolve
from bpfas.asm.fixup import settle_fixups
from bpfas.asm.layout import lay_out
from bpfas.asm.relocation_directives import explicit_relocations
from bpfas.asm.symbol import LOCAL_PREFIX, AssemblySymbol, display_name
from bpfas.elf.constants import SymbolBinding, SymbolType
from bpfas.isa import SLOT_SIZE
from bpfas.objfile import ObjectFile, Relocation, Section, SpecialSection, Symbol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bpfas.asm.assembly import Assembly
    from bpfas.asm.section import LaidOutSection, SectionBuilder
    from bpfas.diag import Diagnostics


def make_object(assembly: Assembly, name: str) -> ObjectFile:
    """The object file of a finished assembly. Raises BpfasError with all that was found wrong."""
    diagnostics = assembly.diagnostics
    _let_names_mean_sections(assembly)
    laid_out = {
        section.builder: section for section in lay_out(assembly.sections.values(), assembly.order, diagnostics)
    }
    _check_assumptions(assembly)
    add_debug_sections(assembly, laid_out)
    _let_names_mean_sections(assembly)
    _place_aliases(assembly)
    pending = {
        builder: settle_fixups(section, assembly.order, diagnostics) for builder, section in laid_out.items()
    }
    for builder, relocation in explicit_relocations(assembly, laid_out):
        pending[builder].append(relocation)
    if assembly.listing is not None:
        assembly.listing.contents = {builder: bytes(section.data) for builder, section in laid_out.items()}
    targets = {relocation.target for relocations in pending.values() for relocation in relocations}
    shown = [symbol for symbol in assembly.symbols.symbols.values() if _is_shown(symbol, assembly)]
    homes = {_home(symbol) for symbol in shown}
    sections = {
        builder: _section(section)
        for builder, section in laid_out.items()
        if section.size or pending[builder] or builder in targets or builder in homes
    }
    symbols: dict[AssemblySymbol | SectionBuilder, Symbol] = {}
    for builder, section in sections.items():
        if builder in targets:
            symbols[builder] = Symbol("", section, st_type=SymbolType.SECTION)
    wanted = targets.union(symbol for symbol in shown if symbol.is_defined or symbol.is_declared)
    for symbol in assembly.symbols.symbols.values():
        if symbol in wanted:
            try:
                symbols[symbol] = _symbol(symbol, sections)
                symbols[symbol].st_size = _size(symbol, assembly)
            except ExpressionError as error:
                diagnostics.error(f"{display_name(symbol)}: {error}", symbol.definition)
    diagnostics.raise_if_errors()
    _warn_of_broken_code(laid_out.values(), diagnostics)
    for builder, relocations in pending.items():
        sections_relocations = [
            Relocation(relocation.r_offset, relocation.r_type, symbols[relocation.target])
            for relocation in relocations
        ]
        if sections_relocations:
            sections[builder].relocations = sections_relocations
    files = [Symbol(file_name, SpecialSection.ABS, st_type=SymbolType.FILE) for file_name in assembly.file_names]
    return ObjectFile(name, assembly.order, list(sections.values()), [*files, *symbols.values()])


def _check_assumptions(assembly: Assembly) -> None:
    """Report numbers that statements have used while reading and that are others now."""
    for assumption in assembly.assumptions:
        number = resolve(assumption.bound).constant
        if number != assumption.number:
            assembly.diagnostics.error(
                f"this was taken for {assumption.number}, but is {number} because something in between has become "
                "longer, such as a jump that does not reach",
                assumption.statement.span_of(assumption.node),
            )


def _is_shown(symbol: AssemblySymbol, assembly: Assembly) -> bool:
    """Whether the symbol table shall have it, if it means something and whether a relocation names it or not."""
    is_kept = assembly.keeps_local_labels and symbol.name.startswith(LOCAL_PREFIX) and not symbol.is_section
    if symbol.is_temporary and not is_kept:
        return False
    is_local = symbol.binding in (None, SymbolBinding.LOCAL)
    return not (assembly.strips_local_absolute and is_local and _is_number(symbol))


def _is_number(symbol: AssemblySymbol) -> bool:
    try:
        return symbol.expression is not None and resolve(symbol).symbol is None
    except ExpressionError:
        return False  # reported where the symbol is made


def _warn_of_broken_code(sections: Iterable[LaidOutSection], diagnostics: Diagnostics) -> None:
    """Warn of sections with instructions and something else, such as a stray `.byte`, that no loader takes."""
    for section in sections:
        if section.builder.is_code and section.size % SLOT_SIZE:
            diagnostics.warning(
                f"section `{section.builder.name}` is for code, but its {section.size} bytes are no whole number "
                f"of {SLOT_SIZE}-byte instructions",
                section.builder.opened_at,
            )


def _let_names_mean_sections(assembly: Assembly) -> None:
    """Let names that nothing else defines mean sections, as in `.long .debug_abbrev`."""
    for name, section in assembly.sections.items():
        symbol = assembly.symbols.symbols.get(name)
        if symbol is not None and not symbol.is_defined and not symbol.is_declared:
            symbol.subsection, symbol.is_section = section.subsection(0), True


def _place_aliases(assembly: Assembly) -> None:
    """Give symbols that are set to a place in a section that place: they are symbols of their own from here on."""
    for symbol in assembly.symbols.symbols.values():
        if symbol.expression is None or isinstance(symbol.expression, int):
            continue
        try:
            value = resolve(symbol)
        except ExpressionError:
            continue  # reported when the symbol is shown
        target = value.symbol
        if target is not None and target.section is not None and target.position + value.constant >= 0:
            symbol.subsection, symbol.offset, symbol.after = target.subsection, target.offset, target.after
            symbol.displacement = target.displacement + value.constant
            symbol.st_type = symbol.st_type or target.st_type
            symbol.expression = None


def _section(section: LaidOutSection) -> Section:
    builder = section.builder
    return Section(
        builder.name,
        builder.sh_type,
        int(builder.sh_flags),
        builder.sh_addralign,
        builder.sh_entsize,
        bytes(section.data),
        section.nobits_size,
    )


def _home(symbol: AssemblySymbol) -> SectionBuilder | None:
    """The section that `symbol` lies in, itself or as another name for a place there."""
    if symbol.expression is None:
        return symbol.section
    try:
        other = resolve(symbol).symbol
    except ExpressionError:
        return None  # reported where the symbol is made
    return other.section if other else None


def _symbol(symbol: AssemblySymbol, sections: dict[SectionBuilder, Section]) -> Symbol:
    shown = Symbol(
        symbol.name,
        st_bind=symbol.binding or (SymbolBinding.LOCAL if symbol.is_defined else SymbolBinding.GLOBAL),
        st_type=symbol.st_type,
        st_visibility=symbol.visibility,
    )
    if symbol.common_alignment is not None:
        shown.section, shown.st_value = SpecialSection.COMMON, symbol.common_alignment
        return shown
    if symbol.expression is not None:
        value = resolve(symbol)
        if value.symbol is None:
            shown.section, shown.st_value = SpecialSection.ABS, value.constant & (1 << 64) - 1
            return shown
        # A place in a section would have become the symbol's own.
        place = value.symbol.section
        if place is None:
            raise ExpressionError(f"is set to `{display_name(value.symbol)}`, which is not defined here")
        before = -(value.symbol.position + value.constant)
        raise ExpressionError(f"is set to {before} bytes before the start of section `{place.name}`")
    if symbol.section is not None:
        shown.section, shown.st_value = sections[symbol.section], symbol.position
    return shown


def _size(symbol: AssemblySymbol, assembly: Assembly) -> int:
    try:
        return _checked_size(symbol)
    except ExpressionError as error:
        if assembly.checks_sizes:
            raise
        assembly.diagnostics.warning(f"{display_name(symbol)}: {error}; it gets the size 0", symbol.definition)
        return 0


def _checked_size(symbol: AssemblySymbol) -> int:
    value = resolve(symbol.size)
    if value.symbol is not None:
        raise ExpressionError(f"its size is not a number but the address of `{display_name(value.symbol)}`")
    if value.constant < 0:
        raise ExpressionError(f"its size is {value.constant}, which is negative")
    return value.constant
