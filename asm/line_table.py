"""The line table of `.file` and `.loc`: the sections .debug_line and .debug_line_str (DWARF 5 §6.2, DWARF 4 §6.2).

The bytes are those that LLVM's assembler writes: the same header, the same choice among the opcodes that say the
same. But LLVM cuts addresses within an instruction, as there are behind data, down to whole instructions; here, as
in GNU as, they are exact. Which rows there are is collected while statements are read; the table is written when
all offsets are final.
"""

from __future__ import annotations

import dataclasses
import enum
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bpfas.leb128 import signed_leb128, unsigned_leb128

if TYPE_CHECKING:
    from bpfas.asm.section import SectionBuilder, Subsection
    from bpfas.elf.constants import ByteOrder

_LINE_BASE = -5
_LINE_RANGE = 14
_OPCODE_BASE = 13
_ADDRESS_UNIT = 8
"""Bytes that an address advances by one for: an instruction (minimum_instruction_length)."""
_OPERANDS_OF_STANDARD_OPCODES = bytes((0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1))


class _Op(enum.IntEnum):
    """Opcodes of a line number program (DWARF 5 §6.2.5.2), and after them the extended ones (§6.2.5.3)."""

    EXTENDED = 0
    COPY = 1
    ADVANCE_PC = 2
    ADVANCE_LINE = 3
    SET_FILE = 4
    SET_COLUMN = 5
    NEGATE_STMT = 6
    SET_BASIC_BLOCK = 7
    CONST_ADD_PC = 8
    FIXED_ADVANCE_PC = 9
    SET_PROLOGUE_END = 10
    SET_EPILOGUE_BEGIN = 11
    SET_ISA = 12


class _Extended(enum.IntEnum):
    END_SEQUENCE = 1
    SET_ADDRESS = 2
    SET_DISCRIMINATOR = 4


class LineFlag(enum.Flag):
    """What `.loc` says of a row besides its numbers."""

    IS_STMT = enum.auto()
    BASIC_BLOCK = enum.auto()
    PROLOGUE_END = enum.auto()
    EPILOGUE_BEGIN = enum.auto()


@dataclass(frozen=True, slots=True)
class SourceLocation:
    """What one `.loc` says."""

    file: int
    line: int
    column: int
    flags: LineFlag
    isa: int = 0
    discriminator: int = 0

    def continued(self) -> SourceLocation:
        """The same without what is said of one row only."""
        return dataclasses.replace(self, flags=self.flags & LineFlag.IS_STMT, discriminator=0)


@dataclass(frozen=True, slots=True)
class SourceFile:
    """What one `.file N` says. `directory` is an index into the table's directories, `source` the file's text."""

    name: str
    directory: int = 0
    md5: bytes | None = None
    source: str | None = None


if TYPE_CHECKING:
    SectionRows = dict[SectionBuilder, list[tuple[int, SourceLocation]]]
    """The rows of each section by offset, ascending."""

    SubsectionRows = dict[Subsection, list[tuple[int, int, SourceLocation]]]
    """The rows of each subsection, ascending, each with its place there."""


@dataclass(slots=True)
class LineTable:
    """What `.file` has said: the files by number."""

    version: int = 4
    files: dict[int, SourceFile] = field(default_factory=dict)
    directories: list[str] = field(default_factory=lambda: [""])

    def directory(self, name: str) -> int:
        """The index of a directory, which is added if it is new. The first is the directory of compilation."""
        if name in self.directories:
            return self.directories.index(name)
        self.directories.append(name)
        return len(self.directories) - 1


_MAX_SPECIAL_ADVANCE = (255 - _OPCODE_BASE) // _LINE_RANGE
"""Instructions that DW_LNS_const_add_pc goes forward by, and a special opcode at the most."""


def _extended(opcode: _Extended, operands: bytes) -> bytes:
    return bytes((_Op.EXTENDED,)) + unsigned_leb128(1 + len(operands)) + bytes((opcode,)) + operands


def _advance_odd(bytes_forward: int, order: ByteOrder) -> bytes:
    """The opcodes that go forward by what is no whole number of instructions."""
    most = (1 << 16) - 1
    units = max(bytes_forward - most + _ADDRESS_UNIT - 1, 0) // _ADDRESS_UNIT
    opcodes = bytes((_Op.ADVANCE_PC,)) + unsigned_leb128(units) if units else b""
    rest = bytes_forward - units * _ADDRESS_UNIT
    return opcodes + struct.pack(f"{order.value}BH", _Op.FIXED_ADVANCE_PC, rest)


