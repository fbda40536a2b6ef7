"""What C headers find out of the machine, and do besides loading, in the running kernel."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bpfas.loader.gen import GenOptions
from bpfas.loader.kernel.config_text import option, running_config
from bpfas.loader.kernel.version import running_version
from bpfas.loader.runtime.cpus import possible_cpu_count
from tests.loader.gen.c.support import executable, header_of, run_program
from tests.loader.kernel_support import Need, kernel_type, needs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.kernel

CONFIG = running_config()

KCONFIG = """
extern int LINUX_KERNEL_VERSION __kconfig;
extern _Bool LINUX_HAS_BPF_COOKIE __kconfig;
extern int CONFIG_HZ __kconfig;
extern _Bool CONFIG_BPF __kconfig;
extern char CONFIG_NET __kconfig;
extern enum libbpf_tristate CONFIG_INET __kconfig __weak;
extern char CONFIG_DEFAULT_HOSTNAME[4] __kconfig;
extern _Bool CONFIG_NEVER_THERE __kconfig __weak;
extern unsigned long CONFIG_MINE __kconfig;
long sum;
SEC("socket") int reads(struct __sk_buff *skb) {
    return LINUX_KERNEL_VERSION + LINUX_HAS_BPF_COOKIE + CONFIG_HZ + CONFIG_BPF + CONFIG_NET + CONFIG_INET +
        CONFIG_DEFAULT_HOSTNAME[1] + CONFIG_NEVER_THERE + CONFIG_MINE;
}
"""
KCONFIG_DECLARATIONS = "#include <stdbool.h>\nenum libbpf_tristate { TRI_NO, TRI_YES, TRI_MODULE };\n"
KCONFIG_PROGRAM = """
int main(int argc, char **argv) {
    struct app *skel = app__open();
    int err;
    if (!skel) return 1;
    SAY("%d %d %d %c %d %s %d %lu", skel->kconfig->LINUX_KERNEL_VERSION, skel->kconfig->CONFIG_HZ,
        skel->kconfig->CONFIG_BPF, skel->kconfig->CONFIG_NET, skel->kconfig->CONFIG_INET,
        skel->kconfig->CONFIG_DEFAULT_HOSTNAME, skel->kconfig->CONFIG_NEVER_THERE, skel->kconfig->CONFIG_MINE);
    if (argc > 1) skel->kconfig->CONFIG_MINE = atoi(argv[1]);
    err = app__load(skel);
    SAY("load %d %.40s", err, app__failed_step(skel));
    if (!err) SAY("mine %lu", skel->kconfig->CONFIG_MINE);
    app__destroy(skel);
    return 0;
}
"""


def expected_kconfig() -> str:
    """The first line of KCONFIG_PROGRAM on this kernel, but for the last number."""
    assert CONFIG is not None
    values = {name: option(CONFIG[0], name) for name in ("CONFIG_HZ", "CONFIG_NET", "CONFIG_DEFAULT_HOSTNAME")}
    host = (values["CONFIG_DEFAULT_HOSTNAME"] or "").strip('"')[:3]
    return f"{running_version()} {values['CONFIG_HZ']} 1 {values['CONFIG_NET']} 1 {host} 0 "


@pytest.mark.skipif(CONFIG is None, reason="the kernel's configuration cannot be read")
def test_configuration_of_the_running_kernel(compile_c: Callable[..., str], tmp_path: Path) -> None:
    header = header_of(compile_c(KCONFIG, "-g"))
    path = executable(header, KCONFIG_PROGRAM, tmp_path, declarations=KCONFIG_DECLARATIONS)
    assert run_program(path) == [f"{expected_kconfig()}0", "load -61 cannot tell CONFIG_MINE: no configuratio"]
    assert run_program(path, "77") == [f"{expected_kconfig()}77".replace(" 77", " 0"), "load 0 ", "mine 77"]


@pytest.mark.skipif(CONFIG is None, reason="the kernel's configuration cannot be read")
def test_configuration_that_was_given(compile_c: Callable[..., str], tmp_path: Path) -> None:
    options = GenOptions(kconfig="# a comment\nCONFIG_MINE=0x10\nCONFIG_MINE=5\nCONFIG_OTHER=y\n")
    header = header_of(compile_c(KCONFIG, "-g"), options=options)
    assert "CONFIG_OTHER" not in header
    path = executable(header, KCONFIG_PROGRAM, tmp_path, declarations=KCONFIG_DECLARATIONS)
    assert run_program(path) == [f"{expected_kconfig()}16", "load 0 ", "mine 16"]


FACTS_ALONE = """
extern int LINUX_KERNEL_VERSION __kconfig;
SEC("socket") int reads(struct __sk_buff *skb) { return LINUX_KERNEL_VERSION; }
"""


def test_configuration_without_options(compile_c: Callable[..., str], tmp_path: Path) -> None:
    """Then no file is read, and no library is needed."""
    header = header_of(compile_c(FACTS_ALONE, "-g"))
    assert "zlib" not in header
    program = """
    int main(void) {
        struct app *skel = app__open();
        SAY("%d %d", app__load(skel), skel->kconfig->LINUX_KERNEL_VERSION);
        app__destroy(skel);
        return 0;
    }
    """
    assert run_program(executable(header, program, tmp_path)) == [f"0 {running_version()}"]


ALL_GIVEN = """
extern int CONFIG_HZ __kconfig;
SEC("socket") int reads(struct __sk_buff *skb) { return CONFIG_HZ; }
"""


def test_configuration_that_was_given_whole(compile_c: Callable[..., str], tmp_path: Path) -> None:
    """Then nothing is read where the program runs."""
    header = header_of(compile_c(ALL_GIVEN, "-g"), options=GenOptions(kconfig="CONFIG_HZ=12345\n"))
    assert "config.gz" not in header
    program = """
    int main(void) {
        struct app *skel = app__open();
        SAY("%d", skel->kconfig->CONFIG_HZ);
        SAY("%d %d", app__load(skel), skel->kconfig->CONFIG_HZ);
        app__destroy(skel);
        return 0;
    }
    """
    assert run_program(executable(header, program, tmp_path)) == ["12345", "0 12345"]


def test_map_with_an_entry_for_each_cpu(compile_c: Callable[..., str], tmp_path: Path) -> None:
    source = """
    struct { __uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY); __uint(key_size, 4); __uint(value_size, 4); }
        events SEC(".maps");
    SEC("socket") int p(struct __sk_buff *skb) { return 0; }
    """
    program = """
    int main(void) {
        struct app *skel = app__open_and_load();
        struct bpf_map_info info = {};
        union bpf_attr attr = {};
        attr.info.bpf_fd = skel->maps.events.map_fd;
        attr.info.info_len = sizeof(info);
        attr.info.info = (long)&info;
        skel_sys_bpf(BPF_OBJ_GET_INFO_BY_FD, &attr, sizeof(attr));
        SAY("%u", info.max_entries);
        app__destroy(skel);
        return 0;
    }
    """
    path = executable(header_of(compile_c(source, "-g")), program, tmp_path)
    assert run_program(path) == [str(possible_cpu_count())]


ARENA = """
#define __arena __attribute__((address_space(1)))
enum { BPF_MAP_TYPE_ARENA = 33 };
struct { __uint(type, BPF_MAP_TYPE_ARENA); __uint(map_flags, BPF_F_MMAPABLE); __uint(max_entries, 100); }
    memory SEC(".maps");
