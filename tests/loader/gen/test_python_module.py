"""Python modules of loader programs, in an interpreter that has nothing but the standard library."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bpfas.elf.constants import HOST_ORDER, ByteOrder
from bpfas.loader import open_image, syscall
from bpfas.loader.gen import GenOptions, generate
from bpfas.loader.gen.certificates import read_certificate
from bpfas.loader.gen.keyring import in_keyring
from bpfas.loader.gen.loader_program import Scheme
from bpfas.loader.gen.options import NO_GEN_OPTIONS
from bpfas.loader.gen.python_module import python_module
from bpfas.loader.gen.signed_loading import kernel_scheme
from bpfas.loader.gen.signing import sign
from bpfas.loader.kinds import MapType
from tests.loader.attach_support import cgroup2_root, compile_library
from tests.loader.gen.signing_support import signer
from tests.loader.kernel_support import Need, Requirement, kernel_type, map_type, needs
from tests.loader.network import set_up

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bpfas.loader.gen import LoaderProgram
    from bpfas.loader.spec import Image

INTERPRETER = "/usr/bin/python3"
CODE = """\
import os, sys
sys.path.insert(0, {folder!r})
before = os.listdir("/proc/self/fd")
import app
{code}
assert os.listdir("/proc/self/fd") == before, "a descriptor is left open"
"""

SOURCE = """
#include <stdbool.h>
struct point { int x, y; unsigned char tag[4]; unsigned low : 3, high : 5; union { int u; long v; }; };
enum color { RED, GREEN = 5 };
int threshold = 3;
bool flag = true;
char greeting[16] = "hello";
short table[4] = {1, 2, 3, 4};
struct point origin = {1, 2};
enum color color = GREEN;
double ratio = 0.5;
__int128 wide = -1;
unsigned long total;
static volatile int hidden = 4;
const volatile int limit = 7;
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 16); __type(key, int); __type(value, struct point); }
    points SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY); __uint(max_entries, 2); __type(key, int); __type(value, long); }
    counts SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 2); __uint(key_size, 4); __uint(value_size, 12); }
    plain SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 100); } events SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_QUEUE); __uint(max_entries, 4); __uint(value_size, 4); } queue SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_BLOOM_FILTER); __uint(max_entries, 4); __type(value, int); } seen SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY); __uint(key_size, 4); __uint(value_size, 4); }
    perf SEC(".maps");
SEC("xdp") int prog(struct xdp_md *ctx) {
    int zero = 0;
    long *count = bpf_map_lookup_elem(&counts, &zero);
    struct point *point = bpf_map_lookup_elem(&points, &zero);
    __sync_fetch_and_add(&total, threshold + limit);
    if (count)
        ++*count;
    if (point)
        point->x += hidden;
    bpf_ringbuf_output(&events, &threshold, 4, 0);
    bpf_map_push_elem(&queue, &threshold, 0);
    return table[1] + origin.x + color + greeting[0] + flag + (long)&wide % 1;
}
SEC("raw_tp/sys_enter") int enter(void *ctx) { total++; return 0; }
SEC("?socket") int unused(void *ctx) { return 0; }
"""


@pytest.fixture
def write_module(compile_c: Callable[..., str], tmp_path: Path) -> Callable[..., Path]:
    """A function that writes the module `app.py` of a C source (or an Image) and gives its path."""

    def write(source: str | Image, options: GenOptions = NO_GEN_OPTIONS, *, name: str = "app") -> Path:
        image = open_image(compile_c(source, "-g", name=name)) if isinstance(source, str) else source
        path = tmp_path / "app.py"
        path.write_text(python_module(generate(image, options)))
        return path

    return write


def interpret(module: Path, code: str) -> str:
    """What `code` prints that has imported the module; fails if it raises, or leaves a descriptor open."""
    text = CODE.format(folder=str(module.parent), code=textwrap.dedent(code))
    run = subprocess.run([INTERPRETER, "-I", "-S", "-c", text], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    return run.stdout


def command(module: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [INTERPRETER, "-I", "-S", str(module), *arguments], capture_output=True, text=True, timeout=60
    )


def test_text_is_the_same_in_every_process(compile_c: Callable[..., str]) -> None:
    path = compile_c(SOURCE, "-g")
    code = f"""
