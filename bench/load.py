"""Loading objects into the running kernel, beside libbpf: within one process, and as a command.

    python -m bench.load [--rounds N]

Within a process, an object's file is opened, relocated, loaded and closed many times. libbpf reads the kernel's
BTF each time; ours is told apart: `index there`, when the process has loaded an object before; `cache warm`, when
it has not, but another process has; `cache cold`, when nobody has. Seconds are those on a processor, the kernel's
included.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from bench.load_objects import CLANG, CORE, SMALL, compiled, many_maps, many_programs
from bench.measure import Run, keep_bytecode, report_against, run_once
from bpfas.loader import load
from bpfas.loader.kernel.type_files import running_modules, running_types
from bpfas.user_cache import cache_directory

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SOURCES = {
    "a program, a map": SMALL,
    "19 CO-RE relocations": CORE,
    "200 programs, 5,000 relocations": many_programs(programs=200, reads=25),
    "1,000 maps": many_maps(1000),
}
_WITHOUT_RELOCATIONS = ("a program, a map", "1,000 maps")
_RUNNER = Path(__file__).parent.parent / "tests/loader/core/libbpf_core.c"
_COMPILER = "/usr/bin/gcc"
_BPFTOOL = "/usr/sbin/bpftool"
_BPFTOOL_PINS = Path(f"/sys/fs/bpf/bench-{os.getpid()}")
_LIBBPF = "libbpf"
_LOADS_OF_A_PROCESS = 3
"""The first of them, which meets memory that it has to ask for, does not count."""


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=10)
    rounds = parser.parse_args().rounds
    if not os.path.exists(CLANG):
        print("loading: clang is not installed")
        return 0
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        os.environ["XDG_CACHE_HOME"] = directory
        keep_bytecode(directory)
        runner = _libbpf_runner(folder)
        for number, (name, source) in enumerate(SOURCES.items()):
            path = compiled(source, folder / f"object{number}.o")
            print(f"{name}, within a process, {rounds} rounds:")
            _within_process(path, runner, rounds, has_relocations=name not in _WITHOUT_RELOCATIONS)
            print(f"{name}, as a command, {rounds} rounds:")
            _as_command(path, runner, rounds)
    return 0


def _within_process(path: Path, runner: Path | None, rounds: int, *, has_relocations: bool) -> None:
    """Compare the ways in turn, round by round."""
    ways: dict[str, Callable[[], float]] = {"index there": lambda: _seconds(path)}
    if has_relocations:
        ways |= {
            "cache warm": lambda: _seconds(path, _forget_index),
            "cache cold": lambda: _seconds(path, _forget),
        }
    if runner:
        ways[_LIBBPF] = lambda: _libbpf_seconds(runner, path)
    found: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            seconds = way()
            if number:
                found[name].append(seconds)
    for name, each in found.items():
        text = f"  {name:15} {1e3 * statistics.median(each):7.1f} ms"
        if name != _LIBBPF and _LIBBPF in found:
            ratios = [own / other for own, other in zip(each, found[_LIBBPF], strict=True)]
            text += f"   {statistics.median(ratios):.2f} x libbpf's ({min(ratios):.2f} to {max(ratios):.2f})"
        print(text)


def _seconds(path: Path, before: Callable[[], None] | None = None) -> float:
    """What loading takes when `before` has been called."""
    if before:
        before()
    started = time.process_time()
    load(path).close()
    return time.process_time() - started


def _forget_index() -> None:
    """Let the process know nothing of the kernel's types, as at its start."""
    running_types.cache_clear()
    running_modules.cache_clear()


def _forget() -> None:
    _forget_index()
    shutil.rmtree(cache_directory(), ignore_errors=True)


def _libbpf_runner(folder: Path) -> Path | None:
    """A program that loads objects by libbpf; None without a compiler or libbpf's headers."""
    runner = folder / "libbpf_core"
    command: Sequence[str | Path] = [_COMPILER, "-O2", _RUNNER, "-o", runner, "-lbpf"]
    if os.path.exists(_COMPILER) and not subprocess.run(command, capture_output=True, check=False).returncode:
        return runner
    print("libbpf: gcc or libbpf-dev is not installed")
    return None


def _libbpf_seconds(runner: Path, path: Path) -> float:
    command: Sequence[str | Path] = [runner, path, "", str(_LOADS_OF_A_PROCESS)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return statistics.median([float(line) for line in done.stdout.splitlines()][1:])


def _as_command(path: Path, runner: Path | None, rounds: int) -> None:
    """Compare the processes from their beginning to their end."""
    nothing = "python -c pass"
    commands = {
        nothing: [sys.executable, "-c", "pass"],
        "bpf-load": [str(Path(sys.executable).parent / "bpf-load"), str(path)],
        "bpftool": [_BPFTOOL, "prog", "loadall", str(path), str(_BPFTOOL_PINS)],
        _LIBBPF: [str(runner), str(path), "", "1"],
    }
    if runner is None:
        del commands[_LIBBPF]
    if not os.path.exists(_BPFTOOL):
        del commands["bpftool"]
    runs: dict[str, list[Run]] = {name: [] for name in commands}
    for number in range(rounds + 1):
        for name, command in commands.items():
            run = run_once(command)
            shutil.rmtree(_BPFTOOL_PINS, ignore_errors=True)
            if number:
                runs[name].append(run)
    report_against(runs, nothing)


if __name__ == "__main__":
    sys.exit(main())
