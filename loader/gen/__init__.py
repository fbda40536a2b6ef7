"""Loader programs: an object as one BPF program whose run makes all the bpf() calls of loading.

from bpfas.loader import open_image
from bpfas.loader.gen import generate, run

program = generate(open_image("app.o"))
with run(program, values={"threshold": 5}) as app:
    app.attach()

Other formats: `bpfas.loader.gen.python.module`, `bpfas.loader.gen.c.header`, `bpfas.loader.gen.files.elf_object`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bpfas.loader.gen.files.raw_file import read_raw, write_raw
    from bpfas.loader.gen.generator import generate
    from bpfas.loader.gen.loader_program import LoaderProgram, Scheme
    from bpfas.loader.gen.options import GenOptions
    from bpfas.loader.gen.running.runner import run
    from bpfas.loader.gen.signing.sign import sign, verify
    from bpfas.loader.gen.trace import trace_json, trace_text

__all__ = [
    "GenOptions",
    "LoaderProgram",
    "Scheme",
    "generate",
    "read_raw",
    "run",
    "sign",
    "trace_json",
    "trace_text",
    "verify",
    "write_raw",
]

_MODULES = {
    "GenOptions": "options",
    "LoaderProgram": "loader_program",
    "Scheme": "loader_program",
    "generate": "generator",
    "read_raw": "files.raw_file",
    "run": "running.runner",
    "sign": "signing.sign",
    "trace_json": "trace",
    "trace_text": "trace",
    "verify": "signing.sign",
    "write_raw": "files.raw_file",
}
"""Where the names of this package come from: who runs loader programs does not import what makes them."""


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'bpfas.loader.gen' has no attribute {name!r}")
    return getattr(importlib.import_module(f"bpfas.loader.gen.{_MODULES[name]}"), name)
