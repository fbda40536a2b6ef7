"""Other projects' tools, as oracles: found by absolute path, since some have the names of ours.

A test that runs one carries the marker `peer`; where the tool is not installed the test is skipped, by name.
"""

from __future__ import annotations

import enum
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest


class Peer(enum.Enum):
    """A tool, and where Debian's package puts it."""

    CLANG = "/usr/bin/clang-22"
    LLVM_MC = "/usr/bin/llvm-mc-22"
    LLVM_OBJDUMP = "/usr/bin/llvm-objdump-22"
    LLVM_DWARFDUMP = "/usr/bin/llvm-dwarfdump-22"
    LLVM_SYMBOLIZER = "/usr/bin/llvm-symbolizer-22"
    LLVM_READELF = "/usr/bin/llvm-readelf-22"
    GNU_AS = "/usr/bin/bpf-as"
    GNU_LD = "/usr/bin/bpf-ld"
    GNU_OBJDUMP = "/usr/bin/bpf-objdump"
    GNU_READELF = "/usr/bin/bpf-readelf"
    GNU_AR = "/usr/bin/bpf-ar"
    GNU_OBJCOPY = "/usr/bin/bpf-objcopy"
    GNU_STRIP = "/usr/bin/bpf-strip"
    LLVM_AR = "/usr/bin/llvm-ar-22"
    LLVM_OBJCOPY = "/usr/bin/llvm-objcopy-22"
    LLVM_STRIP = "/usr/bin/llvm-strip-22"
    GCC = "/usr/bin/bpf-gcc"
    BPFTOOL = "/usr/sbin/bpftool"
    HOST_GCC = "/usr/bin/gcc"
    HOST_GXX = "/usr/bin/g++"
    CLANGXX = "/usr/bin/clang++-22"
    STRACE = "/usr/bin/strace"

    def require(self) -> str:
        """The tool's path; skips the running test when the tool is not installed."""
        if not Path(self.value).exists():
            pytest.skip(f"{self.value} is not installed")
        return self.value

    def run(
        self, *arguments: str | Path, stdin: bytes = b"", check: bool = True, directory: Path | None = None
    ) -> Result:
        """Run the tool to its end; with `check`, a failing exit status fails the test with what it said."""
        command = [self.require(), *map(str, arguments)]
        done = subprocess.run(command, input=stdin, capture_output=True, check=False, cwd=directory)
        result = Result(done.returncode, done.stdout, done.stderr.decode(errors="replace"))
        if check and result.status:
            pytest.fail(f"{' '.join(command)} gave exit status {result.status}\n{result.errors}")
        return result


@dataclass(frozen=True, slots=True)
class Result:
    """What a tool gave."""

    status: int
    output: bytes
    errors: str

    @property
    def text(self) -> str:
        """Standard output as text."""
        return self.output.decode(errors="replace")
