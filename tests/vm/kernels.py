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

NEWEST = "newest"

# Kernels by the package that depends on the newest build: Debian 12's, and the newest that there is.
METAPACKAGES = {
    "6.1": "linux-image-cloud-amd64",
    "6.12": "linux-image-6.12-cloud-amd64",
    NEWEST: "linux-image-cloud-amd64",
}

# Those of a newer suite, where versions come and go; it is asked with other lists than the host's.
BACKPORTS = ("6.18", "7.3", NEWEST)
SUITE = "trixie-backports"
KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg"

VERSIONS = tuple(dict.fromkeys((*METAPACKAGES, *BACKPORTS)))

DOWNLOAD_ATTEMPTS = 5


class SetupError(Exception):
    """A virtual machine cannot be set up: what is missing, and what to do about it."""


class NotAvailableError(SetupError):
    """A kernel's packages cannot be had at present, through no fault of the tests."""


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
    """The kernel of that version ("6.12", or NEWEST), from the cache, or else fetched into it.

    Raises SetupError where the version is not one of VERSIONS, NotAvailableError where its package cannot be had.
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
        if version != NEWEST and not release.startswith(f"{version}."):
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
    failure = ""
    for attempt in range(DOWNLOAD_ATTEMPTS):
        if attempt:
            time.sleep(5 * (attempt - 1))
            subprocess.run(["/usr/bin/apt-get", "update", "-qq"], check=False)
        try:
            options = lists_of_suite(folder / "apt") if version in BACKPORTS else []
            packages = parts_of(newest_build(version, options), options)
            run("apt-get", *options, "download", "-qq", *packages, directory=folder)
            return [*folder.glob("*.deb")]
        except SetupError as error:
            failure = str(error)
            print(f"attempt {attempt + 1} to fetch kernel {version} failed: {failure}", file=sys.stderr)
    raise NotAvailableError(f"kernel {version} cannot be fetched with apt-get: {failure}")


def lists_of_suite(folder: Path) -> list[str]:
    """Make lists of SUITE's packages in that folder; gives the options by which apt takes them for the host's."""
    for needed in ("lists/partial", "archives/partial"):
        (folder / needed).mkdir(parents=True, exist_ok=True)
    sources = folder / "sources.list"
    sources.write_text(f"deb [signed-by={KEYS}] {mirror()} {SUITE} main\n")
    settings = {
        "Dir::Etc::sourcelist": sources,
        "Dir::Etc::sourceparts": "-",
        "Dir::State::lists": folder / "lists",
        "Dir::Cache": folder,
        "Acquire::Languages": "none",
        "APT::Sandbox::User": "root",  # nobody else can write into the folder
        "APT::Update::Error-Mode": "any",
    }
    configuration = folder / "apt.conf"
    configuration.write_text("".join(f'{name} "{value}";\n' for name, value in settings.items()))
    options = ["--config-file", str(configuration)]
    run("apt-get", *options, "update", "-qq")
    return options


def mirror() -> str:
    """Where the host's apt has Debian's packages from."""
    packages_of_debian = ("Created-By: Packages", "Origin: Debian", "Label: Debian")
    places = run("apt-get", "indextargets", "--format", "$(REPO_URI)", *packages_of_debian).split()
    if not places:
        raise SetupError("apt has no lists of Debian's packages; try: apt-get update")
    return places[0]


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
