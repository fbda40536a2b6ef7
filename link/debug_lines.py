"""Line tables (.debug_line) of code that functions were removed from: their rows go, and the others move up.

A line program speaks of a section's code from a set_address on, and of each instruction by its distance from the
one before. What it says up to the next set_address is decoded into rows, and the rows that are left are encoded
anew, in as many bytes as there were. Source: DWARF 5, section 6.2; versions 2 to 5.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from bpfas.leb128 import signed_leb128, unsigned_leb128
from bpfas.link.debug_contents import MalformedDebugInfo
from bpfas.link.holes import Address

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfas.link.debug_contents import DebugContents
    from bpfas.link.holes import Holes

_COPY, _ADVANCE_PC, _ADVANCE_LINE, _SET_FILE, _SET_COLUMN, _NEGATE_STMT = range(1, 7)
_SET_BASIC_BLOCK, _CONST_ADD_PC, _FIXED_ADVANCE_PC, _SET_PROLOGUE_END, _SET_EPILOGUE_BEGIN, _SET_ISA = range(7, 13)
_FLAGS_OF_NEXT_ROW = frozenset({_SET_BASIC_BLOCK, _SET_PROLOGUE_END, _SET_EPILOGUE_BEGIN})
_END_SEQUENCE, _SET_ADDRESS, _SET_DISCRIMINATOR = 1, 2, 4  # of the extended opcodes, those that are known here


@dataclass(frozen=True, slots=True)
class _Header:
    """What the header of a line program says about the program's opcodes, and where they are."""

    start: int
    end: int
    min_inst_length: int
    default_is_stmt: bool
    line_base: int
    line_range: int
    opcode_base: int


@dataclass(frozen=True, slots=True)
class _Registers:
    """The registers of the line number machine, with the address counted from the last set_address."""

    address: int = 0
    line: int = 1
    column: int = 0
    file: int = 1
    isa: int = 0
    is_stmt: bool = True
    flags: frozenset[int] = frozenset()
    """The opcodes without operands that were given for the next row."""
    discriminator: int = 0

    def after_row(self) -> _Registers:
        """The registers behind a row of these: some are for one row only."""
        return replace(self, flags=frozenset(), discriminator=0)


class _Stretch(NamedTuple):
    """What a line program says from a set_address (its operand is at `address_at`) to the next or the end.

    The opcodes lie at `start` to `end`. `before` and `after` are the registers there; `ends`: the sequence ends.
    """

    address_at: int
    start: int
    end: int
    before: _Registers
    rows: list[_Registers]
    after: _Registers
    ends: bool


def adjust_lines(contents: DebugContents, holes: Holes) -> None:
    """Bring all line tables of a section up to date. Raises MalformedDebugInfo."""
    at = 0
    while at < len(contents.data):
        header, at = _read_header(contents, at)
        if header is None:
            continue
        for stretch in _stretches(contents, header):
            place = contents.address(stretch.address_at)
            if place is not None and place.section in holes:
                _adjust_stretch(contents, header, stretch, place, holes)


def _read_header(contents: DebugContents, at: int) -> tuple[_Header | None, int]:
    """The header of the unit at `at`, None for one that cannot have been made for BPF; and where the unit ends."""
    number = contents.number
    size, at, end = contents.unit(at)
    version = number(at, 2)
    at += 2 + (2 if version >= 5 else 0)
    start = at + size + number(at, size)
    at += size
    min_inst_length, max_ops = number(at, 1), 1
    at += 1
    if version >= 4:
        max_ops = number(at, 1)
        at += 1
    default_is_stmt, line_base, line_range, opcode_base = (number(at + index, 1) for index in range(4))
    if not 2 <= version <= 5 or max_ops != 1 or opcode_base <= _SET_ISA or not line_range or not min_inst_length:
        return None, end
    signed_base = line_base - 256 if line_base >= 128 else line_base
    return (
        _Header(start, end, min_inst_length, bool(default_is_stmt), signed_base, line_range, opcode_base),
        end,
    )


def _stretches(contents: DebugContents, header: _Header) -> Iterator[_Stretch]:
    """The stretches of a line program; it stops at an opcode that is not known."""
    initial = _Registers(is_stmt=header.default_is_stmt)
    now, before, rows = initial, initial, list[_Registers]()
    address_at: int | None = None
    at = start = header.start
    while at < header.end:
        opcode_at = at
        opcode = contents.number(at, 1)
        at += 1
        if opcode >= header.opcode_base:
            advance, line = divmod(opcode - header.opcode_base, header.line_range)
            now = replace(
                now,
                address=now.address + advance * header.min_inst_length,
                line=now.line + header.line_base + line,
            )
            rows.append(now)
            now = now.after_row()
        elif opcode == 0:
            length, at = contents.leb128(at)
            extended, operand = contents.number(at, 1), at + 1
            at += length
            if extended in (_END_SEQUENCE, _SET_ADDRESS):
                ends = extended == _END_SEQUENCE
                if address_at is not None:
                    yield _Stretch(address_at, start, at if ends else opcode_at, before, rows, now, ends)
                now, address_at = (initial, None) if ends else (replace(now, address=0), operand)
                start, before, rows = at, now, []
            elif extended == _SET_DISCRIMINATOR:
                now = replace(now, discriminator=contents.leb128(operand)[0])
            else:
                return
        elif opcode == _COPY:
            rows.append(now)
            now = now.after_row()
        elif opcode == _FIXED_ADVANCE_PC:
            now = replace(now, address=now.address + contents.number(at, 2))
            at += 2
        elif opcode <= _SET_ISA:
            now, at = _with_operand(contents, header, now, opcode, at)
        else:
            return


