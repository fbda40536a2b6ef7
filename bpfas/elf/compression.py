"""Compressed sections (SHF_COMPRESSED), as compilers write debugging information with -gz: what they hold.

Sizes and offsets in an object, such as those of relocations, count in the contents before compression. Source:
gABI chapter 4, Section Compression.
"""

from __future__ import annotations

import struct
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from bpfas.elf.constants import (
    CHDR_SIZE,
    MAX_ALIGNMENT,
    CompressionType,
    SectionFlag,
    SectionType,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from bpfas.elf.constants import ByteOrder
    from bpfas.elf.section_headers import ElfFile, SectionHeader

MAX_UNCOMPRESSED = 1 << 27
"""Bytes that the compressed sections of one file may hold together; a small file can ask for any number."""


class CompressionHeader(NamedTuple):
    """Elf64_Chdr, with which the contents of a compressed section begin."""

    ch_type: int
    ch_size: int
    ch_addralign: int


def read_compression_header(
    contents: bytes | bytearray | memoryview, order: ByteOrder
) -> CompressionHeader | None:
    """The header in front of compressed contents; None if they are too short for one."""
    if len(contents) < CHDR_SIZE:
        return None
    ch_type, _reserved, ch_size, ch_addralign = struct.unpack_from(f"{order.value}IIQQ", contents)
    return CompressionHeader(ch_type, ch_size, ch_addralign)


def is_readable(header: CompressionHeader | None) -> bool:
    """Whether the compression can be undone here, or undoing it will tell what is wrong with the header."""
    return header is None or _decompressor_maker(header.ch_type) is not None


def compression_name(ch_type: int) -> str:
    """What messages call a kind of compression."""
    try:
        return CompressionType(ch_type).name.lower()
    except ValueError:
        return f"a method of unknown number {ch_type}"


def uncompressed(file: ElfFile, header: SectionHeader, place: str) -> bytes:
    """The contents that a compressed section stands for; none after an error, which names `place`."""
    contents = file.contents(header)
    compression = read_compression_header(contents, file.order)
    if header.sh_flags & SectionFlag.ALLOC or header.sh_type == SectionType.NOBITS:
        file.error("is compressed (SHF_COMPRESSED), which a section that is loaded cannot be", place)
    elif compression is None:
        file.error(f"is compressed, but its {len(contents)} bytes are too few for a compression header", place)
    elif (align := compression.ch_addralign) & (align - 1) or align > MAX_ALIGNMENT:
        file.error(f"alignment {align:#x} (ch_addralign) is no power of two up to {MAX_ALIGNMENT:#x}", place)
    elif file.uncompressed_bytes + compression.ch_size > MAX_UNCOMPRESSED:
        file.error(
            f"is to be {compression.ch_size} bytes when uncompressed (ch_size), and all of the file "
            f"{file.uncompressed_bytes + compression.ch_size}, more than {MAX_UNCOMPRESSED}; is the file damaged?",
            place,
        )
    else:
        file.uncompressed_bytes += compression.ch_size
        return _uncompress(file, contents[CHDR_SIZE:], compression, place)
    return b""


def _uncompress(file: ElfFile, data: memoryview, compression: CompressionHeader, place: str) -> bytes:
    make = _decompressor_maker(compression.ch_type)
    assert make is not None  # `is_readable` said so
    name = compression_name(compression.ch_type)
    decompressor = make()
    try:
        # One more byte than there should be tells of too many.
        contents: bytes = decompressor.decompress(data, compression.ch_size + 1)
    except Exception as error:  # each library has its own
        file.error(f"its contents, compressed by {name}, are damaged: {error}", place)
        return b""
    if len(contents) != compression.ch_size or not decompressor.eof:
        many = "more" if len(contents) > compression.ch_size else f"{len(contents):#x}"
        file.error(
            f"its contents, compressed by {name}, should be {compression.ch_size:#x} bytes (ch_size), "
            f"but are {many}; is the file damaged?",
            place,
        )
        return b""
    return contents


def _decompressor_maker(ch_type: int) -> Callable[[], Any] | None:
    """What makes a decompressor; None where Python's own library has none."""
    if ch_type == CompressionType.ZLIB:
        import zlib  # few objects have compressed sections

        return zlib.decompressobj
    if ch_type == CompressionType.ZSTD and sys.version_info >= (3, 14):
        from compression import zstd

        return zstd.ZstdDecompressor
    return None