def advance(line_delta: int, bytes_forward: int, order: ByteOrder) -> bytes:
    """The opcodes that go to another line and address and append a row, as few bytes as there can be."""
    address_delta, odd_bytes = divmod(bytes_forward, _ADDRESS_UNIT)
    opcodes = b""
    if odd_bytes:
        opcodes, address_delta = _advance_odd(bytes_forward, order), 0
    biased = line_delta - _LINE_BASE
    needs_copy = not 0 <= biased < _LINE_RANGE
    if needs_copy:
        opcodes += bytes((_Op.ADVANCE_LINE,)) + signed_leb128(line_delta)
        line_delta, biased = 0, -_LINE_BASE
    if line_delta == 0 and address_delta == 0:
        return opcodes + bytes((_Op.COPY,))
    special = biased + _OPCODE_BASE + address_delta * _LINE_RANGE
    if special <= 255:
        return opcodes + bytes((special,))
    special -= _MAX_SPECIAL_ADVANCE * _LINE_RANGE
    if special <= 255:
        return opcodes + bytes((_Op.CONST_ADD_PC, special))
    last = _Op.COPY if needs_copy else biased + _OPCODE_BASE
    return opcodes + bytes((_Op.ADVANCE_PC,)) + unsigned_leb128(address_delta) + bytes((last,))


def end_sequence(bytes_forward: int, order: ByteOrder) -> bytes:
    """The opcodes that go forward to the section's end and close its sequence of rows."""
    address_delta, odd_bytes = divmod(bytes_forward, _ADDRESS_UNIT)
    end = _extended(_Extended.END_SEQUENCE, b"")
    if odd_bytes:
        return _advance_odd(bytes_forward, order) + end
    if address_delta == _MAX_SPECIAL_ADVANCE:
        return bytes((_Op.CONST_ADD_PC,)) + end
    if address_delta:
        return bytes((_Op.ADVANCE_PC,)) + unsigned_leb128(address_delta) + end
    return end


@dataclass(frozen=True, slots=True)
class _State:
    """The registers of the line number program that a row may change."""

    file: int = 1
    line: int = 1
    column: int = 0
    isa: int = 0
    is_stmt: bool = True


def _row_opcodes(state: _State, at: SourceLocation) -> bytes:
    """The opcodes that set the registers for a row, all but line and address."""
    opcodes = bytearray()
    for opcode, old, new in (
        (_Op.SET_FILE, state.file, at.file),
        (_Op.SET_COLUMN, state.column, at.column),
    ):
        if old != new:
            opcodes += bytes((opcode,)) + unsigned_leb128(new)
    if at.discriminator:
        opcodes += _extended(_Extended.SET_DISCRIMINATOR, unsigned_leb128(at.discriminator))
    if state.isa != at.isa:
        opcodes += bytes((_Op.SET_ISA,)) + unsigned_leb128(at.isa)
    if state.is_stmt != bool(at.flags & LineFlag.IS_STMT):
        opcodes.append(_Op.NEGATE_STMT)
    for flag, opcode in _FLAG_OPCODES:
        if at.flags & flag:
            opcodes.append(opcode)
    return bytes(opcodes)


_FLAG_OPCODES = (
    (LineFlag.BASIC_BLOCK, _Op.SET_BASIC_BLOCK),
    (LineFlag.PROLOGUE_END, _Op.SET_PROLOGUE_END),
    (LineFlag.EPILOGUE_BEGIN, _Op.SET_EPILOGUE_BEGIN),
)


def sequence(rows: list[tuple[int, SourceLocation]], size: int, order: ByteOrder) -> tuple[bytes, int]:
    """The program for one section of `size` bytes, and the offset in it of the 8 bytes for the first address.

    `rows` are (offset in the section, location), ascending, at least one.
    """
    program = bytearray()
    state = _State()
    address_at = 0
    last_offset = rows[0][0]
    for index, (offset, at) in enumerate(rows):
        program += _row_opcodes(state, at)
        if index == 0:
            program += _extended(_Extended.SET_ADDRESS, bytes(8))
            address_at = len(program) - 8
        program += advance(at.line - state.line, offset - last_offset, order)
        state = _State(at.file, at.line, at.column, at.isa, bool(at.flags & LineFlag.IS_STMT))
        last_offset = offset
    return bytes(program + end_sequence(size - last_offset, order)), address_at


class _Strings:
    """The strings of .debug_line_str, each once."""

    def __init__(self) -> None:
        self.data = bytearray()
        self._offsets: dict[str, int] = {}

    def offset(self, text: str) -> int:
        """Where `text` is, which is added if it is new."""
        if text not in self._offsets:
            self._offsets[text] = len(self.data)
            self.data += text.encode("utf-8", "surrogateescape") + b"\0"
        return self._offsets[text]


