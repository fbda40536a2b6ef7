"""Programs in C made of headers that load objects (those of ours, and of bpftool), kept by what they are made of.

The program names the header's structs and functions as its users do, so one that is made with the one header
compiles with the other.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.loader.gen.c.support import libraries
from tests.object_cache import FOLDER, state

COMPILER = "/usr/bin/gcc"
OPTIONS = ("-O0", "-Wall", "-Werror", "-Wno-unused-function")
EMPTY = '""'
MAIN = Path(__file__).with_name("main.c")


def executable(name: str, header: str) -> Path:
    """The program that loads by a header, whose structs and functions are called after `name`.

    Raises ValueError with what the compiler says of a header that it does not take; skips the running test without
    the compiler.
    """
    if not os.path.exists(COMPILER):
        pytest.skip(f"{COMPILER} is not installed")
    source = program(name, header)
    key = hashlib.sha256(repr((state(COMPILER), OPTIONS, source, header)).encode()).hexdigest()[:32]
    path = FOLDER.parent / "executables" / key
    if not path.exists():
        make(path, source, header)
    return path


def make(path: Path, source: str, header: str) -> None:
    """Compile, and let the program appear only when it is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as work:
        folder = Path(work)
        (folder / "loader.h").write_text(header)
        (folder / "main.c").write_text(source)
        command = [COMPILER, *OPTIONS, "main.c", "-o", "main", *libraries(header)]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ValueError(f"the header does not compile:\n{done.stderr[:4000]}")
        (folder / "main").rename(path)


def program(name: str, header: str) -> str:
    """The source of the program: MAIN, with what the header's struct has of maps and programs."""
    struct = re.search(rf"^struct {name} {{.*?^}};", header, re.DOTALL | re.MULTILINE)
    assert struct, f"the header has no struct {name}"
    maps = re.findall(r"struct bpf_map_desc (\w+);", struct[0])
    programs = re.findall(r"struct bpf_prog_desc (\w+);", struct[0])
    targets = re.findall(rf"^{name}__(\w+)__set_target\(", header, re.MULTILINE)
    return "\n".join(
        [
            f"#define NAME(function) {name}__##function",
            f"#define STRUCT struct {name}",
            f"#define FAILED_STEP {'NAME(failed_step)(object)' if f'{name}__failed_step' in header else EMPTY}",
            f"#define TARGETS {' '.join(f'TARGET({each})' for each in targets)}",
            f"#define MAPS {' '.join(f'MAP({each})' for each in maps)}",
            f"#define PROGRAMS {' '.join(f'PROGRAM({each})' for each in programs)}",
            MAIN.read_text(),
        ]
    )
