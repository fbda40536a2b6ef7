"""Linking objects of a real size, and two small ones, beside `bpftool gen object`.

    python -m bench.link [--rounds N]

Each of the large objects includes the running kernel's vmlinux.h: 2,000 types and 750 KiB of debug information. A
function of each calls one of the object before. bpftool's linker drops the debug information; so does ours with
-S, and without it keeps, relocates and merges it. clang compiles the objects once: they stay in the temporary
directory.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.measure import compare, keep_bytecode, report, report_against

BPFTOOL = "/usr/sbin/bpftool"
CLANG = "/usr/bin/clang-22"
KERNEL_TYPES = Path("/sys/kernel/btf/vmlinux")

COUNTS = (2, 20, 50, 100)
_NOTHING = "python -c pass"

_STRUCTS = (
    "task_struct sk_buff sock net_device file inode super_block mm_struct cred nsproxy net request_queue "
    "signal_struct bpf_prog bpf_map tcp_sock perf_event device cgroup block_device bio module dentry "
    "vm_area_struct user_namespace pid_namespace tty_struct rq blk_mq_tag_set css_set bpf_verifier_env pci_dev"
)
"""Structures of every kernel, each a parameter of a function, for a compiler describes those whole."""

_HEAD = '#define SEC(name) __attribute__((section(name), used))\nchar _license[] SEC("license") = "GPL";\n'


def large_source(number: int) -> str:
    """The C of one of the large objects."""
    before = number - 1
    structs = _STRUCTS.split()
    users = "".join(
        f"static __attribute__((noinline)) int use_{name}(struct {name} *p) {{ return p != 0; }}\n"
        for name in structs
    )
    uses = " + ".join(f"use_{name}(context[{index % 8}])" for index, name in enumerate(structs))
    return f"""#include "vmlinux.h"
{_HEAD}{users}
struct {{ int (*type)[1]; int (*max_entries)[4]; int *key; struct own{number} *value; }} map{number} SEC(".maps");
struct own{number} {{ struct task_struct *task; int count{number}; }};
int counter{number};
const volatile int limit{number} = {number};
static __attribute__((noinline)) int helper(struct task_struct *task, struct sk_buff *packet)
{{
    return task->mm->total_vm + task->pid + task->cred->user->uid.val + packet->dev->mtu + packet->len + {number};
}}
__attribute__((noinline)) int function{number}(struct task_struct *task, struct sk_buff *packet)
{{
    counter{number}++;
    return helper(task, packet) + limit{number};
}}
{f"extern int function{before}(struct task_struct *task, struct sk_buff *packet);" if number else ""}
SEC("tp_btf/program{number}") int program{number}(void **context)
{{
    return {f"function{before}(context[0], context[1])" if number else 0}
        + function{number}(context[0], context[1]) + {uses};
}}
"""


SMALL_SOURCES = (
    f"""{_HEAD}
int counter;
extern int add(int left, int right);
SEC("xdp") int program(void *context) {{ return counter = add(counter, 2); }}
""",
    f"""{_HEAD}
__attribute__((noinline)) int add(int left, int right) {{ return left + right; }}
""",
)


def objects(name: str, sources: list[str], header: str) -> list[str]:
    """The paths of the objects of these C sources, compiled unless an earlier run has done so."""
    key = hashlib.sha256("\0".join([CLANG, header, *sources]).encode()).hexdigest()[:16]
    directory = Path(tempfile.gettempdir(), f"bpf-as-bench-{os.getuid()}-{name}-{key}")
    directory.mkdir(mode=0o700, exist_ok=True)
    if directory.stat().st_uid != os.getuid():
        raise PermissionError(f"{directory} is another user's")
    Path(directory, "vmlinux.h").write_text(header)
    paths = []
    for number, source in enumerate(sources):
        path = Path(directory, f"{number}.o")
        paths.append(str(path))
        if path.exists():
            continue
        c, unfinished = path.with_suffix(".c"), path.with_suffix(".tmp")
        c.write_text(source)
        subprocess.run([CLANG, "--target=bpfel", "-g", "-O2", "-c", c, "-o", unfinished], check=True)
        unfinished.rename(path)
    return paths


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    missing = [path for path in (CLANG, BPFTOOL, KERNEL_TYPES) if not Path(path).exists()]
    if missing:
        print(f"there is no {missing[0]}, so there is nothing to measure")
        return 1
    dump = [BPFTOOL, "btf", "dump", "file", str(KERNEL_TYPES), "format", "c"]
    header = subprocess.run(dump, check=True, capture_output=True, text=True).stdout
    large = objects("large", [large_source(number) for number in range(max(COUNTS))], header)
    small = objects("small", list(SMALL_SOURCES), "")
    with tempfile.TemporaryDirectory() as directory:
        keep_bytecode(directory)
        output = str(Path(directory, "out.o"))
        _link_large(large, output, given.rounds)
        _link_small(small, output, given.rounds)
    return 0


def _commands(inputs: list[str], output: str) -> dict[str, list[str]]:
    ours = str(Path(sys.executable).parent / "bpf-ld")
    return {
        "bpf-ld -S": [ours, "-S", *inputs, "-o", output],
        "bpf-ld": [ours, *inputs, "-o", output],
        "bpftool": [BPFTOOL, "gen", "object", output, *inputs],
    }


def _link_large(large: list[str], output: str, rounds: int) -> None:
    each: dict[str, list[str]] = {}
    for count in COUNTS:
        size = sum(Path(path).stat().st_size for path in large[:count])
        print(f"{count} objects, {size / (1 << 20):.1f} MiB, {rounds} rounds:")
        runs = compare(_commands(large[:count], output), rounds)
        report(runs, "bpf-ld -S", count, "objects")
        for name, found in runs.items():
            seconds = statistics.median(run.processor_seconds for run in found)
            each.setdefault(name, []).append(f"{1000 * seconds / count:.2f} ms at {count}")
    print("time on a processor for each object:")
    for name, times in each.items():
        print(f"  {name:12} {', '.join(times)}")


def _link_small(small: list[str], output: str, rounds: int) -> None:
    print(f"{len(small)} small objects, {4 * rounds} rounds:")
    commands = {_NOTHING: [sys.executable, "-c", "pass"], **_commands(small, output)}
    report_against(compare(commands, 4 * rounds), _NOTHING)


if __name__ == "__main__":
    sys.exit(main())
