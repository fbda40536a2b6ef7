"""What is generated is the same everywhere: it depends on nothing of the machine, and nothing of the process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.peers import Peer

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.peer

SOURCE = """
extern int LINUX_KERNEL_VERSION __kconfig;
extern unsigned CONFIG_HZ __kconfig;
extern const void bpf_prog_active __ksym __weak;
extern void bpf_rcu_read_lock(void) __ksym __weak;
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 100); } ring SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY); __type(key, int); __type(value, int); } events SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __type(key, int); __type(value, long); __uint(max_entries, 3); }
    counts SEC(".maps");
int threshold = 5;
const volatile int limit = 7;
SEC("raw_tp/sys_enter") int watch(void *context)
{
    int key = 0;
    long *count = bpf_map_lookup_elem(&counts, &key);
    if (count)
        *count += threshold + limit + CONFIG_HZ + LINUX_KERNEL_VERSION;
    if (&bpf_prog_active && bpf_rcu_read_lock)
        bpf_perf_event_output(context, &events, 0, &key, sizeof key);
    return bpf_ringbuf_output(&ring, &key, sizeof key, 0);
}
"""
FORMATS = ("raw", "python", "c", "elf", "trace")
OF_THE_KERNEL = ("/sys/kernel", "/proc/kallsyms", "/proc/config.gz", "/proc/version", "/boot", "/sys/devices")


def generated(path: str, form: str, directory: Path, *wrapper: str, **environment: str) -> bytes:
    """What `bpf-load gen` prints in a process of its own."""
    what = ("--trace", "--json") if form == "trace" else ("--format", form)
    command = (*wrapper, sys.executable, "-m", "bpfas.loader", "gen", path, *what)
    root = str(Path(__file__).parents[3])
    environment = {**os.environ, "PYTHONPATH": root, **environment}
    return subprocess.run(command, cwd=directory, env=environment, capture_output=True, check=True).stdout


@pytest.mark.parametrize("form", FORMATS)
def test_processes_give_the_same(form: str, compile_c: Callable[..., str], tmp_path: Path) -> None:
    path = compile_c(SOURCE, "-g", name="watch")
    other = tmp_path / "elsewhere" / "watch.o"
    other.parent.mkdir()
    other.write_bytes(Path(path).read_bytes())
    first = generated(path, form, tmp_path, PYTHONHASHSEED="1", LANG="C", TZ="UTC")
    # Root without capabilities may do no more than anybody.
    wrapper = ("setpriv", "--inh-caps=-all", "--bounding-set=-all") if os.geteuid() == 0 else ()
    second = generated(
        str(other), form, other.parent, *wrapper,
        PYTHONHASHSEED="2", LANG="C.UTF-8", TZ="Asia/Tokyo", XDG_CACHE_HOME=str(tmp_path / "cache"),
    )  # fmt: skip
    assert len(first) > 1000
    assert first == second


def test_nothing_of_the_kernel_is_looked_at(compile_c: Callable[..., str], tmp_path: Path) -> None:
    path = compile_c(SOURCE, "-g", name="watch")
    log = tmp_path / "log"
    strace = Peer.STRACE.require()
    for form in FORMATS:
        generated(path, form, tmp_path, strace, "-f", "-o", str(log), "-e", "trace=bpf,openat,readlink")
        lines = log.read_text().splitlines()
        assert not [line for line in lines if "bpf(" in line]
        assert not [line for line in lines if any(f'"{place}' in line for place in OF_THE_KERNEL)]