def _with_operand(
    contents: DebugContents, header: _Header, now: _Registers, opcode: int, at: int
) -> tuple[_Registers, int]:
    """The registers after a standard opcode that makes no row, and where its operand ends."""
    if opcode == _ADVANCE_LINE:
        line, at = contents.leb128(at, signed=True)
        return replace(now, line=now.line + line), at
    if opcode == _NEGATE_STMT:
        return replace(now, is_stmt=not now.is_stmt), at
    if opcode == _CONST_ADD_PC:
        steps = (255 - header.opcode_base) // header.line_range
        return replace(now, address=now.address + steps * header.min_inst_length), at
    if opcode in _FLAGS_OF_NEXT_ROW:
        return replace(now, flags=now.flags | {opcode}), at
    value, at = contents.leb128(at)
    if opcode == _ADVANCE_PC:
        return replace(now, address=now.address + value * header.min_inst_length), at
    if opcode == _SET_FILE:
        return replace(now, file=value), at
    return (replace(now, column=value) if opcode == _SET_COLUMN else replace(now, isa=value)), at


def _adjust_stretch(
    contents: DebugContents, header: _Header, stretch: _Stretch, place: Address, holes: Holes
) -> None:
    def at(row: _Registers) -> Address:
        return Address(place.section, place.offset + row.address)

    def moved(row: _Registers) -> _Registers:
        return replace(row, address=holes.distance(place, row.address))

    after = moved(stretch.after)
    kept: list[_Registers] = []
    in_force: _Registers | None = None
    for row in stretch.rows:
        if holes.cover(at(row)):
            in_force = moved(row)
            continue
        # What a removed row says holds behind the hole until another one says something.
        if in_force is not None and kept and moved(row).address > in_force.address:
            kept.append(in_force)
        kept.append(moved(row))
        in_force = None
    if in_force is not None and kept and after.address > in_force.address:
        kept.append(in_force)
    if not kept or (len(kept) == len(stretch.rows) and after == stretch.after):
        return  # nothing of it is left, which the set_address will say; or nothing has changed
    room = stretch.end - stretch.start
    encoded = _encode(header, stretch, kept, after, room)
    if encoded is None:
        # The lines of removed rows made the way to the others shorter. Without length, they mean nothing.
        encoded = _encode(header, stretch, [moved(row) for row in stretch.rows], after, room)
    if encoded is None:
        raise MalformedDebugInfo(f"a line table of {contents.section.name} has no room for what is left of it")
    contents.data[stretch.start : stretch.end] = encoded
    contents.set_address(stretch.address_at, holes.following(place))


def _encode(
    header: _Header, stretch: _Stretch, rows: list[_Registers], after: _Registers, room: int
) -> bytes | None:
    """The opcodes of these rows in `room` bytes; None if they need more."""
    program = bytearray()
    now = stretch.before
    for row in rows:
        program += _changes(now, row)
        program += _advance(header, row.address - now.address, row.line - now.line)
        now = row.after_row()
    if not stretch.ends:
        program += _changes(now, after)
        if after.line != now.line:
            program += bytes((_ADVANCE_LINE, *signed_leb128(after.line - now.line)))
    end = b"\0\1\1" if stretch.ends else b""
    steps = (after.address - now.address) // header.min_inst_length
    advance = unsigned_leb128(steps)
    spare = room - len(program) - len(end) - 1 - len(advance)
    if spare < 0:
        return None
    # Steps of no length fill the rest, two bytes each.
    program += bytes((_ADVANCE_PC, *unsigned_leb128(steps, len(advance) + spare % 2)))
    program += bytes((_ADVANCE_PC, 0)) * (spare // 2)
    return bytes(program) + end


def _changes(now: _Registers, then: _Registers) -> bytes:
    """Opcodes that set all but address and line."""
    program = bytearray()
    if then.file != now.file:
        program += bytes((_SET_FILE, *unsigned_leb128(then.file)))
    if then.column != now.column:
        program += bytes((_SET_COLUMN, *unsigned_leb128(then.column)))
    if then.isa != now.isa:
        program += bytes((_SET_ISA, *unsigned_leb128(then.isa)))
    if then.is_stmt != now.is_stmt:
        program.append(_NEGATE_STMT)
    program += bytes(sorted(then.flags - now.flags))
    if then.discriminator != now.discriminator:
        operand = unsigned_leb128(then.discriminator)
        program += bytes((0, 1 + len(operand), _SET_DISCRIMINATOR, *operand))
    return bytes(program)


def _advance(header: _Header, address: int, line: int) -> bytes:
    """Opcodes that make a row `address` bytes and `line` lines on."""
    steps, remainder = divmod(address, header.min_inst_length)
    if steps < 0 or remainder:
        raise MalformedDebugInfo(f"a line table goes on by {address} bytes")
    program = bytearray()
    if not header.line_base <= line < header.line_base + header.line_range:
        program += bytes((_ADVANCE_LINE, *signed_leb128(line)))
        line = 0
    furthest = (255 - header.opcode_base) // header.line_range
    special = header.opcode_base + line - header.line_base
    if header.opcode_base <= special < header.opcode_base + header.line_range:
        for skipped, opcodes in ((0, b""), (furthest, bytes((_CONST_ADD_PC,)))):
            opcode = special + (steps - skipped) * header.line_range
            if steps >= skipped and opcode <= 255:
                return bytes(program) + opcodes + bytes((opcode,))
    if steps:
        program += bytes((_ADVANCE_PC, *unsigned_leb128(steps)))
    program.append(special if header.opcode_base <= special <= 255 else _COPY)
    return bytes(program)
