"""A Script to the instructions and the data of a loader program.

Registers: r6 is the context, r7 what the last call gave, r8 the data's start, r9 the number of the step that
failed; the others are free between two instructions of this module's text. The stack is not used: descriptors are
in a table in the data, which the common exit closes. Source: the helpers' documentation in
include/uapi/linux/bpf.h.
"""

from __future__ import annotations

import contextlib
import errno
from typing import TYPE_CHECKING

from bpfas.btf.kinds import Kind
from bpfas.elf.constants import ByteOrder
from bpfas.helpers import HELPERS
from bpfas.loader.gen.assembler import Assembler
from bpfas.loader.gen.attributes import LAYOUTS, size_up_to
from bpfas.loader.gen.data import DESCRIPTOR_SIZE, NUMBER_SIZE, DataLayout
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
    UnlessGiven,
)
from bpfas.loader.instructions import CallSource, LoadSource
from bpfas.loader.loading.program_loading import LOAD_ATTEMPTS
from bpfas.loader.syscall.bpf import Command

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from bpfas.loader.gen.loader_program import Context
    from bpfas.loader.gen.script import Script, Step

_CONTEXT, _RESULT, _DATA, _STEP = 6, 7, 8, 9
_COUNTER = _STEP
"""No step fails before it has stopped counting."""
_SIZES = {1: "b", 2: "h", 4: "w", 8: "dw"}
_NEAR = 0x7FFF - 256
"""The highest place in the data whose fields are within reach of a load or store from its start."""

_KINDS = {
    Place.FUNCTION: Kind.FUNC,
    Place.VARIABLE: Kind.VAR,
    Place.STRUCT: Kind.STRUCT,
    Place.TYPEDEF: Kind.TYPEDEF,
}
_TRACE_PRINTK, _READ_KERNEL, _COPY_FROM_USER, _SYS_BPF, _FIND_TYPE, _SYS_CLOSE, _FIND_SYMBOL = (
    HELPERS[f"bpf_{name}"].number
    for name in (
        "trace_printk",
        "probe_read_kernel",
        "copy_from_user",
        "sys_bpf",
        "btf_find_by_name_kind",
        "sys_close",
        "kallsyms_lookup_name",
    )
)


def emit(
    script: Script,
    context: Context,
    order: ByteOrder,
    *,
    check: Callable[[bytes], bytes] | None = None,
    words: Callable[[Step], str] | None = None,
) -> tuple[bytes, bytes]:
    """The instructions and the data of a loader program.

    `check` gives instructions that compare the data with what it is now, to stand in front. With `words` each step
    writes what it was and what came of it to the kernel's trace buffer.
    """
    code = Assembler(order)
    emitter = _Emitter(script, context, code, words)
    emitter.begin()
    for number, step in enumerate(emitter.steps, 1):
        if not isinstance(step, UnlessGiven):
            emitter.step(number, step)
        else:
            emitter.take_given(step)
    emitter.finish()
    data = emitter.data.content()
    return (check(data) if check else b"") + code.code(), data


