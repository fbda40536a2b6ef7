"""Names of objects in a BPF file system: given (with the directories that they need) and taken away.

Source: the kernel's bpffs.
"""

from __future__ import annotations

import contextlib
import errno
import os

from bpfas.loader import syscall
from bpfas.loader.errors import LoadError, Step, load_error
from bpfas.loader.privilege import Explanation

_MOUNTS = "/proc/self/mountinfo"
_NOT_MOUNTED = Explanation(
    "the path is not on a BPF file system: no BPF file system is mounted there",
    "choose a path below /sys/fs/bpf, or mount one: mount -t bpf bpffs /sys/fs/bpf; as ip netns exec gives its "
    "command a new /sys without one, be in a network namespace by nsenter --net=/run/netns/NAME COMMAND",
)
_DIRECTORY_MODE = 0o700


def pin(path: str, fd: int, subject: str, levels: int = 1) -> None:
    """Pin an object at `path`, making up to `levels` directories of it if they are missing. Raises KernelError.

    More than one is more likely a mistake of the user's. What cannot be pinned leaves no new directory.
    """
    made: list[str] = []
    try:
        for directory in reversed(_missing_directories(path)[:levels]):
            with contextlib.suppress(FileExistsError):  # another process may have made it just now
                os.mkdir(directory, _DIRECTORY_MODE)
                made.append(directory)
        syscall.obj_pin(path, fd)
    except OSError as error:
        for directory in reversed(made):
            with contextlib.suppress(OSError):
                os.rmdir(directory)
        if not _leads_to_bpf_file_system(path):
            raise LoadError(Step.PIN, f"{subject} at {path}", error.errno or 0, _NOT_MOUNTED) from error
        raise load_error(Step.PIN, f"{subject} at {path}", error) from error


def _leads_to_bpf_file_system(path: str) -> bool:
    """Whether the innermost directory of `path` that there is is on a BPF file system; True if that is unknown."""
    (*_, outermost) = [os.path.abspath(path), *_missing_directories(path)]
    with contextlib.suppress(OSError):
        return is_on_bpf_file_system(os.path.dirname(outermost))
    return True


def _missing_directories(path: str) -> list[str]:
    """The directories of `path` that there are not, the innermost first."""
    missing = []
    directory = os.path.dirname(os.path.abspath(path))
    while not os.path.isdir(directory) and directory != os.path.dirname(directory):
        missing.append(directory)
        directory = os.path.dirname(directory)
    return missing


def unpin(path: str, subject: str) -> None:
    """Take away the name `path` of an object. Raises KernelError, also for what is no pin at all."""
    try:
        if not is_on_bpf_file_system(path):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        os.unlink(path)
    except OSError as error:
        raise load_error(Step.UNPIN, f"{subject} at {path}", error) from error


def is_on_bpf_file_system(path: str) -> bool:
    """Whether the file or directory is of a BPF file system. Raises OSError if there is no such file."""
    device = os.stat(path).st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    with open(_MOUNTS) as mounts:
        # Fields: number, parent, device, …, a single dash, the file system's type (proc_pid_mountinfo(5)).
        return any(line.split()[2] == number and line.partition(" - ")[2].startswith("bpf ") for line in mounts)
