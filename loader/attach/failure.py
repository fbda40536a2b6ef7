"""AttachErrors: the causes that the kernel's errnos stand for when attaching.

The general ones; what is wrong with a particular target is for the module of the way to say.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from bpfas.loader.attach.netlink import NetlinkError
from bpfas.loader.errors import ENOTSUPP, AttachError, Step, explain
from bpfas.loader.privilege import Explanation

if TYPE_CHECKING:
    from collections.abc import Callable

    from bpfas.loader.attach.link import Link
    from bpfas.loader.attach.protocols import Attachable

_CAUSES: dict[tuple[Step, int], Explanation] = {
    (Step.ATTACH, errno.EBUSY): Explanation(
        "another program is attached there in a way that leaves no place for this one",
        "detach that one first (bpftool link, bpftool net and bpftool cgroup tree list what is attached)",
    ),
    (Step.ATTACH, errno.EEXIST): Explanation(
        "the program, or another in its place, is attached there already", "detach that one first"
    ),
    (Step.ATTACH, errno.EINVAL): Explanation(
        "the kernel does not take a program of this type and attach type there, or not with these options",
        "check the program's section name and the target, and that the kernel is new enough for both",
    ),
    (Step.ATTACH, errno.E2BIG): Explanation(
        "too many programs are attached there already, or the kernel does not know options as new as these"
    ),
    (Step.ATTACH, ENOTSUPP): Explanation("the kernel does not attach programs of this type there"),
    (Step.ATTACH, errno.EOPNOTSUPP): Explanation("the kernel does not attach programs of this type there"),
    (Step.DETACH, errno.ENOENT): Explanation("the program is not attached there any more"),
    (Step.REPLACE_PROGRAM, errno.EINVAL): Explanation(
        "the kernel does not replace the program of a link of this kind, or not by one of another type",
        "detach this link and attach the other program",
    ),
    (Step.REPLACE_PROGRAM, errno.EOPNOTSUPP): Explanation(
        "the kernel does not replace the program of a link of this kind",
        "detach this link and attach the other program",
    ),
    (Step.REPLACE_PROGRAM, errno.EPERM): Explanation(
        "the program that the link has is not the one to be replaced",
        "the link was updated by somebody else since; ask it for its program",
    ),
    (Step.REPLACE_PROGRAM, errno.ENOLINK): Explanation("the link is detached: what it led to is gone"),
    (Step.PIN, errno.EEXIST): Explanation(
        "that name is taken", "remove it, or use another; a link may have several names"
    ),
    (Step.PIN, errno.EINVAL): Explanation(
        "the path is not on a BPF file system",
        "use a path below /sys/fs/bpf (mount -t bpf bpf /sys/fs/bpf if it is not mounted)",
    ),
    (Step.PIN, errno.ENOENT): Explanation("the directory does not exist", "create it: mkdir -p below /sys/fs/bpf"),
    (Step.PIN, errno.EPERM): Explanation(
        "the process may not write there, or the path is not on a BPF file system",
        "use a path below /sys/fs/bpf; names with a dot are not permitted there",
    ),
    (Step.UNPIN, errno.ENOENT): Explanation("there is no such name any more"),
    (Step.OPEN_LINK, errno.ENOENT): Explanation(
        "there is no such link", "bpftool link show lists the links that are there"
    ),
    (Step.OPEN_LINK, errno.EINVAL): Explanation(
        "the file is not on a BPF file system", "give a path below /sys/fs/bpf, or the link's id"
    ),
    (Step.OPEN_LINK, errno.EACCES): Explanation(
        "it is no pinned link, or not one that this process may open", "give a path below /sys/fs/bpf"
    ),
    (Step.GET_INFO, errno.EBADF): Explanation("the link is closed"),
    (Step.GET_INFO, errno.EBADFD): Explanation("the link is closed"),
    (Step.GET_INFO, errno.EINVAL): Explanation("it is no link, but another object of the BPF subsystem"),
}


def attach_error(
    program: Attachable,
    target: str,
    error: OSError | int,
    causes: Callable[[int], Explanation | None] | None = None,
    explanation: Explanation | None = None,
) -> AttachError:
    """Why `program` could not be attached to `target`: `explanation`, or what `causes` says of the errno."""
    number = error if isinstance(error, int) else error.errno or 0
    specific = explanation or (causes(number) if causes else None)
    general = _CAUSES.get((Step.ATTACH, number)) or explain(Step.ATTACH, number, (program.spec.program_type,))
    found = _in_the_kernels_words(error, specific, general)
    return AttachError(Step.ATTACH, f"program {program.name}", target, number, found)


def link_error(
    step: Step, link: Link | str, error: OSError | int, explanation: Explanation | None = None, path: str = ""
) -> AttachError:
    """Why something could not be done with a link, or with what `link` names; `path` is the pin's, if any."""
    number = error if isinstance(error, int) else error.errno or 0
    general = _CAUSES.get((step, number)) or explain(step, number)
    found = _in_the_kernels_words(error, explanation, general)
    if path:
        found = Explanation(f"{path}: {found.cause}", found.remedy)
    if isinstance(link, str):
        return AttachError(step, link, "", number, found)
    subject = f"program {link.program}" if link.program else "link"
    return AttachError(step, subject, link.target, number, found)


def _in_the_kernels_words(error: OSError | int, specific: Explanation | None, general: Explanation) -> Explanation:
    """The explanation, with what the kernel itself said where it did: netlink answers in words."""
    found = specific or general
    if not isinstance(error, NetlinkError) or not error.words:
        return found
    said = f"the kernel says: {error.words}"
    return Explanation(f"{found.cause}; {said}" if specific else said, found.remedy)
