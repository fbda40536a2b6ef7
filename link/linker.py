"""Object files to one object file: the passes of a link, in order.

The result is relocatable, as all BPF objects are: what the loader must resolve (maps, data, functions of
other sections, the kernel's symbols) keeps its relocations. Reading, writing and the command line are others'.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bpfas.diag import BpfasError, Diagnostics, Severity
from bpfas.link.checks import check_code, check_compression, check_symbols, check_types
from bpfas.link.declarations import match_declarations
from bpfas.link.definitions import define_symbols
from bpfas.link.duplicates import report_duplicates
from bpfas.link.gc import removed_functions, warn_if_no_code_stays
from bpfas.link.groups import discarded_sections, warn_of_ended_groups
from bpfas.link.holes import Holes
from bpfas.link.layout import lay_out
from bpfas.link.options import DEFAULT_OPTIONS, LinkOptions, Strip, Unresolved
from bpfas.link.output_symbols import kept_symbols, localized_names, make_symbols
from bpfas.link.relocate import relocate
from bpfas.link.symtab import allocate_commons, resolve
from bpfas.link.types import exception_callbacks, kernel_externs, merge_types, read_types
from bpfas.link.undefined import drop_unneeded, report_undefined
from bpfas.objfile import ObjectFile

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence, Set

    from bpfas.link.archive import Member
    from bpfas.link.gc import Removed
    from bpfas.link.layout import Layout
    from bpfas.link.symtab import SymbolTable
    from bpfas.link.types import TypeCounts
    from bpfas.objfile import Section


class Linked(NamedTuple):
    """A link's output and how it came about: the objects that took part, winners, places, and what was left."""

    output: ObjectFile
    objects: list[ObjectFile]
    table: SymbolTable
    layout: Layout
    removed: list[Removed]
    types: TypeCounts | None
    open_names: list[str]


def link(
    objects: Sequence[ObjectFile],
    name: str = "a.out",
    options: LinkOptions = DEFAULT_OPTIONS,
    diagnostics: Diagnostics | None = None,
) -> ObjectFile:
    """The output of `link_objects`, which says the rest."""
    return link_objects(objects, name, options, diagnostics).output


def link_objects(
    objects: Sequence[ObjectFile],
    name: str = "a.out",
    options: LinkOptions = DEFAULT_OPTIONS,
    diagnostics: Diagnostics | None = None,
    members_left_out: Callable[[str], Sequence[Member]] = lambda _: (),
) -> Linked:
    """The object called `name` that joins `objects`, in their order, and how it came about.

    The objects are left as they are. `members_left_out` gives the members of archives that define a name and do
    not take part, for messages.

    Warnings are added to `diagnostics`. Raises BpfasError with every error of the link.
    """
    diagnostics = Diagnostics() if diagnostics is None else diagnostics

    # Only objects of one byte order can be joined.
    _check_byte_order(objects)

    # Types speak of the whole object. From here on those that there are, are sound.
    units = read_types(objects, diagnostics)
    diagnostics.raise_if_errors()

    # What an object says of its own places must be so, whatever the others are.
    check_compression(objects, options.strip, diagnostics)
    check_symbols(objects, diagnostics)
    check_code(objects, diagnostics)
    check_types(units, diagnostics)
    diagnostics.raise_if_errors()

    # Of section groups that several objects have, one is enough; the others' symbols are references to it.
    discarded = discarded_sections(objects)
    if options.partial:
        warn_of_ended_groups(objects, diagnostics)

    # Let every global and weak name have one winner.
    table = resolve(objects, discarded, options.wrapped, partial=options.partial)

    # Common symbols get room in .bss, and the command line has the last word on what a name stands for. From here
    # on every definition lies in a section or is a number.
    order = objects[0].byte_order
    inputs = [
        *objects,
        *filter(
            None,
            (
                allocate_commons(table, order),
                define_symbols(options.definitions, order, table, diagnostics),
            ),
        ),
    ]

    # Two strong definitions of a name are a mistake.
    if not options.allow_multiple_definition:
        report_duplicates(table.duplicates, diagnostics)
    _report_missing_roots(table, options, diagnostics)

    # One VAR or FUNC describes each name, and all objects must mean the same by it.
    declarations = match_declarations(units, table, diagnostics)

    # Leave out the functions that nothing needs any more.
    removed = removed_functions(inputs, table, discarded, options, exception_callbacks(units))
    if options.gc_functions:
        warn_if_no_code_stays(inputs, discarded, removed, diagnostics)
    holes = Holes(removed)
    drop_unneeded(objects, table, discarded, holes)

    # A name that is used must be defined, unless it may be left to the loader.
    if options.unresolved is not Unresolved.IGNORE:
        severity = Severity.ERROR if options.unresolved is Unresolved.ERROR else Severity.WARNING
        report_undefined(
            objects, table, discarded, holes, kernel_externs(units), severity, members_left_out, diagnostics
        )

    # Let debugging information speak of what is left only.
    adjusted = _adjusted_debug_info(removed, discarded, options, diagnostics)

    # Join the sections of each name. From here on every offset is final, and no more contents are added.
    layout = lay_out(inputs, options, discarded, removed, adjusted, diagnostics)
    diagnostics.raise_if_errors()

    # Make the output's symbols. From here on the inputs' symbols are only keys to them.
    localized = localized_names(table, options)
    symbols, mapping = make_symbols(inputs, table, layout, localized)

    # Bring addends up to date, and settle the calls whose way is known.
    symbols += relocate(inputs, layout, table, mapping, diagnostics)
    diagnostics.raise_if_errors()

    # Merge the types, and make what they say about places anew.
    type_sections, types = merge_types(units, inputs, table, declarations, layout, holes, mapping, localized)
    output = ObjectFile(
        name,
        objects[0].byte_order,
        [*layout.sections, *type_sections],
        symbols,
        max(obj.e_flags for obj in objects),  # GNU as puts the ISA version there: the highest is needed
    )

    # Leave out the symbols that nobody needs, if that is asked for.
    output.symbols = kept_symbols(output, options)
    open_names = [symbol.name for symbol in symbols if not symbol.is_defined]
    return Linked(output, inputs, table, layout, removed, types, open_names)


def _adjusted_debug_info(
    removed: Sequence[Removed], discarded: Set[Section], options: LinkOptions, diagnostics: Diagnostics
) -> Mapping[Section, Section]:
    if not removed or options.strip >= Strip.DEBUG:
        return {}
    # Most links remove nothing, and need not wait for this.
    from bpfas.link.debug_info import adjust_debug_info

    return adjust_debug_info(removed, discarded, diagnostics)


def _check_byte_order(objects: Sequence[ObjectFile]) -> None:
    if not objects:
        raise BpfasError.of("no input files")
    first = objects[0]
    diagnostics = Diagnostics()
    for obj in objects[1:]:
        if obj.byte_order is not first.byte_order:
            diagnostics.error(
                f"is {obj.byte_order.name_for_int}-endian, but {first.name} is "
                f"{first.byte_order.name_for_int}-endian; compile both for the same target",
                obj.name,
            )
    diagnostics.raise_if_errors()


def _report_missing_roots(table: SymbolTable, options: LinkOptions, diagnostics: Diagnostics) -> None:
    for name in options.roots:
        if name not in table.resolutions or not table.resolutions[name].is_defined:
            diagnostics.error(f"no object defines {name}, which -e asks for")
