"""bpf-load run of iterators, and bpf-load attach: to places named on the command line, with events, with pins."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from bpfas.loader import load
from bpfas.loader.cli import main
from bpfas.loader.runtime.maps import Map
from tests.loader.kernel_support import Need, kernel_type, needs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [pytest.mark.kernel, pytest.mark.peer, pytest.mark.usefixtures("no_leaks")]

ITERATORS = """
#include <bpf/bpf_tracing.h>
struct seq_file;
struct bpf_iter_meta { struct seq_file *seq; } __attribute__((preserve_access_index));
struct bpf_map { unsigned id; } __attribute__((preserve_access_index));
struct bpf_iter__bpf_map { struct bpf_iter_meta *meta; struct bpf_map *map; }
    __attribute__((preserve_access_index));
struct bpf_iter__bpf_map_elem { struct bpf_iter_meta *meta; struct bpf_map *map; void *key; void *value; }
    __attribute__((preserve_access_index));
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 2); __type(key, unsigned);
         __type(value, unsigned); } numbers SEC(".maps");
SEC("iter/bpf_map") int maps(struct bpf_iter__bpf_map *ctx)
{
    struct bpf_map *map = ctx->map;
    if (map) BPF_SEQ_PRINTF(ctx->meta->seq, "map %u\\n", map->id);
    return 0;
}
SEC("iter/bpf_map_elem") int elements(struct bpf_iter__bpf_map_elem *ctx)
{
    unsigned *key = ctx->key, *value = ctx->value;
    if (key && value) BPF_SEQ_PRINTF(ctx->meta->seq, "%u=%u\\n", *key, *value);
    return 0;
}
"""
SOCKETS = """
struct event { unsigned length; };
struct event *type_of_events;
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 4096); } events SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_SOCKMAP); __uint(max_entries, 2); __uint(key_size, 4); __uint(value_size, 4); }
    sockets SEC(".maps");
