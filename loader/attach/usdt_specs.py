"""The maps of bpf/usdt.bpf.h: the table of how arguments are fetched, and who has which entry of it.

A program's maps are found by the kernel's names for them, so this works for pinned programs too. The layout of an
entry is the map's own, out of its BTF: it has changed between versions of that header.
"""

from __future__ import annotations

import os
import struct
import sys
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from bpfas.btf.reader import read_btf
from bpfas.diag import BpfasError
from bpfas.elf.constants import HOST_ORDER
from bpfas.loader import syscall
from bpfas.loader.attach.failure import attach_error
from bpfas.loader.attach.usdt_arguments import LARGEST_COUNT
from bpfas.loader.spec import kernel_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfas.btf.btf import Btf
    from bpfas.loader.attach.protocols import Attachable
    from bpfas.loader.attach.usdt_arguments import UsdtArgument
    from bpfas.loader.syscall import MapInfo

SPECS_NAME, ADDRESSES_NAME = "__bpf_usdt_specs", "__bpf_usdt_ip_to_spec_id"
_KEY = struct.Struct("=I")


class Field(NamedTuple):
    """A member of a struct, in bits from its start (as BTF counts) and its width."""

    offset: int
    width: int


@dataclass(frozen=True, slots=True)
class UsdtSpec:
    """How the arguments of a site are fetched, and what bpf_usdt_cookie() gives there."""

    arguments: tuple[UsdtArgument, ...]
    cookie: int


@dataclass(frozen=True, slots=True)
class SpecLayout:
    """Where an entry has its parts. Sizes are in bytes; the fields of an argument count from its start."""

    size: int
    argument_size: int
    argument_fields: dict[str, Field]
    cookie: Field
    count: Field

    def pack(self, spec: UsdtSpec) -> bytes:
        """An entry's bytes."""
        whole = bytearray(self.size)
        for index, argument in enumerate(spec.arguments):
            at = index * self.argument_size
            whole[at : at + self.argument_size] = self._pack_argument(argument)
        put(whole, self.cookie, spec.cookie)
        put(whole, self.count, len(spec.arguments))
        return bytes(whole)

    def _pack_argument(self, argument: UsdtArgument) -> bytes:
        part = bytearray(self.argument_size)
        values = {
            "val_off": argument.offset,
            "arg_type": argument.kind,
            "idx_reg_off": argument.index,
            "scale_bitshift": argument.shift,
            "reg_off": argument.register,
            "arg_signed": argument.is_signed,
            "arg_bitshift": 64 - 8 * argument.size,
        }
        for name, value in values.items():
            if name in self.argument_fields:
                put(part, self.argument_fields[name], value)
        return bytes(part)


def put(memory: bytearray, field: Field, value: int) -> None:
    """Write a number into a member of a struct in the machine's byte order."""
    size = len(memory)
    shift = field.offset if sys.byteorder == "little" else 8 * size - field.offset - field.width
    mask = (1 << field.width) - 1
    whole = int.from_bytes(memory, sys.byteorder)
    whole = whole & ~(mask << shift) | (value & mask) << shift
    memory[:] = whole.to_bytes(size, sys.byteorder)


_OLD_ARGUMENT = {
    "val_off": Field(0, 64),
    "arg_type": Field(64, 32),
    "reg_off": Field(96, 16),
    "arg_signed": Field(112, 8),
    "arg_bitshift": Field(120, 8),
}
_OLD_LAYOUT = SpecLayout(208, 16, _OLD_ARGUMENT, Field(1536, 64), Field(1600, 16))
_INDEXED_ARGUMENT = {
    "val_off": Field(0, 64),
    "arg_type": Field(64, 8),
    "idx_reg_off": Field(80, 12),
    "scale_bitshift": Field(92, 4),
    "reg_off": Field(112, 16),
    "arg_signed": Field(128, 8),
    "arg_bitshift": Field(136, 8),
}
_INDEXED_LAYOUT = SpecLayout(304, 24, _INDEXED_ARGUMENT, Field(2304, 64), Field(2368, 16))
KNOWN_LAYOUTS = {layout.size: layout for layout in (_OLD_LAYOUT, _INDEXED_LAYOUT)}
"""The layouts of usdt.bpf.h before and since libbpf 1.7, by size, for maps without BTF."""


_TAKEN: dict[int, set[int]] = {}
"""The entries that are in use, by the id of the map (the kernel does not give ids again)."""


