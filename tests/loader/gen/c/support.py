"""Programs in C for tests of C headers: compiled for this machine with a header in front, and run."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from bpfas.loader import open_image
from bpfas.loader.gen import GenOptions, generate
from bpfas.loader.gen.c.header import c_header
from bpfas.loader.spec import Image
from tests.object_cache import compiled
from tests.peers import Peer

SKEL_INTERNAL = Path("/usr/include/bpf/skel_internal.h")
WARNINGS = ("-Wall", "-Wextra", "-Werror")
COMPILERS: dict[str, tuple[Peer, tuple[str, ...]]] = {
    "gcc as C11": (Peer.HOST_GCC, ("-std=c11", "-D_GNU_SOURCE")),
    "gcc as GNU C": (Peer.HOST_GCC, ("-std=gnu11",)),
    "clang as C11": (Peer.CLANG, ("-std=c11", "-D_GNU_SOURCE")),
    "g++": (Peer.HOST_GXX, ("-std=c++17", "-x", "c++")),
    "clang++": (Peer.CLANGXX, ("-std=c++17", "-x", "c++")),
}
"""Compilers that headers are for, with options."""

PROGRAM_PRELUDE = """
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <stdbool.h>
static int free_fd(void) { int fd = dup(0); close(fd); return fd; }
#define SAY(...) (printf(__VA_ARGS__), printf("\\n"), fflush(stdout))
"""
"""What the programs of tests begin with, behind the header."""


def header_of(source: str | Path | Image, name: str = "app", options: GenOptions | None = None) -> str:
    """The header of an object or an image."""
    image = source if isinstance(source, Image) else open_image(source)
    return c_header(generate(image, options or GenOptions()), name)


def bpftool_header(path: str | Path) -> str:
    """The header that bpftool makes, with the file that it forgets to include."""
    text = Peer.BPFTOOL.run("gen", "skeleton", "-L", path, "name", "app").text
    return "#include <errno.h>\n" + text


def check_compiles(header: str, declarations: str, folder: Path, compiler: str) -> None:
    """Fail the test unless the header compiles behind the declarations of the types in it, without warnings."""
    tool, options = COMPILERS[compiler]
    (folder / "app.skel.h").write_text(header)
    (folder / "main.c").write_text(f'{declarations}\n#include "app.skel.h"\nint main(void) {{ return 0; }}\n')
    tool.run(*options, *WARNINGS, "-fsyntax-only", "main.c", directory=folder)


def executable(header: str, program: str, folder: Path, *, declarations: str = "", name: str = "main") -> Path:
    """The path of the program, compiled behind the header and PROGRAM_PRELUDE."""
    if not SKEL_INTERNAL.exists():
        pytest.skip(f"{SKEL_INTERNAL} is not installed")
    source = declarations + header + PROGRAM_PRELUDE + program
    warnings = (*WARNINGS, "-Wno-unused-function", "-Wno-unused-const-variable")
    made = compiled(Peer.HOST_GCC, source, "-std=gnu11", "-O1", *warnings, name=name)
    path = folder / name
    Peer.HOST_GCC.run(made, "-o", path, *libraries(header))
    return path


def libraries(header: str) -> list[str]:
    """What a program with the header is linked with."""
    return ["-lz"] if "#include <zlib.h>" in header else []


def run_program(path: Path, *arguments: str) -> list[str]:
    """The lines that a program prints; it must end well."""
    done = subprocess.run([path, *arguments], capture_output=True, text=True, check=False, timeout=100)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    return done.stdout.splitlines()


class Interface(NamedTuple):
    """What programs can use of a header: its struct, the functions, how programs are attached, checked sizes."""

    struct: str
    functions: tuple[str, ...]
    attaching: tuple[str, ...]
    sizes: frozenset[tuple[str, str]]


_OWN_MEMBERS = re.compile(
    r"\tstruct \{\n\t\t__u32 failed_step.*?\} loader[^\n]*\n|\tstruct \{\n\t\tconst char \*failure.*?\} runner;\n",
    re.DOTALL,
)
_STRUCT = re.compile(r"^struct \w+ \{\n\tstruct bpf_loader_ctx ctx;.*?^\};", re.DOTALL | re.MULTILINE)
_FUNCTION = re.compile(r"^(?:static inline |static )([\w *]+)\n(app__\w+\([^\n]*\))$", re.MULTILINE)
_ATTACHING = re.compile(r"int fd = ((?:skel_raw_tracepoint_open|skel_link_create)\([^;]*prog_fd[^;]*\));")
_SIZE = re.compile(r"_Static_assert\(sizeof\((.*?)\) == (\d+)")


def interface(header: str) -> Interface:
    """The interface of a header, without what only ours have in the struct."""
    text = header.replace("app__word_", "").replace("* (*", "*(*")
    struct = _STRUCT.search(text)
    assert struct is not None
    return Interface(
        _OWN_MEMBERS.sub("", struct[0]),
        tuple(" ".join(found) for found in _FUNCTION.findall(text)),
        tuple(found for found in _ATTACHING.findall(text) if "attach_type)" not in found),
        frozenset(_SIZE.findall(text)),
    )
