"""Classifiers to the packets of an interface by tcx (Linux 6.6), and to those of a pair of netkit devices (6.7).

Both keep their programs in an order that the caller may choose, and both attach by a link, or by BPF_PROG_ATTACH
where the program shall stay by itself. Classifiers by netlink are `tc`. Source: include/uapi/linux/bpf.h, and the
kernel's behaviour.
"""

from __future__ import annotations

import enum
import errno
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bpfas.loader import syscall
from bpfas.loader.attach.choices import choose
from bpfas.loader.attach.command import ProgAttach, attach_by_command
from bpfas.loader.attach.failure import attach_error, link_error
from bpfas.loader.attach.interfaces import Interface, find_interface
from bpfas.loader.attach.link import create_link
from bpfas.loader.attach.namespace import CommandWithin, open_namespace
from bpfas.loader.attach.order import AS_IT_COMES, Order, explain_order, order_of
from bpfas.loader.errors import Step
from bpfas.loader.kinds import AttachType
from bpfas.loader.privilege import Explanation

if TYPE_CHECKING:
    from bpfas.loader.attach.link import Link
    from bpfas.loader.attach.protocols import Attachable, HasDescriptor


class Direction(enum.Enum):
    """Which packets of an interface."""

    INGRESS = "ingress"
    EGRESS = "egress"


class NetkitEnd(enum.Enum):
    """Packets that which end of a netkit pair sends: the one in the host, or the one in the container."""

    PRIMARY = "primary"
    PEER = "peer"


_TCX_TYPES = {Direction.INGRESS: AttachType.TCX_INGRESS, Direction.EGRESS: AttachType.TCX_EGRESS}
_NETKIT_TYPES = {NetkitEnd.PRIMARY: AttachType.NETKIT_PRIMARY, NetkitEnd.PEER: AttachType.NETKIT_PEER}


def find_direction(program: Attachable, given: Direction | str | None) -> Direction:
    """The direction that the caller gives, or that the program's section stands for. Raises AttachError."""
    if given is not None:
        return choose(Direction, given, "direction")
    for direction, attach_type in _TCX_TYPES.items():
        if program.spec.expected_attach_type == attach_type:
            return direction
    cause = f"section '{program.spec.section}' does not say which packets: those that come in or those that go out"
    remedy = "attach(…, direction='ingress') or 'egress', or name the section tc/ingress or tc/egress"
    raise attach_error(program, "", errno.EINVAL, explanation=Explanation(cause, remedy))


def has_tcx(interface: Interface) -> bool:
    """Whether the kernel has tcx."""
    return _can_query(interface, AttachType.TCX_INGRESS)


def _can_query(interface: Interface, attach_type: AttachType) -> bool:
    """Whether the kernel knows an attach type of interfaces; those that it does not know it calls invalid."""
    try:
        syscall.prog_query(interface.index, attach_type)
    except OSError as error:
        return error.errno != errno.EINVAL
    return True


def attach_tcx(
    program: Attachable,
    *,
    interface: str | int,
    direction: Direction | str | None = None,
    order: Order | str = AS_IT_COMES,
    expected_revision: int = 0,
) -> Link:
    """Attach to an interface's packets by a link of tcx.

    `direction` is a Direction or its value, what the section says if None. `order` is the place among the
    programs there (an Order, or a text that `order_of` reads), `expected_revision` what `tcx_programs` said of
    them (0: any). Raises AttachError.
    """
    place = _tcx_place(program, interface, direction)
    return place.link(program, order_of(order), expected_revision)


def attach_tcx_without_link(
    program: Attachable,
    *,
    interface: str | int,
    direction: Direction | str | None = None,
    order: Order | str = AS_IT_COMES,
    expected_revision: int = 0,
    replaces: HasDescriptor | None = None,
) -> Link:
    """Attach to an interface's packets by tcx for good: until told otherwise, or until the interface goes.

    As `attach_tcx`; the program takes the place of `replaces`, which must be there without a link.
    """
    place = _tcx_place(program, interface, direction)
    return place.command(program, order_of(order), expected_revision, replaces)


def tcx_programs(interface: str | int, direction: Direction | str) -> syscall.AttachedPrograms:
    """The programs that an interface has by tcx, in their order, and the revision. Raises AttachError."""
    return _programs(interface, _TCX_TYPES[choose(Direction, direction, "direction")])


