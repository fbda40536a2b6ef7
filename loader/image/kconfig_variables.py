"""The map `.kconfig`: which variables it has, by the types that objects declare, and where they lie.

What the variables are worth is found when loading, in `bpfas.loader.kernel.kconfig`. The layout is libbpf's.
Source: libbpf 1.8.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bpfas.btf.declaration import declaration
from bpfas.btf.kinds import Kind
from bpfas.btf.sizes import alignment_of
from bpfas.loader.image.data_maps import data_map_kernel_name
from bpfas.loader.image.datasecs import datasec_named
from bpfas.loader.image.externs import declared_externs
from bpfas.loader.kinds import MapFlag, MapType
from bpfas.loader.spec import KconfigKind, KconfigVariable, MapReference, MapSpec, ReferenceKind, Variable
from bpfas.objfile import place
from bpfas.section_names import KCONFIG_SECTION

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from bpfas.btf.btf import Btf
    from bpfas.diag import Diagnostics
    from bpfas.loader.image.functions import Function
    from bpfas.loader.image.references import References

_TRISTATE = "libbpf_tristate"
_INTEGER_SIZES = (1, 2, 4, 8)
_FORMS = "bool, char, integers of 1 to 8 bytes, enum libbpf_tristate and arrays of char are possible"


class _Form(NamedTuple):
    """What a variable may hold, and how it lies in memory, in bytes."""

    kind: KconfigKind
    size: int
    alignment: int
    is_signed: bool


class KconfigLayout(NamedTuple):
    """The variables of the map in the order of their places, and the bytes that it has."""

    variables: tuple[KconfigVariable, ...]
    size: int

    def map(self, object_name: str, types: Btf) -> MapSpec:
        """The map, whose contents the load phase finds; `types` have the variables in their DATASEC `.kconfig`."""
        declared = declared_externs(types)
        value_types = {name: types.size_or_type(found.type_id) for name, found in declared.items()}
        return MapSpec(
            KCONFIG_SECTION,
            data_map_kernel_name(KCONFIG_SECTION, object_name),
            MapType.ARRAY,
            key_size=4,
            value_size=self.size,
            max_entries=1,
            map_flags=MapFlag.RDONLY_PROG | MapFlag.MMAPABLE,
            frozen=True,
            value_type=datasec_named(types, KCONFIG_SECTION),
            section=KCONFIG_SECTION,
            variables=tuple(
                Variable(each.name, each.offset, each.size, value_types.get(each.name, 0))
                for each in self.variables
            ),
        )


def lay_out_kconfig(
    units: Iterable[Btf], strong_names: Collection[str], diagnostics: Diagnostics
) -> KconfigLayout:
    """The map for what the types of `units` declare in `.kconfig`; `strong_names` are those that must be found.

    Declarations that a loader cannot follow, and several of one name that differ, are errors.
    """
    forms: dict[str, tuple[_Form, Btf, int]] = {}
    for types in units:
        for name, declared in declared_externs(types).items():
            if declared.section != KCONFIG_SECTION:
                continue
            form = _form(types, declared.type_id)
            if form is None:
                text = declaration(types, declared.type_id)
                diagnostics.error(
                    f"`{text}` cannot hold an option of the kernel's configuration", types.place, (_FORMS,)
                )
                continue
            known = forms.setdefault(name, (form, types, declared.type_id))
            if known[0] != form:
                diagnostics.error(
                    f"'{name}' is declared as `{declaration(types, declared.type_id)}`, elsewhere otherwise",
                    types.place,
                    (f"{known[1].object_name} has `{declaration(known[1], known[2])}`",),
                )
    variables, end = [], 0
    for name, (form, _, _) in sorted(forms.items(), key=_order):
        offset = -(-end // form.alignment) * form.alignment
        end = offset + form.size
        variables.append(
            KconfigVariable(name, form.kind, offset, form.size, form.is_signed, name not in strong_names)
        )
    return KconfigLayout(tuple(variables), end)


def _order(item: tuple[str, tuple[_Form, Btf, int]]) -> tuple[int, int, str]:
    name, (form, _, _) = item
    return -form.alignment, form.size, name


def _form(types: Btf, declared: int) -> _Form | None:
    """What a VAR of `.kconfig` may hold; None for what is no form of an option."""
    if types.kind(declared) is not Kind.VAR:
        return None
    type_id = types.without_qualifiers(types.size_or_type(declared))
    size = types.size_or_type(type_id) if type_id else 0
    match types.kind(type_id):
        case Kind.INT if size in _INTEGER_SIZES:
            encoding = types.encoding(type_id)
            if size == 1:
                kind = KconfigKind.BOOL if encoding.is_bool else KconfigKind.CHAR
            else:
                kind = KconfigKind.INTEGER
            is_signed = encoding.is_signed
        case Kind.ENUM | Kind.ENUM64 if types.name(type_id) == _TRISTATE and size in _INTEGER_SIZES:
            kind, is_signed = KconfigKind.TRISTATE, types.kflag(type_id)
        case Kind.ARRAY if size := _text_size(types, type_id):
            return _Form(KconfigKind.STRING, size, 1, False)
        case _:
            return None
    return _Form(kind, size, alignment_of(types, type_id) or size, is_signed)


def _text_size(types: Btf, type_id: int) -> int:
    """The characters that an array has room for; 0 for one of anything else."""
    array = types.array(type_id)
    element = types.without_qualifiers(array.element)
    is_char = types.kind(element) is Kind.INT and types.size_or_type(element) == 1
    return array.nelems if is_char and not types.encoding(element).is_bool else 0


def place_kconfig_references(
    references: Mapping[Function, References], layout: KconfigLayout, diagnostics: Diagnostics
) -> None:
    """Make what functions refer to by the names of variables references to the map."""
    by_name = {variable.name: variable for variable in layout.variables}
    for function, found in references.items():
        for instruction, name, addend in found.kconfig:
            variable = by_name.get(name)
            if variable is None:
                continue  # its declaration is at fault
            if not 0 <= addend < variable.size:
                at = place(function.obj, function.section, function.start + 8 * instruction)
                message = f"'{name}{addend:+#x}' is outside the variable, which has {variable.size} bytes"
                diagnostics.error(message, at)
                continue
            found.maps.append(
                MapReference(instruction, KCONFIG_SECTION, ReferenceKind.MAP_VALUE, variable.offset + addend)
            )
        if found.kconfig:
            found.maps.sort(key=_instruction)


def _instruction(reference: MapReference) -> int:
    return reference.instruction
