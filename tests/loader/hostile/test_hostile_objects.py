"""Whatever an object, a kernel's types or a configuration hold: what is loaded runs, all else is a typed error."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bpfas.loader import load, syscall
from bpfas.loader.cli import main
from tests.loader.hostile.cases import Cases
from tests.loader.hostile.corpus import kernel_btf, small_objects
from tests.loader.hostile.damage import Target
from tests.loader.hostile.trial import Bench, descriptors

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.peer, pytest.mark.any_kernel]

SMALL = ("rich", "instances", "jumps", "assembled")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    made = Bench(tmp_path_factory.mktemp("hostile"), kernel_btf())
    for each in small_objects():
        made.refused_programs(each.data)  # which opens what stays open
    return made


@pytest.fixture(scope="module")
def targets() -> dict[str, Target]:
    return {each.name: Target.of_object(each.data) for each in small_objects()}


def test_undamaged_objects_are_resolved_for_the_kernel_of_files(bench: Bench, targets: dict[str, Target]) -> None:
    for name, each in targets.items():
        assert bench.trial_of_types(each.data, kernel_btf()) == "resolved", name


@pytest.mark.kernel
def test_undamaged_objects_run(bench: Bench, targets: dict[str, Target]) -> None:
    assert bench.trial(targets["rich"].data) == "run"
    assert bench.trial(targets["assembled"].data) == "run"


@pytest.mark.kernel
@pytest.mark.parametrize("name", ["rich", "instances", "assembled"])
def test_buffers_are_as_large_as_what_the_kernel_writes_there(targets: dict[str, Target], name: str) -> None:
    with load(targets[name].data) as app:
        for each in app.maps.values():
            info = syscall.map_info(each.fd)
            assert (info.key_size, info.value_size) == (each.key_size, each.value_size), each


@pytest.mark.parametrize("name", SMALL)
@given(chance=st.randoms(use_true_random=False))
@settings(max_examples=40)
def test_damage_of_any_kind(bench: Bench, targets: dict[str, Target], name: str, chance: random.Random) -> None:
    bench.trial(targets[name].any_damage(chance))


@pytest.mark.parametrize("group", ["ELF header", "section headers", "symbols", "relocations"])
def test_wrong_numbers_in_the_tables_of_the_file(bench: Bench, targets: dict[str, Target], group: str) -> None:
    damaged = targets["assembled"].every_wrong_field(group)
    outcomes = {bench.trial(data) for data in damaged[:: max(1, len(damaged) // 150)]}
    assert "refused" in outcomes


@pytest.mark.parametrize("group", [".BTF", ".BTF.ext", ".maps"])
def test_wrong_numbers_in_types_and_definitions(bench: Bench, targets: dict[str, Target], group: str) -> None:
    damaged = targets["rich"].every_wrong_field(group)
    for data in damaged[:: max(1, len(damaged) // 12)]:
        bench.trial(data)


def test_files_that_end_too_early(bench: Bench, targets: dict[str, Target]) -> None:
    whole = targets["assembled"].data
    for length in range(0, len(whole), 7):
        assert bench.trial(whole[:length]) == "refused"


def test_first_cases_of_the_loop(bench: Bench) -> None:
    cases = Cases(0)
    before = descriptors()
    outcomes = [cases.run(number, bench) for number in range(40)]
    assert descriptors() == before
    assert any(outcome.startswith("types for ") for outcome in outcomes)
    assert any(outcome.startswith("configuration for ") for outcome in outcomes)


def test_a_case_is_the_same_each_time() -> None:
    first, second = (Cases(7) for _ in range(2))
    assert [first.object(number) for number in range(20)] == [second.object(number) for number in range(20)]


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_the_command_says_what_is_wrong(
    targets: dict[str, Target], tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...]
) -> None:
    chance = random.Random(1)  # noqa: S311
    file, kernel, config = (tmp_path / name for name in ("hostile.o", "kernel.btf", "config"))
    kernel.write_bytes(kernel_btf())
    config.write_text("CONFIG_HZ=100\n")
    described = ("--btf", str(kernel), "--config", str(config), "--release", "6.18.0")
    statuses = set()
    for _ in range(40):
        file.write_bytes(targets["rich"].any_damage(chance))
        status = main(["load", "--dry-run", *described, *options, str(file)])
        statuses.add(status)
        said = capsys.readouterr()
        assert status in (0, 1)
        assert bool(status) == ("error" in said.err)
        assert not status or not said.out
        assert "not enough memory" not in said.err
        assert "nested too deeply" not in said.err
    assert statuses == {0, 1}
