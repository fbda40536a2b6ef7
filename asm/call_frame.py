"""The frame of a function as `.cfi_…` directives describe it, and the call frame instructions (DWARF 5 §6.4.2).

Offsets are written in units of the data alignment factor, so they must be multiples of it. What LLVM writes as a
very great number, an offset of the frame address that is negative, has an instruction of its own here.
"""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bpfas.leb128 import signed_leb128, unsigned_leb128

if TYPE_CHECKING:
    from bpfas.asm.statement import Node, Statement
    from bpfas.asm.symbol import AssemblySymbol

CODE_ALIGNMENT_FACTOR = 8
DATA_ALIGNMENT_FACTOR = -4
_PACKED_REGISTERS = 64
"""Registers that an opcode has room for."""


class CallFrameError(ValueError):
    """A directive that does not suit the frame, with the reason."""


class Op(enum.IntEnum):
    """Call frame instructions (DWARF 5 §7.24); the first three have an operand in their low six bits."""

    ADVANCE_LOC = 0x40
    OFFSET = 0x80
    RESTORE = 0xC0
    ADVANCE_LOC1 = 0x02
    ADVANCE_LOC2 = 0x03
    ADVANCE_LOC4 = 0x04
    OFFSET_EXTENDED = 0x05
    RESTORE_EXTENDED = 0x06
    UNDEFINED = 0x07
    SAME_VALUE = 0x08
    REGISTER = 0x09
    REMEMBER_STATE = 0x0A
    RESTORE_STATE = 0x0B
    DEF_CFA = 0x0C
    DEF_CFA_REGISTER = 0x0D
    DEF_CFA_OFFSET = 0x0E
    OFFSET_EXTENDED_SF = 0x11
    DEF_CFA_SF = 0x12
    DEF_CFA_OFFSET_SF = 0x13
    VAL_OFFSET = 0x14
    VAL_OFFSET_SF = 0x15


@dataclass(frozen=True, slots=True)
class EncodedPointer:
    """What `.cfi_personality` or `.cfi_lsda` names, the form in which it is written, and its bytes there."""

    encoding: int
    width: int
    symbol: AssemblySymbol
    statement: Statement
    node: Node


@dataclass(slots=True)
class FrameAttributes:
    """What a function's common information entry says; no `return_column` is the usual one."""

    is_simple: bool = False
    is_signal_frame: bool = False
    return_column: int | None = None
    personality: EncodedPointer | None = None
    lsda: EncodedPointer | None = None


@dataclass(eq=False, slots=True)
class CallFrame:
    """A function's frame so far: what has been said of it at which places.

    `statement` is its `.cfi_startproc`. `offset` is what the frame address is more than its register, and
    `remembered` are the offsets that `.cfi_restore_state` goes back to.
    """

    start: AssemblySymbol
    statement: Statement
    attributes: FrameAttributes
    end: AssemblySymbol | None = None
    instructions: list[tuple[AssemblySymbol, bytes, Statement]] = field(default_factory=list)
    offset: int = 0
    remembered: list[int] = field(default_factory=list)


def advance_location(bytes_forward: int, prefix: str) -> bytes:
    """The instruction that goes forward to where the next one holds; `prefix` is struct's for the byte order.

    Raises CallFrameError where that is no whole number of instructions.
    """
    delta, odd_bytes = divmod(bytes_forward, CODE_ALIGNMENT_FACTOR)
    if odd_bytes or delta < 0:
        raise CallFrameError(
            f"this is {bytes_forward} bytes behind what was said before of the frame, "
            f"which is not a multiple of {CODE_ALIGNMENT_FACTOR}"
        )
    if delta == 0:
        return b""
    if delta < 1 << 6:
        return bytes((Op.ADVANCE_LOC | delta,))
    if delta < 1 << 8:
        return bytes((Op.ADVANCE_LOC1, delta))
    if delta < 1 << 16:
        return struct.pack(f"{prefix}BH", Op.ADVANCE_LOC2, delta)
    return struct.pack(f"{prefix}BI", Op.ADVANCE_LOC4, delta)


