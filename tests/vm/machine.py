"""A virtual machine from start to end: the host's files shared read-only, one job run, its output and exit status.

qemu emulates the processor in software, so that this works where KVM does not. The machine has the host's whole
file system by virtiofs, with an overlay in memory for what it writes: tools, Python and the project need no
copying, and what a test writes is gone with the machine.
"""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.vm.initramfs import Job, initramfs
from tests.vm.kernels import GuestKernel, SetupError

if TYPE_CHECKING:
    from collections.abc import Iterator

QEMU = "/usr/bin/qemu-system-x86_64"
VIRTIOFSD = "/usr/lib/qemu/virtiofsd"

# What this process starts ends with it, however that comes about.
TIED_TO_PARENT = ("/usr/bin/setpriv", "--pdeathsig", "TERM")

# A read-only view of all files in a mount namespace of its own, which virtiofsd then takes for its root.
SHARE = (
    'mount --rbind / "$1" && mount -o remount,bind,ro "$1" && '
    'exec "$2" --socket-path="$3" -o source="$1" -o cache=always'
)

COMMAND_LINE = "console=ttyS1 panic=-1 lsm=lockdown,bpf mitigations=off"

KERNEL_COMPLAINT = re.compile(r"WARNING:|BUG:|Oops|Call Trace:|Kernel panic|virtual machine:")


@dataclass(frozen=True, slots=True)
class Machine:
    """What a machine is given, how long it may run, and more words for its kernel's command line."""

    processors: int = 1
    megabytes: int = 1024
    seconds: float = 600.0
    append: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job ended: its exit status, None if the machine ended before it; and all that the kernel logged."""

    status: int | None
    kernel_log: str

    def complaints(self) -> list[str]:
        """The lines of the kernel's log that tell of something wrong."""
        return [line for line in self.kernel_log.splitlines() if KERNEL_COMPLAINT.search(line)]


def run_job(kernel: GuestKernel, job: Job, machine: Machine) -> Outcome:
    """Start a machine, run the job with its output on this process's standard output, and end the machine.

    Raises SetupError where the share of files does not start, TimeoutError when `machine.seconds` are over.
    """
    for tool in (QEMU, VIRTIOFSD):
        if not Path(tool).exists():
            raise SetupError(f"{tool} is missing: install qemu-system-x86")
    with tempfile.TemporaryDirectory(prefix="bpf-vm-") as name:
        folder = Path(name)
        (folder / "initramfs").write_bytes(initramfs(kernel, job))
        with shared_files(folder) as socket, ended(start_qemu(kernel, folder, socket, machine)) as qemu:
            try:
                qemu.wait(machine.seconds)
            except subprocess.TimeoutExpired:
                log = kernel_log(folder)[-4000:]
                raise TimeoutError(
                    f"the machine was stopped after {machine.seconds:g} s; its kernel's log ends:\n{log}"
                ) from None
        status = re.search(r"exit status (\d+)", read_port(folder / "status"))
        return Outcome(int(status[1]) if status else None, kernel_log(folder))


def start_qemu(kernel: GuestKernel, folder: Path, socket: Path, machine: Machine) -> subprocess.Popen[bytes]:
    """A machine with three serial ports: the job's output, the kernel's messages, the job's exit status."""
    command = [
        *(
            *TIED_TO_PARENT,
            QEMU,
            "-accel",
            "tcg,thread=multi",
            "-cpu",
            "max",
            "-smp",
            str(machine.processors),
            "-m",
            str(machine.megabytes),
        ),
        *("-object", f"memory-backend-memfd,id=memory,size={machine.megabytes}M,share=on"),
        *("-machine", "q35,memory-backend=memory", "-nodefaults", "-display", "none", "-no-reboot"),
        *("-chardev", f"socket,id=files,path={socket}"),
        *("-device", "vhost-user-fs-pci,chardev=files,tag=host,queue-size=1024"),
        *("-chardev", "stdio,id=output,signal=off", "-serial", "chardev:output"),
        *("-serial", f"file:{folder / 'kernel-log'}", "-serial", f"file:{folder / 'status'}"),
        *(
            "-kernel",
            str(kernel.image),
            "-initrd",
            str(folder / "initramfs"),
            "-append",
            f"{COMMAND_LINE} {machine.append}",
        ),
    ]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sys.stdout.fileno())


@contextlib.contextmanager
def shared_files(folder: Path) -> Iterator[Path]:
    """The host's files offered to a machine, read-only; gives the socket to reach them by."""
    socket, root, log = folder / "files.socket", folder / "root", folder / "files.log"
    root.mkdir()
    command = [
        *TIED_TO_PARENT,
        "/usr/bin/unshare",
        "--mount",
        "/bin/sh",
        "-c",
        SHARE,
        "share",
        str(root),
        VIRTIOFSD,
        str(socket),
    ]
    with (
        log.open("wb") as output,
        ended(subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=output)) as share,
    ):
        deadline = time.monotonic() + 30
        while not socket.exists():
            if share.poll() is not None or time.monotonic() > deadline:
                raise SetupError(f"the host's files cannot be shared: {log.read_text().strip()}")
            time.sleep(0.01)
        yield socket


@contextlib.contextmanager
def ended(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """The process, which has ended when the block has, on every path."""
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def kernel_log(folder: Path) -> str:
    """What the kernel and init wrote to their serial port."""
    return read_port(folder / "kernel-log")


def read_port(path: Path) -> str:
    """What was written to a serial port, with plain ends of lines."""
    return path.read_text(errors="replace").replace("\r\n", "\n") if path.exists() else ""
