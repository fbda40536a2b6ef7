"""CO-RE: finding the running kernel's types, and relocating a program, beside libbpf.

    python -m bench.core [--rounds N]

The index is what is found out of the kernel's BTF: `cold` without what an earlier process kept, `warm` with it,
`in process` a second time. libbpf's times are those of opening, relocating and loading the object, in a process of
its own that does it many times; ours of the same in this process, with a warm index and, for `cold`, without one.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from bpfas.diag import Diagnostics
from bpfas.elf.reader import read_object
from bpfas.loader.core.apply import apply_core
from bpfas.loader.core.resolver import CoreResolver
from bpfas.loader.image.build import build_image
from bpfas.loader.instructions import Code
from bpfas.loader.kernel.described import DescribedKernel
from bpfas.loader.kernel.type_files import running_modules, running_types
from bpfas.loader.loading.execute import load_image

if TYPE_CHECKING:
    from collections.abc import Callable

    from bpfas.loader.spec import Image

_RUNNER = Path(__file__).parent.parent / "tests/loader/core/libbpf_core.c"
_CLANG = "/usr/bin/clang-22"
_COMPILER = "/usr/bin/gcc"
_SOURCE = """
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
typedef unsigned long long u64; typedef unsigned int u32; typedef unsigned short u16; typedef unsigned char u8;
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct mm_struct { u64 start_code; u64 end_code; int map_count; };
struct cred { struct { u32 val; } uid; };
struct nsproxy { struct net *net_ns; };
struct net { struct { u32 inum; } ns; };
struct file { u32 f_flags; struct inode *f_inode; };
struct inode { u64 i_ino; struct super_block *i_sb; };
struct super_block { u32 s_dev; };
struct sk_buff { u32 len; struct sock *sk; };
struct sock { struct { u16 skc_family; u16 skc_num; } __sk_common; };
struct task_struct { int pid; int tgid; u64 start_time; struct task_struct *real_parent; struct mm_struct *mm;
    struct cred *cred; struct nsproxy *nsproxy; char comm[16]; u32 __state; };
struct task_struct___old { long state; };
#pragma clang attribute pop
enum pid_type { PIDTYPE_SID = 77 };
SEC("raw_tp/sched_switch") int watch(void *ctx)
{
    struct task_struct *task = (void *)bpf_get_current_task();
    struct task_struct___old *old = (void *)task;
    struct file *file = (void *)task;
    struct sk_buff *skb = (void *)task;
    u64 sum = BPF_CORE_READ(task, real_parent, tgid) + BPF_CORE_READ(task, mm, map_count);
    sum += BPF_CORE_READ(task, cred, uid.val) + BPF_CORE_READ(task, nsproxy, net_ns, ns.inum);
    sum += BPF_CORE_READ(file, f_inode, i_sb, s_dev) + BPF_CORE_READ(skb, sk, __sk_common.skc_family);
    sum += bpf_core_field_exists(old->state) ? BPF_CORE_READ(old, state) : BPF_CORE_READ(task, __state);
    sum += bpf_core_enum_value(enum pid_type, PIDTYPE_SID) + bpf_core_type_size(struct sk_buff);
    return sum != 0;
}
char license_text[] SEC("license") = "GPL";
"""


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        path = _compiled(folder)
        image = _image(path)
        print(f"an object with {sum(len(program.core) for program in image.programs.values())} relocations:")
        os.environ["XDG_CACHE_HOME"] = directory
        cold = _median(rounds, _index_cold)
        warm = _median(rounds, _index_warm)
        _show("index, cold", cold)
        _show("index, warm", warm)
        _show("index, in process", _median(rounds, running_types))
        _show("relocation, index there", _median(rounds, lambda: _relocate(image)))
        _show("whole load, index cold", cold_load := _median(rounds, lambda: _load(path, _index_cold)))
        _show("whole load, index warm", warm_load := _median(rounds, lambda: _load(path, _index_warm)))
        _show("whole load, in process", load := _median(rounds, lambda: _load(path, running_types)))
        peer = _libbpf(folder, path, rounds)
        if peer:
            _show("whole load, libbpf", peer)
            ratios = f"{load / peer:.2f} x, warm {warm_load / peer:.2f} x, cold {cold_load / peer:.2f} x"
            print(f"  of that ours takes {ratios}")
    return 0


def _show(what: str, seconds: float) -> None:
    print(f"  {what:26} {seconds * 1e3:8.3f} ms")


def _median(rounds: int, work: Callable[[], object]) -> float:
    """The median of the seconds that `work` takes, after one time that does not count."""
    found = []
    for _ in range(rounds + 1):
        started = time.perf_counter()
        work()
        found.append(time.perf_counter() - started)
    return statistics.median(found[1:])


def _index_warm() -> None:
    """What a new process does for the types of a first object."""
    running_types.cache_clear()
    running_modules.cache_clear()
    types = running_types()
    if types is None:
        sys.exit("the kernel has no BTF")
    types.ids_with_stem("task_struct")


def _index_cold() -> None:
    for path in (Path(os.environ["XDG_CACHE_HOME"]) / "bpf-as").glob("*"):
        path.unlink()
    _index_warm()


def _image(path: Path) -> Image:
    return build_image(read_object(path.read_bytes(), path.name))


def _relocate(image: Image) -> None:
    """All programs of an image, for the running kernel."""
    types = image.types
    if types is None:
        sys.exit("the object has no types")
    resolver, diagnostics = CoreResolver(types, DescribedKernel(running_types())), Diagnostics()
    for program in image.programs.values():
        code = Code(program.instructions, image.byte_order)
        apply_core(code, program.core, resolver, image.name, diagnostics)
    diagnostics.raise_if_errors()


def _load(path: Path, index: Callable[[], object]) -> None:
    index()
    with load_image(_image(path)):
        pass


def _compiled(folder: Path) -> Path:
    source, path = folder / "watch.c", folder / "watch.o"
    source.write_text(_SOURCE)
    includes = ["-I/usr/include/x86_64-linux-gnu"]
    subprocess.run([_CLANG, "--target=bpf", "-g", "-O2", *includes, "-c", source, "-o", path], check=True)
    return path


def _libbpf(folder: Path, path: Path, rounds: int) -> float:
    """The median of libbpf's seconds; 0 where there is no compiler or libbpf."""
    runner = folder / "libbpf_core"
    if not os.path.exists(_COMPILER):
        print("  libbpf: gcc is not installed")
        return 0
    built = subprocess.run([_COMPILER, "-O2", _RUNNER, "-o", runner, "-lbpf"], capture_output=True, check=False)
    if built.returncode:
        print("  libbpf: libbpf-dev is not installed")
        return 0
    done = subprocess.run([runner, path, "", str(rounds + 1)], capture_output=True, text=True, check=True)
    return statistics.median([float(line) for line in done.stdout.splitlines()][1:])


if __name__ == "__main__":
    sys.exit(main())
