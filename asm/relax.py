"""Jumps that do not reach with 16 bits, lengthened (as GNU as does it for BPF).

`ja` becomes `jal`; a conditional jump becomes `jcc +1; ja +1; jal target`. Which jumps that concerns is known when
all places are, and lengthening them moves places; so the sources are read again with those jumps long, until
nothing is too far any more. A jump that has become long stays so, which is why that ends.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from bpfas.asm.expression import ExpressionError, resolve
from bpfas.asm.fixup import JUMP32, Fixup
from bpfas.elf.constants import SymbolBinding
from bpfas.isa import BY_NAME, SLOT_SIZE, Instruction, encode

if TYPE_CHECKING:
    from bpfas.asm.assembly import Assembly
    from bpfas.asm.section import SectionBuilder
    from bpfas.elf.constants import ByteOrder

_REACH = 1 << 15
"""Instructions, counted from the next one: -32768 to 32767."""


def jumps_too_far(assembly: Assembly) -> frozenset[int]:
    """The numbers of the jumps in an assembly that do not reach their targets and can be lengthened."""
    return frozenset(
        fixup.jump
        for section in assembly.sections.values()
        if section.size > _REACH * SLOT_SIZE
        for fixup in section.fixups
        if fixup.jump is not None and _is_too_far(fixup, section)
    )


def _is_too_far(fixup: Fixup, section: SectionBuilder) -> bool:
    try:
        value = resolve(fixup.value)
    except ExpressionError:
        return False  # reported when the fixups are settled
    symbol = value.symbol
    if symbol is None or symbol.section is not section or symbol.binding is SymbolBinding.WEAK:
        return False
    distance = (symbol.offset + value.constant - fixup.offset) // SLOT_SIZE - 1
    return not -_REACH <= distance < _REACH


def lengthen(data: bytes, fixup: Fixup, order: ByteOrder) -> tuple[bytes, Fixup]:
    """The instructions, and their fixup, that do what a jump with a 16-bit offset does, and reach further."""
    long_jump = encode(Instruction(BY_NAME["jal"]), order)
    if data[0] == BY_NAME["ja"].code:
        return long_jump, dataclasses.replace(fixup, kind=JUMP32, jump=None)
    over_the_next = (1).to_bytes(2, order.name_for_int)
    skip = encode(Instruction(BY_NAME["ja"], off=1), order)
    conditional = data[:2] + over_the_next + data[4:]
    at = fixup.offset + 2 * SLOT_SIZE
    return conditional + skip + long_jump, dataclasses.replace(fixup, kind=JUMP32, offset=at, jump=None)
