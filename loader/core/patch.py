"""Writing what a CO-RE relocation leads to into its instruction.

Source: libbpf's relo_core.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpfas.btf.kinds import Kind
from bpfas.diag import BpfasError
from bpfas.isa import SLOT_SIZE
from bpfas.loader.core.kinds import ENUMERATOR_KINDS, WORDS, ZERO_IF_MISSING, CoreKind
from bpfas.loader.instructions import LOAD_IMMEDIATE_64, POISON

if TYPE_CHECKING:
    from bpfas.btf.btf import Btf
    from bpfas.loader.core.resolver import Resolution
    from bpfas.loader.instructions import Code

_CLASS = 7
_ALU_CLASSES = frozenset({4, 7})
_MEMORY_CLASSES = frozenset({1, 2, 3})  # LDX, ST, STX
_REGISTER_OPERAND = 8
_SIZES = {0x00: 4, 0x08: 2, 0x10: 1, 0x18: 8}
_SIZE_CODES = {size: code for code, size in _SIZES.items()}
_SIZE_MASK = 0x18
_LARGEST_OFFSET = 0x7FFF
_UPPER_HALF = 0xFFFFFFFF << 32


def patch(code: Code, index: int, resolution: Resolution) -> bool:
    """Let the instruction at `index` hold what the kernel has; False if that is nothing, and it is poisoned.

    Raises BpfasError if it is no instruction that holds such a thing, or does not hold what its relocation says.
    """
    if resolution.new is None and resolution.kind not in ZERO_IF_MISSING:
        poison(code, index)
        return False
    opcode = code.opcode(index)
    if opcode == LOAD_IMMEDIATE_64:
        _patch_wide_immediate(code, index, resolution)
    elif opcode & _CLASS in _ALU_CLASSES and not opcode & _REGISTER_OPERAND:
        _patch_immediate(code, index, resolution)
    elif opcode & _CLASS in _MEMORY_CLASSES:
        return _patch_access(code, index, resolution)
    else:
        message = f"the instruction (opcode {opcode:#04x}) has no place for the {_what(resolution)}"
        raise BpfasError.of(message)
    return True


def poison(code: Code, index: int) -> None:
    """Put a call that the verifier refuses, should it be reached, in the place of an instruction."""
    slots = 2 if code.opcode(index) == LOAD_IMMEDIATE_64 and index + 1 < len(code) else 1
    for slot in range(index, index + slots):
        code.put_call(slot, POISON)


def sizes_fit(resolution: Resolution) -> bool:
    """Whether a load or store of the field can be made with the size that the field has in the kernel.

    That is so where the size is the same, and of what is extended with zeros: pointers, and unsigned integers.
    """
    old, new = resolution.old, resolution.new
    if new is None or resolution.target is None or old.size == new.size:
        return True
    return _extends_alike(resolution.local.btf, old.type_id, resolution.target.btf, new.type_id)


def _extends_alike(local: Btf, local_id: int, target: Btf, target_id: int) -> bool:
    kinds = local.kind(local_id), target.kind(target_id)
    if kinds == (Kind.PTR, Kind.PTR):
        return True
    return kinds == (Kind.INT, Kind.INT) and not any(
        encoding.is_signed and not encoding.is_char and not encoding.is_bool
        for encoding in (local.encoding(local_id), target.encoding(target_id))
    )


def _patch_immediate(code: Code, index: int, resolution: Resolution) -> None:
    _check_old(resolution, code.imm(index) % (1 << 64))
    code.set_imm(index, _new(resolution) % (1 << 32))


def _patch_access(code: Code, index: int, resolution: Resolution) -> bool:
    """Of a load or store: its offset and, where the field has another size, its size."""
    _check_old(resolution, code.offset(index) % (1 << 64))
    new = _new(resolution)
    if new > _LARGEST_OFFSET:
        message = f"the {_what(resolution)} is {new} in the kernel, beyond the {_LARGEST_OFFSET} of an instruction"
        raise BpfasError.of(message)
    if not sizes_fit(resolution):
        poison(code, index)
        return False
    code.set_offset(index, new)
    old_size, new_size = resolution.old.size, resolution.new.size if resolution.new else 0
    if old_size != new_size:
        opcode = code.opcode(index)
        accessed = _SIZES[opcode & _SIZE_MASK]
        if accessed != old_size:
            message = f"the instruction accesses {accessed} bytes, but `{resolution.local.text}` has {old_size}"
            raise BpfasError.of(message)
        if new_size not in _SIZE_CODES:
            message = (
                f"`{resolution.local.text}` has {new_size} bytes in the kernel, which no instruction accesses"
            )
            raise BpfasError.of(message)
        code.set_opcode(index, opcode & ~_SIZE_MASK | _SIZE_CODES[new_size])
    return True


def _patch_wide_immediate(code: Code, index: int, resolution: Resolution) -> None:
    second = code.data[SLOT_SIZE * (index + 1) : SLOT_SIZE * (index + 1) + 4]
    if len(second) < 4 or any(second) or code.src(index) or code.offset(index):
        message = f"the 64-bit immediate load is of something else than the {_what(resolution)}"
        raise BpfasError.of(message)
    old = code.imm(index) % (1 << 32) | code.imm(index + 1) % (1 << 32) << 32
    new = _new(resolution)
    if _is_zero_extended(resolution, old):
        # As the program's enumeration is unsigned, the kernel's is, too.
        new = new % (1 << 32) if new >= 1 << 63 else new
    else:
        _check_old(resolution, old)
    code.set_imm(index, new % (1 << 32))
    code.set_imm(index + 1, new >> 32)


def _is_zero_extended(resolution: Resolution, old: int) -> bool:
    """Whether an instruction has an enumerator of 32 bits, from 2^31 on, that is unsigned."""
    local = resolution.local
    is_enum = resolution.kind in ENUMERATOR_KINDS and local.btf.kind(local.steps[0].type_id) is Kind.ENUM
    return is_enum and bool(resolution.old.number & _UPPER_HALF) and old == resolution.old.number & ~_UPPER_HALF


def _new(resolution: Resolution) -> int:
    return resolution.new.number if resolution.new else 0


def _check_old(resolution: Resolution, found: int) -> None:
    """Whether the instruction is really of what the relocation says."""
    expected = resolution.old
    if expected.is_certain and found != expected.number:
        message = (
            f"the instruction has {_signed(found)} where the {_what(resolution)} in the program is "
            f"{_signed(expected.number)}"
        )
        raise BpfasError.of(message)


def _signed(number: int) -> int:
    return number - (number >> 63 << 64)


def _what(resolution: Resolution) -> str:
    return f"{WORDS[CoreKind(resolution.kind)]} of `{resolution.local.text}`"