from bpfas.loader import open_image, syscall
from bpfas.loader.gen import generate
from bpfas.loader.gen.python_module import python_module
print(python_module(generate(open_image({path!r}))))
"""
    texts = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(texts) == 1


def test_python_3_9_reads_it(write_module: Callable[..., Path]) -> None:
    tree = ast.parse(write_module(SOURCE).read_text(), feature_version=(3, 9))
    imported = {alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names}
    assert imported <= sys.stdlib_module_names
    kinds = [
        node.args[1]
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "isinstance"
    ]
    assert not [kind for kind in kinds if isinstance(kind, ast.BinOp)]  # Python 3.9 has no `int | str` there


def test_ruff_has_nothing_to_say(write_module: Callable[..., Path]) -> None:
    ruff = Path(sys.executable).with_name("ruff")
    if not ruff.exists():
        pytest.skip("no ruff in this environment")
    path = write_module(SOURCE)
    settings = ("--config", str(Path(__file__).parents[3] / "pyproject.toml"))
    for arguments in (("check",), ("format", "--diff")):
        run = subprocess.run([ruff, *arguments, *settings, path], capture_output=True, text=True)
        assert run.returncode == 0, run.stdout


def test_has_only_the_parts_that_the_object_needs(write_module: Callable[..., Path]) -> None:
    text = write_module('SEC("xdp") int prog(struct xdp_md *ctx) { return 2; }').read_text()
    assert "class XdpProgram" in text
    assert not [
        name for name in ("RingBuffer", "StructOpsMap", "PerCpu", "KprobeProgram", "DataMap") if name in text
    ]
    assert len(text) < 40_000


def test_another_byte_order_is_told(write_module: Callable[..., Path], compile_c: Callable[..., str]) -> None:
    other = "--target=bpfeb" if HOST_ORDER is ByteOrder.LITTLE else "--target=bpfel"
    module = write_module(open_image(compile_c('SEC("xdp") int prog(void *ctx) { return 2; }', other)))
    code = """
    try:
        app.open_and_load()
    except app.LoadError as error:
        print(error.errno_name, error)
    """
    assert (
        f"ENOEXEC cannot load app: ENOEXEC: it is for {'big' if sys.byteorder == 'little' else 'little'}-endian"
        in (interpret(module, code))
    )


def test_values_before_loading_are_typed(write_module: Callable[..., Path]) -> None:
    printed = interpret(
        write_module(SOURCE),
        """
        skel = app.open()
        data = skel.data
        print(data.threshold, data.flag, data.greeting, list(data.table), data.color, data.ratio, data.wide)
        print(data.origin.x, data.origin.y, data.origin.tag, skel.rodata.limit, skel.bss.total)
        data.threshold = -5
        data.flag = False
        data.greeting = "ö"
        data.table = [4, 3, 2, 1]
        data.table[-1] = 0x7fff
        data.color = "RED"
        data.ratio = 1.5
        data.wide = -(1 << 127)
        data.origin = {"x": 7, "low": 5}
        data.origin.high = 9
        data.origin.v = -1
        data["hidden"] = 11
        print(data.threshold, data.flag, data.greeting, data.table, data.color, data.ratio)
        print(data.wide == -(1 << 127))
        print(data.origin)
        print(data.hidden, data.origin == app.Point(x=7, low=5, high=9, v=-1), bytes(data.origin)[:4])
        """,
    )
    assert printed.splitlines() == [
        "3 True hello [1, 2, 3, 4] 5 0.5 -1",
        "1 2 b'\\x00\\x00\\x00\\x00' 7 0",
        "-5 False ö [4, 3, 2, 32767] 0 1.5",
        "True",
        "struct point(x=7, y=0, tag=b'\\x00\\x00\\x00\\x00', low=5, high=9, u=-1, v=-1)",
        f"11 True {(7).to_bytes(4, sys.byteorder)!r}",
    ]


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("data.treshold = 5", "AttributeError .data has no treshold, only threshold, "),
        ("data.threshold = 1 << 31", "ValueError threshold: 2147483648 is not from -2147483648 to 2147483647"),
        ("data.threshold = 'x'", "TypeError threshold: 'x' is no whole number"),
        ("data.flag = 2", "ValueError flag: 2 is neither True nor False"),
        ("data.greeting = 'x' * 16", "ValueError greeting: there is room for 15 bytes of text, not 16"),
        ("data.table = [1]", "ValueError table: an array of 4 takes that many values, not 1"),
        ("data.table[4] = 1", "IndexError 4 is not an index of 4 elements"),
        ("data.color = 'BLUE'", "ValueError color: 'BLUE' is none of RED, GREEN"),
        ("data.origin.low = 8", "ValueError low: 8 is not from 0 to 7"),
        ("data.origin = b'x'", "ValueError origin: struct point takes 24 bytes, not 1"),
        ("skel.maps.points.max_entries = 0", "ValueError map points cannot have 0 entries"),
        ("skel.progs.unused.autoload = True", "ValueError program unused is not in the loader program"),
        (
            "skel.maps['points'].name = skel.maps['nonesuch']",
            "KeyError 'there is no nonesuch, only counts, ",
        ),
    ],
)
def test_what_cannot_be_set_is_told(write_module: Callable[..., Path], statement: str, message: str) -> None:
    code = f"""
    skel = app.open()
    data = skel.data
    try:
        {statement}
    except Exception as error:
        print(type(error).__name__, error)
    """
    assert interpret(write_module(SOURCE), code).startswith(message)


@pytest.mark.kernel
@needs(map_type(MapType.RINGBUF), map_type(MapType.BLOOM_FILTER))
def test_loads_and_runs(write_module: Callable[..., Path]) -> None:
    printed = interpret(
        write_module(SOURCE),
        """
        with app.open() as skel:
            skel.data.threshold = 5
            skel.data.origin.x = 100
            skel.rodata.limit = 1
            skel.bss.total = 1000
            skel.maps.points.max_entries = 64
            assert skel.load() is skel
            skel.maps.points[0] = app.Point(x=3)
            run = skel.progs.prog.test_run(bytes(64))
            print(run.retval, len(run.data), skel.bss.total, skel.maps.points[0].x, sum(skel.maps.counts[0]))
            print(skel.maps.events.read(), skel.maps.events.read(), skel.maps.queue.peek(), skel.maps.queue.pop())
            skel.data.threshold = 6
            skel.progs.prog.test_run(bytes(64))
            print(skel.bss.total, skel.maps.events.wait(1)[0][0], skel.maps.points[0].x, skel.progs.unused.fd)
            count = 0
            try:
                while count < 100:
                    skel.maps.points[count] = {"x": count}
                    count += 1
            except app.BpfError as error:
                print(count, error.errno_name)
            try:
                skel.rodata.limit = 2
            except TypeError as error:
                print(error)
            print(skel.maps.events.max_entries == os.sysconf("SC_PAGE_SIZE"), skel.maps.perf.max_entries > 0)
        skel.close()
        try:
            skel.data.threshold
        except ValueError as error:
            print(error)
        """,
    )
    little = sys.byteorder == "little"
    assert printed.splitlines() == [
        f"{2 + 100 + 5 + ord('h') + 1} 64 1006 7 1",
        f"[{(5).to_bytes(4, sys.byteorder)!r}] [] 5 5",
        f"1013 {6 if little else 0} 11 -1",
        "64 E2BIG",
        "limit: it is read-only once it is loaded: give it its value before that",
        "True True",
        "the object is closed",
    ]


@pytest.mark.kernel
@needs(map_type(MapType.BLOOM_FILTER))
def test_elements_of_maps(write_module: Callable[..., Path]) -> None:
    printed = interpret(
        write_module(SOURCE),
        """
        with app.open_and_load() as skel:
            points, counts, plain = skel.maps.points, skel.maps.counts, skel.maps.plain
            seen, queue = skel.maps.seen, skel.maps.queue
            points[-1] = {"x": 1, "tag": b"ab"}
            points[2] = bytes(24)
            points.update(3, app.Point(y=4), app.NOEXIST)
            print(sorted(points), -1 in points, 5 in points, points.get(5), points[-1].tag, points.pop(3).y)
            del points[2]
            print({key: value.x for key, value in points.items()}, len(list(points.values())))
            for action in (lambda: points[2], lambda: points.delete(2)):
                try:
                    action()
                except KeyError as error:
                    print("KeyError", error)
            try:
                points.update(-1, {}, app.NOEXIST)
            except app.BpfError as error:
                print(error)
            counts[1] = [7] * len(counts[1])
            print(set(counts[1]), list(counts))
            plain[1] = b"abc"
            print(plain[1])
            seen.push(5)
            print(5 in seen)
            queue.push(1)
            queue.push(2)
            print(queue.pop(), queue.pop(), queue.pop("none"))
            try:
                points["x"]
            except TypeError as error:
                print(error)
        """,
    )
    assert printed.splitlines() == [
        "[-1, 2, 3] True False None b'ab\\x00\\x00' 4",
        "{-1: 1} 1",
        "KeyError 2",
        "KeyError 2",
        "cannot update map points: EEXIST: File exists",
        "{7} [0, 1]",
        "b'abc\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00'",
        "True",
        "1 2 none",
        "key of map points: 'x' is no whole number",
    ]


@pytest.mark.kernel
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


REFUSED = """
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 16); __type(key, int); __type(value, int); }
    counts SEC(".maps");
