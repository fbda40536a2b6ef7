"""Kernels unpacked for virtual machines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.vm import kernels, run
from tests.vm.kernels import GuestKernel, SetupError, guest_kernel, in_places_of_debian_12, lists_of_suite

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RELEASE = "7.0.0-test"


@pytest.mark.parametrize("modules", ["lib/modules", "usr/lib/modules"])
@pytest.mark.parametrize("image", ["boot/vmlinuz-{}", "{}/vmlinuz"])
def test_packages_of_every_layout_end_up_in_one(modules: str, image: str, tmp_path: Path) -> None:
    folder = tmp_path / modules / RELEASE
    (folder / "kernel").mkdir(parents=True)
    file = tmp_path / image.format(RELEASE if image.startswith("boot") else f"{modules}/{RELEASE}")
    file.parent.mkdir(exist_ok=True)
    file.write_text("kernel")
    assert in_places_of_debian_12(tmp_path) == RELEASE
    kernel = GuestKernel(tmp_path, RELEASE)
    assert kernel.image.read_text() == "kernel"
    assert (kernel.modules / "kernel").is_dir()


def test_versions_that_are_not_known() -> None:
    with pytest.raises(SetupError, match=r"no kernel 5\.4: the tests know 6\.1, 6\.12, newest, 6\.18, 7\.3"):
        guest_kernel("5.4")


MIRROR = "http://mirror.example/debian/"


def apt_that(update: Callable[[], str]) -> Callable[..., str]:
    """What stands for all commands: a host's apt that has a mirror, from which lists are got so."""

    def answer(*command: str) -> str:
        if command[:2] == ("apt-get", "indextargets"):
            return f"{MIRROR}\n{MIRROR}\n"
        assert command[0] == "apt-get"
        assert command[-2:] == ("update", "-qq"), command
        return update()

    return answer


def test_the_suite_is_taken_from_the_mirror_of_the_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "run", apt_that(lambda: ""))
    lists_of_suite(tmp_path)
    assert (tmp_path / "sources.list").read_text().split("] ")[1] == f"{MIRROR} trixie-backports main\n"


def test_a_kernel_that_cannot_be_had_fails_unless_it_may_be_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_suite() -> str:
        raise SetupError("the mirror does not have it")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(kernels, "run", apt_that(no_suite))
    monkeypatch.setattr("time.sleep", lambda _: None)
    monkeypatch.setattr("subprocess.run", lambda *_, **__: None)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    said = "tests.vm.run: kernel newest cannot be fetched with apt-get: the mirror does not have it"
    for options, status in (["--if-available"], 0), ([], run.NOT_RUN):
        assert run.main([*options, "newest", "true"]) == status
        assert capsys.readouterr().err.splitlines()[-1] == said
    assert [path.name for path in tmp_path.rglob("newest*")] == ["newest.lock"]
    monkeypatch.setattr(run, "guest_kernel", lambda _: no_suite())
    assert run.main(["--if-available", "newest", "true"]) == run.NOT_RUN
