"""Object files to an Image: everything that loading needs and that does not depend on the running kernel.

Deterministic, without privilege, the same on every machine. Reads maps, global data, programs by
section name, their subprograms, license and version, and from libraries what the programs need of them. What it
does not understand and would change a program's meaning (CO-RE relocations, struct_ops, arenas, jump tables) it
refuses by name. Loading is `bpfas.loader.collection`.
"""

from __future__ import annotations

import posixpath
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from bpfas.diag import Diagnostics
from bpfas.loader.binding import Scope
from bpfas.loader.functions import FunctionTable, find_functions
from bpfas.loader.kernel_btf import kernel_btf
from bpfas.loader.mapdefs import MapTable, describe_maps
from bpfas.loader.object_btf import read_object_types
from bpfas.loader.records import ObjectRecords, compose_records
from bpfas.loader.references import References, resolve_references
from bpfas.loader.sections import section_kind, split_autoload
from bpfas.loader.spec import Image, ProgramSpec, kernel_name
from bpfas.loader.subprograms import compose_program
from bpfas.objfile import place
from bpfas.section_names import (
    JUMP_TABLES_SECTION,
    LICENSE_SECTION,
    VERSION_SECTION,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from bpfas.btf.btf import Btf
    from bpfas.loader.functions import Function
    from bpfas.loader.object_btf import ObjectTypes
    from bpfas.loader.spec import Binding, ExternSpec, MapSpec
    from bpfas.objfile import ObjectFile

_T = TypeVar("_T", bytes, int)

LICENSE_LENGTH = 63
"""Bytes of the license that are kept."""
_VERSION_SIZE = 4

_UNSUPPORTED_SECTIONS = {
    ".struct_ops": ("it holds struct_ops instances, which this loader does not create", "remove the section"),
    ".addr_space.1": ("it holds data of an arena, which this loader does not create", "use .data or .bss"),
    JUMP_TABLES_SECTION: (
        "it holds jump tables, which this loader does not create",
        "compile with -fno-jump-tables",
    ),
}


def build_image(obj: ObjectFile, libraries: Sequence[ObjectFile] = (), ksyms: Sequence[str] = ()) -> Image:
    """The maps and programs of `obj`, with what they need of `libraries`.

    The image's name is the object's base name up to the first dot. Maps of a library are called by its name, as in
    `lib:counts` and `lib:.data`. `ksyms` are names that nothing defines and that the kernel is to have. Objects of
    either byte order are taken. Raises BpfasError with everything that is wrong with the maps, functions and
    relocations of what is taken, and all names that stay open.
    """
    diagnostics = Diagnostics()
    image = _build(obj, libraries, ksyms, diagnostics)
    diagnostics.raise_if_errors()
    assert image is not None  # else there was an error
    return image


def describe_bindings(
    obj: ObjectFile, libraries: Sequence[ObjectFile] = (), ksyms: Sequence[str] = ()
) -> tuple[Binding, ...]:
    """What the names are bound to that `obj`, and what it needs of `libraries`, use and do not define.

    Names that stay open are told, not reported as errors, and so is nothing else that is wrong.
    """
    return _resolve([obj, *libraries], ksyms, Diagnostics()).bindings


@dataclass(frozen=True, slots=True)
class _Resolved:
    """What objects consist of and how it hangs together; the first object is the one to be loaded."""

    name: str
    objects: Sequence[ObjectFile]
    functions: FunctionTable
    maps: MapTable
    own_maps: Sequence[MapSpec]
    types: dict[ObjectFile, ObjectTypes]
    references: dict[Function, References]
    externs: dict[str, ExternSpec]
    bindings: tuple[Binding, ...]


def _resolve(objects: Sequence[ObjectFile], ksyms: Sequence[str], diagnostics: Diagnostics) -> _Resolved:
    obj, *libraries = objects
    name = object_name(obj)
    for each in objects:
        _refuse_unsupported(each, diagnostics)
    types = {each: found for each in objects if (found := read_object_types(each, diagnostics))}
    maps = describe_maps(obj, name, diagnostics, types=_btf(types, obj))
    functions = find_functions(obj, diagnostics)
    own_maps, own_functions = list(maps.by_name.values()), list(functions.by_place.values())
    for library, library_name in zip(libraries, _library_names(libraries), strict=True):
        if library.byte_order is not obj.byte_order:
            message = f"the byte order is not that of {obj.name}"
            diagnostics.error(message, library.name, ("assemble or compile both for the same machine",))
        maps.add(describe_maps(library, library_name, diagnostics, f"{library_name}:", _btf(types, library)))
        functions.add(find_functions(library, diagnostics))
    scope = Scope(objects, ksyms, types, diagnostics)
    references = resolve_references(own_functions, maps, functions, scope, diagnostics)
    externs, bindings = scope.conclude()
    return _Resolved(name, objects, functions, maps, own_maps, types, references, externs, bindings)


def _build(
    obj: ObjectFile, libraries: Sequence[ObjectFile], ksyms: Sequence[str], diagnostics: Diagnostics
) -> Image | None:
    """The image; None if there were errors that keep it from being made."""
    resolved = _resolve([obj, *libraries], ksyms, diagnostics)
    # From here on every function that is called is in the table, and every reference has a target.
    if diagnostics.has_errors:
        return None
    users = {obj, *(function.obj for function in resolved.references)}
    taken = [each for each in resolved.objects if each in users]
    typed = next((each for each in taken if each in resolved.types), None)
    records = {typed: ObjectRecords(resolved.types[typed])} if typed else {}
    programs = _describe_programs(resolved, taken, records, diagnostics)
    maps = {spec.name: spec for spec in _needed_maps(resolved)}
    _require_contents(obj, maps, programs, diagnostics)
    if diagnostics.has_errors:
        return None
    types = resolved.types[typed].btf if typed else None
    hidden = {function.name for function in resolved.references if function.is_hidden}
    return Image(
        resolved.name,
        obj.byte_order,
        maps,
        programs,
        resolved.externs,
        resolved.bindings,
        types=types,
        kernel_btf=kernel_btf(types, own_functions=hidden) if types else None,
        warnings=tuple(diagnostics.items),
    )


def object_name(obj: ObjectFile) -> str:
    """The object's base name up to the first dot, as the kernel takes it."""
    return kernel_name(posixpath.basename(obj.name).partition(".")[0])


def _library_names(libraries: Iterable[ObjectFile]) -> Iterator[str]:
    """What the maps of each library are called by: its name, and from the second of one name on a number."""
    counts: Counter[str] = Counter()
    for library in libraries:
        name = object_name(library)
        counts[name] += 1
        yield name if counts[name] == 1 else f"{name}#{counts[name]}"


def _needed_maps(resolved: _Resolved) -> Iterator[MapSpec]:
    """All maps of the object to be loaded, and of those of libraries the ones that are referred to."""
    own = {spec.name for spec in resolved.own_maps}
    used = {reference.map_name for found in resolved.references.values() for reference in found.maps}
    return (spec for name, spec in resolved.maps.by_name.items() if name in own or name in used)


def _btf(types: Mapping[ObjectFile, ObjectTypes], obj: ObjectFile) -> Btf | None:
    return types[obj].btf if obj in types else None


def _refuse_unsupported(obj: ObjectFile, diagnostics: Diagnostics) -> None:
    for section in obj.sections:
        stem = section.name.removeprefix("?").removesuffix(".link")
        if stem in _UNSUPPORTED_SECTIONS and section.sh_size:
            reason, remedy = _UNSUPPORTED_SECTIONS[stem]
            diagnostics.error(
                f"section '{section.name}' is not supported: {reason}", place(obj, section, 0), (remedy,)
            )


def _describe_programs(
    resolved: _Resolved,
    taken: Sequence[ObjectFile],
    records_of: Mapping[ObjectFile, ObjectRecords],
    diagnostics: Diagnostics,
) -> dict[str, ProgramSpec]:
    license_text = _agreed(taken, _license, "license", diagnostics) or b""
    version = _agreed(taken, lambda obj: _version(obj, diagnostics), "version", diagnostics) or 0
    programs: dict[str, ProgramSpec] = {}
    for symbol, function in resolved.functions.programs:
        section, autoload = split_autoload(function.section.name)
        kind = section_kind(section)
        if symbol.name in programs:
            at = place(function.obj, function.section, function.start)
            diagnostics.error(f"a second program is called '{symbol.name}'", at, ("rename one of them",))
        composed = compose_program(function, resolved.references, function.obj.byte_order)
        records = compose_records(composed.positions, composed.code, records_of, diagnostics)
        programs[symbol.name] = ProgramSpec(
            symbol.name,
            kernel_name(symbol.name),
            section,
            kind.program_type,
            bytes(composed.code.data),
            composed.maps,
            composed.externs,
            kind.attach_type,
            kind.program_flags,
            license_text,
            version,
            autoload,
            kind,
            records.core,
            func_info=records.func_info,
            line_info=records.line_info,
            places=_places(composed.positions),
        )
    return programs


def _places(positions: Mapping[Function, int]) -> tuple[tuple[int, str, str, int], ...]:
    return tuple(
        (position, function.name, f"{function.obj.name}:({function.section.name})", function.start)
        for function, position in positions.items()
    )


def _agreed(
    objects: Sequence[ObjectFile],
    value_of: Callable[[ObjectFile], _T | None],
    section: str,
    diagnostics: Diagnostics,
) -> _T | None:
    """What the objects that have the section say in it, which must be the same; None if no object has it."""
    said = [(obj.name, value) for obj in objects if (value := value_of(obj)) is not None]
    for name, value in said[1:]:
        if value != said[0][1]:
            first, other = said[0], _shown(value)
            message = f"section '{section}' says {other}, but that of {first[0]} says {_shown(first[1])}"
            diagnostics.error(message, name, ("code that is loaded together must agree in it",))
    return said[0][1] if said else None


def _shown(value: bytes | int) -> str:
    return f"'{value.decode(errors='replace')}'" if isinstance(value, bytes) else str(value)


def _license(obj: ObjectFile) -> bytes | None:
    section = obj.section(LICENSE_SECTION)
    return bytes(section.data).partition(b"\0")[0][:LICENSE_LENGTH] if section else None


def _version(obj: ObjectFile, diagnostics: Diagnostics) -> int | None:
    section = obj.section(VERSION_SECTION)
    if section is None:
        return None
    if len(section.data) != _VERSION_SIZE:
        message = f"section 'version' has {len(section.data)} bytes; a kernel version is one 32-bit word"
        diagnostics.error(message, place(obj, section, 0))
        return 0
    return int.from_bytes(section.data, obj.byte_order.name_for_int)


def _require_contents(
    obj: ObjectFile, maps: dict[str, MapSpec], programs: dict[str, ProgramSpec], diagnostics: Diagnostics
) -> None:
    if not maps and not programs:
        diagnostics.error(
            "there is nothing to load: no map and no program",
            obj.name,
            ('programs are functions in sections named for their type, such as .section xdp,"ax",@progbits',),
        )
