"""The instructions of calls of bpf(): attributes completed from cells and the context, called, tried again.

Source: union bpf_attr of include/uapi/linux/bpf.h.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from bpfas.helpers import HELPERS
from bpfas.loader.gen.attributes import LAYOUTS, size_up_to
from bpfas.loader.gen.data import DESCRIPTOR_SIZE
from bpfas.loader.gen.data_code import CONTEXT, COUNTER, RESULT
from bpfas.loader.loading.program_loading import LOAD_ATTEMPTS
from bpfas.loader.syscall.bpf import Command

if TYPE_CHECKING:
    from bpfas.elf.constants import ByteOrder
    from bpfas.loader.gen.data_code import DataCode
    from bpfas.loader.gen.script import Call

_SYS_BPF = HELPERS["bpf_sys_bpf"].number


def emit_call(code: DataCode, number: int, step: Call, start: int) -> None:
    """A call, whose attributes are at `start` of the data; its descriptor goes to the call's cell."""
    layout = LAYOUTS[step.command]
    base, offset = code.base(start)
    for name, value in step.fields:
        if isinstance(value, (int, bytes)):
            continue
        field = layout[name]
        code.load_value(1, value)
        code.store(base, offset + field.offset, 1, field.size)
    for name, given in step.overrides:
        field = layout[name]
        code.load(1, CONTEXT, given.offset, given.size)
        with code.skipped_if("jeq_imm", 1):
            code.store(base, offset + field.offset, 1, field.size)
    for name, condition, bits in step.flags_if:
        field = layout[name]
        code.load_value(1, condition)
        with code.skipped_if("jeq_imm", 1):
            code.load(1, base, offset + field.offset, field.size)
            code.put("or_imm", 1, imm=bits)
            code.store(base, offset + field.offset, 1, field.size)
    _bpf(code, step, start)
    if step.optional:
        with code.skipped_if("jsge_imm", RESULT):
            base, offset = code.base(start)
            for name in step.optional:
                code.put("stw", base, off=offset + layout[name].offset)
            _bpf(code, step, start)
    if step.doublings:
        _double(code, step, start, layout[step.doubled].offset)
    code.fail_if_negative(number)
    if step.result:
        code.store_data(code.data.cell(step.result), RESULT, DESCRIPTOR_SIZE)


def _double(code: DataCode, step: Call, start: int, field: int) -> None:
    """Ask for twice as much while the kernel finds it too little."""
    code.put("mov_imm", COUNTER, imm=step.doublings)
    again = code.here
    with code.skipped_if("jne_imm", RESULT, imm=-errno.EINVAL):
        base, offset = code.base(start)
        code.load(1, base, offset + field, 4)
        code.put("lsh_imm", 1, imm=1)
        code.store(base, offset + field, 1, 4)
        _bpf(code, step, start)
        code.put("sub_imm", COUNTER, imm=1)
        code.jump_back(again, "jne_imm", COUNTER)


def _bpf(code: DataCode, step: Call, attributes: int) -> None:
    is_interruptible = step.command is Command.PROG_LOAD
    if is_interruptible:
        code.put("mov_imm", COUNTER, imm=LOAD_ATTEMPTS)
    again = code.here
    code.load_data_address(2, attributes)
    code.put("mov_imm", 1, imm=step.command)
    code.put("mov_imm", 3, imm=_size(step))
    code.put("call", imm=_SYS_BPF)
    code.put("mov_reg", RESULT, 0)
    if is_interruptible:
        with code.skipped_if("jne_imm", RESULT, imm=-errno.EAGAIN):
            code.put("sub_imm", COUNTER, imm=1)
            code.jump_back(again, "jne_imm", COUNTER)


def known_attributes(step: Call, order: ByteOrder) -> bytes:
    """The attributes of a call as far as they are known before."""
    image = bytearray(_size(step))
    layout = LAYOUTS[step.command]
    for name, value in step.fields:
        offset, size = layout[name]
        if isinstance(value, bytes):
            image[offset : offset + len(value)] = value
        elif isinstance(value, int) and value:
            image[offset : offset + size] = (value % (1 << 8 * size)).to_bytes(size, order.name_for_int)
    return bytes(image)


def _size(step: Call) -> int:
    """The bytes of a call's attributes: up to the last field that may not be 0."""
    names = [name for name, value in step.fields if value]
    names += [name for name, _ in step.overrides] + [name for name, _, _ in step.flags_if]
    return size_up_to(step.command, *names)
