"""Instructions that work on the data and the context of a loader program: what all its steps are made of.

There are next to no jumps, for the kernel's verifier takes as long for one that it cannot decide as for 25 other
instructions, and the kernel verifies a loader program each time that it is run. What depends on a number is done
with masks: all ones or all zeros. Registers: r6 is the context, r7 the number of steps that have failed, negated,
r8 where the data starts, r9 a mask that is all ones where what the steps would make is given; the others are free.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpfas.elf.constants import ByteOrder
from bpfas.helpers import HELPERS
from bpfas.loader.gen.emission.assembler import Assembler
from bpfas.loader.gen.emission.data import DESCRIPTOR_SIZE, NUMBER_SIZE
from bpfas.loader.gen.script import Address, Cell, CellKind, Input, Item
from bpfas.loader.instructions import LoadSource

if TYPE_CHECKING:
    from bpfas.loader.gen.emission.data import DataLayout

CONTEXT, FAILED, DATA, GIVEN = 6, 7, 8, 9
RESULT = 0
"""What a helper gives."""

_SYS_CLOSE = HELPERS["bpf_sys_close"].number
_SCRATCH = 5
_SIZES = {1: "b", 2: "h", 4: "w", 8: "dw"}
_NEAR = 0x7FFF - 256
"""The highest place in the data whose fields are within reach of a load or store from its start."""


class DataCode(Assembler):
    """Code of a loader program. Sizes are in bytes, `number` is that of a step."""

    def __init__(self, order: ByteOrder, data: DataLayout) -> None:
        super().__init__(order)
        self.data = data
        self.conditions: tuple[Input, ...] = ()
        """The numbers of the context of which none may be given for the steps to be done."""

    def begin(self) -> None:
        """Set the registers up."""
        self.put("mov_reg", CONTEXT, 1)
        self.load_data_address(DATA, 0)
        self.put("mov_imm", FAILED)

    def unless(self, *conditions: Input) -> None:
        """From here on, steps are done unless one of these numbers of the context is given."""
        self.conditions = conditions
        for number, given in enumerate(conditions):
            register = 1 if number else GIVEN
            self.load_value(register, given)
            self.ones_if_not_zero(register)
            if number:
                self.put("or_reg", GIVEN, register)

    def settle(self, number: int, cell: Cell | None = None, given: Input | None = None) -> None:
        """Note how a step has ended: with what is in r0, negative if it has failed.

        A descriptor goes to its cell, or in its place what is given.
        """
        self.store_data(self.data.outcome(number), RESULT, NUMBER_SIZE)
        if self.conditions:
            self.put("mov_reg", 1, GIVEN)
            self.put("xor_imm", 1, imm=-1)
            self.put("and_reg", RESULT, 1)
        if cell and given:
            self.load_value(1, given)
            self.put("or_reg", 1, RESULT)
            self.store_data(self.data.cell(cell), 1, DESCRIPTOR_SIZE)
        elif cell:
            self.store_data(self.data.cell(cell), RESULT, DESCRIPTOR_SIZE)
        # Behind a failure all count as failed, so that the first is known by their number.
        self.put("or_reg", RESULT, FAILED)
        self.put("arsh_imm", RESULT, imm=63)
        self.put("add_reg", FAILED, RESULT)

    def put_off(self, register: int) -> None:
        """Make a number negative if a step has failed, or is not to be done."""
        self.put("or_reg", register, FAILED)
        if self.conditions:
            self.put("or_reg", register, GIVEN)

    def ones_if_not_zero(self, register: int) -> None:
        """A mask out of a number below 1 << 63."""
        self.put("neg", register)
        self.put("arsh_imm", register, imm=63)

    def ones_if_zero(self, mask: int, register: int) -> None:
        """A mask of a number below 1 << 63."""
        self.put("mov_reg", mask, register)
        self.put("sub_imm", mask, imm=1)
        self.put("arsh_imm", mask, imm=63)

    def ones_if_any(self, mask: int, register: int) -> None:
        """A mask of any number: all ones if it is not 0."""
        self.put("mov_reg", mask, register)
        self.put("neg", mask)
        self.put("or_reg", mask, register)
        self.put("arsh_imm", mask, imm=63)

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

    def close(self, cell: Cell) -> None:
        """Close a descriptor, if there is one, and forget it."""
        self.load_value(1, cell)
        self.ones_if_zero(2, 1)
        self.put("or_reg", 1, 2)
        self.close_number()
        self.zero(cell)

    def close_number(self) -> None:
        """Close the descriptor in r1; a negative one is nobody's."""
        self.put("call", imm=_SYS_CLOSE)

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

    def base(self, offset: int, scratch: int = _SCRATCH) -> tuple[int, int]:
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


def _cell_size(cell: Cell) -> int:
    return DESCRIPTOR_SIZE if cell.kind is CellKind.DESCRIPTOR else NUMBER_SIZE
