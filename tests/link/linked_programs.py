"""Units of program sets made into objects, and linked by a linker to choose: ours, or libbpf's by bpftool."""

from __future__ import annotations

import enum
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bpfas.asm import Options, assemble_sources
from bpfas.diag import Source
from bpfas.elf.constants import ByteOrder
from bpfas.elf.reader import read_object
from bpfas.elf.writer import write_object
from bpfas.link.linker import link
from bpfas.link.options import DEFAULT_OPTIONS, LinkOptions
from tests.peers import Peer

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bpfas.objfile import ObjectFile
    from tests.link.program_sets import ProgramSet

HEADERS = "-I/usr/include/x86_64-linux-gnu"


class Linker(enum.Enum):
    """Who links."""

    OURS = "bpfas"
    BPFTOOL = "bpftool"

    def link(self, objects: Sequence[Path], output: Path) -> Path:
        """Link to the file `output`, which is given back.

        bpftool's output is linked once more, alone: only then are the offsets of what was declared before it was
        defined right (its own tests do so too).
        """
        if self is Linker.OURS:
            output.write_bytes(write_object(link_files(objects)))
            return output
        once = output.with_suffix(".once.o")
        Peer.BPFTOOL.run("gen", "object", once, *objects)
        Peer.BPFTOOL.run("gen", "object", output, once)
        return output


def link_files(objects: Sequence[Path], options: LinkOptions = DEFAULT_OPTIONS) -> ObjectFile:
    """Our link of these files."""
    return link([read_object(path.read_bytes(), path.name) for path in objects], "linked.o", options)


@dataclass(frozen=True, slots=True)
class Build:
    """A way to make the objects of a set."""

    order: ByteOrder = ByteOrder.LITTLE
    options: tuple[str, ...] = ("-O2", "-g")


class Workshop:
    """Makes objects, each once; all that will be asked for can be made ahead, on all processors."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: dict[tuple[str, Build], list[Path]] = {}

    def make_ahead(self, wanted: Iterable[tuple[ProgramSet, Build]]) -> None:
        """Make the objects of these sets. What fails is left for the test that asks for it."""
        with ThreadPoolExecutor(os.cpu_count()) as workers:
            for program_set, build in wanted:
                workers.submit(self.objects, program_set, build)

    def objects(self, program_set: ProgramSet, build: Build = Build()) -> list[Path]:
        """The objects of a set, in the order in which they are linked."""
        key = (program_set.name, build)
        if key not in self._made:
            folder = Path(tempfile.mkdtemp(dir=self._folder, prefix=f"{program_set.name}-"))
            options = program_set.cpu, build, program_set.gcc_options
            self._made[key] = [make_object(source, folder, *options) for source in program_set.sources]
        return self._made[key]


def make_object(
    source: Path, folder: Path, cpu: str = "v3", build: Build = Build(), gcc_options: tuple[str, ...] = ()
) -> Path:
    """The object of a file: .c by clang, .gcc.c by gcc, .s by our assembler."""
    output = folder / f"{source.name.split('.')[0]}.o"
    big = build.order is ByteOrder.BIG
    if source.name.endswith(".s"):
        text = source.read_text()
        made = assemble_sources([Source(source.name, text)], output.name, Options(build.order))
        output.write_bytes(write_object(made.object_file))
    elif source.name.endswith(".gcc.c"):
        Peer.GCC.run(*["-mbig-endian"] * big, "-O2", *gcc_options, "-c", source, "-o", output)
    else:
        target = f"--target=bpf{'eb' if big else 'el'}"
        Peer.CLANG.run(target, f"-mcpu={cpu}", *build.options, HEADERS, "-c", source, "-o", output)
    return output
