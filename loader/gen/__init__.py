"""Loader programs: an object as one BPF program whose run makes all the bpf() calls of loading.

from bpfas.loader import open_image
from bpfas.loader.gen import generate, run

program = generate(open_image("app.o"))
with run(program, values={"threshold": 5}) as app:
    app.attach()

What other formats are written by has a module each: `python_module`, `c_header`, `elf_object`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from bpfas.diag import BpfasError
from bpfas.loader.gen.compose import compose
from bpfas.loader.gen.emission.emit import emit_script
from bpfas.loader.gen.emission.hash_check import check_of
from bpfas.loader.gen.loader_program import LoaderProgram, Scheme
from bpfas.loader.gen.options import NO_GEN_OPTIONS, GenOptions
from bpfas.loader.gen.trace import step_words

if TYPE_CHECKING:
    from bpfas.loader.gen.files.raw_file import read_raw, write_raw
    from bpfas.loader.gen.running.runner import run
    from bpfas.loader.gen.signing.sign import sign, verify
    from bpfas.loader.gen.trace import trace_json, trace_text
    from bpfas.loader.spec import Image

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
    "read_raw": "files.raw_file",
    "run": "running.runner",
    "sign": "signing.sign",
    "trace_json": "trace",
    "trace_text": "trace",
    "verify": "signing.sign",
    "write_raw": "files.raw_file",
}
"""Where names of this package come from that are imported when they are first used."""


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'bpfas.loader.gen' has no attribute {name!r}")
    return getattr(importlib.import_module(f"bpfas.loader.gen.{_MODULES[name]}"), name)


_MOST_INSTRUCTIONS = 1_000_000
_LARGEST_DATA = (1 << 31) - 1


def generate(image: Image, options: GenOptions = NO_GEN_OPTIONS) -> LoaderProgram:
    """The loader program of an image, the same on every machine; needs no privilege.

    Raises BpfasError with everything that is wrong with the image, or that no loader program can do.
    """
    script, context, warnings = compose(image, options)
    check = check_of(options.scheme, image.byte_order)
    words = step_words if options.debug else None
    instructions, data = emit_script(script, context, image.byte_order, check=check, words=words)
    for what, size, largest in (
        ("instructions", len(instructions) // 8, _MOST_INSTRUCTIONS),
        ("bytes of data", len(data), _LARGEST_DATA),
    ):
        if size > largest:
            message = f"the loader program would have {size} {what}; the kernel takes {largest}"
            raise BpfasError.of(message, image.name, ("make it several objects",))
    return LoaderProgram(
        options.name or image.name,
        image.byte_order,
        instructions,
        data,
        context,
        script,
        image,
        options.kconfig,
        options.scheme,
        warnings=warnings,
    )
