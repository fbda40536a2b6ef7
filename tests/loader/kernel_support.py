"""What tests need of a kernel, found out by trying, without the loader's own probes; a test says so by `needs`.

    @needs(Need.TRAMPOLINES, kfunc("bpf_throw"))
    def test_…

A test is skipped where the kernel lacks something, and the reason says what. Each is tried once in a process, when
a test asks for it.
"""

from __future__ import annotations

import errno
import functools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bpfas.loader import syscall
from bpfas.loader.errors import errno_name
from bpfas.loader.kinds import AttachType, MapFlag, MapType, ProgramType
from bpfas.loader.syscall import ProgramLoad

if TYPE_CHECKING:
    from collections.abc import Callable

VMLINUX_BTF = Path("/sys/kernel/btf/vmlinux")
LOOPBACK = 1
RETURN_0 = bytes.fromhex("b700000000000000 9500000000000000")
RETURN_NEXT = bytes.fromhex("b7000000ffffffff 9500000000000000")
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Requirement:
    """Something that a kernel has or lacks; `problem` tries it and says what is wrong, nothing if it is there."""

    words: str
    problem: Callable[[], str]


def needs(*requirements: Requirement) -> pytest.MarkDecorator:
    """The mark of tests that need all of these; tests/conftest.py looks at it."""
    return pytest.mark.needs(*requirements)


def require(*requirements: Requirement) -> None:
    """Skip the running test unless the kernel has all of these."""
    for requirement in requirements:
        if problem := what_is_wrong(requirement):
            pytest.skip(problem)


@functools.cache
def what_is_wrong(requirement: Requirement) -> str:
    """Why the kernel lacks something, for people; empty if it does not."""
    problem = requirement.problem()
    return f"kernel {os.uname().release} has no {requirement.words}: {problem}" if problem else ""


def kfunc(name: str) -> Requirement:
    """A function that the kernel has in its BTF, for programs to call or to attach to."""
    return in_btf(f"function {name}", name)


def kernel_type(name: str) -> Requirement:
    """A type, or a member or enumerator of one, that the kernel has in its BTF."""
    return in_btf(f"type {name}", name)


def map_type(kind: MapType) -> Requirement:
    """A type of map: made, or looked for by its name if it takes types or another map to make one."""
    if kind in NOT_MADE_ALONE:
        return in_btf(f"maps of the type {kind.name}", f"BPF_MAP_TYPE_{kind.name}")
    return Requirement(f"maps of the type {kind.name}", functools.partial(tries_map, kind))


def program_type(kind: ProgramType, attach_type: int = 0, flags: int = 0) -> Requirement:
    """A type of program that needs no BTF to attach to."""
    words = f"programs of the type {kind.name} with the attach type {attach_type}"
    if flags:
        words += f" and the flags {flags:#x}"
    return Requirement(words, functools.partial(tries_program, kind, attach_type, flags))


def module(name: str, function: str) -> Requirement:
    """A part of the kernel with that function, which is built in, or a module that is loaded now."""
    return Requirement(f"module {name}", functools.partial(tries_module, name, function))


def file(path: str, words: str) -> Requirement:
    """A file of the kernel's, in proc or sysfs."""
    return Requirement(words, lambda: "" if Path(path).exists() else f"there is no {path}")


def listed(name: str) -> Requirement:
    """A symbol in kallsyms; not all kernels list their variables."""

    def problem() -> str:
        with Path("/proc/kallsyms").open() as symbols:
            found = any(line.split()[2] == name for line in symbols)
        return "" if found else "/proc/kallsyms does not list it"

    return Requirement(f"symbol {name}", problem)


@functools.cache
def vmlinux_btf() -> bytes:
    """The kernel's types as they are; nothing for a kernel without."""
    return VMLINUX_BTF.read_bytes() if VMLINUX_BTF.exists() else b""


