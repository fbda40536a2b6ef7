"""Instructions at the start of a loader program that compare its data with what was signed.

A kernel that verifies a signature of the instructions alone leaves the data to them: its SHA-256 is in their
immediates, and that which the kernel has computed is in `struct bpf_map`, once the kernel was asked for it
(BPF_OBJ_GET_INFO_BY_FD of the frozen map). Source: the fields `sha` and `excl` of struct bpf_map in Linux 6.18.
"""

from __future__ import annotations

import errno
import functools
import hashlib
from typing import TYPE_CHECKING

from bpfas.loader.gen.emission.assembler import Assembler
from bpfas.loader.gen.loader_program import Scheme
from bpfas.loader.instructions import LoadSource

if TYPE_CHECKING:
    from collections.abc import Callable

    from bpfas.elf.constants import ByteOrder

_MAP, _FOUND, _EXPECTED = 2, 3, 4
"""Registers; r1, the context, stays as it is."""

_SHA = 0
_EXCL = 32
"""Where struct bpf_map has SHA-256 of the contents, and whether the map is one program's alone, in bytes."""

_WORD = 8
_ELEMENT_ALIGNMENT = 8


def check_of(scheme: Scheme | None, order: ByteOrder) -> Callable[[bytes], bytes] | None:
    """What gives the instructions for some data; None where the scheme needs none."""
    match scheme:
        case Scheme.HASH_IN_PROGRAM:
            return functools.partial(hash_check, order=order)
        case Scheme.EARLY_HASH_IN_PROGRAM:
            return functools.partial(hash_check, order=order, has_owner=False)
        case _:
            return None


def hash_check(data: bytes, order: ByteOrder, *, has_owner: bool = True) -> bytes:
    """Instructions that end the program with -EINVAL unless map 0 has `data`; r1 stays what it is.

    With `has_owner` the map must be exclusive, too: then no other program can have changed it since. The verifier
    of kernels without `excl` refuses that.
    """
    code = Assembler(order)
    code.load_wide(_MAP, 0, source=LoadSource.MAP_BY_INDEX)
    code.put("mov_imm", 0, imm=-errno.EINVAL)
    if has_owner:
        code.put("ldxw", _FOUND, _MAP, _EXCL)
        with code.skipped_if("jeq_imm", _FOUND, imm=1):
            code.put("exit")
    # The kernel hashes elements as they lie in memory.
    digest = hashlib.sha256(data + bytes(-len(data) % _ELEMENT_ALIGNMENT)).digest()
    for start in range(0, len(digest), _WORD):
        word = int.from_bytes(digest[start : start + _WORD], order.name_for_int)
        code.put("ldxdw", _FOUND, _MAP, _SHA + start)
        code.load_wide(_EXPECTED, word & 0xFFFFFFFF, word >> 32)
        with code.skipped_if("jeq_reg", _FOUND, _EXPECTED):
            code.put("exit")
    return code.code()
