"""Kernels unpacked for virtual machines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.vm.kernels import GuestKernel, SetupError, guest_kernel, in_places_of_debian_12

if TYPE_CHECKING:
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
    with pytest.raises(SetupError, match=r"no kernel 5\.4: the tests know 6\.1, 6\.12, 6\.18, 7\.3"):
        guest_kernel("5.4")
