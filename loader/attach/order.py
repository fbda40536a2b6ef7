"""Where a program goes among those that are attached to one place: tcx, netkit, and control groups since 6.17.

Source: BPF_F_BEFORE, BPF_F_AFTER, BPF_F_ID and BPF_F_LINK of include/uapi/linux/bpf.h, and what the kernel makes
of them (kernel/bpf/mprog.c as documented in the commits of Linux 6.6).
"""

from __future__ import annotations

import errno
import re
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bpfas.loader.attach.link import KernelLink, Link
from bpfas.loader.privilege import Explanation

if TYPE_CHECKING:
    from bpfas.loader.attach.protocols import HasDescriptor

_BEFORE = 1 << 3
_AFTER = 1 << 4
_ID = 1 << 5
_LINK = 1 << 13
_OPTIONS = struct.Struct("=IxxxxQ")  # descriptor or id of the neighbour, expected revision


@dataclass(frozen=True, slots=True)
class Order:
    """A place in the order: FIRST, LAST, `before` or `after` a neighbour; AS_IT_COMES is LAST or what there is.

    `flags` and `relative` are what bpf(2) takes.
    """

    flags: int = 0
    relative: int = 0

    @property
    def neighbour_is_link(self) -> bool | None:
        """Whether the neighbour is named by its link; None where there is none."""
        return bool(self.flags & _LINK) if self.relative else None

    def options(self, expected_revision: int) -> bytes:
        """What BPF_LINK_CREATE takes behind the flags; a revision of 0 stands for any."""
        return _OPTIONS.pack(self.relative, expected_revision)


AS_IT_COMES = Order()
FIRST = Order(_BEFORE)
LAST = Order(_AFTER)
_ENDS = {"first": FIRST, "last": LAST}


@dataclass(frozen=True, slots=True)
class ProgramId:
    """A program by the number by which the kernel lists it."""

    id: int


@dataclass(frozen=True, slots=True)
class LinkId:
    """A link by the number by which the kernel lists it."""

    id: int


_IN_WORDS = re.compile(r"(before|after):(link:)?(\d+)", re.ASCII)


def order_of(given: Order | str) -> Order:
    """The order that is given, or that a text stands for. Raises ValueError.

    The text is `first`, `last`, `before:12` or `after:12` (a program's id), `before:link:7` or `after:link:7`.
    """
    if isinstance(given, Order):
        return given
    if given in _ENDS:
        return _ENDS[given]
    match = _IN_WORDS.fullmatch(given)
    if match is None:
        forms = "first, last, before:PROGRAM_ID, after:PROGRAM_ID, before:link:ID, after:link:ID"
        raise ValueError(f"order is '{given}', not one of {forms}")
    neighbour = LinkId(int(match[3])) if match[2] else ProgramId(int(match[3]))
    return before(neighbour) if match[1] == "before" else after(neighbour)


def before(neighbour: HasDescriptor | Link | ProgramId | LinkId) -> Order:
    """Right before a program that is attached there, or that a link has attached there."""
    return _beside(_BEFORE, neighbour)


def after(neighbour: HasDescriptor | Link | ProgramId | LinkId) -> Order:
    """Right after a program that is attached there, or that a link has attached there."""
    return _beside(_AFTER, neighbour)


def _beside(side: int, neighbour: HasDescriptor | Link | ProgramId | LinkId) -> Order:
    if isinstance(neighbour, ProgramId):
        return Order(side | _ID, neighbour.id)
    if isinstance(neighbour, LinkId):
        return Order(side | _ID | _LINK, neighbour.id)
    if isinstance(neighbour, Link) and not isinstance(neighbour, KernelLink):
        raise TypeError(f"{neighbour!r} has no link of the kernel's: name its program as the neighbour")
    if neighbour.fd < 0:
        raise ValueError(f"{neighbour!r} is closed, and names no place in an order")
    return Order(side | (_LINK if isinstance(neighbour, Link) else 0), neighbour.fd)


def explain_order(number: int) -> Explanation | None:
    """What an errno says about an order and an expected revision; None where it is about something else."""
    return _CAUSES.get(number)


_CAUSES = {
    errno.ESTALE: Explanation(
        "the programs there have changed since: the revision is not the expected one",
        "ask for the programs and their revision again, and see whether the place in the order is still right",
    ),
    errno.ENOENT: Explanation(
        "the program or link that it is to go next to, or take the place of, is not attached there",
        "name one that is attached to the same place in the same direction",
    ),
    errno.EEXIST: Explanation(
        "this program is attached there already, and each can be there only once", "detach it there first"
    ),
    errno.ERANGE: Explanation("there are as many programs there as the kernel permits: 64", "detach one first"),
    errno.EDOM: Explanation(
        "the places that are asked for contradict each other", "say only one of first, last, before and after"
    ),
}
