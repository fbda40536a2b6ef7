"""`.BTF.ext`: which functions, source lines and CO-RE relocations the instructions of each section have.

Records stay words, in the order of the file, with `insn_off` in bytes from the start of the section. Ids and
string offsets in them are of the object's `.BTF`; whoever joins objects rewrites them. Reading checks all of it.
Sources: Documentation/bpf/btf.rst of Linux and what libbpf's btf.c refuses; written as libbpf's linker.c does.
"""

from __future__ import annotations

import struct
import sys
from array import array
from typing import TYPE_CHECKING, NamedTuple

from bpfas.btf.kinds import Kind, Word
from bpfas.btf.reader import MAGIC, VERSION, host_words
from bpfas.diag import BpfasError, Diagnostics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bpfas.btf.btf import Btf
    from bpfas.elf.constants import ByteOrder

_CLASSIC_HEADER_SIZE = 24
"""That of a header without the place of CO-RE relocations."""

_HEADER_SIZE = 32
_MAX_ERRORS = 20


class Records(NamedTuple):
    """The records of one section: the bytes of each, and all their words."""

    record_size: int
    words: array[int]


class BtfExt(NamedTuple):
    """By the name of a section, its records.

    Words of a func_info record: insn_off, type of the FUNC. line_info: insn_off, file name, text of the line, line
    << 10 | column. core_relo: insn_off, root type, access string, kind. Records may have more words than these.
    """

    func_info: dict[str, Records]
    line_info: dict[str, Records]
    core_relo: dict[str, Records]


RECORD_WORDS: dict[str, tuple[Word, ...]] = {
    "func_info": (Word.VALUE, Word.TYPE),
    "line_info": (Word.VALUE, Word.STRING, Word.STRING, Word.VALUE),
    "core_relo": (Word.VALUE, Word.TYPE, Word.STRING, Word.VALUE),
}
"""What the words of a record are, by the name of its table."""


def read_btf_ext(data: bytes, order: ByteOrder, btf: Btf, name: str) -> BtfExt:
    """What the contents of a `.BTF.ext` say of the object called `name`, whose types are `btf`.

    Raises BpfasError with everything that is wrong, up to a limit.
    """
    diagnostics = Diagnostics()
    place = f"{name}:(.BTF.ext)"
    tables: dict[str, dict[str, Records]] = {}
    for table, (start, size) in _tables(data, order, place).items():
        found = tables[table] = {}
        for message in _read_table(data[start : start + size], order, btf, table, found):
            diagnostics.error(f"{table}: {message}", place)
            if len(diagnostics.items) == _MAX_ERRORS:
                diagnostics.raise_if_errors()
    diagnostics.raise_if_errors()
    return BtfExt(**tables)


def _tables(data: bytes, order: ByteOrder, place: str) -> dict[str, tuple[int, int]]:
    """By name, where each table begins in `data` and its length."""
    if len(data) < _CLASSIC_HEADER_SIZE:
        message = f"has {len(data)} bytes, but its header alone has {_CLASSIC_HEADER_SIZE}"
        raise BpfasError.of(message, place)
    magic, version, flags, header_size = struct.unpack_from(f"{order.value}HBBI", data)
    if magic != MAGIC:
        raise BpfasError.of(
            f"begins with {magic:#06x}, where BTF has {MAGIC:#06x} in the object's byte order", place
        )
    if version != VERSION or flags:
        raise BpfasError.of(
            f"is of version {version} with flags {flags:#x}; known is version 1 without flags", place
        )
    if not _CLASSIC_HEADER_SIZE <= header_size <= len(data) or header_size % 4:
        raise BpfasError.of(
            f"says that its header has {header_size} bytes; there are {len(data)} in all, and it has "
            f"{_CLASSIC_HEADER_SIZE} or {_HEADER_SIZE}",
            place,
        )
    if any(data[_HEADER_SIZE:header_size]):
        raise BpfasError.of(
            f"has a header of {header_size} bytes, of which those behind {_HEADER_SIZE} mean nothing known", place
        )
    known = min(header_size, _HEADER_SIZE)
    fields = struct.unpack_from(f"{order.value}{known // 4 - 2}I", data, 8)
    diagnostics = Diagnostics()
    tables = {}
    for index, table in enumerate(RECORD_WORDS):
        offset, size = fields[2 * index : 2 * index + 2] if 2 * index + 2 <= len(fields) else (0, 0)
        if size and offset % 4:
            diagnostics.error(f"{table} begins at {offset:#x}, which is not a multiple of 4", place)
        if size and header_size + offset + size > len(data):
            diagnostics.error(
                f"{table} reaches from {offset:#x} over {size:#x} bytes, but behind the header there are only "
                f"{len(data) - header_size:#x}",
                place,
            )
        tables[table] = (header_size + offset, size)
    diagnostics.raise_if_errors()
    return tables


