"""How instructions calculate and compare (RFC 9669 §4), on numbers without a sign."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def signed(number: int, bits: int = 64) -> int:
    """The low `bits` bits as a number with a sign."""
    number &= (1 << bits) - 1
    return number - (1 << bits) if number >> bits - 1 else number


def divide(left: int, right: int, bits: int, is_signed: bool) -> int:
    if not right:
        return 0
    if not is_signed:
        return left // right
    left, right = signed(left, bits), signed(right, bits)
    quotient = abs(left) // abs(right)
    return quotient if (left < 0) == (right < 0) else -quotient


def remainder(left: int, right: int, bits: int, is_signed: bool) -> int:
    if not right:
        return left
    if not is_signed:
        return left % right
    left, right = signed(left, bits), signed(right, bits)
    rest = abs(left) % abs(right)
    return -rest if left < 0 else rest


ALU: dict[int, Callable[[int, int, int], int]] = {
    0x00: lambda left, right, _: left + right,
    0x10: lambda left, right, _: left - right,
    0x20: lambda left, right, _: left * right,
    0x40: lambda left, right, _: left | right,
    0x50: lambda left, right, _: left & right,
    0x60: lambda left, right, bits: left << (right & bits - 1),
    0x70: lambda left, right, bits: left >> (right & bits - 1),
    0xA0: lambda left, right, _: left ^ right,
    0xC0: lambda left, right, bits: signed(left, bits) >> (right & bits - 1),
}
DIV, NEG, MOD, MOV, END = 0x30, 0x80, 0x90, 0xB0, 0xD0

CONDITIONS: dict[int, tuple[Callable[[int, int], bool | int], bool]] = {
    # by the operation's bits: the comparison, and whether it looks at signs
    0x10: (operator.eq, False),
    0x20: (operator.gt, False),
    0x30: (operator.ge, False),
    0x40: (operator.and_, False),
    0x50: (operator.ne, False),
    0x60: (operator.gt, True),
    0x70: (operator.ge, True),
    0xA0: (operator.lt, False),
    0xB0: (operator.le, False),
    0xC0: (operator.lt, True),
    0xD0: (operator.le, True),
}