int __arena count = 5;
long __arena zeros[1000];
SEC("syscall") int add(void *ctx) { count++; zeros[10] = 42; return count; }
"""
ARENA_PROGRAM = """
int main(int argc, char **argv) {
    struct app *skel = app__open();
    union bpf_attr attr = {};
    int err;
    SAY("initial %d %ld", skel->arena->count, skel->arena->zeros[10]);
    skel->arena->count = 1000;
    if (argc > 1) skel->maps.memory.max_entries = atoi(argv[1]);
    err = app__load(skel);
    SAY("load %d %s", err, app__failed_step(skel));
    if (!err) {
        attr.test.prog_fd = skel->progs.add.prog_fd;
        SAY("run %d", skel_sys_bpf(BPF_PROG_RUN, &attr, sizeof(attr)));
        SAY("now %d %ld", skel->arena->count, skel->arena->zeros[10]);
    }
    app__destroy(skel);
    return 0;
}
"""


@needs(Need.ARENA)
def test_arena(compile_c: Callable[..., str], tmp_path: Path) -> None:
    path = executable(header_of(compile_c(ARENA, "-g", "-mcpu=v4")), ARENA_PROGRAM, tmp_path)
    initial, now = "initial 5 0", "now 1001 42"
    assert run_program(path) == [initial, "load 0 ", "run 0", now]
    assert run_program(path, str(1 << 19)) == [initial, "load 0 ", "run 0", now]
    assert run_program(path, "1") == [
        initial,
        "load -7 cannot create map memory: it has fewer pages than its data takes",
    ]


PINNED = """
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 4); __type(key, int); __type(value, long);
    __uint(pinning, LIBBPF_PIN_BY_NAME); } c_header_shared SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 1000); __uint(pinning, LIBBPF_PIN_BY_NAME); }
    c_header_ring SEC(".maps");
