"""Compression in the format of zlib (RFC 1950, 1951) that gives the same bytes everywhere.

What the zlib of a machine makes of the same data depends on its version, and there are other implementations of
it. All of them can read this. Repetitions are found by the last place of each four bytes; codes are the fixed
ones.
"""

from __future__ import annotations

import zlib

_HEADER = b"\x78\x9c"
_SHORTEST, _LONGEST, _FARTHEST = 4, 258, 1 << 15
_LENGTH_BASES = (*range(3, 11), *range(11, 19, 2), *range(19, 35, 4), *range(35, 67, 8), *range(67, 131, 16))
_LENGTH_BASES += (131, 163, 195, 227, 258)
_LENGTH_BITS = (0,) * 8 + tuple(bits for bits in range(1, 6) for _ in range(4)) + (0,)
_DISTANCE_BITS = (0, 0, *(bits for bits in range(14) for _ in range(2)))
_END = 256


def compressed(data: bytes) -> bytes:
    """What `zlib.decompress` makes `data` of."""
    writer = _BitWriter()
    writer.add(0b011, 3)  # the last block, with fixed codes
    last: dict[bytes, int] = {}
    at = 0
    while at < len(data):
        key = data[at : at + _SHORTEST]
        found = last.get(key, -1)
        last[key] = at
        if len(key) == _SHORTEST and found >= 0 and at - found <= _FARTHEST:
            length = _common(data, found, at)
            writer.repeat(length, at - found)
            for inner in range(at + 1, min(at + length, at + 16)):
                last[data[inner : inner + _SHORTEST]] = inner
            at += length
        else:
            writer.literal(data[at])
            at += 1
    writer.literal(_END)
    return _HEADER + writer.finish() + zlib.adler32(data).to_bytes(4, "big")


def _common(data: bytes, first: int, second: int) -> int:
    """How many bytes from two places on are the same, as many as one repetition can have."""
    most = min(_LONGEST, len(data) - second)
    low, high = _SHORTEST, most
    if data[first : first + most] == data[second : second + most]:
        return most
    while low < high:
        middle = (low + high + 1) // 2
        if data[first : first + middle] == data[second : second + middle]:
            low = middle
        else:
            high = middle - 1
    return low


class _BitWriter:
    """Bits into bytes, the lowest first."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._bits = 0
        self._count = 0

    def add(self, bits: int, count: int) -> None:
        """`count` bits."""
        self._bits |= bits << self._count
        self._count += count
        while self._count >= 8:
            self._bytes.append(self._bits & 0xFF)
            self._bits >>= 8
            self._count -= 8

    def literal(self, symbol: int) -> None:
        """A symbol by its fixed code."""
        self.add(*_CODES[symbol])

    def repeat(self, length: int, distance: int) -> None:
        """`length` bytes from so far back."""
        number = _LENGTH_NUMBERS[length]
        self.literal(257 + number)
        self.add(length - _LENGTH_BASES[number], _LENGTH_BITS[number])
        number = _distance_number(distance)
        self.add(_reversed(number, 5), 5)
        self.add(distance - _DISTANCE_BASES[number], _DISTANCE_BITS[number])

    def finish(self) -> bytes:
        """All of it, filled up to a byte."""
        self.add(0, -self._count % 8)
        return bytes(self._bytes)


def _reversed(code: int, count: int) -> int:
    """A code as it is written: its highest bit first."""
    return int(f"{code:0{count}b}"[::-1], 2)


def _fixed_codes() -> list[tuple[int, int]]:
    """The codes of RFC 1951, section 3.2.6, and their numbers of bits."""
    codes = [(0x30 + symbol, 8) for symbol in range(144)]
    codes += [(0x190 + symbol - 144, 9) for symbol in range(144, 256)]
    codes += [(symbol - 256, 7) for symbol in range(256, 280)]
    codes += [(0xC0 + symbol - 280, 8) for symbol in range(280, 288)]
    return [(_reversed(code, count), count) for code, count in codes]


def _distance_bases() -> list[int]:
    bases = [1]
    for bits in _DISTANCE_BITS[:-1]:
        bases.append(bases[-1] + (1 << bits))
    return bases


def _distance_number(distance: int) -> int:
    if distance <= 4:
        return distance - 1
    bits = (distance - 1).bit_length() - 2
    return 2 * bits + (distance - 1 >> bits)


def _length_numbers() -> dict[int, int]:
    numbers: dict[int, int] = {}
    for number, base in enumerate(_LENGTH_BASES):
        for length in range(base, base + (1 << _LENGTH_BITS[number])):
            numbers[length] = number
    return numbers


_CODES = _fixed_codes()
_DISTANCE_BASES = _distance_bases()
_LENGTH_NUMBERS = _length_numbers()
