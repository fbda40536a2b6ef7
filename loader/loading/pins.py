"""Pins: names for maps in a BPF file system, made and found again, with what has to agree.

Source: loader.md §9; the kernel's bpffs.
"""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

from bpfas.loader import syscall
from bpfas.loader.errors import KernelError, LoadError, Step, explain
from bpfas.loader.kinds import MapFlag, MapType, map_flag_names, map_type_name
from bpfas.loader.privilege import Explanation
from bpfas.loader.spec import Pinning, file_name

if TYPE_CHECKING:
    from bpfas.loader.loading.options import LoadOptions
    from bpfas.loader.spec import MapSpec

_MOUNTS = "/proc/self/mountinfo"
_NOT_MOUNTED = Explanation(
    "no BPF file system is mounted there (ip netns exec gives its command a new /sys, which has none)",
    "choose a path below /sys/fs/bpf, or mount one: mount -t bpf bpffs /sys/fs/bpf; to be in a network namespace "
    "and see it: nsenter --net=/run/netns/NAME COMMAND",
)
_MAP = "anon_inode:bpf-map"
_DIRECTORY_MODE = 0o700
_LEVELS_OF_DEFINITIONS = 2
"""Directories that are made for what the object itself says: iproute2's maps lie in /sys/fs/bpf/tc/globals."""


def map_pin_path(spec: MapSpec, options: LoadOptions) -> str:
    """Where the map is pinned; empty for one that is not.

    By name, a library's map is pinned where all objects look for it, without the library's name.
    """
    if spec.pin_path is not None:
        return spec.pin_path
    name = file_name(spec.name.rpartition(":")[2])
    return os.fspath(Path(options.pin_root) / name) if spec.pinning is Pinning.BY_NAME else ""


def path_in(directory: str | os.PathLike[str], name: str) -> str:
    """Where what is called `name` is pinned in a directory; dots become `_`, as the file system wants."""
    return os.fspath(Path(directory) / file_name(name.replace(".", "_")))


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
        raise _error(Step.PIN, f"{subject} at {path}", error) from error


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
        raise _error(Step.UNPIN, f"{subject} at {path}", error) from error


def is_on_bpf_file_system(path: str) -> bool:
    """Whether the file or directory is of a BPF file system. Raises OSError if there is no such file."""
    device = os.stat(path).st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    with open(_MOUNTS) as mounts:
        # Fields: number, parent, device, …, a single dash, the file system's type (proc_pid_mountinfo(5)).
        return any(line.split()[2] == number and line.partition(" - ")[2].startswith("bpf ") for line in mounts)


def reuse_pinned_map(spec: MapSpec, path: str) -> int | None:
    """The descriptor of the map that is pinned at `path`, None if nothing is.

    Raises LoadError if it is not like `spec`, with every difference.
    """
    subject = f"map {spec.name} at {path}"
    try:
        fd = syscall.obj_get(path)
    except OSError as error:
        if error.errno == errno.ENOENT:
            return None
        raise _error(Step.OPEN_PIN, subject, error) from error
    try:
        differences = _differences(spec, fd)
        if differences:
            cause = "what is pinned there is another map: " + "; ".join(differences)
            explanation = Explanation(cause, f"remove the pin (rm {path}), or pin this map elsewhere")
            raise LoadError(Step.OPEN_PIN, subject, errno.EINVAL, explanation)
    except OSError as error:
        os.close(fd)
        raise _error(Step.GET_INFO, subject, error) from error
    except BaseException:
        os.close(fd)
        raise
    return fd


def pin_new_map(spec: MapSpec, path: str, fd: int) -> int | None:
    """Pin a new map. If another process has just pinned one there, the descriptor of that one.

    Raises LoadError, and then `fd` is closed.
    """
    try:
        try:
            pin(path, fd, f"map {spec.name}", _LEVELS_OF_DEFINITIONS)
        except KernelError as error:
            other = reuse_pinned_map(spec, path) if error.errno == errno.EEXIST else None
            if other is None:
                raise
            return other
    except BaseException:
        os.close(fd)
        raise
    return None


def _differences(spec: MapSpec, fd: int) -> list[str]:
    """How the map behind the descriptor is unlike `spec`."""
    kind = os.readlink(f"/proc/self/fd/{fd}")
    if kind != _MAP:
        return [f"it is {kind.removeprefix('anon_inode:')}, no map"]
    info = syscall.map_info(fd)
    flags = info.map_flags
    if spec.map_type in (MapType.DEVMAP, MapType.DEVMAP_HASH):
        # The kernel sets it for all of them.
        flags = flags & ~MapFlag.RDONLY_PROG | spec.map_flags & MapFlag.RDONLY_PROG
    compared = (
        ("type", map_type_name(info.type), map_type_name(spec.map_type)),
        ("key size", info.key_size, spec.key_size),
        ("value size", info.value_size, spec.value_size),
        ("max entries", info.max_entries, spec.max_entries),
        ("flags", _flags(flags), _flags(spec.map_flags)),
        ("map extra", info.map_extra, spec.map_extra),
    )
    return [f"its {what} is {found}, not {wanted}" for what, found, wanted in compared if found != wanted]


def _flags(flags: int) -> str:
    return "|".join(map_flag_names(flags)) or "0"


def _error(step: Step, subject: str, error: OSError) -> LoadError:
    number = error.errno or 0
    return LoadError(step, subject, number, explain(step, number))
