"""Wrong numbers for every field of an object."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpfas.elf.constants import SectionType

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.elf.samples import Image

EHDR_FIELDS = {4: 1, 5: 1, 6: 1, 7: 1, 16: 2, 18: 2, 20: 4, 24: 8, 32: 8, 40: 8, 48: 4, 52: 2, 54: 2, 56: 2, 58: 2}
EHDR_FIELDS |= {60: 2, 62: 2}
"""The fields of the file's header behind the magic number: offsets and sizes in bytes."""

_SHDR = (4, 4, 8, 8, 8, 8, 4, 4, 8, 8)
_ENTRIES: dict[int, tuple[int, ...]] = {
    SectionType.SYMTAB: (4, 1, 1, 2, 8, 8),
    SectionType.REL: (8, 4, 4),
    SectionType.RELA: (8, 4, 4, 8),
}


def fields(image: Image) -> Iterator[tuple[int, int]]:
    """Where the fields of all tables lie, and their sizes: the headers, symbols and relocations."""
    yield from EHDR_FIELDS.items()
    for index in range(image.section_count):
        header = image.header(index)
        start = image.header_offset(index)
        yield from _row(start, _SHDR)
        layout = _ENTRIES.get(header["type"], ())
        for entry in range(header["offset"], header["offset"] + header["size"], sum(layout) or 1):
            yield from _row(entry, layout)


def _row(start: int, sizes: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    for size in sizes:
        yield start, size
        start += size


def wrong_values(old: int, size: int) -> list[int]:
    """Numbers to put in place of `old`: near it, the least, the greatest, and where a sign begins."""
    top = 1 << 8 * size
    values = (0, 1, old - 1, old + 1, old << 1, top // 2 - 1, top // 2, top - 1, 1 << 31, 1 << 40)
    return sorted({value % top for value in values} - {old})


def changed(data: bytes, at: int, size: int, value: int) -> bytes:
    """`data` with that little-endian number at offset `at`."""
    return data[:at] + value.to_bytes(size, "little") + data[at + size :]


def every_wrong_field(image: Image) -> Iterator[bytes]:
    """The bytes of the object with one wrong number in each."""
    data = bytes(image.data)
    for at, size in fields(image):
        for value in wrong_values(int.from_bytes(data[at : at + size], "little"), size):
            yield changed(data, at, size, value)
