"""Every kind of program, map, extern and relocation: what libbpf loads we load, to the last instruction.

The kernel's own tag of a program is a hash of the instructions that it was given. What a kernel cannot take must
be refused whoever asks.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from bpfas.loader import load, open_image
from tests.loader.kernel_support import Need, needs, require
from tests.loader.proof import libbpf, ours
from tests.loader.proof.corpus import CORPUS, Proof
from tests.loader.proof.known_differences import known_difference
from tests.peers import Peer

if TYPE_CHECKING:
    from pathlib import Path

    from tests.loader.proof.facts import Facts, MapFacts, ProgramFacts

pytestmark = [pytest.mark.kernel, pytest.mark.peer, pytest.mark.usefixtures("no_leaks")]


def compare(proof: Proof, path: Path, label: str) -> None:
    """Load what the kernel can take by both at once, and the rest one by one.

    `label` is what the known differences call the object.
    """
    require(*proof.needs)
    names = list(open_image(path).programs)
    problems = {name: proof.problem(name) for name in names}
    loadable = [name for name in names if not problems[name] and name not in proof.undecided]
    by_libbpf = libbpf.load(path, loadable, proof.kconfig)
    by_us = ours.load(path, loadable, proof.kconfig)
    assert by_libbpf.refusal == ""
    assert by_us.refusal == ""
    assert sorted(by_us.programs) == sorted(loadable)
    no_differences(label, by_libbpf, by_us)
    for name in set(names) - set(loadable):
        theirs, mine = (who.load(path, [name], proof.kconfig) for who in (libbpf, ours))
        assert bool(theirs.refusal) == bool(mine.refusal), f"{name}: {theirs.refusal}\nours: {mine.refusal}"
        assert theirs.refusal or name in proof.undecided, f"{name} is loaded although {problems[name]}"
        if not theirs.refusal:
            no_differences(label, theirs, mine)


def no_differences(label: str, by_libbpf: Facts, by_us: Facts) -> None:
    """Fail the running test with all that is not the same."""
    found = list(differences(label, by_libbpf, by_us))
    assert not found, "\n".join(found)


def differences(label: str, by_libbpf: Facts, by_us: Facts) -> list[str]:
    """What the kernel has otherwise, in words."""
    found = []
    for name, program in by_libbpf.programs.items():
        found += unlike(label, f"program {name}", name, program, by_us.programs[name])
    names = [[each.name for each in side.maps] for side in (by_libbpf, by_us)]
    if names[0] != names[1]:
        return [*found, f"maps: libbpf has {names[0]}, we {names[1]}"]
    for theirs, mine in zip(by_libbpf.maps, by_us.maps, strict=True):
        found += unlike(label, f"map {theirs.name}", theirs.name, theirs, mine)
    return found


def unlike(
    label: str, what: str, name: str, theirs: ProgramFacts | MapFacts, mine: ProgramFacts | MapFacts
) -> list[str]:
    """The fields in which two sides differ."""
    return [
        f"{what}, {field.name}: libbpf's is {expected}, ours {found}"
        for field in dataclasses.fields(theirs)
        if (expected := getattr(theirs, field.name)) != (found := getattr(mine, field.name))
        and not known_difference(label, name, field.name)
    ]


@pytest.mark.parametrize("proof", CORPUS, ids=str)
def test_the_kernel_has_the_same_of_what_clang_compiled(proof: Proof) -> None:
    compare(proof, proof.object("-mcpu=v3"), proof.name)


@pytest.mark.parametrize("proof", [proof for proof in CORPUS if proof.by_gcc], ids=str)
def test_the_kernel_has_the_same_of_what_gcc_compiled(proof: Proof) -> None:
    compare(proof, proof.object(compiler=Peer.GCC), f"{proof.name} by gcc")


@needs(Need.TRAMPOLINES)
def test_functions_of_programs_are_replaced_alike() -> None:
    target, replacement = Proof("replacement"), Proof("freplace")
    with load(target.object("-mcpu=v3")) as app:
        targets = {"replacement": app.programs["target"].fd}
        path = replacement.object("-mcpu=v3")
        by_libbpf, by_us = (who.load(path, ["replacement"], targets=targets) for who in (libbpf, ours))
    assert (by_libbpf.refusal, by_us.refusal) == ("", "")
    no_differences(replacement.name, by_libbpf, by_us)
