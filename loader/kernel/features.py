"""Features that kernels have or lack, and trying which: each by the smallest program, map or BTF that needs it.

Source: loader.md §8.
"""

from __future__ import annotations

import enum


class Feature(enum.Enum):
    """What a kernel may lack; the value says it in words."""

    PROGRAM_NAMES = "names of programs and maps"
    GLOBAL_DATA = "global data (values of maps by address)"
    BTF = "BTF"
    BTF_FUNC = "BTF of functions"
    BTF_DATASEC = "BTF of sections"
    BTF_GLOBAL_FUNC = "BTF of global functions"
    ARRAY_MMAP = "array maps in user memory"
    EXPECTED_ATTACH_TYPE = "expected attach types"
    PROBE_READ_KERNEL = "bpf_probe_read_kernel"
    PROG_BIND_MAP = "binding maps to programs"
    MODULE_BTF = "BTF of modules"
    BTF_FLOAT = "BTF of floating point types"
    PERF_LINK = "links to perf events"
    BTF_DECL_TAG = "BTF tags of declarations"
    BTF_TYPE_TAG = "BTF tags of types"
    MEMCG_ACCOUNTING = "memory accounted to cgroups instead of RLIMIT_MEMLOCK"
    BPF_COOKIE = "cookies of perf links"
    BTF_ENUM64 = "BTF of 64-bit enumerations"
    SYSCALL_WRAPPER = "wrapped system calls"
    UPROBE_MULTI_LINK = "links to many uprobes"
    ARG_CTX_TAG = "the tag arg:ctx"
    BTF_QMARK_DATASEC = "BTF section names that begin with ?"
    LDIMM64_FULL_RANGE_OFF = "offsets into maps beyond 512 MiB"
    UPROBE_SYSCALL = "the system call of uprobes"
    BTF_LAYOUT = "BTF with the layout of its kinds"
