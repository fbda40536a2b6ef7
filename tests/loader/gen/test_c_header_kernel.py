"""Programs with C headers in the running kernel: what they set, read and attach, and what they say if it fails."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bpfas.loader.gen import GenOptions
from bpfas.loader.gen.loader_program import Scheme
from bpfas.loader.kernel.config_text import option, running_config
from bpfas.loader.kernel.version import running_version
from bpfas.loader.runtime.cpus import possible_cpu_count
from tests.loader.gen.c_support import bpftool_header, executable, header_of, run_program
from tests.loader.kernel_support import Need, kernel_type, needs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.kernel

CONFIG = running_config()

FAMILIAR = """
struct point { int x, y; };
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 16); __type(key, int); __type(value, long); }
    counts SEC(".maps");
int calls = 5;
struct point origin = {3, 4};
const volatile int step = 1;
const volatile char text[8] = "hello";
long total;
SEC("raw_tp/sys_enter") int enter(void *ctx) {
    int key = 1; long value = text[0];
    calls += step; total += origin.y;
    bpf_map_update_elem(&counts, &key, &value, 0);
    return 0;
}
SEC("socket") int filter(struct __sk_buff *skb) { return calls; }
"""
FAMILIAR_DECLARATIONS = "struct point { int x, y; };\n"
FAMILIAR_PROGRAM = """
static __u32 max_entries(int map_fd) {
    struct bpf_map_info info = {};
    union bpf_attr attr = {};
    attr.info.bpf_fd = map_fd; attr.info.info_len = sizeof(info); attr.info.info = (long)&info;
    skel_sys_bpf(BPF_OBJ_GET_INFO_BY_FD, &attr, sizeof(attr));
    return info.max_entries;
}
int main(void) {
    int first = free_fd();
    struct app *skel = app__open();
    if (!skel) return 1;
    SAY("initial %d %d,%d %s %ld", skel->data->calls, skel->data->origin.x, skel->data->origin.y,
        skel->rodata->text, skel->bss->total);
    skel->data->calls = 40;
    skel->rodata->step = 2;
    skel->maps.counts.max_entries = 77;
    SAY("load %d", app__load(skel));
    SAY("entries %u", max_entries(skel->maps.counts.map_fd));
    SAY("before %d %ld", skel->data->calls, skel->bss->total);
    SAY("attach %d", app__attach(skel));
    SAY("linked %d %d", skel->links.enter_fd > 0, skel->links.filter_fd);
    getppid();
    app__detach(skel);
    SAY("ran %d %d", skel->data->calls > 40, skel->data->calls % 2);
    SAY("total %d", skel->bss->total == (skel->data->calls - 40) / 2 * 4);
    app__destroy(skel);
    app__destroy(NULL);
    skel = app__open_and_load();
    SAY("again %d", skel ? app__enter__attach(skel) > 0 : -1);
    app__destroy(skel);
    SAY("closed %d", free_fd() == first);
    return 0;
}
"""


def test_program_in_the_kernel(compile_c: Callable[..., str], tmp_path: Path) -> None:
    header = header_of(compile_c(FAMILIAR, "-g"))
    path = executable(header, FAMILIAR_PROGRAM, tmp_path, declarations=FAMILIAR_DECLARATIONS)
    assert run_program(path) == [
        "initial 5 3,4 hello 0",
        "load 0",
        "entries 77",
        "before 40 0",
        "attach 0",
        "linked 1 0",
        "ran 1 0",
        "total 1",
        "again 1",
        "closed 1",
    ]


@pytest.mark.peer
def test_program_written_for_bpftool(compile_c: Callable[..., str], tmp_path: Path) -> None:
    """One program, unchanged, with the header of bpftool and with ours, does the same."""
    path = compile_c(FAMILIAR, "-g")
    # bpftool's __detach closes descriptors that its __destroy closes again.
    program = FAMILIAR_PROGRAM.replace("app__detach(skel);\n", "")
    programs = {
        name: executable(header, program, tmp_path, declarations=FAMILIAR_DECLARATIONS, name=name)
        for name, header in (("ours", header_of(path)), ("theirs", bpftool_header(path)))
    }
    assert run_program(programs["ours"]) == run_program(programs["theirs"])


REFUSED = """
struct { __uint(type, BPF_MAP_TYPE_CPUMAP); __uint(max_entries, 1); __uint(key_size, 4); __uint(value_size, 4); }
    cpus SEC(".maps");
