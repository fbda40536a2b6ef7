"""A Script to the instructions and the data of a loader program.

This module has the frame and the smaller steps; calls are `bpfas.loader.gen.emit_calls`, look-ups
`bpfas.loader.gen.emit_lookups`. Source: the helpers' documentation in include/uapi/linux/bpf.h.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from bpfas.helpers import HELPERS
from bpfas.loader.gen.data import DESCRIPTOR_SIZE, DataLayout
from bpfas.loader.gen.data_code import CONTEXT, COUNTER, DATA, RESULT, STEP, SYS_CLOSE, DataCode
from bpfas.loader.gen.emit_calls import emit_call, known_attributes
from bpfas.loader.gen.emit_lookups import emit_find, emit_patch_calls, emit_patch_loads, emit_require
from bpfas.loader.gen.loader_program import CALLER_IS_KERNEL, FLAGS
from bpfas.loader.gen.script import Call, Close, Fill, Find, Need, PatchCall, PatchLoad, Require, UnlessGiven

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from bpfas.elf.constants import ByteOrder
    from bpfas.loader.gen.loader_program import Context
    from bpfas.loader.gen.script import Cell, Script, Step

_TRACE_PRINTK, _READ_KERNEL, _COPY_FROM_USER = (
    HELPERS[f"bpf_{name}"].number for name in ("trace_printk", "probe_read_kernel", "copy_from_user")
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
    steps = script.numbered_steps()
    data = DataLayout(script.table, _numbers(steps))
    # Instructions refer to attributes most often, so these come before all that is long.
    attributes = {
        number: data.attributes(known_attributes(step, order))
        for number, step in enumerate(steps, 1)
        if isinstance(step, Call)
    }
    code = DataCode(order, data)
    _begin(code, script, steps, context)
    guards = {id(inner): step.given for step in steps if isinstance(step, UnlessGiven) for inner in step.steps}
    for number, step in enumerate(steps, 1):
        code.build_island()
        with code.unless_given(guards.get(id(step))):
            _emit_step(code, number, step, attributes)
            if words:
                _emit_words(code, words(step))
    _finish(code, script)
    content = data.content()
    return (check(content) if check else b"") + code.code(), content


def _numbers(steps: Sequence[Step]) -> list[Cell]:
    """The cells of steps that are not in the table of descriptors."""
    return [cell for step in steps if isinstance(step, Find) for cell in (step.type_id, step.address)]


def _begin(code: DataCode, script: Script, steps: Sequence[Step], context: Context) -> None:
    """Set the registers up, and put the common exit behind a jump, as jumps to it go backwards."""
    code.put("mov_reg", CONTEXT, 1)
    code.load_data_address(DATA, 0)
    code.put("mov_imm", RESULT)
    with code.skipped_if("ja", 0):
        code.begin_exit()
        code.put("stxw", CONTEXT, STEP, context.failed_step)
        for step in steps:
            if isinstance(step, UnlessGiven) and step.cell:
                code.load(1, CONTEXT, step.given.offset, step.given.size)
                with code.skipped_if("jeq_imm", 1):
                    code.zero(step.cell)
        _close_all(code, len(script.table))
        code.put("mov_reg", 0, RESULT)
        code.put("exit")


def _close_all(code: DataCode, count: int) -> None:
    """Close what the table has. It is a loop because jumps over it have 16 bits."""
    code.put("mov_imm", COUNTER)
    again = code.here
    code.put("mov_reg", 1, DATA)
    code.put("add_reg", 1, COUNTER)
    code.load(1, 1, 0, DESCRIPTOR_SIZE)
    with code.skipped_if("jeq_imm", 1):
        code.put("call", imm=SYS_CLOSE)
    code.put("add_imm", COUNTER, imm=DESCRIPTOR_SIZE)
    code.jump_back(again, "jne_imm", COUNTER, imm=DESCRIPTOR_SIZE * count)


def _finish(code: DataCode, script: Script) -> None:
    """Give the descriptors back."""
    for cell, offset in script.results:
        code.load_value(1, cell)
        code.store(CONTEXT, offset, 1, DESCRIPTOR_SIZE)
    code.put("mov_imm", 0)
    code.put("exit")


def _emit_step(code: DataCode, number: int, step: Step, attributes: Mapping[int, int]) -> None:
    match step:
        case Call():
            emit_call(code, number, step, attributes[number])
        case Find():
            emit_find(code, number, step)
        case Require():
            emit_require(code, number, step)
        case PatchLoad():
            emit_patch_loads(code, step)
        case PatchCall():
            emit_patch_calls(code, step)
        case Fill():
            _emit_fill(code, number, step)
        case Need():
            code.load(1, CONTEXT, step.given.offset, step.given.size)
            with code.skipped_if("jne_imm", 1):
                code.fail(number, errno.ENODATA)
        case Close():
            code.close(step.cell)
            code.zero(step.cell)
        case UnlessGiven():
            if step.cell:  # its steps ask for themselves
                code.load(1, CONTEXT, step.given.offset, step.given.size)
                code.store_data(code.data.cell(step.cell), 1, DESCRIPTOR_SIZE)


def _emit_fill(code: DataCode, number: int, step: Fill) -> None:
    """Contents from the memory of a process, or of the kernel if it is the kernel that runs the program."""
    code.load(3, CONTEXT, step.given.offset, step.given.size)
    with code.skipped_if("jeq_imm", 3):
        code.load_data_address(1, code.data.item(step.item))
        code.put("mov_imm", 2, imm=len(step.item.data))
        code.load(4, CONTEXT, FLAGS.offset, FLAGS.size)
        code.put("and_imm", 4, imm=CALLER_IS_KERNEL)
        code.put("jne_imm", 4, off=2)
        code.put("call", imm=_COPY_FROM_USER)
        code.put("ja", off=1)
        code.put("call", imm=_READ_KERNEL)
        code.put("mov_reg", RESULT, 0)
        code.fail_if_negative(number)


def _emit_words(code: DataCode, words: str) -> None:
    """A line in the kernel's trace buffer with what the last call gave."""
    text = f"{words.replace('%', '%%')}: %d\n".encode(errors="replace") + b"\0"
    code.load_data_address(1, code.data.constant(text))
    code.put("mov_imm", 2, imm=len(text))
    code.put("mov_reg", 3, RESULT)
    code.put("call", imm=_TRACE_PRINTK)