SEC("sk_skb/stream_verdict") int verdict(struct __sk_buff *skb) { return SK_PASS; }
SEC("xdp") int watch(struct xdp_md *ctx)
{
    struct event event = { ctx->data_end - ctx->data };
    bpf_ringbuf_output(&events, &event, sizeof(event), 0);
    return XDP_PASS;
}
"""


@needs(Need.BTF)
def test_run_walks_with_an_iterator(compile_c: Callable[..., str], capsys: pytest.CaptureFixture[str]) -> None:
    app = compile_c(ITERATORS, "-g")
    assert main(["run", app, "maps"]) == 0
    assert capsys.readouterr().out.startswith("map ")
    arguments = ["run", app, "elements", "--to", "map=numbers"]
    assert main([*arguments, "--dump-maps", "--map", "numbers.max_entries=1"]) == 0
    assert capsys.readouterr().out.startswith("0=0\nnumbers (array, key 4, value 4):\n  0: 0\n")
    assert main([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"program": "elements", "output": "0=0\n1=0\n"}


@needs(Need.BTF)
def test_an_iterator_over_a_map_may_walk_another_objects(
    compile_c: Callable[..., str], bpffs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    app = compile_c(ITERATORS, "-g")
    assert main(["pin", app, str(bpffs / "app")]) == 0
    with Map.from_pin(bpffs / "app" / "numbers") as numbers:
        numbers[1] = 7
        assert capsys.readouterr()
        assert main(["run", app, "elements", "--to", f"map=id:{numbers.id}"]) == 0
    assert capsys.readouterr().out == "0=0\n1=7\n"
    assert main(["run", app, "elements", "--to", f"map={bpffs}/app/none"]) == 2
    assert main(["unpin", str(bpffs / "app")]) == 0


def test_run_attaches_nothing_but_iterators(
    compile_c: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", compile_c(SOCKETS, "-g"), "watch", "--to", "interface=lo"]) == 1
    assert "--to and --way are for iterators, and watch is none" in capsys.readouterr().err


def test_attaching_to_a_map_of_the_object(
    compile_c: Callable[..., str], bpffs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["attach", compile_c(SOCKETS, "-g"), "verdict", "--way", "sockmap-attach", "--to", "map=sockets"]
    assert main([*arguments, "--pin", str(bpffs / "app")]) == 1
    assert "link" in capsys.readouterr().err
    assert not list(bpffs.glob("*/*"))


@pytest.mark.parametrize(
    ("to", "message"),
    [
        ("interface=no-such-interface", "no-such-interface"),
        ("interfaces=lo", "takes no keyword interfaces"),
        ("lo", "'lo' is not of the form --to KEY=VALUE"),
    ],
)
def test_a_place_that_is_none(
    to: str, message: str, compile_c: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["attach", compile_c(SOCKETS, "-g"), "watch", "--to", to]) == 1
    error = capsys.readouterr().err
    assert error.startswith("bpf-load: error: ")
    assert message in error


def test_a_place_that_is_missing_is_asked_for_in_the_words_of_the_command(
    compile_c: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["attach", compile_c(SOCKETS, "-g"), "watch"]) == 1
    assert "remedy: say it: --to interface=…" in capsys.readouterr().err


TYPED = """
SEC("perf_event") int event(void *ctx) { return 0; }
SEC("uprobe") int user(void *ctx) { return 0; }
SEC("tc") int shaped(struct __sk_buff *skb) { return 0; }
SEC("xdp") int watch(struct xdp_md *ctx) { return XDP_PASS; }
SEC("socket") int filter(struct __sk_buff *skb) { return 0; }
SEC("cgroup_skb/egress") int group(struct __sk_buff *skb) { return 1; }
"""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("event event=cpu-clock pid=abc", "pid is 'abc', not a number"),
        ("event event=cpu-clock cpus=abc", "cpus is 'abc', not a list of numbers"),
        ("event event=cpu-clock cpus=0", "cpus is 0, not a list of numbers"),
        ("event event=cpu-clock cookie=abc", "cookie is 'abc', not a number"),
        ("event event=cpu-clock cookie=100000000000000000000", "not a number of 64 bits"),
        ("event event=cpu-clock frequency=abc", "frequency is 'abc', not a number"),
        ("user path=/bin/bash function=main retprobe=no", "retprobe is 'no', not true or false"),
        ("user path=/bin/bash", "neither a function nor an offset says where in the file"),
        ("event event=cpu-clock frequency=0", "the frequency is 0"),
        ("watch interface=lo interface=lo0", "--to says interface twice: interface=lo0 is the second"),
        ("user path=/bin/bash offset=abc", "offset is 'abc', not a number"),
        ("shaped interface=lo way=tcx expected_revision=abc", "expected_revision is 'abc', not a number"),
        ("shaped interface=lo way=clsact parent=abc", "parent is 'abc', not a number"),
        ("watch interface=lo way=xdp-netlink force=perhaps", "force is 'perhaps', not true or false"),
        ("watch interface=null", "interface is None, not a text or a number"),
        ("filter socket=abc", "socket is 'abc', not a socket or a number"),
        ("group cgroup=/sys/fs/cgroup preorder=maybe", "preorder is 'maybe', not true or false"),
    ],
)
def test_values_of_another_type(
    words: str, message: str, compile_c: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    program, *places = words.split()
    options = [
        word
        for place in places
        for word in (["--way", place.removeprefix("way=")] if place.startswith("way=") else ["--to", place])
    ]
    assert main(["attach", compile_c(TYPED, "-g"), program, *options]) == 1
    error = capsys.readouterr().err
    assert error.startswith("bpf-load: error: ")
    assert message in error


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["sockets"],
            "map sockets has no events: it is of type sockmap\n>>> --events takes a ring",
        ),
        (["event"], "there is no map 'event'"),
        (["events", "--event-type", "struct evt"], "struct evt"),
    ],
)
def test_events_are_looked_at_before_anything_is_attached(
    words: list[str], message: str, compile_c: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    place = ["--to", "interface=lo", "--to", "mode=generic"]
    assert main(["attach", compile_c(SOCKETS, "-g"), "watch", *place, "--events", *words]) == 1
    captured = capsys.readouterr()
    assert message in captured.err
    assert "attached" not in captured.out


def test_events_are_for_a_command_that_waits(
    compile_c: Callable[..., str], bpffs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    app = compile_c(SOCKETS, "-g")
    assert main(["attach", app, "watch", "--pin", str(bpffs / "app"), "--events", "events"]) == 1
    assert "--pin ends the command" in capsys.readouterr().err


@needs(Need.BTF, Need.STRUCT_OPS_LINK, kernel_type("bpf_struct_ops_tcp_congestion_ops"))
def test_a_struct_of_operations_by_name(
    compile_c: Callable[..., str], bpffs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = """
    struct sock;
    struct tcp_congestion_ops { unsigned (*ssthresh)(struct sock *); void (*cong_avoid)(struct sock *, unsigned,
        unsigned); unsigned (*undo_cwnd)(struct sock *); char name[16]; };
    SEC("struct_ops") unsigned threshold(unsigned long long *ctx) { return 2; }
    SEC("struct_ops") void avoid(unsigned long long *ctx) { }
    SEC("struct_ops") unsigned undo(unsigned long long *ctx) { return 10; }
    SEC(".struct_ops.link") struct tcp_congestion_ops control = { .ssthresh = (void *)threshold,
        .cong_avoid = (void *)avoid, .undo_cwnd = (void *)undo, .name = "bpfas_named" };
    """
    app = compile_c(source, "-g")
    assert main(["attach", app, "control", "--pin", str(bpffs / "app")]) == 0
    assert capsys.readouterr().out.startswith("control: attached to ")
    assert main(["unpin", str(bpffs / "app")]) == 0
    assert main(["attach", app, "avoid"]) == 1
    assert "bpf-load attach OBJ MAP" in capsys.readouterr().err


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_attached_until_interrupted_with_events(
    form: tuple[str, ...], compile_c: Callable[..., str], network: object
) -> None:
    """The command runs in the namespace of the test, as a process of its own."""
    assert network
    command = [sys.executable, "-m", "bpfas.loader", "attach", compile_c(SOCKETS, "-g"), "watch"]
    command += ["--to", "interface=lo", "--to", "mode=generic", "--events", "events"]
    process = subprocess.Popen(
        [*command, *form, "--event-type", "struct event"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process, process.stdout as output:
        try:
            report = output.readline()
            if form:
                assert [link["target"] for link in json.loads(report)] == ["XDP of lo, generic"]
            else:
                assert report == "watch: attached to XDP of lo, generic\n"
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                sender.sendto(bytes(58), ("127.0.0.1", 9))
            assert output.readline() == '{"length": 100}\n'
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0
        finally:
            process.kill()


def test_events_of_a_map_that_is_in_the_kernel(compile_c: Callable[..., str]) -> None:
    with load(compile_c(SOCKETS, "-g")) as app:
        command = [sys.executable, "-m", "bpfas.loader", "maps", "events", f"id:{app.maps['events'].id}"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        with process, process.stdout as output:
            try:
                app.programs["watch"].test_run(bytes(64))
                assert output.readline() == "40 00 00 00\n"
                process.send_signal(signal.SIGTERM)
                assert process.wait(60) == 0
            finally:
                process.kill()
