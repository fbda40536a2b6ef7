"""What the system calls of one loading share: the kernel, a token, the object's BTF, what is closed on failure."""

from __future__ import annotations

import errno
import os
import resource
from typing import TYPE_CHECKING, TypeVar

from bpfas.diag import Diagnostics
from bpfas.loader import syscall
from bpfas.loader.errors import LoadError, Step, explain, load_error
from bpfas.loader.kernel.features import Feature
from bpfas.loader.privilege import Explanation

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable, Collection

    from bpfas.loader.kernel.kernel import Kernel
    from bpfas.loader.kinds import ProgramType
    from bpfas.loader.loading.options import LoadOptions

_T = TypeVar("_T")

LARGEST_LOG_SIZE = 1 << 29
"""Bytes of the largest buffer for a log that is a power of two and that the kernel takes."""

_NOT_DELEGATED = Explanation(
    "the token does not give the right to it",
    "mount the BPF file system with delegate_cmds, delegate_maps, delegate_progs and delegate_attachs that "
    "name the command and the type",
)


class Session:
    """One loading. Descriptors that `owner` closes are those of what becomes the Collection's.

    `undo` takes back, where loading fails, what would otherwise outlive it.
    `btf_fd` is that of the object's BTF, 0 for none, `token_fd` that of a token, 0 for none. `program_types` are
    those of all programs that are to be loaded.
    """

    def __init__(
        self,
        kernel: Kernel,
        options: LoadOptions,
        owner: contextlib.ExitStack,
        undo: contextlib.ExitStack,
        program_types: Collection[ProgramType] = (),
        btf_fd: int = 0,
        token_fd: int = 0,
    ) -> None:
        self.kernel = kernel
        self.options = options
        self.owner = owner
        self.undo = undo
        self.program_types = program_types
        self.btf_fd = btf_fd
        self.token_fd = token_fd
        self.warnings = Diagnostics()

    def own(self, fd: int) -> int:
        """Have the descriptor closed with what is loaded."""
        self.owner.callback(os.close, fd)
        return fd

    def attempt(self, step: Step, subject: str, action: Callable[[], _T]) -> _T:
        """What `action` gives. Raises LoadError for its OSError."""
        try:
            return self.with_memory(action)
        except OSError as error:
            raise self.error(step, subject, error) from error

    def with_memory(self, action: Callable[[], _T]) -> _T:
        """What `action` gives, tried again without a limit of locked memory where old kernels count with that."""
        try:
            return action()
        except PermissionError:
            if not self._lift_memory_limit():
                raise
        return action()

    def error(
        self, step: Step, subject: str, error: OSError, program_types: Collection[ProgramType] | None = None
    ) -> LoadError:
        """The exception for the failure of a step that was for programs of these types (None: of all)."""
        number = error.errno or 0
        if number == errno.EPERM and self.token_fd:
            return LoadError(step, subject, number, _NOT_DELEGATED)
        types = self.program_types if program_types is None else program_types
        return LoadError(step, subject, number, explain(step, number, types))

    def _lift_memory_limit(self) -> bool:
        """Raise RLIMIT_MEMLOCK where that is what the kernel may have refused for; whether anything changed."""
        limits = resource.getrlimit(resource.RLIMIT_MEMLOCK)
        unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        if limits == unlimited or self.kernel.has(Feature.MEMCG_ACCOUNTING):
            return False
        try:
            resource.setrlimit(resource.RLIMIT_MEMLOCK, unlimited)
        except (OSError, ValueError):
            return False
        return True


def with_whole_log(action: Callable[[], _T], log: syscall.LogBuffer) -> _T:
    """What `action` gives, which has the kernel write to `log`; tried again until all of that fits in."""
    while True:
        try:
            return action()
        except OSError as error:
            if error.errno != errno.ENOSPC or log.size >= LARGEST_LOG_SIZE:
                raise
        log.size *= 2


def open_token(options: LoadOptions, owner: contextlib.ExitStack) -> int:
    """The descriptor of the token that the options name, which `owner` closes; 0 for none.

    Raises LoadError if there is none that the options ask for.
    """
    path = options.token_path
    if not path:
        return 0
    try:
        directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fd = syscall.token_create(directory)
        finally:
            os.close(directory)
    except OSError as error:
        if not options.is_token_required:
            return 0
        raise load_error(Step.CREATE_TOKEN, path, error) from error
    owner.callback(os.close, fd)
    return fd


def is_invalid(error: OSError) -> bool:
    """Whether the kernel may have refused something that it does not know."""
    return error.errno in (errno.EINVAL, errno.E2BIG)
