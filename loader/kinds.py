"""The kernel's enumerations: program types, attach types, map types and the flags of maps and programs.

Numbers only. Which section name stands for which type is `bpfas.loader.sections`. A number that a newer kernel
has and these tables lack stays a plain integer everywhere. Source: include/uapi/linux/bpf.h.
"""

from __future__ import annotations

import enum
import re


class ProgramType(enum.IntEnum):
    """enum bpf_prog_type."""

    UNSPEC = 0
    SOCKET_FILTER = 1
    KPROBE = 2
    SCHED_CLS = 3
    SCHED_ACT = 4
    TRACEPOINT = 5
    XDP = 6
    PERF_EVENT = 7
    CGROUP_SKB = 8
    CGROUP_SOCK = 9
    LWT_IN = 10
    LWT_OUT = 11
    LWT_XMIT = 12
    SOCK_OPS = 13
    SK_SKB = 14
    CGROUP_DEVICE = 15
    SK_MSG = 16
    RAW_TRACEPOINT = 17
    CGROUP_SOCK_ADDR = 18
    LWT_SEG6LOCAL = 19
    LIRC_MODE2 = 20
    SK_REUSEPORT = 21
    FLOW_DISSECTOR = 22
    CGROUP_SYSCTL = 23
    RAW_TRACEPOINT_WRITABLE = 24
    CGROUP_SOCKOPT = 25
    TRACING = 26
    STRUCT_OPS = 27
    EXT = 28
    LSM = 29
    SK_LOOKUP = 30
    SYSCALL = 31
    NETFILTER = 32


class AttachType(enum.IntEnum):
    """enum bpf_attach_type. Zero, CGROUP_INET_INGRESS, is also what programs without an attach type have."""

    CGROUP_INET_INGRESS = 0
    CGROUP_INET_EGRESS = 1
    CGROUP_INET_SOCK_CREATE = 2
    CGROUP_SOCK_OPS = 3
    SK_SKB_STREAM_PARSER = 4
    SK_SKB_STREAM_VERDICT = 5
    CGROUP_DEVICE = 6
    SK_MSG_VERDICT = 7
    CGROUP_INET4_BIND = 8
    CGROUP_INET6_BIND = 9
    CGROUP_INET4_CONNECT = 10
    CGROUP_INET6_CONNECT = 11
    CGROUP_INET4_POST_BIND = 12
    CGROUP_INET6_POST_BIND = 13
    CGROUP_UDP4_SENDMSG = 14
    CGROUP_UDP6_SENDMSG = 15
    LIRC_MODE2 = 16
    FLOW_DISSECTOR = 17
    CGROUP_SYSCTL = 18
    CGROUP_UDP4_RECVMSG = 19
    CGROUP_UDP6_RECVMSG = 20
    CGROUP_GETSOCKOPT = 21
    CGROUP_SETSOCKOPT = 22
    TRACE_RAW_TP = 23
    TRACE_FENTRY = 24
    TRACE_FEXIT = 25
    MODIFY_RETURN = 26
    LSM_MAC = 27
    TRACE_ITER = 28
    CGROUP_INET4_GETPEERNAME = 29
    CGROUP_INET6_GETPEERNAME = 30
    CGROUP_INET4_GETSOCKNAME = 31
    CGROUP_INET6_GETSOCKNAME = 32
    XDP_DEVMAP = 33
    CGROUP_INET_SOCK_RELEASE = 34
    XDP_CPUMAP = 35
    SK_LOOKUP = 36
    XDP = 37
    SK_SKB_VERDICT = 38
    SK_REUSEPORT_SELECT = 39
    SK_REUSEPORT_SELECT_OR_MIGRATE = 40
    PERF_EVENT = 41
    TRACE_KPROBE_MULTI = 42
    LSM_CGROUP = 43
    STRUCT_OPS = 44
    NETFILTER = 45
    TCX_INGRESS = 46
    TCX_EGRESS = 47
    TRACE_UPROBE_MULTI = 48
    CGROUP_UNIX_CONNECT = 49
    CGROUP_UNIX_SENDMSG = 50
    CGROUP_UNIX_RECVMSG = 51
    CGROUP_UNIX_GETPEERNAME = 52
    CGROUP_UNIX_GETSOCKNAME = 53
    NETKIT_PRIMARY = 54
    NETKIT_PEER = 55
    TRACE_KPROBE_SESSION = 56
    TRACE_UPROBE_SESSION = 57
    TRACE_FSESSION = 58
    TRACE_FENTRY_MULTI = 59
    TRACE_FEXIT_MULTI = 60
    TRACE_FSESSION_MULTI = 61


NO_ATTACH_TYPE = AttachType.CGROUP_INET_INGRESS
"""The zero of programs whose type has no attach types."""


class MapType(enum.IntEnum):
    """enum bpf_map_type."""

    UNSPEC = 0
    HASH = 1
    ARRAY = 2
    PROG_ARRAY = 3
    PERF_EVENT_ARRAY = 4
    PERCPU_HASH = 5
    PERCPU_ARRAY = 6
    STACK_TRACE = 7
    CGROUP_ARRAY = 8
    LRU_HASH = 9
    LRU_PERCPU_HASH = 10
    LPM_TRIE = 11
    ARRAY_OF_MAPS = 12
    HASH_OF_MAPS = 13
    DEVMAP = 14
    SOCKMAP = 15
    CPUMAP = 16
    XSKMAP = 17
    SOCKHASH = 18
    CGROUP_STORAGE = 19
    REUSEPORT_SOCKARRAY = 20
    PERCPU_CGROUP_STORAGE = 21
    QUEUE = 22
    STACK = 23
    SK_STORAGE = 24
    DEVMAP_HASH = 25
    STRUCT_OPS = 26
    RINGBUF = 27
    INODE_STORAGE = 28
    TASK_STORAGE = 29
    BLOOM_FILTER = 30
    USER_RINGBUF = 31
    CGRP_STORAGE = 32
    ARENA = 33
    INSN_ARRAY = 34
    RHASH = 35


