"""Assembling and linking from Python, on texts, bytes and files alike.

Loading is `bpfas.loader.load`; all three are names of `bpfas` itself.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from bpfas.asm.assembler import assemble_sources
from bpfas.asm.options import Options
from bpfas.cli import read_input
from bpfas.diag import BpfasError, Diagnostics, Source
from bpfas.link.inputs import Input, read_inputs
from bpfas.link.linker import link_objects
from bpfas.link.options import DEFAULT_OPTIONS
from bpfas.objfile import ObjectFile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bpfas.link.options import LinkOptions


def assemble(
    source: str | bytes | os.PathLike[str], *, name: str | None = None, options: Options | None = None
) -> ObjectFile:
    """Assemble a text, or the file at a Path, to an object.

    Messages call the source `name`; by default a text is `<string>`. Raises BpfasError with all errors.
    """
    if isinstance(source, os.PathLike):
        shown = name or os.fspath(source)
        data: str | bytes = read_input(os.fspath(source))
    else:
        shown, data = name or "<string>", source
    text = data if isinstance(data, str) else data.decode("utf-8-sig", "surrogateescape")
    return assemble_sources([Source(shown, text)], shown, options or Options()).object_file


def link(
    *inputs: str | bytes | os.PathLike[str] | ObjectFile,
    name: str = "a.out",
    options: LinkOptions = DEFAULT_OPTIONS,
    library_directories: Sequence[str] = (),
) -> ObjectFile:
    """Link objects and archives to one object.

    Each input is an object, the bytes of an object or archive, or the path of one; `-lNAME` is a library that is
    looked for in `library_directories`. Archives give what the inputs before them leave undefined. Raises
    BpfasError with all errors.
    """
    diagnostics = Diagnostics()
    items = [_input(each, number) for number, each in enumerate(inputs, 1)]
    if not items:
        raise BpfasError.of("there is nothing to link")
    read = read_inputs(items, library_directories, options, None, diagnostics, lambda *_: None)
    diagnostics.raise_if_errors()
    return link_objects(read.objects, name, options, diagnostics, read.members_left_out).output


def _input(item: str | bytes | os.PathLike[str] | ObjectFile, number: int) -> Input:
    if isinstance(item, ObjectFile):
        return Input(item.name, contents=item)
    if isinstance(item, bytes):
        return Input(f"<input {number}>", contents=item)
    path = os.fspath(item)
    return Input(path[2:], is_library=True) if path.startswith("-l") else Input(path)
