"""C objects that loader programs are made of, and the names that the simulated machine's kernel has for them."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from tests.loader.conftest import C_PRELUDE
from tests.loader.gen.machine.kernel import FUNC, STRUCT, TYPEDEF, VAR, Kernel
from tests.object_cache import compiled
from tests.peers import Peer

if TYPE_CHECKING:
    from pathlib import Path

SOURCES = {
    "maps": """
        struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 8); __type(key, int); __type(value, long); }
            counts SEC(".maps");
        struct { __uint(type, BPF_MAP_TYPE_LPM_TRIE); __uint(max_entries, 16); __uint(key_size, 8);
            __uint(value_size, 12); __uint(map_flags, BPF_F_NO_PREALLOC); } a_trie_with_a_long_name SEC(".maps");
        struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 8192); } ring SEC(".maps");
        struct { __uint(type, BPF_MAP_TYPE_BLOOM_FILTER); __uint(max_entries, 4); __type(value, int);
            __uint(map_extra, 3); } bloom SEC(".maps");
        struct { __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY); __uint(max_entries, 2); __type(key, int);
            __type(value, long); } each_cpu SEC(".maps");
        struct { __uint(type, BPF_MAP_TYPE_PROG_ARRAY); __uint(max_entries, 4); __uint(key_size, 4);
            __uint(value_size, 4); } jumps SEC(".maps");
        struct { __uint(type, BPF_MAP_TYPE_SK_STORAGE); __uint(map_flags, BPF_F_NO_PREALLOC); __type(key, int);
            __type(value, long); } of_sockets SEC(".maps");
        SEC("socket") int count(struct __sk_buff *skb) {
            int key = skb->len;
            long *value = bpf_map_lookup_elem(&counts, &key);
            if (value)
                __sync_fetch_and_add(value, 1);
            bpf_ringbuf_output(&ring, &key, 4, 0);
            return !value;
        }
    """,
    "maps_in_maps": """
        struct inner { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, int);
            __type(value, long); } first SEC(".maps"), second SEC(".maps");
        struct { __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS); __uint(max_entries, 5); __type(key, int);
            __array(values, struct inner); } table SEC(".maps") = { .values = { [1] = &second, [4] = &first } };
        struct { __uint(type, BPF_MAP_TYPE_HASH_OF_MAPS); __uint(max_entries, 3); __type(key, int);
            __array(values, struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 7); __type(key, int);
            __type(value, int); }); } empty SEC(".maps");
        SEC("xdp") int look(struct xdp_md *ctx) {
            int key = 1;
            void *map = bpf_map_lookup_elem(&table, &key);
            return map && bpf_map_lookup_elem(map, &key) ? XDP_PASS : XDP_DROP;
        }
    """,
    "data": """
        int seen = 5, zero;
        char text[40] = "a text that is longer than the others";
        const volatile short limit = 3;
        SEC(".data.extra") int extra = 6;
        SEC(".rodata.table") const volatile int table[3] = {1, 2, 3};
        static int counter;
        SEC("tc") int add(struct __sk_buff *skb) {
            counter += limit + extra + table[skb->len % 3];
            return seen + zero++ + text[skb->len & 31];
        }
    """,
    "kernel_variables": """
        extern const int bpf_prog_active __ksym;
        extern const int of_no_kernel __ksym __weak;
        SEC("raw_tp/sys_enter") int one(void *ctx) {
            return *(const int *)bpf_this_cpu_ptr(&bpf_prog_active);
        }
        SEC("raw_tp/sys_exit") int two(void *ctx) {
            const int *twice = &bpf_prog_active;
            return &of_no_kernel ? *(const int *)bpf_this_cpu_ptr(twice) : bpf_get_smp_processor_id();
        }
    """,
    "kernel_addresses": """
        extern const void vprintk __ksym;
        extern const void of_no_kernel __ksym __weak;
        unsigned long long found[2];
        SEC("raw_tp/sys_enter") int look(void *ctx) {
            found[0] = (unsigned long long)&vprintk;
            found[1] = (unsigned long long)&of_no_kernel;
            return (long)&vprintk >> 32;
        }
    """,
    "kernel_functions": """
        extern void bpf_rcu_read_lock(void) __ksym;
        extern void bpf_rcu_read_unlock(void) __ksym;
        extern int of_a_module(int) __ksym;
        extern int of_another_module(int) __ksym __weak;
        extern int of_no_kernel(int) __ksym __weak;
        SEC("tc") int first(struct __sk_buff *skb) {
            bpf_rcu_read_lock();
            bpf_rcu_read_unlock();
            return of_a_module(1) + (of_no_kernel ? of_no_kernel(2) : 0);
        }
        SEC("tc") int second(struct __sk_buff *skb) {
            int sum = of_a_module(3);
            bpf_rcu_read_lock();
            sum += of_a_module(4) + of_another_module(5);
            bpf_rcu_read_unlock();
            return sum;
        }
    """,
    "targets": """
        SEC("fentry/bpf_fentry_test1") int enter(unsigned long long *ctx) { return 0; }
        SEC("fexit.s/of_a_module") int leave(unsigned long long *ctx) { return 0; }
        SEC("fmod_ret/bpf_fentry_test2") int instead(unsigned long long *ctx) { return 0; }
        SEC("lsm/file_open") int hook(unsigned long long *ctx) { return 0; }
        SEC("tp_btf/sys_enter") int point(unsigned long long *ctx) { return 0; }
        SEC("iter/task") int each(unsigned long long *ctx) { return 0; }
    """,
    "core": """
        struct task_struct { int pid; int tgid; } __attribute__((preserve_access_index));
        struct file_of_nobody { long x; } __attribute__((preserve_access_index));
        SEC("raw_tp/sys_enter") int ids(void *ctx) {
            struct task_struct *task = (void *)bpf_get_current_task();
            int pid = 0, tgid = 0;
            bpf_probe_read_kernel(&pid, 4, &task->pid);
            bpf_probe_read_kernel(&tgid, 4, &task->tgid);
            return pid + tgid + __builtin_preserve_type_info(*(struct file_of_nobody *)0, 0);
        }
        SEC("raw_tp/sys_exit") int none(void *ctx) { return 0; }
    """,
    "functions": """
        struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 8); __type(key, int); __type(value, long); }
            counts SEC(".maps");
        int total;
        __attribute__((noinline)) int global_function(int x) { return x * 3 + total; }
        static __attribute__((noinline)) int local_function(int x) { return global_function(x) + 1; }
        static long each(void *map, void *key, void *value, void *ctx) { total++; return 0; }
        SEC("tc") int a(struct __sk_buff *skb) {
            bpf_for_each_map_elem(&counts, each, 0, 0);
            return local_function(skb->len);
        }
        SEC("tc") int b(struct __sk_buff *skb) { return global_function(skb->len); }
    """,
    "types": """
        SEC("socket") int socket_filter(void *ctx) { return 0; }
        SEC("kprobe/vprintk") int kprobe(void *ctx) { return 0; }
        SEC("tracepoint/syscalls/sys_enter_open") int tracepoint(void *ctx) { return 0; }
        SEC("xdp.frags") int frags(struct xdp_md *ctx) { return XDP_PASS; }
        SEC("xdp/devmap") int devmap(struct xdp_md *ctx) { return XDP_PASS; }
        SEC("perf_event") int perf(void *ctx) { return 0; }
        SEC("cgroup/connect4") int connect4(struct bpf_sock_addr *ctx) { return 1; }
        SEC("cgroup_skb/egress") int egress(struct __sk_buff *ctx) { return 1; }
        SEC("sockops") int sock_ops(struct bpf_sock_ops *ctx) { return 1; }
        SEC("sk_lookup") int lookup(struct bpf_sk_lookup *ctx) { return 1; }
        SEC("syscall") int syscall_program(void *ctx) { return 0; }
        SEC("flow_dissector") int flow(struct __sk_buff *ctx) { return 0; }
    """,
    "options": """
        extern int LINUX_KERNEL_VERSION __kconfig;
        SEC("socket") int version(struct __sk_buff *skb) { return LINUX_KERNEL_VERSION > 0x50000; }
    """,
    "many_kinds": """
        struct value { struct bpf_spin_lock lock; struct bpf_timer timer; int number; };
        struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 3); __type(key, int);
            __type(value, struct value); } locked SEC(".maps");
        struct { __uint(type, BPF_MAP_TYPE_LRU_HASH); __uint(max_entries, 64); __type(key, struct value *);
            __type(value, __u64[5]); __uint(numa_node, 0);
            __uint(map_flags, BPF_F_NUMA_NODE); } recent SEC(".maps");
        struct { __uint(type, BPF_MAP_TYPE_STACK_TRACE); __uint(max_entries, 16); __uint(key_size, 4);
            __uint(value_size, 1016); } stacks SEC(".maps");
        struct { __uint(type, BPF_MAP_TYPE_CGROUP_STORAGE); __type(key, struct bpf_cgroup_storage_key);
            __type(value, int); } of_cgroups SEC(".maps");
        struct { __uint(type, BPF_MAP_TYPE_DEVMAP_HASH); __uint(max_entries, 4); __uint(key_size, 4);
            __uint(value_size, sizeof(struct bpf_devmap_val)); } devices SEC(".maps");
        struct { __uint(type, BPF_MAP_TYPE_SOCKHASH); __uint(max_entries, 4); __type(key, __u64);
            __type(value, int); } sockets SEC(".maps");
        struct { __uint(type, BPF_MAP_TYPE_QUEUE); __uint(max_entries, 4); __type(value, long); }
            line SEC(".maps");
        static int fired(void *map, int *key, struct value *value) { return 0; }
        SEC("tc") int arm(struct __sk_buff *skb) {
            int key = 0;
            struct value *value = bpf_map_lookup_elem(&locked, &key);
            if (!value)
                return 0;
            bpf_timer_init(&value->timer, &locked, 1);
            bpf_timer_set_callback(&value->timer, fired);
            return bpf_map_push_elem(&line, &value->number, 0);
        }
        SEC("sk_msg") int message(struct sk_msg_md *msg) {
            return bpf_msg_redirect_hash(msg, &sockets, &(__u64){1}, 0);
        }
    """,
    "nothing": "",
}
"""By name; each is compiled behind C_PRELUDE, with BTF."""

TYPES: dict[tuple[str, int], tuple[int, str]] = {
    ("bpf_prog_active", VAR): (101, ""),
    ("bpf_rcu_read_lock", FUNC): (201, ""),
    ("bpf_rcu_read_unlock", FUNC): (202, ""),
    ("of_a_module", FUNC): (203, "near"),
    ("of_another_module", FUNC): (204, "far"),
    ("bpf_fentry_test1", FUNC): (205, ""),
    ("bpf_fentry_test2", FUNC): (206, ""),
    ("bpf_lsm_file_open", FUNC): (207, ""),
    ("bpf_iter_task", FUNC): (208, ""),
    ("btf_trace_sys_enter", TYPEDEF): (301, ""),
    ("task_struct", STRUCT): (302, ""),
}
ADDRESSES = {"vprintk": 0xFFFFFFFF81234560}


def fake_kernel(**options: object) -> Kernel:
    """A kernel that has what the sources want."""
    return Kernel(TYPES, ADDRESSES, **options)  # type: ignore[arg-type]


def object_of(name: str, directory: Path, *flags: str) -> Path:
    """A source's object, called `name`.o."""
    options = ("--target=bpf", "-O2", "-g", "-I/usr/include/x86_64-linux-gnu", *flags, "-fno-ident")
    made = compiled(Peer.CLANG, C_PRELUDE + SOURCES[name], *options, name=name)
    return shutil.copyfile(made, directory / made.name)
