"""A Script done step by step without instructions: what its loader program must do, by the words of script.py.

`play` does what the Script's classes say, on the same fake kernel as the simulated machine; that a loader program
records the same events shows that its instructions and data are right.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, NamedTuple, assert_never

from bpfas.loader.gen.loader_program import CALLER_IS_KERNEL, FLAGS
from bpfas.loader.gen.script import (
    Address,
    Call,
    Cell,
    CellKind,
    Close,
    Fill,
    Find,
    Input,
    Item,
    Need,
    Owner,
    PatchCall,
    PatchLoad,
    Place,
    Require,
    Step,
    UnlessGiven,
    Value,
)
from tests.loader.gen.machine import attributes as machine_attributes
from tests.loader.gen.machine import kernel as machine_kernel
from tests.loader.gen.machine.instructions import CALL_KERNEL, SRC_BTF_ID
from tests.loader.gen.machine.memory import Endian, Memory, Pointer, Region

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bpfas.loader.gen.loader_program import LoaderProgram
    from tests.loader.gen.machine.kernel import Kernel

KINDS = {
    Place.FUNCTION: machine_kernel.FUNC,
    Place.VARIABLE: machine_kernel.VAR,
    Place.STRUCT: machine_kernel.STRUCT,
    Place.TYPEDEF: machine_kernel.TYPEDEF,
}
BASE = 0xFFFF_C900_4000_0000


class Played(NamedTuple):
    """What is left: the result, the number of the step that failed, and the context."""

    result: int
    failed_step: int
    context: bytes


class Failed(Exception):
    """A step failed; `code` is the errno."""

    def __init__(self, code: int) -> None:
        super().__init__(errno.errorcode.get(code, code))
        self.code = code


def play(
    program: LoaderProgram,
    kernel: Kernel,
    context: bytes,
    *,
    user: Mapping[int, bytes] | None = None,
    kernel_memory: Mapping[int, bytes] | None = None,
) -> Played:
    """Do the steps of a program's Script with a context."""
    player = _Player(program, kernel, context)
    for name, regions in (("user memory", user), ("kernel memory", kernel_memory)):
        for base, content in (regions or {}).items():
            player.memory.add(Region(name, base, content))
    try:
        player.do(program.script.steps)
    except Failed as failure:
        player.give_up()
        place = program.context.failed_step
        player.context[place : place + 4] = player.number.to_bytes(4, player.endian)
        return Played(-failure.code, player.number, bytes(player.context))
    for cell, offset in program.script.results:
        player.context[offset : offset + 4] = player.get(cell).to_bytes(4, player.endian)
    return Played(0, 0, bytes(player.context))


