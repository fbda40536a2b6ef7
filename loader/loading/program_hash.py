"""The hash by which the kernel knows a program: of its instructions as they are given, without maps.

A map can be made for the program of one hash alone (since Linux 6.18); a program's tag is how its hash begins.
Source: libbpf 1.8; bpf_prog_calc_tag of Linux.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from bpfas.loader.instructions import LOAD_IMMEDIATE_64, Code, LoadSource

if TYPE_CHECKING:
    from bpfas.loader.loading.plan import Plan, ProgramPlan
    from bpfas.loader.loading.session import Session

_OF_MAPS = (LoadSource.MAP_FD, LoadSource.MAP_VALUE)


def program_hash(program: ProgramPlan, plan: Plan, session: Session) -> bytes:
    """SHA-256 of the program as it will be loaded, without the descriptors of maps and the offsets in them."""
    code = Code(program.instructions, plan.image.byte_order)
    for instruction, owner in program.btf_fields:
        code.set_imm(instruction + 1, session.kernel.btf_fd(owner))
    for index in code.starts():
        if code.opcode(index) == LOAD_IMMEDIATE_64 and code.src(index) in _OF_MAPS:
            code.set_imm(index, 0)
            code.set_imm(index + 1, 0)
    return hashlib.sha256(code.data).digest()
