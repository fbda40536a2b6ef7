"""The three calls of bpf(2) that a loader program takes: its data becomes a map, it is loaded, it is run.

What it is told, and what becomes of its descriptors, is `bpfas.loader.gen.running.runner`'s part. Source:
BPF_PROG_RUN of bpf(2); the kernel's document bpf_prog_run.rst.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import mmap
import os
import sys
from typing import TYPE_CHECKING

from bpfas.loader import syscall
from bpfas.loader.errors import LoadError, Step
from bpfas.loader.gen.loader_program import LICENSE, LOG_ADDRESS, LOG_LEVEL, LOG_SIZE, SIZE
from bpfas.loader.kinds import NO_MAP_FLAGS, MapFlag, MapType, ProgramFlag, ProgramType
from bpfas.loader.loading.program_loading import FIRST_LOG_SIZE, lacking_type, load_with_log, try_to_load
from bpfas.loader.privilege import Explanation, explain_eperm, missing_capabilities, read_situation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfas.loader.gen.loader_program import ContextField, LoaderProgram
    from bpfas.loader.loading.session import Session

SUBJECT = "the loader program"
"""What messages call it."""

_MAP_NAME, _PROGRAM_NAME = "__loader.map", "__loader.prog"
_KEY_SIZE = 4
_FIRST_KEY = bytes(_KEY_SIZE)
_STANDARD_STREAMS = 3
_OWN_TYPE = (ProgramType.SYSCALL,)
_ADDRESS_SIZE = 8


class ContextMemory:
    """The context as it is filled before a run, and what it points to."""

    def __init__(self, size: int) -> None:
        self._bytes = bytearray(size)
        self._pointed_to: list[ctypes.Array[ctypes.c_char]] = []
        self.put_field(SIZE, size)

    def put(self, offset: int, size: int, value: int) -> None:
        """Set a number of `size` bytes."""
        self._bytes[offset : offset + size] = value.to_bytes(size, sys.byteorder)

    def put_field(self, field: ContextField, value: int) -> None:
        """Set a number of the header."""
        self.put(field.offset, field.size, value)

    def put_address(self, offset: int, data: bytes) -> None:
        """Set the address of a copy of `data`, which lives as long as this object."""
        memory = ctypes.create_string_buffer(data, max(len(data), 1))
        self._pointed_to.append(memory)
        self.put(offset, _ADDRESS_SIZE, ctypes.addressof(memory))

    def __bytes__(self) -> bytes:
        return bytes(self._bytes)


def invoke(
    program: LoaderProgram,
    context: ContextMemory,
    session: Session,
    log: syscall.LogBuffer | None = None,
    keyring: int | None = None,
) -> tuple[int, bytes]:
    """Run a loader program: what it returns, and the context as it has left it.

    The kernel verifies its signature with the keys of `keyring`, by the keyring's id; not at all if that is None.
    Descriptors that the kernel gives it are never those of the standard streams. With `log` what the kernel says
    while it runs is put there. Raises LoadError if it cannot be run.
    """
    with contextlib.ExitStack() as until_done:
        until_done.enter_context(_standard_streams())
        map_fd = _create_data(program, session, until_done)
        program_fd = _load(program, map_fd, session, keyring)
        until_done.callback(os.close, program_fd)
        memory = ctypes.create_string_buffer(log.size) if log else None
        if log and memory:
            context.put_field(LOG_LEVEL, log.level)
            context.put_field(LOG_SIZE, log.size)
            context.put_field(LOG_ADDRESS, ctypes.addressof(memory))
        try:
            run = syscall.prog_test_run(program_fd, b"", 0, bytes(context), 0, 0)
        except OSError as error:
            raise session.error(Step.RUN_PROGRAM, SUBJECT, error, _OWN_TYPE) from error
        if log and memory:
            log.text = memory.value.decode(errors="replace")
        return ctypes.c_int32(run.retval).value, run.context


@contextlib.contextmanager
def _standard_streams() -> Iterator[None]:
    """Keep the numbers of standard streams that are closed occupied: descriptor 0 would be taken for none."""
    opened: list[int] = []
    try:
        for stream in range(_STANDARD_STREAMS):
            try:
                os.fstat(stream)
            except OSError:
                opened.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
        yield
    finally:
        for fd in opened:
            os.close(fd)


def _create_data(program: LoaderProgram, session: Session, until_done: contextlib.ExitStack) -> int:
    """The descriptor of the map with the data."""
    data, subject = program.data, f"map {_MAP_NAME}"
    if program.scheme is None:
        # Mapped memory takes no call of bpf(2) to be filled. The kernel does not freeze what may be written so.
        flags, exclusive_hash = MapFlag.MMAPABLE, b""
    else:
        from bpfas.loader.gen.running import signed_loading  # what few programs need

        flags, exclusive_hash = NO_MAP_FLAGS, signed_loading.exclusive_hash(program)
    try:
        fd = session.attempt(
            Step.CREATE_MAP,
            subject,
            lambda: syscall.map_create(
                _MAP_NAME,
                MapType.ARRAY,
                _KEY_SIZE,
                len(data),
                1,
                flags | (MapFlag.TOKEN_FD if session.token_fd else 0),
                token_fd=session.token_fd,
                exclusive_hash=exclusive_hash,
            ),
        )
    except LoadError as error:
        if exclusive_hash and error.errno in signed_loading.UNKNOWN_FIELD:
            raise LoadError(Step.CREATE_MAP, subject, error.errno, signed_loading.NO_EXCLUSIVE_MAPS) from error
        raise
    until_done.callback(os.close, fd)
    if program.scheme is not None or not _copied(data, fd):
        session.attempt(Step.FILL_MAP, subject, lambda: syscall.map_update_elem(fd, _FIRST_KEY, data))
    if program.scheme is not None:
        session.attempt(Step.FREEZE_MAP, subject, lambda: signed_loading.seal(program, fd))
    return fd


def _copied(data: bytes, map_fd: int) -> bool:
    """Copy `data` into the memory of a map; whether that could be done."""
    try:
        with mmap.mmap(map_fd, len(data), mmap.MAP_SHARED, mmap.PROT_WRITE) as memory:
            memory[:] = data
    except OSError:
        return False
    return True


def _load(program: LoaderProgram, map_fd: int, session: Session, keyring: int | None) -> int:
    """The descriptor of the program of type SYSCALL."""
    load = syscall.ProgramLoad(
        _PROGRAM_NAME,
        ProgramType.SYSCALL,
        program.instructions,
        LICENSE.encode(),
        flags=ProgramFlag.SLEEPABLE | (ProgramFlag.TOKEN_FD if session.token_fd else 0),
        fd_array=(map_fd,),
        token_fd=session.token_fd,
    )
    if program.scheme is not None and keyring is not None:
        from bpfas.loader.gen.running.signed_loading import with_signature

        load = with_signature(load, program, keyring)
    log = syscall.LogBuffer(FIRST_LOG_SIZE)
    try:
        return try_to_load(load, None, session)
    except OSError as error:
        with contextlib.suppress(OSError):  # the same again
            return load_with_log(load, log, session)[0]
        number = error.errno or 0
        explanation = None
        if program.scheme is not None:
            from bpfas.loader.gen.running.signed_loading import explain_refusal

            explanation = explain_refusal(program, keyring, number, log.text)
        if explanation is None and not session.token_fd:
            explanation = _lacking_capability()
        if explanation is None and number == errno.EINVAL:
            explanation = lacking_type(ProgramType.SYSCALL)
        if explanation is None:
            found = session.error(Step.LOAD_PROGRAM, SUBJECT, error, _OWN_TYPE)
            explanation = Explanation(found.cause, found.remedy)
        raise LoadError(Step.LOAD_PROGRAM, SUBJECT, number, explanation, log.text) from error


def _lacking_capability() -> Explanation | None:
    """What there is to say if the process lacks a capability: loader programs take those of tracing programs."""
    situation, types = read_situation(), (ProgramType.TRACING,)
    return explain_eperm(situation, types) if missing_capabilities(situation, types) else None
