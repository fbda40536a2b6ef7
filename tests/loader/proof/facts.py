"""What the kernel has of a loaded object: instructions, records of functions and lines, types, maps and contents.

It is asked by descriptors alone, so that it does not matter who has loaded the object. Numbers that the kernel
gives anew at each loading are replaced by names.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bpfas.loader import syscall
from bpfas.loader.kinds import MapType
from bpfas.loader.syscall.objects import get_info

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

LD_IMM64, CALL = 0x18, 0x85
KERNEL_FUNCTION = 2
MAP_FD, MAP_VALUE = 1, 2
LARGEST_CONTENTS = 1 << 16

WITH_CONTENTS = {MapType.ARRAY, MapType.HASH, MapType.ARRAY_OF_MAPS, MapType.HASH_OF_MAPS, MapType.PROG_ARRAY}
OF_MAPS = {MapType.ARRAY_OF_MAPS, MapType.HASH_OF_MAPS}


class ProgInfo(ctypes.Structure):
    """struct bpf_prog_info of include/uapi/linux/bpf.h, with what came after Linux 5.16."""

    _fields_ = [
        ("type", ctypes.c_uint32),
        ("id", ctypes.c_uint32),
        ("tag", ctypes.c_uint8 * 8),
        ("jited_prog_len", ctypes.c_uint32),
        ("xlated_prog_len", ctypes.c_uint32),
        ("jited_prog_insns", ctypes.c_uint64),
        ("xlated_prog_insns", ctypes.c_uint64),
        ("load_time", ctypes.c_uint64),
        ("created_by_uid", ctypes.c_uint32),
        ("nr_map_ids", ctypes.c_uint32),
        ("map_ids", ctypes.c_uint64),
        ("name", ctypes.c_char * 16),
        ("ifindex", ctypes.c_uint32),
        ("gpl_compatible", ctypes.c_uint32),
        ("netns_dev", ctypes.c_uint64),
        ("netns_ino", ctypes.c_uint64),
        ("nr_jited_ksyms", ctypes.c_uint32),
        ("nr_jited_func_lens", ctypes.c_uint32),
        ("jited_ksyms", ctypes.c_uint64),
        ("jited_func_lens", ctypes.c_uint64),
        ("btf_id", ctypes.c_uint32),
        ("func_info_rec_size", ctypes.c_uint32),
        ("func_info", ctypes.c_uint64),
        ("nr_func_info", ctypes.c_uint32),
        ("nr_line_info", ctypes.c_uint32),
        ("line_info", ctypes.c_uint64),
        ("jited_line_info", ctypes.c_uint64),
        ("nr_jited_line_info", ctypes.c_uint32),
        ("line_info_rec_size", ctypes.c_uint32),
        ("jited_line_info_rec_size", ctypes.c_uint32),
        ("nr_prog_tags", ctypes.c_uint32),
        ("prog_tags", ctypes.c_uint64),
        ("run_time_ns", ctypes.c_uint64),
        ("run_cnt", ctypes.c_uint64),
        ("recursion_misses", ctypes.c_uint64),
        ("verified_insns", ctypes.c_uint32),
        ("attach_btf_obj_id", ctypes.c_uint32),
        ("attach_btf_id", ctypes.c_uint32),
    ]


@dataclass(frozen=True, slots=True)
class ProgramFacts:
    """A program in the kernel. `instructions` are those after verification; `types` is a hash of its BTF."""

    name: str
    type: int
    tag: str
    attach_btf_id: int
    gpl_compatible: int
    maps: tuple[str, ...]
    verified_instructions: int
    function_records: str
    line_records: str
    types: str
    instructions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MapFacts:
    """A map in the kernel. `contents` are elements as they were before anybody used the map."""

    name: str
    type: int
    key_size: int
    value_size: int
    max_entries: int
    flags: int
    extra: int
    key_type: int
    value_type: int
    is_frozen: bool
    contents: tuple[tuple[str, str], ...]


@dataclass(slots=True)
class Facts:
    """An object in the kernel, its programs by name; or why it is not there."""

    programs: dict[str, ProgramFacts] = field(default_factory=dict)
    maps: list[MapFacts] = field(default_factory=list)
    refusal: str = ""


def facts(programs: Mapping[str, int], maps: Iterable[int]) -> Facts:
    """What the kernel says of these descriptors of programs, by name, and of maps."""
    descriptors = list(maps)
    names = {info.id: info.name for info in map(syscall.map_info, descriptors)}
    program_names = {syscall.prog_info(fd).id: name for name, fd in programs.items()}
    found = [map_facts(fd, names, program_names) for fd in descriptors]
    return Facts(
        {name: program_facts(fd, names) for name, fd in programs.items()},
        sorted(found, key=lambda each: (each.name, each.type)),
    )


def program_facts(fd: int, map_names: Mapping[int, str]) -> ProgramFacts:
    """A program; `map_names` by the maps' ids."""
    info: Any = get_info(fd, ProgInfo())
    functions = ctypes.create_string_buffer(info.nr_func_info * info.func_info_rec_size)
    lines = ctypes.create_string_buffer(info.nr_line_info * info.line_info_rec_size)
    records: Any = get_info(
        fd,
        ProgInfo(
            func_info=ctypes.addressof(functions),
            func_info_rec_size=info.func_info_rec_size,
            nr_func_info=info.nr_func_info,
            line_info=ctypes.addressof(lines),
            line_info_rec_size=info.line_info_rec_size,
            nr_line_info=info.nr_line_info,
        ),
    )
    return ProgramFacts(
        info.name.decode(),
        info.type,
        bytes(info.tag).hex(),
        info.attach_btf_id,
        info.gpl_compatible,
        tuple(sorted(map_names.get(map_id, "?") for map_id in syscall.prog_map_ids(fd))),
        info.verified_insns,
        f"{records.nr_func_info} {functions.raw.hex()}",
        f"{records.nr_line_info} {hashlib.sha256(lines.raw).hexdigest()}",
        types_of(info.btf_id),
        tuple(instructions(syscall.prog_xlated(fd), map_names)),
    )


