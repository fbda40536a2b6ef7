"""The array maps that hold global data, one for each data section that is not empty, and the variables in them.

Variables come from the section's DATASEC, and those that BTF does not know from the symbol table. User space may
map the data into its memory if BTF knows a variable that the object does not keep to itself.
Source: libbpf 1.8.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from bpfas.elf.constants import SectionType, SymbolBinding, SymbolType
from bpfas.loader.image.datasecs import datasec_named, section_variables
from bpfas.loader.kinds import NO_MAP_FLAGS, MapFlag, MapType
from bpfas.loader.spec import KERNEL_NAME_LENGTH, MapSpec, Variable, kernel_name
from bpfas.objfile import place

if TYPE_CHECKING:
    from bpfas.btf.btf import Btf
    from bpfas.diag import Diagnostics
    from bpfas.loader.image.datasecs import SectionVariable
    from bpfas.objfile import ObjectFile, Section, Symbol

_LARGEST_VALUE = (1 << 32) - 1


class DataSectionKind(NamedTuple):
    """What sections called `stem`, or `stem.` and anything, become."""

    stem: str
    map_flags: MapFlag = NO_MAP_FLAGS
    frozen: bool = False


DATA_SECTION_KINDS = (
    DataSectionKind(".data"),
    DataSectionKind(".rodata", MapFlag.RDONLY_PROG, frozen=True),
    DataSectionKind(".bss"),
)


def describe_data_map(
    obj: ObjectFile, section: Section, object_name: str, prefix: str, types: Btf | None, diagnostics: Diagnostics
) -> MapSpec | None:
    """The map that `section` becomes; None for one that holds no data. Errors go to `diagnostics`."""
    kind = _data_section_kind(section)
    if kind is None or not section.sh_size:
        return None
    if section.sh_size > _LARGEST_VALUE:
        message = f"section '{section.name}' has {section.sh_size} bytes, more than {_LARGEST_VALUE}"
        diagnostics.error(message, place(obj, section, 0))
        return None
    data = describe_data(obj, section, types, diagnostics)
    return MapSpec(
        prefix + section.name,
        data_map_kernel_name(section.name, object_name),
        MapType.ARRAY,
        key_size=4,
        value_size=section.sh_size,
        max_entries=1,
        map_flags=kind.map_flags | (MapFlag.MMAPABLE if data.is_shared else NO_MAP_FLAGS),
        # New elements are zero already.
        contents=None if section.sh_type == SectionType.NOBITS else bytes(section.data),
        frozen=kind.frozen,
        value_type=data.datasec,
        section=section.name,
        variables=data.variables,
    )


class DataDescription(NamedTuple):
    """What is known of a section's data: its DATASEC (0 for none), its variables by their places.

    `is_shared` tells that BTF knows a variable that the object does not keep to itself.
    """

    datasec: int
    variables: tuple[Variable, ...]
    is_shared: bool


def describe_data(
    obj: ObjectFile, section: Section, types: Btf | None, diagnostics: Diagnostics
) -> DataDescription:
    """What BTF and the symbol table say of the data in `section`; errors go to `diagnostics`."""
    datasec = datasec_named(types, section.name) if types else 0
    known: list[SectionVariable] = []
    variables: list[Variable] = []
    if types and datasec:
        known = section_variables(obj, section, types, datasec, diagnostics)
        variables = [
            Variable(name, offset, size, types.size_or_type(var_id), is_static)
            for var_id, name, offset, size, is_static in known
        ]
    variables += _untyped_variables(obj, section, variables)
    variables.sort(key=_offset_of)
    return DataDescription(datasec, tuple(variables), any(not each.is_static for each in known))


def _untyped_variables(obj: ObjectFile, section: Section, typed: list[Variable]) -> list[Variable]:
    """The variables that symbols name and BTF does not; one without st_size ends where the next one begins."""
    taken = {variable.offset for variable in typed}
    symbols = [symbol for symbol in obj.symbols if symbol.section is section and _is_variable(symbol)]
    starts = sorted({symbol.st_value for symbol in symbols} | taken)
    ends = dict(pairwise([*starts, section.sh_size]))
    found = []
    for symbol in sorted(symbols, key=_is_local):
        start = symbol.st_value
        end = min(start + symbol.st_size, section.sh_size) if symbol.st_size else ends[start]
        if start not in taken and start < end:
            taken.add(start)
            found.append(Variable(symbol.name, start, end - start, is_static=_is_local(symbol)))
    return found


def _is_variable(symbol: Symbol) -> bool:
    return bool(symbol.name) and symbol.st_type in (SymbolType.OBJECT, SymbolType.NOTYPE)


def _is_local(symbol: Symbol) -> bool:
    return symbol.st_bind is SymbolBinding.LOCAL


def _offset_of(variable: Variable) -> int:
    return variable.offset


def _data_section_kind(section: Section) -> DataSectionKind | None:
    if section.sh_type not in (SectionType.PROGBITS, SectionType.NOBITS):
        return None
    return next(
        (
            kind
            for kind in DATA_SECTION_KINDS
            if section.name == kind.stem or section.name.startswith(f"{kind.stem}.")
        ),
        None,
    )


def data_map_kernel_name(section: str, object_name: str) -> str:
    """`app.rodata` for `.rodata` of app.o, the object's part cut to fit; `.data.own` stays as it is."""
    if section.find(".", 1) >= 0:
        return kernel_name(section)
    # Seven characters are always left for the section, so that all data maps of an object begin alike.
    prefix = object_name[: KERNEL_NAME_LENGTH - max(len(".rodata"), len(section))]
    return kernel_name(prefix + section)
