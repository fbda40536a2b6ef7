"""Pinned maps: where the maps of an object have their names, and what has to agree for one to be used again.

Names in a BPF file system as such are `bpfas.loader.runtime.pinning`'s.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

from bpfas.loader import syscall
from bpfas.loader.errors import KernelError, LoadError, Step, load_error
from bpfas.loader.kinds import MapFlag, MapType, map_flag_names, map_type_name
from bpfas.loader.privilege import Explanation
from bpfas.loader.runtime.pinning import pin
from bpfas.loader.spec import Pinning, file_name

if TYPE_CHECKING:
    from bpfas.loader.loading.options import LoadOptions
    from bpfas.loader.spec import MapSpec

_MAP = "anon_inode:bpf-map"
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
        raise load_error(Step.OPEN_PIN, subject, error) from error
    try:
        differences = _differences(spec, fd)
        if differences:
            cause = "what is pinned there is another map: " + "; ".join(differences)
            explanation = Explanation(cause, f"remove the pin (rm {path}), or pin this map elsewhere")
            raise LoadError(Step.OPEN_PIN, subject, errno.EINVAL, explanation)
    except OSError as error:
        os.close(fd)
        raise load_error(Step.GET_INFO, subject, error) from error
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
    map_extra = info.map_extra
    if spec.map_type == MapType.ARENA and not spec.map_extra:
        map_extra = 0  # a loader program makes arenas for one address; this one may lie anywhere
    compared = (
        ("type", map_type_name(info.type), map_type_name(spec.map_type)),
        ("key size", info.key_size, spec.key_size),
        ("value size", info.value_size, spec.value_size),
        ("max entries", info.max_entries, spec.max_entries),
        ("flags", _flags(flags), _flags(spec.map_flags)),
        ("map extra", map_extra, spec.map_extra),
    )
    return [f"its {what} is {found}, not {wanted}" for what, found, wanted in compared if found != wanted]


def _flags(flags: int) -> str:
    return "|".join(map_flag_names(flags)) or "0"
