"""Python modules written for tests, and run in an interpreter that has nothing but the standard library."""

from __future__ import annotations

import subprocess
import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


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


REFUSED = """
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 16); __type(key, int); __type(value, int); }
    counts SEC(".maps");
int threshold = 3;
const volatile int is_wrong = 0;
SEC("xdp") int good(struct xdp_md *ctx) { return threshold; }
SEC("xdp") int bad(struct xdp_md *ctx) { return is_wrong ? *(int *)(long)ctx->rx_queue_index : 2; }
"""


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
