"""The simulated machine calculates as the kernel does, and refuses what the verifier refuses."""

from __future__ import annotations

import errno
import hashlib
import os
import struct
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpfas.api import assemble
from bpfas.asm.options import Options
from bpfas.elf.constants import ByteOrder
from bpfas.loader import syscall
from bpfas.loader.kinds import ProgramFlag, ProgramType
from bpfas.loader.syscall import ProgramLoad
from tests.loader.gen.machine.instructions import Instruction
from tests.loader.gen.machine.kernel import FUNC, Kernel
from tests.loader.gen.machine.machine import Machine, Outcome
from tests.loader.gen.machine.memory import Endian, MachineError

if TYPE_CHECKING:
    from collections.abc import Sequence

ORDERS: dict[Endian, ByteOrder] = {"little": ByteOrder.LITTLE, "big": ByteOrder.BIG}
RESULTS = 5
"""Registers that the compared programs calculate with: r0 and r2 to r5."""


def code(text: str, endian: Endian = "little") -> bytes:
    """Instructions of an assembly text, with the address of data written `data(offset)`."""
    obj = assemble(text, options=Options(byte_order=ORDERS[endian]))
    return next(bytes(section.data) for section in obj.sections if section.name == ".text")


def data_address(register: int, offset: int, endian: Endian = "little") -> bytes:
    """The address of a byte of the data."""
    first, second = Instruction(0x18, register, 6, 0, 0), Instruction(0, 0, 0, 0, offset)
    return first.encode(endian) + second.encode(endian)


def run(
    *parts: str | bytes,
    data: bytes = bytes(64),
    context: bytes = bytes(24),
    kernel: Kernel | None = None,
    endian: Endian = "little",
    user: dict[int, bytes] | None = None,
    kernel_memory: dict[int, bytes] | None = None,
) -> Outcome:
    """Run what the parts make together: assembly, or instructions as they are."""
    whole = b"".join(part if isinstance(part, bytes) else code(part, endian) for part in parts)
    machine = Machine(whole, data, kernel or Kernel(), endian=endian, user=user, kernel_memory=kernel_memory)
    return machine.run(context)


EXIT_0 = "r0 = 0\nexit\n"

REFUSED = {
    "r0 without a value": "exit",
    "a register without a value": "r0 = r3\nexit",
    "r1 after a call": "r1 = 5\ncall 168\nr0 = r1\nexit",
    "a callee's registers": "r6 = 1\ncall f\nexit\nf:\nr0 = r6\nexit",
    "the stack without a value": "r0 = *(u32 *)(r10 - 4)\nexit",
    "a half of the stack without a value": "*(u32 *)(r10 - 8) = r10\nr0 = *(u64 *)(r10 - 8)\nexit",
    "below the stack": "*(u64 *)(r10 - 520) = 1\nr0 = 0\nexit",
    "above the stack": "*(u64 *)(r10 + 0) = 1\nr0 = 0\nexit",
    "stack that is not aligned": "*(u32 *)(r10 - 6) = 1\nr0 = 0\nexit",
    "behind the context": "r0 = *(u32 *)(r1 + 24)\nexit",
    "context that is not aligned": "r0 = *(u64 *)(r1 + 4)\nexit",
    "a moved context": "r1 += 8\nr0 = *(u64 *)(r1 + 0)\nexit",
    "a number as a pointer": "r2 = 4096\nr0 = *(u64 *)(r2 + 0)\nexit",
    "a pointer cut to 32 bits": "w2 = w1\nr0 = 0\nexit",
    "a pointer multiplied": "r1 *= 2\nr0 = 0\nexit",
    "a pointer stored in part": "*(u32 *)(r10 - 8) = r1\nr0 = 0\nexit",
    "a pointer as the result": "r0 = r10\nexit",
    "writing r10": "r10 = 0\nr0 = 0\nexit",
    "an endless program": "a:\ngoto a\nr0 = 0\nexit",
    "code that is not reached": "r0 = 0\ngoto a\nr0 = 1\na:\nexit",
    "running over the end": "r0 = 0",
    "a jump into a 64-bit load": "r0 = 0\nif r0 == 0 goto +1\nr0 = 81985529216486895 ll\nexit",
    "an unknown helper": "call 1\nexit",
    "a helper without its registers": "call 168\nexit",
    "no end of calls": "call f\nexit\nf:\ncall f\nexit",
}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
def test_refused(text: str) -> None:
    with pytest.raises(MachineError):
        run(text)


