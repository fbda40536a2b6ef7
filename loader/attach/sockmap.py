"""Programs to a sockmap or sockhash: stream parsers and verdicts (sk_skb), message verdicts (sk_msg).

They see what the sockets in the map send or receive; a socket keeps the programs that the map had when it was put
in. By a link where the kernel has that (Linux 6.10), else by
BPF_PROG_ATTACH. Source: the kernel's document bpf/map_sockmap.rst.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from bpfas.loader import syscall
from bpfas.loader.attach.command import ProgAttach, attach_by_command, duplicate
from bpfas.loader.attach.failure import attach_error
from bpfas.loader.attach.link import KernelLink
from bpfas.loader.kinds import AttachType, MapType, ProgramType, map_type_name
from bpfas.loader.privilege import Explanation

if TYPE_CHECKING:
    from contextlib import ExitStack

    from bpfas.loader.attach.link import Link
    from bpfas.loader.attach.protocols import Attachable, AttachableMap

_ROLES = {
    ProgramType.SK_MSG: {"message": AttachType.SK_MSG_VERDICT},
    ProgramType.SK_SKB: {
        "stream_parser": AttachType.SK_SKB_STREAM_PARSER,
        "stream_verdict": AttachType.SK_SKB_STREAM_VERDICT,
        "verdict": AttachType.SK_SKB_VERDICT,
    },
}


def attach_sockmap(program: Attachable, *, map: AttachableMap, role: str | None = None) -> Link:  # noqa: A002
    """Attach to a sockmap or sockhash, by a link where the kernel has that.

    `role` is `stream_parser`, `stream_verdict` or `verdict`, and is needed where the section is a bare `sk_skb`.
    Raises AttachError.
    """
    attach_type = _attach_type(program, role)
    target = _target(attach_type, map)
    _check_map(program, target, map)
    try:
        fd = syscall.link_create(program.fd, map.fd, attach_type)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise attach_error(program, target, error, _CAUSES.get) from error
    else:
        return KernelLink(program.name, target, fd)
    return attach_sockmap_without_link(program, map=map, role=role)


def attach_sockmap_without_link(
    program: Attachable,
    *,
    map: AttachableMap,  # noqa: A002
    role: str | None = None,
) -> Link:
    """Attach to a sockmap or sockhash for good: until told otherwise, or until the map goes.

    As `attach_sockmap`. What is there in this role gives way. Raises AttachError.
    """
    attach_type = _attach_type(program, role)
    target = _target(attach_type, map)
    _check_map(program, target, map)

    def prepare(held: ExitStack) -> ProgAttach:
        return ProgAttach(duplicate(map.fd, held), attach_type, overwrites=True)

    return attach_by_command(program, target, prepare, _CAUSES.get)


def _attach_type(program: Attachable, role: str | None) -> AttachType:
    roles = _ROLES[program.spec.program_type]
    if role is not None:
        if role not in roles:
            raise ValueError(f"role is '{role}', not one of {', '.join(roles)}")
        return roles[role]
    if len(roles) == 1:
        return next(iter(roles.values()))
    says = program.spec.expected_attach_type
    if says in roles.values():
        return AttachType(says)
    cause = f"section '{program.spec.section}' does not say what the program does with streams"
    remedy = f"say it: role=verdict (attach(…, role='…'), --to role=…); it may be {', '.join(roles)}"
    raise attach_error(program, "", errno.EINVAL, explanation=Explanation(cause, remedy))


def _target(attach_type: AttachType, socket_map: AttachableMap) -> str:
    return f"{attach_type.name.lower()} of map {socket_map.name}"


def _check_map(program: Attachable, target: str, socket_map: AttachableMap) -> None:
    if socket_map.type not in (MapType.SOCKMAP, MapType.SOCKHASH):
        cause = f"map {socket_map.name} is of type {map_type_name(socket_map.type)}, which holds no sockets"
        remedy = "give a map of type sockmap or sockhash"
        raise attach_error(program, target, errno.EINVAL, explanation=Explanation(cause, remedy))


_CAUSES = {
    errno.EBUSY: Explanation(
        "the map has a program in this role already, or one whose role excludes it (verdict and streams)",
        "detach that one, or update its link: link.update(program)",
    ),
    errno.EOPNOTSUPP: Explanation(
        "the kernel does not have this role for sockmaps", "see CONFIG_BPF_STREAM_PARSER; verdict takes Linux 5.13"
    ),
}
