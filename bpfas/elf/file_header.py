"""The header of an ELF file: whether it is an object for BPF that can be read, and where its tables are.

pyelftools reads the header and knows the names of foreign machines. What the tables hold is `bpfas.elf.reader`'s
part. Source: gABI chapter 4.
"""

from __future__ import annotations

import io
from typing import NamedTuple

from elftools.common.utils import struct_parse
from elftools.elf.descriptions import describe_e_machine, describe_e_type
from elftools.elf.structs import ELFStructs

from bpfas.diag import BpfasError, Diagnostics
from bpfas.elf.constants import EHDR_SIZE, ByteOrder

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


def read_file_header(data: bytes, name: str) -> FileHeader:
    """Check what kind of file this is; raises BpfasError unless it is one that can be read."""
    if not data.startswith(_ELF_MAGIC):
        for magic, meaning in _FOREIGN_MAGIC.items():
            if data.startswith(magic):
                raise BpfasError.of(f"is {meaning}", name)
        if not data:
            raise BpfasError.of("is empty, not an ELF file", name)
        raise BpfasError.of(
            f"is not an ELF file: it begins with {data[:4].hex(' ')}, not 7f 45 4c 46; assemble it first?", name
        )
    if len(data) < EHDR_SIZE:
        raise BpfasError.of(f"is truncated: {len(data)} bytes, less than an ELF header's {EHDR_SIZE}", name)
    ei_class, ei_data, ei_version = data[4:7]
    if ei_class != 2:
        width = {1: "a 32-bit ELF file"}.get(ei_class, f"an ELF file of unknown class {ei_class}")
        raise BpfasError.of(f"is {width}; BPF objects are 64-bit: compile it for BPF", name)
    if ei_data not in (1, 2):
        raise BpfasError.of(f"has unknown byte order (EI_DATA {ei_data}), neither 1 nor 2", name)
    if ei_version != 1:
        raise BpfasError.of(f"has ELF version {ei_version}, not 1", name)
    structs = ELFStructs(little_endian=ei_data == 1, elfclass=64)
    structs.create_basic_structs()
    structs.create_advanced_structs()
    ehdr = struct_parse(structs.Elf_Ehdr, io.BytesIO(data), 0)  # cannot fail: the header is there whole
    diagnostics = Diagnostics()
    if ehdr.e_machine not in ("EM_BPF", "EM_NONE"):
        machine = describe_e_machine(ehdr.e_machine).strip("<>")
        diagnostics.error(f"is for another machine, {machine} ({ehdr.e_machine}); compile it for BPF", name)
    if ehdr.e_type != "ET_REL":
        kind = describe_e_type(ehdr.e_type).strip("<>")
        diagnostics.error(
            f"is not a relocatable object but of type {kind} ({ehdr.e_type}); compile it with -c", name
        )
    diagnostics.raise_if_errors()
    return FileHeader(
        ByteOrder.LITTLE if ei_data == 1 else ByteOrder.BIG,
        *(ehdr.e_flags, ehdr.e_shoff, ehdr.e_shentsize, ehdr.e_shnum, ehdr.e_shstrndx),
    )