int threshold = 3;
const volatile int is_wrong = 0;
SEC("xdp") int good(struct xdp_md *ctx) { return threshold; }
SEC("xdp") int bad(struct xdp_md *ctx) { return is_wrong ? *(int *)(long)ctx->rx_queue_index : 2; }
"""


@pytest.mark.kernel
def test_refusal_tells_step_and_whole_log_and_can_be_mended(write_module: Callable[..., Path]) -> None:
    printed = interpret(
        write_module(REFUSED),
        """
        with app.open() as skel:
            skel.rodata.is_wrong = 1
            fds = os.listdir("/proc/self/fd")
            try:
                skel.load()
            except app.LoadError as error:
                print(error.step, error.errno_name, "R1" in error.log, "processed" in error.log)
                print(str(error).endswith(error.log.rstrip()))
            print(os.listdir("/proc/self/fd") == fds, skel.is_loaded)
            skel.rodata.is_wrong = 0
            skel.maps.counts.max_entries = 0xffffffff
            try:
                skel.load()
            except app.LoadError as error:
                print(error.step, error.errno_name in ("E2BIG", "ENOMEM"))
            skel.maps.counts.max_entries = 5
            skel.load(log_level=1)
            print("processed" in skel.log, skel.progs.bad.test_run(bytes(64)).retval)
            try:
                skel.load()
            except app.LoadError as error:
                print(error)
        """,
    )
    assert printed.splitlines() == [
        "load program bad (BPF_PROG_LOAD) EACCES True True",
        "True",
        "True False",
        "create map counts (BPF_MAP_CREATE) True",
        "True 2",
        "cannot load app: EALREADY: it is loaded",
    ]


@pytest.mark.kernel
def test_program_can_be_left_out(write_module: Callable[..., Path]) -> None:
    printed = interpret(
        write_module(REFUSED),
        """
        with app.open() as skel:
            skel.rodata.is_wrong = 1
            skel.progs.bad.autoload = False
            skel.load()
            print(skel.progs.bad.fd, skel.progs.good.test_run(bytes(64)).retval)
        """,
    )
    assert printed == "-1 3\n"


KCONFIG = """
extern int CONFIG_HZ __kconfig;
extern _Bool CONFIG_BPF_SYSCALL __kconfig __weak;
extern int CONFIG_NONESUCH __kconfig __weak;
extern char CONFIG_DEFAULT_HOSTNAME[16] __kconfig __weak;
extern unsigned LINUX_KERNEL_VERSION __kconfig;
extern _Bool LINUX_HAS_BPF_COOKIE __kconfig;
SEC("socket") int prog(void *ctx) {
    return CONFIG_HZ + CONFIG_BPF_SYSCALL + CONFIG_NONESUCH + CONFIG_DEFAULT_HOSTNAME[0] + LINUX_KERNEL_VERSION
        + LINUX_HAS_BPF_COOKIE;
}
"""


@pytest.mark.kernel
def test_kconfig_is_the_running_kernels_unless_set(write_module: Callable[..., Path]) -> None:
    options = GenOptions(kconfig='CONFIG_HZ=12\nCONFIG_DEFAULT_HOSTNAME="abc"\n')
    printed = interpret(
        write_module(KCONFIG, options),
        """
        with app.open_and_load() as skel:
            print(skel.kconfig.CONFIG_HZ, skel.kconfig.CONFIG_NONESUCH, skel.kconfig.CONFIG_DEFAULT_HOSTNAME)
            print(skel.kconfig.LINUX_KERNEL_VERSION >> 16, skel.kconfig.LINUX_HAS_BPF_COOKIE)
        with app.open() as skel:
            skel.kconfig.CONFIG_HZ = 500
            skel.kconfig.CONFIG_NONESUCH = -3
            skel.load()
            print(skel.kconfig.CONFIG_HZ, skel.kconfig.CONFIG_NONESUCH, skel.kconfig.CONFIG_BPF_SYSCALL in (0, 1))
        """,
    )
    assert printed.splitlines() == ["12 0 abc", f"{os.uname().release.split('.')[0]} True", "500 -3 True"]


@pytest.mark.kernel
def test_kconfig_that_the_kernel_does_not_say_is_told(write_module: Callable[..., Path]) -> None:
    module = write_module(KCONFIG.replace("CONFIG_NONESUCH __kconfig __weak", "CONFIG_NONESUCH __kconfig"))
    code = """
    with app.open() as skel:
        try:
            skel.load()
        except app.LoadError as error:
            print(error.step, error.errno_name, error.reason)
        skel.kconfig.CONFIG_HZ = skel.kconfig.CONFIG_NONESUCH = 1
        skel.load()
        print(skel.kconfig.CONFIG_NONESUCH)
    """
    told, value = interpret(module, code).splitlines()
    assert told.startswith("find out the kernel's configuration ENODATA ")
    assert "CONFIG_NONESUCH" in told
    assert "skel.kconfig.CONFIG_NONESUCH = ..." in told
    assert value == "1"


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


@pytest.mark.kernel
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


@pytest.mark.kernel
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


ARENA = """
#define __arena __attribute__((address_space(1)))
struct { __uint(type, 33); __uint(map_flags, BPF_F_MMAPABLE); __uint(max_entries, 4); } arena SEC(".maps");
int __arena first SEC(".addr_space.1") = 40;
int __arena second SEC(".addr_space.1") = 2;
SEC("syscall") int sum(void *ctx) { first++; return first + second + ((long)&arena == 1); }
"""


@pytest.mark.kernel
@needs(map_type(MapType.ARENA))
def test_arena(write_module: Callable[..., Path]) -> None:
    printed = interpret(
        write_module(ARENA),
        """
        with app.open() as skel:
            skel.arena.second = 3
            skel.load()
            print(skel.progs.sum.test_run().retval, skel.arena.first)
            print(len(skel.maps.arena.view) == skel.maps.arena.size)
            skel.arena.first = 10
            print(skel.progs.sum.test_run().retval)
        """,
    )
    assert printed.splitlines() == ["44 41", "True", "14"]


@pytest.mark.kernel
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


@pytest.mark.kernel
def test_pinned_maps_are_shared(
    write_module: Callable[..., Path], compile_c: Callable[..., str], bpffs: Path
) -> None:
    source = """
    struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 4); __type(key, int); __type(value, int); }
        shared SEC(".maps");
    SEC("socket") int prog(void *ctx) { int key = 1; return !bpf_map_lookup_elem(&shared, &key); }
    """
    image = open_image(compile_c(source, "-g"))
    image.set_map("shared", pin_path=str(bpffs / "shared"))
    printed = interpret(
        write_module(image),
        """
        with app.open_and_load() as first, app.open_and_load() as second:
            first.maps.shared[1] = 2
            print(second.maps.shared[1])
        with app.open_and_load() as skel:
            print(skel.maps.shared[1])
        with app.open() as skel:
            skel.maps.shared.max_entries = 9
            try:
                skel.load()
            except app.LoadError as error:
                print(error.reason)
        """,
    )
    assert printed.splitlines() == [
        "2",
        "2",
        f"its max entries is 4, not 9 (rm {bpffs / 'shared'} removes it)",
    ]


@pytest.mark.kernel
def test_maps_in_maps_take_what_has_a_descriptor(write_module: Callable[..., Path]) -> None:
    source = """
    struct inner { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, int);
        __type(value, long); } first SEC(".maps"), second SEC(".maps");
    struct { __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS); __uint(max_entries, 3); __type(key, int);
        __array(values, struct inner); } outer SEC(".maps") = { .values = { [1] = &second } };
    SEC("socket") int prog(void *ctx) { int key = 1; return !bpf_map_lookup_elem(&outer, &key); }
    """
    printed = interpret(
        write_module(source),
        """
        with app.open_and_load() as skel:
            outer = skel.maps.outer
            outer[0] = skel.maps.first
            print(outer[0] > 0, outer[1] > 0, outer.get(2))
        """,
    )
    assert printed == "True True None\n"


def test_command_knows_names_with_dots(write_module: Callable[..., Path]) -> None:
    source = """
    struct { int x; } function = {1};
    SEC(".data.data") int function_ = 1;
    SEC("xdp") int prog(void *ctx) { static volatile int x = 2; return x + function_ + function.x; }
    """
    module = write_module(source)
    run = command(module, "--set", "prog.x=3", "--set", "data.function.x=4", "--set", "function_=5", "--info")
    assert run.returncode == 0, run.stderr
    assert {"variable data.prog.x = 3", "variable data_data.function_ = 5"} <= set(run.stdout.splitlines())
    assert "variable data.function = function(x=4)" in run.stdout.replace("struct", "function")


def test_object_without_types(compile_c: Callable[..., str], write_module: Callable[..., Path]) -> None:
    source = """
    struct map_definition SEC("maps") counts = { BPF_MAP_TYPE_HASH, 4, 12, 8 };
    int threshold = 3;
    char bytes[3] = "abc";
    SEC("xdp") int prog(void *ctx) { return threshold + bytes[0] + !bpf_map_lookup_elem(&counts, &threshold); }
    """
    printed = interpret(
        write_module(open_image(compile_c(source))),
        """
        skel = app.open()
        skel.data.threshold = 5
        print(skel.data, skel.maps.counts.key.size, skel.maps.counts.value.size)
        """,
    )
    assert printed == ".data(threshold=5, bytes=b'abc') 4 12\n"


def test_hostile_names(write_module: Callable[..., Path], compile_c: Callable[..., str]) -> None:
    source = """
    struct class { int def; int size; int read; int __private; };
    struct class import = {1, 2, 3, 4};
    struct Map { int x; } with;
    int __dunder, add, size;
    struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, int);
        __type(value, struct Map); }
        lambda SEC(".maps"), add_ SEC(".maps"), __veiled SEC(".maps"), data SEC(".maps");
    SEC("xdp") int pass(struct xdp_md *ctx) { int key = 0; return import.def + with.x + __dunder + add + size
        + !bpf_map_lookup_elem(&lambda, &key) + !bpf_map_lookup_elem(&add_, &key)
        + !bpf_map_lookup_elem(&__veiled, &key) + !bpf_map_lookup_elem(&data, &key); }
    """
    image = open_image(compile_c(source, "-g", name="class"))
    module = write_module(image)
    printed = interpret(
        module,
        """
        skel = app.open()
        print(type(skel).__name__, skel.progs.pass_.name, skel.maps.lambda_.name, skel.maps._veiled.name)
        print(skel.maps["data"].name, skel.maps[".data"].name, skel.maps.data is not skel.maps.data_2)
        value = skel.data["import"]
        print(value["def"], value.size, value.read, getattr(value, "__private"), skel.bss["__dunder"])
        value["def"] = 9
        print(skel.data["import"]["def"], app.Map_2)
        """,
    )
    assert printed.splitlines() == [
        "Class pass lambda __veiled",
        "data .data True",
        "1 2 3 4 0",
        "9 <struct Map: x>",
    ]


def test_command_tells_what_is_in_the_object(write_module: Callable[..., Path]) -> None:
    module = write_module(SOURCE)
    run = command(
        module,
        *("--set", "threshold=7", "--set", "origin.x=0x10", "--set", "table.2=9", "--set", "data.greeting=ab"),
        *(
            "--set",
            "limit=8",
            "--set",
            "flag=false",
            "--set",
            "color=RED",
            "--map",
            "points.max_entries=99",
            "--info",
        ),
    )
    assert run.returncode == 0, run.stderr
    lines = run.stdout.splitlines()
    assert "map points: hash, key 4, value 24, max_entries 99" in lines
    assert "program enter: section raw_tp/sys_enter" in lines
    assert {
        "variable data.threshold = 7",
        "variable data.table = [1, 2, 9, 4]",
        "variable data.greeting = 'ab'",
        "variable rodata.limit = 8",
        "variable data.flag = False",
        "variable data.color = 0",
    } <= set(lines)
    assert any(line.startswith("variable data.origin = struct point(x=16, y=2") for line in lines)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--set", "nonesuch=1"), "app.py: variable 'nonesuch' is none of data.threshold, "),
        (("--set", "threshold"), "app.py: 'threshold' is to be NAME=VALUE"),
        (("--set", "threshold=many"), "app.py: --set threshold=many: threshold: 'many' is no whole number"),
        (("--set", "table.9=1"), "app.py: --set table.9=1: 9 is not an index of 4 elements"),
        (("--map", "points.size=1"), "app.py: --map points.size=1: it is to be one of counts.max_entries, "),
        (("--map", "points.max_entries=x"), "app.py: --map points.max_entries=x: "),
        (("--target", "prog=5"), "app.py: --target prog=5: there is no freplace program 'prog'"),
        (("--token", "/sys/fs/bpf"), "app.py: --token: the loader program is not made for tokens"),
        (("--keyring", "session"), "app.py: --keyring: the loader program is not signed"),
    ],
)
def test_command_tells_what_it_does_not_take(
    write_module: Callable[..., Path], arguments: tuple[str, ...], message: str
) -> None:
    run = command(write_module(SOURCE), *arguments, "--info")
    assert run.returncode == 1
    assert run.stderr.startswith(message)


@pytest.mark.kernel
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


@pytest.mark.kernel
def test_command_pins(write_module: Callable[..., Path], bpffs: Path) -> None:
    module = write_module(REFUSED)
    assert command(module, "--pin", str(bpffs / "new")).returncode == 0
    assert sorted(path.name for path in (bpffs / "new").iterdir()) == ["_data", "_rodata", "bad", "counts", "good"]
    run = command(module, "--pin", str(bpffs / "new"))
    assert run.returncode == 1
    assert "EEXIST" in run.stderr
    assert len(list((bpffs / "new").iterdir())) == 5


SIGNED = """
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 4); __type(key, int); __type(value, int); }
    counts SEC(".maps");
