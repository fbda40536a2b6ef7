"""Debian's kernels for virtual machines, fetched with apt and unpacked beside one another in a cache.

Nothing is installed: the package is only downloaded and unpacked; the host's own boot files stay as they are. How
a kernel is started is machine.py's.
"""

from __future__ import annotations

import fcntl
import lzma
import os
import re
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

# Newer ones, which come and go; asked for with lists of apt's own, so that the host's stay as they are.
BACKPORTS = ("6.18", "7.3")
SUITE = "trixie-backports"
SOURCE = (
    f"deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian {SUITE} main\n"
)

VERSIONS = (*METAPACKAGES, *BACKPORTS)

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

    Raises SetupError where the version is not one of VERSIONS or its package cannot be had.
    """
    if version not in VERSIONS:
        raise SetupError(f"no kernel {version}: the tests know {', '.join(VERSIONS)}")
    folder = cache_folder() / version
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{version}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            fetch(version, folder)
    (release,) = os.listdir(folder / "lib" / "modules")
    return GuestKernel(folder, release)


def fetch(version: str, folder: Path) -> None:
    """Download the kernel's packages and unpack them as `folder`, which appears only when it is complete."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as work:
        tree = Path(work) / "tree"
        for package in download(version, Path(work)):
            run("dpkg-deb", "--extract", str(package), str(tree))
        release = in_places_of_debian_12(tree)
        if not release.startswith(f"{version}."):
            given = METAPACKAGES.get(version, SUITE)
            raise SetupError(f"{given} gave kernel {release}, not {version}: is this Debian 12?")
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


def in_places_of_debian_12(tree: Path) -> str:
    """Move what newer packages have elsewhere to where Debian 12 has it; gives the kernel's release."""
    if not (tree / "lib").exists():
        (tree / "usr" / "lib").rename(tree / "lib")
    (release,) = os.listdir(tree / "lib" / "modules")
    modules, boot = tree / "lib" / "modules" / release, tree / "boot"
    boot.mkdir(exist_ok=True)
    for name in ("vmlinuz", "config"):
        if (modules / name).exists():
            (modules / name).rename(boot / f"{name}-{release}")
    return release


def download(version: str, folder: Path) -> list[Path]:
    """The package files of the newest build of that kernel. Where they cannot be had, apt's lists are renewed."""
    options = apt_options(version)
    failure = ""
    for attempt in range(DOWNLOAD_ATTEMPTS):
        if attempt:
            time.sleep(5 * (attempt - 1))
            subprocess.run(["/usr/bin/apt-get", *options, "update", "-qq"], check=False)
        try:
            packages = parts_of(newest_build(version, options), options)
            run("apt-get", *options, "download", "-qq", *packages, directory=folder)
            return [*folder.glob("*.deb")]
        except SetupError as error:
            failure = str(error)
            print(f"attempt {attempt + 1} to fetch kernel {version} failed: {failure}", file=sys.stderr)
    raise SetupError(f"kernel {version} cannot be fetched with apt-get: {failure}")


def apt_options(version: str) -> list[str]:
    """What makes apt look into the suite that has the kernel; nothing where that is the host's own."""
    if version not in BACKPORTS:
        return []
    folder = cache_folder() / "apt"
    (folder / "lists" / "partial").mkdir(parents=True, exist_ok=True)
    (folder / "archives" / "partial").mkdir(parents=True, exist_ok=True)
    sources = folder / "backports.list"
    sources.write_text(SOURCE)
    settings = {
        "Dir::Etc::sourcelist": sources,
        "Dir::Etc::sourceparts": "-",
        "Dir::State::lists": folder / "lists",
        "Dir::Cache": folder,
        "Acquire::Languages": "none",
    }
    return [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]


def newest_build(version: str, options: list[str]) -> str:
    """The package that the metapackage depends on, or the last one of that version."""
    if version in METAPACKAGES:
        for package in depends(METAPACKAGES[version], options):
            if package.startswith("linux-image-"):
                return package
        raise SetupError(f"apt knows no package {METAPACKAGES[version]}")
    names = run("apt-cache", *options, "pkgnames", f"linux-image-{version}.").split()
    builds = [name for name in names if name.endswith("-cloud-amd64")]
    if not builds:
        raise SetupError(f"{SUITE} has no kernel {version}; see https://packages.debian.org/{SUITE}/kernel")
    return max(builds, key=lambda name: [int(number) for number in re.findall(r"\d+", name)])


def parts_of(package: str, options: list[str]) -> list[str]:
    """A kernel's package, and those that it consists of where it has nothing itself."""
    prefixes = ("linux-binary-", "linux-modules-", "linux-base-")
    release = package.removeprefix("linux-image-")
    parts = {prefix + release for prefix in prefixes}
    return [package, *(name for name in depends(package, options) if name in parts)]


def depends(package: str, options: list[str]) -> list[str]:
    """The packages that apt says a package depends on."""
    lines = (line.strip().partition(": ") for line in run("apt-cache", *options, "depends", package).splitlines())
    return [name for kind, _, name in lines if kind == "Depends"]


def run(*command: str, directory: Path | None = None) -> str:
    """What a tool printed; raises SetupError with what it said if it fails or is missing."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=directory)
    except FileNotFoundError as error:
        raise SetupError(f"{command[0]} is not installed") from error
    if done.returncode:
        raise SetupError(f"{' '.join(command)} gave exit status {done.returncode}: {done.stderr.strip()}")
    return done.stdout
