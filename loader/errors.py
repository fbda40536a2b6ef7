"""The exceptions of talking to the kernel: which step failed for what, errno by name, cause, remedy, log.

Causes are what bpf(2) documents for an errno and step; EPERM is explained by `bpfas.loader.privilege`.
"""

from __future__ import annotations

import enum
import errno
import os
from typing import TYPE_CHECKING

from bpfas.diag import BpfasError, Diagnostic, Severity
from bpfas.loader.privilege import Capability, Explanation, explain_eperm, read_situation

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from bpfas.loader.kinds import ProgramType
    from bpfas.loader.verifier.report import VerifierReport

ENOTSUPP = 524
"""The kernel's own errno for what it does not support; errno(3) has no name for it."""


class Step(enum.Enum):
    """What was being done."""

    CREATE_TOKEN = "creating a token"  # noqa: S105
    LOAD_BTF = "loading the object's BTF"
    CREATE_MAP = "creating the map"
    FILL_MAP = "writing the map's initial contents"
    FREEZE_MAP = "freezing the map"
    FILL_SLOT = "filling the slot"
    OPEN_PIN = "opening what is pinned"
    LOAD_PROGRAM = "loading the program"
    FIND_NAME = "looking up what it names in the kernel"
    TAKE_INPUT = "taking what the loader program is given"
    OPEN_BTF = "opening the module's types"
    OPEN_TARGET = "opening the program whose function is to be replaced"
    GET_INFO = "asking for information"
    RUN_PROGRAM = "running the program"
    LOOK_UP = "looking up a key"
    UPDATE = "updating a key"
    DELETE = "deleting a key"
    NEXT_KEY = "listing the keys"
    POP = "taking out a value"
    PUSH = "putting in a value"
    OPEN_MAP = "opening the map"
    OPEN_PROGRAM = "opening the program"
    LIST = "listing"
    MAP_MEMORY = "mapping it into memory"
    OPEN_BUFFER = "opening the buffer"
    READ_STREAM = "reading the program's output"
    ATTACH = "attaching the program"
    DETACH = "detaching the program"
    REPLACE_PROGRAM = "putting another program in its place"
    OPEN_LINK = "opening the link"
    PIN = "pinning"
    UNPIN = "unpinning"
    READ_ITERATOR = "reading the iterator's output"


