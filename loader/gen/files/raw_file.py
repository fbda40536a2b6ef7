"""A loader program in a file of its own: a header, instructions, data, and what a runner has to know of them.

The header (integers in the program's byte order, offsets and sizes in bytes):

     0  8 bytes   MAGIC
     8  u8        byte order: 1 little-endian, 2 big-endian
     9  u8        VERSION
    10  u16       size of the header
    12  u32       CRC-32 of everything behind the header
    16  u32       size of the context
    20  u32       number of regions
    24  u64, u64  offset and size of each region: instructions, data, description, other bytes

The description is JSON (UTF-8): the context's layout, the script, the image, by the names of the fields of these
classes (`bpfas.loader.gen.files.records` says how). docs/loader-programs.md describes what of it a runner needs.
"""

from __future__ import annotations

import functools
import json
import zlib
from struct import Struct
from typing import TYPE_CHECKING, NamedTuple

from bpfas.btf.reader import read_btf
from bpfas.btf.writer import write_btf
from bpfas.diag import BpfasError, Diagnostic
from bpfas.elf.constants import ByteOrder
from bpfas.isa import SLOT_SIZE
from bpfas.loader.gen.files.records import Coder, MalformedError, Regions
from bpfas.loader.gen.loader_program import (
    HEADER_SIZE,
    MAP_ENTRY_SIZE,
    PROGRAM_ENTRY_SIZE,
    Context,
    Fact,
    LoaderProgram,
    MapEntry,
    ProgramEntry,
    Scheme,
    Signature,
)
from bpfas.loader.gen.script import Call, Script
from bpfas.loader.image.configure import kind_of
from bpfas.loader.kinds import MapType
from bpfas.loader.sections import SectionKind, section_kind, split_autoload
from bpfas.loader.spec import ExternSpec, Image, KconfigVariable, MapSpec, ProgramSpec, Variable
from bpfas.loader.syscall.bpf import Command
from bpfas.section_names import KCONFIG_SECTION

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

MAGIC = b"\x7fBPFLOAD"
VERSION = 1
_REGIONS = 4
_ALIGNMENT = 8
_LARGEST_CONTEXT = 0xFFFF
_FACT_SIZE = 8
_LARGEST_NUMBER = (1 << 32) - 1

_ORDERS = {order.ei_data: order for order in ByteOrder}
_LEFT_OUT = {"ProgramSpec": frozenset({"kind", "parts", "core"})}
"""Fields that follow from others, that lead into the object, or that are in the data and nobody asks for."""


class _ContextRecord(NamedTuple):
    """The context's layout; maps and programs by their names, with the offsets of their entries."""

    size: int
    failed_step: int
    maps: dict[str, int]
    programs: dict[str, int]
    loaded: tuple[str, ...]
    facts: tuple[Fact, ...]


class _Description(NamedTuple):
    """All that the file says in JSON; `types` is the object's BTF."""

    name: str
    object_name: str
    context: _ContextRecord
    script: Script
    maps: dict[str, MapSpec]
    programs: dict[str, ProgramSpec]
    externs: dict[str, ExternSpec]
    kconfig_variables: tuple[KconfigVariable, ...]
    types: bytes | None = None
    arena: str = ""
    warnings: tuple[Diagnostic, ...] = ()
    kconfig: str = ""
    scheme: Scheme | None = None
    signature: Signature | None = None


def is_raw(data: bytes) -> bool:
    """Whether these bytes begin as the file of a loader program does."""
    return data.startswith(MAGIC)


def write_raw(program: LoaderProgram) -> bytes:
    """The bytes of a file with `program`."""
    coder = _coder(program.byte_order)
    regions = Regions([program.instructions, program.data])
    description = coder.encode(_description_of(program), _Description, regions)
    text = json.dumps(description, separators=(",", ":")).encode()
    header = _header(program.byte_order)
    contents = [program.instructions, program.data, text, bytes(regions.extra)]
    places, body, start = [], bytearray(), _aligned(header.size)
    body += bytes(start - header.size)
    for each in contents:
        places += [header.size + len(body), len(each)]
        body += each.ljust(_aligned(len(each)), b"\0")
    checksum = zlib.crc32(body)
    fields = (MAGIC, program.byte_order.ei_data, VERSION, header.size, checksum, program.context.size, _REGIONS)
    return header.pack(*fields, *places) + bytes(body)


