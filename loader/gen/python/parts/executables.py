"""Functions of executables and libraries: the file, and where in it a function begins.

Source: elf(5).
"""

from __future__ import annotations

import errno
import os
import struct

from bpfas.loader.gen.python.parts.kernel import AttachError, read_file

SECTION_HEADER, SYMBOL = struct.Struct("=IIQQQQIIQQ"), struct.Struct("=IBBHQQ")
PROGRAM_HEADER = struct.Struct("=IIQQQQQQ")
SYMBOL_TABLES, LOADED, FUNCTION_TYPES = (2, 11), 1, (2, 10)
LIBRARY_FOLDERS = ("/lib64", "/usr/lib64", "/lib", "/usr/lib", "/usr/local/lib")


def find_executable(name: str) -> str:
    """The path of a file: as it is, or where executables and libraries are. Raises AttachError."""
    if "/" in name:
        return name
    folders = os.environ.get("PATH", "/usr/bin:/bin").split(":")
    if ".so" in name:
        triplet = f"{os.uname().machine}-linux-gnu"
        folders = [*os.environ.get("LD_LIBRARY_PATH", "").split(":"), *LIBRARY_FOLDERS]
        folders += [f"{folder}/{triplet}" for folder in LIBRARY_FOLDERS]
    for folder in folders:
        path = os.path.join(folder, name)
        if folder and os.path.exists(path):
            return path
    raise AttachError(f"find {name}", errno.ENOENT, "it is not where executables and libraries are: give its path")


def function_offset(path: str, function: str) -> int:
    """Where in a 64-bit ELF file a function begins, in bytes. Raises AttachError."""
    step = f"find function {function} of {path}"
    try:
        data = read_file(path)
        if data[:5] != b"\x7fELF\x02":
            raise AttachError(step, errno.ENOEXEC, "it is no 64-bit ELF file: give the function's offset")
        address = symbol_address(data, function.encode())
        if address is None:
            raise AttachError(step, errno.ENOENT, "it has no such function in its symbol tables")
        start, size, count = *struct.unpack_from("=Q", data, 32), *struct.unpack_from("=HH", data, 54)
        for number in range(count):
            header = PROGRAM_HEADER.unpack_from(data, start + size * number)
            kind, offset, virtual, length = header[0], header[2], header[3], header[5]
            if kind == LOADED and virtual <= address < virtual + length:
                return int(address - virtual + offset)
    except OSError as error:
        if isinstance(error, AttachError):
            raise
        raise AttachError(step, error.errno or 0, error.strerror or "") from None
    except (struct.error, IndexError):
        raise AttachError(step, errno.ENOEXEC, "the file is damaged") from None
    raise AttachError(step, errno.ENOENT, "no segment of the file has it")


def symbol_address(data: bytes, name: bytes) -> int | None:
    """The address of a defined function; None if there is none of that name."""
    start, size, count = *struct.unpack_from("=Q", data, 40), *struct.unpack_from("=HH", data, 58)
    sections = [SECTION_HEADER.unpack_from(data, start + size * number) for number in range(count)]
    for _, kind, _, _, at, length, link, *_ in sections:
        if kind not in SYMBOL_TABLES:
            continue
        strings = sections[link][4]
        table = data[at : at + length // SYMBOL.size * SYMBOL.size]
        for text, info, _, section, value, _ in SYMBOL.iter_unpack(table):
            place = strings + text
            if section and info & 15 in FUNCTION_TYPES and data[place : place + len(name) + 1] == name + b"\0":
                return int(value)
    return None