_NO_BPF = Explanation(
    "this kernel has no bpf(2): it is built without CONFIG_BPF_SYSCALL, or a seccomp filter hides it",
    "use a kernel with CONFIG_BPF_SYSCALL=y, outside of sandboxes that hide the call",
)
_NO_BPF_FILE_SYSTEM = Explanation(
    "the path is not on a BPF file system, or this process may not use it",
    "choose a path below /sys/fs/bpf, or mount one: mount -t bpf bpffs DIRECTORY; names have no dots",
)
_CAUSES: dict[tuple[Step, int], Explanation] = {
    (Step.CREATE_MAP, errno.EINVAL): Explanation(
        "the kernel does not know the map type, or does not take these sizes, entries and flags with it",
        "see the map type's page in the kernel's BPF documents for the sizes it wants",
    ),
    (Step.CREATE_MAP, errno.E2BIG): Explanation("the map is too large for the kernel", "ask for fewer entries"),
    (Step.CREATE_MAP, errno.ENOMEM): Explanation("there is not enough memory", "ask for fewer entries"),
    (Step.LOAD_PROGRAM, errno.EINVAL): Explanation(
        "the kernel does not take this combination of program type, attach type and flags",
        "check the section's name, and that the kernel is new enough for it",
    ),
    (Step.LOAD_PROGRAM, errno.E2BIG): Explanation(
        "the program is too large for the kernel: 1,000,000 instructions, or 4,096 without CAP_BPF",
        "make it smaller, or split it with tail calls",
    ),
    (Step.LOAD_PROGRAM, errno.EAGAIN): Explanation(
        "the verifier was interrupted by a signal each time", "try again"
    ),
    (Step.OPEN_BTF, errno.ENOENT): Explanation("the module is not loaded any more", "load it: modprobe"),
    (Step.OPEN_BTF, errno.EPERM): Explanation(
        "the process lacks CAP_SYS_ADMIN, which opening the types of a module takes",
        "run it as root (sudo), or give the process the capability",
    ),
    (Step.OPEN_TARGET, errno.ENOENT): Explanation(
        "there is no such program, or no such file", "bpftool prog show lists the programs that are loaded"
    ),
    (Step.OPEN_TARGET, errno.EACCES): Explanation(
        "it is no pinned program, or not one that this process may open",
        "give the program's id, or a path below /sys/fs/bpf",
    ),
    (Step.OPEN_TARGET, errno.EINVAL): Explanation(
        "the file is not on a BPF file system", "give the program's id, or a path below /sys/fs/bpf"
    ),
    (Step.PIN, errno.EPERM): _NO_BPF_FILE_SYSTEM,
    (Step.PIN, errno.EINVAL): _NO_BPF_FILE_SYSTEM,
    (Step.PIN, errno.EEXIST): Explanation(
        "something is pinned there already", "choose another name, or remove it"
    ),
    (Step.PIN, errno.ENOENT): Explanation(
        "the directory that it would be in has no directory to be in", "make it first: mkdir"
    ),
    (Step.OPEN_PIN, errno.EACCES): _NO_BPF_FILE_SYSTEM,
    (Step.OPEN_PIN, errno.EINVAL): _NO_BPF_FILE_SYSTEM,
    (Step.UNPIN, errno.ENOENT): Explanation("nothing is pinned there"),
    (Step.UNPIN, errno.EINVAL): Explanation(
        "it is no pin: the file is not on a BPF file system", "bpf-load unpin takes away pins only; use rm"
    ),
    (Step.CREATE_TOKEN, errno.EINVAL): _NO_BPF_FILE_SYSTEM,
    (Step.CREATE_TOKEN, errno.ENOENT): Explanation(
        "there is no such directory, or its BPF file system delegates nothing",
        "mount one with delegate_cmds, delegate_maps, delegate_progs and delegate_attachs (since Linux 6.9)",
    ),
    (Step.CREATE_TOKEN, errno.EOPNOTSUPP): Explanation(
        "tokens are for user namespaces, and this process is in the first one", "leave the token out"
    ),
    (Step.READ_STREAM, errno.EINVAL): Explanation(
        "this kernel's programs have no output to be read", "use Linux 6.17 or later, or bpf_printk"
    ),
    (Step.RUN_PROGRAM, ENOTSUPP): Explanation("the kernel cannot test-run programs of this type"),
    (Step.RUN_PROGRAM, errno.EOPNOTSUPP): Explanation("the kernel cannot test-run programs of this type"),
    (Step.RUN_PROGRAM, errno.EINTR): Explanation(
        "a signal came while the program ran; some of the runs may be done", "run it again, or fewer times"
    ),
    (Step.RUN_PROGRAM, errno.ENOMEM): Explanation(
        "the packet is longer than the kernel's buffers, or there is not enough memory", "give a shorter packet"
    ),
    (Step.UPDATE, errno.E2BIG): Explanation("the map is full, or the index is beyond its end"),
    (Step.UPDATE, errno.EEXIST): Explanation("the key is already there"),
    (Step.UPDATE, errno.ENOENT): Explanation("there is no such key"),
    (Step.UPDATE, errno.EPERM): Explanation("the map is frozen, or closed to writes from user space"),
    (Step.DELETE, errno.EPERM): Explanation("the map is frozen, or closed to writes from user space"),
    (Step.DELETE, errno.EINVAL): Explanation("elements of this type of map are not deleted"),
    (Step.LOOK_UP, errno.EPERM): Explanation("the map is closed to reads from user space"),
    (Step.LOOK_UP, errno.ENOENT): Explanation("there is no such key"),
    (Step.LOOK_UP, ENOTSUPP): Explanation("elements of this type of map are not read from user space"),
    (Step.LOOK_UP, errno.ENOSPC): Explanation(
        "sockets cannot be read from a map whose values have 4 bytes",
        "define the map with values of 8 bytes, which come out as the sockets' cookies",
    ),
    (Step.NEXT_KEY, ENOTSUPP): Explanation("this type of map has no keys that could be listed"),
    (Step.NEXT_KEY, errno.EINVAL): Explanation("this type of map has no keys that could be listed"),
    (Step.POP, ENOTSUPP): Explanation("no values are taken out of this type of map"),
    (Step.POP, errno.EINVAL): Explanation("no values are taken out of this type of map"),
    (Step.PUSH, errno.E2BIG): Explanation("the map is full"),
    (Step.PUSH, errno.EINVAL): Explanation("no values are put into this type of map without a key"),
    (Step.MAP_MEMORY, errno.EINVAL): Explanation(
        "this type of map has no memory to share, or it was not created with the flag MMAPABLE"
    ),
    (Step.MAP_MEMORY, errno.EEXIST): Explanation("something else lies in this process's memory at its address"),
    (Step.MAP_MEMORY, errno.EBUSY): Explanation("the arena lies at another address already"),
}
_BY_NUMBER = frozenset({Step.LIST, Step.OPEN_MAP, Step.OPEN_PROGRAM, Step.OPEN_LINK})
_NOT_BY_NUMBER = Explanation(
    "the process lacks CAP_SYS_ADMIN, which listing what the kernel has, or opening it by name or number, takes",
    "run it as root (sudo), or give the process the capability; paths of pins do without",
)
_GENERAL_CAUSES: dict[int, Explanation] = {
    errno.ENOSYS: _NO_BPF,
    errno.EMFILE: Explanation("the process has too many open files", "raise ulimit -n"),
    errno.ENOMEM: Explanation("there is not enough memory"),
    ENOTSUPP: Explanation("the kernel does not support it for this type"),
    errno.EOPNOTSUPP: Explanation("the kernel does not support it for this type"),
    errno.EBADF: Explanation("it is closed"),
    errno.EBADFD: Explanation("it is closed"),
}


