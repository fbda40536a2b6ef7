"""LEB128, the numbers of variable length in DWARF (DWARF 5 §7.6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_WIDEST = 64
"""Bits of a number that is read."""


def unsigned_leb128(number: int, least: int = 1) -> bytes:
    """The bytes of a number, which must not be negative (ValueError), padded to `least` bytes."""
    if number < 0:
        raise ValueError(f"{number} is negative")
    encoded = bytearray()
    while True:
        group, number = number & 0x7F, number >> 7
        if not number and len(encoded) + 1 >= least:
            encoded.append(group)
            return bytes(encoded)
        encoded.append(group | 0x80)


def unsigned_numbers(data: bytes | bytearray) -> Iterator[int]:
    """The unsigned numbers that `data` is a row of. Raises ValueError where it ends inside one."""
    number = shift = 0
    for byte in data:
        number |= (byte & 0x7F) << shift
        shift += 7
        if shift > _WIDEST:
            raise ValueError(f"has a number of more than {_WIDEST} bits")
        if not byte & 0x80:
            yield number
            number = shift = 0
    if shift:
        raise ValueError("ends inside a number")


def signed_leb128(number: int, least: int = 1) -> bytes:
    """The bytes of any number, padded to `least` bytes."""
    encoded = bytearray()
    while True:
        group, number = number & 0x7F, number >> 7
        if number == (-1 if group & 0x40 else 0) and len(encoded) + 1 >= least:
            encoded.append(group)
            return bytes(encoded)
        encoded.append(group | 0x80)
