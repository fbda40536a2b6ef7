"""An object file to an Image: everything that loading needs and that does not depend on the running kernel.

Deterministic, without privilege, the same on every machine. Reads legacy `maps` sections, global data, programs by
section name, their subprograms, license and version. What it does not understand and would change a program's
meaning (BTF-defined maps, CO-RE relocations, struct_ops, arenas, jump tables) it refuses by name. Loading is
`bpfas.loader.collection`.
"""

from __future__ import annotations

import posixpath
import struct
from typing import TYPE_CHECKING

from bpfas.diag import Diagnostics
from bpfas.loader.functions import FunctionTable, find_functions
from bpfas.loader.mapdefs import MapTable, describe_maps
from bpfas.loader.references import References, resolve_references
from bpfas.loader.sections import section_kind, split_autoload
from bpfas.loader.spec import Image, ProgramSpec, kernel_name
from bpfas.loader.subprograms import compose_program
from bpfas.objfile import place

if TYPE_CHECKING:
    from bpfas.loader.functions import Function
    from bpfas.objfile import ObjectFile

LICENSE_LENGTH = 63
"""Bytes of the license that are kept."""
_VERSION_SIZE = 4

_UNSUPPORTED_SECTIONS = {
    ".maps": (
        "it holds BTF-defined maps, which this loader does not read",
        "define the map in section 'maps' as .long type, key size, value size, max entries[, flags]",
    ),
    ".struct_ops": ("it holds struct_ops instances, which this loader does not create", "remove the section"),
    ".addr_space.1": ("it holds data of an arena, which this loader does not create", "use .data or .bss"),
    ".jumptables": (
        "it holds jump tables, which this loader does not create",
        "compile with -fno-jump-tables",
    ),
}
_CORE_LENGTH_OFFSET = 28  # struct btf_ext_header, core_relo_len


def build_image(obj: ObjectFile) -> Image:
    """The maps and programs of `obj`.

    The image's name is the object's base name up to the first dot. Objects of either byte order are taken. Raises
    BpfasError with everything that is wrong with the object's maps, functions and relocations.
    """
    diagnostics = Diagnostics()
    name = kernel_name(posixpath.basename(obj.name).partition(".")[0])
    _refuse_unsupported(obj, diagnostics)
    maps = describe_maps(obj, name, diagnostics)
    functions = find_functions(obj, diagnostics)
    references = resolve_references(obj, maps, functions, diagnostics)
    # From here on every function that is called is in the table, and every reference has a target.
    diagnostics.raise_if_errors()
    programs = _describe_programs(obj, functions, references, diagnostics)
    _require_contents(obj, maps, programs, diagnostics)
    diagnostics.raise_if_errors()
    return Image(name, obj.byte_order, dict(maps.by_name), programs)


def _refuse_unsupported(obj: ObjectFile, diagnostics: Diagnostics) -> None:
    for section in obj.sections:
        stem = section.name.removeprefix("?").removesuffix(".link")
        if stem in _UNSUPPORTED_SECTIONS and section.sh_size:
            reason, remedy = _UNSUPPORTED_SECTIONS[stem]
            diagnostics.error(
                f"section '{section.name}' is not supported: {reason}", place(obj, section, 0), (remedy,)
            )
        if section.name == ".BTF.ext" and _core_relocations_length(obj, bytes(section.data)):
            diagnostics.error(
                "the object has CO-RE relocations, which this loader does not apply",
                place(obj, section, 0),
                ("compile without __builtin_preserve_access_index and BPF_CORE_READ",),
            )


def _core_relocations_length(obj: ObjectFile, data: bytes) -> int:
    """Bytes of CO-RE relocations in a .BTF.ext section; 0 for a header too short to have any."""
    if len(data) < _CORE_LENGTH_OFFSET + 4:
        return 0
    header_length, core_length = struct.unpack_from(f"{obj.byte_order.value}4xI20xI", data)
    return int(core_length) if header_length >= _CORE_LENGTH_OFFSET + 4 else 0


def _describe_programs(
    obj: ObjectFile,
    functions: FunctionTable,
    references: dict[Function, References],
    diagnostics: Diagnostics,
) -> dict[str, ProgramSpec]:
    license_text = _license(obj)
    version = _version(obj, diagnostics)
    programs: dict[str, ProgramSpec] = {}
    for symbol, function in functions.programs:
        section, autoload = split_autoload(function.section.name)
        kind = section_kind(section)
        if symbol.name in programs:
            at = place(obj, function.section, function.start)
            diagnostics.error(f"a second program is called '{symbol.name}'", at, ("rename one of them",))
        instructions, map_references = compose_program(function, references, obj.byte_order)
        programs[symbol.name] = ProgramSpec(
            symbol.name,
            kernel_name(symbol.name),
            section,
            kind.program_type,
            instructions,
            map_references,
            kind.attach_type,
            kind.program_flags,
            license_text,
            version,
            autoload,
            kind,
        )
    return programs


def _license(obj: ObjectFile) -> bytes:
    section = obj.section("license")
    return bytes(section.data).partition(b"\0")[0][:LICENSE_LENGTH] if section else b""


def _version(obj: ObjectFile, diagnostics: Diagnostics) -> int:
    section = obj.section("version")
    if section is None:
        return 0
    if len(section.data) != _VERSION_SIZE:
        message = f"section 'version' has {len(section.data)} bytes; a kernel version is one 32-bit word"
        diagnostics.error(message, place(obj, section, 0))
        return 0
    return int.from_bytes(section.data, obj.byte_order.name_for_int)


def _require_contents(
    obj: ObjectFile, maps: MapTable, programs: dict[str, ProgramSpec], diagnostics: Diagnostics
) -> None:
    if not maps.by_name and not programs:
        diagnostics.error(
            "there is nothing to load: no map and no program",
            obj.name,
            ('programs are functions in sections named for their type, such as .section xdp,"ax",@progbits',),
        )