def errno_name(number: int) -> str:
    """`EPERM`; the number itself where it has no name."""
    return "ENOTSUPP" if number == ENOTSUPP else errno.errorcode.get(number, str(number))


class KernelError(BpfasError):
    """The kernel refused a step.

    `step` is what was being done and `phase` that in words, `subject` what it was done for (`program xdp_prog`)
    and `program` the program's name alone, `errno` the kernel's number and `errno_name` its name, `cause` and
    `remedy` sentences (the remedy may be empty), `summary` one line, `log` what the kernel said of it, if
    anything. As text: all of it.
    """

    def __init__(
        self,
        step: Step,
        subject: str,
        number: int,
        explanation: Explanation,
        log: str = "",
        details: Sequence[str] = (),
    ) -> None:
        self.step = step
        self.subject = subject
        self.errno = number
        self.errno_name = errno_name(number)
        self.cause = explanation.cause
        self.remedy = explanation.remedy
        headline = f"{self._done_for()}: {step.value} failed with {self.errno_name}"
        self.summary = f"{headline}: {self.cause}" if self.cause else headline
        self.log = log
        notes = list(details)
        if self.remedy:
            notes.append(f"remedy: {self.remedy}")
        if log.strip():
            notes.append(f"the kernel's log:\n{log.rstrip()}")
        super().__init__([Diagnostic(Severity.ERROR, self.summary, None, tuple(notes))])

    @property
    def program(self) -> str:
        """The name of the program that it was done for; empty if it was for something else."""
        kind, _, name = self.subject.partition(" ")
        return name if kind == "program" else ""

    @property
    def phase(self) -> str:
        """`step` in words."""
        return self.step.value

    def _done_for(self) -> str:
        return self.subject


class AttachError(KernelError):
    """A program could not be attached, detached, or replaced; or a link not be pinned, opened, or read.

    `target` is what it is, or was to be, attached to: `kprobe do_unlinkat`, `XDP of eth0`.
    """

    def __init__(self, step: Step, subject: str, target: str, number: int, explanation: Explanation) -> None:
        self.target = target
        super().__init__(step, subject, number, explanation)

    def _done_for(self) -> str:
        return f"{self.subject} ({self.target})" if self.target else self.subject


class LoadError(KernelError):
    """A map could not be created, filled or frozen, or a program not loaded."""


class VerifierError(LoadError):
    """The verifier refused a program.

    `log` is all that it said, as it said it; `report` is what can be made out of it: the instruction at fault, its
    place in the source, the registers there and the way that led there.
    """

    def __init__(
        self, subject: str, number: int, log: str, report: VerifierReport, details: Sequence[str] = ()
    ) -> None:
        self.report = report
        lines = [*report.lines(), *details]
        super().__init__(Step.LOAD_PROGRAM, subject, number, report.explanation, log, lines)


def kernel_error(
    step: Step, subject: str, error: OSError, causes: Mapping[int, Explanation] | None = None
) -> KernelError:
    """What an OSError of the kernel's says after `step`; `causes` come before the general ones."""
    number = error.errno or 0
    return KernelError(step, subject, number, (causes or {}).get(number) or explain(step, number))


def load_error(step: Step, subject: str, error: OSError, log: str = "") -> LoadError:
    """What an OSError of the kernel's says after `step` of loading; `log` is what the kernel said besides."""
    number = error.errno or 0
    return LoadError(step, subject, number, explain(step, number), log)


def explain(step: Step, number: int, program_types: Collection[ProgramType] = ()) -> Explanation:
    """What `errno` says after `step`; `program_types` are those of all programs at hand."""
    if (step, number) in _CAUSES:
        return _CAUSES[step, number]
    if number == errno.EPERM and step in _BY_NUMBER and read_situation().lacks(Capability.CAP_SYS_ADMIN):
        return _NOT_BY_NUMBER
    if number == errno.EPERM:
        return explain_eperm(read_situation(), program_types)
    return _GENERAL_CAUSES.get(number, Explanation(os.strerror(number)))
