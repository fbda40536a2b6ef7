"""Attaching: links, and the older commands that attach without one.

Layouts: union bpf_attr and struct bpf_link_info of include/uapi/linux/bpf.h.
"""

from __future__ import annotations

import ctypes
import errno
import itertools
import os
from typing import Any, NamedTuple

from bpfas.loader.syscall.bpf import U32, U64, Command, bpf, buffer, pointer
from bpfas.loader.syscall.objects import get_info

_OPTIONS_SIZE = 48


class _LinkCreate(ctypes.Structure):
    _fields_ = [
        ("prog_fd", U32),
        ("target_fd", U32),
        ("attach_type", U32),
        ("flags", U32),
        ("options", ctypes.c_uint8 * _OPTIONS_SIZE),
    ]


class _LinkUpdate(ctypes.Structure):
    _fields_ = [("link_fd", U32), ("new_fd", U32), ("flags", U32), ("old_fd", U32)]


class _LinkDetach(ctypes.Structure):
    _fields_ = [("link_fd", U32)]


class _IterCreate(ctypes.Structure):
    _fields_ = [("link_fd", U32), ("flags", U32)]


class _ProgAttach(ctypes.Structure):
    _fields_ = [
        ("target_fd", U32),
        ("attach_bpf_fd", U32),
        ("attach_type", U32),
        ("attach_flags", U32),
        ("replace_bpf_fd", U32),
        ("relative_fd", U32),
        ("expected_revision", U64),
    ]


class _ProgQuery(ctypes.Structure):
    _fields_ = [
        ("target_fd", U32),
        ("attach_type", U32),
        ("query_flags", U32),
        ("attach_flags", U32),
        ("prog_ids", U64),
        ("prog_cnt", U32),
        ("_pad", U32),
        ("prog_attach_flags", U64),
        ("link_ids", U64),
        ("link_attach_flags", U64),
        ("revision", U64),
    ]


class _RawTracepointOpen(ctypes.Structure):
    _fields_ = [("name", U64), ("prog_fd", U32), ("_pad", U32), ("cookie", U64)]


class _LinkInfo(ctypes.Structure):
    _fields_ = [("type", U32), ("id", U32), ("prog_id", U32), ("_pad", U32), ("rest", ctypes.c_uint8 * 64)]


class LinkInfo(NamedTuple):
    """What the kernel says of a link; `rest` is the part of struct bpf_link_info that depends on the type."""

    type: int
    id: int
    prog_id: int
    rest: bytes


def link_create(fd: int, target: int, attach_type: int, flags: int = 0, options: bytes = b"") -> int:
    """BPF_LINK_CREATE: the descriptor of a new link from a program (or a STRUCT_OPS map) to a target.

    `target` is a descriptor or an interface's index; `options` is the part of union bpf_attr behind the flags,
    from offset 16 on.
    """
    attributes = _LinkCreate(prog_fd=fd, target_fd=target, attach_type=attach_type, flags=flags)
    ctypes.memmove(attributes.options, options, len(options))
    return bpf(Command.LINK_CREATE, attributes)


def link_update(link_fd: int, new_fd: int, old_fd: int = 0, flags: int = 0) -> None:
    """BPF_LINK_UPDATE: another program (or STRUCT_OPS map) takes the place of the link's."""
    bpf(Command.LINK_UPDATE, _LinkUpdate(link_fd=link_fd, new_fd=new_fd, flags=flags, old_fd=old_fd))


def link_detach(link_fd: int) -> None:
    """BPF_LINK_DETACH: the link stays, but leads nowhere."""
    bpf(Command.LINK_DETACH, _LinkDetach(link_fd=link_fd))


def link_info(link_fd: int) -> LinkInfo:
    """BPF_OBJ_GET_INFO_BY_FD of a link."""
    info: Any = get_info(link_fd, _LinkInfo())
    return LinkInfo(info.type, info.id, info.prog_id, bytes(info.rest))


def iter_create(link_fd: int) -> int:
    """BPF_ITER_CREATE: a descriptor to read the output of an iterator from, once."""
    return bpf(Command.ITER_CREATE, _IterCreate(link_fd=link_fd))


def raw_tracepoint_open(prog_fd: int, name: str | None, cookie: int = 0) -> int:
    """BPF_RAW_TRACEPOINT_OPEN: a link to a tracepoint, or to what the program was loaded for if `name` is None."""
    text = buffer(b"" if name is None else os.fsencode(name) + b"\0")
    attributes = _RawTracepointOpen(name=pointer(text), prog_fd=prog_fd, cookie=cookie)
    return bpf(Command.RAW_TRACEPOINT_OPEN, attributes)


def prog_attach(
    target: int,
    prog_fd: int,
    attach_type: int,
    flags: int = 0,
    replaced_fd: int = 0,
    relative: int = 0,
    expected_revision: int = 0,
) -> None:
    """BPF_PROG_ATTACH: attach without a link to a cgroup, map, network namespace (descriptors) or interface.

    `relative` is a program's descriptor, or what the flags say it is.
    """
    attributes = _ProgAttach(
        target_fd=target,
        attach_bpf_fd=prog_fd,
        attach_type=attach_type,
        attach_flags=flags,
        replace_bpf_fd=replaced_fd,
        relative_fd=relative,
        expected_revision=expected_revision,
    )
    bpf(Command.PROG_ATTACH, attributes)


def prog_detach(target: int, prog_fd: int, attach_type: int) -> None:
    """BPF_PROG_DETACH: undo prog_attach."""
    attributes = _ProgAttach(target_fd=target, attach_bpf_fd=prog_fd, attach_type=attach_type)
    bpf(Command.PROG_DETACH, attributes)


class AttachedProgram(NamedTuple):
    """A program that is attached to a target; `link_id` is 0 where no link holds it or the kernel does not say."""

    program_id: int
    link_id: int = 0


class AttachedPrograms(NamedTuple):
    """What BPF_PROG_QUERY says of a target: its programs in the order of their runs.

    `flags` are those of the first cgroup program, `revision` counts the changes (0 where nothing counts them).
    """

    programs: list[AttachedProgram]
    flags: int
    revision: int


def prog_query(target: int, attach_type: int, flags: int = 0, *, wants_links: bool = False) -> AttachedPrograms:
    """BPF_PROG_QUERY: the programs that are attached to a target.

    `wants_links` asks for the ids of their links as well, which the kernel knows of tcx and netkit (since 6.6).
    """
    capacity = 64
    while True:
        program_ids, link_ids = (U32 * capacity)(), (U32 * capacity)()
        attributes = _ProgQuery(
            target_fd=target,
            attach_type=attach_type,
            query_flags=flags,
            prog_ids=ctypes.addressof(program_ids),
            prog_cnt=capacity,
            link_ids=ctypes.addressof(link_ids) if wants_links else 0,
        )
        try:
            bpf(Command.PROG_QUERY, attributes)
        except OSError as error:
            if error.errno != errno.ENOSPC or attributes.prog_cnt <= capacity:
                raise
            capacity = attributes.prog_cnt
            continue
        found = itertools.islice(zip(program_ids, link_ids, strict=True), attributes.prog_cnt)
        programs = [AttachedProgram(*one) for one in found]
        return AttachedPrograms(programs, attributes.attach_flags, attributes.revision)
