"""The network namespace that a thread is in: remembered, and entered again where a command needs it.

Commands that name an interface by its index mean that of the calling thread's namespace, which may be another one
by the time that an attachment ends. Source: network_namespaces(7), setns(2).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import ExitStack

    from bpfas.loader.attach.command import Command

OWN_NAMESPACE = "/proc/thread-self/ns/net"
NAMED_NAMESPACES = Path("/run/netns")
"""Where ip-netns(8) keeps those that it gives names."""

CLONE_NEWNET = 0x40000000


def open_namespace(stack: ExitStack) -> int:
    """A descriptor of the calling thread's network namespace, which `stack` closes. Raises OSError."""
    fd = os.open(OWN_NAMESPACE, os.O_RDONLY | os.O_CLOEXEC)
    stack.callback(os.close, fd)
    return fd


def enter_namespace(fd: int) -> None:
    """Make a network namespace that of the calling thread. Raises OSError."""
    # os.setns came with Python 3.12.
    if ctypes.CDLL(None, use_errno=True).setns(fd, CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


@contextlib.contextmanager
def within(fd: int) -> Iterator[None]:
    """Be in a network namespace for a while. Raises OSError."""
    if os.stat(OWN_NAMESPACE).st_ino == os.fstat(fd).st_ino:
        yield
        return
    with contextlib.ExitStack() as stack:
        before = open_namespace(stack)
        enter_namespace(fd)
        stack.callback(enter_namespace, before)
        yield


@dataclass(frozen=True, slots=True)
class CommandWithin:
    """Commands that are given in the network namespace that `namespace` is a descriptor of."""

    namespace: int
    command: Command

    def attach(self, fd: int) -> None:
        """Attach the program."""
        with within(self.namespace):
            self.command.attach(fd)

    def detach(self, fd: int) -> None:
        """Detach the program."""
        with within(self.namespace):
            self.command.detach(fd)

    def replace(self, fd: int, old_fd: int, *, must_match: bool) -> None:
        """Put a program in the place of the old one."""
        with within(self.namespace):
            self.command.replace(fd, old_fd, must_match=must_match)