def test_a_pointer_outlives_the_stack_but_not_the_data() -> None:
    spilled = "*(u64 *)(r10 - 8) = r1\nr2 = *(u64 *)(r10 - 8)\nr0 = *(u32 *)(r2 + 4)\nexit"
    assert run(spilled, context=struct.pack("<6I", 1, 7, 0, 0, 0, 0)).result == 7
    with pytest.raises(MachineError, match="a number"):
        run(
            "r6 = r1",
            data_address(2, 8),
            "*(u64 *)(r2 + 0) = r10\nr3 = *(u64 *)(r2 + 0)\nr0 = *(u64 *)(r3 - 8)\nexit",
        )


def test_data_has_bounds() -> None:
    assert run(data_address(2, 56), "r0 = *(u64 *)(r2 + 0)\nexit").result == 0
    with pytest.raises(MachineError, match="64"):
        run(data_address(2, 56), "r0 = *(u64 *)(r2 + 8)\nexit")
    with pytest.raises(MachineError, match="byte 64"):
        run(data_address(2, 64), EXIT_0)
    with pytest.raises(MachineError, match="aligned"):
        run(data_address(2, 3), "r0 = *(u16 *)(r2 + 0)\nexit")


@pytest.mark.parametrize("endian", ORDERS)
def test_memory_has_the_machines_byte_order(endian: Endian) -> None:
    text = (
        "r3 = 0x1122334455667788 ll\n*(u64 *)(r2 + 0) = r3\n*(u32 *)(r2 + 8) = 305419896\n*(u16 *)(r2 + 12) = r3\n"
        "r0 = *(u8 *)(r2 + 0)\n*(u64 *)(r1 + 16) = r0\nr0 = *(u16 *)(r2 + 8)\nexit"
    )
    outcome = run(data_address(2, 0, endian), text, endian=endian)
    assert outcome.data[:14] == b"".join(
        number.to_bytes(size, endian) for number, size in ((0x1122334455667788, 8), (0x12345678, 4), (0x7788, 2))
    )
    assert outcome.context[16:] == (0x88 if endian == "little" else 0x11).to_bytes(8, endian)
    assert outcome.result == (0x5678 if endian == "little" else 0x1234)


def test_loads_with_signs_and_calls() -> None:
    text = """
    r6 = 5
    *(u32 *)(r10 - 4) = -2
    r0 = *(s32 *)(r10 - 4)
    r1 = r0
    call negate
    r0 += r6
    exit
    negate:
    r6 = r1
    r6 = -r6
    r0 = r6
    exit
    """
    assert run(text).result == 7


def test_results_have_a_sign() -> None:
    assert run("r0 = -22\nexit").result == -22


# Programs that calculate, for the kernel and the machine alike.

_BINARY = {
    0x00: "add", 0x10: "sub", 0x20: "mul", 0x30: "div", 0x40: "or", 0x50: "and", 0x60: "lsh", 0x70: "rsh",
    0x90: "mod", 0xA0: "xor", 0xB0: "mov", 0xC0: "arsh",
}  # fmt: skip
_REGISTERS = st.sampled_from((0, 2, 3, 4, 5))
_NUMBERS = st.sampled_from((0, 1, -1, 2, 7, -(1 << 31), (1 << 31) - 1)) | st.integers(-(1 << 31), (1 << 31) - 1)
_WIDE = st.sampled_from((0, 1, 1 << 31, 1 << 32, 1 << 63, (1 << 64) - 1)) | st.integers(0, (1 << 64) - 1)


