"""What attaching gives: a Link, which ends the attachment when it is closed.

Four ways for a program to be attached, one class for each: by a link of the kernel (KernelLink), by the descriptor
of a perf event (PerfEventLink), by a command that another command undoes (UndoneLink: BPF_PROG_ATTACH, netlink,
socket options), and by several of these at once (LinkGroup). What is attached where is left to the modules of the
ways; `bpfas.loader.attach.table` finds the way.
"""

from __future__ import annotations

import abc
import errno
import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

from bpfas.loader import syscall
from bpfas.loader.attach.failure import attach_error, link_error
from bpfas.loader.errors import AttachError, Step
from bpfas.loader.privilege import Explanation
from bpfas.loader.runtime.opening import ObjectKind, kind_of_descriptor

if TYPE_CHECKING:
    import types
    from collections.abc import Callable, Sequence

    from bpfas.loader.attach.protocols import Attachable, HasDescriptor
    from bpfas.loader.syscall import LinkInfo

REPLACE = 1 << 2
"""BPF_F_REPLACE: an update names the program that it takes the place of."""


class Link(abc.ABC):
    """An attachment of the program called `program` to `target` (`kprobe do_unlinkat`, `XDP of eth0`).

    A context manager; leaving it, or `close()`, ends the attachment, unless the link is pinned or disconnected:
    then it outlives the Link. Closing twice does nothing.
    """

    def __init__(self, program: str, target: str, fd: int = -1) -> None:
        self.program = program
        self.target = target
        self._fd = fd
        self._is_open = True
        self._is_disconnected = False
        self._cleanup = ExitStack()

    def __repr__(self) -> str:
        state = "" if self._is_open else ", closed"
        return f"<{type(self).__name__} of {self.program!r} to {self.target}{state}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: types.TracebackType | None,
    ) -> None:
        self.close()

    @property
    def is_open(self) -> bool:
        """Whether it is neither closed nor detached."""
        return self._is_open

    @property
    def fd(self) -> int:
        """The descriptor that keeps the attachment alive; -1 where there is none, or none any more."""
        return self._fd

    @property
    def id(self) -> int:
        """The number by which the kernel lists the link."""
        return self.info().id

    @property
    def pinned_path(self) -> str | None:
        """Where the link is pinned, as far as this object knows."""
        return None

    def close(self, *, detach: bool = True) -> None:
        """End the attachment and close descriptors; with `detach=False`, leave it attached (see `disconnect`).

        What outlives the process is left alone: a pinned link keeps the program attached.
        """
        if not self._is_open:
            return
        if not detach:
            self.disconnect()
        self._is_open = False
        outlives = self._outlives
        try:
            self._close()
        finally:
            if not outlives:
                self._cleanup.close()

    def disconnect(self) -> None:
        """Let `close()` leave the program attached.

        An attachment that the kernel keeps by itself (a pinned link, netlink, BPF_PROG_ATTACH) then stays for
        good. One that lives by a descriptor stays until the process ends: `close()` leaves the descriptor open.
        """
        self._is_disconnected = True

    def add_cleanup(self, cleanup: ExitStack) -> None:
        """Do `cleanup` (an event in tracefs, a map's element) once the attachment ends.

        It is not done when the attachment outlives this object.
        """
        self._cleanup.callback(cleanup.close)

    @property
    def _outlives(self) -> bool:
        """Whether the attachment stays when this object closes."""
        return self._is_disconnected

    def detach(self) -> None:
        """End the attachment, whatever else refers to it (pins, other processes), and close.

        Raises AttachError.
        """
        self._is_disconnected = False
        self.close()

    @abc.abstractmethod
    def _close(self) -> None:
        """End the attachment as far as it is this object's; called once."""

    def pin(self, path: str | os.PathLike[str]) -> None:
        """Give the link a name in a BPF file system, which keeps the program attached. Raises AttachError."""
        raise self._no_link(Step.PIN, os.fspath(path))

    def unpin(self) -> None:
        """Take away the name that `pin` gave; the attachment again ends with this object. Raises AttachError."""
        raise self._no_link(Step.UNPIN)

    def update(self, program: HasDescriptor, *, replaced: HasDescriptor | None = None) -> None:
        """Put `program` in the place of the present one, at one stroke; only if that is `replaced`, where given.

        Raises AttachError, also for those attachments whose program the kernel does not replace.
        """
        present = self.program if replaced is None else replaced.name
        raise self._no_link(Step.REPLACE_PROGRAM, f"{program.name} in place of {present}")

    def info(self) -> LinkInfo:
        """What the kernel says of the link. Raises AttachError."""
        raise self._no_link(Step.GET_INFO)

    def _no_link(self, step: Step, what: str = "") -> AttachError:
        cause = "it is attached without one link of the kernel's, which that needs"
        remedy = "attach it in a way that makes a link, on a kernel that has that way"
        return link_error(step, self, errno.EOPNOTSUPP, Explanation(cause, remedy), path=what)


