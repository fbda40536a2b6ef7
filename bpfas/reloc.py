"""The relocation types of BPF as one table, and the arithmetic to read and write the fields they name.

The assembler emits from the table; the linker and the loader apply from it. Which relocations to apply, and
to which symbols, is theirs. Facts: LLVM's and the kernel's documents on BPF relocations (llvm_reloc.rst), and
GNU binutils for the type above 255. `S` is the symbol's address, `A` the addend in place, `P` the place.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Literal

    from bpfas.elf.constants import ByteOrder


class Field(enum.Enum):
    """Where a relocation's bits lie: pieces of (offset from r_offset, width), in bytes, low bits first."""

    IMM64 = ((4, 4), (12, 4))  # the imm fields of both slots of a 64-bit immediate load
    IMM32 = ((4, 4),)
    OFF16 = ((2, 2),)
    DATA64 = ((0, 8),)
    DATA32 = ((0, 4),)
    DATA16 = ((0, 2),)
    DATA8 = ((0, 1),)

    @property
    def pieces(self) -> tuple[tuple[int, int], ...]:
        """(offset from r_offset, width) of every piece."""
        pieces: tuple[tuple[int, int], ...] = self.value
        return pieces

    @property
    def width(self) -> int:
        """Bits in all pieces together."""
        return 8 * sum(width for _, width in self.pieces)

    @property
    def end(self) -> int:
        """Bytes from r_offset to the end of the last piece."""
        return max(offset + width for offset, width in self.pieces)


class RelocationNumber(enum.IntEnum):
    """r_type."""

    R_BPF_NONE = 0
    R_BPF_64_64 = 1
    R_BPF_64_ABS64 = 2
    R_BPF_64_ABS32 = 3
    R_BPF_64_NODYLD32 = 4
    R_BPF_64_32 = 10
    R_BPF_GNU_64_16 = 256


class RelocationType:
    """A row of the table.

    `field` takes the value; `addend_field` is the part of it that holds A beforehand. `unit` is how many bytes
    one count of the field stands for: 1 for addresses, 8 for instructions. A `pc_relative` field counts from
    the *next* instruction, (S + A - P) / 8 - 1, where A is what `read_addend` gives, so that a plain symbol
    has A = 0 and -1 in its field. `bounds` are the least and the greatest number that the field can hold: an
    address may be written as a signed or an unsigned number, so unless the field is `signed` it takes both ranges.
    """

    __slots__ = ("addend_field", "bounds", "field", "number", "pc_relative", "signed", "unit")

    def __init__(
        self,
        number: RelocationNumber,
        field: Field,
        addend_field: Field,
        unit: Literal[1, 8],
        *,
        pc_relative: bool,
        signed: bool,
    ) -> None:
        self.number = number
        self.field = field
        self.addend_field = addend_field
        self.unit = unit
        self.pc_relative = pc_relative
        self.signed = signed
        bits = field.width
        self.bounds = -(1 << bits - 1), (1 << bits - 1) - 1 if signed else (1 << bits) - 1

    @property
    def name(self) -> str:
        """`R_BPF_…`."""
        return self.number.name


_N = RelocationNumber
RELOCATION_TYPES: dict[int, RelocationType] = {
    row.number: row
    for row in (
        RelocationType(_N.R_BPF_64_64, Field.IMM64, Field.IMM32, 1, pc_relative=False, signed=False),
        RelocationType(_N.R_BPF_64_ABS64, Field.DATA64, Field.DATA64, 1, pc_relative=False, signed=False),
        RelocationType(_N.R_BPF_64_ABS32, Field.DATA32, Field.DATA32, 1, pc_relative=False, signed=False),
        RelocationType(_N.R_BPF_64_NODYLD32, Field.DATA32, Field.DATA32, 1, pc_relative=False, signed=False),
        RelocationType(_N.R_BPF_64_32, Field.IMM32, Field.IMM32, 8, pc_relative=True, signed=True),
        RelocationType(_N.R_BPF_GNU_64_16, Field.OFF16, Field.OFF16, 8, pc_relative=True, signed=True),
    )
}
"""Every relocation type but R_BPF_NONE, by number."""


def relocation_name(r_type: int) -> str:
    """`R_BPF_…`, or the number in words for a type that is not BPF's."""
    try:
        return RelocationNumber(r_type).name
    except ValueError:
        return f"unknown relocation type {r_type}"


class RelocationRangeError(ValueError):
    """A value that its field can't hold, or an address that is no whole instruction."""


def read_addend(row: RelocationType, data: bytes | bytearray, r_offset: int, order: ByteOrder) -> int:
    """The addend A, in bytes, that stands in the field at `r_offset` of `data`.

    For a 64-bit immediate load only the first slot's imm counts, as a signed number: LLVM, GNU as and libbpf
    agree on that. The caller has checked that the field lies in `data`.
    """
    ((offset, width),) = row.addend_field.pieces
    piece = data[r_offset + offset : r_offset + offset + width]
    value = int.from_bytes(piece, order.name_for_int, signed=True)
    return (value + 1) * row.unit if row.pc_relative else value


def addend_of(
    row: RelocationType, r_addend: int | None, data: bytes | bytearray, place: int, order: ByteOrder
) -> int:
    """The addend A of a relocation, in bytes: its `r_addend`, or where that is None what stands in `data`."""
    return read_addend(row, data, place, order) if r_addend is None else r_addend


def field_value(row: RelocationType, target: int, place: int) -> int:
    """The number for the field when it refers to `target` (S + A) from `place` (P), both in bytes.

    Addresses have 64 bits, so that one beyond them comes round, and the highest are also negative ones. Raises
    RelocationRangeError with the value and the bounds.
    """
    value = (target + (1 << 63)) % (1 << 64) - (1 << 63)
    if row.pc_relative:
        distance = target - place
        if distance % row.unit:
            raise RelocationRangeError(
                f"the target is {distance} bytes away, which is not a whole number of instructions"
            )
        value = distance // row.unit - 1
    low, high = row.bounds
    if not low <= value <= high:
        raise RelocationRangeError(f"{row.name} value {value} is not in the range {low} to {high}")
    return value


def write_field(field: Field, data: bytearray, r_offset: int, value: int, order: ByteOrder) -> None:
    """Put the low bits of `value` into a field at `r_offset` of `data`; its range is for the caller to check."""
    for offset, width in field.pieces:
        piece = value & (1 << 8 * width) - 1
        data[r_offset + offset : r_offset + offset + width] = piece.to_bytes(width, order.name_for_int)
        value >>= 8 * width


def write_addend(row: RelocationType, data: bytearray, r_offset: int, addend: int, order: ByteOrder) -> None:
    """Put the addend A, in bytes, where `read_addend` finds it; the rest of the field stays as it is.

    Raises RelocationRangeError with the value and the bounds.
    """
    ((_, width),) = row.addend_field.pieces
    value, remainder = divmod(addend, row.unit)
    if remainder:
        raise RelocationRangeError(f"addend {addend} is not a whole number of instructions")
    if row.pc_relative:
        value -= 1
    high = (1 << 8 * width - 1) - 1
    if not -high - 1 <= value <= high:
        raise RelocationRangeError(f"{row.name} addend {value} is not in the range {-high - 1} to {high}")
    write_field(row.addend_field, data, r_offset, value, order)
