"""Objects loaded by libbpf.so.1, called in this process.

Debian 12 has libbpf 1.1. Section names that are newer than that are unknown to it; SECTIONS says, in a second
table typed by hand, what it is to make of their programs.
"""

from __future__ import annotations

import ctypes
import functools
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from bpfas.loader.errors import errno_name
from tests.loader.proof.facts import Facts, facts

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from pathlib import Path

LIBRARY = "libbpf.so.1"
SLEEPABLE = 16

Pointer = ctypes.c_void_p
PRINT = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)


@dataclass(frozen=True, slots=True)
class Kind:
    """Numbers of include/uapi/linux/bpf.h, and whether the rest of the section's name is a target in BTF."""

    program_type: int
    attach_type: int
    flags: int = 0
    has_target: bool = False


KPROBE, SCHED_CLS, TRACEPOINT, SK_SKB, RAW_TRACEPOINT, SOCK_ADDR, TRACING, NETFILTER = 2, 3, 5, 14, 17, 18, 26, 32

SECTIONS = {
    "uprobe.multi": Kind(KPROBE, 48),
    "uretprobe.multi": Kind(KPROBE, 48),
    "uprobe.multi.s": Kind(KPROBE, 48, SLEEPABLE),
    "uretprobe.multi.s": Kind(KPROBE, 48, SLEEPABLE),
    "kprobe.session": Kind(KPROBE, 56),
    "uprobe.session": Kind(KPROBE, 57),
    "uprobe.session.s": Kind(KPROBE, 57, SLEEPABLE),
    "usdt.s": Kind(KPROBE, 0, SLEEPABLE),
    "tc/ingress": Kind(SCHED_CLS, 46),
    "tcx/ingress": Kind(SCHED_CLS, 46),
    "tc/egress": Kind(SCHED_CLS, 47),
    "tcx/egress": Kind(SCHED_CLS, 47),
    "netkit/primary": Kind(SCHED_CLS, 54),
    "netkit/peer": Kind(SCHED_CLS, 55),
    "sk_skb/verdict": Kind(SK_SKB, 38),
    "tracepoint.s": Kind(TRACEPOINT, 0, SLEEPABLE),
    "tp.s": Kind(TRACEPOINT, 0, SLEEPABLE),
    "raw_tracepoint.s": Kind(RAW_TRACEPOINT, 0, SLEEPABLE),
    "raw_tp.s": Kind(RAW_TRACEPOINT, 0, SLEEPABLE),
    "tp_btf.s": Kind(TRACING, 23, SLEEPABLE, has_target=True),
    "fsession": Kind(TRACING, 58, has_target=True),
    "fsession.s": Kind(TRACING, 58, SLEEPABLE, has_target=True),
    "fentry.multi": Kind(TRACING, 59),
    "fexit.multi": Kind(TRACING, 60),
    "fsession.multi": Kind(TRACING, 61),
    "fentry.multi.s": Kind(TRACING, 59, SLEEPABLE),
    "fexit.multi.s": Kind(TRACING, 60, SLEEPABLE),
    "fsession.multi.s": Kind(TRACING, 61, SLEEPABLE),
    "cgroup/connect_unix": Kind(SOCK_ADDR, 49),
    "cgroup/sendmsg_unix": Kind(SOCK_ADDR, 50),
    "cgroup/recvmsg_unix": Kind(SOCK_ADDR, 51),
    "cgroup/getpeername_unix": Kind(SOCK_ADDR, 52),
    "cgroup/getsockname_unix": Kind(SOCK_ADDR, 53),
    "netfilter": Kind(NETFILTER, 45),
}
"""Section names that libbpf 1.1 does not know, without what follows them."""


class OpenOptions(ctypes.Structure):
    """struct bpf_object_open_opts of libbpf 1.1."""

    _fields_ = [
        ("sz", ctypes.c_size_t),
        ("object_name", ctypes.c_char_p),
        ("relaxed_maps", ctypes.c_bool),
        ("pin_root_path", ctypes.c_char_p),
        ("unused", ctypes.c_uint32),
        ("kconfig", ctypes.c_char_p),
        ("btf_custom_path", ctypes.c_char_p),
        ("kernel_log_buf", ctypes.c_char_p),
        ("kernel_log_size", ctypes.c_size_t),
        ("kernel_log_level", ctypes.c_uint32),
    ]


