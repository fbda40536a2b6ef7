"""From a finished assembly to an object file: fixups settled, symbols chosen, relocations attached.

Shown are all symbols that have a name of their own (`.L…` only with `-L`), and the section symbols that
relocations need. Order: the file names, then the others as the source has named them first, sections among them,
as in LLVM (the writer puts locals first).
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from bpfas.asm.debug_sections import add_debug_sections
from bpfas.asm.expression import ExpressionError, resolve
from bpfas.asm.fixup import settle_fixups
from bpfas.asm.layout import lay_out
from bpfas.asm.relocation_directives import explicit_relocations
from bpfas.asm.symbol import LOCAL_PREFIX, AssemblySymbol, display_name
from bpfas.asm.symbol_versions import with_versions
from bpfas.elf.constants import WORD_SIZE, SectionFlag, SectionType, SymbolBinding, SymbolType, SymbolVisibility
from bpfas.isa import SLOT_SIZE
from bpfas.objfile import Group, ObjectFile, Relocation, Section, SpecialSection, Symbol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bpfas.asm.assembly import Assembly
    from bpfas.asm.section import LaidOutSection, SectionBuilder, SectionGroup
    from bpfas.diag import Diagnostics


def make_object(assembly: Assembly, name: str) -> ObjectFile:
    """The object file of a finished assembly. Raises BpfasError with all that was found wrong."""
    diagnostics = assembly.diagnostics
    _evaluate_at_the_end(assembly)
    _let_names_mean_sections(assembly)
    _let_weak_references_mean_definitions(assembly)
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
    links = {builder: _linked_section(builder, diagnostics) for builder in laid_out}

    # What is referred to is in the object even if it holds nothing.
    targets = {relocation.target for relocations in pending.values() for relocation in relocations}
    targets |= {_signature(group) for group in assembly.groups.values() if group.signature.is_defined}
    targets |= {_shown(symbol) for symbol in _address_significant(assembly) if symbol.is_temporary}
    homes = {_home(target) for target in targets if isinstance(target, AssemblySymbol)}
    homes |= {_home(symbol) for symbol in assembly.symbols.symbols.values() if _has_name(symbol, assembly)}
    needed = targets | homes | set(links.values())
    sections = {
        builder: _section(section)
        for builder, section in laid_out.items()
        if section.size or pending[builder] or builder in needed
    }
    groups = _group_sections(sections)
    symbols = _symbols(assembly, sections, groups, targets)
    diagnostics.raise_if_errors()
    _warn_of_broken_code(laid_out.values(), diagnostics)

    # From here on everything that the object refers to is known.
    for builder, relocations in pending.items():
        sections_relocations = [
            Relocation(relocation.r_offset, relocation.r_type, symbols[relocation.target])
            for relocation in relocations
        ]
        if sections_relocations:
            sections[builder].relocations = sections_relocations
    for builder, section in sections.items():
        linked_to = links[builder]
        if linked_to is not None:
            section.link_order = sections[linked_to]
    for group, group_section in groups.items():
        members = [section for builder, section in sections.items() if builder.group is group]
        group_section.group = Group(symbols[_signature(group)], members, group.is_comdat)
    in_order = _with_groups_before_members(sections, groups)
    if assembly.lists_address_significant:
        listed = [symbols[shown] for shown in map(_shown, _address_significant(assembly)) if shown in symbols]
        in_order.append(
            Section(".llvm_addrsig", SectionType.LLVM_ADDRSIG, SectionFlag.EXCLUDE, listed_symbols=listed)
        )
    files = [Symbol(file_name, SpecialSection.ABS, st_type=SymbolType.FILE) for file_name in assembly.file_names]
    return ObjectFile(name, assembly.order, in_order, [*files, *dict.fromkeys(symbols.values())])


def _symbols(
    assembly: Assembly,
    sections: dict[SectionBuilder, Section],
    groups: dict[SectionGroup, Section],
    targets: set[AssemblySymbol | SectionBuilder],
) -> dict[AssemblySymbol | SectionBuilder, Symbol]:
    """The object's symbols; those of sections stand where the source has come to the section first."""
    symbols: dict[AssemblySymbol | SectionBuilder, Symbol] = {}
    waiting = deque(sorted((s for s in sections if s in targets), key=lambda builder: builder.symbols_before))
    for number, symbol in enumerate(assembly.symbols.symbols.values()):
        while waiting and waiting[0].symbols_before <= number:
            builder = waiting.popleft()
            symbols[builder] = Symbol("", sections[builder], st_type=SymbolType.SECTION)
        if symbol in targets or _is_shown(symbol, assembly):
            try:
                shown = _symbol(symbol, sections)
                shown.st_size = _size(symbol, assembly)
                symbols[symbol], *further = with_versions(symbol, shown)
                symbols |= {AssemblySymbol(another.name): another for another in further}
            except ExpressionError as error:
                assembly.diagnostics.error(f"{display_name(symbol)}: {error}", symbol.definition)
        elif not symbol.is_defined and symbol.name in assembly.groups and assembly.groups[symbol.name] in groups:
            symbols[symbol] = Symbol(symbol.name, groups[assembly.groups[symbol.name]])
    for name, reference in assembly.weak_references.items():
        if reference in targets:
            weak = Symbol(name, st_bind=SymbolBinding.WEAK)
            symbols[reference] = symbols.get(assembly.symbols.named(name), weak)
    for builder in waiting:
        symbols[builder] = Symbol("", sections[builder], st_type=SymbolType.SECTION)
    return symbols