def types_of(btf_id: int) -> str:
    """A hash of the types that were loaded with a program, and their size."""
    if not btf_id:
        return ""
    data = syscall.btf_data_by_id(btf_id)
    return f"{len(data)} {hashlib.sha256(data).hexdigest()}"


def instructions(code: bytes, map_names: Mapping[int, str]) -> Iterator[str]:
    """Instructions in hexadecimal; loads of maps with its name for its id, calls of modules marked."""
    slots = [code[start : start + 8] for start in range(0, len(code), 8)]
    for slot in slots:
        opcode, registers, offset, immediate = struct.unpack("<BBhi", slot)
        if opcode == LD_IMM64 and registers >> 4 in {MAP_FD, MAP_VALUE}:
            yield f"{slot[:2].hex()} {offset} map {map_names.get(immediate, '?')}"
        elif opcode == CALL and registers >> 4 == KERNEL_FUNCTION and offset:
            # Which place the module has in a table of descriptors is whoever's choice who loads.
            yield f"{slot[:2].hex()} of a module {slot[4:].hex()}"
        else:
            yield slot.hex()


def map_facts(fd: int, map_names: Mapping[int, str], program_names: Mapping[int, str]) -> MapFacts:
    """A map; names of maps and programs by their ids, for those that it holds."""
    info = syscall.map_info(fd)
    return MapFacts(
        info.name,
        info.type,
        info.key_size,
        info.value_size,
        info.max_entries,
        info.map_flags,
        info.map_extra,
        info.key_type,
        info.value_type,
        "frozen:\t1" in Path(f"/proc/self/fdinfo/{fd}").read_text(),
        # In the keys' order, for that of a hash is another one each time.
        tuple(sorted(contents(fd, info, map_names if info.type in OF_MAPS else program_names))),
    )


def contents(fd: int, info: syscall.MapInfo, names: Mapping[int, str]) -> Iterator[tuple[str, str]]:
    """The elements of a map that it can be asked for, zeros left out; ids of maps and programs as their names."""
    if info.type not in WITH_CONTENTS or info.value_size * info.max_entries > LARGEST_CONTENTS:
        return
    for key in keys(fd, info.key_size):
        try:
            value = syscall.map_lookup_elem(fd, key, info.value_size)
        except FileNotFoundError:  # an element of an array of maps that has none
            continue
        if value.strip(b"\0"):
            is_id = info.type not in {MapType.ARRAY, MapType.HASH}
            yield key.hex(), names.get(int.from_bytes(value, "little"), "?") if is_id else value.hex()


def keys(fd: int, size: int) -> Iterator[bytes]:
    """All keys of a map, in its order."""
    key = None
    with contextlib.suppress(FileNotFoundError):
        while True:
            key = syscall.map_get_next_key(fd, key, size)
            yield key
