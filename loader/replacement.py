"""The program whose functions an object's programs replace (`SEC("freplace/NAME")`), found and looked into.

A function is replaced by the name it has in the BTF of the target, which must have been loaded with BTF. Source:
loader.md §4.1; bpf(2) BPF_PROG_GET_FD_BY_ID, BPF_OBJ_GET, BPF_OBJ_GET_INFO_BY_FD.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bpfas.btf.kinds import Kind
from bpfas.btf.reader import read_btf
from bpfas.diag import BpfasError
from bpfas.elf.constants import ByteOrder
from bpfas.loader import syscall
from bpfas.loader.errors import LoadError, Step, explain

if TYPE_CHECKING:
    from collections.abc import Iterator

_LARGEST_ID = (1 << 32) - 1
_PROGRAM_LINK = "anon_inode:bpf-prog"
_HOST_ORDER = ByteOrder.LITTLE if sys.byteorder == "little" else ByteOrder.BIG


class Target:
    """A loaded program, its descriptor, and its functions by their names in its BTF."""

    def __init__(self, name: str, fd: int) -> None:
        self.name = name
        self.fd = fd
        with _told(self.name):
            data = syscall.prog_btf(fd)
        if not data:
            raise BpfasError.of(
                "it has no BTF, so none of its functions can be replaced",
                self.name,
                ("load it from an object compiled with -g, by a loader that gives its BTF to the kernel",),
            )
        btf = read_btf(data, _HOST_ORDER, self.name)
        self._functions = {btf.name(type_id): type_id for type_id in btf.ids_of_kind(Kind.FUNC)}

    def function(self, name: str, program_name: str) -> int:
        """The type id of the function that the program `program_name` is to replace."""
        if name in self._functions:
            return self._functions[name]
        near = difflib.get_close_matches(name, self._functions, n=1)
        listed = f"did you mean '{near[0]}'?" if near else f"it has {', '.join(self._functions) or 'none'}"
        message = f"there is no function '{name}', which program '{program_name}' is to replace"
        raise BpfasError.of(message, self.name, (listed,))


@contextlib.contextmanager
def open_target(target: str | os.PathLike[str] | int) -> Iterator[Target]:
    """The program with an id, or pinned at a path. Raises LoadError or BpfasError if there is no such program."""
    name = f"program {target}" if isinstance(target, int) else os.fspath(target)
    if isinstance(target, int) and not 0 < target <= _LARGEST_ID:
        raise BpfasError.of(f"an id is a number from 1 to {_LARGEST_ID}", name)
    with _told(name):
        fd = syscall.prog_get_fd_by_id(target) if isinstance(target, int) else syscall.obj_get(os.fspath(target))
    try:
        if os.readlink(Path("/proc/self/fd") / str(fd)) != _PROGRAM_LINK:
            raise BpfasError.of("what is pinned here is no program", name, ("bpftool prog show lists programs",))
        yield Target(name, fd)
    finally:
        os.close(fd)


@contextlib.contextmanager
def _told(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        number = error.errno or 0
        raise LoadError(Step.OPEN_TARGET, name, number, explain(Step.OPEN_TARGET, number)) from error
