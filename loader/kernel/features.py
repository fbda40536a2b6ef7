"""Features that kernels have or lack, and the release that brought each.

How a running kernel is asked is `bpfas.loader.kernel.probes`. Source: libbpf 1.8.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

from bpfas.loader.kernel.version import kernel_version


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


SINCE: dict[Feature, int] = {
    Feature.PROGRAM_NAMES: kernel_version(4, 15),
    Feature.GLOBAL_DATA: kernel_version(5, 2),
    Feature.BTF: kernel_version(4, 18),
    Feature.BTF_FUNC: kernel_version(5, 0),
    Feature.BTF_DATASEC: kernel_version(5, 2),
    Feature.BTF_GLOBAL_FUNC: kernel_version(5, 6),
    Feature.ARRAY_MMAP: kernel_version(5, 5),
    Feature.EXPECTED_ATTACH_TYPE: kernel_version(4, 17),
    Feature.PROBE_READ_KERNEL: kernel_version(5, 5),
    Feature.PROG_BIND_MAP: kernel_version(5, 10),
    Feature.MODULE_BTF: kernel_version(5, 11),
    Feature.BTF_FLOAT: kernel_version(5, 13),
    Feature.PERF_LINK: kernel_version(5, 15),
    Feature.BTF_DECL_TAG: kernel_version(5, 16),
    Feature.BTF_TYPE_TAG: kernel_version(5, 17),
    Feature.MEMCG_ACCOUNTING: kernel_version(5, 11),
    Feature.BPF_COOKIE: kernel_version(5, 15),
    Feature.BTF_ENUM64: kernel_version(6, 0),
    Feature.SYSCALL_WRAPPER: kernel_version(4, 17),
    # The first links to many uprobes (6.6) let those of other processes pass.
    Feature.UPROBE_MULTI_LINK: kernel_version(6, 10),
    Feature.ARG_CTX_TAG: kernel_version(6, 8),
    Feature.BTF_QMARK_DATASEC: kernel_version(6, 9),
    Feature.LDIMM64_FULL_RANGE_OFF: kernel_version(7, 0),
    Feature.UPROBE_SYSCALL: kernel_version(6, 18),
    Feature.BTF_LAYOUT: kernel_version(7, 1),
}
"""The first release with each feature, on the machines that have it first."""


class Probe(NamedTuple):
    """Whether a kernel has a feature, and how that was found out.

    `tried` is a sentence; `errno` is what the kernel answered to it, 0 if it took what it was given.
    """

    feature: Feature
    works: bool
    tried: str
    errno: int = 0