def read_raw(data: bytes, name: str = "<memory>") -> LoaderProgram:
    """The loader program in a file, which `bpfas.loader.gen.running.runner.run` can run without the object.

    `name` is how messages call the file. The image has what running takes: not the BTF and CO-RE relocations for
    the kernel, which are in the data, nor the places in the object that code is from. Raises BpfasError for what
    is no such file, or damaged.
    """
    try:
        return _read(data)
    except MalformedError as error:
        raise BpfasError.of(f"the file is damaged, or not a loader program: {error}", name, _REMEDY) from None
    except RecursionError:
        raise BpfasError.of("the file is damaged: it is nested too deeply", name, _REMEDY) from None


_REMEDY = ("write it anew: bpf-load gen OBJ -o FILE",)


def _description_of(program: LoaderProgram) -> _Description:
    image, context = program.image, program.context
    types = image.types
    return _Description(
        program.name,
        image.name,
        _ContextRecord(
            context.size,
            context.failed_step,
            {entry.spec.name: entry.offset for entry in context.maps},
            {entry.spec.name: entry.offset for entry in context.programs},
            tuple(entry.spec.name for entry in context.programs if entry.is_loaded),
            context.facts,
        ),
        program.script,
        {entry.spec.name: image.maps[entry.spec.name] for entry in context.maps},
        {entry.spec.name: image.programs[entry.spec.name] for entry in context.programs},
        image.externs,
        image.kconfig,
        None if types is None else write_btf(types.words, types.strings, types.order),
        image.arena,
        tuple(
            warning._replace(at=None if warning.at is None else str(warning.at)) for warning in program.warnings
        ),
        program.kconfig,
        program.scheme,
        program.signature,
    )


def _read(data: bytes) -> LoaderProgram:
    order, regions, context_size = _regions(data)
    instructions, contents, text, extra = regions
    if not instructions or len(instructions) % SLOT_SIZE:
        raise MalformedError(f"the instructions have {len(instructions)} bytes, no multiple of {SLOT_SIZE}")
    try:
        parsed = json.loads(text)
    except ValueError as error:
        raise MalformedError(f"the description is no JSON: {error}") from None
    found = _description(parsed, order, [instructions, contents, extra])
    programs = {key: _with_kind(spec) for key, spec in found.programs.items()}
    image = Image(
        found.object_name,
        order,
        found.maps,
        programs,
        found.externs,
        kconfig=found.kconfig_variables,
        types=None if found.types is None else read_btf(found.types, order, found.object_name),
        arena=found.arena,
    )
    _check_image(image, len(contents))
    context = _context_of(found.context, found.maps, programs)
    if context.size != context_size:
        raise MalformedError(
            f"the context has {context.size} bytes in the description, {context_size} in the header"
        )
    _check_script(found.script)
    return LoaderProgram(
        found.name,
        order,
        instructions,
        contents,
        context,
        found.script,
        image,
        found.kconfig,
        found.scheme,
        found.signature,
        found.warnings,
    )


def _description(parsed: object, order: ByteOrder, regions: Sequence[bytes]) -> _Description:
    try:
        return _coder(order).decode(parsed, _Description, regions)
    except MalformedError as error:
        raise MalformedError(error.why, f"description{error.where}") from None


def _regions(data: bytes) -> tuple[ByteOrder, list[bytes], int]:
    """The byte order, the regions, and the size of the context."""
    if not is_raw(data):
        raise MalformedError(f"it begins with {data[: len(MAGIC)].hex(' ') or 'nothing'}, not {MAGIC.hex(' ')}")
    if len(data) < _header(ByteOrder.LITTLE).size:
        raise MalformedError(f"it ends in the header, after {len(data)} bytes")
    order = _ORDERS.get(data[len(MAGIC)])
    if order is None:
        raise MalformedError(f"its byte order is {data[len(MAGIC)]}, not 1 or 2")
    header = _header(order)
    _, _, version, size, checksum, context_size, count, *places = header.unpack_from(data)
    if version != VERSION:
        raise MalformedError(f"it is of version {version}, and only {VERSION} is known")
    if (size, count) != (header.size, _REGIONS):
        raise MalformedError(f"its header has {size} bytes and {count} regions, not {header.size} and {_REGIONS}")
    regions = []
    for offset, length in zip(places[::2], places[1::2], strict=True):
        if offset < size or offset + length > len(data):
            raise MalformedError(f"it has {len(data)} bytes, but a region of {length} at {offset}; it is cut off")
        regions.append(data[offset : offset + length])
    if zlib.crc32(data[size:]) != checksum:
        raise MalformedError("its checksum is not that of its contents")
    return order, regions, context_size