@functools.cache
def library() -> ctypes.CDLL:
    """libbpf with the types of what is called; skips the running test where it is not installed."""
    try:
        libbpf = ctypes.CDLL(LIBRARY, use_errno=True)
    except OSError:
        pytest.skip(f"{LIBRARY} is not installed")
    for name in ("bpf_object__open_file", "bpf_object__next_program", "bpf_object__next_map"):
        getattr(libbpf, name).restype = Pointer
    for name in ("bpf_program__name", "bpf_program__section_name", "bpf_map__name"):
        getattr(libbpf, name).restype = ctypes.c_char_p
    return libbpf


def each(following: Callable[[Pointer, Pointer], int | None], obj: Pointer) -> list[Pointer]:
    """All programs or maps of an object."""
    found = []
    current = Pointer(following(obj, Pointer()))
    while current.value:
        found.append(current)
        current = Pointer(following(obj, current))
    return found


def load(
    path: Path, wanted: Collection[str], kconfig: str = "", targets: Mapping[str, int] | None = None
) -> Facts:
    """What the kernel has when libbpf loads these programs of an object.

    `targets` are the descriptors of programs whose functions programs of the section freplace replace.
    """
    libbpf, said = library(), []

    def listen(level: int, template: bytes, arguments: int) -> int:
        text = ctypes.create_string_buffer(1 << 16)
        ctypes.CDLL(None).vsnprintf(text, len(text), template, Pointer(arguments))
        if level == 0:
            said.append(text.value.decode(errors="replace"))
        return 0

    listener = PRINT(listen)
    libbpf.libbpf_set_print(listener)
    options = OpenOptions(sz=ctypes.sizeof(OpenOptions), kconfig=kconfig.encode() or None)
    obj = Pointer(libbpf.bpf_object__open_file(os.fsencode(path), ctypes.byref(options)))
    if not obj.value:
        return Facts(refusal=f"open: {errno_name(ctypes.get_errno())}\n{''.join(said)}")
    try:
        programs = {libbpf.bpf_program__name(each).decode(): each for each in each_program(libbpf, obj)}
        for name, program in programs.items():
            libbpf.bpf_program__set_autoload(program, name in wanted)
            if name in wanted:
                tell_kind(libbpf, program, (targets or {}).get(name, 0))
        if error := libbpf.bpf_object__load(obj):
            return Facts(refusal=f"load: {errno_name(-error)}\n{''.join(said)}")
        maps = [libbpf.bpf_map__fd(each) for each in each_map(libbpf, obj)]
        return facts(
            {name: libbpf.bpf_program__fd(programs[name]) for name in wanted}, [fd for fd in maps if fd >= 0]
        )
    finally:
        libbpf.bpf_object__close(obj)
        libbpf.libbpf_set_print(None)


def tell_kind(libbpf: ctypes.CDLL, program: Pointer, target_fd: int) -> None:
    """Say what a program is, where libbpf does not know its section's name or what it attaches to."""
    section = libbpf.bpf_program__section_name(program).decode().removeprefix("?")
    stem, _, target = section.partition("/")
    kind = SECTIONS.get(section) or SECTIONS.get(stem)
    if kind:
        libbpf.bpf_program__set_type(program, kind.program_type)
        libbpf.bpf_program__set_expected_attach_type(program, kind.attach_type)
        libbpf.bpf_program__set_flags(program, kind.flags)
    name = target.removeprefix("vmlinux:")
    if target_fd or name != target or (kind and kind.has_target):
        # Where there is no such target, loading fails as it does for names that it knows.
        libbpf.bpf_program__set_attach_target(program, target_fd, name.encode())


def each_program(libbpf: ctypes.CDLL, obj: Pointer) -> list[Pointer]:
    """The programs of an object."""
    return each(libbpf.bpf_object__next_program, obj)


def each_map(libbpf: ctypes.CDLL, obj: Pointer) -> list[Pointer]:
    """The maps of an object."""
    return each(libbpf.bpf_object__next_map, obj)
