"""Who may import whom: the contracts in pyproject.toml hold."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import bpfas
from bpfas.elf.writer import write_object
from bpfas.objfile import ObjectFile, Section

ROOT = Path(__file__).parent.parent


def test_import_contracts_hold() -> None:
    lint_imports = shutil.which("lint-imports", path=str(Path(sys.executable).parent))
    assert lint_imports is not None
    done = subprocess.run([lint_imports, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def imported(code: str, *modules: str) -> str:
    """Which of the modules are imported by code that runs in a process of its own."""
    code = f"import sys; {code}; print(*(name for name in {modules} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1]


def test_importing_the_assembler_imports_neither_numpy_nor_lark() -> None:
    assert imported("import bpfas.asm.cli", "numpy", "lark") == ""


def test_a_small_link_imports_nothing_that_takes_long(tmp_path: Path) -> None:
    paths = [str(tmp_path / name) for name in ("a.o", "b.o", "out.o")]
    for path in paths[:2]:
        Path(path).write_bytes(write_object(ObjectFile(path, sections=[Section(".text")])))
    link = f"from bpfas.link.cli import main; assert main({[*paths[:2], '-o', paths[2]]}) == 0"
    assert (
        imported(link, "numpy", "elftools", "dataclasses", "inspect", "argparse", "shutil", "mmap", "json") == ""
    )


@pytest.mark.kernel
def test_a_plain_load_imports_nothing_that_it_does_not_use(tmp_path: Path) -> None:
    path = tmp_path / "app.o"
    source = '.section xdp,"ax",@progbits; .globl prog; .type prog,@function; prog: mov %r0,2; exit'
    path.write_bytes(write_object(bpfas.assemble(source.replace("; ", "\n"))))
    own = (
        *("attach.link", "attach.table", "core.resolver", "doctor", "image.legacy_maps", "image.struct_ops"),
        *("kernel.config_text", "kernel.kconfig", "kernel.probes", "loading.btf_sanitize", "loading.ksyms"),
        *("loading.struct_ops", "runtime.events", "runtime.perf_buffer", "verifier.report"),
    )
    others = (
        *("asyncio", "bpfas.btf.merge", "dataclasses", "difflib", "elftools", "gzip", "hashlib", "inspect"),
        *("numpy", "socket"),
    )
    unused = [*others, *(f"bpfas.loader.{name}" for name in own)]
    assert all(importlib.util.find_spec(name) for name in unused)
    load = f"from bpfas.loader.cli import main; assert main([{str(path)!r}]) == 0"
    assert imported(load, *unused) == ""
