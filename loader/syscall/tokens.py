"""Tokens: the right to some of bpf(2)'s commands, taken from a BPF file system that delegates it.

Layout: union bpf_attr of include/uapi/linux/bpf.h.
"""

from __future__ import annotations

import ctypes

from bpfas.loader.syscall.bpf import U32, Command, bpf


class _TokenCreate(ctypes.Structure):
    _fields_ = [("flags", U32), ("bpffs_fd", U32)]


def token_create(bpffs_fd: int) -> int:
    """BPF_TOKEN_CREATE: the descriptor of a token of the BPF file system that `bpffs_fd` is a directory of."""
    return bpf(Command.TOKEN_CREATE, _TokenCreate(bpffs_fd=bpffs_fd))
