"""struct_ops: the kernel calls the programs that a map of functions holds, once that is registered.

A map with BPF_F_LINK is registered by a link (since Linux 6.4); another by being written to, until its element is
deleted. Sources: libbpf 1.8; the kernel's documents on struct_ops.
"""

from __future__ import annotations

import errno
import functools
from typing import TYPE_CHECKING

from bpfas.loader import syscall
from bpfas.loader.attach.failure import link_error
from bpfas.loader.attach.link import KernelLink, Link, UndoneLink
from bpfas.loader.errors import AttachError, Step, explain
from bpfas.loader.kinds import AttachType
from bpfas.loader.privilege import Explanation

if TYPE_CHECKING:
    from bpfas.loader.attach.protocols import HasDescriptor

_KEY = bytes(4)


class StructOpsLink(KernelLink):
    """The registration of a map of functions, in whose place another of the same struct can be put."""

    def update_map(self, map_: HasDescriptor, value: bytes, *, replaced: HasDescriptor | None = None) -> None:
        """Have the kernel call the functions of another map, which is given `value`, from now on.

        Only if those of `replaced` are registered now, where given. Raises AttachError.
        """
        try:
            _write(map_, value, is_link=True)
        except OSError as error:
            raise link_error(Step.REPLACE_PROGRAM, self, error, _cause(error.errno or 0)) from error
        self.update(map_, replaced=replaced)


def attach_struct_ops(map_: HasDescriptor, value: bytes, *, is_link: bool) -> Link:
    """Register the functions of a STRUCT_OPS map with the kernel.

    `value` is what the map is given: the kernel's value struct with the programs' descriptors in it. `is_link`
    says that it was created with BPF_F_LINK; then this gives a StructOpsLink. Raises AttachError.
    """
    target = f"struct_ops {map_.name}"
    try:
        _write(map_, value, is_link=is_link)
        if is_link:
            return StructOpsLink(map_.name, target, syscall.link_create(map_.fd, 0, AttachType.STRUCT_OPS))
    except OSError as error:
        number = error.errno or 0
        explanation = _cause(number) or explain(Step.ATTACH, number)
        raise AttachError(Step.ATTACH, f"map {map_.name}", "struct_ops", number, explanation) from error
    return UndoneLink(map_.name, target, functools.partial(syscall.map_delete_elem, map_.fd, _KEY))


def _write(map_: HasDescriptor, value: bytes, *, is_link: bool) -> None:
    """Give the map its functions. One for a link stays as it is when it had them already. Raises OSError."""
    try:
        syscall.map_update_elem(map_.fd, _KEY, value)
    except OSError as error:
        if not (is_link and error.errno == errno.EBUSY):
            raise


def _cause(number: int) -> Explanation | None:
    if number == errno.EEXIST:
        return Explanation(
            "the kernel has functions registered under the same name already",
            "give the struct another name, or unregister those",
        )
    if number == errno.EBUSY:
        return Explanation(
            "its functions are registered already, or the kernel takes only one such struct at a time",
            "close that link, or delete that map's element, first",
        )
    if number == errno.EINVAL:
        return Explanation(
            "the kernel does not take these functions: one that it needs is missing, one is of another member, or "
            "a field has a value that it does not permit",
            "the kernel's log (dmesg) may say which",
        )
    return None
