"""The objects that `bench.load` loads: their sources in C, made to measure, and compiling them with clang."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

CLANG = "/usr/bin/clang-22"
_INCLUDES = "-I/usr/include/x86_64-linux-gnu"
_HEAD = """
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
typedef unsigned long long u64; typedef unsigned int u32; typedef unsigned short u16; typedef unsigned char u8;
char license_text[] SEC("license") = "GPL";
"""
_ARRAY = """
struct {{ __uint(type, BPF_MAP_TYPE_ARRAY); __type(key, u32); __type(value, u64); __uint(max_entries, 1); }}
    counts_{number} SEC(".maps");
"""

SMALL = f"""{_HEAD}{_ARRAY.format(number=0)}
SEC("xdp") int pass(struct xdp_md *context)
{{
    u32 key = 0;
    u64 *count = bpf_map_lookup_elem(&counts_0, &key);
    if (count)
        (*count)++;
    return XDP_PASS;
}}
"""

CORE = f"""{_HEAD}
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct mm_struct {{ u64 start_code; u64 end_code; int map_count; }};
struct cred {{ struct {{ u32 val; }} uid; }};
struct nsproxy {{ struct net *net_ns; }};
struct net {{ struct {{ u32 inum; }} ns; }};
struct file {{ u32 f_flags; struct inode *f_inode; }};
struct inode {{ u64 i_ino; struct super_block *i_sb; }};
struct super_block {{ u32 s_dev; }};
struct sk_buff {{ u32 len; struct sock *sk; }};
struct sock {{ struct {{ u16 skc_family; u16 skc_num; }} __sk_common; }};
struct task_struct {{ int pid; int tgid; u64 start_time; struct task_struct *real_parent; struct mm_struct *mm;
    struct cred *cred; struct nsproxy *nsproxy; char comm[16]; u32 __state; }};
struct task_struct___old {{ long state; }};
#pragma clang attribute pop
enum pid_type {{ PIDTYPE_SID = 77 }};
SEC("raw_tp/sched_switch") int watch(void *ctx)
{{
    struct task_struct *task = (void *)bpf_get_current_task();
    struct task_struct___old *old = (void *)task;
    struct file *file = (void *)task;
    struct sk_buff *skb = (void *)task;
    u64 sum = BPF_CORE_READ(task, real_parent, tgid) + BPF_CORE_READ(task, mm, map_count);
    sum += BPF_CORE_READ(task, cred, uid.val) + BPF_CORE_READ(task, nsproxy, net_ns, ns.inum);
    sum += BPF_CORE_READ(file, f_inode, i_sb, s_dev) + BPF_CORE_READ(skb, sk, __sk_common.skc_family);
    sum += bpf_core_field_exists(old->state) ? BPF_CORE_READ(old, state) : BPF_CORE_READ(task, __state);
    sum += bpf_core_enum_value(enum pid_type, PIDTYPE_SID) + bpf_core_type_size(struct sk_buff);
    return sum != 0;
}}
"""

_MEMBERS = [
    "pid",
    "tgid",
    "flags",
    "prio",
    "static_prio",
    "normal_prio",
    "rt_priority",
    "policy",
    "ptrace",
    "on_rq",
    "exit_state",
    "exit_code",
    "exit_signal",
    "pdeath_signal",
    "jobctl",
    "personality",
    "utime",
    "stime",
    "nvcsw",
    "nivcsw",
    "start_time",
    "start_boottime",
    "min_flt",
    "maj_flt",
    "nr_cpus_allowed",
]
"""Members of struct task_struct, each of which is a relocation of its own: clang makes one of equal ones."""

_MAPS_OF_A_PROGRAM = 50
"""The kernel takes 64."""


def many_programs(programs: int, reads: int) -> str:
    """Programs that read as many members of the kernel's structs, each by a CO-RE relocation and on two lines."""
    parts = [
        _HEAD,
        "#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)\n",
        f"struct task_struct {{ {' '.join(f'u32 {member};' for member in _MEMBERS)} }};\n",
        "#pragma clang attribute pop\n",
    ]
    for number in range(programs):
        parts.append(f'SEC("raw_tp/sched_switch") int watch_{number}(void *context)\n{{\n')
        parts.append("struct task_struct *task = (void *)bpf_get_current_task();\nu32 value, sum = 0;\n")
        for read in range(reads):
            member = _MEMBERS[(number + read) % len(_MEMBERS)]
            parts.append(f"bpf_probe_read_kernel(&value, sizeof(value), &task->{member});\nsum += value;\n")
        parts.append("return sum != 0;\n}\n")
    return "".join(parts)


def many_maps(maps: int) -> str:
    """Maps, each counted up by one of the programs."""
    parts = [_HEAD, *(_ARRAY.format(number=number) for number in range(maps))]
    for first in range(0, maps, _MAPS_OF_A_PROGRAM):
        parts.append(f'SEC("xdp") int count_{first}(struct xdp_md *context)\n{{\nu32 key = 0;\nu64 *count;\n')
        for number in range(first, min(first + _MAPS_OF_A_PROGRAM, maps)):
            parts.append(f"count = bpf_map_lookup_elem(&counts_{number}, &key);\nif (count)\n(*count)++;\n")
        parts.append("return XDP_PASS;\n}\n")
    return "".join(parts)


def compiled(source: str, path: Path) -> Path:
    """The object of a source, at `path`."""
    command = [CLANG, "--target=bpf", "-g", "-O2", _INCLUDES, "-x", "c", "-", "-c", "-o", str(path)]
    subprocess.run(command, input=source, text=True, check=True)
    return path
