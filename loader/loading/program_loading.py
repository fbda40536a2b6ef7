"""Programs into the kernel: descriptors written in, loaded, and what is refused loaded again for the log.

Source: libbpf 1.8; bpf(2).
"""

from __future__ import annotations

import contextlib
import errno
import os
import struct
import sys
from typing import TYPE_CHECKING

from bpfas.loader import syscall
from bpfas.loader.errors import LoadError, Step, VerifierError
from bpfas.loader.instructions import Code, LoadSource
from bpfas.loader.kernel.features import Feature
from bpfas.loader.kinds import NO_ATTACH_TYPE, MapType, ProgramFlag, ProgramType, program_type_name
from bpfas.loader.loading.attach_target import open_target
from bpfas.loader.loading.session import is_invalid, with_whole_log
from bpfas.loader.privilege import Explanation
from bpfas.loader.runtime.programs import Program
from bpfas.loader.sections import SectionFlag

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bpfas.loader.loading.plan import Plan, ProgramPlan
    from bpfas.loader.loading.session import Session
    from bpfas.loader.spec import JumpTable

LOAD_ATTEMPTS = 5
"""How often a program is loaded in all while the kernel says EAGAIN."""
FIRST_LOG_SIZE = 1 << 20
"""Bytes of the first buffer for the verifier's log."""

_AFTER_VERIFICATION = (errno.EMFILE, errno.ENFILE)
"""Why a program that the verifier has taken gets no descriptor."""

_JUMP_TARGET = struct.Struct("=IIII")
"""struct bpf_insn_array_value: the offset in the program as it is loaded, and what the kernel makes of it."""


def load_program(program: ProgramPlan, plan: Plan, map_fds: Mapping[str, int], session: Session) -> Program:
    """The program in the kernel, which the session closes. Raises VerifierError or LoadError."""
    with contextlib.ExitStack() as until_loaded:
        load = _request(program, plan, map_fds, session, until_loaded)
        fd, log = _load(load, program, plan, session)
    loaded = Program(program.spec, fd)
    loaded.log = log
    session.owner.callback(loaded.close)
    return loaded


def _request(
    program: ProgramPlan,
    plan: Plan,
    map_fds: Mapping[str, int],
    session: Session,
    until_loaded: contextlib.ExitStack,
) -> syscall.ProgramLoad:
    """What BPF_PROG_LOAD is asked for; `until_loaded` closes descriptors that the kernel then holds itself."""
    spec = program.spec
    code = Code(program.instructions, plan.image.byte_order)
    for reference in spec.references:
        code.set_imm(reference.instruction, map_fds[reference.map_name])
    for instruction, owner in program.btf_fields:
        code.set_imm(instruction + 1, session.kernel.btf_fd(owner))
    for table in spec.jump_tables:
        fd = _jump_table(table, spec.name, session, until_loaded)
        for index in table.loads:
            code.set_src(index, LoadSource.MAP_VALUE)
            code.set_imm(index, fd)
    attach_btf_id = attach_prog_fd = attach_btf_obj_fd = 0
    target = session.options.target_of(spec)
    if target is not None:
        opened = until_loaded.enter_context(open_target(target))
        attach_prog_fd = opened.fd
        attach_btf_id = opened.function(spec.attach_target, spec.name)
    elif program.attach:
        attach_btf_id = program.attach.type_id
        attach_btf_obj_fd = session.kernel.btf_fd(program.attach.owner)
    has_btf = bool(session.btf_fd)
    return syscall.ProgramLoad(
        spec.kernel_name,
        spec.program_type,
        bytes(code.data),
        spec.license,
        expected_attach_type=spec.expected_attach_type,
        flags=spec.flags | (ProgramFlag.TOKEN_FD if session.token_fd else 0),
        # Kernels before 5.0 load kprobe programs of their own version only.
        kernel_version=spec.kernel_version or session.kernel.version,
        ifindex=spec.ifindex,
        btf_fd=session.btf_fd if spec.func_info or spec.line_info else 0,
        func_info=spec.func_info.tobytes() if has_btf else b"",
        line_info=spec.line_info.tobytes() if has_btf else b"",
        attach_btf_id=attach_btf_id,
        attach_prog_fd=attach_prog_fd,
        attach_btf_obj_fd=attach_btf_obj_fd,
        fd_array=(0, *(session.kernel.btf_fd(owner) for owner in program.fd_array)) if program.fd_array else (),
        token_fd=session.token_fd,
    )