class _Emitter:
    def __init__(
        self, script: Script, context: Context, code: Assembler, words: Callable[[Step], str] | None
    ) -> None:
        self.script = script
        self.context = context
        self.code = code
        self.words = words
        self.steps = script.numbered_steps()
        self.data = DataLayout(script.table, _numbers(self.steps))
        self._indexes = {cell.name: index for index, cell in enumerate(script.table)}
        unless = [step for step in self.steps if isinstance(step, UnlessGiven)]
        self._given = {step.cell.name: step.given for step in unless if step.cell}
        self._guards = {id(inner): step.given for step in unless for inner in step.steps}
        self._attributes = {
            number: self.data.attributes(self._image(step))
            for number, step in enumerate(self.steps, 1)
            if isinstance(step, Call)
        }

    # The frame: beginning, common exit, end.

    def begin(self) -> None:
        """Set the registers up, and put the common exit behind a jump, as jumps to it go backwards."""
        code = self.code
        code.put("mov_reg", _CONTEXT, 1)
        self._load_data_address(_DATA, 0)
        code.put("mov_imm", _RESULT)
        with code.skipped_if("ja", 0):
            code.begin_exit()
            code.put("stxw", _CONTEXT, _STEP, self.context.failed_step)
            for cell in self.script.table:
                with self._unless_given(self._given.get(cell.name)):
                    self._close(cell)
            code.put("mov_reg", 0, _RESULT)
            code.put("exit")

    def finish(self) -> None:
        """Give the descriptors back."""
        code = self.code
        for cell, offset in self.script.results:
            self._load_value(1, cell)
            self._store(_CONTEXT, offset, 1, 4)
        code.put("mov_imm", 0)
        code.put("exit")

    # Steps.

    def step(self, number: int, step: Step) -> None:
        """The instructions of one step."""
        self.code.build_island()
        guard = self._guards.get(id(step))
        with self._unless_given(guard):
            match step:
                case Call():
                    self._call(number, step)
                    self._fail_if_negative(number)
                    if step.result:
                        self._store_data(self.data.cell(step.result), _RESULT, 4)
                case Find():
                    self._find(number, step)
                case Require():
                    self._require(number, step)
                case Fill():
                    self._fill(number, step)
                case Need():
                    self._load(1, _CONTEXT, step.given.offset, step.given.size)
                    with self.code.skipped_if("jne_imm", 1):
                        self._fail(number, errno.ENODATA)
                case Close():
                    self._close(step.cell)
                    self._zero(step.cell)
                case PatchLoad():
                    self._patch_loads(step)
                case PatchCall():
                    self._patch_calls(step)
            self._trace(step)

    def take_given(self, step: UnlessGiven) -> None:
        """Have a descriptor of the context in the table."""
        if step.cell is None:
            return
        self.code.build_island()
        self._load(1, _CONTEXT, step.given.offset, step.given.size)
        self._store_data(self.data.cell(step.cell), 1, 4)

    def _call(self, number: int, step: Call) -> None:
        code, start = self.code, self._attributes[number]
        layout = LAYOUTS[step.command]
        base, offset = self._base(start)
        for name, value in step.fields:
            if isinstance(value, (int, bytes)):
                continue
            field = layout[name]
            self._load_value(1, value)
            self._store(base, offset + field.offset, 1, field.size)
        for name, given in step.overrides:
            field = layout[name]
            self._load(1, _CONTEXT, given.offset, given.size)
            with code.skipped_if("jeq_imm", 1):
                self._store(base, offset + field.offset, 1, field.size)
        for name, condition, bits in step.flags_if:
            field = layout[name]
            self._load_value(1, condition)
            with code.skipped_if("jeq_imm", 1):
                self._load(1, base, offset + field.offset, field.size)
                code.put("or_imm", 1, imm=bits)
                self._store(base, offset + field.offset, 1, field.size)
        self._bpf(step, start)
        if step.optional:
            with code.skipped_if("jsge_imm", _RESULT):
                base, offset = self._base(start)
                for name in step.optional:
                    code.put("stw", base, off=offset + layout[name].offset)
                self._bpf(step, start)
        if step.doublings:
            self._double(step, start, layout[step.doubled].offset)

    def _double(self, step: Call, start: int, field: int) -> None:
        """Ask for twice as much while the kernel finds it too little."""
        code = self.code
        code.put("mov_imm", _COUNTER, imm=step.doublings)
        again = code.here
        with code.skipped_if("jne_imm", _RESULT, imm=-errno.EINVAL):
            base, offset = self._base(start)
            self._load(1, base, offset + field, 4)
            code.put("lsh_imm", 1, imm=1)
            self._store(base, offset + field, 1, 4)
            self._bpf(step, start)
            code.put("sub_imm", _COUNTER, imm=1)
            code.jump_back(again, "jne_imm", _COUNTER)

    def _bpf(self, step: Call, attributes: int) -> None:
        code = self.code
        is_interruptible = step.command is Command.PROG_LOAD
        if is_interruptible:
            code.put("mov_imm", _COUNTER, imm=LOAD_ATTEMPTS)
        again = code.here
        self._load_data_address(2, attributes)
        code.put("mov_imm", 1, imm=step.command)
        code.put("mov_imm", 3, imm=_size(step))
        code.put("call", imm=_SYS_BPF)
        code.put("mov_reg", _RESULT, 0)
        if is_interruptible:
            with code.skipped_if("jne_imm", _RESULT, imm=-errno.EAGAIN):
                code.put("sub_imm", _COUNTER, imm=1)
                code.jump_back(again, "jne_imm", _COUNTER)

    def _find(self, number: int, step: Find) -> None:
        code = self.code
        name = step.name.encode(errors="surrogateescape") + b"\0"
        for place in step.places:
            is_first = place is step.places[0]
            # What was found first counts; r7 is negative until then.
            with contextlib.nullcontext() if is_first else code.skipped_if("jsge_imm", _RESULT):
                if place is Place.ADDRESS:
                    self._find_symbol(name, step.address)
                else:
                    self._call_with_name(name, _FIND_TYPE, (_KINDS[place], 0))
                    with code.skipped_if("jslt_imm", _RESULT):
                        code.put("mov32_reg", 1, _RESULT)
                        self._store_data(self.data.cell(step.type_id), 1, 8)
                        code.put("mov_reg", 1, _RESULT)
                        code.put("rsh_imm", 1, imm=32)
                        self._store_data(self.data.cell(step.owner), 1, 4)
        with code.skipped_if("jeq_imm", _RESULT, imm=-errno.ENOENT):
            self._fail_if_negative(number)
        if step.expected_owner is not Owner.ANY:
            self._load_value(1, step.owner)
            is_right = "jne_imm" if step.expected_owner is Owner.MODULE else "jeq_imm"
            with code.skipped_if(is_right, 1):
                self._zero(step.type_id)
        if step.symbol:
            self._find_symbol(step.symbol.encode(errors="surrogateescape") + b"\0", step.address)
            # Who may not see addresses (EPERM) is not told whether there is one.
            with code.skipped_if("jne_imm", _RESULT, imm=-errno.ENOENT):
                self._zero(step.type_id)

    def _require(self, number: int, step: Require) -> None:
        code, found = self.code, step.found
        self._load_value(1, found.type_id)
        if Place.ADDRESS in found.places:
            self._load_value(2, found.address)
            code.put("or_reg", 1, 2)
        with code.skipped_if("jne_imm", 1):
            self._fail(number, errno.ENOENT)

    def _find_symbol(self, name: bytes, address: Cell) -> None:
        self._load_data_address(4, self.data.cell(address))
        self._call_with_name(name, _FIND_SYMBOL, (0,))

    def _call_with_name(self, name: bytes, helper: int, numbers: Sequence[int]) -> None:
        code = self.code
        self._load_data_address(1, self.data.constant(name))
        code.put("mov_imm", 2, imm=len(name))
        for register, number in enumerate(numbers, 3):
            code.put("mov_imm", register, imm=number)
        code.put("call", imm=helper)
        code.put("mov_reg", _RESULT, 0)

    def _patch_loads(self, step: PatchLoad) -> None:
        """Of a type: its id and its module's descriptor; else the two halves of an address, 0 for nothing."""
        code, found = self.code, step.found
        by_type = self._registers_byte(0, LoadSource.BTF_ID)
        self._load_value(1, found.type_id)
        self._load_value(2, found.owner)
        code.put("mov_imm", 5, imm=by_type)
        with code.skipped_if("jne_imm", 1):
            self._load_value(1, found.address)
            code.put("mov_reg", 2, 1)
            code.put("rsh_imm", 2, imm=32)
            code.put("mov_imm", 5)
        for index in step.instructions:
            code.build_island()
            place = self.data.item(step.code) + 8 * index
            base, offset = self._base(place)
            code.put("mov_reg", 4, 5)
            code.put("or_imm", 4, imm=self._registers_byte(self._dst(step.code.data[8 * index + 1]), 0))
            self._store(base, offset + 1, 4, 1)
            self._store(base, offset + 4, 1, 4)
            self._store(base, offset + 12, 2, 4)

    def _patch_calls(self, step: PatchCall) -> None:
        """A function's id, and the index of its module's descriptor; or the number that stands for none."""
        code, found = self.code, step.found
        self._load_value(1, found.type_id)
        self._load_value(2, found.owner)
        code.put("mov_imm", 4, imm=self._registers_byte(0, CallSource.KFUNC))
        with code.skipped_if("jeq_imm", 2):
            code.put("mov_imm", 2, imm=self._indexes[found.owner.name])
        with code.skipped_if("jne_imm", 1):
            code.put("mov_imm", 1, imm=step.absent)
            code.put("mov_imm", 4)
        for index in step.instructions:
            code.build_island()
            base, offset = self._base(self.data.item(step.code) + 8 * index)
            self._store(base, offset + 1, 4, 1)
            self._store(base, offset + 2, 2, 2)
            self._store(base, offset + 4, 1, 4)

    def _fill(self, number: int, step: Fill) -> None:
        """From the memory of a process, or of the kernel if it is the kernel that runs the program."""
        code = self.code
        self._load(3, _CONTEXT, step.given.offset, step.given.size)
        with code.skipped_if("jeq_imm", 3):
            self._load_data_address(1, self.data.item(step.item))
            code.put("mov_imm", 2, imm=len(step.item.data))
            self._load(4, _CONTEXT, FLAGS.offset, FLAGS.size)
            code.put("and_imm", 4, imm=CALLER_IS_KERNEL)
            code.put("jne_imm", 4, off=2)
            code.put("call", imm=_COPY_FROM_USER)
            code.put("ja", off=1)
            code.put("call", imm=_READ_KERNEL)
            code.put("mov_reg", _RESULT, 0)
            self._fail_if_negative(number)

    def _trace(self, step: Step) -> None:
        if not self.words:
            return
        text = f"{self.words(step).replace('%', '%%')}: %d\n".encode(errors="replace") + b"\0"
        code = self.code
        self._load_data_address(1, self.data.constant(text))
        code.put("mov_imm", 2, imm=len(text))
        code.put("mov_reg", 3, _RESULT)
        code.put("call", imm=_TRACE_PRINTK)

    # What steps are made of.

    def _fail_if_negative(self, number: int) -> None:
        with self.code.skipped_if("jsge_imm", _RESULT):
            self.code.put("mov_imm", _STEP, imm=number)
            self.code.jump_to_exit()

    def _fail(self, number: int, error: int) -> None:
        self.code.put("mov_imm", _RESULT, imm=-error)
        self.code.put("mov_imm", _STEP, imm=number)
        self.code.jump_to_exit()

    def _load_value(self, register: int, value: Cell | Address | Input) -> None:
        match value:
            case Cell():
                self._load_data(register, self.data.cell(value), _cell_size(value))
            case Input():
                self._load(register, _CONTEXT, value.offset, value.size)
            case Address(target=None):
                self.code.put("mov_reg", register, _DATA)
            case Address(target=Cell() as cell):
                self._load_data_address(register, self.data.cell(cell))
            case Address(target=Item() as item):
                self._load_data_address(register, self.data.item(item))

    @contextlib.contextmanager
    def _unless_given(self, given: Input | None) -> Iterator[None]:
        """What is put in the body is done unless this number of the context is given."""
        if given is None:
            yield
            return
        self._load(1, _CONTEXT, given.offset, given.size)
        with self.code.skipped_if("jne_imm", 1):
            yield

    def _close(self, cell: Cell) -> None:
        self._load_value(1, cell)
        with self.code.skipped_if("jeq_imm", 1):
            self.code.put("call", imm=_SYS_CLOSE)

    def _zero(self, cell: Cell) -> None:
        base, offset = self._base(self.data.cell(cell))
        self.code.put("stw" if cell.kind is CellKind.DESCRIPTOR else "stdw", base, off=offset)

    def _load(self, register: int, base: int, offset: int, size: int) -> None:
        self.code.put(f"ldx{_SIZES[size]}", register, base, offset)

    def _store(self, base: int, offset: int, register: int, size: int) -> None:
        self.code.put(f"stx{_SIZES[size]}", base, register, offset)

    def _load_data(self, register: int, offset: int, size: int) -> None:
        base, offset = self._base(offset, register)
        self._load(register, base, offset, size)

    def _store_data(self, offset: int, register: int, size: int) -> None:
        base, offset = self._base(offset)
        self._store(base, offset, register, size)

    def _base(self, offset: int, scratch: int = 0) -> tuple[int, int]:
        """A register and an offset for a place in the data: its start, or `scratch` if that is far."""
        if offset <= _NEAR:
            return _DATA, offset
        self._load_data_address(scratch, offset)
        return scratch, 0

    def _load_data_address(self, register: int, offset: int) -> None:
        self.code.load_wide(register, 0, offset, LoadSource.VALUE_BY_INDEX)

    def _registers_byte(self, dst: int, src: int) -> int:
        """The second byte of an instruction."""
        return dst | src << 4 if self.code.order is ByteOrder.LITTLE else dst << 4 | src

    def _dst(self, registers_byte: int) -> int:
        return registers_byte & 15 if self.code.order is ByteOrder.LITTLE else registers_byte >> 4

    def _image(self, step: Call) -> bytes:
        """The attributes of a call as far as they are known before."""
        image = bytearray(_size(step))
        layout, order = LAYOUTS[step.command], self.code.order.name_for_int
        for name, value in step.fields:
            offset, size = layout[name]
            if isinstance(value, bytes):
                image[offset : offset + len(value)] = value
            elif isinstance(value, int) and value:
                image[offset : offset + size] = (value % (1 << 8 * size)).to_bytes(size, order)
        return bytes(image)


def _size(step: Call) -> int:
    """The bytes of a call's attributes: up to the last field that may not be 0."""
    names = [name for name, value in step.fields if value]
    names += [name for name, _ in step.overrides] + [name for name, _, _ in step.flags_if]
    return size_up_to(step.command, *names)


def _cell_size(cell: Cell) -> int:
    return DESCRIPTOR_SIZE if cell.kind is CellKind.DESCRIPTOR else NUMBER_SIZE


def _numbers(steps: Sequence[Step]) -> list[Cell]:
    """The cells of steps that are not in the table of descriptors."""
    return [cell for step in steps if isinstance(step, Find) for cell in (step.type_id, step.address)]
