"""Instructions for the simulated machine: out of bytes in either byte order, and the checks before a run.

Written apart from `bpfas.isa`, since it is there to find what is wrong with what the project makes. Facts: RFC
9669, and kernel/bpf/verifier.c for what is refused before anything runs.
"""

from __future__ import annotations

import functools
import struct
from typing import NamedTuple

from tests.loader.gen.machine.memory import Endian, MachineError

SLOT = 8
LD_IMM64 = 0x18
CALL = 0x85
EXIT = 0x95
JA = 0x05
JA32 = 0x06
CLASS_JMP = 5
CLASS_JMP32 = 6
SRC_MAP_FD, SRC_MAP_VALUE, SRC_BTF_ID, SRC_FUNC, SRC_MAP_INDEX, SRC_MAP_INDEX_VALUE = range(1, 7)
CALL_LOCAL, CALL_KERNEL = 1, 2


class Instruction(NamedTuple):
    """One slot; off and imm with their signs."""

    code: int
    dst: int
    src: int
    off: int
    imm: int

    @property
    def is_wide(self) -> bool:
        """Whether the next slot is its second half."""
        return self.code == LD_IMM64

    def encode(self, endian: Endian) -> bytes:
        """The slot's bytes."""
        registers = self.dst | self.src << 4 if endian == "little" else self.dst << 4 | self.src
        return struct.pack(f"{_ORDER[endian]}BBhi", self.code, registers, self.off, self.imm)


_ORDER: dict[Endian, str] = {"little": "<", "big": ">"}


def decode(data: bytes, endian: Endian) -> list[Instruction]:
    """Slots out of bytes."""
    if len(data) % SLOT:
        raise MachineError(f"{len(data)} bytes of instructions are not a multiple of {SLOT}")
    found = []
    for code, registers, off, imm in struct.iter_unpack(f"{_ORDER[endian]}BBhi", data):
        low, high = registers & 15, registers >> 4
        dst, src = (low, high) if endian == "little" else (high, low)
        found.append(Instruction(code, dst, src, off, imm))
    return found


def successors(code: list[Instruction], index: int) -> list[int]:
    """The slots that may be next; what a local call leads to counts as one of them."""
    here = code[index]
    following = index + (2 if here.is_wide else 1)
    if here.code == EXIT:
        return []
    if here.code == JA:
        return [index + 1 + here.off]
    if here.code == JA32:
        return [index + 1 + here.imm]
    if here.code == CALL:
        return [following, index + 1 + here.imm] if here.src == CALL_LOCAL else [following]
    if here.code & 7 in (CLASS_JMP, CLASS_JMP32):
        return [following, index + 1 + here.off]
    return [following]


@functools.lru_cache(maxsize=4)
def program(data: bytes, endian: Endian) -> tuple[Instruction, ...]:
    """Slots out of bytes, of a program that is not refused on sight; raises MachineError."""
    code = decode(data, endian)
    check(code)
    return tuple(code)


def check(code: list[Instruction]) -> None:
    """Raise MachineError for what the verifier refuses on sight: jumps to nowhere, code that is never reached."""
    halves = {index + 1 for index, instruction in enumerate(code) if instruction.is_wide}
    for index in halves:
        if index >= len(code) or code[index][:4] != (0, 0, 0, 0):
            raise MachineError(f"instruction {index - 1} is the first half of a 64-bit load without a second one")
    reached = bytearray(len(code))
    waiting = [0]
    while waiting:
        index = waiting.pop()
        if not 0 <= index < len(code) or index in halves:
            raise MachineError(f"a jump, or the last instruction, leads to {index} of {len(code)}")
        if reached[index]:
            continue
        reached[index] = 1
        waiting += successors(code, index)
    for index, was_reached in enumerate(reached):
        if not was_reached and index not in halves:
            raise MachineError(f"instruction {index} is never reached: {code[index]}")
        if code[index].dst > 10 or code[index].src > 10:
            raise MachineError(f"instruction {index} has a register that does not exist: {code[index]}")