def _context_of(
    record: _ContextRecord, maps: Mapping[str, MapSpec], programs: Mapping[str, ProgramSpec]
) -> Context:
    """The layout, if everything in it is where it can be."""
    if not HEADER_SIZE <= record.size <= _LARGEST_CONTEXT:
        raise MalformedError(f"the context has {record.size} bytes")
    places = [*((name, offset, MAP_ENTRY_SIZE) for name, offset in record.maps.items())]
    places += [(name, offset, PROGRAM_ENTRY_SIZE) for name, offset in record.programs.items()]
    places += [(fact.subject, fact.offset, _FACT_SIZE) for fact in record.facts]
    places.append(("the step that failed", record.failed_step, 4))
    end = HEADER_SIZE
    for name, offset, size in sorted(places, key=lambda place: place[1]):
        if offset < end or offset + size > record.size:
            raise MalformedError(f"'{name}' lies at {offset} of the context, on other things or outside")
        end = offset + size
    for what, names, specs in (("map", record.maps, maps), ("program", record.programs, programs)):
        if list(names) != list(specs) or any(spec.name != name for name, spec in specs.items()):
            raise MalformedError(f"the context has {what}s {', '.join(names)}, but there are {', '.join(specs)}")
    if unknown := set(record.loaded) - programs.keys():
        raise MalformedError(f"there is no program {', '.join(sorted(unknown))}")
    return Context(
        tuple(MapEntry(maps[name], offset) for name, offset in record.maps.items()),
        tuple(
            ProgramEntry(programs[name], offset, name in record.loaded) for name, offset in record.programs.items()
        ),
        record.failed_step,
        record.facts,
        record.size,
    )


def _check_script(script: Script) -> None:
    for step in script.numbered_steps():
        if isinstance(step, Call) and not isinstance(step.command, Command):
            raise MalformedError(f"there is no command {step.command} of bpf()")


def _check_image(image: Image, data_size: int) -> None:
    """Raise MalformedError for numbers that lead out of what they are about; the program has `data_size` bytes."""
    types = range(1 if image.types is None else len(image.types) + 1)
    for name, spec in image.maps.items():
        for each in (spec, *_inner_maps(spec)):
            sizes = (each.key_size, each.value_size, each.max_entries, each.map_flags, each.map_type)
            if not all(0 <= size <= _LARGEST_NUMBER for size in sizes):
                raise MalformedError(f"map '{name}' has a size, type or flags that are no 32 bits: {sizes}")
            ids = [each.key_type, each.value_type, *(variable.type_id for variable in each.variables)]
            ids += [each.struct_ops.type_id] if each.struct_ops else []
            _check_types(ids, types, f"map '{name}'")
        is_data = bool(spec.section) and spec.map_type == MapType.ARRAY
        room = len(spec.contents) if spec.contents is not None and not is_data else spec.value_size
        if is_data and spec.contents is not None and len(spec.contents) != room:
            raise MalformedError(f"map '{name}' has {len(spec.contents)} bytes of contents, not {room}")
        _check_places(spec.variables, room, name)
    kconfig = next((spec for spec in image.maps.values() if spec.section == KCONFIG_SECTION), None)
    if kconfig and kconfig.value_size > data_size:
        raise MalformedError(f"{KCONFIG_SECTION} has {kconfig.value_size} bytes, all of the data {data_size}")
    _check_places(image.kconfig, kconfig.value_size if kconfig else 0, KCONFIG_SECTION)
    _check_types([extern.type_id for extern in image.externs.values()], types, "the names that are left open")


def _inner_maps(spec: MapSpec) -> Iterator[MapSpec]:
    while spec.inner:
        yield (spec := spec.inner)


def _check_places(variables: Sequence[Variable | KconfigVariable], room: int, name: str) -> None:
    for each in variables:
        if min(each.offset, each.size) < 0 or each.offset + each.size > room:
            message = f"variable '{each.name}' has {each.size} bytes at {each.offset} of the {room} of '{name}'"
            raise MalformedError(message)


def _check_types(ids: Sequence[int], known: range, what: str) -> None:
    if unknown := [type_id for type_id in ids if type_id not in known]:
        raise MalformedError(f"{what} has type {unknown[0]}, but there are {len(known) - 1}")


def _with_kind(spec: ProgramSpec) -> ProgramSpec:
    section, _ = split_autoload(spec.section)
    spec = spec._replace(kind=section_kind(section))
    return spec._replace(kind=kind_of(spec))


def _header(order: ByteOrder) -> Struct:
    return Struct(f"{order.value}8sBBHIII{2 * _REGIONS}Q")


@functools.cache
def _coder(order: ByteOrder) -> Coder:
    # Arrays are the same as lists in annotations, and arrays of words everywhere.
    names = {"array": list, "SectionKind": SectionKind, "Command": Command, "Fact": Fact, "Script": Script}
    return Coder(order, names, _LEFT_OUT)


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