int count = 1;
SEC("socket") int good(struct __sk_buff *skb) { return count; }
SEC("socket") int wild(struct __sk_buff *skb) { return *(int *)(long)skb->len; }
"""
REFUSED_PROGRAM = """
static char text[65536];
int main(void) {
    int first = free_fd(), err;
    struct app *skel = app__open();
    if (!skel) return 1;
    skel->ctx.log_level = 1; skel->ctx.log_size = sizeof(text); skel->ctx.log_buf = (long)text;
    err = app__load(skel);
    SAY("wild %d %s", err, app__failed_step(skel));
    SAY("log %d", strstr(text, "invalid mem access") != NULL);
    SAY("open %d", free_fd() - first);
    skel->ctx.log_level = skel->ctx.log_size = skel->ctx.log_buf = 0;
    skel->maps.cpus.max_entries = 0xffffffff;
    err = app__load(skel);
    SAY("large %d %s", err, app__failed_step(skel));
    SAY("open %d", free_fd() - first);
    skel->maps.cpus.max_entries = 0;
    skel->progs.wild.prog_fd = -1;
    err = app__load(skel);
    SAY("without %d '%s'", err, app__failed_step(skel));
    SAY("loaded %d %d", skel->progs.good.prog_fd > 0, skel->progs.wild.prog_fd);
    SAY("attach %d %d", app__wild__attach(skel), skel->data->count);
    app__destroy(skel);
    SAY("open %d", free_fd() - first);
    return 0;
}
"""


def test_failure_says_which_step(compile_c: Callable[..., str], tmp_path: Path) -> None:
    """Nothing stays open, the kernel's log is whole, and the same skeleton can be loaded otherwise."""
    path = executable(header_of(compile_c(REFUSED, "-g")), REFUSED_PROGRAM, tmp_path)
    assert run_program(path) == [
        "wild -13 program wild: bpf(PROG_LOAD)",
        "log 1",
        "open 0",
        "large -7 map cpus: bpf(MAP_CREATE)",
        "open 0",
        "without 0 ''",
        "loaded 1 0",
        "attach 0 1",
        "open 0",
    ]


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
    assert run_program(path) == [f"{expected_kconfig()}0", "load -61 CONFIG_MINE has no value that its variab"]
    assert run_program(path, "77") == [f"{expected_kconfig()}77".replace(" 77", " 0"), "load 0 ", "mine 77"]


@pytest.mark.skipif(CONFIG is None, reason="the kernel's configuration cannot be read")
def test_configuration_that_was_given(compile_c: Callable[..., str], tmp_path: Path) -> None:
    options = GenOptions(kconfig="# a comment\nCONFIG_MINE=0x10\nCONFIG_MINE=5\nCONFIG_OTHER=y\n")
    header = header_of(compile_c(KCONFIG, "-g"), options=options)
    path = executable(header, KCONFIG_PROGRAM, tmp_path, declarations=KCONFIG_DECLARATIONS)
    assert run_program(path) == [f"{expected_kconfig()}16", "load 0 ", "mine 16"]


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
    assert run_program(path, "1") == [initial, "load -7 map memory: it has fewer pages than its data takes"]


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
    SAY("load %d %.24s", err, app__failed_step(skel));
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
    assert run_program(path, "larger") == ["load -22 map c_header_shared: wha"]


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
    "untold -61 program whose function replacing replaces: it has to be given before loading",
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


@needs(kernel_type("excl_prog_hash"))
@pytest.mark.parametrize("scheme", Scheme)
def test_program_made_to_be_signed(scheme: Scheme, compile_c: Callable[..., str], tmp_path: Path) -> None:
    """Without a signature it is run with the data as closed to others as with one, and nothing can be changed."""
    header = header_of(compile_c(FAMILIAR, "-g"), options=GenOptions(scheme=scheme))
    program = """
    int main(void) {
        int first = free_fd();
        struct app *skel = app__open();
        skel->data->calls = 40;
        SAY("load %d %s", app__load(skel), app__failed_step(skel));
        SAY("calls %d", skel->data->calls);
        app__destroy(skel);
        SAY("open %d", free_fd() - first);
        return 0;
    }
    """
    path = executable(header, program, tmp_path, declarations=FAMILIAR_DECLARATIONS)
    assert run_program(path) == ["load 0 ", "calls 5", "open 0"]


@needs(Need.XDP_LINK)
def test_attaching_to_a_target(compile_c: Callable[..., str], tmp_path: Path) -> None:
    header = header_of(compile_c('SEC("xdp") int passes(struct xdp_md *ctx) { return 2; }', "-g"))
    program = """
    #include <net/if.h>
    int main(void) {
        struct app *skel = app__open_and_load();
        SAY("attach %d", app__attach(skel));
        SAY("to lo %d", app__passes__attach_to(skel, if_nametoindex("lo")) > 0);
        SAY("link %d", skel->links.passes_fd > 0);
        SAY("to nothing %d", app__passes__attach_to(skel, 0x7ffffff) < 0);
        app__destroy(skel);
        return 0;
    }
    """
    path = executable(header, program.replace("\n    #", "\n#"), tmp_path)
    assert run_program(path) == ["attach 0", "to lo 1", "link 1", "to nothing 1"]