SEC("syscall") int add(void *ctx) {
    int key = 0;
    long *value = bpf_map_lookup_elem(&c_header_shared, &key);
    if (value) ++*value;
    return value ? *value : -1;
}
"""
PINNED_PROGRAM = """
int main(int argc, char **argv) {
    struct app *skel = app__open();
    union bpf_attr attr = {};
    int err;
    if (argc > 1 && argv) skel->maps.c_header_shared.max_entries = 9;
    err = app__load(skel);
    SAY("load %d %.40s", err, app__failed_step(skel));
    if (!err) {
        attr.test.prog_fd = skel->progs.add.prog_fd;
        skel_sys_bpf(BPF_PROG_RUN, &attr, sizeof(attr));
        SAY("value %d", attr.test.retval);
    }
    app__destroy(skel);
    return 0;
}
"""


@pytest.fixture
def pins() -> Iterator[None]:
    """The names of PINNED, free before and after."""
    paths = [Path("/sys/fs/bpf/c_header_shared"), Path("/sys/fs/bpf/c_header_ring")]
    for _ in range(2):
        for path in paths:
            path.unlink(missing_ok=True)
        if _ == 0:
            yield


@pytest.mark.usefixtures("pins")
def test_pinned_maps_are_shared(compile_c: Callable[..., str], tmp_path: Path) -> None:
    path = executable(header_of(compile_c(PINNED, "-g")), PINNED_PROGRAM, tmp_path)
    assert run_program(path) == ["load 0 ", "value 1"]
    assert Path("/sys/fs/bpf/c_header_ring").exists()
    assert run_program(path) == ["load 0 ", "value 2"]
    assert run_program(path, "larger") == ["load -22 cannot share map c_header_shared: what i"]


STRUCT_OPS = """
struct tcp_congestion_ops {
    unsigned (*ssthresh)(void *sk);
    void (*cong_avoid)(void *sk, unsigned ack, unsigned acked);
    unsigned (*undo_cwnd)(void *sk);
    void (*not_in_any_kernel)(void *sk);
    char name[16];
};
SEC("struct_ops/threshold") unsigned threshold(unsigned long long *ctx) { return 2; }
SEC("struct_ops/avoid") void avoid(unsigned long long *ctx) { }
SEC("struct_ops/undo") unsigned undo(unsigned long long *ctx) { return 2; }
SEC("struct_ops/extra") void extra(unsigned long long *ctx) { }
SEC(".struct_ops") struct tcp_congestion_ops plain = { .ssthresh = (void *)threshold,
    .cong_avoid = (void *)avoid, .undo_cwnd = (void *)undo, .not_in_any_kernel = (void *)extra,
    .name = "c_header_one" };
SEC(".struct_ops.link") struct tcp_congestion_ops linked = { .ssthresh = (void *)threshold,
    .cong_avoid = (void *)avoid, .undo_cwnd = (void *)undo, .name = "c_header_two" };