def _jump_table(table: JumpTable, program: str, session: Session, until_loaded: contextlib.ExitStack) -> int:
    """The descriptor of a frozen map of the table's targets."""
    subject = f"jump table {table.name} of program {program}"
    fd = session.attempt(
        Step.CREATE_MAP,
        subject,
        lambda: syscall.map_create(".jumptables", MapType.INSN_ARRAY, 4, _JUMP_TARGET.size, len(table.targets)),
    )
    until_loaded.callback(os.close, fd)

    def fill() -> None:
        for index, target in enumerate(table.targets):
            syscall.map_update_elem(fd, index.to_bytes(4, sys.byteorder), _JUMP_TARGET.pack(target, 0, 0, 0))
        syscall.map_freeze(fd)

    session.attempt(Step.FILL_MAP, subject, fill)
    return fd


def _load(load: syscall.ProgramLoad, program: ProgramPlan, plan: Plan, session: Session) -> tuple[int, str]:
    """The descriptor, and the verifier's log if it was asked for; for it, what fails is tried again."""
    level = session.options.log_level
    log = syscall.LogBuffer(FIRST_LOG_SIZE, level=level) if level else None
    failure, request = OSError(), load
    for request in _requests(load, program, session):
        try:
            return load_with_log(request, log, session) if log else (try_to_load(request, None, session), "")
        except OSError as error:
            failure = error
            if not is_invalid(error):
                break
    log = syscall.LogBuffer(FIRST_LOG_SIZE, level=level or 1)
    with contextlib.suppress(OSError):  # the same again, or that the log does not fit
        return load_with_log(request, log, session)
    spec = program.spec
    subject = f"program {spec.name}"
    if log.text.strip() and failure.errno not in _AFTER_VERIFICATION:
        from bpfas.loader.verifier.report import report_on  # what takes most of its time is the import

        raise VerifierError(subject, failure.errno or 0, log.text, report_on(log.text, program, plan)) from failure
    if failure.errno == errno.EINVAL and (lacking := lacking_type(spec.program_type)):
        raise LoadError(Step.LOAD_PROGRAM, subject, errno.EINVAL, lacking) from failure
    raise session.error(Step.LOAD_PROGRAM, subject, failure, (spec.program_type,)) from failure


def lacking_type(program_type: ProgramType) -> Explanation | None:
    """What there is to say if the kernel takes no program of a type at all."""
    from bpfas.loader.doctor.finding import State
    from bpfas.loader.doctor.program_types import finding_of_type  # only for what fails

    finding = finding_of_type(program_type)
    if finding is None or finding.state is not State.FAILS:
        return None
    name = program_type_name(program_type)
    return Explanation(f"this kernel has no programs of type {name}: {finding.detail}", finding.remedy)


def _requests(load: syscall.ProgramLoad, program: ProgramPlan, session: Session) -> Iterator[syscall.ProgramLoad]:
    """What to ask for, one after the other until the kernel takes it: everything, and what an older one knows."""
    yield load
    kernel, known = session.kernel, load
    if not kernel.has(Feature.PROGRAM_NAMES):
        known = known._replace(name="")
    if known.btf_fd and not kernel.has(Feature.BTF_FUNC):
        known = known._replace(btf_fd=0, func_info=b"", line_info=b"")
    is_optional = SectionFlag.ATTACH_TYPE_OPTIONAL in program.spec.kind.flags
    if is_optional and not kernel.has(Feature.EXPECTED_ATTACH_TYPE):
        known = known._replace(expected_attach_type=NO_ATTACH_TYPE)
    if known != load:
        yield known


def load_with_log(load: syscall.ProgramLoad, log: syscall.LogBuffer, session: Session) -> tuple[int, str]:
    """The descriptor and the whole log."""
    return with_whole_log(lambda: try_to_load(load, log, session), log), log.text


def try_to_load(load: syscall.ProgramLoad, log: syscall.LogBuffer | None, session: Session) -> int:
    """The descriptor of a program, which is loaded again when a signal comes. Raises OSError."""
    attempts_left = LOAD_ATTEMPTS
    while True:
        attempts_left -= 1
        try:
            return session.with_memory(lambda: syscall.prog_load(load, log))
        except OSError as error:
            if error.errno != errno.EAGAIN or not attempts_left:
                raise
