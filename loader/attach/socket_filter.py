"""Programs to a socket, or to a group of sockets that share a port, by setsockopt(2).

Sources: socket(7) on SO_ATTACH_BPF and SO_ATTACH_REUSEPORT_EBPF, include/uapi/asm-generic/socket.h and the tables
of the machines that number differently.
"""

from __future__ import annotations

import errno
import os
import socket
from typing import TYPE_CHECKING

from bpfas.loader.attach.failure import attach_error
from bpfas.loader.attach.link import UndoneLink
from bpfas.loader.privilege import Explanation

if TYPE_CHECKING:
    from bpfas.loader.attach.link import Link
    from bpfas.loader.attach.protocols import Attachable

_GENERIC_OPTIONS = {"attach": 50, "detach": 27, "attach_reuseport": 52, "detach_reuseport": 68}
_OPTIONS = {
    "sparc64": {"attach": 0x34, "detach": 0x1B, "attach_reuseport": 0x36, "detach_reuseport": 0x47},
    "parisc64": {"attach": 0x402B, "detach": 0x401B, "attach_reuseport": 0x402D, "detach_reuseport": 0x4042},
}


def attach_socket(program: Attachable, *, socket: socket.socket | int) -> Link:
    """Attach a socket filter to a socket (an object, or a descriptor), in the place of the one that it has.

    The filter also ends with the socket. Raises AttachError.
    """
    return _attach(program, socket, "attach", "detach", "filter of socket", _NO_SOCKET)


def attach_reuseport(program: Attachable, *, socket: socket.socket | int) -> Link:
    """Attach a program that selects among the sockets of a port, all with SO_REUSEPORT, to their group.

    `socket` is one of them (an object, or a descriptor). The program is of type SK_REUSEPORT, or a socket filter
    that returns the number of a socket; it takes the place of the one that the group has. Raises AttachError.
    """
    return _attach(
        program, socket, "attach_reuseport", "detach_reuseport", "SO_REUSEPORT group of socket", _REUSEPORT_CAUSES
    )


def _attach(
    program: Attachable,
    where: socket.socket | int,
    attach: str,
    detach: str,
    what: str,
    causes: dict[int, Explanation],
) -> Link:
    options = _OPTIONS.get(os.uname().machine, _GENERIC_OPTIONS)
    target = f"{what} {where if isinstance(where, int) else where.fileno()}"
    try:
        _set_option(where, options[attach], program.fd)
    except OSError as error:
        raise attach_error(program, target, error, causes.get) from error

    def undo() -> None:
        try:
            _set_option(where, options[detach], 0)
        except OSError as error:
            if error.errno not in (errno.EBADF, errno.ENOENT):  # the socket is closed, or the program gone
                raise

    return UndoneLink(program.name, target, undo)


def _set_option(where: socket.socket | int, option: int, value: int) -> None:
    if not isinstance(where, int):
        where.setsockopt(socket.SOL_SOCKET, option, value)
        return
    # The object takes the descriptor over, and must give it back.
    borrowed = socket.socket(fileno=where)
    try:
        borrowed.setsockopt(socket.SOL_SOCKET, option, value)
    finally:
        borrowed.detach()


_NO_SOCKET = {
    errno.EBADF: Explanation("the socket is closed"),
    errno.ENOTSOCK: Explanation("the descriptor is not that of a socket"),
    errno.EPERM: Explanation("the socket's filter is locked (SO_LOCK_FILTER)", "attach before it is locked"),
    errno.ENOMEM: Explanation(
        "the program is larger than net.core.optmem_max permits", "raise it: sysctl net.core.optmem_max"
    ),
}

_REUSEPORT_CAUSES = {
    **_NO_SOCKET,
    errno.EINVAL: Explanation(
        "the socket is not one that shares its port, or is bound to none",
        "set SO_REUSEPORT on the socket; for a program of type sk_reuseport it must be bound or listening, too",
    ),
    errno.EPROTONOSUPPORT: Explanation("sockets of this protocol do not share ports", "use a TCP or UDP socket"),
}
