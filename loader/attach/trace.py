"""What is loaded for a target, and then only switched on: fentry, fexit, fmod_ret, tp_btf, LSM, freplace.

Also lsm_cgroup, which besides wants a cgroup, and tracing of many functions by one link. The target of the others
is in the loaded program. Source: libbpf 1.8.
"""

from __future__ import annotations

import array
import errno
import os
import struct
from typing import TYPE_CHECKING

from bpfas.loader import syscall
from bpfas.loader.attach.failure import attach_error
from bpfas.loader.attach.link import KernelLink, create_link
from bpfas.loader.attach.pointers import word_pointer
from bpfas.loader.attach.section_target import section_stem
from bpfas.loader.errors import ENOTSUPP
from bpfas.loader.kernel.config_text import why_unset
from bpfas.loader.kinds import AttachType, ProgramType
from bpfas.loader.privilege import Explanation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bpfas.loader.attach.link import Link
    from bpfas.loader.attach.protocols import Attachable, HasDescriptor

_OPENED_BY_OLD_COMMAND = frozenset(
    {
        AttachType.TRACE_RAW_TP,
        AttachType.LSM_MAC,
        AttachType.TRACE_FENTRY,
        AttachType.TRACE_FEXIT,
        AttachType.MODIFY_RETURN,
    }
)
"""What kernels before 5.19 attach by BPF_RAW_TRACEPOINT_OPEN alone."""

_LINK_TO_TARGET = struct.Struct("=IIQ")
"""target_btf_id, 4 bytes between, cookie."""


def attach_trace(program: Attachable, *, cookie: int = 0) -> Link:
    """Attach a program to what it was loaded for: a function (fentry, fexit, fmod_ret, fsession), a tracepoint.

    `cookie` is what bpf_get_attach_cookie() gives. Raises AttachError.
    """
    return _switch_on(program, cookie)


def attach_lsm(program: Attachable, *, cookie: int = 0) -> Link:
    """Attach a program of type LSM to the hook that it was loaded for. Raises AttachError."""
    return _switch_on(program, cookie)


