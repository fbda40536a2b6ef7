"""Processes that have loaded something and wait, and their descriptors.

Such a process says line by line what it has to say, `.` when that was all, and goes on when it is sent a line.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PIDFD_GETFD = 438
STANDARD_STREAMS = ("0", "1", "2")


class Waiting:
    """A process at one of the points where it waits; a context manager that ends it.

    It is given a descriptor of this process, if there is a `target_fd`, by the same number.
    """

    def __init__(self, command: Sequence[str | Path], target_fd: int | None = None) -> None:
        environment = {} if target_fd is None else {"TARGET": str(target_fd)}
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | environment,
            pass_fds=() if target_fd is None else (target_fd,),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def said(self) -> list[str]:
        """What it says until it waits."""
        assert self._process.stdout
        lines: list[str] = []
        for line in self._process.stdout:
            if line == ".\n":
                return lines
            lines.append(line.rstrip("\n"))
        pytest.fail(f"a process ended with exit status {self._process.wait()} and said {lines}")

    def go_on(self) -> list[str]:
        """Let it go on; what it says until it waits again."""
        assert self._process.stdin
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self.said()

    def open_descriptors(self) -> list[str]:
        """What its descriptors lead to, those of standard streams left out; BPF's with their ids."""
        found = []
        for each in Path(f"/proc/{self._process.pid}/fd").iterdir():
            if each.name not in STANDARD_STREAMS:
                facts = each.parent.with_name("fdinfo").joinpath(each.name).read_text()
                found.append(" ".join([os.readlink(each), *re.findall(r"^\w+_id:\t\d+", facts, re.MULTILINE)]))
        return sorted(found)

    @contextlib.contextmanager
    def descriptors(self, numbers: Sequence[int]) -> Iterator[list[int]]:
        """Descriptors of this process that are the same as those of the other by their numbers there."""
        libc = ctypes.CDLL(None, use_errno=True)
        process = os.pidfd_open(self._process.pid)
        with contextlib.ExitStack() as owner:
            owner.callback(os.close, process)
            found = []
            for number in numbers:
                descriptor = libc.syscall(PIDFD_GETFD, process, number, 0)
                if descriptor < 0:
                    raise OSError(ctypes.get_errno(), f"descriptor {number} of another process cannot be had")
                owner.callback(os.close, descriptor)
                found.append(descriptor)
            yield found
