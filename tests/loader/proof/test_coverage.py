"""The programs of the proof have every kind of thing that an object may ask the loader for."""

from __future__ import annotations

import functools

import pytest

from bpfas.loader import open_image
from bpfas.loader.core.kinds import CoreKind
from bpfas.loader.kinds import MapType
from bpfas.loader.sections import SECTION_KINDS, split_autoload
from bpfas.loader.spec import ExternSource, Image, KconfigKind, ReferenceKind
from tests.loader.proof.corpus import ALL

pytestmark = pytest.mark.peer

NOT_DEFINED_IN_C = {
    MapType.UNSPEC: "it stands for none",
    MapType.INSN_ARRAY: "it is made of a table of jumps, for each program its own",
    MapType.RHASH: "no kernel of the proof has it",
}


@functools.cache
def images() -> list[Image]:
    """All objects of the proof, opened."""
    return [open_image(proof.object("-mcpu=v4")) for proof in ALL]


def test_every_name_of_sections() -> None:
    sections = {split_autoload(each.section)[0] for image in images() for each in image.programs.values()}
    used = sections | {section.partition("/")[0] for section in sections}
    names = [name.removesuffix("+") for kind in SECTION_KINDS for name in kind.names.split()]
    assert [name for name in names if name not in used] == []


def test_every_type_of_map() -> None:
    used = {each.map_type for image in images() for each in image.maps.values()}
    assert set(MapType) - used == set(NOT_DEFINED_IN_C)


def test_every_kind_of_core_relocation() -> None:
    programs = [program for image in images() for program in image.programs.values()]
    assert {each.kind for program in programs for each in program.core} == set(CoreKind)


def test_every_kind_of_extern() -> None:
    used = {extern.source for image in images() for extern in image.externs.values()}
    # These two come from what is said beside the object.
    assert set(ExternSource) - used == {ExternSource.KERNEL_NAME, ExternSource.NOWHERE}
    assert {variable.kind for image in images() for variable in image.kconfig} == set(KconfigKind)


def test_every_kind_of_reference() -> None:
    programs = [program for image in images() for program in image.programs.values()]
    assert {each.kind for program in programs for each in program.references} == set(ReferenceKind)
    assert any(program.jump_tables for program in programs)
