"""Memory of the simulated machine: regions with bounds, pointers that know their region.

A register holds a number or a Pointer; a number is never followed, as the kernel's verifier has it, whatever
address it may be. Addresses are numbers only for the kernel, which finds the region again (`Memory.region_at`).
What is wrong is a MachineError, for it is the program's fault and not of what it was given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

MASK64 = (1 << 64) - 1
STACK_SIZE = 512
USER_SPACE_END = 1 << 47

Endian = Literal["little", "big"]


class MachineError(Exception):
    """A program did what the kernel's verifier refuses, or what the machine does not know."""


class Region:
    """Bytes that a program may touch. `strict` ones are only reached by pointers that nobody moved."""

    def __init__(
        self, name: str, base: int, data: bytes, *, is_writable: bool = True, strict: bool = False
    ) -> None:
        self.name = name
        self.base = base
        self.data = bytearray(data)
        self.is_writable = is_writable
        self.strict = strict

    def __repr__(self) -> str:
        return f"<{self.name}: {len(self.data)} bytes at {self.base:#x}>"

    def check(self, offset: int, size: int, what: str) -> None:
        """Raise MachineError for what lies outside."""
        if offset < 0 or size < 0 or offset + size > len(self.data):
            raise MachineError(f"{what} of {size} bytes at {offset} of {self.name}, which has {len(self.data)}")

    def read(self, offset: int, size: int) -> bytes:
        """Bytes that are there and have a value."""
        self.check(offset, size, "reads")
        return bytes(self.data[offset : offset + size])

    def write(self, offset: int, data: bytes) -> None:
        """Change bytes."""
        self.check(offset, len(data), "writes")
        if not self.is_writable:
            raise MachineError(f"writes to {self.name}")
        self.data[offset : offset + len(data)] = data


class Pointer(NamedTuple):
    """A place in a region, or outside until it is used; what a register or an aligned stack slot can hold."""

    region: Region
    offset: int

    @property
    def address(self) -> int:
        """As a number of 64 bits."""
        return self.region.base + self.offset & MASK64


class Stack(Region):
    """A frame's stack: bytes have no value before they are written, and 8 of them may keep a pointer."""

    def __init__(self, base: int) -> None:
        super().__init__("the stack", base, bytes(STACK_SIZE))
        self.has_value = bytearray(STACK_SIZE)
        self.pointers: dict[int, Pointer] = {}

    def read(self, offset: int, size: int) -> bytes:
        """Bytes that are there and have a value."""
        self.check(offset, size, "reads")
        if not all(self.has_value[offset : offset + size]):
            raise MachineError(f"reads {size} bytes at r10{offset - STACK_SIZE:+}, not all of which were written")
        return super().read(offset, size)

    def write(self, offset: int, data: bytes) -> None:
        """Change bytes, which then are no pointer."""
        super().write(offset, data)
        self.has_value[offset : offset + len(data)] = b"\1" * len(data)
        for slot in range(offset - offset % 8, offset + len(data), 8):
            self.pointers.pop(slot, None)


class Memory:
    """All regions of a machine; addresses below USER_SPACE_END are of the user, all others of the kernel."""

    def __init__(self) -> None:
        self.regions: list[Region] = []

    def add(self, region: Region) -> Region:
        """Take a region in, and give it back."""
        end = region.base + len(region.data)
        for other in self.regions:
            if region.base < other.base + len(other.data) and other.base < end:
                raise ValueError(f"{region} overlaps {other}")
        self.regions.append(region)
        return region

    def remove(self, region: Region) -> None:
        """Forget a region, the stack of a frame that is left."""
        self.regions.remove(region)

    def region_at(self, address: int, size: int) -> Region | None:
        """The region in which `size` bytes lie at an address, None where there is none."""
        for region in self.regions:
            if region.base <= address and address + size <= region.base + len(region.data):
                return region
        return None

    def kernel_bytes(self, address: int, size: int) -> bytes | None:
        """What the kernel reads at one of its own addresses; None where that faults."""
        return None if address < USER_SPACE_END else self._bytes(address, size)

    def user_bytes(self, address: int, size: int) -> bytes | None:
        """What the kernel reads at an address of the user's; None where that faults."""
        return None if address >= USER_SPACE_END else self._bytes(address, size)

    def _bytes(self, address: int, size: int) -> bytes | None:
        region = self.region_at(address, size)
        return None if region is None else region.read(address - region.base, size)

    def kernel_string(self, address: int, limit: int) -> bytes | None:
        """A string at a kernel address without its NUL, or `limit` bytes of it; None where that faults."""
        region = self.region_at(address, 1)
        if region is None or address < USER_SPACE_END:
            return None
        start = address - region.base
        end = region.data.find(b"\0", start, start + limit)
        if end < 0 and start + limit > len(region.data):
            return None
        return bytes(region.data[start : end if end >= 0 else start + limit])

    def __iter__(self) -> Iterator[Region]:
        return iter(self.regions)