"""
STRUCT_OPS_PROGRAM = """
static void show(const char *when) {
    char line[4096] = "";
    FILE *file = fopen("/proc/sys/net/ipv4/tcp_available_congestion_control", "r");
    if (!fgets(line, sizeof(line), file)) line[0] = 0;
    fclose(file);
    SAY("%s %d %d", when, strstr(line, "c_header_one") != NULL, strstr(line, "c_header_two") != NULL);
}
int main(void) {
    struct app *skel = app__open();
    SAY("load %d %s", app__load(skel), app__failed_step(skel));
    SAY("loaded %d %d", skel->progs.threshold.prog_fd > 0, skel->progs.extra.prog_fd);
    SAY("attach %d", app__plain__attach(skel));
    show("one");
    SAY("attach %d", app__linked__attach(skel) > 0);
    show("both");
    app__detach(skel);
    show("none");
    /* what was registered without a link is used up */
    SAY("again %d", app__linked__attach(skel) > 0);
    app__destroy(skel);
    show("none");
    return 0;
}
"""


UNKNOWN_OPS = """
struct no_such_ops { int (*start)(void *); };
SEC("struct_ops/start") int start(unsigned long long *ctx) { return 0; }
SEC(".struct_ops") struct no_such_ops mine = { .start = (void *)start };
"""


def test_struct_ops_that_the_kernel_does_not_have(compile_c: Callable[..., str], tmp_path: Path) -> None:
    program = """
    int main(void) {
        struct app *skel = app__open();
        SAY("load %d", app__load(skel));
        SAY("%s", app__failed_step(skel));
        app__destroy(skel);
        return 0;
    }
    """
    assert run_program(executable(header_of(compile_c(UNKNOWN_OPS, "-g")), program, tmp_path)) == [
        "load -95",
        "cannot create map mine: the kernel's types (/sys/kernel/btf) have no operations no_such_ops",
    ]


@needs(kernel_type("bpf_struct_ops_tcp_congestion_ops"), Need.STRUCT_OPS_LINK)
def test_struct_ops(compile_c: Callable[..., str], tmp_path: Path) -> None:
    path = executable(header_of(compile_c(STRUCT_OPS, "-g")), STRUCT_OPS_PROGRAM, tmp_path)
    assert run_program(path) == [
        "load 0 ",
        "loaded 1 0",
        "attach 0",
        "one 1 0",
        "attach 1",
        "both 1 1",
        "none 0 0",
        "again 1",
        "none 0 0",
    ]


REPLACING = """
SEC("freplace/victim") int replacing(struct __sk_buff *skb) { return 7; }
"""
REPLACED = """
__attribute__((noinline)) int victim(struct __sk_buff *skb) { asm volatile(""); return skb->len; }
SEC("tc") int host(struct __sk_buff *skb) { return victim(skb); }
"""
REPLACING_PROGRAM = """
int main(void) {
    struct host *host = host__open_and_load();
    struct app *skel = app__open();
    int err = app__load(skel);
    SAY("untold %d %s", err, app__failed_step(skel));
    SAY("nothing %d", app__replacing__set_target(skel, host->progs.host.prog_fd, "nothing"));
    SAY("victim %d", app__replacing__set_target(skel, host->progs.host.prog_fd, NULL));
    err = app__load(skel);
    SAY("load %d %s", err, app__failed_step(skel));
    if (!err) {
        char packet[64] = {};
        union bpf_attr attr = {};
        SAY("attach %d", app__attach(skel));
        attr.test.prog_fd = host->progs.host.prog_fd;
        attr.test.data_in = (long)packet;
        attr.test.data_size_in = sizeof(packet);
        skel_sys_bpf(BPF_PROG_RUN, &attr, sizeof(attr));
        SAY("result %d", attr.test.retval);
    }
    app__destroy(skel);
    host__destroy(host);
    return 0;
}
"""
UNTOLD = [
    "untold -61 failed: need to be given: program whose function replacing replaces",
    "nothing -2",
    "victim 0",
]


def replacing_lines(compile_c: Callable[..., str], folder: Path) -> list[str]:
    """What REPLACING_PROGRAM prints."""
    host = header_of(compile_c(REPLACED, "-g", name="host"), "host")
    path = executable(host + header_of(compile_c(REPLACING, "-g")), REPLACING_PROGRAM, folder)
    return run_program(path)


def test_target_of_a_replacing_program(compile_c: Callable[..., str], tmp_path: Path) -> None:
    assert replacing_lines(compile_c, tmp_path)[:3] == UNTOLD


@needs(Need.TRAMPOLINES)
def test_replacing_program_runs(compile_c: Callable[..., str], tmp_path: Path) -> None:
    assert replacing_lines(compile_c, tmp_path) == [*UNTOLD, "load 0 ", "attach 0", "result 7"]
