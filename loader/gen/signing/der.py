"""DER: the few forms of it that certificates and signatures are made of, read and written.

Source: ITU-T X.690 §8, §10.
"""

from __future__ import annotations

from typing import NamedTuple

BOOLEAN, INTEGER, BIT_STRING, OCTET_STRING, NULL, OBJECT_IDENTIFIER = 0x01, 0x02, 0x03, 0x04, 0x05, 0x06
UTC_TIME, GENERALIZED_TIME = 0x17, 0x18
SEQUENCE, SET = 0x30, 0x31
_LONG_FORM = 0x80
_LONGEST_LENGTH = 4


class DerError(ValueError):
    """The bytes are not DER, or not the value that was expected there."""


class Element(NamedTuple):
    """A value: its tag with all bits of the identifier, its contents, and all of its bytes."""

    tag: int
    content: bytes
    encoded: bytes

    def children(self) -> list[Element]:
        """The values in a constructed one. Raises DerError."""
        return elements(self.content)


def context(number: int, *, constructed: bool = True) -> int:
    """The tag `[number]` of a type's own."""
    return 0x80 | 0x20 * constructed | number


def element(data: bytes) -> Element:
    """The only value in `data`. Raises DerError, also for bytes behind it."""
    found, end = _element(data, 0)
    if end != len(data):
        raise DerError(f"{len(data) - end} bytes behind the value")
    return found


def elements(data: bytes) -> list[Element]:
    """The values in `data`, one after the other. Raises DerError."""
    result = []
    place = 0
    while place < len(data):
        found, place = _element(data, place)
        result.append(found)
    return result


def _element(data: bytes, start: int) -> tuple[Element, int]:
    if len(data) - start < 2:
        raise DerError("a value is cut off")
    if data[start] & 0x1F == 0x1F:
        raise DerError(f"a tag of several bytes at byte {start}")
    length, place = data[start + 1], start + 2
    if length & _LONG_FORM:
        count = length & ~_LONG_FORM
        encoded = data[place : place + count]
        length, place = int.from_bytes(encoded, "big"), place + count
        if not 0 < count <= _LONGEST_LENGTH or len(encoded) != count or length < _LONG_FORM or not encoded[0]:
            raise DerError(f"a length that is not DER at byte {start + 1}")
    end = place + length
    if end > len(data):
        raise DerError("a value is cut off")
    return Element(data[start], data[place:end], data[start:end]), end


def encoded(tag: int, *contents: bytes) -> bytes:
    """A value of these contents."""
    content = b"".join(contents)
    if len(content) < _LONG_FORM:
        return bytes((tag, len(content))) + content
    length = len(content).to_bytes((len(content).bit_length() + 7) // 8, "big")
    return bytes((tag, _LONG_FORM | len(length))) + length + content


def encoded_set(*members: bytes) -> bytes:
    """A SET OF, in the order that DER wants."""
    return encoded(SET, *sorted(members))


def encoded_integer(value: int) -> bytes:
    """An INTEGER that is not negative."""
    return encoded(INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def encoded_oid(text: str) -> bytes:
    """An OBJECT IDENTIFIER, given as `1.2.840.113549.1.7.2`."""
    first, second, *others = map(int, text.split("."))
    content = bytearray()
    for number in (40 * first + second, *others):
        groups = [number & 0x7F]
        while number := number >> 7:
            groups.append(0x80 | number & 0x7F)
        content += bytes(reversed(groups))
    return encoded(OBJECT_IDENTIFIER, bytes(content))