class _ContentType(enum.IntEnum):
    """What a column of the directory and file tables holds (DWARF 5 §6.2.4.1)."""

    PATH = 1
    DIRECTORY_INDEX = 2
    MD5 = 5
    LLVM_SOURCE = 0x2001


class _Form(enum.IntEnum):
    """How it is written (DWARF 5 §7.5.6)."""

    UDATA = 0x0F
    DATA16 = 0x1E
    LINE_STRP = 0x1F


@dataclass(slots=True)
class LineBytes:
    """The contents of .debug_line and .debug_line_str, and what in the first waits for an address.

    `string_fields` are the offsets of 4-byte fields that hold an offset in .debug_line_str; `address_fields` those
    of 8-byte fields, each with the section and the offset in it whose address it shall hold.
    """

    line: bytearray
    strings: bytearray
    string_fields: list[int]
    address_fields: list[tuple[int, SectionBuilder, int]]


def _file_tables_5(table: LineTable, start: int, order: ByteOrder) -> tuple[bytes, bytearray, list[int]]:
    """The tables of a version 5 header that begin at `start`; the strings; the fields that point to them."""
    strings, fields, data = _Strings(), list[int](), bytearray()

    def string(text: str) -> None:
        fields.append(start + len(data))
        data.extend(struct.pack(f"{order.value}I", strings.offset(text)))

    data += bytes((1, _ContentType.PATH, _Form.LINE_STRP))
    data += unsigned_leb128(len(table.directories))
    for directory in table.directories:
        string(directory)
    files = [table.files[number] for number in sorted(table.files)]
    if 0 not in table.files and files:
        files.insert(0, files[0])  # file 0 is the one that is compiled; the first is as good a guess as any
    columns = [(_ContentType.PATH, _Form.LINE_STRP), (_ContentType.DIRECTORY_INDEX, _Form.UDATA)]
    has_md5 = all(file.md5 is not None for file in files)
    if has_md5:
        columns.append((_ContentType.MD5, _Form.DATA16))
    has_source = any(file.source is not None for file in files)
    if has_source:
        columns.append((_ContentType.LLVM_SOURCE, _Form.LINE_STRP))
    data.append(len(columns))
    for content_type, form in columns:
        data += unsigned_leb128(content_type) + unsigned_leb128(form)
    data += unsigned_leb128(len(files))
    for file in files:
        string(file.name)
        data += unsigned_leb128(file.directory)
        if has_md5:
            assert file.md5 is not None
            data += file.md5
        if has_source:
            # An empty string says that there is none, so an empty text is told from it as in LLVM.
            string("" if file.source is None else file.source or "\n")
    return bytes(data), strings.data, fields


def _file_tables_4(table: LineTable) -> bytes:
    """The tables of a header before version 5: names as they are; indices count from 1, 0 ends the list."""
    data = bytearray()
    for directory in table.directories[1:]:
        data += directory.encode("utf-8", "surrogateescape") + b"\0"
    data += b"\0"
    for number in sorted(number for number in table.files if number):
        file = table.files[number]
        data += file.name.encode("utf-8", "surrogateescape") + b"\0" + unsigned_leb128(file.directory) + b"\0\0"
    return bytes(data + b"\0")


def line_bytes(table: LineTable, rows_by_section: SectionRows, order: ByteOrder) -> LineBytes:
    """Write the line table of rows at their final offsets."""
    is_5 = table.version >= 5
    before_length = struct.pack(f"{order.value}H", table.version) + (bytes((8, 0)) if is_5 else b"")
    fixed = bytes((_ADDRESS_UNIT,)) + (b"\1" if table.version >= 4 else b"") + b"\1"
    fixed += struct.pack("bBB", _LINE_BASE, _LINE_RANGE, _OPCODE_BASE) + _OPERANDS_OF_STANDARD_OPCODES
    tables_at = 4 + len(before_length) + 4 + len(fixed)
    if is_5:
        tables, strings, string_fields = _file_tables_5(table, tables_at, order)
    else:
        tables, strings, string_fields = _file_tables_4(table), bytearray(), []
    body = bytearray(before_length)
    body += struct.pack(f"{order.value}I", len(fixed) + len(tables)) + fixed + tables
    address_fields = []
    for section, rows in rows_by_section.items():
        if table.version < 4:  # which has no discriminators
            rows = [(offset, dataclasses.replace(at, discriminator=0)) for offset, at in rows]
        program, address_at = sequence(rows, section.size, order)
        address_fields.append((4 + len(body) + address_at, section, rows[0][0]))
        body += program
    line = bytearray(struct.pack(f"{order.value}I", len(body))) + body
    return LineBytes(line, strings, string_fields, address_fields)
