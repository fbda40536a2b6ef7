"""Where in its context a loader program finds what it is told, and where it puts what it gives back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpfas.diag import BpfasError
from bpfas.loader.gen.loader_program import (
    CONTENTS_OFFSET,
    ENTRIES_OFFSET,
    HEADER_SIZE,
    MAP_ENTRY_SIZE,
    PROGRAM_ENTRY_SIZE,
    Context,
    Fact,
    FactKind,
    MapEntry,
    ProgramEntry,
)
from bpfas.loader.gen.script import Input
from bpfas.loader.kinds import MapType, ProgramType

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from bpfas.loader.gen.options import GenOptions
    from bpfas.loader.spec import Image

_LARGEST_CONTEXT = 1 << 15
"""Bytes that a program reaches: offsets have 16 bits, one of them the sign, and the address may not be changed."""

_FACT_SIZE = 8


def lay_out(image: Image, loaded: Collection[str], options: GenOptions) -> Context:
    """The context for all maps and programs of the image; `loaded` are the names of programs that are loaded.

    Raises BpfasError for more than a context can hold.
    """
    offset = HEADER_SIZE
    maps, programs = [], []
    for spec in image.maps.values():
        maps.append(MapEntry(spec, offset))
        offset += MAP_ENTRY_SIZE
    for program in image.programs.values():
        programs.append(ProgramEntry(program, offset, program.name in loaded))
        offset += PROGRAM_ENTRY_SIZE
    failed_step = -(-offset // _FACT_SIZE) * _FACT_SIZE
    offset = failed_step + _FACT_SIZE
    facts = []
    for kind, subject in _facts(image, loaded, options):
        facts.append(Fact(kind, subject, offset))
        offset += _FACT_SIZE
    if offset > _LARGEST_CONTEXT:
        raise BpfasError.of(
            f"{len(maps)} maps and {len(programs)} programs take a context of {offset} bytes",
            image.name,
            (f"the kernel gives a program {_LARGEST_CONTEXT} bytes at most; make it several objects",),
        )
    return Context(tuple(maps), tuple(programs), failed_step, tuple(facts), offset)


def _facts(image: Image, loaded: Collection[str], options: GenOptions) -> Iterator[tuple[FactKind, str]]:
    if options.token:
        yield FactKind.TOKEN, ""
    for spec in image.maps.values():
        if spec.map_type == MapType.ARENA and spec.autocreate:
            yield FactKind.ARENA_ADDRESS, spec.name
        elif spec.struct_ops and spec.autocreate and options.types is None:
            yield FactKind.VALUE_SIZE, spec.name
    for program in image.programs.values():
        if program.name not in loaded:
            continue
        if program.program_type == ProgramType.EXT:
            yield FactKind.TARGET, program.name
            yield FactKind.TARGET_TYPE, program.name
        elif program.program_type == ProgramType.STRUCT_OPS and options.types is None:
            yield FactKind.MEMBER_INDEX, program.name


class Inputs:
    """The numbers of a context, by what they are about."""

    def __init__(self, context: Context) -> None:
        self._maps = {entry.spec.name: entry.offset for entry in context.maps}
        self._programs = {entry.spec.name: entry.offset for entry in context.programs}
        self._facts = {(fact.kind, fact.subject): fact.offset for fact in context.facts}

    def map_fd(self, name: str) -> Input:
        """A map's descriptor."""
        return Input(self._maps[name], 4)

    def map_entries(self, name: str) -> Input:
        """The number of a map's entries."""
        return Input(self._maps[name] + ENTRIES_OFFSET, 4)

    def map_contents(self, name: str) -> Input:
        """The address of a map's first contents."""
        return Input(self._maps[name] + CONTENTS_OFFSET, 8)

    def program_fd(self, name: str) -> Input:
        """A program's descriptor."""
        return Input(self._programs[name], 4)

    def fact(self, kind: FactKind, subject: str = "") -> Input | None:
        """A fact, None where the program is not told it."""
        offset = self._facts.get((kind, subject))
        return None if offset is None else Input(offset, _FACT_SIZE)