@dataclass(frozen=True, slots=True)
class SpecTable:
    """The two maps as a program has them; `addresses_fd` is -1 where it has no map of addresses."""

    fd: int
    map_id: int
    max_entries: int
    layout: SpecLayout
    addresses_fd: int

    def add(self, spec: UsdtSpec) -> int:
        """Write an entry, and give its number. Raises IndexError if there is no place, OSError."""
        taken = _TAKEN.setdefault(self.map_id, set())
        if not taken:
            # What another process has attached is in use, too; nobody tells of it but the entries themselves.
            empty = bytes(self.layout.size)
            taken.update(number for number in range(self.max_entries) if self._read(number) != empty)
        number = next((number for number in range(self.max_entries) if number not in taken), None)
        if number is None:
            raise IndexError
        syscall.map_update_elem(self.fd, _KEY.pack(number), self.layout.pack(spec))
        taken.add(number)
        return number

    def _read(self, number: int) -> bytes:
        return syscall.map_lookup_elem(self.fd, _KEY.pack(number), self.layout.size)


def free_spec(map_id: int, number: int, size: int) -> None:
    """Give an entry's place back; nothing is done where the map is gone."""
    _TAKEN.get(map_id, set()).discard(number)
    with _map_by_id(map_id) as fd:
        syscall.map_update_elem(fd, _KEY.pack(number), bytes(size))


def forget_address(map_id: int, key: bytes) -> None:
    """Delete the entry of a site from the map of addresses; nothing is done where either is gone."""
    with _map_by_id(map_id) as fd:
        syscall.map_delete_elem(fd, key)


@contextmanager
def _map_by_id(map_id: int) -> Iterator[int]:
    """The map's descriptor; what fails because there is no such map, or entry, is left."""
    with suppress(OSError), ExitStack() as stack:
        fd = syscall.map_get_fd_by_id(map_id)
        stack.callback(os.close, fd)
        yield fd


@contextmanager
def open_spec_table(program: Attachable, target: str) -> Iterator[SpecTable | None]:
    """The tables that a program reads its arguments by; None for one that reads none. Raises AttachError."""
    specs, addresses_fd = None, -1
    with ExitStack() as stack:
        try:
            for map_id in syscall.prog_map_ids(program.fd):
                fd = syscall.map_get_fd_by_id(map_id)
                stack.callback(os.close, fd)
                info = syscall.map_info(fd)
                if info.name == kernel_name(SPECS_NAME):
                    specs = fd, info
                elif info.name == kernel_name(ADDRESSES_NAME):
                    addresses_fd = fd
        except OSError as error:
            raise attach_error(program, target, error) from error
        if specs is None:
            yield None
            return
        fd, info = specs
        yield SpecTable(fd, info.id, info.max_entries, _layout(info), addresses_fd)


def _layout(info: MapInfo) -> SpecLayout:
    if info.btf_id and info.value_type:
        try:
            types = read_btf(syscall.btf_data_by_id(info.btf_id), HOST_ORDER, SPECS_NAME)
            return layout_of(types, info.value_type, info.value_size)
        except (OSError, BpfasError, KeyError):
            pass  # then by its size
    return KNOWN_LAYOUTS.get(info.value_size, _OLD_LAYOUT)


def layout_of(types: Btf, type_id: int, size: int) -> SpecLayout:
    """The layout of struct __bpf_usdt_spec. Raises KeyError if that is no such struct."""
    members = {member.name: member for member in types.members(types.without_qualifiers(type_id))}
    arguments = types.array(types.without_qualifiers(members["args"].type_id))
    struct_id = types.without_qualifiers(arguments.element)
    fields = {
        member.name: Field(member.bit_offset, member.bit_size or _width(types, member.type_id))
        for member in types.members(struct_id)
        if member.name in _INDEXED_ARGUMENT
    }
    if arguments.nelems < LARGEST_COUNT or not fields.keys() >= _OLD_ARGUMENT.keys():
        raise KeyError("args")
    return SpecLayout(
        size,
        types.size_or_type(struct_id),
        fields,
        Field(members["usdt_cookie"].bit_offset, 64),
        Field(members["arg_cnt"].bit_offset, _width(types, members["arg_cnt"].type_id)),
    )


def _width(types: Btf, type_id: int) -> int:
    """Bits of an integer or enumeration."""
    return 8 * types.size_or_type(types.without_qualifiers(type_id))