class KernelLink(Link):
    """An attachment by a link of the kernel, which lives by its descriptors and pins; it owns the descriptor."""

    def __init__(self, program: str, target: str, fd: int) -> None:
        super().__init__(program, target, fd)
        self._pinned_path: str | None = None

    @classmethod
    def open_pinned(cls, path: str | os.PathLike[str]) -> Self:
        """The link that is pinned at `path`. Raises AttachError."""
        name = os.fspath(path)
        try:
            fd = syscall.obj_get(name)
        except OSError as error:
            raise link_error(Step.OPEN_LINK, f"link {name}", error) from error
        link = cls._of_fd(fd, f"link {name}")
        link._pinned_path = name
        return link

    @classmethod
    def open_by_id(cls, link_id: int) -> Self:
        """The link that the kernel lists by this number. Raises AttachError."""
        subject = f"link {link_id}"
        try:
            fd = syscall.link_get_fd_by_id(link_id)
        except OSError as error:
            raise link_error(Step.OPEN_LINK, subject, error) from error
        return cls._of_fd(fd, subject)

    @classmethod
    def _of_fd(cls, fd: int, subject: str) -> Self:
        try:
            kind = kind_of_descriptor(fd)
            if kind is not ObjectKind.LINK:
                cause = Explanation(f"it is {f'a {kind.word}' if kind else 'something else'}, not a link")
                raise link_error(Step.OPEN_LINK, subject, errno.EINVAL, cause)
            info = syscall.link_info(fd)
        except OSError as error:
            os.close(fd)
            raise link_error(Step.GET_INFO, subject, error) from error
        except AttachError:
            os.close(fd)
            raise
        return cls(_program_name(info.prog_id), subject, fd)

    @property
    def pinned_path(self) -> str | None:
        """Where `pin` has pinned the link, or where it was opened."""
        return self._pinned_path

    def detach(self) -> None:
        """End the attachment, whatever else refers to the link, and close.

        Kernels cannot do that for links to tracing's targets: those end with the last descriptor and pin, of
        which this object gives up its own.
        """
        if not self._is_open:
            return
        try:
            syscall.link_detach(self._fd)
        except OSError as error:
            # EOPNOTSUPP: this kind of link has no such operation; EINVAL: the kernel (before 5.9) has none at all
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOLINK):
                raise link_error(Step.DETACH, self, error) from error
        try:
            if self._pinned_path is not None:
                self.unpin()
        finally:
            self._pinned_path = None
            super().detach()

    @property
    def _outlives(self) -> bool:
        return self._is_disconnected or self._pinned_path is not None

    def _close(self) -> None:
        fd, self._fd = self._fd, -1
        if self._pinned_path is not None or not self._is_disconnected:
            os.close(fd)

    def pin(self, path: str | os.PathLike[str]) -> None:
        """Give the link a name in a BPF file system, which keeps the program attached. Raises AttachError."""
        name = os.fspath(path)
        try:
            syscall.obj_pin(name, self._fd)
        except OSError as error:
            raise link_error(Step.PIN, self, error, path=name) from error
        self._pinned_path = os.path.abspath(name)

    def unpin(self) -> None:
        """Remove the name that `pin` gave, or that the link was opened by. Raises AttachError."""
        if self._pinned_path is None:
            raise link_error(Step.UNPIN, self, errno.ENOENT, Explanation("it is not pinned"))
        try:
            os.unlink(self._pinned_path)
        except OSError as error:
            raise link_error(Step.UNPIN, self, error, path=self._pinned_path) from error
        self._pinned_path = None

    def update(self, program: HasDescriptor, *, replaced: HasDescriptor | None = None) -> None:
        """Put `program` in the place of the present one, at one stroke; only if that is `replaced`, where given.

        Raises AttachError.
        """
        old_fd, flags = (0, 0) if replaced is None else (replaced.fd, REPLACE)
        try:
            syscall.link_update(self._fd, program.fd, old_fd, flags)
        except OSError as error:
            raise link_error(Step.REPLACE_PROGRAM, self, error) from error
        self.program = program.name

    def info(self) -> LinkInfo:
        """What the kernel says of the link. Raises AttachError."""
        try:
            return syscall.link_info(self._fd)
        except OSError as error:
            raise link_error(Step.GET_INFO, self, error) from error


