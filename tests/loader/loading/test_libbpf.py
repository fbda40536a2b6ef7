"""The same object loaded by libbpf and by this loader: the kernel computes the same tag of the instructions."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

import pytest

from bpfas.loader import load, syscall
from tests.loader.kernel_support import kfunc, require

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.kernel, pytest.mark.peer, pytest.mark.usefixtures("no_leaks")]

FUNCTIONS = "".join(
    f"static __attribute__((noinline)) int f{number}(int x) {{ {body} }}\n"
    for number, body in (
        (1, "state[x & 7] += limit; return state[1];"),
        (2, "return f1(x) + f1(x + 1);"),
        (3, "return f2(x) * f1(x + 2);"),
        (4, "return x < 9 ? f3(x) : f2(x);"),
    )
)
PROGRAMS = {
    "several functions": """
    SEC("xdp") int a(struct xdp_md *c) { return f4(c->ingress_ifindex); }
    SEC("xdp") int b(struct xdp_md *c) { return f1(3) + f4(2); }
    SEC("tc") int t(struct __sk_buff *skb) { return f2(skb->len) + f3(skb->mark); }
    """,
    "no functions": """
    SEC("xdp") int a(struct xdp_md *c) { state[2]++; return limit + zero[c->ingress_ifindex & 3]; }
    """,
    "many types": """
    SEC("socket") int s(struct __sk_buff *skb) { return f1(skb->len); }
    SEC("tracepoint/syscalls/sys_enter_open") int p(void *ctx) { return f2(1) & 1; }
    SEC("raw_tp/sys_enter") int r(void *ctx) { return f3(1); }
    SEC("cgroup/connect4") int c(struct bpf_sock_addr *ctx) { return f1(1) & 1; }
    """,
}
GLOBALS = "int state[8] = {1, 2, 3};\nconst volatile int limit = 7;\nint zero[4];\n"


def tags_by_libbpf(path: str) -> dict[str, str]:
    """The tag of each program of the object at `path` when libbpf loads it."""
    try:
        libbpf = ctypes.CDLL("libbpf.so.1")
    except OSError:
        pytest.skip("libbpf.so.1 is not installed")
    pointer = ctypes.c_void_p
    libbpf.bpf_object__open_file.restype = libbpf.bpf_object__next_program.restype = pointer
    libbpf.bpf_program__name.restype = ctypes.c_char_p
    opened = pointer(libbpf.bpf_object__open_file(path.encode(), None))
    assert opened.value
    try:
        assert libbpf.bpf_object__load(opened) == 0
        tags = {}
        program = pointer(libbpf.bpf_object__next_program(opened, None))
        while program.value:
            fd = libbpf.bpf_program__fd(program)
            tags[libbpf.bpf_program__name(program).decode()] = syscall.prog_info(fd).tag
            program = pointer(libbpf.bpf_object__next_program(opened, program))
        return tags
    finally:
        libbpf.bpf_object__close(opened)


@pytest.mark.parametrize("flags", [(), ("-g",), ("-mcpu=v4",)])
@pytest.mark.parametrize("programs", PROGRAMS.values(), ids=PROGRAMS)
def test_the_tags_are_those_of_libbpf(
    compile_c: Callable[..., str], programs: str, flags: tuple[str, ...]
) -> None:
    path = compile_c(GLOBALS + FUNCTIONS + programs, "-Wno-unused-function", *flags)
    with load(path) as app:
        ours = {name: program.info().tag for name, program in app.programs.items()}
    assert ours == tags_by_libbpf(path)


TYPED = {
    "callbacks": """
    static int each(__u32 i, void *ctx) { *(int *)ctx += i; return 0; }
    static int again(__u32 i, void *ctx) { bpf_loop(2, each, ctx, 0); return 0; }
    SEC("xdp") int a(struct xdp_md *c) { int sum = f1(1); bpf_loop(9, again, &sum, 0); return sum; }
    SEC("xdp") int b(struct xdp_md *c) { int sum = 0; bpf_loop(9, each, &sum, 0); return sum + f1(2); }
    """,
    "hidden and global functions": """
    __attribute__((noinline)) int seen(int x) { return f2(x); }
    __attribute__((noinline, visibility("hidden"))) int hidden(int *x) { return *x + seen(*x); }
    SEC("tc") int a(struct __sk_buff *c) { int x = c->len; return hidden(&x) + seen(3); }
    SEC("tc") int b(struct __sk_buff *c) { return seen(c->len); }
    """,
    "maps": """
    struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 9); __type(key, int); __type(value, long); }
        first SEC(".maps"), second SEC(".maps");
    SEC("xdp") int a(struct xdp_md *c)
    {
        int key = f1(c->ingress_ifindex);
        return !bpf_map_lookup_elem(&first, &key) + !bpf_map_lookup_elem(&second, &key);
    }
    """,
    "the kernel's names": """
    extern int LINUX_KERNEL_VERSION __kconfig;
    extern _Bool CONFIG_NO_SUCH_OPTION __kconfig __attribute__((weak));
    extern int CONFIG_HZ __kconfig __attribute__((weak));
    extern void bpf_rcu_read_lock(void) __ksym;
    extern void bpf_rcu_read_unlock(void) __ksym;
    extern const void no_such_symbol __ksym __attribute__((weak));
    SEC("tc") int a(struct __sk_buff *c)
    {
        bpf_rcu_read_lock();
        bpf_rcu_read_unlock();
        return LINUX_KERNEL_VERSION + CONFIG_NO_SUCH_OPTION + CONFIG_HZ + (long)&no_such_symbol + f1(1);
    }
    """,
    "CO-RE": """
    struct task_struct___mine { int pid; struct task_struct___mine *real_parent; long no_such_member; }
        __attribute__((preserve_access_index));
    SEC("raw_tp/sched_switch") int a(__u64 *c)
    {
        struct task_struct___mine *task = (void *)c[1], *parent = 0;
        int pid = 0;
        if (__builtin_preserve_field_info(task->no_such_member, 2)) pid = 1;
        bpf_probe_read_kernel(&parent, sizeof(parent), &task->real_parent);
        bpf_probe_read_kernel(&pid, sizeof(pid), &parent->pid);
        return pid + f1(pid & 1);
    }
    """,
}


@pytest.mark.parametrize("programs", TYPED.values(), ids=TYPED)
def test_the_tags_of_programs_with_types_are_those_of_libbpf(compile_c: Callable[..., str], programs: str) -> None:
    if "bpf_rcu_read_lock" in programs:
        require(kfunc("bpf_rcu_read_lock"))
    path = compile_c(GLOBALS + FUNCTIONS + programs, "-Wno-unused-function", "-g")
    with load(path) as app:
        ours = {name: program.info().tag for name, program in app.programs.items()}
        assert all(program.info().btf_id for program in app.programs.values())
    assert ours == tags_by_libbpf(path)
