"""Debian's kernels for virtual machines, fetched with apt and unpacked beside one another in a cache.

Nothing is installed: the package is only downloaded and unpacked; the host's own boot files stay as they are. How
a kernel is started is machine.py's.
"""

from __future__ import annotations

import fcntl
import lzma
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

BUSYBOX = Path("/usr/bin/busybox")

# The kernels of Debian 12, each by the package that depends on the newest build.
METAPACKAGES = {"6.1": "linux-image-cloud-amd64", "6.12": "linux-image-6.12-cloud-amd64"}

DOWNLOAD_ATTEMPTS = 5


class SetupError(Exception):
    """A virtual machine cannot be set up: what is missing, and what to do about it."""


@dataclass(frozen=True, slots=True)
class GuestKernel:
    """A kernel unpacked in the cache: `folder` has `boot` and `lib/modules` as Debian lays them out."""

    folder: Path
    release: str

    @property
    def image(self) -> Path:
        """The compressed kernel."""
        return self.folder / "boot" / f"vmlinuz-{self.release}"

    @property
    def config(self) -> Path:
        """What the kernel was built with."""
        return self.folder / "boot" / f"config-{self.release}"

    @property
    def modules(self) -> Path:
        """The folder of modules, with the index that modprobe reads."""
        return self.folder / "lib" / "modules" / self.release


def cache_folder() -> Path:
    """Where kernels are kept between runs."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return home / "bpf-as-tests" / "kernels"


def guest_kernel(version: str) -> GuestKernel:
    """The kernel of that version ("6.12"), from the cache, or else fetched into it.

    Raises SetupError where the version is not one of METAPACKAGES or its package cannot be had.
    """
    if version not in METAPACKAGES:
        raise SetupError(f"no kernel {version}: the tests know {', '.join(METAPACKAGES)}")
    folder = cache_folder() / version
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{version}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            fetch(version, folder)
    (release,) = os.listdir(folder / "lib" / "modules")
    return GuestKernel(folder, release)


def fetch(version: str, folder: Path) -> None:
    """Download the kernel's package and unpack it as `folder`, which appears only when it is complete."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as work:
        tree = Path(work) / "tree"
        run("dpkg-deb", "--extract", str(download(version, Path(work))), str(tree))
        (release,) = os.listdir(tree / "lib" / "modules")
        if not release.startswith(f"{version}."):
            raise SetupError(f"{METAPACKAGES[version]} gave kernel {release}, not {version}: is this Debian 12?")
        for module in (tree / "lib" / "modules").rglob("*.ko.xz"):
            module.with_suffix("").write_bytes(lzma.decompress(module.read_bytes()))
            module.unlink()
        run(str(BUSYBOX), "depmod", "-b", str(tree), release)
        for unneeded in (tree / "usr", tree / "boot" / f"System.map-{release}"):
            if unneeded.is_dir():
                shutil.rmtree(unneeded)
            else:
                unneeded.unlink(missing_ok=True)
        tree.rename(folder)


def download(version: str, folder: Path) -> Path:
    """The package file with the newest build of that kernel. Where it cannot be had, apt's lists are renewed."""
    failure = ""
    for attempt in range(DOWNLOAD_ATTEMPTS):
        if attempt:
            time.sleep(5 * attempt)
            subprocess.run(["/usr/bin/apt-get", "update", "-qq"], check=False)
        try:
            package = newest_build(version)
            run("apt-get", "download", "-qq", package, directory=folder)
            return next(folder.glob("*.deb"))
        except SetupError as error:
            failure = str(error)
            print(f"attempt {attempt + 1} to fetch kernel {version} failed: {failure}", file=sys.stderr)
    raise SetupError(f"kernel {version} cannot be fetched with apt-get: {failure}")


def newest_build(version: str) -> str:
    """The package that the metapackage depends on."""
    for line in run("apt-cache", "depends", METAPACKAGES[version]).splitlines():
        kind, _, package = line.strip().partition(": ")
        if kind == "Depends" and package.startswith("linux-image-"):
            return package
    raise SetupError(f"apt knows no package {METAPACKAGES[version]}")


def run(*command: str, directory: Path | None = None) -> str:
    """What a tool printed; raises SetupError with what it said if it fails or is missing."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=directory)
    except FileNotFoundError as error:
        raise SetupError(f"{command[0]} is not installed") from error
    if done.returncode:
        raise SetupError(f"{' '.join(command)} gave exit status {done.returncode}: {done.stderr.strip()}")
    return done.stdout
