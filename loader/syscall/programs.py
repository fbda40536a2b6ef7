"""Programs: loading, test runs, what the kernel says of them, and binding maps to them.

Layouts: union bpf_attr and struct bpf_prog_info of include/uapi/linux/bpf.h.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from typing import Any, Literal, NamedTuple

from bpfas.loader.syscall.bpf import S32, U32, U64, Command, bpf, buffer, pointer
from bpfas.loader.syscall.objects import get_info

_HOST: Literal["little", "big"] = sys.byteorder


class _ProgLoad(ctypes.Structure):
    _fields_ = [
        ("prog_type", U32),
        ("insn_cnt", U32),
        ("insns", U64),
        ("license", U64),
        ("log_level", U32),
        ("log_size", U32),
        ("log_buf", U64),
        ("kern_version", U32),
        ("prog_flags", U32),
        ("prog_name", ctypes.c_char * 16),
        ("prog_ifindex", U32),
        ("expected_attach_type", U32),
        ("prog_btf_fd", U32),
        ("func_info_rec_size", U32),
        ("func_info", U64),
        ("func_info_cnt", U32),
        ("line_info_rec_size", U32),
        ("line_info", U64),
        ("line_info_cnt", U32),
        ("attach_btf_id", U32),
        ("attach_prog_or_btf_obj_fd", U32),
        ("core_relo_cnt", U32),
        ("fd_array", U64),
        ("core_relos", U64),
        ("core_relo_rec_size", U32),
        ("log_true_size", U32),
        ("prog_token_fd", S32),
        ("fd_array_cnt", U32),
        ("signature", U64),
        ("signature_size", U32),
        ("keyring_id", S32),
    ]


class _ProgTestRun(ctypes.Structure):
    _fields_ = [
        ("prog_fd", U32),
        ("retval", U32),
        ("data_size_in", U32),
        ("data_size_out", U32),
        ("data_in", U64),
        ("data_out", U64),
        ("repeat", U32),
        ("duration", U32),
        ("ctx_size_in", U32),
        ("ctx_size_out", U32),
        ("ctx_in", U64),
        ("ctx_out", U64),
        ("flags", U32),
        ("cpu", U32),
        ("batch_size", U32),
    ]


class _ProgBindMap(ctypes.Structure):
    _fields_ = [("prog_fd", U32), ("map_fd", U32), ("flags", U32)]


class _StreamRead(ctypes.Structure):
    _fields_ = [("stream_buf", U64), ("stream_buf_len", U32), ("stream_id", U32), ("prog_fd", U32)]


class RawProgramInfo(ctypes.Structure):
    """struct bpf_prog_info."""

    _fields_ = [
        ("type", U32),
        ("id", U32),
        ("tag", ctypes.c_uint8 * 8),
        ("jited_prog_len", U32),
        ("xlated_prog_len", U32),
        ("jited_prog_insns", U64),
        ("xlated_prog_insns", U64),
        ("load_time", U64),
        ("created_by_uid", U32),
        ("nr_map_ids", U32),
        ("map_ids", U64),
        ("name", ctypes.c_char * 16),
        ("ifindex", U32),
        ("gpl_compatible", U32),
        ("netns_dev", U64),
        ("netns_ino", U64),
        ("nr_jited_ksyms", U32),
        ("nr_jited_func_lens", U32),
        ("jited_ksyms", U64),
        ("jited_func_lens", U64),
        ("btf_id", U32),
        ("func_info_rec_size", U32),
        ("func_info", U64),
        ("nr_func_info", U32),
        ("nr_line_info", U32),
        ("line_info", U64),
        ("jited_line_info", U64),
        ("nr_jited_line_info", U32),
        ("line_info_rec_size", U32),
        ("jited_line_info_rec_size", U32),
        ("nr_prog_tags", U32),
        ("prog_tags", U64),
        ("run_time_ns", U64),
        ("run_cnt", U64),
        ("recursion_misses", U64),
        ("verified_insns", U32),
    ]


class ProgramInfo(NamedTuple):
    """What the kernel says of a loaded program. Sizes are in bytes.

    `jited_size` is 0 where the program is interpreted or the caller may not know; `verified_instructions` counts
    what the verifier walked through, and is 0 on kernels before 5.16. `load_time` is in nanoseconds since boot.
    """

    id: int
    tag: str
    jited_size: int
    xlated_size: int
    verified_instructions: int
    type: int = 0
    name: str = ""
    btf_id: int = 0
    load_time: int = 0
    created_by_uid: int = 0
    map_count: int = 0
    run_time_ns: int = 0
    run_count: int = 0


class RawTestRun(NamedTuple):
    """What BPF_PROG_TEST_RUN gave back; `duration` is the mean of the runs in nanoseconds."""

    retval: int
    data: bytes
    context: bytes
    duration: int


class OutputTooSmallError(OSError):
    """ENOSPC of a test run: `needed` is the size in bytes of the data that did not fit."""

    def __init__(self, needed: int) -> None:
        super().__init__(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.needed = needed


class LogBuffer:
    """Where the verifier writes its log. At level 2 it says of every instruction what it knows, and more."""

    def __init__(self, size: int, text: str = "", level: int = 1) -> None:
        self.size = size
        self.text = text
        self.level = level


class ProgramLoad(NamedTuple):
    """What BPF_PROG_LOAD is given. `func_info` and `line_info` are the kernel's records, whole.

    `attach_prog_fd` and `attach_btf_obj_fd` exclude each other. `fd_array` holds descriptors that instructions
    name by their index: of maps, and of BTF objects that kfunc calls need, none of these the first. With
    `is_fd_array_counted` the kernel is told how many there are, and all of them belong to the program.
    `signature` (CMS, DER) is verified with the keys of the keyring `keyring_id`.
    """

    name: str
    program_type: int
    instructions: bytes
    license: bytes
    expected_attach_type: int = 0
    flags: int = 0
    kernel_version: int = 0
    ifindex: int = 0
    btf_fd: int = 0
    func_info: bytes = b""
    func_info_record_size: int = 8
    line_info: bytes = b""
    line_info_record_size: int = 16
    attach_btf_id: int = 0
    attach_prog_fd: int = 0
    attach_btf_obj_fd: int = 0
    fd_array: tuple[int, ...] = ()
    token_fd: int = 0
    signature: bytes = b""
    keyring_id: int = 0
    is_fd_array_counted: bool = False


def prog_load(program: ProgramLoad, log: LogBuffer | None = None) -> int:
    """BPF_PROG_LOAD: the descriptor of a new program.

    With `log` the verifier's text is put there, also on failure; ENOSPC then says that the buffer was too small
    for it.
    """
    code, license_buffer = buffer(program.instructions), ctypes.create_string_buffer(program.license)
    functions, lines = buffer(program.func_info), buffer(program.line_info)
    descriptors = buffer(b"".join(fd.to_bytes(4, _HOST) for fd in program.fd_array))
    signature = buffer(program.signature)
    attributes = _ProgLoad(
        prog_type=program.program_type,
        insn_cnt=len(program.instructions) // 8,
        insns=pointer(code),
        license=ctypes.addressof(license_buffer),
        kern_version=program.kernel_version,
        prog_flags=program.flags,
        prog_name=program.name.encode(),
        prog_ifindex=program.ifindex,
        expected_attach_type=program.expected_attach_type,
        prog_btf_fd=program.btf_fd,
        attach_btf_id=program.attach_btf_id,
        attach_prog_or_btf_obj_fd=program.attach_prog_fd or program.attach_btf_obj_fd,
        fd_array=pointer(descriptors),
        prog_token_fd=program.token_fd,
        fd_array_cnt=len(program.fd_array) if program.is_fd_array_counted else 0,
        signature=pointer(signature),
        signature_size=len(program.signature),
        keyring_id=program.keyring_id,
    )
    if program.func_info:
        attributes.func_info = pointer(functions)
        attributes.func_info_rec_size = program.func_info_record_size
        attributes.func_info_cnt = len(program.func_info) // program.func_info_record_size
    if program.line_info:
        attributes.line_info = pointer(lines)
        attributes.line_info_rec_size = program.line_info_record_size
        attributes.line_info_cnt = len(program.line_info) // program.line_info_record_size
    if log is None:
        return bpf(Command.PROG_LOAD, attributes)
    log_buffer = ctypes.create_string_buffer(log.size)
    attributes.log_level, attributes.log_size = log.level, log.size
    attributes.log_buf = ctypes.addressof(log_buffer)
    try:
        return bpf(Command.PROG_LOAD, attributes)
    finally:
        log.text = log_buffer.value.decode(errors="replace")


def prog_test_run(
    prog_fd: int,
    data: bytes,
    data_size_out: int,
    context: bytes,
    context_size_out: int,
    repeat: int,
    *,
    flags: int = 0,
    cpu: int = 0,
    batch_size: int = 0,
) -> RawTestRun:
    """BPF_PROG_TEST_RUN. Sizes of 0 stand for no buffer at all.

    Without `context_size_out` the context in the result is the one given, as the program has changed it. Raises
    OutputTooSmallError if the data that comes out is longer than `data_size_out`.
    """
    data_in, data_out = (
        buffer(data),
        ctypes.create_string_buffer(data_size_out) if data_size_out else buffer(b""),
    )
    ctx_in = buffer(context)
    ctx_out = ctypes.create_string_buffer(context_size_out) if context_size_out else buffer(b"")
    attributes = _ProgTestRun(
        prog_fd=prog_fd,
        data_size_in=len(data),
        data_in=pointer(data_in),
        data_size_out=data_size_out,
        data_out=pointer(data_out),
        ctx_size_in=len(context),
        ctx_in=pointer(ctx_in),
        ctx_size_out=context_size_out,
        ctx_out=pointer(ctx_out),
        repeat=repeat,
        flags=flags,
        cpu=cpu,
        batch_size=batch_size,
    )
    try:
        bpf(Command.PROG_TEST_RUN, attributes)
    except OSError as error:
        if error.errno == errno.ENOSPC and attributes.data_size_out > data_size_out:
            raise OutputTooSmallError(attributes.data_size_out) from error
        raise
    context_after = ctx_out.raw[: attributes.ctx_size_out] if context_size_out else ctx_in.raw
    return RawTestRun(
        attributes.retval, data_out.raw[: attributes.data_size_out], context_after, attributes.duration
    )


def prog_info(prog_fd: int) -> ProgramInfo:
    """BPF_OBJ_GET_INFO_BY_FD of a program."""
    info: Any = get_info(prog_fd, RawProgramInfo())
    return ProgramInfo(
        info.id,
        bytes(info.tag).hex(),
        info.jited_prog_len,
        info.xlated_prog_len,
        info.verified_insns,
        info.type,
        info.name.decode(errors="replace"),
        info.btf_id,
        info.load_time,
        info.created_by_uid,
        info.nr_map_ids,
        info.run_time_ns,
        info.run_cnt,
    )


def prog_map_ids(prog_fd: int) -> list[int]:
    """The ids of the maps that a program uses."""
    counted: Any = get_info(prog_fd, RawProgramInfo())
    ids = (U32 * counted.nr_map_ids)()
    get_info(prog_fd, RawProgramInfo(nr_map_ids=len(ids), map_ids=ctypes.addressof(ids)))
    return list(ids)


def prog_xlated(prog_fd: int) -> bytes:
    """A program's instructions as the kernel has them after verification; empty if the caller may not know."""
    sized: Any = get_info(prog_fd, RawProgramInfo())
    code = ctypes.create_string_buffer(sized.xlated_prog_len)
    info: Any = get_info(
        prog_fd, RawProgramInfo(xlated_prog_len=len(code), xlated_prog_insns=ctypes.addressof(code))
    )
    return code.raw if info.xlated_prog_insns else b""


def prog_bind_map(prog_fd: int, map_fd: int) -> None:
    """BPF_PROG_BIND_MAP: the map lives as long as the program."""
    bpf(Command.PROG_BIND_MAP, _ProgBindMap(prog_fd=prog_fd, map_fd=map_fd))


def prog_stream_read(prog_fd: int, stream_id: int, size: int) -> bytes:
    """BPF_PROG_STREAM_READ_BY_FD: up to `size` bytes of what a program has printed to stdout (1) or stderr (2)."""
    memory = ctypes.create_string_buffer(size)
    attributes = _StreamRead(
        stream_buf=ctypes.addressof(memory), stream_buf_len=size, stream_id=stream_id, prog_fd=prog_fd
    )
    length = bpf(Command.PROG_STREAM_READ_BY_FD, attributes)
    return memory.raw[:length]
