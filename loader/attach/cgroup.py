"""Programs to control groups (cgroup2): by a link, or by BPF_PROG_ATTACH with the older rules of sharing.

What the programs of a group decide holds for the processes in it and below it. LSM programs of groups are `lsm`'s.
Source: include/uapi/linux/bpf.h on BPF_F_ALLOW_OVERRIDE and BPF_F_ALLOW_MULTI.
"""

from __future__ import annotations

import enum
import errno
import os
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from bpfas.loader import syscall
from bpfas.loader.attach.choices import choose
from bpfas.loader.attach.command import ProgAttach, attach_by_command, duplicate
from bpfas.loader.attach.failure import attach_error
from bpfas.loader.attach.link import create_link
from bpfas.loader.attach.order import AS_IT_COMES, Order, explain_order, order_of
from bpfas.loader.errors import AttachError, Step
from bpfas.loader.kinds import AttachType, ProgramType
from bpfas.loader.privilege import Capability, Explanation, read_situation

if TYPE_CHECKING:
    from bpfas.loader.attach.link import Link
    from bpfas.loader.attach.protocols import Attachable, HasDescriptor

_PREORDER = 1 << 6
_EFFECTIVE = 1 << 0

CGROUP_TYPES: dict[ProgramType, tuple[AttachType, ...]] = {
    ProgramType.CGROUP_SKB: (AttachType.CGROUP_INET_INGRESS, AttachType.CGROUP_INET_EGRESS),
    ProgramType.CGROUP_SOCK: (
        AttachType.CGROUP_INET_SOCK_CREATE,
        AttachType.CGROUP_INET_SOCK_RELEASE,
        AttachType.CGROUP_INET4_POST_BIND,
        AttachType.CGROUP_INET6_POST_BIND,
    ),
    ProgramType.CGROUP_SOCK_ADDR: (
        AttachType.CGROUP_INET4_BIND,
        AttachType.CGROUP_INET6_BIND,
        AttachType.CGROUP_INET4_CONNECT,
        AttachType.CGROUP_INET6_CONNECT,
        AttachType.CGROUP_UNIX_CONNECT,
        AttachType.CGROUP_UDP4_SENDMSG,
        AttachType.CGROUP_UDP6_SENDMSG,
        AttachType.CGROUP_UNIX_SENDMSG,
        AttachType.CGROUP_UDP4_RECVMSG,
        AttachType.CGROUP_UDP6_RECVMSG,
        AttachType.CGROUP_UNIX_RECVMSG,
        AttachType.CGROUP_INET4_GETPEERNAME,
        AttachType.CGROUP_INET6_GETPEERNAME,
        AttachType.CGROUP_UNIX_GETPEERNAME,
        AttachType.CGROUP_INET4_GETSOCKNAME,
        AttachType.CGROUP_INET6_GETSOCKNAME,
        AttachType.CGROUP_UNIX_GETSOCKNAME,
    ),
    ProgramType.CGROUP_DEVICE: (AttachType.CGROUP_DEVICE,),
    ProgramType.CGROUP_SYSCTL: (AttachType.CGROUP_SYSCTL,),
    ProgramType.CGROUP_SOCKOPT: (AttachType.CGROUP_GETSOCKOPT, AttachType.CGROUP_SETSOCKOPT),
    ProgramType.SOCK_OPS: (AttachType.CGROUP_SOCK_OPS,),
}
"""The program types that control groups take, and where in the life of packets and sockets each may run."""


class Sharing(enum.Enum):
    """Whether other programs may run beside this one at the same hook."""

    EXCLUSIVE = "exclusive"  # none, in this group and all below
    OVERRIDE = "override"  # one in this group; groups below may have another in its stead
    MULTI = "multi"  # several, and those of groups below as well; links always share so


_SHARING_FLAGS = {Sharing.EXCLUSIVE: 0, Sharing.OVERRIDE: 1 << 0, Sharing.MULTI: 1 << 1}