def _read_table(data: bytes, order: ByteOrder, btf: Btf, table: str, found: dict[str, Records]) -> Iterator[str]:
    """Put the records of each section into `found`; gives what is wrong."""
    if not data:
        return
    roles = RECORD_WORDS[table]
    if len(data) % 4 or len(data) < 8:
        yield f"has {len(data)} bytes, which a record size and blocks of 32-bit words cannot have"
        return
    words = host_words(data, order)
    record_size = words[0]
    least = 4 * len(roles)
    if record_size < least or record_size % 4:
        yield f"has records of {record_size} bytes; {least} are needed, in multiples of 4"
        return
    if record_size > least and order.name_for_int != sys.byteorder:
        yield f"has records of {record_size} bytes in foreign byte order, of which only {least} are known"
        return
    record_words = record_size // 4
    at = 1
    while at < len(words):
        if at + 2 > len(words):
            yield f"ends within the head of a block, at {4 * at:#x}"
            return
        section_offset, count = words[at], words[at + 1]
        end = at + 2 + count * record_words
        if not count:
            yield f"has a block without records at {4 * at:#x}"
        elif end > len(words):
            room = (len(words) - at - 2) // record_words
            yield f"has a block at {4 * at:#x} with {count} records, but room for {room}"
            return
        elif section_offset >= len(btf.strings) or not btf.strings[section_offset]:
            yield f"has a block at {4 * at:#x} whose section has no name (string {section_offset:#x})"
        else:
            records = words[at + 2 : end]
            section = btf.string(section_offset)
            yield from (
                f"section {section}, record {number}: {message}"
                for number, message in _record_errors(records, record_words, btf, table)
            )
            before = found.get(section)
            found[section] = Records(record_size, before.words + records if before else records)
        at = end


def _record_errors(records: array[int], record_words: int, btf: Btf, table: str) -> Iterator[tuple[int, str]]:
    """Number of the record and what is wrong with it."""
    for word, role in enumerate(RECORD_WORDS[table]):
        column = records[word::record_words]
        if role is Word.TYPE and max(column, default=0) > len(btf):
            for number, type_id in enumerate(column):
                if type_id > len(btf):
                    yield number, f"is of type {type_id}, but there are {len(btf)} types"
        elif role is Word.STRING and max(column, default=0) >= len(btf.strings):
            for number, offset in enumerate(column):
                if offset >= len(btf.strings):
                    yield (
                        number,
                        f"string {offset:#x} lies outside the strings, which have {len(btf.strings):#x} bytes",
                    )
    if table == "func_info":
        for number, type_id in enumerate(records[1::record_words]):
            if type_id <= len(btf) and btf.kinds[type_id] != Kind.FUNC:
                yield number, f"is of type {type_id}, which is a {btf.kind(type_id).name} and not a FUNC"


def write_btf_ext(ext: BtfExt, order: ByteOrder, string: Callable[[str], int]) -> bytes:
    """The contents of a section `.BTF.ext`; `string` gives the offset of a section's name in `.BTF`.

    Sections stand in the order of each dictionary, those without records are left out. Raises BpfasError if the
    records of a table differ in size.
    """
    tables = [_written_table(name, table, string) for name, table in zip(ext._fields, ext, strict=True)]
    header = [_HEADER_SIZE]
    offset = 0
    for words in tables:
        header += (offset, 4 * len(words))
        offset += 4 * len(words)
    body = array("I", header)
    for words in tables:
        body += words
    if order.name_for_int != sys.byteorder:
        body.byteswap()
    return struct.pack(f"{order.value}HBB", MAGIC, VERSION, 0) + body.tobytes()


def _written_table(name: str, table: dict[str, Records], string: Callable[[str], int]) -> array[int]:
    words = array("I")
    for section, records in table.items():
        if not records.words:
            continue
        if not words:
            words.append(records.record_size)
        if records.record_size != words[0]:
            raise BpfasError.of(
                f"records of {name} in section {section} have {records.record_size} bytes, in others {words[0]}; "
                f"compile all objects with one compiler",
                ".BTF.ext",
            )
        words.extend((string(section), len(records.words) * 4 // records.record_size))
        words += records.words
    return words
