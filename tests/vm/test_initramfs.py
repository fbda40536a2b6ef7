"""What a virtual machine is started with."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.vm.initramfs import EARLY_MODULES, Job, early_modules, initramfs
from tests.vm.kernels import BUSYBOX, GuestKernel


@pytest.fixture
def kernel(tmp_path: Path) -> GuestKernel:
    """A kernel of which some early modules are files, and one of them needs another."""
    kernel = GuestKernel(tmp_path, "6.0.0-test")
    kernel.modules.mkdir(parents=True)
    (kernel.modules / "modules.dep").write_text(
        "kernel/fs/virtiofs.ko: kernel/fs/fuse.ko\nkernel/fs/fuse.ko:\nkernel/drivers/other.ko:\n"
    )
    (kernel.modules / "modules.alias").write_text("")
    for name in ("virtiofs", "fuse", "other"):
        file = kernel.modules / "kernel" / "fs" / f"{name}.ko"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
    return kernel


def test_modules_come_with_those_that_they_need(kernel: GuestKernel) -> None:
    assert "virtiofs" in EARLY_MODULES
    assert early_modules(kernel) == [Path("kernel/fs/fuse.ko"), Path("kernel/fs/virtiofs.ko")]


def test_a_job_is_a_script(tmp_path: Path) -> None:
    job = Job(
        ["sh", "-c", 'printf "%s|" "$PWD" "$WORDS" "$@"', "name", "two words", "it's"],
        tmp_path,
        {"WORDS": "a 'b' $c"},
    )
    done = subprocess.run(["/bin/sh"], input=job.script(), capture_output=True, text=True, check=True)
    assert done.stdout == f"{tmp_path}|a 'b' $c|two words|it's|"


def test_cpio_unpacks_the_archive(kernel: GuestKernel, tmp_path: Path) -> None:
    cpio = shutil.which("cpio")
    if not cpio or not BUSYBOX.exists():
        pytest.skip("cpio and busybox-static are not installed")
    unpacked = tmp_path / "unpacked"
    unpacked.mkdir()
    archive = initramfs(kernel, Job(["true"], tmp_path, {}))
    subprocess.run([cpio, "-i", "--quiet"], input=archive, cwd=unpacked, check=True)
    assert (unpacked / "bin" / "busybox").read_bytes() == BUSYBOX.read_bytes()
    assert (unpacked / "sbin" / "modprobe").readlink() == Path("../bin/busybox")
    assert (unpacked / "lib/modules/6.0.0-test/kernel/fs/fuse.ko").read_text() == "fuse"
    assert (unpacked / "init").stat().st_mode & 0o777 == 0o755