def netkit_programs(interface: str | int, end: NetkitEnd | str) -> syscall.AttachedPrograms:
    """The programs of an end of a netkit pair, in their order, and the revision. Raises AttachError."""
    return _programs(interface, _NETKIT_TYPES[choose(NetkitEnd, end, "end")])


def _programs(interface: str | int, attach_type: AttachType) -> syscall.AttachedPrograms:
    found = find_interface(interface, attach_type.name.lower(), Step.GET_INFO)
    place = _Place(f"{attach_type.name.lower()} of {found.name}", found, attach_type)
    try:
        return syscall.prog_query(found.index, attach_type, wants_links=True)
    except OSError as error:
        raise link_error(Step.GET_INFO, place.name, error, place.explain(error.errno or 0)) from error


def attach_netkit(
    program: Attachable,
    *,
    interface: str | int,
    end: NetkitEnd | str | None = None,
    order: Order | str = AS_IT_COMES,
    expected_revision: int = 0,
) -> Link:
    """Attach to what one end of a netkit pair sends; `interface` is always the primary one.

    `end` is a NetkitEnd or its value, what the section says if None (else the primary end); the rest is as in
    `attach_tcx`. Raises AttachError.
    """
    return _netkit_place(program, interface, end).link(program, order_of(order), expected_revision)


def attach_netkit_without_link(
    program: Attachable,
    *,
    interface: str | int,
    end: NetkitEnd | str | None = None,
    order: Order | str = AS_IT_COMES,
    expected_revision: int = 0,
    replaces: HasDescriptor | None = None,
) -> Link:
    """Attach to what one end of a netkit pair sends, for good.

    As `attach_netkit` and `attach_tcx_without_link`.
    """
    return _netkit_place(program, interface, end).command(program, order_of(order), expected_revision, replaces)


@dataclass(frozen=True, slots=True)
class _Place:
    """Programs in an order of their own: a direction of an interface, or an end of a netkit pair."""

    name: str
    interface: Interface
    attach_type: AttachType

    def link(self, program: Attachable, order: Order, revision: int) -> Link:
        return create_link(
            program,
            self.name,
            self.interface.index,
            self.attach_type,
            order.flags,
            order.options(revision),
            self.explain,
        )

    def command(self, program: Attachable, order: Order, revision: int, replaces: HasDescriptor | None) -> Link:
        command = ProgAttach(self.interface.index, self.attach_type, 0, order, revision, replaces)
        return attach_by_command(
            program, self.name, lambda held: CommandWithin(open_namespace(held), command), self.explain
        )

    def explain(self, number: int) -> Explanation | None:
        if number == errno.EINVAL and not _can_query(self.interface, self.attach_type):
            return _NO_TCX if self.attach_type in _TCX_TYPES.values() else _NO_NETKIT
        if number in (errno.ENXIO, errno.EACCES):
            return Explanation(
                f"{self.interface.name} is not the primary device of a netkit pair",
                "name that one: its programs, also those of the peer, are attached to it",
            )
        if number == errno.EBUSY:
            return Explanation(
                "the program that is to be replaced is held by a link", "update the link: link.update(program)"
            )
        return explain_order(number)


_NO_TCX = Explanation(
    "this kernel has no tcx (Linux 6.6 or later, CONFIG_NET_XGRESS)",
    "attach by netlink instead: attach(…, way='clsact')",
)
_NO_NETKIT = Explanation(
    "this kernel has no netkit devices (Linux 6.7 or later, CONFIG_NETKIT)",
    "use veth devices, and attach by tcx or clsact",
)


def _tcx_place(program: Attachable, interface: str | int, direction: Direction | str | None) -> _Place:
    found = find_interface(interface, f"program {program.name}")
    chosen = find_direction(program, direction)
    return _Place(f"tcx {chosen.value} of {found.name}", found, _TCX_TYPES[chosen])


def _netkit_place(program: Attachable, interface: str | int, end: NetkitEnd | str | None) -> _Place:
    found = find_interface(interface, f"program {program.name}")
    if end is not None:
        chosen = choose(NetkitEnd, end, "end")
    else:
        is_peer = program.spec.expected_attach_type == AttachType.NETKIT_PEER
        chosen = NetkitEnd.PEER if is_peer else NetkitEnd.PRIMARY
    return _Place(f"netkit {chosen.value} of {found.name}", found, _NETKIT_TYPES[chosen])
