"""LEB128, the numbers of variable length in DWARF (DWARF 5 §7.6)."""

from __future__ import annotations


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


def signed_leb128(number: int, least: int = 1) -> bytes:
    """The bytes of any number, padded to `least` bytes."""
    encoded = bytearray()
    while True:
        group, number = number & 0x7F, number >> 7
        if number == (-1 if group & 0x40 else 0) and len(encoded) + 1 >= least:
            encoded.append(group)
            return bytes(encoded)
        encoded.append(group | 0x80)