MAPS_OF_MAPS = frozenset({MapType.ARRAY_OF_MAPS, MapType.HASH_OF_MAPS})
"""Types whose elements are maps."""

PER_CPU_MAP_TYPES = frozenset(
    {
        MapType.PERCPU_HASH,
        MapType.PERCPU_ARRAY,
        MapType.LRU_PERCPU_HASH,
        MapType.PERCPU_CGROUP_STORAGE,
    }
)
"""Types whose elements have a value for every possible CPU."""

RING_BUFFER_MAP_TYPES = frozenset({MapType.RINGBUF, MapType.USER_RINGBUF})

MAP_TYPES_WITHOUT_ELEMENTS = frozenset({MapType.RINGBUF, MapType.USER_RINGBUF, MapType.ARENA})
"""Types that have memory instead of keys and values."""

STORAGE_MAP_TYPES = frozenset(
    {MapType.SK_STORAGE, MapType.INODE_STORAGE, MapType.TASK_STORAGE, MapType.CGRP_STORAGE}
)
"""Types whose elements belong to objects of the kernel, which keys are descriptors of."""

MAP_TYPES_WITHOUT_BTF = MAP_TYPES_WITHOUT_ELEMENTS | frozenset(
    {
        MapType.PERF_EVENT_ARRAY,
        MapType.CGROUP_ARRAY,
        MapType.STACK_TRACE,
        MapType.ARRAY_OF_MAPS,
        MapType.HASH_OF_MAPS,
        MapType.DEVMAP,
        MapType.DEVMAP_HASH,
        MapType.CPUMAP,
        MapType.XSKMAP,
        MapType.SOCKMAP,
        MapType.SOCKHASH,
        MapType.QUEUE,
        MapType.STACK,
    }
)
"""Types that the kernel creates only without the types of keys and values."""


class MapFlag(enum.IntFlag):
    """map_flags of BPF_MAP_CREATE."""

    NO_PREALLOC = 1 << 0
    NO_COMMON_LRU = 1 << 1
    NUMA_NODE = 1 << 2
    RDONLY = 1 << 3
    WRONLY = 1 << 4
    STACK_BUILD_ID = 1 << 5
    ZERO_SEED = 1 << 6
    RDONLY_PROG = 1 << 7
    WRONLY_PROG = 1 << 8
    CLONE = 1 << 9
    MMAPABLE = 1 << 10
    PRESERVE_ELEMS = 1 << 11
    INNER_MAP = 1 << 12
    LINK = 1 << 13
    PATH_FD = 1 << 14
    VTYPE_BTF_OBJ_FD = 1 << 15
    TOKEN_FD = 1 << 16
    SEGV_ON_FAULT = 1 << 17
    NO_USER_CONV = 1 << 18


class ProgramFlag(enum.IntFlag):
    """prog_flags of BPF_PROG_LOAD."""

    STRICT_ALIGNMENT = 1 << 0
    ANY_ALIGNMENT = 1 << 1
    TEST_RND_HI32 = 1 << 2
    TEST_STATE_FREQ = 1 << 3
    SLEEPABLE = 1 << 4
    XDP_HAS_FRAGS = 1 << 5
    XDP_DEV_BOUND_ONLY = 1 << 6
    TEST_REG_INVARIANTS = 1 << 7
    TOKEN_FD = 1 << 16


NO_MAP_FLAGS = MapFlag(0)
NO_PROGRAM_FLAGS = ProgramFlag(0)


class UpdateFlag(enum.IntFlag):
    """Flags of operations on elements.

    An update may write always, only a new key, or only an existing one; a value with a `struct bpf_spin_lock` is
    read and written under that lock; of a per-CPU map, one CPU's value (its number in the upper 32 bits) or all
    CPUs' alike.
    """

    ANY = 0
    NOEXIST = 1
    EXIST = 2
    LOCK = 4
    CPU = 8
    ALL_CPUS = 16


def program_type_name(number: int) -> str:
    """`xdp`, `sched_cls`, …, or `type N` for a number that is not in the table."""
    return ProgramType(number).name.lower() if number in set(ProgramType) else f"type {number}"


def attach_type_name(number: int) -> str:
    """`trace_fentry`, …, or `type N` for a number that is not in the table."""
    return AttachType(number).name.lower() if number in set(AttachType) else f"type {number}"


def map_type_name(number: int) -> str:
    """`hash`, `percpu_array`, …, or `type N` for a number that is not in the table."""
    return MapType(number).name.lower() if number in set(MapType) else f"type {number}"


def map_flag_names(flags: int) -> list[str]:
    """The names of the flags that are set, `rdonly_prog` and so on; unknown bits together as a number."""
    names = [flag.name.lower() for flag in MapFlag if flag & flags and flag.name]
    if unknown := flags & ~int(MapFlag(sum(MapFlag))):
        names.append(hex(unknown))
    return names


def map_flags_called(names: str) -> MapFlag:
    """Flags by names with `|` or commas between: `no_prealloc`, `BPF_F_NO_PREALLOC`. Raises ValueError."""
    flags = MapFlag(0)
    for word in re.split(r"[|,]", names):
        name = word.strip().upper().removeprefix("BPF_F_")
        if name not in MapFlag.__members__:
            known = ", ".join(MapFlag.__members__).lower()
            raise ValueError(f"there is no flag '{word.strip()}'; there are {known}")
        flags |= MapFlag[name]
    return flags