def _is_shown(symbol: AssemblySymbol, assembly: Assembly) -> bool:
    """Whether the object has the symbol even if nothing refers to it."""
    if symbol.is_weak_reference or not (symbol.is_defined or _is_undefined_symbol(symbol)):
        return False
    if not _has_name(symbol, assembly):
        return False
    if symbol.binding not in (None, SymbolBinding.LOCAL) or symbol.expression is None:
        return True
    try:
        other = resolve(symbol).symbol
    except ExpressionError:
        return True  # reported where the symbol is made
    if other is None:
        return not assembly.strips_local_absolute
    return other.is_defined  # uses of a name for a symbol that is not defined here are uses of that one


def _is_undefined_symbol(symbol: AssemblySymbol) -> bool:
    """Whether what is declared of an undefined symbol shows it, as `.extern` and `.local` do not."""
    is_bound = symbol.binding not in (None, SymbolBinding.LOCAL)
    return is_bound or bool(symbol.st_type) or symbol.visibility is not SymbolVisibility.DEFAULT


def _has_name(symbol: AssemblySymbol, assembly: Assembly) -> bool:
    """Whether the symbol table may have it by its own name."""
    is_kept = assembly.keeps_local_labels and symbol.name.startswith(LOCAL_PREFIX) and not symbol.is_section
    return is_kept or not symbol.is_temporary


def _address_significant(assembly: Assembly) -> list[AssemblySymbol]:
    """The symbols of `.addrsig_sym`, if `.addrsig` asks for them at all; labels must be defined."""
    if not assembly.lists_address_significant:
        return []
    return [symbol for symbol in assembly.address_significant if symbol.section or not symbol.is_temporary]


def _shown(symbol: AssemblySymbol) -> AssemblySymbol | SectionBuilder:
    """What stands for `symbol` in the symbol table: for a temporary one in a section that section."""
    return symbol.section if symbol.is_temporary and symbol.section else symbol


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


def _warn_of_broken_code(sections: Iterable[LaidOutSection], diagnostics: Diagnostics) -> None:
    """Warn of sections with instructions and something else, such as a stray `.byte`, that no loader takes."""
    for section in sections:
        if section.builder.is_code and section.size % SLOT_SIZE:
            diagnostics.warning(
                f"section `{section.builder.name}` is for code, but its {section.size} bytes are no whole number "
                f"of {SLOT_SIZE}-byte instructions",
                section.builder.opened_at,
            )


