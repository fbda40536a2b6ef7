"""The loop over many hostile objects: `python -m tests.loader.hostile --cases 100000`.

Cases run in a process of their own, with little memory, which is ended if it does not come to an end itself. Each
case that gives anything but a result or a typed error is told of, with its number: `--first NUMBER --cases 1`
repeats it, `--object FILE` writes what it loads.
"""

from __future__ import annotations

import argparse
import os
import resource
import select
import subprocess
import sys
import tempfile
import traceback
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from tests.loader.hostile.cases import Cases
from tests.loader.hostile.corpus import kernel_btf
from tests.loader.hostile.trial import Bench, descriptors

if TYPE_CHECKING:
    from collections.abc import Iterator

_MOST_SECONDS = 120
"""No case takes a hundredth of it."""
_MOST_MEMORY = 1 << 31
"""Bytes of address space for a process that has all of the running kernel's types."""
_FAULT = "FAULT"
_CASES_A_LINE = 1000


def main() -> int:
    """Run the cases; gives 1 if any was not as it should be."""
    parser = argparse.ArgumentParser(prog="python -m tests.loader.hostile", description=__doc__)
    parser.add_argument("--cases", type=int, default=1000, help="how many (default: %(default)s)")
    parser.add_argument("--first", type=int, default=0, help="the number of the first (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="other cases for another number")
    parser.add_argument("--object", type=Path, help="write the first case's object to this file, and end")
    parser.add_argument("--here", action="store_true", help="run the cases in this process")
    options = parser.parse_args()
    if options.object:
        options.object.write_bytes(Cases(options.seed).object(options.first))
        return 0
    end = options.first + options.cases
    if options.here:
        _work(options.seed, options.first, end)
        return 0
    faults, outcomes = _supervise(options.seed, options.first, end)
    for what, count in sorted(outcomes.items()):
        print(f"{count:8} {what}")
    print(f"{options.cases} cases, {faults} faults")
    return 1 if faults else 0


def _work(seed: int, first: int, end: int) -> None:
    """Run cases, one line of standard output before each and one behind."""
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, _MOST_MEMORY))
    with tempfile.TemporaryDirectory() as directory:
        bench = Bench(Path(directory), kernel_btf())
        cases = Cases(seed)
        cases.run_undamaged(bench)  # which opens what stays open
        before = descriptors()
        for number in range(first, end):
            print(number, flush=True)
            try:
                said = cases.run(number, bench)
                assert descriptors() == before
            except Exception:
                before = descriptors()
                said = f"{_FAULT} {traceback.format_exc()!r}"
            print(said, flush=True)


def _supervise(seed: int, first: int, end: int) -> tuple[int, Counter[str]]:
    """Run the cases in processes until all are done: how many were faults, and what became of how many others."""
    faults, begin = 0, first
    outcomes: Counter[str] = Counter()
    while first < end:
        command = [sys.executable, "-m", "tests.loader.hostile", "--here", "--seed", str(seed)]
        command += ["--first", str(first), "--cases", str(end - first)]
        # So that it is noticed where the kernel is given too little memory to write to.
        variables = os.environ | {"PYTHONMALLOC": "debug", "PYTHONFAULTHANDLER": "1"}
        with subprocess.Popen(command, stdout=subprocess.PIPE, bufsize=0, env=variables) as worker:
            assert worker.stdout
            lines = _lines(worker)
            for number in lines:
                said = next(lines, f"{_FAULT} the process ended")
                if said.startswith(_FAULT):
                    faults += 1
                    print(f"case {number}: {said}", flush=True)
                else:
                    outcomes[said] += 1
                first = int(number) + 1
                if first % _CASES_A_LINE == 0:
                    print(f"{first - begin} cases, {faults} faults", file=sys.stderr, flush=True)
        if worker.returncode and first < end:
            print(f"the process ended with {worker.returncode} about case {first}", flush=True)
            if not outcomes and not faults:
                return 1, outcomes  # it does not come to the first case
    return faults, outcomes


def _lines(worker: subprocess.Popen[bytes]) -> Iterator[str]:
    """What the process says, line by line; it is ended where it says nothing for long."""
    assert worker.stdout
    pending = b""
    while True:
        if not select.select([worker.stdout], [], [], _MOST_SECONDS)[0]:
            worker.kill()
            yield f"{_FAULT} it does not come to an end"
            return
        piece = worker.stdout.read(1 << 16)
        if not piece:
            return
        *lines, pending = (pending + piece).split(b"\n")
        yield from (line.decode() for line in lines)


if __name__ == "__main__":
    sys.exit(main())