def attach_cgroup(
    program: Attachable,
    *,
    cgroup: str | os.PathLike[str] | int,
    hook: AttachType | str | None = None,
    order: Order | str = AS_IT_COMES,
    expected_revision: int = 0,
    preorder: bool = False,
) -> Link:
    """Attach to a control group by a link.

    `cgroup` is its directory or a descriptor of that. `hook` is needed where the section does not say it
    (`cgroup/skb`: `ingress` or `egress`). An order and a revision take Linux 6.17; `preorder` (6.16) lets the
    program run before those of the groups below. Raises AttachError.
    """
    attach_type = _hook(program, hook)
    target = _target(attach_type, cgroup)
    place = order_of(order)
    flags = place.flags | (_PREORDER if preorder else 0)
    options = place.options(expected_revision) if flags or expected_revision else b""
    with ExitStack() as stack:
        fd = _open(cgroup, target, program, stack)

        def causes(number: int) -> Explanation | None:
            if number == errno.EINVAL and place.neighbour_is_link is False:
                return _BESIDE_LINKS
            return _explain(number, fd, attach_type, is_ordered=bool(options))

        return create_link(program, target, fd, attach_type, flags, options, causes)


def attach_cgroup_without_link(
    program: Attachable,
    *,
    cgroup: str | os.PathLike[str] | int,
    hook: AttachType | str | None = None,
    sharing: Sharing | str = Sharing.MULTI,
    replaces: HasDescriptor | None = None,
    order: Order | str = AS_IT_COMES,
    expected_revision: int = 0,
    preorder: bool = False,
) -> Link:
    """Attach to a control group for good: until told otherwise, or until the group is removed.

    As `attach_cgroup`; `sharing` is a Sharing or its value, and must be the same for all programs of a hook.
    The program takes the place of `replaces`, which must be there, shared as MULTI and without a link.
    Raises AttachError.
    """
    attach_type = _hook(program, hook)
    target = _target(attach_type, cgroup)
    place = order_of(order)
    shares = choose(Sharing, sharing, "sharing")
    flags = _SHARING_FLAGS[shares] | (_PREORDER if preorder else 0)
    with ExitStack() as stack:
        fd = _open(cgroup, target, program, stack)

        def causes(number: int) -> Explanation | None:
            if number == errno.EINVAL and place.neighbour_is_link:
                return _BESIDE_PROGRAMS
            return _explain(number, fd, attach_type, is_ordered=bool(place.flags or expected_revision or preorder))

        def prepare(held: ExitStack) -> ProgAttach:
            return ProgAttach(
                duplicate(fd, held),
                attach_type,
                flags,
                place,
                expected_revision,
                replaces,
                overwrites=shares is not Sharing.MULTI,
            )

        return attach_by_command(program, target, prepare, causes)


def cgroup_programs(
    cgroup: str | os.PathLike[str] | int, hook: AttachType, *, effective: bool = False
) -> syscall.AttachedPrograms:
    """The programs that a control group has at a hook, `effective`: with those of the groups above it.

    Raises AttachError.
    """
    try:
        with ExitStack() as stack:
            fd = cgroup if isinstance(cgroup, int) else _descriptor(cgroup, stack)
            return syscall.prog_query(fd, hook, _EFFECTIVE if effective else 0)
    except OSError as error:
        explanation = _explain(error.errno or 0, -1, hook, is_ordered=False)
        subject = f"control group {os.fspath(cgroup) if not isinstance(cgroup, int) else f'descriptor {cgroup}'}"
        words = explanation or Explanation(os.strerror(error.errno or 0))
        raise AttachError(Step.GET_INFO, subject, "", error.errno or 0, words) from error


def _hook(program: Attachable, given: AttachType | str | None) -> AttachType:
    """Where the program is to run: what the caller says, or the section. Raises AttachError."""
    possible = CGROUP_TYPES[program.spec.program_type]
    names = {hook_name(each): each for each in possible}
    if isinstance(given, str):
        if given not in names:
            raise ValueError(f"hook is '{given}', not one of {', '.join(names)}")
        return names[given]
    if given is not None:
        return given
    if len(possible) == 1:
        return possible[0]
    says = program.spec.kind.attach_type
    is_bare = program.spec.program_type is ProgramType.CGROUP_SKB and program.spec.section.endswith("cgroup/skb")
    expected = program.spec.expected_attach_type or says
    if expected in possible and not is_bare:
        return AttachType(expected)
    cause = f"section '{program.spec.section}' does not say where in the control group the program is to run"
    remedy = f"say it: hook={next(iter(names))} (attach(…, hook='…'), --to hook=…); it may be {', '.join(names)}"
    raise attach_error(program, "", errno.EINVAL, explanation=Explanation(cause, remedy))


