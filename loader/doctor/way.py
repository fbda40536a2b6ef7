"""A way of attaching, and what all of them have in common: programs that return at once, and trying."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bpfas.loader import syscall
from bpfas.loader.doctor.finding import NO_NEED, Finding, Group, Need, State, tried
from bpfas.loader.kernel.trial import EXIT, RETURN_0, instruction
from bpfas.loader.kernel.version import running_version
from bpfas.loader.syscall import ProgramLoad

if TYPE_CHECKING:
    from collections.abc import Callable

    from bpfas.loader.kinds import ProgramType


def returning(value: int) -> bytes:
    """The instructions of a program that returns a number."""
    return instruction("mov_imm", dst=0, imm=value) + EXIT


def load(program_type: ProgramType, attach_type: int = 0, code: bytes = RETURN_0, flags: int = 0) -> int:
    """The descriptor of a program that needs nothing of BTF."""
    return syscall.prog_load(
        ProgramLoad(
            "",
            program_type,
            code,
            b"GPL",
            expected_attach_type=attach_type,
            flags=flags,
            kernel_version=running_version(),
        )
    )


class NotTriedError(Exception):
    """What would be attached to is missing, which says nothing of the kernel."""

    def __init__(self, why: str, remedy: str = "") -> None:
        super().__init__(why)
        self.why = why
        self.remedy = remedy


class Way(NamedTuple):
    """A way of attaching: what is done, in words, doing and undoing it, and what it takes.

    `attach` raises OSError, or NotTriedError.
    """

    subject: str
    words: str
    attach: Callable[[], None]
    program_type: ProgramType
    need: Need = NO_NEED

    def tried(self) -> Finding:
        """What trying it gives."""

        def answer() -> int:
            self.attach()
            return 0

        try:
            return tried(Group.ATTACHING, self.subject, self.words, answer, self.need, (self.program_type,))
        except NotTriedError as error:
            return Finding(Group.ATTACHING, self.subject, State.UNKNOWN, error.why, error.remedy, self.words)
