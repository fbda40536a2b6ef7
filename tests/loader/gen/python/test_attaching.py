"""Python modules of loader programs that attach, each way that they know."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bpfas.loader import open_image
from bpfas.loader.gen import generate
from bpfas.loader.gen.python.module import python_module
from tests.loader.attach_support import cgroup2_root, compile_library, function_behind_unlink
from tests.loader.gen.python.support import INTERPRETER, SOURCE, interpret
from tests.loader.kernel_support import Need, Requirement, kernel_type, needs
from tests.loader.network import set_up

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


pytestmark = pytest.mark.kernel


def test_attaches_and_detaches(write_module: Callable[..., Path]) -> None:
    printed = interpret(
        write_module(SOURCE),
        """
        with app.open() as skel:
            try:
                skel.progs.enter.attach()
            except app.AttachError as error:
                print(error)
            skel.load()
            skel.attach()
            skel.attach()
            link, = skel.progs.enter.links
            os.getpid(), os.stat("/")
            print(skel.bss.total > 0, link)
            skel.detach()
            print(link)
            total = skel.bss.total
            os.stat("/")
            print(skel.bss.total == total)
            with skel.progs.enter.attach("sys_exit") as link:
                os.stat("/")
            print(skel.bss.total > total)
            for attach in (
                lambda: skel.progs.enter.attach("nonesuch"),
                lambda: skel.progs.prog.attach("nonesuch"),
                lambda: skel.progs.prog.attach("lo", mode="fast"),
                lambda: skel.progs.unused.attach(),
            ):
                try:
                    attach()
                except (app.AttachError, ValueError) as error:
                    print(error)
            skel.progs.enter.attach()
        """,
    )
    advice = "give it to a socket: sock.setsockopt(socket.SOL_SOCKET, 50, program.fd)  # SO_ATTACH_BPF"
    assert printed.splitlines() == [
        "cannot attach enter: EBADF: it is not loaded: load() comes first",
        "True <Link enter to raw tracepoint sys_enter>",
        "<Link enter to raw tracepoint sys_enter, closed>",
        "True",
        "True",
        "cannot attach enter to raw tracepoint nonesuch: ENOENT: there is no such tracepoint",
        "cannot attach prog: ENODEV: there is no interface nonesuch (ip link)",
        "mode is 'fast', not one of any, generic, native, offload",
        f"cannot attach unused: ENOTSUP: this module does not do that: {advice}",
    ]


@pytest.fixture
def cgroup() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="test-", dir=cgroup2_root()))
    yield directory
    directory.rmdir()


WAYS = """
int hits;
struct { __uint(type, BPF_MAP_TYPE_SOCKMAP); __uint(max_entries, 1); __type(key, int); __type(value, int); }
    sockets SEC(".maps");
