"""Programs to a network namespace: flow dissectors and sk_lookup by a link, netfilter programs to its hooks.

Sources: include/uapi/linux/bpf.h and netfilter.h, the kernel's documents bpf/prog_sk_lookup.rst and
prog_flow_dissector.rst.
"""

from __future__ import annotations

import enum
import errno
import os
import struct
from contextlib import ExitStack
from typing import TYPE_CHECKING

from bpfas.loader.attach.choices import choose
from bpfas.loader.attach.failure import attach_error
from bpfas.loader.attach.link import create_link
from bpfas.loader.attach.namespace import NAMED_NAMESPACES, OWN_NAMESPACE
from bpfas.loader.kinds import AttachType, ProgramType
from bpfas.loader.privilege import Explanation

if TYPE_CHECKING:
    from bpfas.loader.attach.link import Link
    from bpfas.loader.attach.protocols import Attachable

_ATTACH_TYPES = {
    ProgramType.FLOW_DISSECTOR: AttachType.FLOW_DISSECTOR,
    ProgramType.SK_LOOKUP: AttachType.SK_LOOKUP,
}


def attach_netns(program: Attachable, *, netns: str | os.PathLike[str] | int | None = None) -> Link:
    """Attach a flow dissector or an sk_lookup program to a network namespace, by default that of this thread.

    `netns` is a name as `ip netns` has it, a path (`/proc/PID/ns/net`) or a descriptor of one. Raises AttachError.
    """
    attach_type = _ATTACH_TYPES[program.spec.program_type]
    what = attach_type.name.lower()
    target = f"{what} of {'this network namespace' if netns is None else f'network namespace {netns}'}"
    with ExitStack() as stack:
        fd = open_namespace_of(netns, target, program, stack)
        return create_link(program, target, fd, attach_type, causes=_NETNS_CAUSES.get)


def open_namespace_of(
    netns: str | os.PathLike[str] | int | None, target: str, program: Attachable, stack: ExitStack
) -> int:
    """A descriptor of a network namespace, which `stack` closes unless it is the caller's. Raises AttachError."""
    if isinstance(netns, int):
        return netns
    path = OWN_NAMESPACE if netns is None else os.fspath(netns)
    if "/" not in path:
        path = str(NAMED_NAMESPACES / path)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        known = sorted(each.name for each in NAMED_NAMESPACES.glob("*"))
        remedy = f"there are {', '.join(known)}" if known else "give a path, as /proc/PID/ns/net"
        cause = f"cannot open {path}: {os.strerror(error.errno or 0)}"
        raise attach_error(program, target, error, explanation=Explanation(cause, remedy)) from error
    stack.callback(os.close, fd)
    return fd


_NETNS_CAUSES = {
    errno.EINVAL: Explanation(
        "that is no network namespace, or the kernel has no such hook there",
        "give a name of ip netns, or a path as /proc/PID/ns/net; sk_lookup takes Linux 5.9",
    ),
    errno.EEXIST: Explanation(
        "a flow dissector is attached there already without a link, or to the first network namespace for all",
        "detach that one: bpftool prog detach, from within the namespace",
    ),
    errno.E2BIG: Explanation(
        "there are as many programs there as the kernel permits: 1 flow dissector, 64 of sk_lookup",
        "detach one, or update its link: link.update(program)",
    ),
}


class Family(enum.Enum):
    """Protocol families with netfilter hooks for BPF; the numbers of NFPROTO_*."""

    IPV4 = "ipv4"
    IPV6 = "ipv6"


class Hook(enum.Enum):
    """Where a packet is on its way, in the order of NF_INET_*."""

    PREROUTING = "prerouting"
    INPUT = "input"
    FORWARD = "forward"
    OUTPUT = "output"
    POSTROUTING = "postrouting"


_FAMILIES = {Family.IPV4: 2, Family.IPV6: 10}
_HOOKS = {hook: number for number, hook in enumerate(Hook)}
_IP_DEFRAGMENT = 1 << 0
_NETFILTER_OPTIONS = struct.Struct("=IIiI")  # family, hook, priority, flags


def attach_netfilter(
    program: Attachable,
    *,
    hook: Hook | str,
    family: Family | str = Family.IPV4,
    priority: int = -128,
    defragment: bool = False,
) -> Link:
    """Attach to a netfilter hook of the calling thread's network namespace.

    `hook` and `family` are a Hook and a Family or their values. Programs and rules of a lower priority run first;
    no two programs of a hook may have the same. With `defragment` (Linux 6.6) the program gets whole packets, and
    its priority must be higher than that of defragmentation, -400. Raises AttachError.
    """
    chosen, proto = choose(Hook, hook, "hook"), choose(Family, family, "family")
    target = f"netfilter {chosen.value} of {proto.value} at priority {priority}"
    if not -(1 << 31) < priority < (1 << 31) - 1:
        cause = f"the priority is {priority}, not in the range {1 - (1 << 31)} to {(1 << 31) - 2}"
        raise attach_error(program, target, errno.ERANGE, explanation=Explanation(cause))
    flags = _IP_DEFRAGMENT if defragment else 0
    options = _NETFILTER_OPTIONS.pack(_FAMILIES[proto], _HOOKS[chosen], priority, flags)

    def causes(number: int) -> Explanation | None:
        if number in (errno.EINVAL, errno.ERANGE) and defragment and priority <= _DEFRAGMENT_PRIORITY:
            return Explanation(
                f"priority {priority} runs before packets are put together ({_DEFRAGMENT_PRIORITY})",
                f"use a priority above {_DEFRAGMENT_PRIORITY}, or leave out defragment",
            )
        return _NETFILTER_CAUSES.get(number)

    return create_link(program, target, 0, AttachType.NETFILTER, options=options, causes=causes)


_DEFRAGMENT_PRIORITY = -400
_NETFILTER_CAUSES = {
    errno.EBUSY: Explanation(
        "a BPF program is attached to this hook with this priority already", "use another priority"
    ),
    errno.EINVAL: Explanation(
        "this kernel has no BPF programs at netfilter hooks, or not with these options",
        "use Linux 6.4 or later with CONFIG_NETFILTER_BPF_LINK, for defragment 6.6",
    ),
    errno.EAFNOSUPPORT: Explanation("this kernel has no netfilter for this protocol family"),
    errno.EOPNOTSUPP: Explanation(
        "this kernel cannot put packets together here", "load the module nf_defrag_ipv4 or nf_defrag_ipv6"
    ),
    errno.E2BIG: Explanation("the hook has as many programs and rules as the kernel permits"),
}
