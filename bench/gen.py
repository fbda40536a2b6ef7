"""Loading objects by their loader programs, beside loading them directly and beside libbpf.

    python -m bench.gen [--rounds N]

Within a process: its first load, which is the only one of most processes, and those after that, when libbpf has
found out what the kernel can do and our loader has the kernel's types at hand. As a command: from start to end.
Seconds are those on a processor, the kernel's included.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.load_objects import CLANG, CORE, SMALL, compiled, many_programs
from bench.measure import Run, keep_bytecode, report_against, run_once
from bpfas.loader import open_image
from bpfas.loader.gen import generate
from bpfas.loader.gen.c.header import c_header
from bpfas.loader.gen.files.raw_file import write_raw
from bpfas.loader.gen.python.module import python_module

if TYPE_CHECKING:
    from collections.abc import Sequence

SOURCES = {
    "a program, a map": SMALL,
    "19 CO-RE relocations": CORE,
    "200 programs, 5,000 relocations": many_programs(programs=200, reads=25),
}
_TESTS = Path(__file__).parent.parent / "tests"
_LIBBPF_RUNNER = _TESTS / "loader/core/libbpf_core.c"
_HEADER_RUNNER = Path(__file__).with_name("load_by_header.c")
_COMPILER = "/usr/bin/gcc"
_BARE_PYTHON = "/usr/bin/python3"
_LOADS = 5
"""Loads of a process, of which the first is told apart."""

_LOOP = """
import sys, time
{imports}
for _ in range(int(sys.argv[2])):
    start = time.process_time()
    {load}
    print(time.process_time() - start)
"""
_DIRECTLY = _LOOP.format(imports="from bpfas.loader import load", load="load(sys.argv[1]).close()")
_BY_RUNNER = _LOOP.format(
    imports="from bpfas.loader.gen import read_raw, run",
    load="run(read_raw(open(sys.argv[1], 'rb').read(), sys.argv[1])).close()",
)
_BY_MODULE = _LOOP.format(
    imports="sys.path.insert(0, sys.argv[1])\nimport made", load="made.open_and_load().close()"
)
_BY_MODULE_ONCE = "import sys; sys.path.insert(0, sys.argv[1]); import made; made.open_and_load().close()"


@dataclass(frozen=True)
class Way:
    """How to load an object.

    `loop` is a command that takes a number of loads and prints the seconds of each, `once` one that loads once.
    """

    name: str
    loop: Sequence[str | Path]
    once: Sequence[str | Path]


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=10)
    rounds = parser.parse_args().rounds
    if not os.path.exists(CLANG):
        print("loader programs: clang is not installed")
        return 0
    with tempfile.TemporaryDirectory() as directory:
        os.environ["XDG_CACHE_HOME"] = directory
        keep_bytecode(directory)
        for number, (name, source) in enumerate(SOURCES.items()):
            folder = Path(directory) / str(number)
            folder.mkdir()
            ways = ways_to_load(compiled(source, folder / "object.o"), folder)
            print(f"{name}, within a process, {rounds} rounds:")
            within_process(ways, rounds)
            print(f"{name}, as a command, {rounds} rounds:")
            as_command(ways, rounds)
    return 0


def ways_to_load(path: Path, folder: Path) -> list[Way]:
    """The ways that this machine has."""
    program = generate(open_image(path))
    raw, module = folder / "object.loader", folder / "made.py"
    raw.write_bytes(write_raw(program))
    module.write_text(python_module(program))
    command = Path(sys.executable).parent / "bpf-load"
    ways = [
        Way("directly", [sys.executable, "-c", _DIRECTLY, path], [command, path]),
        Way("our runner", [sys.executable, "-c", _BY_RUNNER, raw], [sys.executable, "-c", _BY_RUNNER, raw, "1"]),
        Way(
            "Python module",
            [_BARE_PYTHON, "-S", "-E", "-c", _BY_MODULE, folder],
            [_BARE_PYTHON, "-S", "-E", "-c", _BY_MODULE_ONCE, folder],
        ),
    ]
    header = folder / "object.skel.h"
    header.write_text(c_header(program, "object"))
    by_header, by_libbpf = folder / "by_header", folder / "by_libbpf"
    names = ("-DOPEN_AND_LOAD=object__open_and_load", "-DDESTROY=object__destroy", "-DSTRUCT=struct object")
    if _compile([_HEADER_RUNNER, "-o", by_header, f'-DHEADER="{header}"', *names]):
        ways.append(Way("C header", [by_header], [by_header]))
    if _compile([_LIBBPF_RUNNER, "-o", by_libbpf, "-lbpf"]):
        ways.append(Way("libbpf", [by_libbpf, path, ""], [by_libbpf, path, "", "1"]))
    return ways


def _compile(arguments: Sequence[str | Path]) -> bool:
    """Whether there is a compiler, with libbpf's headers, that takes these."""
    if not os.path.exists(_COMPILER):
        return False
    done = subprocess.run([_COMPILER, "-O2", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"gcc: {done.stderr.partition(chr(10))[0]}")
    return not done.returncode


def within_process(ways: Sequence[Way], rounds: int) -> None:
    """Compare the ways in turn, round by round, each in a process of its own."""
    first: dict[str, list[float]] = {way.name: [] for way in ways}
    later: dict[str, list[float]] = {way.name: [] for way in ways}
    for number in range(rounds + 1):
        for way in ways:
            command = [*way.loop, str(_LOADS)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            seconds = [float(line) for line in done.stdout.split()]
            if number:
                first[way.name].append(seconds[0])
                later[way.name].append(statistics.median(seconds[1:]))
    for words, found in (("first load", first), ("further loads", later)):
        fastest = min(statistics.median(each) for each in found.values())
        for name, each in found.items():
            median = statistics.median(each)
            print(f"  {words:14} {name:14} {1e3 * median:9.3f} ms   {median / fastest:7.2f} x the fastest")


def as_command(ways: Sequence[Way], rounds: int) -> None:
    """Compare the processes from their beginning to their end."""
    nothing = "python -S -c pass"
    commands = {nothing: [_BARE_PYTHON, "-S", "-E", "-c", "pass"]}
    commands |= {way.name: [str(word) for word in way.once] for way in ways}
    runs: dict[str, list[Run]] = {name: [] for name in commands}
    for number in range(rounds + 1):
        for name, command in commands.items():
            run = run_once(command)
            if number:
                runs[name].append(run)
    report_against(runs, nothing)


if __name__ == "__main__":
    sys.exit(main())
