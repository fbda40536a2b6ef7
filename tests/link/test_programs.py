"""Programs of several files, linked, loaded by libbpf and by our loader, and run: they compute what the C says.

That libbpf loads an object also shows that the kernel takes its types. Where libbpf's own linker can do it, the
same steps are taken with what that links: this shows that the sets say what is right.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bpfas.loader import load
from tests.link.libbpf import expected_answers, run_steps
from tests.link.linked_programs import Linker, Workshop
from tests.link.program_sets import SETS, ProgramSet, Run, Value

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.kernel, pytest.mark.peer]

LOADED = [program_set for program_set in SETS if not program_set.not_by_libbpf]


def sets(chosen: list[ProgramSet]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("program_set", chosen, ids=lambda program_set: program_set.name)


@sets(LOADED)
def test_libbpf_runs_what_we_link(
    program_set: ProgramSet, workshop: Workshop, runner: Path, tmp_path: Path
) -> None:
    linked = Linker.OURS.link(workshop.objects(program_set), tmp_path / "linked.o")
    assert run_steps(runner, linked, program_set) == expected_answers(program_set)


@sets([program_set for program_set in LOADED if not program_set.not_reversed])
def test_the_order_of_files_changes_nothing(
    program_set: ProgramSet, workshop: Workshop, runner: Path, tmp_path: Path
) -> None:
    linked = Linker.OURS.link(workshop.objects(program_set)[::-1], tmp_path / "linked.o")
    assert run_steps(runner, linked, program_set) == expected_answers(program_set)


@sets([program_set for program_set in LOADED if not program_set.not_by_bpftool])
def test_libbpf_runs_what_its_linker_links(
    program_set: ProgramSet, workshop: Workshop, runner: Path, tmp_path: Path
) -> None:
    linked = Linker.BPFTOOL.link(workshop.objects(program_set), tmp_path / "linked.o")
    assert run_steps(runner, linked, program_set) == expected_answers(program_set)


@sets([program_set for program_set in SETS if not program_set.not_by_loader])
def test_our_loader_runs_what_we_link(program_set: ProgramSet, workshop: Workshop, tmp_path: Path) -> None:
    linked = Linker.OURS.link(workshop.objects(program_set), tmp_path / "linked.o")
    with load(linked, kconfig="\n".join(program_set.kconfig)) as app:
        for step in program_set.steps:
            match step:
                case Run(program, retval, data, context):
                    assert app.programs[program].test_run(data, ctx=context).retval == retval
                case Value(name, key, value):
                    assert app.maps[name].raw[key] == value
