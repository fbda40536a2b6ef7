"""A simulated machine that runs loader programs, to be an oracle that needs no kernel and has any byte order.

It knows the instructions that a loader program can have: ALU, jumps, loads, stores, 64-bit immediates, calls of
helpers and within the program. What the kernel's verifier would refuse is a MachineError: a register or a byte of
the stack without a value, memory out of bounds or not aligned, numbers used as pointers, code that is not reached.
Helpers and bpf() are `machine_kernel`'s, memory `machine_memory`'s, the form of instructions
`machine_instructions`'. Facts: RFC 9669; for programs of type SYSCALL kernel/bpf/syscall.c.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

from tests.loader.gen.machine import instructions as forms
from tests.loader.gen.machine.arithmetic import ALU, CONDITIONS, DIV, END, MOD, MOV, NEG, divide, remainder, signed
from tests.loader.gen.machine.memory import (
    MASK64,
    STACK_SIZE,
    Endian,
    MachineError,
    Memory,
    Pointer,
    Region,
    Stack,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.loader.gen.machine.instructions import Instruction
    from tests.loader.gen.machine.kernel import Kernel

MASK32 = (1 << 32) - 1
CONTEXT_BASE = 0xFFFF_8881_0234_5600
MAP_BASE = 0xFFFF_8881_0345_6700
DATA_BASE = 0xFFFF_C900_0123_4110
STACK_BASE = 0xFFFF_C900_0FFF_0000
MOST_FRAMES = 8
MOST_STEPS = 5_000_000
LARGEST_CONTEXT = 0xFFFF

Value = int | Pointer


_SIZES = {0x00: 4, 0x08: 2, 0x10: 1, 0x18: 8}


class Outcome(NamedTuple):
    """What a run left: the result (its low 32 bits, with a sign), the context, the data, and how long it took."""

    result: int
    context: bytes
    data: bytes
    steps: int


class Frame(NamedTuple):
    """Where a call came from, and what it must find again."""

    back_to: int
    saved: list[Value | None]
    stack: Stack


class Machine:
    """A program and its data in a machine; `user` is the memory of who runs it, by addresses.

    `hashed` are the data that the map's hash is of, those that it has if not told otherwise; `owner` is the field
    `excl` of struct bpf_map.
    """

    def __init__(
        self,
        instructions: bytes,
        data: bytes,
        kernel: Kernel,
        *,
        endian: Endian = "little",
        user: Mapping[int, bytes] | None = None,
        kernel_memory: Mapping[int, bytes] | None = None,
        hashed: bytes | None = None,
        owner: int = 1,
    ) -> None:
        self.endian = endian
        self.code = forms.program(instructions, endian)
        self.kernel = kernel
        self.memory = Memory()
        self.data = self.memory.add(Region("the data", DATA_BASE, data))
        content = data if hashed is None else hashed
        digest = hashlib.sha256(content + bytes(-len(content) % 8)).digest()
        fields = digest + owner.to_bytes(4, endian)
        self.map = self.memory.add(Region("struct bpf_map", MAP_BASE, fields, is_writable=False))
        for name, regions in (("user memory", user), ("kernel memory", kernel_memory)):
            for base, content in (regions or {}).items():
                self.memory.add(Region(name, base, content))
        self.registers: list[Value | None] = [None] * 11
        self.frames: list[Frame] = []
        self.stack = Stack(STACK_BASE)
        self.pc = 0

    def run(self, context: bytes) -> Outcome:
        """Run with a context (BPF_PROG_TEST_RUN of a SYSCALL program) to the end."""
        if len(context) > LARGEST_CONTEXT:
            raise MachineError(f"a context of {len(context)} bytes; the kernel takes up to {LARGEST_CONTEXT}")
        region = self.memory.add(Region("the context", CONTEXT_BASE, context, strict=True))
        self.memory.add(self.stack)
        self.registers[1] = Pointer(region, 0)
        self.registers[10] = Pointer(self.stack, STACK_SIZE)
        steps = 0
        while self.pc >= 0:
            steps += 1
            if steps > MOST_STEPS:
                raise MachineError(f"still running after {MOST_STEPS} instructions")
            instruction = self.code[self.pc]
            try:
                self._step(instruction)
            except MachineError as error:
                raise MachineError(f"instruction {self.pc}: {error} ({instruction})") from None
        return Outcome(signed(self._number(0), 32), bytes(region.data), bytes(self.data.data), steps)

    def _step(self, here: Instruction) -> None:
        kind = here.code & 7
        if kind in (4, 7):
            self._alu(here, 64 if kind == 7 else 32)
            self.pc += 1
        elif kind in (5, 6):
            self._jump(here, 64 if kind == 5 else 32)
        elif kind == 1:
            self._load(here)
        elif kind in (2, 3):
            self._store(here)
        elif here.code == forms.LD_IMM64:
            self._load_immediate(here)
        else:
            raise MachineError(f"code {here.code:#x} is none that a loader program has")

    # registers

    def _register(self, number: int) -> Value:
        value = self.registers[number]
        if value is None:
            raise MachineError(f"reads r{number}, which has no value")
        return value

    def _number(self, number: int) -> int:
        value = self._register(number)
        return value.address if isinstance(value, Pointer) else value

    def _set(self, number: int, value: Value) -> None:
        if number == 10:
            raise MachineError("writes r10")
        self.registers[number] = value

    def _operand(self, here: Instruction) -> Value:
        if here.code & 8:
            if here.imm:
                raise MachineError("an imm beside a register")
            return self._register(here.src)
        if here.src:
            raise MachineError("a register beside an imm")
        return here.imm & MASK64

    # arithmetic

    def _alu(self, here: Instruction, bits: int) -> None:
        operation = here.code & 0xF0
        if operation == END:
            self._set(here.dst, self._swap(here, bits))
            return
        if operation == NEG:
            if here.code & 8 or here.src or here.off or here.imm:
                raise MachineError("a negation with operands")
            self._set(here.dst, -self._scalar(self._register(here.dst)) & (1 << bits) - 1)
            return
        right = self._operand(here)
        if operation == MOV:
            self._set(here.dst, self._moved(here, right, bits))
            return
        left = self._register(here.dst)
        if bits == 64 and operation in (0x00, 0x10) and (isinstance(left, Pointer) or isinstance(right, Pointer)):
            self._set(here.dst, self._moved_pointer(left, right, operation))
            return
        mask = (1 << bits) - 1
        first, second = self._scalar(left) & mask, self._scalar(right) & mask
        if operation in (DIV, MOD):
            if here.off not in (0, 1):
                raise MachineError(f"a division with off {here.off}")
            function = divide if operation == DIV else remainder
            result = function(first, second, bits, bool(here.off))
        elif operation in ALU and not here.off:
            result = ALU[operation](first, second, bits)
        else:
            raise MachineError("an arithmetic instruction that does not exist")
        self._set(here.dst, result & mask)

    def _scalar(self, value: Value) -> int:
        if isinstance(value, Pointer):
            raise MachineError(f"calculates with a pointer to {value.region.name}")
        return value

    def _moved(self, here: Instruction, right: Value, bits: int) -> Value:
        if here.off:
            if not here.code & 8 or here.off not in (8, 16, 32) or here.off >= bits:
                raise MachineError(f"a move with off {here.off}")
            return signed(self._scalar(right), here.off) & (1 << bits) - 1
        return right if bits == 64 else self._scalar(right) & MASK32

    def _moved_pointer(self, left: Value, right: Value, operation: int) -> Value:
        if isinstance(left, Pointer) and isinstance(right, Pointer):
            raise MachineError("calculates with two pointers")
        if isinstance(left, Pointer):
            distance = signed(self._scalar(right))
            return Pointer(left.region, left.offset + (distance if operation == 0 else -distance))
        if operation or not isinstance(right, Pointer):
            raise MachineError("subtracts a pointer from a number")
        return Pointer(right.region, right.offset + signed(left))

    def _swap(self, here: Instruction, bits: int) -> int:
        value = self._scalar(self._register(here.dst))
        if here.imm not in (16, 32, 64) or here.off or here.src:
            raise MachineError("a change of byte order that does not exist")
        data = (value & (1 << here.imm) - 1).to_bytes(here.imm // 8, "little")
        if bits == 64:
            if here.code & 8:
                raise MachineError("a change of byte order that does not exist")
            order: Endian = "big"
        else:
            wanted: Endian = "big" if here.code & 8 else "little"
            order = "little" if wanted == self.endian else "big"
        return int.from_bytes(data, order)

    # jumps and calls

    def _jump(self, here: Instruction, bits: int) -> None:
        operation = here.code & 0xF0
        if here.code == forms.CALL:
            self._call(here)
            return
        if here.code == forms.EXIT:
            self._exit()
            return
        if operation == 0:
            self.pc += 1 + (here.off if bits == 64 else here.imm)
            return
        if operation not in CONDITIONS:
            raise MachineError("a jump that does not exist")
        compare, looks_at_signs = CONDITIONS[operation]
        right = self._operand(here)
        left = self._number(here.dst)
        other = right.address if isinstance(right, Pointer) else right
        if bits == 32:
            left, other = left & MASK32, other & MASK32
        if looks_at_signs:
            left, other = signed(left, bits), signed(other, bits)
        self.pc += 1 + (here.off if compare(left, other) else 0)

    def _call(self, here: Instruction) -> None:
        if here.off or here.dst:
            raise MachineError("a call with off or dst")
        if here.src == forms.CALL_LOCAL:
            if len(self.frames) + 1 == MOST_FRAMES:
                raise MachineError(f"more than {MOST_FRAMES} frames")
            self.frames.append(Frame(self.pc + 1, self.registers[6:10], self.stack))
            self.stack = Stack(STACK_BASE + 0x1000 * len(self.frames))
            self.memory.add(self.stack)
            self.registers[0] = None
            self.registers[6:10] = [None] * 4
            self.registers[10] = Pointer(self.stack, STACK_SIZE)
            self.pc += 1 + here.imm
            return
        if here.src:
            raise MachineError(f"a call with src {here.src}")
        result = self.kernel.helper(here.imm, self.registers[1:6], self.memory, self.endian)
        self.registers[1:6] = [None] * 5
        self.registers[0] = result & MASK64
        self.pc += 1

    def _exit(self) -> None:
        self._scalar(self._register(0))
        if not self.frames:
            self.pc = -1
            return
        self.memory.remove(self.stack)
        frame = self.frames.pop()
        self.stack = frame.stack
        self.registers[1:6] = [None] * 5
        self.registers[6:10] = frame.saved
        self.registers[10] = Pointer(self.stack, STACK_SIZE)
        self.pc = frame.back_to

    # memory

    def _place(self, base: int, off: int, size: int) -> tuple[Region, int]:
        pointer = self._register(base)
        if not isinstance(pointer, Pointer):
            raise MachineError(f"follows r{base}, which is a number ({pointer:#x})")
        region, offset = pointer.region, pointer.offset + off
        if region.strict and pointer.offset:
            raise MachineError(f"follows a pointer to {region.name} that was moved by {pointer.offset}")
        region.check(offset, size, "touches")
        if (region.base + offset) % size:
            raise MachineError(f"touches {size} bytes at {offset} of {region.name}, which are not aligned")
        return region, offset

    def _load(self, here: Instruction) -> None:
        mode = here.code & 0xE0
        size = _SIZES[here.code & 0x18]
        if mode not in (0x60, 0x80) or here.imm or (mode == 0x80 and size == 8):
            raise MachineError("a load that does not exist")
        region, offset = self._place(here.src, here.off, size)
        value: Value
        if isinstance(region, Stack) and offset in region.pointers:
            if size != 8:
                raise MachineError("reads a part of a pointer on the stack")
            value = region.pointers[offset]
        else:
            number = int.from_bytes(region.read(offset, size), self.endian)
            value = signed(number, 8 * size) & MASK64 if mode == 0x80 else number
        self._set(here.dst, value)
        self.pc += 1

    def _store(self, here: Instruction) -> None:
        if here.code & 0xE0 != 0x60:
            raise MachineError("a store that loader programs do not have")
        size = _SIZES[here.code & 0x18]
        value: Value
        if here.code & 7 == 2:
            if here.src:
                raise MachineError("a register beside an imm")
            value = here.imm & MASK64
        else:
            if here.imm:
                raise MachineError("an imm beside a register")
            value = self._register(here.src)
        region, offset = self._place(here.dst, here.off, size)
        if isinstance(value, Pointer):
            if size != 8:
                raise MachineError(f"stores {size} bytes of a pointer")
            if region.strict:
                raise MachineError(f"stores a pointer in {region.name}")
        number = value.address if isinstance(value, Pointer) else value
        region.write(offset, (number & (1 << 8 * size) - 1).to_bytes(size, self.endian))
        if isinstance(region, Stack) and isinstance(value, Pointer):
            region.pointers[offset] = value
        self.pc += 1

    def _load_immediate(self, here: Instruction) -> None:
        high = self.code[self.pc + 1].imm
        if here.off:
            raise MachineError("a 64-bit immediate with off")
        if here.src == 0:
            self._set(here.dst, here.imm & MASK32 | (high & MASK32) << 32)
        elif here.src == forms.SRC_MAP_INDEX_VALUE and here.imm == 0:
            if not 0 <= high < len(self.data.data):
                raise MachineError(f"the address of byte {high} of {len(self.data.data)} of data")
            self._set(here.dst, Pointer(self.data, high))
        elif here.src == forms.SRC_MAP_INDEX and not here.imm and not high:
            self._set(here.dst, Pointer(self.map, 0))
        else:
            raise MachineError(f"a 64-bit immediate with src {here.src} and imm {here.imm}")
        self.pc += 2
