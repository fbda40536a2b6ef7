"""C made into objects with CO-RE relocations and into kernels' types, relocated by us and by libbpf.

`libbpf_core.c` is the side of libbpf.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from bpfas.btf.ext import read_btf_ext
from bpfas.btf.reader import read_btf
from bpfas.diag import Diagnostics
from bpfas.elf.reader import read_object
from bpfas.isa import SLOT_SIZE
from bpfas.loader.core.apply import apply_core
from bpfas.loader.core.resolver import CoreResolver
from bpfas.loader.instructions import Code
from bpfas.loader.kernel.described import DescribedKernel
from bpfas.loader.kernel.type_files import types_in_file
from bpfas.loader.spec import CoreRelocation
from tests.peers import Peer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bpfas.btf.btf import Btf
    from bpfas.loader.core.failures import CoreFailure
    from bpfas.loader.kernel.kernel import TypedKernel

SOURCE = Path(__file__).with_name("libbpf_core.c")
COMPILER = Path("/usr/bin/gcc")
PRELUDE = """\
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
typedef unsigned char u8; typedef unsigned short u16; typedef unsigned int u32; typedef unsigned long long u64;
typedef signed char s8; typedef short s16; typedef int s32; typedef long long s64; typedef _Bool bool;
char license_text[] SEC("license") = "GPL";
"""
PRESERVED = "#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)\n"
END_OF_PRESERVED = "\n#pragma clang attribute pop\n"


class Program(NamedTuple):
    """The instructions of a section, and the relocations of them."""

    instructions: bytes
    relocations: list[CoreRelocation]


class CoreObject(NamedTuple):
    """An object's types and, by the names of their functions, its programs, each in a section of its own."""

    types: Btf
    programs: dict[str, Program]


class Relocated(NamedTuple):
    """What became of an object: instructions by program, what was poisoned, errors by program."""

    instructions: dict[str, bytes]
    failures: list[CoreFailure]
    errors: dict[str, str]


def compile_object(folder: Path, source: str, *flags: str, name: str = "app") -> Path:
    """C for BPF, behind PRELUDE, as an object."""
    source_path, object_path = folder / f"{name}.c", folder / f"{name}.o"
    source_path.write_text(source)
    include = "-I/usr/include/x86_64-linux-gnu"
    Peer.CLANG.run(
        "--target=bpf", "-g", "-O2", include, *flags, "-fno-ident", "-c", source_path, "-o", object_path
    )
    return object_path


def compile_programs(folder: Path, types: str, bodies: Mapping[str, str], *flags: str) -> Path:
    """An object of a program for each body, by its name; a body is that of a function with `void *ctx`."""
    programs = (f'SEC("raw_tp/{name}") int {name}(void *ctx) {{ {body} }}\n' for name, body in bodies.items())
    source = PRELUDE + PRESERVED + types + END_OF_PRESERVED + "".join(programs)
    return compile_object(folder, source, *flags)


def compile_kernel(folder: Path, types: str, roots: Sequence[str], *flags: str, name: str = "kernel") -> Path:
    """An object whose types are those of a kernel; `roots` are the types that it has to have, in C."""
    uses = "".join(f"{root} *use_{number};\n" for number, root in enumerate(roots))
    prelude = PRELUDE.partition("#include <bpf/bpf_core_read.h>\n")[2].replace("char license", "char licence")
    prelude = prelude.replace(' SEC("license")', "")
    return compile_object(folder, prelude + types + uses, *flags, name=name)


def read_core(path: Path) -> CoreObject:
    """The programs of an object that have relocations, and those that have none."""
    obj = read_object(path.read_bytes(), path.name)
    sections = {section.name: section for section in obj.sections}
    types = read_btf(bytes(sections[".BTF"].data), obj.byte_order, path.name)
    ext = read_btf_ext(bytes(sections[".BTF.ext"].data), obj.byte_order, types, path.name)
    programs = {}
    for name, section in sections.items():
        if name.startswith("raw_tp/"):
            records = ext.core_relo[name].words if name in ext.core_relo else ()
            relocations = [
                CoreRelocation(
                    records[at] // SLOT_SIZE, records[at + 1], types.string(records[at + 2]), records[at + 3]
                )
                for at in range(0, len(records), 4)
            ]
            programs[name.partition("/")[2]] = Program(bytes(section.data), relocations)
    return CoreObject(types, programs)


def relocated_for(obj: CoreObject, kernel: TypedKernel) -> Relocated:
    """An object's programs as they are for a kernel."""
    failures: list[CoreFailure] = []
    diagnostics, resolver, found = Diagnostics(), CoreResolver(obj.types, kernel), {}
    for name, program in obj.programs.items():
        code = Code(program.instructions, obj.types.order)
        failures += apply_core(code, program.relocations, resolver, name, diagnostics)
        found[name] = bytes(code.data)
    return Relocated(found, failures, {str(diagnostic.at): diagnostic.message for diagnostic in diagnostics.items})


def relocated(path: Path, kernel: Path) -> Relocated:
    """The programs of an object file as they are for a kernel whose types a file has."""
    return relocated_for(read_core(path), DescribedKernel(types_in_file(kernel)))


def compile_runner(folder: Path) -> Path:
    """The runner's program; skips the running test where there is no compiler or no libbpf to build it with."""
    if not COMPILER.exists() or not Path("/usr/include/bpf/libbpf.h").exists():
        pytest.skip("gcc and libbpf-dev are not installed")
    output = folder / "libbpf_core"
    subprocess.run([COMPILER, "-O1", "-Wall", SOURCE, "-o", output, "-lbpf"], check=True)
    return output


def relocated_by_libbpf(runner: Path, path: Path, kernel: Path | str = "") -> dict[str, bytes] | None:
    """The instructions by program; None where libbpf gives up."""
    done = subprocess.run([runner, path, kernel], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.fail(f"{path}: {done.stdout}\n{done.stderr}")
    if done.stdout.strip() == "error":
        return None
    words = [line.split() for line in done.stdout.splitlines()]
    return {name: bytes.fromhex(code) for name, code in words}