SEC("xdp") int on_xdp(struct xdp_md *ctx) { hits++; return XDP_PASS; }
SEC("tcx/ingress") int on_tcx(struct __sk_buff *skb) { hits++; return -1; }
SEC("cgroup_skb/egress") int on_cgroup(struct __sk_buff *skb) { hits++; return 1; }
SEC("cgroup/skb") int on_any(struct __sk_buff *skb) { hits++; return 1; }
SEC("sk_lookup") int on_lookup(struct bpf_sk_lookup *ctx) { hits++; return SK_PASS; }
SEC("sk_msg") int on_message(struct sk_msg_md *msg) { hits++; return SK_PASS; }
SEC("sk_skb/stream_verdict") int on_stream(struct __sk_buff *skb) { hits++; return SK_PASS; }
SEC("perf_event") int on_sample(void *ctx) { hits++; return 0; }
"""


@pytest.mark.usefixtures("network")
def test_ways_to_attach(write_module: Callable[..., Path], cgroup: Path) -> None:
    set_up("lo")
    printed = interpret(
        write_module(WAYS),
        f"""
        import socket
        def send():
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                sender.sendto(b"x", ("127.0.0.1", 9))
        with app.open_and_load() as skel:
            progs, sockets = skel.progs, skel.maps.sockets
            def attached(name, *arguments, **keywords):
                before = skel.bss.hits
                link = getattr(progs, name).attach(*arguments, **keywords)
                send()
                for each in link if isinstance(link, list) else [link]:
                    assert each.is_open
                    each.close()
                print(name, skel.bss.hits > before)
            attached("on_xdp", "lo", mode="generic")
            attached("on_xdp", 1, "generic")
            attached("on_lookup")
            attached("on_lookup", "/proc/self/ns/net")
            attached("on_message", sockets)
            attached("on_stream", sockets.fd)
            attached("on_cgroup", {str(cgroup)!r})
            attached("on_any", {str(cgroup)!r}, attach_type=1)
            attached("on_sample", frequency=1000)
            try:
                attached("on_tcx", "lo", order="first")
            except app.AttachError as error:
                print(error.errno_name)
            for attach in (
                lambda: progs.on_cgroup.attach("/nonesuch"),
                lambda: progs.on_cgroup.attach("/tmp"),
                lambda: progs.on_lookup.attach("nonesuch"),
                lambda: progs.on_message.attach(sockets, role="parser"),
                lambda: progs.on_tcx.attach("lo", direction="up"),
            ):
                try:
                    attach()
                    print("attached")
                except app.AttachError as error:
                    print(error.errno_name)
        """,
    )
    lines = printed.splitlines()
    assert lines[0:4] == ["on_xdp True", "on_xdp True", "on_lookup True", "on_lookup True"]
    assert [line.split()[0] for line in lines[4:9]] == [
        "on_message",
        "on_stream",
        "on_cgroup",
        "on_any",
        "on_sample",
    ]
    assert lines[9] in ("on_tcx True", "EINVAL")  # not all kernels have tcx
    assert lines[10:] == ["ENOENT", "EBADF", "ENOENT", "EINVAL", "EINVAL"]


@needs(Need.TRAMPOLINES)
@pytest.mark.parametrize(
    ("kind", "times"), [("fentry", 1), pytest.param("fsession", 2, marks=needs(Need.TRACING_SESSION))]
)
def test_traces_functions(write_module: Callable[..., Path], kind: str, times: int) -> None:
    source = f"""
    int hits;
    unsigned long long cookie;
    SEC("{kind}/{function_behind_unlink()}") int traced(void *ctx)
    {{ hits++; cookie = bpf_get_attach_cookie(ctx); return 0; }}
    """
    printed = interpret(
        write_module(source),
        """
        def unlink():
            try:
                os.unlink("/nonesuch")
            except FileNotFoundError:
                pass
        with app.open_and_load() as skel:
            skel.attach()
            unlink()
            print(skel.bss.hits)
            skel.detach()
            with skel.progs.traced.attach(cookie=7):
                unlink()
            print(skel.bss.cookie)
        """,
    )
    hits, cookie = map(int, printed.splitlines())
    assert hits >= times
    assert cookie == 7


@needs(
    Requirement("kprobes", lambda: "" if Path("/sys/bus/event_source/devices/kprobe").exists() else "no events")
)
def test_probes(write_module: Callable[..., Path]) -> None:
    function = function_behind_unlink()
    source = f"""
    int entries, returns, calls;
    unsigned long long cookie;
    SEC("kprobe/{function}") int on_entry(void *ctx)
    {{ entries++; cookie = bpf_get_attach_cookie(ctx); return 0; }}
    SEC("kretprobe/{function}") int on_return(void *ctx) {{ returns++; return 0; }}
    SEC("ksyscall/unlink") int on_call(void *ctx) {{ calls++; return 0; }}
    SEC("kprobe") int on_any(void *ctx) {{ return 0; }}
    """
    printed = interpret(
        write_module(source),
        f"""
        def unlink():
            try:
                os.unlink("/nonesuch")
            except FileNotFoundError:
                pass
        with app.open_and_load() as skel:
            skel.attach()
            unlink()
            print(skel.bss.entries, skel.bss.returns, skel.bss.calls)
            skel.detach()
            with skel.progs.on_entry.attach(cookie=7), skel.progs.on_any.attach("{function}+0x0", retprobe=False):
                unlink()
            unlink()
            print(skel.bss.entries, skel.bss.cookie)
            for how in ({{"function": "nonesuch_function"}}, {{}}):
                try:
                    skel.progs.on_any.attach(**how)
                except app.AttachError as error:
                    print(error)
        """,
    )
    assert printed.splitlines() == [
        "1 1 1",
        "2 7",
        "cannot attach on_any to kprobe nonesuch_function: ENOENT: there is no such function, event or file",
        "cannot attach on_any: EINVAL: say to what: attach('FUNCTION')",
    ]


@needs(
    Requirement("uprobes", lambda: "" if Path("/sys/bus/event_source/devices/uprobe").exists() else "no events")
)
def test_probes_of_files(write_module: Callable[..., Path], tmp_path: Path) -> None:
    library = compile_library(tmp_path, "int probed(int x) { return x + 1; } int other(int x) { return x; }")
    source = f"""
    int entries, returns, calls;
    SEC("uprobe/{library}:probed") int on_entry(void *ctx) {{ entries++; return 0; }}
    SEC("uretprobe/{library}:probed") int on_return(void *ctx) {{ returns++; return 0; }}
    SEC("uprobe") int on_any(void *ctx) {{ calls++; return 0; }}
    """
    printed = interpret(
        write_module(source),
        f"""
        import ctypes
        library = ctypes.CDLL({str(library)!r})
        with app.open_and_load() as skel:
            skel.attach()
            library.probed(1)
            print(skel.bss.entries, skel.bss.returns)
            skel.detach()
            with skel.progs.on_any.attach({str(library)!r}, "other", pid=os.getpid()):
                library.other(1)
            library.other(1)
            print(skel.bss.calls)
            for path, function in (({str(library)!r}, "nonesuch"), ("nonesuch", "x"), ("/etc/passwd", "x")):
                try:
                    skel.progs.on_any.attach(path, function)
                except app.AttachError as error:
                    print(error.errno_name, error.reason)
        """,
    )
    assert printed.splitlines() == [
        "1 1",
        "1",
        "ENOENT it has no such function in its symbol tables",
        "ENOENT it is not where executables and libraries are: give its path",
        "ENOEXEC it is no 64-bit ELF file: give the function's offset",
    ]


@needs(kernel_type("bpf_iter_bpf_map_elem"))
def test_iterator(write_module: Callable[..., Path]) -> None:
    source = """
    struct seq_file;
    struct bpf_iter_meta { struct seq_file *seq; unsigned long long session_id, seq_num; };
    struct bpf_iter__bpf_map_elem { struct bpf_iter_meta *meta; void *map; int *key; int *value; }
        __attribute__((preserve_access_index));
    struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 3); __type(key, int); __type(value, int); }
        counts SEC(".maps");
    SEC("iter/bpf_map_elem") int walk(struct bpf_iter__bpf_map_elem *ctx) {
        static const char line[] = "element\\n";
        if (ctx->key)
            bpf_seq_write(ctx->meta->seq, line, sizeof(line) - 1);
        return 0;
    }
    """
    printed = interpret(
        write_module(source),
        """
        with app.open_and_load() as skel:
            with skel.progs.walk.attach(map=skel.maps.counts) as link:
                print(list(link), link.read())
        """,
    )
    assert printed == "['element', 'element', 'element'] b'element\\nelement\\nelement\\n'\n"


STRUCT_OPS = """
struct tcp_sock;
struct tcp_congestion_ops { unsigned (*ssthresh)(void *sk); unsigned (*undo_cwnd)(void *sk);
    void (*cong_avoid)(void *sk, unsigned ack, unsigned acked); unsigned flags; void *of_no_kernel;
    char name[16]; };