class UndoneLink(Link):
    """An attachment that the kernel keeps until `undo` is called, which raises OSError where that fails.

    `fd`, where not -1, is a descriptor of the target; the link owns it, and `undo` may use it.
    """

    def __init__(self, program: str, target: str, undo: Callable[[], None], fd: int = -1) -> None:
        super().__init__(program, target, fd)
        self._undo = undo

    def _close(self) -> None:
        try:
            if not self._is_disconnected:
                self._undo()
        except OSError as error:
            raise link_error(Step.DETACH, self, error) from error
        finally:
            fd, self._fd = self._fd, -1
            if fd >= 0:
                os.close(fd)


class LinkGroup(Link):
    """Several attachments that stand for one: they are closed and detached together."""

    def __init__(self, program: str, target: str, links: Sequence[Link]) -> None:
        super().__init__(program, target)
        self.links = tuple(links)

    def detach(self) -> None:
        """End all the attachments, and close. Raises AttachError for the first that fails, after all are tried."""
        if not self._is_open:
            return
        self._is_open = False
        with self._cleanup, ExitStack() as stack:
            for link in self.links:
                stack.callback(link.detach)

    def _close(self) -> None:
        with ExitStack() as stack:
            for link in self.links:
                stack.callback(link.close, detach=not self._is_disconnected)

    def update(self, program: HasDescriptor, *, replaced: HasDescriptor | None = None) -> None:
        """Put `program` in the place of the present one in all of them, one after the other."""
        for link in self.links:
            link.update(program, replaced=replaced)
        self.program = program.name


def create_link(
    program: Attachable,
    target: str,
    target_fd: int,
    attach_type: int,
    flags: int = 0,
    options: bytes = b"",
    causes: Callable[[int], Explanation | None] | None = None,
) -> KernelLink:
    """A link of `program` by BPF_LINK_CREATE. `causes` explains errnos better than `failure` does.

    `target_fd` is a descriptor or an interface's index. Raises AttachError.
    """
    try:
        fd = syscall.link_create(program.fd, target_fd, attach_type, flags, options)
    except OSError as error:
        raise attach_error(program, target, error, causes) from error
    return KernelLink(program.name, target, fd)


def _program_name(program_id: int) -> str:
    """What the kernel calls the program, cut at 15 characters; empty where it does not say."""
    if not program_id:
        return ""
    try:
        fd = syscall.prog_get_fd_by_id(program_id)
    except OSError:
        return ""
    try:
        return syscall.prog_info(fd).name
    except OSError:
        return ""
    finally:
        os.close(fd)
