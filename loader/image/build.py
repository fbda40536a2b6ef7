"""Object files to an Image: everything that loading needs and that does not depend on the running kernel.

Deterministic, without privilege, the same on every machine: maps, global data, programs by their sections' names
with the functions that they call, types, and from libraries what the programs need of them. What depends on a
kernel is `bpfas.loader.loading.resolve`.
"""

from __future__ import annotations

import posixpath
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from bpfas.diag import Diagnostics
from bpfas.loader.image.binding import Scope
from bpfas.loader.image.exception_callbacks import find_exception_callbacks
from bpfas.loader.image.functions import FunctionTable, find_functions
from bpfas.loader.image.image_types import ImageTypes, renumbered_map
from bpfas.loader.image.kconfig_variables import lay_out_kconfig, place_kconfig_references
from bpfas.loader.image.kernel_btf import kernel_btf
from bpfas.loader.image.mapdefs import MapTable, describe_maps
from bpfas.loader.image.object_btf import read_object_types
from bpfas.loader.image.program_specs import describe_programs
from bpfas.loader.image.references import References, resolve_references
from bpfas.loader.kinds import MapType
from bpfas.loader.spec import Image, kernel_name
from bpfas.section_names import KCONFIG_SECTION, is_subprogram_section

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from bpfas.btf.btf import Btf
    from bpfas.loader.image.functions import Function
    from bpfas.loader.image.kconfig_variables import KconfigLayout
    from bpfas.loader.image.object_btf import ObjectTypes
    from bpfas.loader.spec import Binding, ExternSpec, MapSpec, ProgramSpec
    from bpfas.objfile import ObjectFile


def build_image(
    obj: ObjectFile,
    libraries: Sequence[ObjectFile] = (),
    ksyms: Sequence[str] = (),
    *,
    relaxed_maps: bool = False,
) -> Image:
    """The maps and programs of `obj`, with what they need of `libraries`.

    The image's name is the object's base name up to the first dot. Maps of a library are called by its name, as in
    `lib:counts` and `lib:.data`. `ksyms` are names that nothing defines and that the kernel is to have. With
    `relaxed_maps`, attributes of maps that are unknown have no effect. Objects of either byte order are taken.
    Raises BpfasError with everything that is wrong with the maps, functions and relocations of what is taken, and
    all names that stay open.
    """
    diagnostics = Diagnostics()
    image = _build(obj, libraries, ksyms, diagnostics, relaxed_maps=relaxed_maps)
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


class _Resolved(NamedTuple):
    """What objects consist of and how it hangs together; the first object is the one to be loaded."""

    name: str
    objects: Sequence[ObjectFile]
    types: dict[ObjectFile, ObjectTypes]
    functions: FunctionTable
    callbacks: dict[Function, Function]
    maps: dict[ObjectFile, MapTable]
    references: dict[Function, References]
    scope: Scope
    externs: dict[str, ExternSpec]
    bindings: tuple[Binding, ...]


def _resolve(
    objects: Sequence[ObjectFile], ksyms: Sequence[str], diagnostics: Diagnostics, *, relaxed_maps: bool = False
) -> _Resolved:
    obj, *libraries = objects
    name = object_name(obj)
    types = {each: found for each in objects if (found := read_object_types(each, diagnostics))}
    maps = {obj: describe_maps(obj, name, diagnostics, types=_btf(types, obj), relaxed=relaxed_maps)}
    functions = find_functions(obj, diagnostics)
    entries = list(functions.by_place.values())
    for library, library_name in zip(libraries, _library_names(libraries), strict=True):
        if library.byte_order is not obj.byte_order:
            message = f"the byte order is not that of {obj.name}"
            diagnostics.error(message, library.name, ("assemble or compile both for the same machine",))
        maps[library] = describe_maps(
            *(library, library_name, diagnostics, f"{library_name}:", _btf(types, library)), relaxed=relaxed_maps
        )
        functions.add(find_functions(library, diagnostics))
    callbacks = find_exception_callbacks(functions, types[obj].btf, diagnostics) if obj in types else {}
    scope = Scope(objects, ksyms, types, diagnostics)
    all_maps = MapTable()
    for table in maps.values():
        all_maps.add(table)
    references = resolve_references([*entries, *callbacks.values()], all_maps, functions, scope, diagnostics)
    externs, bindings = scope.conclude()
    return _Resolved(name, objects, types, functions, callbacks, maps, references, scope, externs, bindings)