def _factored(offset: int) -> int:
    if offset % DATA_ALIGNMENT_FACTOR:
        raise CallFrameError(
            f"the offset {offset} is not a multiple of {-DATA_ALIGNMENT_FACTOR}, in which they are counted here"
        )
    return offset // DATA_ALIGNMENT_FACTOR


def _on_register(op: Op, register: int) -> bytes:
    return bytes((op,)) + unsigned_leb128(register)


def _set_offset(frame: CallFrame, offset: int) -> bytes:
    frame.offset = offset
    if offset < 0:
        return bytes((Op.DEF_CFA_OFFSET_SF,)) + signed_leb128(_factored(offset))
    return bytes((Op.DEF_CFA_OFFSET,)) + unsigned_leb128(offset)


def def_cfa(frame: CallFrame, register: int, offset: int) -> bytes:
    """The frame address is `register` and `offset` bytes more."""
    frame.offset = offset
    if offset < 0:
        return _on_register(Op.DEF_CFA_SF, register) + signed_leb128(_factored(offset))
    return _on_register(Op.DEF_CFA, register) + unsigned_leb128(offset)


def def_cfa_offset(frame: CallFrame, offset: int) -> bytes:
    """The frame address is so many bytes more than its register."""
    return _set_offset(frame, offset)


def adjust_cfa_offset(frame: CallFrame, more: int) -> bytes:
    """The same, `more` bytes more than before."""
    return _set_offset(frame, frame.offset + more)


def def_cfa_register(_: CallFrame, register: int) -> bytes:
    """The frame address goes by another register."""
    return _on_register(Op.DEF_CFA_REGISTER, register)


def offset(_: CallFrame, register: int, at: int) -> bytes:
    """A register is saved `at` bytes from the frame address."""
    factored = _factored(at)
    if factored < 0:
        return _on_register(Op.OFFSET_EXTENDED_SF, register) + signed_leb128(factored)
    if register < _PACKED_REGISTERS:
        return bytes((Op.OFFSET | register,)) + unsigned_leb128(factored)
    return _on_register(Op.OFFSET_EXTENDED, register) + unsigned_leb128(factored)


def rel_offset(frame: CallFrame, register: int, at: int) -> bytes:
    """A register is saved `at` bytes from where the frame address's register points."""
    return offset(frame, register, at - frame.offset)


def val_offset(_: CallFrame, register: int, at: int) -> bytes:
    """A register had the value that lies `at` bytes from the frame address."""
    factored = _factored(at)
    if factored < 0:
        return _on_register(Op.VAL_OFFSET_SF, register) + signed_leb128(factored)
    return _on_register(Op.VAL_OFFSET, register) + unsigned_leb128(factored)


def register(_: CallFrame, saved: int, where: int) -> bytes:
    """A register is saved in another one."""
    return _on_register(Op.REGISTER, saved) + unsigned_leb128(where)


def restore(_: CallFrame, number: int) -> bytes:
    """A register is again as it was at the start."""
    if number < _PACKED_REGISTERS:
        return bytes((Op.RESTORE | number,))
    return _on_register(Op.RESTORE_EXTENDED, number)


def undefined(_: CallFrame, number: int) -> bytes:
    """A register's value is lost."""
    return _on_register(Op.UNDEFINED, number)


def same_value(_: CallFrame, number: int) -> bytes:
    """A register has the value that it had in the caller."""
    return _on_register(Op.SAME_VALUE, number)


def remember_state(frame: CallFrame) -> bytes:
    """Remember what is known of the frame."""
    frame.remembered.append(frame.offset)
    return bytes((Op.REMEMBER_STATE,))


def restore_state(frame: CallFrame) -> bytes:
    """Go back to what was remembered last, the offset of the frame address too, as GNU as has it elsewhere.

    In LLVM `.cfi_adjust_cfa_offset` and `.cfi_rel_offset` count on from the offset before this, which is wrong.
    """
    if not frame.remembered:
        raise CallFrameError("there is no .cfi_remember_state to go back to")
    frame.offset = frame.remembered.pop()
    return bytes((Op.RESTORE_STATE,))