int threshold = 3;
const volatile int limit = 7;
SEC("xdp") int prog(struct xdp_md *ctx) { return threshold + limit + !bpf_map_lookup_elem(&counts, &threshold); }
"""


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


@pytest.mark.kernel
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


@pytest.mark.kernel
@needs(Need.TRAMPOLINES)
def test_traces_functions(write_module: Callable[..., Path]) -> None:
    source = """
    int hits;
    unsigned long long cookie;
    SEC("fentry/do_unlinkat") int on_entry(void *ctx) { hits++; cookie = bpf_get_attach_cookie(ctx); return 0; }
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
            print(skel.bss.hits > 0)
            skel.detach()
            with skel.progs.on_entry.attach(cookie=7):
                unlink()
            print(skel.bss.cookie)
        """,
    )
    assert printed.splitlines() == ["True", "7"]


@pytest.mark.kernel
@needs(
    Requirement("kprobes", lambda: "" if Path("/sys/bus/event_source/devices/kprobe").exists() else "no events")
)
def test_probes(write_module: Callable[..., Path]) -> None:
    source = """
    int entries, returns, calls;
    unsigned long long cookie;
    SEC("kprobe/do_unlinkat") int on_entry(void *ctx) { entries++; cookie = bpf_get_attach_cookie(ctx); return 0; }
    SEC("kretprobe/do_unlinkat") int on_return(void *ctx) { returns++; return 0; }
    SEC("ksyscall/unlink") int on_call(void *ctx) { calls++; return 0; }
    SEC("kprobe") int on_any(void *ctx) { return 0; }
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
            print(skel.bss.entries, skel.bss.returns, skel.bss.calls)
            skel.detach()
            with skel.progs.on_entry.attach(cookie=7), skel.progs.on_any.attach("do_unlinkat+0x0", retprobe=False):
                unlink()
            unlink()
            print(skel.bss.entries, skel.bss.cookie)
            for how in ({"function": "nonesuch_function"}, {}):
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


