"""Loader programs make of an object what loading it directly makes, to the last instruction."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING

import pytest

from bpfas.loader import load
from tests.loader.gen.proof import ways
from tests.loader.gen.proof.corpus import CASES, DEPEND_ON_THE_KERNEL, REPLACEMENT, Case, case
from tests.loader.gen.proof.known_differences import NOT_BY_BPFTOOL, Way, known_difference
from tests.loader.kernel_support import Need, needs, require

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.loader.proof.facts import Facts, MapFacts, ProgramFacts

pytestmark = [pytest.mark.kernel, pytest.mark.peer, pytest.mark.usefixtures("no_leaks")]

CASES_BY_KERNEL = [
    pytest.param(each, marks=() if each.name in DEPEND_ON_THE_KERNEL else pytest.mark.any_kernel) for each in CASES
]
"""The objects, of which those that a kernel makes no difference to are left out in virtual machines."""


def compare(way: Way, what: Case, generated: Facts, direct: Facts | None = None) -> None:
    """Fail the running test with all that is not the same."""
    assert generated.refusal == ""
    some = frozenset(generated.programs) if way is Way.BPFTOOL else None
    direct = direct or ways.directly(what.name, some)
    assert set(generated.programs) == set(direct.programs)
    assert [each.name for each in generated.maps] == [each.name for each in direct.maps]
    assert "\n".join(differences(way, what, direct, generated)) == ""


def differences(way: Way, what: Case, direct: Facts, generated: Facts) -> Iterator[str]:
    """What the kernel has otherwise, in words."""
    image = what.image()
    for name, program in direct.programs.items():
        spec = image.programs[name]
        names = {image.maps[each.map_name].kernel_name for each in spec.references}
        if spec.jump_tables:
            names |= {"?"}  # what only the program has
        named = tuple(each for each in program.maps if each in names)
        # What no instruction names is bound by BPF_PROG_BIND_MAP, which the kernel lets no program call.
        expected = dataclasses.replace(program, maps=named)
        if spec.references or spec.externs:
            # The tag is of instructions that name maps and functions by the index of a table.
            expected = dataclasses.replace(expected, tag=generated.programs[name].tag)
        found = generated.programs[name]
        if spec.jump_tables:
            expected, found = without_places_of_tables(expected), without_places_of_tables(found)
        yield from unlike(way, what.name, name, expected, found)
    for one, other in zip(direct.maps, generated.maps, strict=True):
        yield from unlike(way, what.name, one.name, one, other)


def without_places_of_tables(program: ProgramFacts) -> ProgramFacts:
    """The program without the kernel's addresses of its tables of jumps, which are others each time."""
    loads = re.sub(r"(18\w\w)0000\w{8} 00000000\w{6}ff", r"\1 table", " ".join(program.instructions))
    return dataclasses.replace(program, instructions=tuple(loads.split()))


def unlike(
    way: Way, obj: str, name: str, direct: ProgramFacts | MapFacts, generated: ProgramFacts | MapFacts
) -> Iterator[str]:
    """The fields in which two sides differ."""
    for field in dataclasses.fields(direct):
        expected, found = getattr(direct, field.name), getattr(generated, field.name)
        if expected != found and not known_difference(way, obj, name, field.name):
            yield f"{name}, {field.name}: directly {expected}, by {way.value} {found}"


@pytest.mark.parametrize("what", CASES, ids=str)
def test_the_kernel_has_the_same_by_our_runner(what: Case) -> None:
    require(*what.proof.needs)
    compare(Way.RUNNER, what, ways.by_runner(what))


@pytest.mark.parametrize("what", CASES_BY_KERNEL, ids=str)
def test_the_kernel_has_the_same_by_the_python_module(what: Case, tmp_path: Path) -> None:
    require(*what.proof.needs)
    compare(Way.MODULE, what, ways.by_module(what, tmp_path))


@pytest.mark.parametrize("what", CASES_BY_KERNEL, ids=str)
def test_the_kernel_has_the_same_by_the_c_header(what: Case) -> None:
    require(*what.proof.needs)
    compare(Way.HEADER, what, ways.by_header(what))


@needs(Need.TRAMPOLINES)
def test_functions_of_programs_are_replaced_alike(tmp_path: Path) -> None:
    with load(case("replacement").image()) as app:
        target = app.programs["target"]
        direct = ways.by_loading(REPLACEMENT, target=target)
        compare(Way.RUNNER, REPLACEMENT, ways.by_runner(REPLACEMENT, target), direct)
        compare(Way.MODULE, REPLACEMENT, ways.by_module(REPLACEMENT, tmp_path, target), direct)
        compare(Way.HEADER, REPLACEMENT, ways.by_header(REPLACEMENT, target), direct)


@pytest.mark.any_kernel
@pytest.mark.parametrize("what", [each for each in CASES if each.name not in NOT_BY_BPFTOOL], ids=str)
def test_the_kernel_has_the_same_by_the_header_of_bpftool(what: Case, tmp_path: Path) -> None:
    require(*what.proof.needs)
    compare(Way.BPFTOOL, what, ways.by_bpftool(what, tmp_path))


@pytest.mark.any_kernel
@pytest.mark.parametrize("what", [each for each in CASES if each.name in NOT_BY_BPFTOOL], ids=str)
def test_what_bpftool_cannot_load_is_known(what: Case, tmp_path: Path) -> None:
    require(*what.proof.needs)
    assert NOT_BY_BPFTOOL[what.name] in ways.by_bpftool(what, tmp_path).refusal
