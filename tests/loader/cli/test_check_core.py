"""bpf-load check-core: which kernels have what an object asks for, without any of them running."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from bpfas.loader.cli import main
from tests.btf.builders import Types

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [pytest.mark.peer, pytest.mark.usefixtures("no_leaks")]

SOURCE = """
#include <bpf/bpf_core_read.h>
struct thing { int kept; int lost; } __attribute__((preserve_access_index));
SEC("raw_tp/x") int reads(struct bpf_raw_tracepoint_args *ctx)
{
    struct thing *thing = (void *)ctx->args[0];
    return BPF_CORE_READ(thing, kept);
}
SEC("raw_tp/y") int asks(struct bpf_raw_tracepoint_args *ctx)
{
    struct thing *thing = (void *)ctx->args[0];
    return bpf_core_field_exists(thing->lost) ? BPF_CORE_READ(thing, lost) : 0;
}
SEC("raw_tp/z") int needs(struct bpf_raw_tracepoint_args *ctx)
{
    struct thing *thing = (void *)ctx->args[0];
    return bpf_core_field_offset(thing->lost) + bpf_core_field_size(thing->lost);
}
"""


@pytest.fixture
def app(compile_c: Callable[..., str]) -> str:
    return compile_c(SOURCE, "-g")


@pytest.fixture
def kernels(tmp_path: Path) -> Path:
    """The types of two kernels, of which the older one lacks a member."""
    directory = tmp_path / "kernels"
    directory.mkdir()
    for release, members in (("5.10", ["kept", "losts"]), ("6.1", ["first", "kept", "lost"])):
        types = Types()
        number = types.integer("int", 4)
        types.struct("thing", 4 * len(members), [(name, number, 32 * at) for at, name in enumerate(members)])
        (directory / f"{release}.btf").write_bytes(types.data())
    return directory


def test_each_kernel_is_told_with_what_it_lacks(
    app: str, kernels: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check-core", app, str(kernels)]) == 2
    lines = capsys.readouterr().out.splitlines()
    lacks = "of struct thing.lost: the kernel's struct thing has no member lost; did you mean losts?"
    assert lines == [
        f"{kernels}/5.10.btf: 2 of 4 relocations missing",
        f"  absent    existence {lacks}  (asks)",
        f"  missing   offset {lacks}  (asks, needs)",
        f"  missing   size {lacks}  (needs)",
        f"{kernels}/6.1.btf: none of 4 relocations missing",
    ]


def test_what_a_program_asks_for_first_is_not_missing(
    compile_c: Callable[..., str], kernels: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    careful = compile_c(SOURCE[: SOURCE.index('SEC("raw_tp/z")')], "-g")
    assert main(["check-core", careful, str(kernels / "5.10.btf")]) == 0
    summary, absent, guarded = capsys.readouterr().out.splitlines()
    assert summary.endswith(": none of 3 relocations missing")
    assert absent.startswith("  absent    existence of struct thing.lost: ")
    assert guarded.startswith("  guarded   offset of struct thing.lost: ")


def test_a_kernel_that_has_everything(app: str, kernels: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-core", "--all", app, str(kernels / "6.1.btf")]) == 0
    out = capsys.readouterr().out
    assert "resolved  offset of struct thing.kept: 4  (reads)" in out
    assert "resolved  existence of struct thing.lost: 1  (asks)" in out


def test_as_json(app: str, kernels: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-core", "--json", app, str(kernels)]) == 2
    old, new = json.loads(capsys.readouterr().out)
    assert (old["kernel"], old["satisfied"], new["satisfied"]) == (f"{kernels}/5.10.btf", False, True)
    assert [each["outcome"] for each in old["relocations"]] == ["resolved", "absent", "missing", "missing"]
    assert old["relocations"][2]["near"] == ["losts"]
    assert old["relocations"][0]["places"][0]["program"] == "reads"


def test_an_object_that_asks_for_nothing(
    compile_c: Callable[..., str], kernels: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    app = compile_c('SEC("xdp") int prog(void *ctx) { return 2; }', "-g")
    assert main(["check-core", app, str(kernels)]) == 0
    assert "has no CO-RE relocations" in capsys.readouterr().out


def test_what_is_no_btf_is_refused(app: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").write_text("no types")
    for place, message in (
        ("empty", "there are no files in"),
        ("text", "is neither BTF"),
        ("no", "cannot be read"),
    ):
        assert main(["check-core", app, str(tmp_path / place)]) == 1
        assert message in capsys.readouterr().err
    assert main(["check-core", app, "a", "b", "--module", "c"]) == 1
    assert "--module takes one BTF" in capsys.readouterr().err


@pytest.mark.kernel
def test_without_btf_it_is_the_running_kernel(app: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-core", app]) == 2
    assert capsys.readouterr().out.startswith("the running kernel (")


def test_a_file_that_is_no_btf_does_not_keep_it_from_the_others(
    app: str, kernels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    readme = tmp_path / "README"
    readme.write_text("not types")
    known = sorted(str(path) for path in kernels.iterdir())
    assert main(["check-core", app, str(readme), *known]) == 1
    shown = capsys.readouterr()
    assert all(path in shown.out for path in known)
    assert str(readme) in shown.err
