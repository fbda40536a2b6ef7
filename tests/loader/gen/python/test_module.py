"""Python modules of loader programs before anything is loaded: their text, values, names, command line."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bpfas.elf.constants import HOST_ORDER, ByteOrder
from bpfas.loader import open_image
from tests.loader.gen.python.support import SOURCE, command, interpret

if TYPE_CHECKING:
    from collections.abc import Callable


def test_text_is_the_same_in_every_process(compile_c: Callable[..., str]) -> None:
    path = compile_c(SOURCE, "-g")
    code = f"""
from bpfas.loader import open_image, syscall
from bpfas.loader.gen import generate
from bpfas.loader.gen.python.module import python_module
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
    settings = ("--config", str(Path(__file__).parents[4] / "pyproject.toml"))
    for arguments in (("check",), ("format", "--diff")):
        run = subprocess.run([ruff, *arguments, *settings, path], capture_output=True, text=True)
        assert run.returncode == 0, run.stdout


def test_has_only_the_parts_that_the_object_needs(write_module: Callable[..., Path]) -> None:
    text = write_module('SEC("xdp") int prog(struct xdp_md *ctx) { return 2; }').read_text()
    assert "class XdpProgram" in text
    assert not [
        name for name in ("RingBuffer", "StructOpsMap", "PerCpu", "KprobeProgram", "DataMap") if name in text
    ]
    assert len(text) < 44_000


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


def test_values_are_read_in_the_byte_order_of_the_module(
    write_module: Callable[..., Path], compile_c: Callable[..., str]
) -> None:
    other = "--target=bpfeb" if HOST_ORDER is ByteOrder.LITTLE else "--target=bpfel"
    source = """
    struct { int low : 3, high : 29; float ratio; short table[2]; } set = {3, -100, 0.5, {1, 0x102}};
    const volatile int step = 100;
    SEC("xdp") int prog(void *ctx) { return set.low + step; }
    """
    module = write_module(open_image(compile_c(source, "-g", other)))
    run = command(module, "--set", "set.table.0=3", "--info")
    assert "variable data.set = struct(low=3, high=-100, ratio=0.5, table=[3, 258])" in run.stdout.replace(
        "{ ... }", ""
    ), run.stdout
    assert "variable rodata.step = 100" in run.stdout.splitlines()


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


def test_members_are_called_by_the_rule_for_maps_and_programs(write_module: Callable[..., Path]) -> None:
    source = """
    struct s { int class, from, from_, __private; struct { int with; }; } import = {1, 2, 3, 4, {5}}, def;
    SEC("xdp") int yield(struct xdp_md *ctx) { static volatile int x = 6; return import.class + def.from + x; }
    """
    printed = interpret(
        write_module(source),
        """
        skel = app.open()
        value = skel.data.import_
        print(value.class_, value.from_, value.from__2, value._private, value.with_, skel.data.yield_x)
        value.class_ = 7
        skel.bss.def_ = app.S(class_=8, with_=9)
        skel.data.yield_x = 10
        print(value["class"], skel.bss["def"], skel.data["yield.x"], "class_" in dir(value), list(value)[:2])
        try:
            value.pass_
        except AttributeError as error:
            print(error)
        """,
    )
    assert printed.splitlines() == [
        "1 3 2 4 5 6",
        "7 struct s(class=8, from=0, from_=0, __private=0, with=9) 10 True ['class', 'from']",
        "struct s has no pass_, only class, from, from_, __private, with",
    ]


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
        (("--map", ".bss.max_entries=2"), "app.py: --map .bss.max_entries=2: map .bss has one value, and no size"),
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


def test_command_tells_what_it_leaves_to_others(write_module: Callable[..., Path]) -> None:
    source = """
    struct tcp_congestion_ops { void (*init)(void *sk); char name[16]; };
    SEC("struct_ops") int used(void *ctx) { return 0; }
    SEC("struct_ops") int idle(void *ctx) { return 0; }
    SEC(".struct_ops") struct tcp_congestion_ops first = { .init = (void *)used, .name = "first" };
    SEC(".struct_ops") struct tcp_congestion_ops second = { .init = (void *)idle, .name = "second" };
    SEC("syscall") int run(void *ctx) { return 0; }
    SEC("socket") int filter(void *ctx) { return 0; }
    """
    printed = interpret(
        write_module(source),
        """
        skel = app.open()
        for each in skel.progs:
            each.fd = os.open(os.devnull, os.O_RDONLY)
        skel.maps.first.links.append(app.Link(-1, "struct_ops first"))
        print(*(line.partition(",")[0] for line in app.attachment_lines(skel)), sep="\\n")
        skel.close()
        """,
    )
    assert printed.splitlines() == ["attached struct_ops first", "not attached idle", "not attached filter"]


ATTACHED = """
SEC("xdp") int x(struct xdp_md *ctx) { return 2; }
SEC("tc") int cls(struct __sk_buff *ctx) { return 0; }
SEC("netfilter") int nf(void *ctx) { return 1; }
SEC("sk_msg") int msg(struct sk_msg_md *ctx) { return 1; }
SEC("kprobe.multi/vfs_*") int many(void *ctx) { return 0; }
SEC("perf_event") int sample(void *ctx) { return 0; }
SEC("socket") int filter(void *ctx) { return 0; }
"""


def test_command_lists_what_attaching_takes(write_module: Callable[..., Path]) -> None:
    lines = command(write_module(ATTACHED), "--info").stdout.splitlines()
    assert [line.partition("[,priority")[0] for line in lines if "--attach" in line] == [
        "  --attach x,interface=...[,mode=any|generic|native|offload]",
        "  --attach cls,interface=...[,direction=ingress|egress|netkit-primary|netkit-peer][,order=first|last]",
        "  --attach nf,hook=prerouting|input|forward|output|postrouting[,family=ipv4|ipv6]",
        "  --attach msg,map=...[,role=stream_parser|stream_verdict|msg|verdict]",
        "  --attach many[,pattern=...]",
        "  --attach sample[,frequency=99][,kind=1][,config=...][,cookie=...]",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cls", "missing a required argument: 'interface'; say --attach cls,interface=...[,direction="),
        ("x,interface=lo,mod=generic", "got an unexpected keyword argument 'mod'; say --attach x,interface=...[,"),
        ("filter,fd=3", "got an unexpected keyword argument 'fd'; it is not attached by this module"),
    ],
)
def test_command_tells_what_attaching_takes(write_module: Callable[..., Path], text: str, message: str) -> None:
    code = f"""
    try:
        app.attach_program(app.open(), {text!r})
    except app.UsageError as error:
        print(error)
    """
    assert interpret(write_module(ATTACHED), code).startswith(f"--attach {text}: {message}")


def test_command_proposes_only_maps_whose_size_can_be_set(write_module: Callable[..., Path]) -> None:
    declared = "int number; const volatile int limit = 1;"
    source = declared + 'SEC("xdp") int prog(struct xdp_md *ctx) { return number + limit; }'
    run = command(write_module(source), "--map", "x.max_entries=1", "--info")
    assert run.stderr == "app.py: --map x.max_entries=1: there is no map whose size can be set\n"
    run = command(write_module(SOURCE), "--map", "x.max_entries=1", "--info")
    assert "points.max_entries, " in run.stderr
    assert ".bss" not in run.stderr