def _evaluate_at_the_end(assembly: Assembly) -> None:
    """Give symbols whose expression is evaluated at each use the value that the last one would see."""
    for symbol in assembly.symbols.symbols.values():
        if symbol.evaluated_at_use is not None:
            try:
                symbol.expression = assembly.binder.bind(*symbol.evaluated_at_use)
            except ExpressionError as error:
                assembly.diagnostics.error(f"{symbol.name}: {error}", symbol.definition)


def _let_weak_references_mean_definitions(assembly: Assembly) -> None:
    """Let `.weakref` of a symbol that is defined here mean that symbol."""
    for name, reference in assembly.weak_references.items():
        symbol = assembly.symbols.symbols.get(name)
        if symbol is not None and symbol.is_defined:
            reference.expression = symbol


def _let_names_mean_sections(assembly: Assembly) -> None:
    """Let names that nothing else defines mean sections, as in `.long .debug_abbrev`."""
    for section in assembly.sections.values():
        symbol = assembly.symbols.symbols.get(section.name)
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
            if not symbol.size:
                symbol.size, symbol.size_at = target.size, target.size_at
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
        builder.sh_info,
    )


def _linked_section(builder: SectionBuilder, diagnostics: Diagnostics) -> SectionBuilder | None:
    """The section that the one of `builder` goes with, if any."""
    link_order = builder.link_order
    if link_order is None:
        return None
    found = _home(link_order.symbol)
    if found is None:
        name = display_name(link_order.symbol)
        diagnostics.error(
            f"section `{builder.name}` is to go with `{name}`, which is neither a section nor in one",
            link_order.statement.span_of(link_order.node),
        )
    return found


def _signature(group: SectionGroup) -> AssemblySymbol | SectionBuilder:
    """What stands in the symbol table for a group's signature, which may be the name of a section."""
    symbol = group.signature
    return symbol.section if symbol.is_section and symbol.section else symbol


def _group_sections(sections: dict[SectionBuilder, Section]) -> dict[SectionGroup, Section]:
    """A section for each group that has one of `sections`; what it says is filled in when symbols are known."""
    used = dict.fromkeys(builder.group for builder in sections if builder.group is not None)
    return {group: Section(".group", SectionType.GROUP, 0, WORD_SIZE, WORD_SIZE) for group in used}


def _with_groups_before_members(
    sections: dict[SectionBuilder, Section], groups: dict[SectionGroup, Section]
) -> list[Section]:
    """All sections, each group just before its first member (gABI: a group's index is less than its members')."""
    in_order: dict[Section, None] = {}
    for builder, section in sections.items():
        if builder.group is not None:
            in_order.setdefault(groups[builder.group])
        in_order[section] = None
    return list(in_order)


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
            other = display_name(value.symbol)
            what = "in the object" if symbol.binding is None else symbol.binding.name.lower()
            raise ExpressionError(f"is set to `{other}`, which is not defined here, so it cannot be {what}")
        before = -(value.symbol.position + value.constant)
        raise ExpressionError(f"is set to {before} bytes before the start of section `{place.name}`")
    if symbol.section is not None:
        shown.section, shown.st_value = sections[symbol.section], symbol.position
    return shown


def _size(symbol: AssemblySymbol, assembly: Assembly) -> int:
    try:
        return _checked_size(symbol)
    except ExpressionError as error:
        message, at = f"{display_name(symbol)}: {error}", symbol.size_at or symbol.definition
        if assembly.checks_sizes:
            assembly.diagnostics.error(message, at)
        else:
            assembly.diagnostics.warning(f"{message}; it gets the size 0", at)
        return 0


def _checked_size(symbol: AssemblySymbol) -> int:
    value = resolve(symbol.size)
    if value.symbol is not None:
        raise ExpressionError(f"its size is not a number but the address of `{display_name(value.symbol)}`")
    if value.constant < 0:
        raise ExpressionError(f"its size is {value.constant}, which is negative")
    return value.constant
