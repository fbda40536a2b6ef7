"""The object's BTF into the kernel: as it is, else without what this kernel does not know, else not at all."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from bpfas.loader import syscall
from bpfas.loader.errors import Step, load_error

if TYPE_CHECKING:
    from bpfas.loader.loading.session import Session

_FIRST_LOG_SIZE = 1 << 20
LARGEST_LOG_SIZE = 1 << 29
"""Bytes of the kernel's log: the first buffer, and the largest power of two that the kernel takes."""

_CONSEQUENCE = "loading goes on without it: maps get no types, programs no function names and source lines"


def load_btf(data: bytes, name: str, session: Session, *, is_required: bool) -> int:
    """The descriptor of the BTF of the object called `name`; 0 where the kernel refuses it, which is a warning.

    If it is required, that raises LoadError with the kernel's log.
    """

    def load(contents: bytes, log: syscall.LogBuffer | None = None) -> int:
        while True:
            try:
                return session.with_memory(lambda: syscall.btf_load(contents, log, session.token_fd))
            except OSError as error:
                if error.errno != errno.ENOSPC or log is None or log.size >= LARGEST_LOG_SIZE:
                    raise
            log.size *= 2

    try:
        return load(data)
    except OSError:
        # Old kernels know fewer kinds. Only now is it worth finding out which.
        from bpfas.loader.loading.btf_sanitize import sanitize

        known = sanitize(data, session.kernel)
    log = syscall.LogBuffer(_FIRST_LOG_SIZE)
    try:
        return load(known, log)
    except OSError as error:
        failure = load_error(Step.LOAD_BTF, name, error, log.text)
        if is_required:
            raise failure from error
        session.warnings.warning(failure.summary, None, (_CONSEQUENCE, *failure.log.splitlines()))
        return 0
