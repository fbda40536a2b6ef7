"""Maps that variables of `.maps` define by their types, with the maps and programs that they are filled with.

What a type says is `bpfas.btf.map_definition`. The variable's own bytes are pointers to the elements of a map of
maps or programs: a relocation of the section is one element. Source: libbpf 1.8.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, NamedTuple

from bpfas.btf.declaration import declaration
from bpfas.btf.map_definition import ATTRIBUTES, MapDefinition, read_map_definition
from bpfas.btf.sizes import size_of
from bpfas.loader.image.addresses import POINTER_SIZE, addresses, program_at
from bpfas.loader.image.datasecs import datasec_named, section_variables
from bpfas.loader.kinds import MAP_TYPES_WITHOUT_ELEMENTS, MapType
from bpfas.loader.nearest import close_matches
from bpfas.loader.spec import MapSpec, Pinning, Slot, kernel_name
from bpfas.objfile import Section, place
from bpfas.section_names import BTF_SECTION

if TYPE_CHECKING:
    from bpfas.btf.btf import Btf
    from bpfas.diag import Diagnostics
    from bpfas.loader.image.addresses import Address
    from bpfas.loader.image.datasecs import SectionVariable
    from bpfas.objfile import ObjectFile

_WORD = 4
_INNER_SUFFIX = ".inner"
_COMPILE_WITH_BTF = "compile with clang -g, which writes BTF; or define the map in section 'maps' as 32-bit words"


def describe_btf_maps(
    obj: ObjectFile,
    section: Section,
    types: Btf | None,
    prefix: str,
    diagnostics: Diagnostics,
    *,
    relaxed: bool = False,
) -> dict[int, MapSpec]:
    """The maps of a section `.maps` by their offsets there, in bytes; errors go to `diagnostics`.

    `relaxed` is for definitions that have members which are no attributes: they are not looked at.
    """
    datasec = datasec_named(types, section.name) if types else 0
    if types is None or not datasec:
        missing = f"section {BTF_SECTION}" if types is None else f"DATASEC '{section.name}' in its BTF"
        message = f"section '{section.name}' holds maps that types describe, but the object has no {missing}"
        diagnostics.error(message, place(obj, section, 0), (_COMPILE_WITH_BTF,))
        named = (symbol for symbol in obj.symbols if symbol.section is section and symbol.name)
        return {symbol.st_value: _placeholder(prefix + symbol.name) for symbol in named}
    reader = _Reader(obj, section, types, prefix, diagnostics, relaxed)
    variables = section_variables(obj, section, types, datasec, diagnostics)
    return reader.filled([(variable, reader.read(variable)) for variable in variables])


_MAP_TYPES = {int(map_type): map_type for map_type in MapType}


def _placeholder(name: str) -> MapSpec:
    """What stands for a map whose definition is at fault, so that what refers to it is not reported as well."""
    return MapSpec(name, "", 0, 0, 0, 0)


class _DefinedMap(NamedTuple):
    """What a variable defines; `values_at` is where in the section its pointers to elements begin."""

    spec: MapSpec
    values_at: int | None


class _Reader(NamedTuple):
    obj: ObjectFile
    section: Section
    types: Btf
    prefix: str
    diagnostics: Diagnostics
    relaxed: bool

    def error(self, message: str, offset: int, notes: tuple[str, ...] = ()) -> None:
        self.diagnostics.error(message, place(self.obj, self.section, offset), notes)

    def read(self, variable: SectionVariable) -> _DefinedMap | None:
        """What a variable of the section defines; None where that is at fault."""
        types, at = self.types, variable.offset
        subject = f"map '{variable.name}'"
        if variable.is_static:
            self.error(f"{subject} is static", at, ("programs and loaders find maps by name: make it global",))
            return None
        type_id = types.without_qualifiers(types.size_or_type(variable.var_id))
        definition = read_map_definition(types, type_id)
        size = size_of(types, type_id)
        if size is not None and size > variable.size:
            definition.faults.append(
                f"its type `{declaration(types, type_id)}` has {size} bytes, the variable {variable.size}"
            )
        spec = self.spec(definition, variable.name, self.prefix + variable.name, at)
        values_at = None if definition.values is None else at + definition.values.offset
        return None if spec is None else _DefinedMap(spec, values_at)

    def spec(self, definition: MapDefinition, name: str, own_name: str, at: int) -> MapSpec | None:
        """The map that a definition describes; None where the definition is at fault."""
        faults: list[tuple[str, tuple[str, ...]]] = [(fault, ()) for fault in definition.faults]
        if not self.relaxed:
            faults += [
                (f"its attribute `{text}` is unknown", _notes_on_unknown(member))
                for member, text in definition.unknown.items()
            ]
        for fault, notes in faults:
            self.error(f"map '{name}': {fault}", at, notes)
        inner = None
        if definition.values and definition.values.inner:
            inner_definition = read_map_definition(self.types, definition.values.inner, is_inner=True)
            inner = self.spec(inner_definition, name + _INNER_SUFFIX, own_name + _INNER_SUFFIX, at)
            if inner is None:
                return None
        if faults:
            return None
        numbers, map_type = definition.numbers, definition.numbers["type"]
        if map_type in MAP_TYPES_WITHOUT_ELEMENTS:
            # A type says what is in their records; the kernel wants no sizes.
            numbers = numbers | {f"{name}_size": 0 for name in definition.types}
        return MapSpec(
            own_name,
            kernel_name(name),
            _MAP_TYPES.get(map_type, map_type),
            numbers.get("key_size", 0),
            numbers.get("value_size", 0),
            numbers.get("max_entries", 0),
            numbers.get("map_flags", 0),
            map_extra=numbers.get("map_extra", 0),
            numa_node=numbers.get("numa_node", 0),
            key_type=definition.types.get("key", 0),
            value_type=definition.types.get("value", 0),
            inner=inner,
            pinning=Pinning(numbers.get("pinning", 0)),
        )

    def filled(self, found: list[tuple[SectionVariable, _DefinedMap | None]]) -> dict[int, MapSpec]:
        """The maps by their offsets, with the slots that the section's relocations are."""
        specs = {
            variable.offset: each.spec if each else _placeholder(self.prefix + variable.name)
            for variable, each in found
        }
        starts = [variable.offset for variable, _ in found]
        slots: dict[int, dict[int, str]] = {}
        for address in addresses(self.obj, self.section):
            at = address.at
            index = bisect_right(starts, at) - 1
            if index < 0 or at >= starts[index] + found[index][0].size:
                self.error(f"no map's definition holds the address of '{address.text}'", at)
                continue
            variable, each = found[index]
            slot = self.slot(variable.name, each, address, specs) if each else None
            if slot is None:
                continue
            known = slots.setdefault(variable.offset, {}).setdefault(slot.index, slot.name)
            if known != slot.name:
                self.error(f"map '{variable.name}': element {slot.index} is given twice", at)
        return {
            start: spec._replace(slots=tuple(Slot(*slot) for slot in sorted(slots[start].items())))
            if start in slots
            else spec
            for start, spec in specs.items()
        }

    def slot(self, name: str, each: _DefinedMap, address: Address, specs: dict[int, MapSpec]) -> Slot | None:
        """The element that an address within the definition of map `name` is; None for one that is at fault."""
        spec, section = each.spec, address.section
        subject = f"map '{name}'"
        distance = -1 if each.values_at is None else address.at - each.values_at
        if distance < 0 or distance % POINTER_SIZE or not address.is_whole:
            message = f"{subject}: {address.r_type} against '{address.text}' is not at an element of `values`"
            self.error(message, address.at)
            return None
        index = distance // POINTER_SIZE
        subject = f"{subject}: element {index}, '{address.text}',"
        if spec.map_type == MapType.PROG_ARRAY:
            program = program_at(self.obj, section, address.offset)
            if program is not None and not self.prefix:
                return Slot(index, program)
            words = "is a program of an object that is not loaded for its programs" if program else "is no program"
            self.error(f"{subject} {words}", address.at, ("a program is a global function outside of .text",))
        elif spec.map_type == MapType.HASH_OF_MAPS and spec.key_size != _WORD:
            note = "give the map keys of 4 bytes, or fill it once it is loaded"
            message = f"{subject} has a number for its key, but keys have {spec.key_size} bytes"
            self.error(message, address.at, (note,))
        elif section is self.section and address.offset in specs:
            return Slot(index, specs[address.offset].name)
        else:
            self.error(f"{subject} is no map of section '{self.section.name}'", address.at)
        return None


def _notes_on_unknown(member: str) -> tuple[str, ...]:
    near = close_matches(member, ATTRIBUTES)
    return (f"did you mean {near[0]}?" if near else f"attributes are {', '.join(ATTRIBUTES)}",)