SEC("struct_ops/ssthresh") unsigned ssthresh(unsigned long long *ctx) { return 2; }
SEC("struct_ops/undo_cwnd") unsigned undo_cwnd(unsigned long long *ctx) { return 2; }
SEC("struct_ops/cong_avoid") void cong_avoid(unsigned long long *ctx) { }
SEC(".struct_ops") struct tcp_congestion_ops proof = {
    .ssthresh = (void *)ssthresh, .undo_cwnd = (void *)undo_cwnd, .cong_avoid = (void *)cong_avoid,
    .name = "bpf_module_1" };
"""


@needs(kernel_type("bpf_struct_ops_tcp_congestion_ops"))
def test_struct_ops(write_module: Callable[..., Path]) -> None:
    printed = interpret(
        write_module(STRUCT_OPS),
        """
        def known():
            with open("/proc/sys/net/ipv4/tcp_available_congestion_control") as file:
                return file.read().split()
        with app.open() as skel:
            skel.maps.proof.variables.name = "bpf_module_2"
            skel.load()
            skel.attach()
            print("bpf_module_2" in known())
            skel.detach()
            print("bpf_module_2" in known())
        with app.open_and_load() as skel:
            with skel.maps.proof.attach() as link:
                print(link, "bpf_module_1" in known())
            print("bpf_module_1" in known())
        """,
    )
    assert printed.splitlines() == ["True", "False", "<Link struct_ops proof> True", "False"]


@needs(kernel_type("bpf_struct_ops_tcp_congestion_ops"))
@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            ".name =",
            ".of_no_kernel = (void *)1, .name =",
            "of_no_kernel is not zero, but the kernel has no such member",
        ),
        ("unsigned flags", "unsigned short flags", "flags has 2 bytes, but 4 in the kernel"),
        ("tcp_congestion_ops", "of_no_kernel_ops", "the kernel has no such struct of operations"),
    ],
)
def test_struct_ops_that_the_kernel_does_not_have(
    write_module: Callable[..., Path], old: str, new: str, message: str
) -> None:
    module = write_module(STRUCT_OPS.replace(old, new))
    code = """
    with app.open() as skel:
        try:
            skel.load()
        except app.LoadError as error:
            print(error.reason)
    """
    assert interpret(module, code).startswith(message)


@needs(Need.TRAMPOLINES)
def test_freplace_target_by_pin_and_descriptor(
    write_module: Callable[..., Path], tmp_path: Path, compile_c: Callable[..., str], bpffs: Path
) -> None:
    target = """
    __attribute__((noinline)) int replaced(struct xdp_md *ctx) { volatile int value = 1; return value; }
    SEC("xdp") int prog(struct xdp_md *ctx) { return replaced(ctx); }
    """
    image = open_image(compile_c(target, "-g", name="target"))
    (tmp_path / "target.py").write_text(python_module(generate(image)))
    module = write_module('SEC("freplace/replaced") int other(struct xdp_md *ctx) { return 5; }')
    printed = interpret(
        module,
        f"""
        import target
        with target.open_and_load() as base:
            base.progs.prog.pin({str(bpffs / "prog")!r})
            for how in ({{"pin": {str(bpffs / "prog")!r}}}, {{"fd": base.progs.prog.fd}}):
                with app.open() as skel:
                    skel.progs.other.set_target(**how)
                    skel.load()
                    skel.attach()
                    print(base.progs.prog.test_run(bytes(64)).retval)
        with app.open() as skel:
            try:
                skel.load()
            except app.LoadError as error:
                print(error)
            try:
                skel.progs.other.set_target(pin={str(bpffs / "nonesuch")!r})
            except app.BpfError as error:
                print(error.errno_name)
        """,
    )
    assert printed.splitlines() == [
        "5",
        "5",
        "cannot load other: EINVAL: say which program it is for: progs.other.set_target(id=...), or pin= or fd=",
        "ENOENT",
    ]


def test_command_attaches_until_it_is_interrupted(write_module: Callable[..., Path]) -> None:
    module = write_module(SOURCE)
    with subprocess.Popen(
        [INTERPRETER, "-I", "-S", str(module), "--attach", "enter,tracepoint=sys_exit"],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "attached enter to raw tracepoint sys_exit\n"
        process.terminate()
        assert process.wait(30) == 0
