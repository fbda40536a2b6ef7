"""Weak and strong definitions of a function, variables, a map and a program, in every order of the files.

The strong definition wins, or else the first weak one; what lies around those that lose stays right.
"""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

import pytest

from bpfas.elf.writer import write_object
from tests.link.dwarf_lines import lines_of_functions
from tests.link.libbpf import expected_answers, run_steps
from tests.link.linked_programs import Linker, link_files, make_object
from tests.link.program_sets import ProgramSet, Run, Value, u32

pytestmark = [pytest.mark.kernel, pytest.mark.peer]

FOLDER = Path(__file__).parent / "programs_weak"
NUMBERS = {"user": 0, "weak_one": 1, "weak_two": 2, "strong": 3}
ORDERS = [
    *itertools.permutations(("user", "weak_one", "weak_two")),
    *itertools.permutations(("user", "weak_one", "weak_two", "strong")),
]


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("weak")
    return {name: make_object(FOLDER / f"{name}.c", folder) for name in NUMBERS}


def winner_of(order: tuple[str, ...]) -> int:
    return NUMBERS["strong" if "strong" in order else next(name for name in order if name.startswith("weak"))]


def program_set(order: tuple[str, ...]) -> ProgramSet:
    """What there is to see when files are linked in this order."""
    winner = winner_of(order)
    defining = [NUMBERS[name] for name in order if name != "user"]
    return ProgramSet(
        "weak",
        (
            Run("entry", winner * 1110 + 7),
            Value("map", u32(0), u32(winner)),
            Run("program", winner),
            *(Run(f"before_{number}", 2 * number) for number in defining),
            *(Run(f"after_{number}", 112 * number) for number in defining),
        ),
    )


def names(order: tuple[str, ...]) -> str:
    return "-".join(order)


def is_refused_by_libbpf(order: tuple[str, ...]) -> bool:
    """Whether a strong definition comes behind a weak one that a strong reference has made strong for libbpf."""
    places = [order.index(name) for name in NUMBERS if name in order]
    return "strong" in order and places[3] > min(places[1:3]) and places[3] > places[0]


@pytest.mark.parametrize("order", ORDERS, ids=names)
def test_who_wins(order: tuple[str, ...], objects: dict[str, Path], runner: Path, tmp_path: Path) -> None:
    linked = Linker.OURS.link([objects[name] for name in order], tmp_path / "linked.o")
    wanted = program_set(order)
    assert run_steps(runner, linked, wanted) == expected_answers(wanted)


@pytest.mark.parametrize("order", [order for order in ORDERS if not is_refused_by_libbpf(order)], ids=names)
def test_the_same_wins_for_libbpf(
    order: tuple[str, ...], objects: dict[str, Path], runner: Path, tmp_path: Path
) -> None:
    linked = Linker.BPFTOOL.link([objects[name] for name in order], tmp_path / "linked.o")
    wanted = program_set(order)
    assert run_steps(runner, linked, wanted) == expected_answers(wanted)


@pytest.mark.parametrize("order", ORDERS[::5], ids=names)
def test_code_that_lost_is_gone(order: tuple[str, ...], objects: dict[str, Path]) -> None:
    linked = link_files([objects[name] for name in order])
    for section_name in (".text", "xdp"):
        section = linked.section(section_name)
        assert section
        functions = sum(symbol.st_size for symbol in linked.symbols if symbol.section is section)
        assert functions == section.sh_size


@pytest.mark.parametrize("order", ORDERS[::5], ids=names)
def test_lines_of_what_stays(order: tuple[str, ...], objects: dict[str, Path]) -> None:
    files = [objects[name] for name in order]
    given = sum((lines_of_functions(file.read_bytes()) for file in files), Counter())
    kept = lines_of_functions(write_object(link_files(files)))
    assert not kept - given
