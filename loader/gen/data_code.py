"""Instructions that work on the data and the context of a loader program: what all its steps are made of.

Registers: r6 is the context, r7 what the last call gave, r8 where the data starts, r9 the number of the step that
failed; the others are free. The stack is not used: descriptors are in a table in the data, which the common exit closes.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from bpfas.elf.constants import ByteOrder
from bpfas.helpers import HELPERS
from bpfas.loader.gen.assembler import Assembler
from bpfas.loader.gen.data import DESCRIPTOR_SIZE, NUMBER_SIZE
from bpfas.loader.gen.script import Address, Cell, CellKind, Input, Item
from bpfas.loader.instructions import LoadSource

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfas.loader.gen.data import DataLayout

CONTEXT, RESULT, DATA, STEP = 6, 7, 8, 9
COUNTER = STEP
"""A counter: no step fails before it has stopped counting."""

SYS_CLOSE = HELPERS["bpf_sys_close"].number
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

    @contextlib.contextmanager
    def unless_given(self, given: Input | None) -> Iterator[None]:
        """What is put in the body is done unless this number of the context is given."""
        if given is None:
            yield
            return
        self.load(1, CONTEXT, given.offset, given.size)
        with self.skipped_if("jne_imm", 1):
            yield

    def close(self, cell: Cell) -> None:
        """Close a descriptor, if there is one."""
        self.load_value(1, cell)
        with self.skipped_if("jeq_imm", 1):
            self.put("call", imm=SYS_CLOSE)

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
        with self.skipped_if("jsge_imm", RESULT):
            self.put("mov_imm", STEP, imm=number)
            self.jump_to_exit()

    def fail(self, number: int, error: int) -> None:
        """Leave by the common exit with an errno."""
        self.put("mov_imm", RESULT, imm=-error)
        self.put("mov_imm", STEP, imm=number)
        self.jump_to_exit()


def _cell_size(cell: Cell) -> int:
    return DESCRIPTOR_SIZE if cell.kind is CellKind.DESCRIPTOR else NUMBER_SIZE
