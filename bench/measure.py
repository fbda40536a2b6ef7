"""Runs commands in turn and compares them: A B A B …, so that a drift of the machine's speed hits both."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a command: wall-clock seconds, the most memory it had, in bytes, and seconds on a processor."""

    seconds: float
    peak: int
    processor_seconds: float


def run_once(command: Sequence[str]) -> Run:
    """Run a command to its end. Raises RuntimeError if it fails."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with exit status {process.returncode}")
    return Run(time.perf_counter() - started, usage.ru_maxrss * 1024, usage.ru_utime + usage.ru_stime)


def keep_bytecode(directory: str) -> None:
    """Let Python keep in `directory` what it compiles, as it does for what is installed.

    Where the environment forbids that, each run would compile every module again.
    """
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = directory


def compare(commands: Mapping[str, Sequence[str]], rounds: int) -> dict[str, list[Run]]:
    """Run the commands in turn, `rounds` times each, after one round that does not count."""
    runs: dict[str, list[Run]] = {name: [] for name in commands}
    for number in range(rounds + 1):
        for name, command in commands.items():
            run = run_once(command)
            if number:
                runs[name].append(run)
    return runs


def report(runs: Mapping[str, Sequence[Run]], ours: str, amount: int, unit: str = "lines") -> None:
    """Print for each command its median time, its rate, its memory, and how its time compares with ours.

    `amount` is how much each run deals with, in `unit`. No command seems to have less memory than this process.
    """
    for name, found in runs.items():
        seconds = statistics.median(run.seconds for run in found)
        peak = max(run.peak for run in found) / (1 << 20)
        text = f"  {name:12} {seconds:8.3f} s {amount / seconds:12,.0f} {unit}/s {peak:7.0f} MiB"
        if name != ours:
            ratios = [own.seconds / other.seconds for own, other in zip(runs[ours], found, strict=True)]
            text += f"   {ours} takes {_spread(ratios)}"
        print(text)


def report_against(runs: Mapping[str, Sequence[Run]], base: str) -> None:
    """Print for each command its median time on a processor, and how that compares with `base`.

    Of a short run that is what other processes change the least.
    """
    for name, found in runs.items():
        ratios = [
            run.processor_seconds / nothing.processor_seconds
            for run, nothing in zip(found, runs[base], strict=True)
        ]
        median = statistics.median(run.processor_seconds for run in found)
        print(f"  {name:15} {1000 * median:7.1f} ms   {_spread(ratios)}")


def _spread(ratios: Sequence[float]) -> str:
    return f"{statistics.median(ratios):.2f} x ({min(ratios):.2f} to {max(ratios):.2f})"