def _build(
    obj: ObjectFile,
    libraries: Sequence[ObjectFile],
    ksyms: Sequence[str],
    diagnostics: Diagnostics,
    *,
    relaxed_maps: bool,
) -> Image | None:
    """The image; None if there were errors that keep it from being made."""
    resolved = _resolve([obj, *libraries], ksyms, diagnostics, relaxed_maps=relaxed_maps)
    # From here on every function that is called is in the table, and every reference has a target.
    if diagnostics.has_errors:
        return None
    users = {obj, *(function.obj for function in resolved.references)}
    taken = [each for each in resolved.objects if each in users]
    needed_maps = _needed_maps(resolved)
    declaring = {found[0] for name in resolved.externs if (found := resolved.scope.declaration(name))}
    described = users | declaring | needed_maps.keys()
    typed = [each for each in resolved.objects if each in resolved.types and each in described]
    units = [resolved.types[each].btf for each in typed]
    kconfig = lay_out_kconfig(units, resolved.scope.strong_names(), diagnostics)
    place_kconfig_references(resolved.references, kconfig, diagnostics)
    image_types = ImageTypes({each: resolved.types[each] for each in typed})
    maps = {
        spec.name: renumbered_map(spec, partial(image_types.type_id, each))
        for each, specs in needed_maps.items()
        for spec in specs
    }
    programs = describe_programs(
        resolved.functions,
        resolved.references,
        resolved.callbacks,
        taken,
        image_types.records,
        _struct_ops_programs(maps.values()),
        diagnostics,
    )
    _require_contents(obj, maps, programs, diagnostics)
    if diagnostics.has_errors:
        return None
    types = image_types.finish()
    if kconfig.variables and types:
        maps |= {KCONFIG_SECTION: kconfig.map(resolved.name, types)}
    return Image(
        resolved.name,
        obj.byte_order,
        maps,
        programs,
        _renumbered_externs(resolved, image_types),
        resolved.bindings,
        kconfig.variables,
        types,
        _kernel_types(resolved, image_types, kconfig, types),
        next((name for name, spec in maps.items() if spec.map_type == MapType.ARENA), ""),
        tuple(diagnostics.items),
    )


def _struct_ops_programs(maps: Iterable[MapSpec]) -> set[str]:
    return {name for spec in maps if spec.struct_ops for name in spec.struct_ops.programs.values()}


def _kernel_types(
    resolved: _Resolved, image_types: ImageTypes, kconfig: KconfigLayout, types: Btf | None
) -> bytes | None:
    """What the kernel is given of the types."""
    if types is None:
        return None
    hidden = {
        image_types.records[function.obj].function_type(function)
        for function in resolved.references
        if function.is_hidden
        and is_subprogram_section(function.section.name)
        and function.obj in image_types.records
    }
    return kernel_btf(types, kconfig.variables, kconfig.size, hidden)


def _renumbered_externs(resolved: _Resolved, image_types: ImageTypes) -> dict[str, ExternSpec]:
    """The externs with the ids of the image's types."""
    renumbered = {}
    for name, extern in resolved.externs.items():
        declared = resolved.scope.declaration(name)
        type_id = image_types.type_id(declared[0], extern.type_id) if declared else 0
        renumbered[name] = extern._replace(type_id=type_id)
    return renumbered


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


def _needed_maps(resolved: _Resolved) -> dict[ObjectFile, list[MapSpec]]:
    """All maps of the object to be loaded, and of those of libraries the ones that are referred to."""
    used = {reference.map_name for found in resolved.references.values() for reference in found.maps}
    for table in resolved.maps.values():
        used |= {slot.name for name, spec in table.by_name.items() if name in used for slot in spec.slots}
    needed: dict[ObjectFile, list[MapSpec]] = {}
    for obj, table in resolved.maps.items():
        specs = [spec for name, spec in table.by_name.items() if obj is resolved.objects[0] or name in used]
        if specs:
            needed[obj] = specs
    return needed


def _btf(types: Mapping[ObjectFile, ObjectTypes], obj: ObjectFile) -> Btf | None:
    return types[obj].btf if obj in types else None


def _require_contents(
    obj: ObjectFile, maps: dict[str, MapSpec], programs: dict[str, ProgramSpec], diagnostics: Diagnostics
) -> None:
    if not maps and not programs:
        diagnostics.error(
            "there is nothing to load: no map and no program",
            obj.name,
            ('programs are functions in sections named for their type, such as .section xdp,"ax",@progbits',),
        )