@st.composite
def calculations(draw: st.DrawFn) -> Instruction:
    """An arithmetic instruction that the kernel takes."""
    group, dst = draw(st.sampled_from((4, 7))), draw(_REGISTERS)
    bits = 32 if group == 4 else 64
    operation = draw(st.sampled_from([*_BINARY, 0x80, 0xD0]))
    if operation == 0x80:
        return Instruction(group | 0x80, dst, 0, 0, 0)
    if operation == 0xD0:
        direction = draw(st.sampled_from((0, 8))) if group == 4 else 0
        return Instruction(group | 0xD0 | direction, dst, 0, 0, draw(st.sampled_from((16, 32, 64))))
    if draw(st.booleans()):
        off = 0
        if operation in (0x30, 0x90):
            off = draw(st.sampled_from((0, 1)))
        elif operation == 0xB0:
            off = draw(st.sampled_from((0, 8, 16) if bits == 32 else (0, 8, 16, 32)))
        return Instruction(group | operation | 8, dst, draw(_REGISTERS), off, 0)
    imm = draw(_NUMBERS)
    if operation in (0x60, 0x70, 0xC0):
        imm %= bits
    if operation in (0x30, 0x90):
        return Instruction(group | operation, dst, 0, draw(st.sampled_from((0, 1))), imm or 3)
    return Instruction(group | operation, dst, 0, 0, imm)


@st.composite
def jumps(draw: st.DrawFn) -> Instruction:
    """A conditional jump over the next instruction."""
    group = draw(st.sampled_from((5, 6)))
    operation = draw(st.sampled_from((0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0xA0, 0xB0, 0xC0, 0xD0)))
    if draw(st.booleans()):
        return Instruction(group | operation | 8, draw(_REGISTERS), draw(_REGISTERS), 1, 0)
    return Instruction(group | operation, draw(_REGISTERS), 0, 1, draw(_NUMBERS))


def program(start: Sequence[int], body: Sequence[Instruction]) -> bytes:
    """Registers with these numbers, the body, and the registers in the context."""
    slots = [Instruction(0xBF, 6, 1, 0, 0)]
    registers = (0, 2, 3, 4, 5)
    for register, number in zip(registers, start, strict=True):
        low, high = struct.unpack("<2i", struct.pack("<Q", number))
        slots += [Instruction(0x18, register, 0, 0, low), Instruction(0, 0, 0, 0, high)]
    slots += body
    slots.append(Instruction(0xB7, 7, 0, 0, 0))  # what the last jump may leave out
    slots += [Instruction(0x7B, 6, register, 8 * index, 0) for index, register in enumerate(registers)]
    slots += [Instruction(0xB7, 0, 0, 0, 0), Instruction(0x95, 0, 0, 0, 0)]
    return b"".join(slot.encode("little") for slot in slots)


@pytest.mark.kernel
@pytest.mark.any_kernel
@given(
    st.lists(_WIDE, min_size=RESULTS, max_size=RESULTS),
    st.lists(calculations() | jumps(), min_size=1, max_size=20),
)
def test_calculates_as_the_kernel(start: list[int], body: list[Instruction]) -> None:
    instructions = program(start, body)
    load = ProgramLoad("probe", ProgramType.SYSCALL, instructions, b"GPL", flags=ProgramFlag.SLEEPABLE)
    loaded = syscall.prog_load(load)
    try:
        expected = syscall.prog_test_run(loaded, b"", 0, bytes(8 * RESULTS), 0, 0)
    finally:
        os.close(loaded)
    assert Machine(instructions, b"", Kernel()).run(bytes(8 * RESULTS)).context == expected.context


# Helpers


def call(number: int, *arguments: str) -> str:
    """A call of a helper; arguments are assembly's operands."""
    moves = "".join(f"r{index} = {text}\n" for index, text in enumerate(arguments, 1))
    return f"{moves}call {number}\n"


def stack_address(register: int, offset: int) -> str:
    return f"r{register} = r10\nr{register} += {offset}\n"


def test_a_failing_read_clears() -> None:
    text = (
        f"{stack_address(1, -16)}r2 = 16\nr3 = 0\ncall 113\nr6 = r0\nr7 = *(u64 *)(r10 - 8)\n"
        "if r7 != 0 goto bad\nr0 = r6\nexit\nbad:\nr0 = 1\nexit"
    )
    assert run(text).result == -errno.EFAULT


