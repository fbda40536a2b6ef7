"""The programs of an object: each with the functions that it calls, and with all that is said of it.

License and version are the object's, and those of everything that is taken from libraries. What a program needs of
the kernel, of maps and of types stays open here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from bpfas.isa import SLOT_SIZE
from bpfas.loader.image.records import compose_records
from bpfas.loader.image.subprograms import compose_program
from bpfas.loader.kinds import ProgramType
from bpfas.loader.sections import section_kind, split_autoload
from bpfas.loader.spec import Part, ProgramSpec, kernel_name
from bpfas.objfile import place
from bpfas.section_names import LICENSE_SECTION, VERSION_SECTION

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from bpfas.diag import Diagnostics
    from bpfas.loader.image.functions import Function, FunctionTable
    from bpfas.loader.image.records import ObjectRecords
    from bpfas.loader.image.references import References
    from bpfas.objfile import ObjectFile

_T = TypeVar("_T", bytes, int)

LICENSE_LENGTH = 63
"""Bytes of the license that are kept."""
_VERSION_SIZE = 4
_MOST_INSTRUCTIONS, _MOST_FUNCTIONS = 16_000_000, 1_000_000
"""Of all programs together, far more than kernels take of one: a small file may ask for any number."""


def describe_programs(
    functions: FunctionTable,
    references: Mapping[Function, References],
    callbacks: Mapping[Function, Function],
    taken: Sequence[ObjectFile],
    records_of: Mapping[ObjectFile, ObjectRecords],
    struct_ops_programs: Collection[str],
    diagnostics: Diagnostics,
) -> dict[str, ProgramSpec]:
    """The programs of `functions` by their names; errors go to `diagnostics`.

    `references` has an entry for every function that can be reached, `callbacks` the exception callbacks of
    programs that have one, `taken` are the objects that all of these are of. A program of `struct_ops_programs`
    is of struct_ops, whatever its section is called.
    """
    license_text = _agreed(taken, _license, "license", diagnostics) or b""
    version = _agreed(taken, lambda obj: _version(obj, diagnostics), "version", diagnostics) or 0
    programs: dict[str, ProgramSpec] = {}
    instructions = function_count = 0
    for symbol, function in functions.programs:
        section, autoload = split_autoload(function.section.name)
        kind = section_kind(section)
        program_type = kind.program_type
        if program_type is ProgramType.UNSPEC and symbol.name in struct_ops_programs:
            program_type = ProgramType.STRUCT_OPS
        if symbol.name in programs:
            at = place(function.obj, function.section, function.start)
            diagnostics.error(f"a second program is called '{symbol.name}'", at, ("rename one of them",))
        composed = compose_program(function, references, function.obj.byte_order, callbacks.get(function))
        instructions += len(composed.code.data) // SLOT_SIZE
        function_count += len(composed.positions)
        if instructions > _MOST_INSTRUCTIONS or function_count > _MOST_FUNCTIONS:
            limits = f"{_MOST_INSTRUCTIONS} instructions or {_MOST_FUNCTIONS} functions"
            message = f"the programs have more than {limits} in all"
            note = "each program has its own copy of every function that it calls: load fewer from one object"
            diagnostics.error(message, function.obj.name, (note,))
            break
        records = compose_records(composed.positions, composed.code, records_of, diagnostics)
        programs[symbol.name] = ProgramSpec(
            symbol.name,
            kernel_name(symbol.name),
            section,
            program_type,
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
            composed.jump_tables,
            records.func_info,
            records.line_info,
            parts=_parts(composed.positions),
        )
    return programs


def _parts(positions: Mapping[Function, int]) -> tuple[Part, ...]:
    """Where the instructions of a program came from."""
    return tuple(
        Part(position, function.name, function.obj, function.section, function.start)
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
