"""Executables and shared libraries of user space: finding the file, and reading what probes need of its ELF.

A `Binary` is one ELF file, also one that lies uncompressed in an archive (`app.apk!/lib.so`). Its functions are
`bpfas.loader.attach.binary_functions`, its USDT notes `bpfas.loader.attach.usdt_notes`.
Source: the ELF specification (gABI, chapters 4 and 5).
"""

from __future__ import annotations

import mmap
import os
import platform
import struct
import sys
import zipfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bpfas.diag import BpfasError
from bpfas.elf.constants import SectionType

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ARCHIVE_SEPARATOR = "!/"
PT_LOAD = 1
ET_EXEC = 2
_LIBRARY_PLACES = ("/lib64", "/usr/lib64", "/lib", "/usr/lib", "/usr/local/lib")
_PROGRAM_PLACES = ("/usr/local/bin", "/usr/bin", "/usr/sbin", "/bin", "/sbin")
_LONGEST_NAME = 4096


class Segment(NamedTuple):
    """A PT_LOAD segment."""

    address: int
    offset: int
    file_size: int
    flags: int


class BinarySection(NamedTuple):
    """A section header."""

    name: str
    type: int
    address: int
    offset: int
    size: int
    link: int
    info: int
    entry_size: int


class Binary:
    """An ELF file of user space, of `size` bytes at `start` of the file `path`, which `data` holds.

    All other offsets are those in the ELF file itself. Raises BpfasError if it is none, or damaged.
    """

    def __init__(self, name: str, path: str, data: mmap.mmap | bytes, start: int, size: int) -> None:
        self.name = name
        self.path = path
        self.start = start
        self._data = data
        self._size = size
        identification = self.read(0, 16)
        if identification[:4] != b"\x7fELF" or identification[4] not in (1, 2) or identification[5] not in (1, 2):
            raise BpfasError.of(f"{name} is no ELF file")
        self.is_64bit = identification[4] == 2
        self.order = "<" if identification[5] == 1 else ">"
        try:
            self._read_headers()
        except struct.error as error:
            raise BpfasError.of(f"{name} is damaged: its ELF headers reach beyond its end") from error

    def _read_headers(self) -> None:
        word = "Q" if self.is_64bit else "I"
        header = self.unpack(f"HHI{word}{word}{word}IHHHHHH", 16)
        self.type, self.machine = header[0], header[1]
        program_headers, section_headers = header[4], header[5]
        ph_size, ph_count, sh_size, sh_count, names_index = header[8:13]
        segments = (self._segment(program_headers + index * ph_size) for index in range(ph_count))
        self.segments = [segment for segment in segments if segment is not None]
        rows = [self._section(section_headers + index * sh_size) for index in range(sh_count)]
        names = rows[names_index][4:6] if names_index < len(rows) else (0, 0)
        self.sections = [
            BinarySection(
                name=self.string(names[0] + row[0], names[0] + names[1]),
                type=row[1],
                address=row[3],
                offset=row[4],
                size=row[5],
                link=row[6],
                info=row[7],
                entry_size=row[9],
            )
            for row in rows
        ]

    def _segment(self, at: int) -> Segment | None:
        if self.is_64bit:
            kind, flags, offset, address, _, file_size, _, _ = self.unpack("IIQQQQQQ", at)
        else:
            kind, offset, address, _, file_size, _, flags, _ = self.unpack("IIIIIIII", at)
        return Segment(address, offset, file_size, flags) if kind == PT_LOAD else None

    def _section(self, at: int) -> tuple[int, ...]:
        return self.unpack("IIQQQQIIQQ" if self.is_64bit else "IIIIIIIIII", at)

    def unpack(self, form: str, offset: int) -> tuple[int, ...]:
        """Numbers in the file's byte order. Raises struct.error beyond its end."""
        return struct.unpack(self.order + form, self.read(offset, struct.calcsize(self.order + form)))

    def read(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes from `offset` on, as far as the file has them."""
        end = min(offset + size, self._size)
        return self._data[self.start + offset : self.start + end] if offset < end else b""

    def string(self, offset: int, end: int) -> str:
        """The text that begins at `offset`, and ends with NUL, or at `end`."""
        raw = self.read(offset, min(end - offset, _LONGEST_NAME))
        return raw.partition(b"\0")[0].decode(errors="replace")

    def contents(self, section: BinarySection) -> bytes:
        """A section's bytes, as far as the file has them; none of NOBITS."""
        return b"" if section.type == SectionType.NOBITS else self.read(section.offset, section.size)

    def section_named(self, name: str) -> BinarySection | None:
        """The first section called `name`."""
        return next((section for section in self.sections if section.name == name), None)

    def file_offset(self, address: int) -> int | None:
        """Where in the file (`path`) the byte at a virtual address lies; None where that is not in the file."""
        segment = self.segment_of(address)
        return None if segment is None else self.start + segment.offset + address - segment.address

    def segment_of(self, address: int) -> Segment | None:
        """The segment that holds a virtual address and has it in the file."""
        return next(
            (each for each in self.segments if each.address <= address < each.address + each.file_size), None
        )


@contextmanager
def open_binary(name: str) -> Iterator[Binary]:
    """The ELF file called `name`: a path, a path in an archive, or what is found on PATH or among the libraries.

    Raises BpfasError.
    """
    archive, separator, member = name.partition(ARCHIVE_SEPARATOR)
    path = find_file(archive)
    try:
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            start, size = _member(path, member) if separator else (0, len(mapped))
            yield Binary(name, path, mapped, start, size)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else "it is empty"
        raise BpfasError.of(f"cannot read {path}: {why}") from error


def _member(path: str, member: str) -> tuple[int, int]:
    """Where an uncompressed member of a ZIP archive lies, and its size."""
    try:
        with zipfile.ZipFile(path) as archive, open(path, "rb") as file:
            info = archive.getinfo(member)
            file.seek(info.header_offset)
            header = file.read(30)
    except KeyError:
        raise BpfasError.of(f"{path} has no member {member}") from None
    except zipfile.BadZipFile as error:
        raise BpfasError.of(f"{path} is no ZIP archive: {error}") from error
    if info.compress_type != zipfile.ZIP_STORED:
        raise BpfasError.of(f"{member} of {path} is compressed; only what is stored as it is can be probed")
    name_size, extra_size = struct.unpack_from("<HH", header, 26)
    return info.header_offset + 30 + name_size + extra_size, info.file_size


def find_file(name: str) -> str:
    """The path of `name`: itself if it has a `/`, else a program on PATH, or a library where these are searched.

    Raises BpfasError where nothing is found.
    """
    if "/" in name:
        return name
    is_library = ".so" in name
    places = _search_places(is_library)
    access = os.R_OK if is_library else os.R_OK | os.X_OK
    for place in places:
        path = os.path.join(place, name)
        if os.path.isfile(path) and os.access(path, access):
            return path
    what = "library" if is_library else "program"
    raise BpfasError.of(f"no {what} {name} in {', '.join(places)}")


def _search_places(is_library: bool) -> Sequence[str]:
    if not is_library:
        return list(dict.fromkeys([*filter(None, os.environ.get("PATH", "").split(":")), *_PROGRAM_PLACES]))
    triplets = sorted(
        str(path) for path in Path("/usr/lib").glob(f"{_library_machine()}-linux-*") if path.is_dir()
    )
    given = filter(None, os.environ.get("LD_LIBRARY_PATH", "").split(":"))
    return list(dict.fromkeys([*given, *triplets, *_LIBRARY_PLACES]))


def _library_machine() -> str:
    machine = platform.machine()
    if machine == "x86_64" and sys.maxsize < 1 << 32:
        return "i386"
    return {"armv7l": "arm", "ppc64le": "powerpc64le"}.get(machine, machine)
