"""Reading and changing the fields of instructions in place, for code that may hold anything.

Unlike `bpfas.isa.decode` it judges nothing: what the loader does not have to touch is the verifier's to refuse.
Fields: RFC 9669 §3 and §5.4.
"""

from __future__ import annotations

import enum
import re
import struct
from typing import TYPE_CHECKING

from bpfas.elf.constants import ByteOrder
from bpfas.isa import BY_NAME, SLOT_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterator

LOAD_IMMEDIATE_64 = BY_NAME["lddw"].code
CALL = BY_NAME["call"].code
ABSENT_CALL = 2_002_000_000
"""No helper has this number or the next ones: the call of a weak function that is missing, by its number in
`Image.numbered_externs`. It is libbpf's number as well."""

POISON = 195_896_080
"""The same for what CO-RE relocations did not find; 0xbad2310."""

ABSENT_MAP = 2_001_000_000
"""The same for a map that is not created, by its number among the image's maps."""


class LoadSource(enum.IntEnum):
    """src of a 64-bit immediate load: what its immediate stands for."""

    IMMEDIATE = 0
    MAP_FD = 1
    MAP_VALUE = 2
    BTF_ID = 3
    FUNCTION = 4
    MAP_BY_INDEX = 5  # of the map's descriptor in fd_array of BPF_PROG_LOAD
    VALUE_BY_INDEX = 6


class CallSource(enum.IntEnum):
    """src of a call: whose number its immediate is."""

    HELPER = 0
    FUNCTION = 1
    KFUNC = 2


class Code:
    """Instructions that can be changed. An index counts slots of 8 bytes."""

    def __init__(self, data: bytes | bytearray, order: ByteOrder) -> None:
        self.data = bytearray(data)
        self.order = order
        self._imm = struct.Struct(f"{order.value}i")
        self._off = struct.Struct(f"{order.value}h")
        # The register that stands in the high half of its byte depends on the byte order.
        self._src_shift = 4 if order is ByteOrder.LITTLE else 0

    def __len__(self) -> int:
        return len(self.data) // SLOT_SIZE

    def opcode(self, index: int) -> int:
        """The instruction's first byte."""
        return self.data[SLOT_SIZE * index]

    def set_opcode(self, index: int, value: int) -> None:
        """Change the instruction's first byte."""
        self.data[SLOT_SIZE * index] = value

    def offset(self, index: int) -> int:
        """The 16-bit offset as a signed number."""
        value: int = self._off.unpack_from(self.data, SLOT_SIZE * index + 2)[0]
        return value

    def set_offset(self, index: int, value: int) -> None:
        """Change the offset, a signed number of 16 bits."""
        self._off.pack_into(self.data, SLOT_SIZE * index + 2, value)

    def src(self, index: int) -> int:
        """src_reg."""
        return self.data[SLOT_SIZE * index + 1] >> self._src_shift & 15

    def dst(self, index: int) -> int:
        """dst_reg."""
        return self.data[SLOT_SIZE * index + 1] >> (4 - self._src_shift) & 15

    def set_src(self, index: int, value: int) -> None:
        """Change src_reg."""
        place = SLOT_SIZE * index + 1
        self.data[place] = self.data[place] & ~(15 << self._src_shift) | value << self._src_shift

    def imm(self, index: int) -> int:
        """The immediate as a signed number."""
        value: int = self._imm.unpack_from(self.data, SLOT_SIZE * index + 4)[0]
        return value

    def set_imm(self, index: int, value: int) -> None:
        """Change the immediate, a number of 32 bits, signed or not."""
        self._imm.pack_into(self.data, SLOT_SIZE * index + 4, (value + (1 << 31)) % (1 << 32) - (1 << 31))

    def put_call(self, index: int, number: int) -> None:
        """Make the slot a call of the helper of this number, whatever it was."""
        self.data[SLOT_SIZE * index : SLOT_SIZE * (index + 1)] = bytes(SLOT_SIZE)
        self.data[SLOT_SIZE * index] = CALL
        self.set_imm(index, number)

    def starts(self) -> Iterator[int]:
        """The index of every instruction's first slot."""
        opcodes = self.data[::SLOT_SIZE]
        index = 0
        while index < len(opcodes):
            yield index
            index += 2 if opcodes[index] == LOAD_IMMEDIATE_64 else 1

    def calls_and_wide_loads(self) -> list[int]:
        """Of `starts`, those of calls and of 64-bit immediate loads: all that can refer to something."""
        opcodes = self.data[::SLOT_SIZE]
        indexes = []
        second_slot = -1
        for match in _CALL_OR_WIDE_LOAD.finditer(opcodes):
            index = match.start()
            if index != second_slot:
                indexes.append(index)
                if opcodes[index] == LOAD_IMMEDIATE_64:
                    second_slot = index + 1
        return indexes


_CALL_OR_WIDE_LOAD = re.compile(b"[%b]" % re.escape(bytes((CALL, LOAD_IMMEDIATE_64))))
