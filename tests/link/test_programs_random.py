"""Random programs of several files compute what C says, however they are linked."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from bpfas.elf.reader import read_object
from bpfas.elf.writer import write_object
from bpfas.link.options import LinkOptions, Unresolved
from tests.link.libbpf import expected_answers, run_steps
from tests.link.linked_programs import Linker, link_files
from tests.link.program_sets import ProgramSet, Run
from tests.link.random_programs import RandomProgram
from tests.peers import Peer

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.kernel, pytest.mark.peer]

SEEDS = range(12)
"""Each takes a quarter of a second; what comes behind them was run by hand, a few hundred."""
OPEN = LinkOptions(partial=True, unresolved=Unresolved.IGNORE)


def objects_of(program: RandomProgram, folder: Path) -> list[Path]:
    """The object of each file."""
    sources = program.sources()
    for number, text in enumerate(sources):
        (folder / f"{number}.c").write_text(text)
    names = [f"{number}.c" for number in range(len(sources))]
    Peer.CLANG.run("--target=bpfel", "-mcpu=v3", "-O2", "-g", "-w", "-c", *names, directory=folder)
    return [folder / f"{number}.o" for number in range(len(sources))]


@pytest.mark.parametrize("seed", SEEDS)
def test_what_it_computes(seed: int, runner: Path, tmp_path: Path) -> None:
    program = RandomProgram(seed)
    order = list(range(program.files))
    random.Random(seed).shuffle(order)  # noqa: S311
    objects = objects_of(program, tmp_path)
    ordered = [objects[number] for number in order]
    expected = ProgramSet("random", tuple(Run(name, value) for name, value in program.expected(order).items()))

    at_once = Linker.OURS.link(ordered, tmp_path / "linked.o")
    assert run_steps(runner, at_once, expected) == expected_answers(expected)

    # Two first, then what came out with the rest: a part that is linked is a file like others.
    part = tmp_path / "part.o"
    part.write_bytes(write_object(link_files(ordered[:2], OPEN)))
    in_parts = Linker.OURS.link([part, *ordered[2:]], tmp_path / "in_parts.o")
    assert run_steps(runner, in_parts, expected) == expected_answers(expected)

    for linked, options in ((at_once, LinkOptions()), (part, OPEN)):
        again = write_object(link_files([linked], options))
        assert again == linked.read_bytes()
        assert read_object(again, "again.o").symbols
