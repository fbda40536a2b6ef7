"""The first files of a virtual machine: busybox, the modules for the host's files, init and the job to do."""

from __future__ import annotations

import shlex
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.vm.kernels import BUSYBOX, GuestKernel, SetupError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

INIT = Path(__file__).with_name("init.sh")

# What init loads before it has the host's files, which hold all other modules. What is built in has no file.
EARLY_MODULES = ("virtio_pci", "virtiofs", "overlay")


@dataclass(frozen=True, slots=True)
class Job:
    """A command, where it runs and with what environment."""

    command: Sequence[str]
    directory: Path
    environment: Mapping[str, str]

    def script(self) -> str:
        """The shell script that becomes the command."""
        lines = [f"export {name}={shlex.quote(value)}" for name, value in sorted(self.environment.items())]
        return "\n".join(
            [*lines, f"cd {shlex.quote(str(self.directory))} || exit 126", f"exec {shlex.join(self.command)}", ""]
        )


def initramfs(kernel: GuestKernel, job: Job) -> bytes:
    """The archive that the kernel unpacks as its first root."""
    if not BUSYBOX.exists():
        raise SetupError(f"{BUSYBOX} is missing: install busybox-static")
    modules = f"lib/modules/{kernel.release}"
    folders = ["bin", "sbin", "proc", "sys", "dev", "host", "changes", "root", "lib", "lib/modules", modules]
    files = [*early_modules(kernel), Path("modules.dep"), Path("modules.alias")]
    folders += sorted({f"{modules}/{parent}" for file in files for parent in file.parents if parent != Path()})
    return b"".join(
        [
            *(entry(folder, stat.S_IFDIR | 0o755, b"") for folder in folders),
            entry("bin/busybox", stat.S_IFREG | 0o755, BUSYBOX.read_bytes()),
            entry("sbin/modprobe", stat.S_IFLNK | 0o777, b"../bin/busybox"),
            entry("init", stat.S_IFREG | 0o755, INIT.read_bytes()),
            entry("job", stat.S_IFREG | 0o755, job.script().encode()),
            entry("settings", stat.S_IFREG | 0o644, settings(kernel).encode()),
            *(
                entry(f"{modules}/{file}", stat.S_IFREG | 0o644, (kernel.modules / file).read_bytes())
                for file in files
            ),
            entry("TRAILER!!!", 0, b""),
        ]
    )


def settings(kernel: GuestKernel) -> str:
    """What init reads of the host's places, as shell assignments."""
    return (
        f"kernel_folder={shlex.quote(str(kernel.folder))}\nearly_modules={shlex.quote(' '.join(EARLY_MODULES))}\n"
    )


def early_modules(kernel: GuestKernel) -> list[Path]:
    """The files of EARLY_MODULES and of those that they need, relative to the folder of modules."""
    needs: dict[str, list[Path]] = {}
    for line in (kernel.modules / "modules.dep").read_text().splitlines():
        file, _, needed = line.partition(":")
        needs[Path(file).stem] = [Path(file), *map(Path, needed.split())]
    return sorted({file for name in EARLY_MODULES for file in needs.get(name, [])})


def entry(name: str, mode: int, contents: bytes) -> bytes:
    """A file of a cpio archive in the "newc" format that the kernel reads."""
    encoded_name = name.encode() + b"\0"
    numbers = (0, mode, 0, 0, 1, 0, len(contents), 0, 0, 0, 0, len(encoded_name), 0)
    head = b"070701" + b"".join(b"%08X" % number for number in numbers) + encoded_name
    return padded(head) + padded(contents)


def padded(data: bytes) -> bytes:
    """Data up to the next multiple of four bytes."""
    return data + bytes(-len(data) % 4)