def test_each_side_reads_its_own_memory() -> None:
    user, kernel = 0x7F0000001000, 0xFFFF888000001000

    def read(helper: int, address: int) -> tuple[int, bytes]:
        text = f"r2 = 8\nr3 = {address} ll\ncall {helper}\nexit"
        outcome = run(
            data_address(1, 8),
            text,
            data=b"-" * 24,
            user={user: b"userland"},
            kernel_memory={kernel: b"kernelly"},
        )
        return outcome.result, outcome.data

    assert read(148, user) == (0, b"--------userland--------")
    assert read(113, kernel) == (0, b"--------kernelly--------")
    assert read(148, kernel) == read(113, user) == (-errno.EFAULT, b"--------\0\0\0\0\0\0\0\0--------")
    assert read(148, user + 1)[0] == -errno.EFAULT


def test_a_name_is_found_with_its_module() -> None:
    kernel = Kernel({("there", FUNC): (7, ""), ("far", FUNC): (9, "mod")})

    def find(name: bytes, kind: int = FUNC, flags: int = 0) -> int:
        text = f"r2 = {len(name)}\nr3 = {kind}\nr4 = {flags}\ncall 167\n*(u64 *)(r6 + 0) = r0\nr0 = 0\nexit"
        outcome = run("r6 = r1\n", data_address(1, 0), text, data=name.ljust(16, b"\0"), kernel=kernel)
        return int.from_bytes(outcome.context[:8], "little", signed=True)

    assert find(b"there\0") == 7
    assert find(b"far\0") == 3 << 32 | 9
    assert kernel.open_names == ["module mod"]
    assert find(b"there\0", kind=14) == -errno.ENOENT
    assert find(b"there") == find(b"\0") == find(b"there\0", flags=1) == -errno.EINVAL


def test_an_address_is_looked_up() -> None:
    kernel = Kernel(addresses={"jiffies": 0xFFFFFFFF81234568}, lookup_failures={"hidden": errno.EPERM})

    def look_up(name: bytes) -> tuple[int, bytes]:
        text = f"r2 = {len(name)}\nr3 = 0\ncall 179\nexit"
        data = name.ljust(16, b"\0") + b"-" * 8
        outcome = run(data_address(1, 0), data_address(4, 16), text, data=data, kernel=kernel)
        return outcome.result, outcome.data[16:]

    assert look_up(b"jiffies\0") == (0, (0xFFFFFFFF81234568).to_bytes(8, "little"))
    assert look_up(b"nowhere\0") == (-errno.ENOENT, bytes(8))
    assert look_up(b"hidden\0") == (-errno.EPERM, bytes(8))


def test_closing() -> None:
    kernel = Kernel()
    given_one = kernel.give("map", "counts")
    assert run(f"r1 = {given_one}\ncall 168\nexit", kernel=kernel).result == 0
    assert run(f"r1 = {given_one}\ncall 168\nexit", kernel=kernel).result == -errno.EBADF
    assert kernel.open_names == []
    assert run("r1 = -1\ncall 168\nexit", kernel=kernel).result == -errno.EBADF
    with pytest.raises(MachineError, match="descriptor 0"):
        run("r1 = 0\ncall 168\nexit", kernel=kernel)


def test_a_program_sees_the_hash_of_its_data() -> None:
    data = b"twelve bytes"
    pointer = Instruction(0x18, 2, 5, 0, 0).encode("little") + bytes(8)
    look = "r3 = *(u64 *)(r2 + 24)\n*(u64 *)(r1 + 0) = r3\nr0 = *(u32 *)(r2 + 32)\nexit"
    outcome = run(pointer, look, data=data)
    assert outcome.context[:8] == hashlib.sha256(data + bytes(4)).digest()[24:]
    assert outcome.result == 1
    with pytest.raises(MachineError, match="writes"):
        run(pointer, "*(u32 *)(r2 + 32) = 2\nr0 = 0\nexit")


def test_a_context_has_a_largest_size() -> None:
    with pytest.raises(MachineError, match="65535"):
        run(EXIT_0, context=bytes(1 << 16))
