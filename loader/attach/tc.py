"""Classifiers to the packets of an interface by netlink, as filters of the clsact qdisc or another one.

The messages are `filters`', tcx and the directions are `tcx`. Sources: tc-bpf(8), include/uapi/linux/pkt_cls.h.
"""

from __future__ import annotations

import errno
from contextlib import ExitStack
from typing import TYPE_CHECKING

from bpfas.loader.attach.command import CommandLink, duplicate
from bpfas.loader.attach.failure import attach_error, link_error
from bpfas.loader.attach.filters import (
    EGRESS_PARENT,
    INGRESS_PARENT,
    Filter,
    Place,
    add_clsact,
    add_filter,
    delete_clsact,
    delete_filter,
    filters,
    has_only_ingress,
)
from bpfas.loader.attach.interfaces import find_interface
from bpfas.loader.attach.netlink import Netlink
from bpfas.loader.attach.tcx import Direction, attach_tcx, find_direction, has_tcx
from bpfas.loader.errors import Step
from bpfas.loader.privilege import Explanation

if TYPE_CHECKING:
    from bpfas.loader.attach.link import Link
    from bpfas.loader.attach.protocols import Attachable

_PARENTS = {Direction.INGRESS: INGRESS_PARENT, Direction.EGRESS: EGRESS_PARENT}
_LARGEST_PRIORITY = 0xFFFF


def attach_tc(program: Attachable, *, interface: str | int, direction: Direction | str | None = None) -> Link:
    """Attach to an interface's packets: by a link of tcx where the kernel has that (Linux 6.6), else by clsact.

    Raises AttachError.
    """
    found = find_interface(interface, f"program {program.name}")
    if has_tcx(found):
        return attach_tcx(program, interface=found.index, direction=direction)
    return attach_clsact(program, interface=found.index, direction=direction)


def attach_clsact(
    program: Attachable,
    *,
    interface: str | int,
    direction: Direction | str | None = None,
    parent: int | None = None,
    priority: int = 0,
    handle: int = 0,
    replace: bool = False,
) -> FilterLink:
    """Attach by netlink as a classifier in direct-action mode, for good: until told otherwise.

    The filter is the interface's clsact qdisc's, which is made if need be, or that of the qdisc or class `parent`,
    numbered as tc does (major << 16 | minor). Filters of a lower priority run first; a priority or handle of 0
    is chosen by the kernel. With `replace` the filter of this priority and handle, if there is one, gives way.
    The qdisc stays when the filter goes; `remove_clsact` takes it away. Raises AttachError.
    """
    found = find_interface(interface, f"program {program.name}")
    if parent is None:
        chosen = find_direction(program, direction)
        parent, target = _PARENTS[chosen], f"clsact {chosen.value} of {found.name}"
    else:
        target = f"tc parent {parent >> 16:x}:{parent & 0xFFFF:x} of {found.name}"
    if wrong := _wrong_place(priority, handle, replace=replace):
        raise attach_error(program, target, errno.EINVAL, explanation=wrong)
    with ExitStack() as held:
        try:
            netlink = held.enter_context(Netlink())
            command = _Classifier(netlink, Place(found.index, parent, priority, handle), program.name)
            has_clsact = parent not in _PARENTS.values() or add_clsact(netlink, found.index)
            if not has_clsact and parent == EGRESS_PARENT and has_only_ingress(netlink, found.index):
                raise attach_error(program, target, errno.EEXIST, explanation=_only_ingress(found.name))
            fd = duplicate(program.fd, held)
            command.attach(fd, replace=replace)
        except OSError as error:
            raise attach_error(program, target, error, _CAUSES.get) from error
        return FilterLink(program.name, target, command, fd, held.pop_all())


def remove_clsact(interface: str | int) -> None:
    """Take away an interface's clsact qdisc, with all the filters that it has. Raises AttachError."""
    found = find_interface(interface, "clsact", Step.DETACH)
    try:
        with Netlink() as netlink:
            delete_clsact(netlink, found.index)
    except OSError as error:
        raise link_error(Step.DETACH, f"clsact of {found.name}", error) from error


def clsact_filters(interface: str | int, direction: Direction) -> list[Filter]:
    """The BPF classifiers in a direction of an interface, in the order of their runs. Raises AttachError."""
    found = find_interface(interface, "clsact", Step.GET_INFO)
    try:
        with Netlink() as netlink:
            return filters(netlink, found.index, _PARENTS[direction])
    except OSError as error:
        raise link_error(Step.GET_INFO, f"clsact of {found.name}", error) from error


class FilterLink(CommandLink):
    """An attachment that is a filter of traffic control."""

    def __init__(self, program: str, target: str, command: _Classifier, program_fd: int, held: ExitStack) -> None:
        super().__init__(program, target, command, program_fd, held)
        self._classifier = command

    @property
    def place(self) -> Place:
        """Where the filter is, with the priority and the handle that it got."""
        return self._classifier.place


class _Classifier:
    """The commands for one filter; `place` is complete once it is attached."""

    def __init__(self, netlink: Netlink, place: Place, name: str) -> None:
        self.place = place
        self._netlink = netlink
        self._name = name

    def attach(self, fd: int, *, replace: bool = False) -> None:
        self.place = add_filter(self._netlink, self.place, fd, self._name, replace=replace).place

    def detach(self, fd: int) -> None:  # noqa: ARG002 (the place is enough)
        try:
            delete_filter(self._netlink, self.place)
        except OSError as error:
            if error.errno != errno.EINVAL:  # the qdisc is gone, and with it the filter
                raise

    def replace(self, fd: int, old_fd: int, *, must_match: bool) -> None:  # noqa: ARG002
        if must_match:
            raise OSError(errno.EOPNOTSUPP, "filters are replaced whatever their program is")
        self.attach(fd, replace=True)


def _only_ingress(name: str) -> Explanation:
    return Explanation(
        f"{name} has the qdisc 'ingress', which leaves no place for clsact and sees only packets that come in",
        f"take it away (tc qdisc del dev {name} ingress), or attach by tcx",
    )


def _wrong_place(priority: int, handle: int, *, replace: bool) -> Explanation | None:
    if not 0 <= priority <= _LARGEST_PRIORITY:
        return Explanation(f"the priority is {priority}, not in the range 0 to {_LARGEST_PRIORITY}")
    if not 0 <= handle < 1 << 32:
        return Explanation(f"the handle is {handle}, which does not fit 32 bits")
    if replace and not (priority and handle):
        return Explanation("a filter is replaced by its priority and its handle", "give both")
    return None


_CAUSES = {
    errno.EEXIST: Explanation(
        "there is a filter with this priority and handle", "use another, or replace=True to take its place"
    ),
    errno.ENOENT: Explanation(
        "the kernel has no BPF classifiers (CONFIG_NET_CLS_BPF), or the interface no such qdisc or class",
        "load the module cls_bpf, or attach by tcx",
    ),
}
