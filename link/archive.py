"""The bytes of an `ar` archive to its members: GNU's and System V's format, BSD's and LLVM's, and thin archives.

Which members take part in a link is `bpfas.link.extraction`'s part. An archive's index may be older than its
members, so what a member defines is read from the member; the index only tells what one defines that cannot be
read.
Source: ar(5) of System V and FreeBSD, and what llvm-ar and GNU ar write.
"""

from __future__ import annotations

import os
import re
import struct
from typing import TYPE_CHECKING, NamedTuple

from bpfas.cli import read_input
from bpfas.diag import BpfasError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ARCHIVE_MAGIC = b"!<arch>\n"
THIN_MAGIC = b"!<thin>\n"

_HEADER_SIZE = 60
_HEADER_END = b"`\n"
_NAME = slice(0, 16)
_SIZE = slice(48, 58)

_BSD_INDEXES = frozenset({"__.SYMDEF", "__.SYMDEF SORTED", "__.SYMDEF_64", "__.SYMDEF_64 SORTED"})
_GNU_INDEXES = {"/": "I", "/SYM64/": "Q"}
"""The names of GNU's indexes, and how they write a number (always big-endian)."""

_LONG_NAMES = "//"
_LONGEST_NAME = 4096
"""Bytes of a name that are looked at; Linux's paths have no more."""


class _Entry(NamedTuple):
    """A header as it stands at `offset` of the file, and where the contents are that follow it."""

    offset: int
    name: str
    start: int
    size: int


class Member(NamedTuple):
    """A file in an archive. `indexed` are the names that the archive's index says it defines."""

    archive: str
    name: str
    path: str
    """The file that holds it: the archive, or of a thin archive another one."""
    data: bytes | None
    """None: the contents are (in) the file at `path`."""
    origin: int | None
    """The offset of its header in the archive at `path`, in a thin archive made of other archives."""
    indexed: tuple[str, ...]

    @property
    def shown(self) -> str:
        """What messages call it: `libx.a(member.o)`."""
        return f"{self.archive}({self.name})"

    def read(self) -> bytes:
        """The contents. Raises BpfasError if they are in a file that cannot be read."""
        if self.data is not None:
            return self.data
        try:
            contents = read_input(self.path)
        except BpfasError as error:
            message = f"{error.diagnostics[0].message}; the archive is thin: it only names its members' files"
            raise BpfasError.of(message, self.shown) from None
        if self.origin is None:
            return contents
        if not is_archive(contents):
            raise BpfasError.of(
                f"is said to be in {self.path}, which is no archive; make the archive anew", self.shown
            )
        entry = _read_entry(contents, self.origin, self.path)
        return contents[entry.start :][: entry.size]


def is_archive(data: bytes) -> bool:
    """Whether these are the bytes of an archive, of whatever format."""
    return data.startswith((ARCHIVE_MAGIC, THIN_MAGIC))


def read_archive(data: bytes, path: str) -> list[Member]:
    """The members of the archive `data`, in its order, without those that are its index or its table of names.

    `path` is where it was read: the members of a thin archive are looked for beside it. Raises BpfasError if it is
    damaged.
    """
    thin = data.startswith(THIN_MAGIC)
    names = b""
    index: dict[int, list[str]] = {}
    entries: list[_Entry] = []
    for entry in _entries(data, path, thin):
        contents = data[entry.start : entry.start + entry.size]
        if entry.name in _GNU_INDEXES:
            index = index or _gnu_index(contents, _GNU_INDEXES[entry.name])
        elif entry.name in _BSD_INDEXES:
            index = _bsd_index(contents, "Q" if "64" in entry.name else "I")
        elif entry.name == _LONG_NAMES:
            names = contents
        else:
            entries.append(entry)
    return [_member(data, entry, path, thin, names, tuple(index.get(entry.offset, ()))) for entry in entries]


def _entries(data: bytes, path: str, thin: bool) -> Iterator[_Entry]:
    """All headers; of a thin archive only its own tables have contents here."""
    offset = len(ARCHIVE_MAGIC)
    while offset < len(data) and data[offset : offset + 2] != b"\n":
        entry = _read_entry(data, offset, path)
        is_elsewhere = thin and entry.name not in _GNU_INDEXES and entry.name != _LONG_NAMES
        end = entry.start + (0 if is_elsewhere else entry.size)
        if end > len(data):
            raise BpfasError.of(
                f"member {entry.name} at {offset:#x} is said to have {entry.size} bytes, but only "
                f"{len(data) - entry.start} are left; is the archive truncated?",
                path,
            )
        yield entry
        offset = end + end % 2  # members begin at even offsets


