"""The instructions of looking names up in the kernel, and of putting what was found into programs.

Source: bpf_btf_find_by_name_kind and bpf_kallsyms_lookup_name in include/uapi/linux/bpf.h.
"""

from __future__ import annotations

import contextlib
import errno
from typing import TYPE_CHECKING

from bpfas.btf.kinds import Kind
from bpfas.helpers import HELPERS
from bpfas.loader.gen.data import DESCRIPTOR_SIZE
from bpfas.loader.gen.data_code import RESULT
from bpfas.loader.gen.script import Owner, Place
from bpfas.loader.instructions import CallSource, LoadSource

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bpfas.loader.gen.data_code import DataCode
    from bpfas.loader.gen.script import Cell, Find, PatchCall, PatchLoad, Require

_FIND_TYPE = HELPERS["bpf_btf_find_by_name_kind"].number
_FIND_SYMBOL = HELPERS["bpf_kallsyms_lookup_name"].number
_KINDS = {
    Place.FUNCTION: Kind.FUNC,
    Place.VARIABLE: Kind.VAR,
    Place.STRUCT: Kind.STRUCT,
    Place.TYPEDEF: Kind.TYPEDEF,
}


def emit_find(code: DataCode, number: int, step: Find) -> None:
    """A look-up: its cells stay as they are where the name is not found."""
    name = step.name.encode(errors="surrogateescape") + b"\0"
    for place in step.places:
        is_first = place is step.places[0]
        # What was found first counts; r7 is negative until then.
        with contextlib.nullcontext() if is_first else code.skipped_if("jsge_imm", RESULT):
            if place is Place.ADDRESS:
                _find_symbol(code, name, step.address)
            else:
                _call_with_name(code, name, _FIND_TYPE, (_KINDS[place], 0))
                with code.skipped_if("jslt_imm", RESULT):
                    code.put("mov32_reg", 1, RESULT)
                    code.store_data(code.data.cell(step.type_id), 1, 8)
                    code.put("mov_reg", 1, RESULT)
                    code.put("rsh_imm", 1, imm=32)
                    code.store_data(code.data.cell(step.owner), 1, 4)
    with code.skipped_if("jeq_imm", RESULT, imm=-errno.ENOENT):
        code.fail_if_negative(number)
    if step.expected_owner is not Owner.ANY:
        code.load_value(1, step.owner)
        is_right = "jne_imm" if step.expected_owner is Owner.MODULE else "jeq_imm"
        with code.skipped_if(is_right, 1):
            code.zero(step.type_id)
    if step.symbol:
        _find_symbol(code, step.symbol.encode(errors="surrogateescape") + b"\0", step.address)
        # Who may not see addresses (EPERM) is not told whether there is one.
        with code.skipped_if("jne_imm", RESULT, imm=-errno.ENOENT):
            code.zero(step.type_id)


def emit_require(code: DataCode, number: int, step: Require) -> None:
    """The failure of what has not been found."""
    found = step.found
    code.load_value(1, found.type_id)
    if Place.ADDRESS in found.places:
        code.load_value(2, found.address)
        code.put("or_reg", 1, 2)
    with code.skipped_if("jne_imm", 1):
        code.fail(number, errno.ENOENT)


def _find_symbol(code: DataCode, name: bytes, address: Cell) -> None:
    code.load_data_address(4, code.data.cell(address))
    _call_with_name(code, name, _FIND_SYMBOL, (0,))


def _call_with_name(code: DataCode, name: bytes, helper: int, numbers: Sequence[int]) -> None:
    code.load_data_address(1, code.data.constant(name))
    code.put("mov_imm", 2, imm=len(name))
    for register, number in enumerate(numbers, 3):
        code.put("mov_imm", register, imm=number)
    code.put("call", imm=helper)
    code.put("mov_reg", RESULT, 0)


def emit_patch_loads(code: DataCode, step: PatchLoad) -> None:
    """Of a type: its id and its module's descriptor; else the two halves of an address, 0 for nothing."""
    found = step.found
    by_type = code.registers_byte(0, LoadSource.BTF_ID)
    code.load_value(1, found.type_id)
    code.load_value(2, found.owner)
    code.put("mov_imm", 5, imm=by_type)
    with code.skipped_if("jne_imm", 1):
        code.load_value(1, found.address)
        code.put("mov_reg", 2, 1)
        code.put("rsh_imm", 2, imm=32)
        code.put("mov_imm", 5)
    for index in step.instructions:
        code.build_island()
        place = code.data.item(step.code) + 8 * index
        base, offset = code.base(place)
        code.put("mov_reg", 4, 5)
        code.put("or_imm", 4, imm=code.registers_byte(code.dst(step.code.data[8 * index + 1]), 0))
        code.store(base, offset + 1, 4, 1)
        code.store(base, offset + 4, 1, 4)
        code.store(base, offset + 12, 2, 4)


def emit_patch_calls(code: DataCode, step: PatchCall) -> None:
    """A function's id, and the index of its module's descriptor; or the number that stands for none."""
    found = step.found
    code.load_value(1, found.type_id)
    code.load_value(2, found.owner)
    code.put("mov_imm", 4, imm=code.registers_byte(0, CallSource.KFUNC))
    with code.skipped_if("jeq_imm", 2):
        code.put("mov_imm", 2, imm=code.data.cell(found.owner) // DESCRIPTOR_SIZE)
    with code.skipped_if("jne_imm", 1):
        code.put("mov_imm", 1, imm=step.absent)
        code.put("mov_imm", 4)
    for index in step.instructions:
        code.build_island()
        base, offset = code.base(code.data.item(step.code) + 8 * index)
        code.store(base, offset + 1, 4, 1)
        code.store(base, offset + 2, 2, 2)
        code.store(base, offset + 4, 1, 4)
