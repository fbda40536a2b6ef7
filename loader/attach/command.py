"""Attachments that the kernel keeps by themselves: made and undone by commands instead of a link of the kernel's.

A CommandLink stands for one; what the commands are, a Command says: `ProgAttach` here (BPF_PROG_ATTACH), netlink's
in `xdp`, `tc` and `lwt`.
"""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from bpfas.loader import syscall
from bpfas.loader.attach.failure import attach_error, link_error
from bpfas.loader.attach.link import REPLACE, Link
from bpfas.loader.attach.order import AS_IT_COMES, Order
from bpfas.loader.errors import Step

if TYPE_CHECKING:
    from collections.abc import Callable

    from bpfas.loader.attach.protocols import Attachable, HasDescriptor
    from bpfas.loader.privilege import Explanation

_GONE = (errno.ENODEV, errno.ENOENT, errno.ENXIO, errno.ESRCH)
"""What detaching gives when the program is not there any more, or what it was attached to is not."""


class Command(Protocol):
    """How a program is attached to one target, and detached from it. All raise OSError."""

    def attach(self, fd: int) -> None:
        """Attach the program."""
        ...

    def detach(self, fd: int) -> None:
        """Detach the program, which may be gone already."""
        ...

    def replace(self, fd: int, old_fd: int, *, must_match: bool) -> None:
        """Put a program in the place of the old one, `must_match`: only if that is still there."""
        ...


class CommandLink(Link):
    """An attachment that the kernel keeps until it is told to end it; it has no link of the kernel's, and no pins.

    `program_fd` is a descriptor of the program for the commands: the program itself may be closed before. `held`
    is closed at the end, and that descriptor with it, as all that the commands take (a descriptor of the target, a
    netlink socket).
    """

    def __init__(self, program: str, target: str, command: Command, program_fd: int, held: ExitStack) -> None:
        super().__init__(program, target)
        self._command = command
        self._program_fd = program_fd
        self._held = held

    def update(self, program: HasDescriptor, *, replaced: HasDescriptor | None = None) -> None:
        """Put `program` in the place of the present one, at one stroke; only if that is `replaced`, where given.

        Raises AttachError.
        """
        old_fd = self._program_fd if replaced is None else replaced.fd
        try:
            self._command.replace(program.fd, old_fd, must_match=replaced is not None)
        except OSError as error:
            raise link_error(Step.REPLACE_PROGRAM, self, error) from error
        os.dup2(program.fd, self._program_fd, inheritable=False)
        self.program = program.name

    def _close(self) -> None:
        try:
            if not self._is_disconnected:
                self._command.detach(self._program_fd)
        except OSError as error:
            if error.errno not in _GONE:
                raise link_error(Step.DETACH, self, error) from error
        finally:
            self._held.close()


def attach_by_command(
    program: Attachable,
    target: str,
    prepare: Callable[[ExitStack], Command],
    causes: Callable[[int], Explanation | None] | None = None,
) -> CommandLink:
    """Attach `program`, and give what detaches it. Raises AttachError.

    `prepare` gives the commands, and leaves to the stack to close what they take.
    """
    with ExitStack() as held:
        try:
            fd = duplicate(program.fd, held)
            command = prepare(held)
            command.attach(fd)
        except OSError as error:
            raise attach_error(program, target, error, causes) from error
        return CommandLink(program.name, target, command, fd, held.pop_all())


@dataclass(frozen=True, slots=True)
class ProgAttach:
    """BPF_PROG_ATTACH to `target`, a descriptor or an interface's index; `replaces` is the program to take out.

    `overwrites` says of a place that it has room for one program, which gives way to whatever is attached next.
    """

    target: int
    attach_type: int
    flags: int = 0
    order: Order = AS_IT_COMES
    expected_revision: int = 0
    replaces: HasDescriptor | None = None
    overwrites: bool = False

    def attach(self, fd: int) -> None:
        """Attach the program, where `order` says, or in the place of `replaces`."""
        replaced_fd, flags = (0, 0) if self.replaces is None else (self.replaces.fd, REPLACE)
        syscall.prog_attach(
            self.target,
            fd,
            self.attach_type,
            self.flags | flags | self.order.flags,
            replaced_fd,
            self.order.relative,
            self.expected_revision,
        )

    def detach(self, fd: int) -> None:
        """Detach the program."""
        syscall.prog_detach(self.target, fd, self.attach_type)

    def replace(self, fd: int, old_fd: int, *, must_match: bool) -> None:
        """Put a program in the place of the old one."""
        if self.overwrites:
            if must_match:
                raise OSError(errno.EOPNOTSUPP, "this place does not compare")
            syscall.prog_attach(self.target, fd, self.attach_type, self.flags)
            return
        syscall.prog_attach(self.target, fd, self.attach_type, self.flags | REPLACE, old_fd)


def duplicate(fd: int, stack: ExitStack) -> int:
    """Another descriptor of the same object, which `stack` closes."""
    copy = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
    stack.callback(os.close, copy)
    return copy
