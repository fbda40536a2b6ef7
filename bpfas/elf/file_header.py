"""The header of an ELF file: whether it is an object for BPF that can be read, and where its tables are.

What the tables hold is for others: `bpfas.elf.section_headers` comes next. pyelftools knows the names of foreign
machines. Source: gABI chapter 4.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from bpfas.diag import BpfasError, Diagnostics
from bpfas.elf.constants import EHDR_SIZE, EM_BPF, EM_NONE, ET_REL, ByteOrder

if TYPE_CHECKING:
    from collections.abc import Mapping

_ELF_MAGIC = b"\x7fELF"
_FOREIGN_MAGIC = {
    b"BC\xc0\xde": "LLVM bitcode; compile it without -flto or -emit-llvm",
    b"!<arch>\n": "an archive, not an object; extract its members",
    b"!<thin>\n": "a thin archive, not an object; name its members instead",
}


class FileHeader(NamedTuple):
    """What the ELF header says about where things are."""

    order: ByteOrder
    e_flags: int
    e_shoff: int
    e_shentsize: int
    e_shnum: int
    e_shstrndx: int


def read_file_header(data: bytes | memoryview, name: str) -> FileHeader:
    """Check what kind of file this is; raises BpfasError unless it is one that can be read."""
    start = bytes(data[:EHDR_SIZE])
    if not start.startswith(_ELF_MAGIC):
        for magic, meaning in _FOREIGN_MAGIC.items():
            if start.startswith(magic):
                raise BpfasError.of(f"is {meaning}", name)
        if not start:
            raise BpfasError.of("is empty, not an ELF file", name)
        raise BpfasError.of(
            f"is not an ELF file: it begins with {start[:4].hex(' ')}, not 7f 45 4c 46; assemble it first?", name
        )
    if len(start) < EHDR_SIZE:
        raise BpfasError.of(f"is truncated: {len(start)} bytes, less than an ELF header's {EHDR_SIZE}", name)
    ei_class, ei_data, ei_version = start[4:7]
    if ei_class != 2:
        width = {1: "a 32-bit ELF file"}.get(ei_class, f"an ELF file of unknown class {ei_class}")
        raise BpfasError.of(f"is {width}; BPF objects are 64-bit: compile it for BPF", name)
    if ei_data not in (1, 2):
        raise BpfasError.of(f"has unknown byte order (EI_DATA {ei_data}), neither 1 nor 2", name)
    if ei_version != 1:
        raise BpfasError.of(f"has ELF version {ei_version}, not 1", name)
    order = ByteOrder.LITTLE if ei_data == 1 else ByteOrder.BIG
    e_type, e_machine, e_shoff, e_flags, e_shentsize, e_shnum, e_shstrndx = struct.unpack(
        f"{order.value}16xHH4x16xQI6xHHH", start
    )
    _check_kind(e_type, e_machine, name)
    return FileHeader(order, e_flags, e_shoff, e_shentsize, e_shnum, e_shstrndx)


def _check_kind(e_type: int, e_machine: int, name: str) -> None:
    diagnostics = Diagnostics()
    if e_machine not in (EM_BPF, EM_NONE):
        machine = _machine_name(e_machine)
        diagnostics.error(f"is for another machine, {machine}; compile it for BPF", name)
    if e_type != ET_REL:
        kind = _type_name(e_type)
        diagnostics.error(f"is not a relocatable object but of type {kind}; compile it with -c", name)
    diagnostics.raise_if_errors()


def _machine_name(e_machine: int) -> str:
    from elftools.elf.descriptions import describe_e_machine
    from elftools.elf.enums import ENUM_E_MACHINE

    constant = _constant(ENUM_E_MACHINE, e_machine)
    return f"{describe_e_machine(constant).strip('<>')} ({constant})"


def _type_name(e_type: int) -> str:
    from elftools.elf.descriptions import describe_e_type
    from elftools.elf.enums import ENUM_E_TYPE

    constant = _constant(ENUM_E_TYPE, e_type)
    return f"{describe_e_type(constant).strip('<>')} ({constant})"


def _constant(names: Mapping[str, int], number: int) -> str:
    """The name in elf.h of a number, or where there is none the number."""
    return next((name for name, value in names.items() if value == number), str(number))