def _read_entry(data: bytes, offset: int, path: str) -> _Entry:
    header = data[offset : offset + _HEADER_SIZE]
    if len(header) < _HEADER_SIZE:
        raise BpfasError.of(
            f"ends within the header of a member at {offset:#x}; is the archive truncated?",
            path,
        )
    if not header.endswith(_HEADER_END):
        raise BpfasError.of(
            f"the header of a member at {offset:#x} ends in {header[-2:].hex(' ')}, not 60 0a; "
            "is the archive damaged?",
            path,
        )
    name, size = _text(header[_NAME]).rstrip(" "), _text(header[_SIZE]).strip(" ")
    if not re.fullmatch("[0-9]+", size):
        raise BpfasError.of(f"the size of member {name} at {offset:#x} is {size!r}, no number", path)
    start, length = offset + _HEADER_SIZE, int(size)
    if bsd := re.fullmatch("#1/([0-9]+)", name):
        # The name stands in front of the contents, and counts as part of them.
        long = int(bsd[1])
        if long > length or start + long > len(data):
            raise BpfasError.of(
                f"the name of the member at {offset:#x} is said to have {long} bytes, more than the member", path
            )
        name = _text(data[start : start + long])
        start, length = start + long, length - long
    return _Entry(offset, name, start, length)


def _member(data: bytes, entry: _Entry, path: str, thin: bool, names: bytes, indexed: tuple[str, ...]) -> Member:
    name, origin = _full_name(entry, names, path)
    if not thin:
        return Member(path, name, path, data[entry.start : entry.start + entry.size], None, indexed)
    shown = name if origin is None else f"{name}+{origin:#x}"
    file = os.path.join(os.path.dirname(path), name)  # an absolute name stays what it is
    return Member(path, shown, file, None, origin, indexed)


def _full_name(entry: _Entry, names: bytes, path: str) -> tuple[str, int | None]:
    """A member's name; in a thin archive made of archives, that archive's and the header's offset in it."""
    if not (long := re.fullmatch("/([0-9]+)(?::([0-9]+))?", entry.name)):
        return entry.name.removesuffix("/"), None
    start = int(long[1])
    if start >= len(names):
        raise BpfasError.of(
            f"the name of the member at {entry.offset:#x} is at {start} of a table of {len(names)} bytes", path
        )
    text = names[start : start + _LONGEST_NAME].split(b"\n", 1)[0]
    return _text(text).removesuffix("/"), int(long[2]) if long[2] else None


def _gnu_index(data: bytes, number: str) -> dict[int, list[str]]:
    """The names that each member defines, by the offset of its header; nothing where the index is damaged."""
    width = struct.calcsize(number)
    count = int.from_bytes(data[:width], "big")
    end = width * (count + 1)
    if end > len(data):
        return {}
    offsets = struct.unpack(f">{count}{number}", data[width:end])
    return _by_member(zip(offsets, data[end:].split(b"\0"), strict=False))


def _bsd_index(data: bytes, number: str) -> dict[int, list[str]]:
    """The same, of an index that has the byte order of the machine that it was made for, whichever that is."""
    width = struct.calcsize(number)
    for order in ("<", ">"):
        size = int.from_bytes(data[:width], "little" if order == "<" else "big")
        if size % (2 * width) or width + size > len(data):
            continue
        pairs = struct.iter_unpack(f"{order}{number}{number}", data[width : width + size])
        strings = data[2 * width + size :]
        names = ((offset, strings[start : start + _LONGEST_NAME]) for start, offset in pairs)
        return _by_member(names)
    return {}


def _by_member(pairs: Iterable[tuple[int, bytes]]) -> dict[int, list[str]]:
    names: dict[int, list[str]] = {}
    for offset, name in pairs:
        names.setdefault(offset, []).append(_text(name))
    return names


def _text(data: bytes) -> str:
    """A text that ends with the first null byte."""
    return data.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")
