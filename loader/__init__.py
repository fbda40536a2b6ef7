"""The loader: an object file to an Image, and an Image into the kernel.

from bpfas.loader import load

with load("app.o") as app:
    result = app.programs["xdp_prog"].test_run(packet)
    app.maps["counts"][0] += 1
    app.data["threshold"] = 5
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, cast

from bpfas.diag import BpfasError
from bpfas.elf.old_gnu import modernize
from bpfas.elf.reader import read_object
from bpfas.loader.errors import AttachError, KernelError, LoadError, VerifierError
from bpfas.loader.image.build import build_image
from bpfas.loader.loading.collection import Collection
from bpfas.loader.loading.execute import load_image, load_plan
from bpfas.loader.loading.options import LoadOptions, ProgramReference
from bpfas.loader.loading.resolve import resolve
from bpfas.loader.spec import Image
from bpfas.objfile import ObjectFile

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

Source = str | os.PathLike[str] | bytes | ObjectFile
"""An object: the path of its file, the bytes of one, or itself."""

_IN_MEMORY = "<memory>"

__all__ = [
    "AttachError",
    "Collection",
    "Image",
    "KernelError",
    "LoadError",
    "LoadOptions",
    "VerifierError",
    "build_image",
    "load",
    "load_image",
    "load_plan",
    "open_image",
    "resolve",
]


def open_image(
    source: Source,
    libraries: Sequence[Source] = (),
    ksyms: Sequence[str] = (),
    *,
    name: str = _IN_MEMORY,
    relaxed_maps: bool = False,
) -> Image:
    """What an object would have loaded, to look at or to change before `load`. Needs no privilege.

    What the object leaves undefined is taken from `libraries`, and what `ksyms` name from the kernel. `name` is
    how messages call an object of bytes, and what the names of its data maps begin with. With `relaxed_maps`,
    attributes of maps that are unknown have no effect. Raises BpfasError.
    """
    obj, *others = [_object(each, name) for each in (source, *libraries)]
    return build_image(obj, others, ksyms, relaxed_maps=relaxed_maps)


def load(
    source: Source | Image,
    libraries: Sequence[Source] = (),
    ksyms: Sequence[str] = (),
    target: ProgramReference | Mapping[str, ProgramReference] | None = None,
    *,
    configure: Callable[[Image], object] | None = None,
    name: str = _IN_MEMORY,
    kconfig: str = "",
    pin_root: str | os.PathLike[str] | None = None,
    token: str | os.PathLike[str] | None = None,
    log_level: int = 0,
    btf: str | os.PathLike[str] | None = None,
) -> Collection:
    """Load an object, or an Image, into the kernel.

    `source`, `libraries`, `ksyms` and `name` are as for `open_image`; `configure` is called with the Image before
    it is loaded, to set variables and the sizes of maps. The other arguments are those of LoadOptions. Raises
    BpfasError for a file that cannot be read or an object that is at fault, LoadError (VerifierError for a program
    that the verifier refuses) for what the kernel refuses.
    """
    if isinstance(source, Image):
        if libraries or ksyms:
            raise TypeError("an Image has its libraries and ksyms already: give them to open_image")
        image = source
    else:
        image = open_image(source, libraries, ksyms, name=name)
    if configure:
        configure(image)
    options = LoadOptions(target=target, kconfig=kconfig, token=token, log_level=log_level, btf=btf)
    if pin_root is not None:
        options = options._replace(pin_root=pin_root)
    return load_image(image, options)


def _object(source: Source, name: str) -> ObjectFile:
    if isinstance(source, ObjectFile):
        return source
    if isinstance(source, bytes | bytearray | memoryview):
        obj = read_object(bytes(source), name)
    else:
        path = os.fspath(cast("str", source))
        try:
            obj = read_object(Path(path).read_bytes(), path)
        except OSError as error:
            raise BpfasError.of(f"cannot read {path}: {error.strerror}") from error
    modernize(obj)
    return obj
