"""The object's BTF into the kernel: as it is, else without what this kernel does not know, else not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpfas.loader import syscall
from bpfas.loader.errors import Step, load_error
from bpfas.loader.loading.session import with_whole_log

if TYPE_CHECKING:
    from bpfas.loader.loading.session import Session

_FIRST_LOG_SIZE = 1 << 20
"""Bytes of the first buffer for the kernel's log."""

_CONSEQUENCE = "loading goes on without it: maps get no types, programs no function names and source lines"


def load_btf(data: bytes, name: str, session: Session, *, is_required: bool) -> int:
    """The descriptor of the BTF of the object called `name`; 0 where the kernel refuses it, which is a warning.

    If it is required, that raises LoadError with the kernel's log.
    """

    def load(contents: bytes, log: syscall.LogBuffer | None = None) -> int:
        return session.with_memory(lambda: syscall.btf_load(contents, log, session.token_fd))

    try:
        return load(data)
    except OSError:
        # Old kernels know fewer kinds. Only now is it worth finding out which.
        from bpfas.loader.loading.btf_sanitize import sanitize

        known = sanitize(data, session.kernel)
    log = syscall.LogBuffer(_FIRST_LOG_SIZE)
    try:
        return with_whole_log(lambda: load(known, log), log)
    except OSError as error:
        failure = load_error(Step.LOAD_BTF, name, error, log.text)
        if is_required:
            raise failure from error
        session.warnings.warning(failure.summary, None, (_CONSEQUENCE, *failure.log.splitlines()))
        return 0