def in_btf(words: str, name: str) -> Requirement:
    """Something that stands in the kernel's BTF by this name when it is compiled in."""

    def problem() -> str:
        return "" if b"\0" + name.encode() + b"\0" in vmlinux_btf() else f"{VMLINUX_BTF} has no {name}"

    return Requirement(words, problem)


MAP_SHAPES: dict[MapType, tuple[int, int, int, int]] = {
    MapType.RINGBUF: (0, 0, PAGE, 0),
    MapType.USER_RINGBUF: (0, 0, PAGE, 0),
    MapType.ARENA: (0, 0, 1, MapFlag.MMAPABLE),
    MapType.QUEUE: (0, 4, 1, 0),
    MapType.STACK: (0, 4, 1, 0),
    MapType.BLOOM_FILTER: (0, 4, 1, 0),
    MapType.LPM_TRIE: (8, 4, 1, MapFlag.NO_PREALLOC),
    MapType.STACK_TRACE: (4, 8, 1, 0),
    MapType.CGROUP_STORAGE: (8, 4, 0, 0),
    MapType.PERCPU_CGROUP_STORAGE: (8, 4, 0, 0),
    MapType.INSN_ARRAY: (4, 16, 1, 0),
}
"""Key size, value size, entries and flags of the smallest map, of those that are not like an array's."""

NOT_MADE_ALONE = {
    MapType.ARRAY_OF_MAPS,
    MapType.HASH_OF_MAPS,
    MapType.STRUCT_OPS,
    MapType.SK_STORAGE,
    MapType.INODE_STORAGE,
    MapType.TASK_STORAGE,
    MapType.CGRP_STORAGE,
}


def tries_map(kind: MapType) -> str:
    """Makes the smallest map of a type."""
    key_size, value_size, entries, flags = MAP_SHAPES.get(kind, (4, 4, 1, 0))
    try:
        os.close(syscall.map_create("probe", kind, key_size, value_size, entries, flags))
    except OSError as error:
        return f"making one gives {errno_name(error.errno or 0)}"
    return ""


def tries_program(kind: ProgramType, attach_type: int, flags: int) -> str:
    """Loads a program that does nothing."""
    try:
        os.close(load_program(kind, attach_type, flags=flags))
    except OSError as error:
        return f"loading one gives {errno_name(error.errno or 0)}"
    return ""


def load_program(kind: ProgramType, attach_type: int, code: bytes = RETURN_0, flags: int = 0) -> int:
    """The descriptor of a program that does nothing."""
    program = ProgramLoad("probe", kind, code, b"GPL", expected_attach_type=attach_type, flags=flags)
    return syscall.prog_load(program)


def tries_trampoline() -> str:
    """Loads a program for a type that is no function, which is EINVAL where such programs are allowed at all."""
    program = ProgramLoad(
        "probe",
        ProgramType.TRACING,
        RETURN_0,
        b"GPL",
        expected_attach_type=AttachType.TRACE_FENTRY,
        attach_btf_id=1,
    )
    try:
        os.close(syscall.prog_load(program))
    except OSError as error:
        return "" if error.errno == errno.EINVAL else f"loading one gives {errno_name(error.errno or 0)}"
    return ""


def tries_tcx() -> str:
    """Attaches a program that lets packets pass to the loopback interface."""
    program = load_program(ProgramType.SCHED_CLS, 0, RETURN_NEXT)
    try:
        os.close(syscall.link_create(program, LOOPBACK, AttachType.TCX_INGRESS))
    except OSError as error:
        return f"attaching gives {errno_name(error.errno or 0)}"
    finally:
        os.close(program)
    return ""


def tries_bpf_lsm() -> str:
    """Looks whether security hooks ask programs."""
    if problem := tries_trampoline():
        return problem
    active = Path("/sys/kernel/security/lsm")
    if not active.exists():
        return f"there is no {active}"
    modules = active.read_text().split(",")
    return "" if "bpf" in modules else f"the active security modules are {','.join(modules)}"


