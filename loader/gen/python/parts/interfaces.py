"""Network interfaces by their names."""

from __future__ import annotations

import errno

from bpfas.loader.gen.python.parts.kernel import AttachError


def interface_index(program: str, interface: str | int) -> int:
    """The number of an interface. Raises AttachError where there is none of that name."""
    if isinstance(interface, int):
        return interface
    import socket  # takes longer to import than all the rest

    try:
        return socket.if_nametoindex(interface)
    except OSError:
        raise AttachError(
            f"attach {program}", errno.ENODEV, f"there is no interface {interface} (ip link)"
        ) from None
