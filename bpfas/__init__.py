"""bpf-as: an assembler, a static linker, a disassembler and a kernel loader for BPF.

    import bpfas

    with bpfas.load(bpfas.link(bpfas.assemble(text), "lib.o")) as app:
        print(app.programs["prog"].test_run(packet).retval)

The tools are the subpackages `bpfas.asm`, `bpfas.link`, `bpfas.objdump` and `bpfas.loader`; what they share
(instruction table, relocation table, object file, ELF, diagnostics) lies in the modules beside this file.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bpfas.api import assemble, link
    from bpfas.btf.codecs import EncodingError
    from bpfas.diag import BpfasError
    from bpfas.loader import (
        AttachError,
        Collection,
        Image,
        KernelError,
        LoadError,
        VerifierError,
        load,
        open_image,
    )
    from bpfas.loader.attach.link import KernelLink, Link
    from bpfas.loader.runtime.events import EventReader
    from bpfas.loader.runtime.maps import Map
    from bpfas.loader.runtime.programs import Program

__version__ = "0.1.0"

__all__ = [
    "AttachError",
    "BpfasError",
    "Collection",
    "EncodingError",
    "EventReader",
    "Image",
    "KernelError",
    "KernelLink",
    "Link",
    "LoadError",
    "Map",
    "Program",
    "VerifierError",
    "assemble",
    "link",
    "load",
    "open_image",
]

_MODULES = {
    "assemble": "bpfas.api",
    "link": "bpfas.api",
    "load": "bpfas.loader",
    "open_image": "bpfas.loader",
    "AttachError": "bpfas.loader",
    "BpfasError": "bpfas.diag",
    "Collection": "bpfas.loader",
    "EncodingError": "bpfas.btf.codecs",
    "EventReader": "bpfas.loader.runtime.events",
    "Image": "bpfas.loader",
    "KernelError": "bpfas.loader",
    "KernelLink": "bpfas.loader.attach.link",
    "Link": "bpfas.loader.attach.link",
    "LoadError": "bpfas.loader",
    "Map": "bpfas.loader.runtime.maps",
    "Program": "bpfas.loader.runtime.programs",
    "VerifierError": "bpfas.loader",
}
"""Where names of this package come from. They are imported when first used, so that each command loads its own."""


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'bpfas' has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)
