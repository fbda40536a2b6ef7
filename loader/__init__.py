"""The loader: an object file to an Image, and an Image into the kernel.

from bpfas.loader import load

with load("app.o") as app:
    result = app.programs["xdp_prog"].test_run(packet)
    count = app.maps["counts"][key]
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from bpfas.diag import BpfasError
from bpfas.elf.reader import read_object
from bpfas.loader.collection import Collection, load_image
from bpfas.loader.errors import KernelError, LoadError, VerifierError
from bpfas.loader.image import build_image

if TYPE_CHECKING:
    from bpfas.objfile import ObjectFile

__all__ = [
    "Collection",
    "KernelError",
    "LoadError",
    "VerifierError",
    "build_image",
    "load",
    "load_image",
]


def load(source: str | os.PathLike[str] | ObjectFile) -> Collection:
    """Load an object, or the file at a path, into the kernel.

    Raises BpfasError for a file that cannot be read or an object that is at fault, LoadError (VerifierError for
    a program that the verifier refuses) for what the kernel refuses.
    """
    if isinstance(source, (str, os.PathLike)):
        path = os.fspath(source)
        try:
            data = Path(path).read_bytes()
        except OSError as error:
            raise BpfasError.of(f"cannot read {path}: {error.strerror}") from error
        source = read_object(data, path)
    return load_image(build_image(source))
