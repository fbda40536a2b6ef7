"""Instructions that work on the data and the context of a loader program: what all its steps are made of.

Registers: r6 is the context, r7 what the last call gave, r8 where the data starts, r9 the number of the step that
failed; the others are free. The stack is not used: descriptors are in a table in the data, which the common exit
closes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpfas.elf.constants import ByteOrder
from bpfas.helpers import HELPERS
from bpfas.loader.gen.assembler import Assembler
from bpfas.loader.gen.data import DESCRIPTOR_SIZE, NUMBER_SIZE
from bpfas.loader.gen.script import Address, Cell, CellKind, Input, Item
from bpfas.loader.instructions import LoadSource

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bpfas.loader.gen.data import DataLayout

CONTEXT, RESULT, DATA, STEP = 6, 7, 8, 9
COUNTER = STEP
"""A counter: no step fails before it has stopped counting."""

_SYS_CLOSE = HELPERS["bpf_sys_close"].number
_SIZES = {1: "b", 2: "h", 4: "w", 8: "dw"}
_NEAR = 0x7FFF - 256
"""The highest place in the data whose fields are within reach of a load or store from its start."""


class DataCode(Assembler):
    """Code of a loader program. Sizes are in bytes, `number` is that of a step."""

    def __init__(self, order: ByteOrder, data: DataLayout) -> None:
        super().__init__(order)
        self.data = data

    def load_value(self, register: int, value: Cell | Address | Input) -> None:
        """A value, into a register."""
        match value:
            case Cell():
                self.load_data(register, self.data.cell(value), _cell_size(value))
            case Input():
                self.load(register, CONTEXT, value.offset, value.size)
            case Address(target=None):
                self.put("mov_reg", register, DATA)
            case Address(target=Cell() as cell):
                self.load_data_address(register, self.data.cell(cell))
            case Address(target=Item() as item):
                self.load_data_address(register, self.data.item(item))

    def ones_if_given(self, register: int, given: Sequence[Input]) -> None:
        """All ones if any of these numbers of 32 bits in the context is given, else 0; r5 is used."""
        for place, each in enumerate(given):
            loaded = 5 if place else register
            self.load(loaded, CONTEXT, each.offset, each.size)
            if place:
                self.put("or_reg", register, loaded)
        self.put("neg", register)
        self.put("arsh_imm", register, imm=63)

    def close(self, cell: Cell, given: Sequence[Input] = ()) -> None:
        """Close a descriptor, if there is one and it was not given."""
        self.load_value(1, cell)
        if given:
            self.ones_if_given(2, given)
            self.put("or_reg", 1, 2)  # -1 is nobody's
        self.close_number()

    def close_number(self) -> None:
        """Close the descriptor in r1, if it is not 0."""
        self.put("mov_imm", 2, imm=-1)  # nobody's
        self.either(1, 2)
        self.put("call", imm=_SYS_CLOSE)

    def either(self, first: int, second: int) -> None:
        """The first register, or the second if that is 0, in the first; r3 is used.

        The verifier takes 10 times as long for a jump as for one of these instructions.
        """
        self.put("mov_reg", 3, first)
        self.put("sub_imm", 3, imm=1)
        self.put("arsh_imm", 3, imm=63)  # all ones if the first was 0
        self.put("and_reg", 3, second)
        self.put("or_reg", first, 3)

    def zero(self, cell: Cell) -> None:
        """Forget a number."""
        base, offset = self.base(self.data.cell(cell))
        self.put("stw" if cell.kind is CellKind.DESCRIPTOR else "stdw", base, off=offset)

    def load(self, register: int, base: int, offset: int, size: int) -> None:
        """`size` bytes at an offset from a register, into a register."""
        self.put(f"ldx{_SIZES[size]}", register, base, offset)

    def store(self, base: int, offset: int, register: int, size: int) -> None:
        """The reverse of `load`."""
        self.put(f"stx{_SIZES[size]}", base, register, offset)

    def load_data(self, register: int, offset: int, size: int) -> None:
        """`size` bytes of the data, into a register."""
        base, offset = self.base(offset, register)
        self.load(register, base, offset, size)

    def store_data(self, offset: int, register: int, size: int) -> None:
        """The reverse of `load_data`."""
        base, offset = self.base(offset)
        self.store(base, offset, register, size)

    def base(self, offset: int, scratch: int = 0) -> tuple[int, int]:
        """A register and an offset for a place in the data: its start, or `scratch` if that is far."""
        if offset <= _NEAR:
            return DATA, offset
        self.load_data_address(scratch, offset)
        return scratch, 0

    def load_data_address(self, register: int, offset: int) -> None:
        """The address of a place in the data, into a register."""
        self.load_wide(register, 0, offset, LoadSource.VALUE_BY_INDEX)

    def registers_byte(self, dst: int, src: int) -> int:
        """The second byte of an instruction."""
        return dst | src << 4 if self.order is ByteOrder.LITTLE else dst << 4 | src

    def dst(self, registers_byte: int) -> int:
        """The destination in such a byte."""
        return registers_byte & 15 if self.order is ByteOrder.LITTLE else registers_byte >> 4

    def fail_if_negative(self, number: int) -> None:
        """Leave by the common exit if the last call has failed, in the step of this number."""
        self.put("mov_imm", STEP, imm=number)
        self.exit_if("jslt_imm", RESULT)

    def fail_if_zero(self, register: int, number: int, error: int, given: Sequence[Input] = ()) -> None:
        """Leave by the common exit with an errno if a register is 0, unless a number of the context is given."""
        if given:
            self.ones_if_given(3, given)
            self.put("or_reg", register, 3)
        self.put("mov_imm", STEP, imm=number)
        self.put("mov_imm", RESULT, imm=-error)
        self.exit_if("jeq_imm", register)
        self.put("mov_imm", RESULT)


def _cell_size(cell: Cell) -> int:
    return DESCRIPTOR_SIZE if cell.kind is CellKind.DESCRIPTOR else NUMBER_SIZE
