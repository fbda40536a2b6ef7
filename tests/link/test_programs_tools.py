"""Linked programs in the hands of other tools, and of the linkers once more."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from bpfas.elf.constants import ByteOrder
from tests.link.linked_programs import Build, Linker, Workshop
from tests.link.program_sets import SETS, ProgramSet
from tests.peers import Peer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

pytestmark = pytest.mark.peer

BUILDS = [Build(), Build(ByteOrder.BIG)]
LITTLE = pytest.mark.parametrize("build", BUILDS[:1], indirect=True, ids=["little"])
NOT_LINKED_BY_BPFTOOL = frozenset({"jump_tables", "assembler", "assembler_only", "gcc", "gcc_alone"})
"""Sets with names that have no types in our output either, or static ones, which libbpf's linker refuses."""


def _of(sets: Sequence[ProgramSet]) -> pytest.MarkDecorator:
    """A test of these sets only."""
    return pytest.mark.parametrize("program_set", sets, indirect=True, ids=lambda program_set: program_set.name)


@pytest.fixture(params=BUILDS, ids=["little", "big"])
def build(request: pytest.FixtureRequest) -> Build:
    found: Build = request.param
    return found


@pytest.fixture(params=SETS, ids=lambda program_set: program_set.name)
def program_set(request: pytest.FixtureRequest) -> ProgramSet:
    found: ProgramSet = request.param
    return found


@pytest.fixture
def linked(program_set: ProgramSet, build: Build, workshop: Workshop, tmp_path: Path) -> Path:
    """A set linked by us."""
    return Linker.OURS.link(workshop.objects(program_set, build), tmp_path / "linked.o")


@pytest.fixture(scope="module")
def all_linked(workshop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """All sets linked by us, in both byte orders."""
    folder = tmp_path_factory.mktemp("linked")
    return [
        Linker.OURS.link(workshop.objects(program_set, build), folder / f"{program_set.name}-{build.order.name}.o")
        for program_set in SETS
        for build in BUILDS
    ]


def test_linked_again_it_stays_as_it_is(linked: Path, tmp_path: Path) -> None:
    assert Linker.OURS.link([linked], tmp_path / "again.o").read_bytes() == linked.read_bytes()


@pytest.mark.parametrize(
    ("tool", "options"),
    [
        (Peer.LLVM_READELF, "-aW"),
        (Peer.GNU_READELF, "-aW"),
        (Peer.LLVM_OBJDUMP, "-dr"),
        (Peer.LLVM_OBJDUMP, "-S"),
        (Peer.LLVM_DWARFDUMP, "--verify"),
    ],
    ids=lambda value: value.name if isinstance(value, Peer) else value.lstrip("-"),
)
def test_tools_have_nothing_to_complain_of(all_linked: list[Path], tool: Peer, options: str) -> None:
    assert tool.run(options, *all_linked).errors == ""


def test_pyelftools_reads_it(program_set: ProgramSet, linked: Path) -> None:
    with linked.open("rb") as file:
        elf = ELFFile(file)
        names = [section.name for section in elf.iter_sections()]
        assert (".BTF" in names) is program_set.has_types
        table = elf.get_section_by_name(".symtab")
        assert isinstance(table, SymbolTableSection)
        binds = [symbol["st_info"]["bind"] for symbol in table.iter_symbols()]
    assert binds.count("STB_LOCAL") == table["sh_info"]
    assert set(binds[: table["sh_info"]]) == {"STB_LOCAL"}


@LITTLE
@_of([program_set for program_set in SETS if program_set.has_types])
def test_bpftool_dumps_its_types(linked: Path) -> None:
    assert "#endif" in Peer.BPFTOOL.run("btf", "dump", "file", linked, "format", "c").text


@LITTLE
@_of([program_set for program_set in SETS if program_set.folder not in NOT_LINKED_BY_BPFTOOL])
def test_bpftool_links_it(linked: Path, tmp_path: Path) -> None:
    Peer.BPFTOOL.run("gen", "object", tmp_path / "again.o", linked)


@LITTLE
@_of([program_set for program_set in SETS if not program_set.not_as_skeleton])
def test_bpftool_makes_a_skeleton(linked: Path) -> None:
    assert "linked__open" in Peer.BPFTOOL.run("gen", "skeleton", linked, "name", "linked").text