def tries_module(name: str, function: str) -> str:
    """Looks for the function in the kernel itself, then loads the module."""
    if b"\0" + function.encode() + b"\0" in vmlinux_btf() or Path(f"/sys/module/{name}").exists():
        return ""
    if os.system(f"modprobe -q {name} 2>/dev/null"):  # noqa: S605
        return f"{function} is not in {VMLINUX_BTF}, and modprobe {name} fails"
    return ""


def tries_file_system(name: str) -> str:
    """Looks whether a file system can be mounted."""
    return "" if name in Path("/proc/filesystems").read_text().split() else "/proc/filesystems does not list it"


def tries_module_btf() -> str:
    """Looks for a module with BTF."""
    names = [path.name for path in VMLINUX_BTF.parent.glob("*") if path.name != "vmlinux"]
    return "" if names else f"{VMLINUX_BTF.parent} lists no module"


class Need:
    """What several files of tests need."""

    BTF = file(str(VMLINUX_BTF), "BTF")
    MODULE_BTF = Requirement("module with BTF", tries_module_btf)
    TRAMPOLINES = Requirement("programs for functions of the kernel or of programs", tries_trampoline)
    BPF_LSM = Requirement("programs for security hooks", tries_bpf_lsm)
    LSM_CGROUP = in_btf("programs for security hooks of cgroups", "bpf_trampoline_link_cgroup_shim")
    KPROBES = file("/sys/bus/event_source/devices/kprobe/type", "kprobes by perf")
    UPROBES = file("/sys/bus/event_source/devices/uprobe/type", "uprobes by perf")
    TRACEFS_KPROBES = file("/sys/kernel/tracing/kprobe_events", "kprobes by tracefs")
    TRACEFS_UPROBES = file("/sys/kernel/tracing/uprobe_events", "uprobes by tracefs")
    TRACEPOINTS = file("/sys/kernel/tracing/events/syscalls", "tracepoints of system calls in tracefs")
    KPROBE_MULTI = in_btf("links to many kprobes", "bpf_kprobe_multi_link")
    KPROBE_SESSION = in_btf("sessions of kprobes", "BPF_TRACE_KPROBE_SESSION")
    UPROBE_MULTI = in_btf("links to many uprobes", "bpf_uprobe_multi_link")
    UPROBE_SESSION = in_btf("sessions of uprobes", "BPF_TRACE_UPROBE_SESSION")
    TRACING_SESSION = in_btf("sessions of fentry and fexit", "BPF_TRACE_FSESSION")
    TRACING_MULTI = in_btf("fentry programs for many functions", "BPF_TRACE_FENTRY_MULTI")
    PERF_LINK = in_btf("links to perf events", "bpf_perf_link")
    TCX = Requirement("tcx", tries_tcx)
    NETKIT = in_btf("netkit", "netkit_link_attach")
    XDP_LINK = in_btf("links of XDP", "bpf_xdp_link")
    NETFILTER_LINK = in_btf("links of netfilter", "bpf_nf_link")
    STRUCT_OPS_LINK = in_btf("links of struct_ops", "bpf_struct_ops_link")
    STRUCT_OPS_OF_MODULES = in_btf("struct_ops of modules", "value_type_btf_obj_fd")
    VETH = module("veth", "veth_newlink")
    DUMMY = module("dummy", "dummy_xmit")
    CLS_BPF = module("cls_bpf", "cls_bpf_classify")
    CLSACT = module("sch_ingress", "clsact_init")
    CGROUP2 = Requirement("cgroup2", functools.partial(tries_file_system, "cgroup2"))
    ARENA = map_type(MapType.ARENA)
    USER_RINGBUF = map_type(MapType.USER_RINGBUF)
    INSN_ARRAY = map_type(MapType.INSN_ARRAY)
    STREAMS = in_btf("output of programs", "BPF_PROG_STREAM_READ_BY_FD")
    TOKENS = in_btf("BPF tokens", "bpf_token_create")
    EXCEPTIONS = kfunc("bpf_throw")
    DYNPTRS_OF_PACKETS = kfunc("bpf_dynptr_from_skb")
