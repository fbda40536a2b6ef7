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
from bpfas.elf.old_gnu import modernize
from bpfas.elf.reader import read_object
from bpfas.loader.collection import Collection, load_image
from bpfas.loader.errors import KernelError, LoadError, VerifierError
from bpfas.loader.image import build_image

if TYPE_CHECKING:
    from collections.abc import Sequence

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


def load(
    source: str | os.PathLike[str] | ObjectFile,
    libraries: Sequence[str | os.PathLike[str] | ObjectFile] = (),
    ksyms: Sequence[str] = (),
    target: str | os.PathLike[str] | int | None = None,
) -> Collection:
    """Load an object, or the file at a path, into the kernel.

    What it leaves undefined is taken from `libraries` (objects or paths as well), and what `ksyms` name from
    the kernel. `target` is the id or the pinned path of the program whose functions `freplace/NAME` replaces.
    Raises BpfasError for a file that cannot be read or an object that is at fault, LoadError (VerifierError
    for a program that the verifier refuses) for what the kernel refuses.
    """
    obj, *others = [_object(each) for each in (source, *libraries)]
    return load_image(build_image(obj, others, ksyms), target)


def _object(source: str | os.PathLike[str] | ObjectFile) -> ObjectFile:
    if not isinstance(source, (str, os.PathLike)):
        return source
    path = os.fspath(source)
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise BpfasError.of(f"cannot read {path}: {error.strerror}") from error
    obj = read_object(data, path)
    modernize(obj)
    return obj
