"""The types of the inputs (BTF): read, joined by the names they belong to, and merged into the output's.

Before the layout, `read_types` and `match_declarations` (`bpfas.link.declarations`) find what is wrong with them;
behind it, `merge_types` makes the sections `.BTF` and `.BTF.ext`, in which every place is final. What equal types
are is `bpfas.btf`'s part.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bpfas.btf.ext import read_btf_ext, write_btf_ext
from bpfas.btf.kernel_rules import with_named_parameters, with_single_encodings
from bpfas.btf.kinds import Kind, Linkage
from bpfas.btf.merge import merge
from bpfas.btf.reader import read_all
from bpfas.diag import BpfasError
from bpfas.link.btf_ext import merge_ext
from bpfas.link.datasecs import Datasecs
from bpfas.link.holes import Address
from bpfas.link.untyped import describe_untyped
from bpfas.objfile import Section
from bpfas.section_names import BTF_EXT_SECTION, BTF_SECTION, KCONFIG_SECTION, KSYMS_SECTION, MAPS_SECTION

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bpfas.btf.btf import Btf
    from bpfas.btf.ext import BtfExt
    from bpfas.btf.merge import Merged
    from bpfas.diag import Diagnostics
    from bpfas.link.declarations import Declarations, TypeKey
    from bpfas.link.holes import Holes
    from bpfas.link.layout import Layout
    from bpfas.link.symtab import SymbolTable
    from bpfas.objfile import ObjectFile, Relocation, Symbol

_ALIGNMENT = 8
_EXCEPTION_CALLBACK = "exception_callback:"
_KERNEL_SECTIONS = frozenset({KSYMS_SECTION, KCONFIG_SECTION})


# Which of several types of one name describes it.
_PREFERENCE = {Linkage.STATIC: 0, Linkage.EXTERN: 1, Linkage.GLOBAL: 2}


class TypeCounts(NamedTuple):
    """How many types each typed input has, how many they have together, and how many the output has."""

    inputs: dict[str, int]
    before: int
    after: int


class Unit:
    """The types of one object, and which of them its global names have.

    `section` is the `.BTF` that they were read from, None for types made here. `ext` is None without `.BTF.ext`.
    """

    __slots__ = ("_by_name", "_symbols", "btf", "ext", "obj", "relocations", "section")

    def __init__(self, obj: ObjectFile, section: Section | None, btf: Btf, ext: BtfExt | None) -> None:
        self.obj = obj
        self.section = section
        self.relocations: dict[int, Relocation] | None = None
        """The relocations of `section` by place, once somebody asked for them."""
        self.btf = btf
        self.ext = ext
        self._symbols: dict[tuple[Section, str], Symbol] = {}
        self._by_name: dict[str, int] = {}
        for kind in (Kind.FUNC, Kind.VAR):
            for type_id in btf.ids_of_kind(kind):
                name, linkage = btf.name(type_id), btf.linkage(type_id)
                known = self._by_name.get(name)
                if known is None or _PREFERENCE[linkage] > _PREFERENCE[btf.linkage(known)]:
                    self._by_name[name] = type_id

    def function_named(self, name: str) -> int | None:
        """The FUNC of that name, static or not."""
        type_id = self._by_name.get(name)
        return type_id if type_id is not None and self.btf.kind(type_id) is Kind.FUNC else None

    def type_of(self, symbol: Symbol) -> int | None:
        """The VAR or FUNC of a global symbol of the object: a definition rather than a declaration.

        GCC 12 gives every FUNC the linkage of a static one.
        """
        type_id = self._by_name.get(symbol.name)
        if type_id is None or self.btf.linkage(type_id) is not Linkage.STATIC:
            return type_id
        return type_id if self.btf.kind(type_id) is Kind.FUNC else None

    def symbol_in(self, section: Section, name: str) -> Symbol | None:
        """The first symbol in a section of the object whose variable has this name."""
        if not self._symbols:
            for symbol in self.obj.symbols:
                if isinstance(symbol.section, Section):
                    # GCC numbers the static variables of functions: `name.0`.
                    self._symbols.setdefault((symbol.section, symbol.name.partition(".")[0]), symbol)
        return self._symbols.get((section, name))


def read_types(objects: Sequence[ObjectFile], diagnostics: Diagnostics) -> list[Unit]:
    """The types of those `objects` that have any; what is wrong with them goes to `diagnostics`."""
    typed: list[tuple[ObjectFile, Section]] = []
    for obj in objects:
        section, ext_section = obj.section(BTF_SECTION), obj.section(BTF_EXT_SECTION)
        if section is None:
            if ext_section is not None:
                diagnostics.error(
                    "says what types instructions have, but there is no .BTF", f"{obj.name}:(.BTF.ext)"
                )
            if obj.section(MAPS_SECTION):
                diagnostics.warning(
                    "maps in section .maps are described by types, and there are none; compile with -g "
                    "(gcc: -gbtf)",
                    obj.name,
                )
        else:
            typed.append((obj, section))
    try:
        all_types = read_all([(bytes(section.data), obj.byte_order, obj.name) for obj, section in typed])
    except BpfasError as error:
        diagnostics.items += error.diagnostics
        return []
    units: list[Unit] = []
    for (obj, section), btf in zip(typed, all_types, strict=True):
        ext_section = obj.section(BTF_EXT_SECTION)
        try:
            ext = None
            if ext_section is not None:
                ext = read_btf_ext(bytes(ext_section.data), obj.byte_order, btf, obj.name)
        except BpfasError as error:
            diagnostics.items += error.diagnostics
        else:
            units.append(Unit(obj, section, with_single_encodings(btf), ext))
    return units


def kernel_externs(units: Sequence[Unit]) -> set[str]:
    """The names that the loader will find in the kernel: those in the DATASECs `.ksyms` and `.kconfig`."""
    return {
        unit.btf.name(entry.type_id)
        for unit in units
        for datasec in unit.btf.ids_of_kind(Kind.DATASEC)
        if unit.btf.name(datasec) in _KERNEL_SECTIONS
        for entry in unit.btf.entries(datasec)
    }


def exception_callbacks(units: Sequence[Unit]) -> set[str]:
    """The names of the functions that programs name as their exception callbacks, by a tag."""
    return {
        text.removeprefix(_EXCEPTION_CALLBACK)
        for unit in units
        for tag in unit.btf.ids_of_kind(Kind.DECL_TAG)
        if (text := unit.btf.name(tag)).startswith(_EXCEPTION_CALLBACK)
    }


def merge_types(
    units: Sequence[Unit],
    objects: Sequence[ObjectFile],
    table: SymbolTable,
    declarations: Declarations,
    layout: Layout,
    holes: Holes,
    symbols: dict[Symbol, Symbol],
    localized: frozenset[str],
) -> tuple[list[Section], TypeCounts | None]:
    """The sections `.BTF` and `.BTF.ext` of the output, and the counts of types; nothing if no input has types.

    `symbols` leads from the inputs' symbols to the output's, whose places are final.
    """
    if not units:
        return [], None
    order = units[0].obj.byte_order
    untyped = describe_untyped(units, objects, table, declarations, layout, symbols)
    every_unit = [*units, *(Unit(obj, None, btf, ext) for obj, btf, ext in untyped)]
    replaced: list[dict[int, TypeKey | None]] = [{} for _ in every_unit]
    for losing, winning in declarations.replaced.items():
        replaced[losing[0]][losing[1]] = winning
    for name, (number, type_id) in declarations.winners.items():
        found = table.resolutions[name]
        home = found.symbol.section
        is_removed = isinstance(home, Section) and holes.cover(Address(home, found.symbol.st_value))
        if is_removed or not found.is_needed:
            replaced[number][type_id] = None
    datasecs = Datasecs(every_unit, table, declarations, layout, symbols)
    for number, unit in enumerate(every_unit):
        gone = replaced[number]
        gone.update(dict.fromkeys(unit.btf.ids_of_kind(Kind.DATASEC)))
        gone.update(dict.fromkeys(datasecs.dropped(number)))
        # GCC 12 writes some; kernels refuse them.
        gone.update(dict.fromkeys(func for func in unit.btf.ids_of_kind(Kind.FUNC) if not unit.btf.name(func)))
        gone.update(dict.fromkeys(_removed_functions(unit, number, holes, declarations)))
        for tag in unit.btf.ids_of_kind(Kind.DECL_TAG):
            if gone.get(unit.btf.size_or_type(tag), tag) is None:
                gone[tag] = None

    open_names = {
        winner for name, winner in declarations.winners.items() if not table.resolutions[name].is_defined
    }
    sources = [
        with_named_parameters(
            unit.btf,
            (
                func
                for func in unit.btf.ids_of_kind(Kind.FUNC)
                if func not in replaced[number] and (number, func) not in open_names
            ),
        )
        for number, unit in enumerate(every_unit)
    ]
    merged = merge(sources, replaced)
    _settle_linkages(merged, declarations, table, localized)
    datasecs.add_to(merged)
    ext = merge_ext(every_unit, merged, layout)
    # Names of sections are added to the strings here, so that only then the types can be written.
    ext_data = write_btf_ext(ext, order, merged.string) if any(ext) else b""
    sections = [Section(BTF_SECTION, sh_addralign=_ALIGNMENT, data=merged.write(order))]
    if ext_data:
        sections.append(Section(BTF_EXT_SECTION, sh_addralign=_ALIGNMENT, data=ext_data))
    counts = {unit.obj.name: len(unit.btf) for unit in units}
    return sections, TypeCounts(counts, sum(len(unit.btf) for unit in units), len(merged))


def _removed_functions(unit: Unit, number: int, holes: Holes, declarations: Declarations) -> list[int]:
    """The FUNCs of the unit's object whose code the output goes without, unless others take their place.

    Several functions may have one FUNC, so it is what `.BTF.ext` says of each that counts.
    """
    if not holes:
        return []
    described: dict[bool, set[int]] = {True: set(), False: set()}
    for name, records in unit.ext.func_info.items() if unit.ext is not None else ():
        section = unit.obj.section(name)
        step = records.record_size // 4
        for offset, type_id in zip(records.words[::step], records.words[1::step], strict=True):
            described[section is not None and holes.cover(Address(section, offset))].add(type_id)
    return [
        type_id
        for type_id in described[True] - described[False]
        if (number, type_id) not in declarations.replaced and not declarations.is_winner((number, type_id))
    ]


def _settle_linkages(
    merged: Merged, declarations: Declarations, table: SymbolTable, localized: frozenset[str]
) -> None:
    """Say of each name whether it is still a declaration, and whether others may refer to it.

    A function that only declarations of other objects describe counts as static: the verifier then looks at it
    where it is called, instead of by itself with whatever a declaration allows.
    """
    for name, (unit, type_id) in declarations.winners.items():
        found = table.resolutions[name]
        output_id = merged.ids[unit][type_id]
        if not found.is_defined or not output_id:
            continue
        if name in localized:
            merged.set_linkage(output_id, Linkage.STATIC)
        elif declarations.describes_untyped(name, found):
            is_function = declarations.kind(name) is Kind.FUNC
            merged.set_linkage(output_id, Linkage.STATIC if is_function else Linkage.GLOBAL)