class _Player:
    def __init__(self, program: LoaderProgram, kernel: Kernel, context: bytes) -> None:
        self.script = program.script
        self.numbers = {id(step): number for number, step in enumerate(self.script.numbered_steps(), 1)}
        self.kernel = kernel
        self.context = bytearray(context)
        self.endian: Endian = program.byte_order.name_for_int
        self.memory = Memory()
        self.used = BASE
        self.indexes = {cell.name: index for index, cell in enumerate(self.script.table)}
        self.table = self._region("the table", bytes(4 * len(self.script.table)))
        self.cells: dict[str, Region] = {}
        self.items: dict[str, Region] = {}
        self.found_address = self._region("what kallsyms gave", bytes(8))
        self.borrowed: set[str] = set()
        self.number = 0
        kernel.memory, kernel.endian = self.memory, self.endian

    def do(self, steps: Sequence[Step]) -> None:
        """Do steps one after the other; raises Failed."""
        for step in steps:
            self.number = self.numbers[id(step)]
            match step:
                case Call():
                    self._call(step)
                case Find():
                    self._find(step)
                case Require(_, found):
                    if not self.get(found.type_id) and not self.get(found.address):
                        raise Failed(errno.ENOENT)
                case PatchLoad():
                    self._patch_loads(step)
                case PatchCall():
                    self._patch_calls(step)
                case Fill(_, item, given):
                    self._fill(item, self._input(given))
                case Need(_, given):
                    if not self._input(given):
                        raise Failed(errno.ENODATA)
                case Close(cell):
                    self._close(cell)
                case UnlessGiven(given, cell, inner):
                    number = self._input(given)
                    if cell:
                        self._set(cell, number)
                    if not number:
                        self.do(inner)
                    elif cell:
                        self.borrowed.add(cell.name)
                case _:
                    assert_never(step)

    def give_up(self) -> None:
        """Close all that was opened."""
        for cell in self.script.table:
            if cell.name not in self.borrowed:
                self._close(cell)

    # numbers and memory

    def get(self, cell: Cell) -> int:
        """What a cell holds."""
        region, offset, size = self._place(cell)
        return int.from_bytes(region.read(offset, size), self.endian)

    def _set(self, cell: Cell, value: int) -> None:
        region, offset, size = self._place(cell)
        region.write(offset, value.to_bytes(size, self.endian))

    def _place(self, cell: Cell) -> tuple[Region, int, int]:
        if cell.kind is CellKind.DESCRIPTOR:
            return self.table, 4 * self.indexes[cell.name], 4
        if cell.name not in self.cells:
            self.cells[cell.name] = self._region(cell.name, bytes(8))
        return self.cells[cell.name], 0, 8

    def _item(self, item: Item) -> Region:
        if item.name not in self.items:
            self.items[item.name] = self._region(item.name, item.data)
        return self.items[item.name]

    def _region(self, name: str, data: bytes) -> Region:
        region = self.memory.add(Region(name, self.used, data))
        self.used += len(data) + 64 & -64
        return region

    def _input(self, given: Input) -> int:
        return int.from_bytes(self.context[given.offset : given.offset + given.size], self.endian)

    def _number(self, value: Value) -> int:
        match value:
            case Cell():
                return self.get(value)
            case Input():
                return self._input(value)
            case Address(None):
                return self.table.base
            case Address(Cell() as cell):
                region, offset, _ = self._place(cell)
                return region.base + offset
            case Address(Item() as item):
                return self._item(item).base
            case int():
                return value
        raise TypeError(value)

    # steps

    def _call(self, step: Call) -> None:
        fields: dict[str, int | bytes] = {
            name: value if isinstance(value, bytes) else self._number(value) for name, value in step.fields
        }
        fields |= {name: number for name, given in step.overrides if (number := self._input(given))}
        for name, condition, bits in step.flags_if:
            before = fields.get(name, 0)
            assert isinstance(before, int)
            fields[name] = before | (bits if self._number(condition) else 0)
        result = self._bpf(step, fields)
        if result < 0 and step.optional:
            fields |= dict.fromkeys(step.optional, 0)
            result = self._bpf(step, fields)
        for _ in range(step.doublings):
            if result != -errno.EINVAL:
                break
            doubled = fields[step.doubled]
            assert isinstance(doubled, int)
            fields[step.doubled] = 2 * doubled
            result = self._bpf(step, fields)
        if result < 0:
            raise Failed(-result)
        if step.result:
            self._set(step.result, result)

    def _bpf(self, step: Call, fields: Mapping[str, int | bytes]) -> int:
        data = bytearray(machine_attributes.UNION_SIZE)
        places = {field.name: field for field in machine_attributes.LAYOUTS[step.command]}
        for name, value in fields.items():
            _, offset, size = places[name]
            mask = (1 << 8 * size) - 1
            part = value if isinstance(value, bytes) else (value & mask).to_bytes(size, self.endian)
            data[offset : offset + len(part)] = part
        return self.kernel.bpf(step.command, bytes(data))

    def _find(self, step: Find) -> None:
        result = -errno.ENOENT
        for place in step.places:
            if place is Place.ADDRESS:
                result = self._address(step.name)
                self._set(step.address, int.from_bytes(self.found_address.data, self.endian))
            else:
                result = self._helper(machine_kernel.BTF_FIND, step.name, KINDS[place], 0)
                if result > 0:
                    self._set(step.type_id, result & 0xFFFFFFFF)
                    self._set(step.owner, result >> 32)
            if result >= 0:
                break
        if result < 0 and result != -errno.ENOENT:
            raise Failed(-result)
        has_module = bool(self.get(step.owner))
        if step.expected_owner is not Owner.ANY and has_module != (step.expected_owner is Owner.MODULE):
            self._set(step.type_id, 0)
        if step.symbol and self._address(step.symbol) == -errno.ENOENT:
            self._set(step.type_id, 0)

    def _address(self, name: str) -> int:
        return self._helper(machine_kernel.KALLSYMS, name, 0, Pointer(self.found_address, 0))

    def _helper(self, number: int, name: str, third: int, fourth: int | Pointer) -> int:
        text = name.encode() + b"\0"
        where = Pointer(self._region(name, text), 0)
        return self.kernel.helper(number, [where, len(text), third, fourth, None], self.memory, self.endian)

    def _patch_loads(self, step: PatchLoad) -> None:
        type_id, address = self.get(step.found.type_id), self.get(step.found.address)
        if type_id:
            source, low, high = SRC_BTF_ID, type_id, self.get(step.found.owner)
        else:
            source, low, high = 0, address & 0xFFFFFFFF, address >> 32
        code = self._item(step.code)
        for index in step.instructions:
            self._put_source(code, index, source)
            code.write(8 * index + 4, low.to_bytes(4, self.endian))
            code.write(8 * index + 12, high.to_bytes(4, self.endian))

    def _patch_calls(self, step: PatchCall) -> None:
        type_id, owner = self.get(step.found.type_id), self.get(step.found.owner)
        off = self.indexes[step.found.owner.name] if owner else 0
        code = self._item(step.code)
        for index in step.instructions:
            self._put_source(code, index, CALL_KERNEL if type_id else 0)
            code.write(8 * index + 2, off.to_bytes(2, self.endian))
            code.write(8 * index + 4, (type_id or step.absent).to_bytes(4, self.endian))

    def _put_source(self, code: Region, index: int, source: int) -> None:
        registers = code.data[8 * index + 1]
        is_little = self.endian == "little"
        shown = registers & 0x0F | source << 4 if is_little else registers & 0xF0 | source
        code.write(8 * index + 1, bytes([shown]))

    def _fill(self, item: Item, address: int) -> None:
        region = self._item(item)
        if not address:
            return
        is_kernel = int.from_bytes(self.context[FLAGS.offset : FLAGS.offset + FLAGS.size], self.endian)
        read = self.memory.kernel_bytes if is_kernel & CALLER_IS_KERNEL else self.memory.user_bytes
        data = read(address, len(item.data))
        if data is None:
            raise Failed(errno.EFAULT)
        region.write(0, data)

    def _close(self, cell: Cell) -> None:
        if number := self.get(cell):
            arguments: list[int | Pointer | None] = [number, None, None, None, None]
            self.kernel.helper(machine_kernel.SYS_CLOSE, arguments, self.memory, self.endian)
        self._set(cell, 0)
