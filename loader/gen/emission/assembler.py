"""Instructions one after the other. Which ones there are is `bpfas.loader.gen.emission.emit`'s part."""

from __future__ import annotations

import functools
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bpfas.isa import BY_NAME, SLOT_SIZE, Instruction, encode
from bpfas.loader.instructions import LOAD_IMMEDIATE_64

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfas.elf.constants import ByteOrder


class Assembler:
    """Code that grows. Registers and offsets are numbers; indexes count slots of 8 bytes."""

    def __init__(self, order: ByteOrder) -> None:
        self.order = order
        self._code = bytearray()

    @property
    def here(self) -> int:
        """The index of the next instruction."""
        return len(self._code) // SLOT_SIZE

    def put(self, name: str, dst: int = 0, src: int = 0, off: int = 0, imm: int = 0) -> None:
        """Append an instruction, by the name of its row in `bpfas.isa`."""
        self._code += _encoded(name, dst, src, off, imm, self.order)

    def load_wide(self, dst: int, low: int, high: int = 0, source: int = 0) -> None:
        """Append a 64-bit immediate load: what `source` says of its two immediates is the kernel's."""
        registers = dst | source << 4 if self.order.value == "<" else dst << 4 | source
        name = self.order.name_for_int
        for first, imm in ((bytes((LOAD_IMMEDIATE_64, registers)), low), (bytes(2), high)):
            self._code += first + bytes(2) + (imm & 0xFFFFFFFF).to_bytes(4, name)

    @contextmanager
    def skipped_if(self, name: str, dst: int, src: int = 0, imm: int = 0) -> Iterator[None]:
        """What is put in the body is jumped over on a condition (a row of jumps; `ja` for always)."""
        place = self.here
        self.put(name, dst, src, 0, imm)
        yield
        distance = self.here - place - 1
        self._code[SLOT_SIZE * place : SLOT_SIZE * (place + 1)] = _encoded(
            name, dst, src, distance, imm, self.order
        )

    def code(self) -> bytes:
        """All instructions."""
        return bytes(self._code)


@functools.lru_cache(maxsize=1 << 16)
def _encoded(name: str, dst: int, src: int, off: int, imm: int, order: ByteOrder) -> bytes:
    return encode(Instruction(BY_NAME[name], dst, src, off, imm), order)
