"""The instructions of calls of bpf(): attributes completed from cells and the context, called, tried again.

Source: union bpf_attr of include/uapi/linux/bpf.h.
"""

from __future__ import annotations

import contextlib
import errno
from typing import TYPE_CHECKING

from bpfas.helpers import HELPERS
from bpfas.loader.gen.emission.attributes import LAYOUTS, size_up_to
from bpfas.loader.gen.emission.data_code import RESULT

if TYPE_CHECKING:
    from bpfas.elf.constants import ByteOrder
    from bpfas.loader.gen.emission.data_code import DataCode
    from bpfas.loader.gen.script import Call, Input

_SYS_BPF = HELPERS["bpf_sys_bpf"].number


def emit_call(code: DataCode, number: int, step: Call, start: int, given: Input | None) -> None:
    """A call, whose attributes are at `start` of the data; its descriptor goes to the call's cell.

    It is not done if a number of the context says so, of which one may be the descriptor that is `given`.
    """
    layout = LAYOUTS[step.command]
    base, offset = code.base(start)
    for name, value in step.fields:
        if isinstance(value, (int, bytes)):
            continue
        field = layout[name]
        code.load_value(1, value)
        code.store(base, offset + field.offset, 1, field.size)
    for name, override in step.overrides:
        field = layout[name]
        code.load_value(1, override)
        code.load(3, base, offset + field.offset, field.size)
        code.ones_if_zero(2, 1)
        code.put("and_reg", 2, 3)
        code.put("or_reg", 1, 2)
        code.store(base, offset + field.offset, 1, field.size)
    for name, condition, bits in step.flags_if:
        field = layout[name]
        code.load_value(1, condition)
        code.ones_if_not_zero(1)
        code.put("and_imm", 1, imm=bits)
        code.load(2, base, offset + field.offset, field.size)
        code.put("or_reg", 1, 2)
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
    code.settle(number, step.result, given)


def _double(code: DataCode, step: Call, start: int, field: int) -> None:
    """Ask for twice as much while the kernel finds it too little."""
    with contextlib.ExitStack() as attempts:
        for _ in range(step.doublings):
            attempts.enter_context(code.skipped_if("jne_imm", RESULT, imm=-errno.EINVAL))
            base, offset = code.base(start)
            code.load(1, base, offset + field, 4)
            code.put("lsh_imm", 1, imm=1)
            code.store(base, offset + field, 1, 4)
            _bpf(code, step, start)


def _bpf(code: DataCode, step: Call, attributes: int) -> None:
    """The call, by a command that there is not (EINVAL) if it is not to be done."""
    code.put("mov_imm", 1, imm=step.command)
    code.put_off(1)
    code.load_data_address(2, attributes)
    code.put("mov_imm", 3, imm=_size(step))
    code.put("call", imm=_SYS_BPF)


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
