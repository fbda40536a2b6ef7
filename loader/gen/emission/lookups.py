"""The instructions of looking names up in the kernel, and of putting what was found into programs.

Source: bpf_btf_find_by_name_kind and bpf_kallsyms_lookup_name in include/uapi/linux/bpf.h.
"""

from __future__ import annotations

import contextlib
import errno
from typing import TYPE_CHECKING

from bpfas.btf.kinds import Kind
from bpfas.helpers import HELPERS
from bpfas.isa import SLOT_SIZE
from bpfas.loader.gen.emission.data import DESCRIPTOR_SIZE
from bpfas.loader.gen.emission.data_code import RESULT
from bpfas.loader.gen.script import Owner, Place
from bpfas.loader.instructions import CallSource, LoadSource

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bpfas.loader.gen.emission.data_code import DataCode
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
    """A look-up: its cells are 0 where the name is not found."""
    name = step.name.encode(errors="surrogateescape") + b"\0"
    with contextlib.ExitStack() as attempts:
        for place in step.places:
            if place is not step.places[0]:  # what was found first counts
                attempts.enter_context(code.skipped_if("jsge_imm", RESULT))
            if place is Place.ADDRESS:
                _find_symbol(code, name, step.address)
            else:
                _find_type(code, name, _KINDS[place], step)
    # An error is what is negative and not -ENOENT.
    code.put("mov_reg", 1, RESULT)
    code.put("arsh_imm", 1, imm=63)
    code.put("and_reg", RESULT, 1)
    code.put("mov_reg", 1, RESULT)
    code.put("xor_imm", 1, imm=-errno.ENOENT)
    code.ones_if_any(2, 1)
    code.put("and_reg", RESULT, 2)
    code.settle(number)
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


def _find_type(code: DataCode, name: bytes, kind: Kind, step: Find) -> None:
    """The id in the low half of what is found, the descriptor of the module's BTF in the high half."""
    _call_with_name(code, name, _FIND_TYPE, (kind, 0))
    code.put("mov_reg", 2, RESULT)
    code.put("arsh_imm", 2, imm=63)
    code.put("xor_imm", 2, imm=-1)
    code.put("and_reg", 2, RESULT)
    code.put("mov32_reg", 1, 2)
    code.store_data(code.data.cell(step.type_id), 1, 8)
    code.put("rsh_imm", 2, imm=32)
    code.store_data(code.data.cell(step.owner), 2, 4)


def emit_require(code: DataCode, number: int, step: Require) -> None:
    """The failure of what has not been found."""
    found = step.found
    code.load_value(1, found.type_id)
    if Place.ADDRESS in found.places:
        code.load_value(2, found.address)
        code.put("or_reg", 1, 2)
    code.ones_if_any(RESULT, 1)
    code.put("xor_imm", RESULT, imm=-1)
    code.put("and_imm", RESULT, imm=-errno.ENOENT)
    code.settle(number)


def _find_symbol(code: DataCode, name: bytes, address: Cell) -> None:
    code.load_data_address(4, code.data.cell(address))
    _call_with_name(code, name, _FIND_SYMBOL, (0,))


def _call_with_name(code: DataCode, name: bytes, helper: int, numbers: Sequence[int]) -> None:
    code.load_data_address(1, code.data.constant(name))
    code.put("mov_imm", 2, imm=len(name))
    for register, number in enumerate(numbers, 3):
        code.put("mov_imm", register, imm=number)
    code.put("call", imm=helper)


def emit_patch_loads(code: DataCode, step: PatchLoad) -> None:
    """Of a type: its id and its module's descriptor; else the two halves of an address, 0 for nothing."""
    found = step.found
    low, high, source = 1, 2, 5
    if found.places == (Place.ADDRESS,):
        code.load_value(low, found.address)
        code.put("mov_reg", high, low)
        code.put("rsh_imm", high, imm=32)
        code.put("mov_imm", source)
    else:
        code.load_value(low, found.type_id)
        code.load_value(high, found.owner)
        code.ones_if_zero(3, low)
        if Place.ADDRESS in found.places:
            code.load_value(4, found.address)
            code.put("and_reg", 4, 3)
            code.put("or_reg", low, 4)
            code.put("rsh_imm", 4, imm=32)
            code.put("or_reg", high, 4)
        code.put("xor_imm", 3, imm=-1)
        code.put("mov_imm", source, imm=code.registers_byte(0, LoadSource.BTF_ID))
        code.put("and_reg", source, 3)
    for index in step.instructions:
        base, offset = code.base(code.data.item(step.code) + SLOT_SIZE * index, 3)
        code.put("mov_reg", 4, source)
        code.put("or_imm", 4, imm=code.registers_byte(code.dst(step.code.data[SLOT_SIZE * index + 1]), 0))
        code.store(base, offset + 1, 4, 1)
        code.store(base, offset + 4, low, 4)
        code.store(base, offset + SLOT_SIZE + 4, high, 4)


def emit_patch_calls(code: DataCode, step: PatchCall) -> None:
    """A function's id, and the index of its module's descriptor; or the number that stands for none."""
    found = step.found
    number, index_of_module, source = 1, 2, 4
    code.load_value(number, found.type_id)
    code.load_value(index_of_module, found.owner)
    code.ones_if_not_zero(index_of_module)
    code.put("and_imm", index_of_module, imm=code.data.cell(found.owner) // DESCRIPTOR_SIZE)
    code.ones_if_zero(3, number)
    code.put("mov_reg", source, 3)
    code.put("xor_imm", source, imm=-1)
    code.put("and_imm", source, imm=code.registers_byte(0, CallSource.KFUNC))
    code.put("and_imm", 3, imm=step.absent)
    code.put("or_reg", number, 3)
    for index in step.instructions:
        base, offset = code.base(code.data.item(step.code) + SLOT_SIZE * index, 3)
        code.store(base, offset + 1, source, 1)
        code.store(base, offset + 2, index_of_module, 2)
        code.store(base, offset + 4, number, 4)