@pytest.mark.kernel
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


@pytest.mark.kernel
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


def why_no_exclusive_maps() -> str:
    try:
        os.close(syscall.map_create("m", MapType.ARRAY, 4, 8, 1, exclusive_hash=bytes(32)))
    except OSError as error:
        return f"making one gives {error.errno}"
    return ""


def why_no_signatures() -> str:
    return "" if kernel_scheme() else "this kernel verifies none"


def signed_module(folder: Path, program: LoaderProgram, name: str = "app") -> Path:
    module = folder / f"{name}.py"
    module.write_text(python_module(program))
    return module


@pytest.mark.kernel
@needs(Requirement("maps of one program", why_no_exclusive_maps))
@pytest.mark.parametrize("scheme", [Scheme.EARLY_HASH_IN_PROGRAM, Scheme.INSTRUCTIONS_AND_DATA])
def test_made_to_be_signed(scheme: Scheme, compile_c: Callable[..., str], tmp_path: Path) -> None:
    program = generate(open_image(compile_c(SIGNED, "-g")), GenOptions(scheme=scheme))
    keys = signer(tmp_path, "RSA")
    signed_module(tmp_path, program._replace(data=program.data[:-1] + b"\1"), "damaged")
    printed = interpret(
        signed_module(tmp_path, sign(program, keys.key, keys.certificate)),
        """
        import damaged
        with app.open() as skel:
            skel.data.threshold = 4  # what programs may write is not signed
            skel.load()  # without a keyring nothing is verified
            print(skel.progs.prog.test_run(bytes(64)).retval)
        for module, keyring, change in (
            (app, None, "skel.rodata.limit = 5"),
            (app, None, "skel.maps.counts.max_entries = 5"),
            (app, "nonesuch", ""),
            (damaged, None, ""),
        ):
            with module.open() as skel:
                exec(change)
                skel.loader.keyring = keyring
                try:
                    skel.load()
                except module.LoadError as error:
                    print(error)
        """,
    )
    told = "its data is not that which was signed"
    keyrings = "builtin, secondary, platform, thread, process, session, user"
    reason = "EPERM: its size and its first contents are signed, and cannot be changed"
    assert printed.splitlines() == [
        "12",
        f"cannot load app with another map .rodata: {reason}",
        f"cannot load app with another map counts: {reason}",
        f"cannot load the loader program of app: EINVAL: the keyring is 'nonesuch', and is to be of {keyrings}",
        *([f"cannot load app: EINVAL: {told}"] if scheme is Scheme.EARLY_HASH_IN_PROGRAM else []),
    ]


@pytest.mark.kernel
@needs(Requirement("signatures of programs", why_no_signatures))
def test_signatures_are_verified(compile_c: Callable[..., str], tmp_path: Path) -> None:
    keys = signer(tmp_path, "RSA")
    image = open_image(compile_c(SIGNED, "-g"))
    program = sign(generate(image, GenOptions(scheme=kernel_scheme())), keys.key, keys.certificate)
    module = signed_module(tmp_path, program)
    signed_module(tmp_path, program._replace(instructions=program.instructions[:-16] * 2), "damaged")
    with in_keyring(read_certificate(keys.certificate), "session"):
        printed = interpret(
            module,
            """
            import damaged
            for module, keyring in ((app, "session"), (app, "user"), (damaged, "session")):
                with module.open() as skel:
                    skel.loader.keyring = keyring
                    try:
                        skel.load()
                        print(skel.progs.prog.test_run(bytes(64)).retval)
                    except module.LoadError as error:
                        print(error.errno_name, error.reason)
            """,
        )
    assert printed.splitlines() == [
        "11",
        "ENOKEY the key that has signed it is not in the keyring",
        "EKEYREJECTED the signature is not one of these instructions and data",
    ]