def attach_lsm_cgroup(program: Attachable, *, cgroup: str | os.PathLike[str] | int) -> Link:
    """Attach a program of section `lsm_cgroup` to its hook for a cgroup (a path or descriptor).

    Raises AttachError.
    """
    target = f"{_what(program)} for cgroup {cgroup}"
    try:
        fd = os.dup(cgroup) if isinstance(cgroup, int) else os.open(cgroup, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        cause = Explanation(f"cannot open {cgroup}: {error.strerror}", "give a directory of a cgroup2 file system")
        raise attach_error(program, target, error, explanation=cause) from error
    try:
        return create_link(program, target, fd, AttachType.LSM_CGROUP, causes=_cgroup_cause)
    finally:
        os.close(fd)


def attach_freplace(
    program: Attachable, *, target: HasDescriptor | int | None = None, function: str | None = None, cookie: int = 0
) -> Link:
    """Put a program of type EXT in the place of the function that it was loaded for.

    Or of `function` (default: the section's) of another loaded program `target` (or its descriptor), whose
    function must have the same parameters. Raises AttachError.
    """
    if target is None:
        return _switch_on(program, cookie)
    # The types of programs are read when they are needed.
    from bpfas.loader.attach.program_functions import function_type_id

    fd = target if isinstance(target, int) else target.fd
    name = function or program.spec.attach_target
    where = f"function '{name}' of {'a program' if isinstance(target, int) else target.name}"
    type_id = function_type_id(program, where, fd, name)
    options = _LINK_TO_TARGET.pack(type_id, 0, cookie)
    return create_link(program, where, fd, program.spec.expected_attach_type, 0, options, _freplace_cause)


def attach_tracing_multi(
    program: Attachable, *, type_ids: Sequence[int], cookies: Sequence[int] | None = None
) -> Link:
    """Attach a program of section `fentry.multi` (fexit, fsession) to many functions, by their ids in the BTF.

    The BTF is that of the module that it was loaded for, else of vmlinux. `cookies` are as many. Raises
    AttachError.
    """
    target = f"{section_stem(program)} of {len(type_ids)} functions"
    if cookies is not None and len(cookies) != len(type_ids):
        cause = f"there are {len(cookies)} cookies for {len(type_ids)} functions"
        raise attach_error(program, target, errno.EINVAL, explanation=Explanation(cause, "give one for each"))
    ids = array.array("I", sorted(type_ids) if cookies is None else type_ids)
    values = array.array("Q", cookies or ())
    options = struct.pack("=QQI", word_pointer(ids), word_pointer(values), len(ids))
    return create_link(program, target, 0, program.spec.expected_attach_type, 0, options, _multi_cause)


def _what(program: Attachable) -> str:
    return f"{section_stem(program)} {program.spec.attach_target}".rstrip()


def _switch_on(program: Attachable, cookie: int) -> Link:
    target = _what(program)
    attach_type = program.spec.expected_attach_type

    def cause(number: int) -> Explanation | None:
        return _cause(program, number, cookie)

    try:
        fd = syscall.link_create(program.fd, 0, attach_type, 0, _LINK_TO_TARGET.pack(0, 0, cookie))
    except OSError as error:
        if error.errno != errno.EINVAL or cookie or not _is_opened_by_old_command(program):
            raise attach_error(program, target, error, cause) from error
        try:
            fd = syscall.raw_tracepoint_open(program.fd, None)
        except OSError as second:
            raise attach_error(program, target, second, cause) from second
    return KernelLink(program.name, target, fd)


def _is_opened_by_old_command(program: Attachable) -> bool:
    spec = program.spec
    return spec.program_type == ProgramType.EXT or spec.expected_attach_type in _OPENED_BY_OLD_COMMAND


def _cause(program: Attachable, number: int, cookie: int) -> Explanation | None:
    if number == errno.EBUSY and program.spec.program_type == ProgramType.EXT:
        return Explanation(
            "the function is replaced already, or something traces it", "detach that other program first"
        )
    if number == errno.EBUSY:
        return Explanation(
            "the program is attached already; or ftrace or live patching has the function in a way that excludes "
            "trampolines",
            "close the link that there is, or end that tracing",
        )
    if number == errno.EINVAL and cookie:
        return Explanation(
            "the kernel knows no cookies of such links (they came with Linux 5.19), or the program is attached "
            "already",
            "attach it without a cookie",
        )
    if number == errno.E2BIG:
        return Explanation("the function has as many programs as a trampoline takes (38)", "detach another one")
    may_lack = number in (errno.EPERM, errno.EOPNOTSUPP, ENOTSUPP)
    if may_lack and (unset := why_unset("CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS")):
        return Explanation(
            f"this kernel has no trampolines into functions: {unset}", "use a kernel that has them; or a kprobe"
        )
    return None


def _cgroup_cause(number: int) -> Explanation | None:
    if number in (errno.EBADF, errno.EINVAL, errno.ENOTDIR):
        return Explanation(
            "it is no cgroup of version 2, or the kernel has no programs of lsm_cgroup (they came with Linux 6.0)",
            "give a directory of a cgroup2 file system: mount -t cgroup2 none /sys/fs/cgroup",
        )
    return None


def _freplace_cause(number: int) -> Explanation | None:
    if number == errno.EINVAL:
        return Explanation(
            "the function has other parameters than the one that the program was loaded for, or the target is of "
            "another type",
            "load the program anew for this target",
        )
    if number == errno.EBUSY:
        return Explanation("the function is replaced already", "detach the program in its place first")
    return None


def _multi_cause(number: int) -> Explanation | None:
    if number in (errno.EINVAL, errno.EOPNOTSUPP):
        return Explanation(
            "the kernel does not trace many functions by one link, or one of the ids is of none that can be",
            "use one link for each (fentry/FUNCTION); tracing of many came after Linux 7.0",
        )
    return None
