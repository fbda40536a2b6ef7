"""The bytes of an input, or of a member of an archive, to an object; of what is none, what it is and what to do.

What is wrong inside an ELF file is told by `bpfas.elf.reader`.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from bpfas.cli import map_input
from bpfas.diag import BpfasError
from bpfas.elf.file_header import read_file_header
from bpfas.elf.reader import read_object
from bpfas.elf.section_headers import ElfFile

if TYPE_CHECKING:
    from collections.abc import Callable

    from bpfas.objfile import ObjectFile, Section

_COMPILED_MAGICS = (b"\x7fELF", b"BC\xc0\xde", b"\xde\xc0\x17\x0b")
"""How ELF files and LLVM's bitcode begin, which may be wrapped."""

_LONGEST_START = 4096
"""Bytes of a file that tell whether it is a text."""

SLIM_LTO_SYMBOL = "__gnu_lto_slim"
"""What GCC defines in an object that holds its intermediate code only."""

_LINKER_SCRIPT = rb"\s*(?:/\*.*?\*/\s*)*(?:INPUT|GROUP|SECTIONS|OUTPUT_FORMAT|OUTPUT_ARCH|ENTRY|SEARCH_DIR)\s*[({]"
_SOURCES = {
    ".c": "C; compile it first: clang --target=bpf -O2 -c, or bpf-gcc -O2 -c",
    ".h": "C; leave it out",
    ".s": "assembly; assemble it first: bpf-as",
    ".S": "assembly; assemble it first: bpf-gcc -c",
    ".ll": "LLVM's language; compile it first: clang --target=bpf -c",
}
"""What files are that are no objects, by how their names end."""


_COMPRESSED_MAGICS = {
    b"\x1f\x8b": ("gzip", "gunzip"),
    b"\xfd7zXZ\0": ("xz", "unxz"),
    b"\x28\xb5\x2f\xfd": ("zstd", "unzstd"),
    b"BZh": ("bzip2", "bunzip2"),
}
"""How files begin that are compressed as a whole, by what, and what undoes it."""

_BTF_MAGICS = (b"\x9f\xeb\x01", b"\xeb\x9f\x01")


class Unreadable:
    """What cannot take part in a link: why, and whether it looks like what a compiler makes."""

    __slots__ = ("error", "is_compiled")

    def __init__(self, error: BpfasError, is_compiled: bool) -> None:
        self.error = error
        self.is_compiled = is_compiled


def read_file(path: str) -> memoryview:
    """The bytes of an input. Raises BpfasError if it can't be read."""
    if os.path.isdir(path):
        raise BpfasError.of(f"{path} is a directory; name the files in it, or with -L let -l look there")
    return map_input(path)


def read_input_object(
    data: bytes | memoryview, name: str, on_demand: Callable[[Section], bool] | None = None
) -> ObjectFile | Unreadable:
    """The object in `data`, or why there is none; `name` is what messages call it.

    Sections that `on_demand` accepts are read when somebody asks for them.
    """
    start = bytes(data[:_LONGEST_START])
    try:
        if not start.startswith(_COMPILED_MAGICS):
            _refuse_compressed(start, name)
            if start.startswith(_BTF_MAGICS):
                raise BpfasError.of(
                    "is types alone (raw BTF), as the kernel gives of itself, and no object; leave it out: "
                    "what an object wants of the kernel, its loader looks up",
                    name,
                )
            _refuse_text(start, name)
        obj = read_object(data, name, on_demand=on_demand)
        if obj.symbol(SLIM_LTO_SYMBOL):
            raise BpfasError.of(
                "is an object for GCC's link-time optimisation, without code; "
                "compile it without -flto, or with -ffat-lto-objects",
                name,
            )
        if not all(section.name for section in obj.sections):
            _refuse_nameless_sections(data, name)
    except BpfasError as error:
        return Unreadable(error, start.startswith(_COMPILED_MAGICS))
    return obj


def _refuse_compressed(start: bytes, name: str) -> None:
    """Raise BpfasError for a file that is compressed as a whole."""
    for magic, (method, tool) in _COMPRESSED_MAGICS.items():
        if start.startswith(magic):
            raise BpfasError.of(f"is compressed by {method}; uncompress it first: {tool}", name)


def _refuse_nameless_sections(data: bytes | memoryview, name: str) -> None:
    """Raise BpfasError for an object that has such: the output's types could not name them (libbpf's rule too)."""
    file = ElfFile(data, name, read_file_header(data, name))
    for index, section_name in enumerate(file.section_names):
        if not section_name and index not in file.consumed:
            header = file.headers[index]
            what = f"section {index} (type {header.sh_type}, {header.sh_size} bytes at {header.sh_offset:#x})"
            file.error(f"{what} has no name; give it one in the source, for sections are joined by their names")
    file.diagnostics.raise_if_errors()


def _refuse_text(start: bytes, name: str) -> None:
    """Raise BpfasError for what is known to be text of some kind by how it begins."""
    if re.match(_LINKER_SCRIPT, start, re.DOTALL):
        raise BpfasError.of(
            "is a linker script; objects for BPF have no addresses to lay out: name the objects instead", name
        )
    ending = os.path.splitext(name.rstrip(")"))[1]
    if ending in _SOURCES and b"\0" not in start:
        raise BpfasError.of(f"is {_SOURCES[ending]}", name)