def hook_name(attach_type: AttachType) -> str:
    """`ingress`, `bind4`, `sendmsg6`, `connect_unix`, as sections call them."""
    if attach_type is AttachType.CGROUP_DEVICE:
        return "dev"
    name = attach_type.name.removeprefix("CGROUP_")
    for prefix, suffix in (("INET4_", "4"), ("INET6_", "6"), ("UDP4_", "4"), ("UDP6_", "6"), ("UNIX_", "_unix")):
        if name.startswith(prefix):
            return name.removeprefix(prefix).lower() + suffix
    return name.removeprefix("INET_").lower()


def _target(attach_type: AttachType, cgroup: str | os.PathLike[str] | int) -> str:
    where = f"descriptor {cgroup}" if isinstance(cgroup, int) else os.fspath(cgroup)
    return f"{hook_name(attach_type)} of control group {where}"


def _open(cgroup: str | os.PathLike[str] | int, target: str, program: Attachable, stack: ExitStack) -> int:
    """A descriptor of the group's directory, which `stack` closes."""
    try:
        if isinstance(cgroup, int):
            return duplicate(cgroup, stack)
        return _descriptor(cgroup, stack)
    except OSError as error:
        cause = f"cannot open {cgroup}: {os.strerror(error.errno or 0)}"
        raise attach_error(
            program,
            target,
            error,
            explanation=Explanation(cause, "give the directory of a control group (cgroup2)"),
        ) from error


def _descriptor(cgroup: str | os.PathLike[str], stack: ExitStack) -> int:
    fd = os.open(cgroup, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    stack.callback(os.close, fd)
    return fd


_BESIDE_LINKS = Explanation(
    "in control groups, what is attached by a link goes next to a link, not next to a program",
    "name the neighbour by its link: before(link), after(LinkId(…)); that takes Linux 6.17",
)
_BESIDE_PROGRAMS = Explanation(
    "in control groups, what is attached without a link goes next to a program without one",
    "name the neighbour by its program, or attach by a link; that takes Linux 6.17",
)


def _explain(number: int, fd: int, attach_type: AttachType, *, is_ordered: bool) -> Explanation | None:
    if number == errno.EBADF:
        return Explanation(
            "that is no directory of a cgroup2 file system",
            f"programs are attached to control groups of version 2{_mounted()}",
        )
    if number == errno.EINVAL and fd >= 0 and not _knows(fd, attach_type):
        return Explanation(
            f"this kernel has no hook {hook_name(attach_type)} of control groups", "use a newer kernel"
        )
    if number == errno.EINVAL and is_ordered:
        return Explanation(
            "the kernel does not take this order here: control groups have an order since Linux 6.17, and only "
            "among programs that share the hook (multi), without or all with preorder",
            "leave out order, expected_revision and preorder, or use a newer kernel",
        )
    if number == errno.EPERM and not read_situation().lacks(Capability.CAP_NET_ADMIN):
        return Explanation(
            "programs that are attached to this group or one above it do not share the hook in this way",
            "see bpftool cgroup tree; take those away, or attach with the same sharing (multi, override)",
        )
    if number == errno.E2BIG:
        return Explanation("there are as many programs there as the kernel permits: 64", "detach one first")
    return explain_order(number) if number != errno.ENOENT or is_ordered else None


def _knows(fd: int, attach_type: AttachType) -> bool:
    """Whether the kernel knows an attach type of control groups."""
    try:
        syscall.prog_query(fd, attach_type)
    except OSError as error:
        return error.errno != errno.EINVAL
    return True


def _mounted() -> str:
    """Where the control groups of version 2 are mounted, in words; empty where they are not."""
    try:
        lines = Path("/proc/self/mounts").read_text().splitlines()
    except OSError:
        return ""
    for line in lines:
        _, directory, kind, *_ = line.split(" ")
        if kind == "cgroup2":
            return f", here below {directory}"
    return "; mount -t cgroup2 none DIRECTORY makes them visible"
