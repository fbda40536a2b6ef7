"""Programs that are loaded for something in BTF: functions of the kernel or of programs, operations.

Each function gives the descriptor of a program, which the caller closes, or raises OSError; ENOENT where the
kernel's BTF does not have what the program is for.
"""

from __future__ import annotations

import contextlib
import errno
import os
import struct
from typing import TYPE_CHECKING, NamedTuple

from bpfas.btf.kinds import Kind, Linkage
from bpfas.loader import syscall
from bpfas.loader.kernel.trial import EXIT, RETURN_0, btf_bytes, closing, instruction, record
from bpfas.loader.kernel.type_files import running_types
from bpfas.loader.kinds import AttachType, ProgramType
from bpfas.loader.syscall import ProgramLoad

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfas.loader.kernel.types import KernelTypes

_GPL = b"GPL"


def kernel_types() -> KernelTypes:
    """The kernel's types."""
    types = running_types()
    if types is None:
        raise _absent("types")
    return types


def type_named(name: str, kind: Kind) -> int:
    """The id of a type of vmlinux."""
    types = kernel_types()
    for type_id in types.ids_named(name):
        if types.btf.kind(type_id) is kind:
            return type_id
    raise _absent(name)


def _absent(name: str) -> OSError:
    return OSError(errno.ENOENT, os.strerror(errno.ENOENT), name)


def load_for(
    program_type: ProgramType,
    attach_type: AttachType,
    target: str,
    kind: Kind = Kind.FUNC,
    code: bytes = RETURN_0,
) -> int:
    """A program for what the kernel's BTF calls `target`."""
    load = ProgramLoad(
        "",
        program_type,
        code,
        _GPL,
        expected_attach_type=attach_type,
        attach_btf_id=type_named(target, kind),
    )
    return syscall.prog_load(load)


def load_operation(struct_name: str, member: str, code: bytes) -> int:
    """A program for a member of a struct of operations."""
    type_id = type_named(struct_name, Kind.STRUCT)
    names = [found.name for found in kernel_types().btf.members(type_id)]
    if member not in names:
        raise _absent(member)
    load = ProgramLoad(
        "",
        ProgramType.STRUCT_OPS,
        code,
        _GPL,
        expected_attach_type=names.index(member),
        attach_btf_id=type_id,
    )
    return syscall.prog_load(load)


_NAMES = ["int", "ctx", "main", "part", "__sk_buff"]
_INT, _CTX, _MAIN, _PART, _CONTEXT = 1, 5, 9, 14, 19
_FUNCTIONS = btf_bytes(
    [
        record(Kind.INT, _INT, 4, 1 << 24 | 32),
        record(Kind.STRUCT, _CONTEXT),
        record(Kind.PTR, 0, 2),
        record(Kind.FUNC_PROTO, 0, 1, _CTX, 3, vlen=1),
        record(Kind.FUNC, _MAIN, 4, vlen=Linkage.GLOBAL),
        record(Kind.FUNC, _PART, 4, vlen=Linkage.GLOBAL),
    ],
    _NAMES,
)
"""Types of the functions `main` (5) and `part` (6), both of the context of tc."""

_MAIN_TYPE, _PART_TYPE = 5, 6


class Replacement(NamedTuple):
    """A program `target`, and one that may replace its function `part`."""

    target: int
    program: int


@contextlib.contextmanager
def replacement() -> Iterator[Replacement]:
    """Both programs; they are closed at the end."""
    code = instruction("call_pseudo", imm=1) + EXIT + RETURN_0
    with contextlib.ExitStack() as stack:
        btf_fd = stack.enter_context(closing(syscall.btf_load(_FUNCTIONS)))
        functions = struct.pack("=4I", 0, _MAIN_TYPE, 2, _PART_TYPE)
        target = ProgramLoad("", ProgramType.SCHED_CLS, code, _GPL, btf_fd=btf_fd, func_info=functions)
        target_fd = stack.enter_context(closing(syscall.prog_load(target)))
        replacing = ProgramLoad(
            "",
            ProgramType.EXT,
            RETURN_0,
            _GPL,
            btf_fd=btf_fd,
            func_info=struct.pack("=2I", 0, _PART_TYPE),
            attach_btf_id=_PART_TYPE,
            attach_prog_fd=target_fd,
        )
        yield Replacement(target_fd, stack.enter_context(closing(syscall.prog_load(replacing))))


def load_replacement() -> int:
    """A program for a function of another one."""
    with replacement() as programs:
        return os.dup(programs.program)
