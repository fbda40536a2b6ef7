"""The exceptions of talking to the kernel: which step failed for what, errno by name, cause, remedy, log.

Causes are what bpf(2) documents for an errno and step; EPERM is explained by `bpfas.loader.privilege`.
"""

from __future__ import annotations

import enum
import errno
import os
import re
from typing import TYPE_CHECKING

from bpfas.diag import BpfasError, Diagnostic, Severity
from bpfas.helpers import HELPERS_BY_NUMBER, LATEST_RELEASE
from bpfas.loader.instructions import ABSENT_CALL
from bpfas.loader.privilege import Capability, Explanation, Situation, explain_eperm, read_situation

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from bpfas.loader.kinds import ProgramType

ENOTSUPP = 524
"""The kernel's own errno for what it does not support; errno(3) has no name for it."""


class Step(enum.Enum):
    """What was being done."""

    CREATE_MAP = "creating the map"
    FILL_MAP = "writing the map's initial contents"
    FREEZE_MAP = "freezing the map"
    LOAD_PROGRAM = "loading the program"
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
    WAIT = "waiting for events"
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
_BPFFS = (
    "use a path below /sys/fs/bpf (mount -t bpf bpf /sys/fs/bpf if it is not mounted), without dots in new names"
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
    (Step.RUN_PROGRAM, ENOTSUPP): Explanation("the kernel cannot test-run programs of this type"),
    (Step.RUN_PROGRAM, errno.EOPNOTSUPP): Explanation("the kernel cannot test-run programs of this type"),
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
    (Step.NEXT_KEY, ENOTSUPP): Explanation("this type of map has no keys that could be listed"),
    (Step.NEXT_KEY, errno.EINVAL): Explanation("this type of map has no keys that could be listed"),
    (Step.POP, ENOTSUPP): Explanation("no values are taken out of this type of map"),
    (Step.POP, errno.EINVAL): Explanation("no values are taken out of this type of map"),
    (Step.PUSH, errno.E2BIG): Explanation("the map is full"),
    (Step.PUSH, errno.EINVAL): Explanation("no values are put into this type of map without a key"),
    (Step.PIN, errno.EEXIST): Explanation("that name is taken", "remove it, or use another"),
    (Step.PIN, errno.EINVAL): Explanation("the path is not on a BPF file system", _BPFFS),
    (Step.PIN, errno.EPERM): Explanation(
        "the process may not write there, or the path is not on a BPF file system", _BPFFS
    ),
    (Step.PIN, errno.ENOENT): Explanation("the directory does not exist", "create it: mkdir -p below /sys/fs/bpf"),
    (Step.MAP_MEMORY, errno.EINVAL): Explanation(
        "this type of map has no memory to share, or it was not created with the flag MMAPABLE"
    ),
    (Step.MAP_MEMORY, errno.EEXIST): Explanation("something else lies in this process's memory at its address"),
    (Step.MAP_MEMORY, errno.EBUSY): Explanation("the arena lies at another address already"),
    (Step.UNPIN, errno.ENOENT): Explanation("there is no such name any more"),
}
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

    `step` is what was being done, `subject` what it was done for (`program xdp_prog`), `errno` the kernel's
    number and `errno_name` its name, `cause` and `remedy` sentences (the remedy may be empty), `summary` one
    line. As text: all of it.
    """

    def __init__(self, step: Step, subject: str, number: int, explanation: Explanation, log: str = "") -> None:
        self.step = step
        self.subject = subject
        self.errno = number
        self.errno_name = errno_name(number)
        self.cause = explanation.cause
        self.remedy = explanation.remedy
        headline = f"{self._done_for()}: {step.value} failed with {self.errno_name}"
        self.summary = f"{headline}: {self.cause}" if self.cause else headline
        notes = [f"remedy: {self.remedy}"] if self.remedy else []
        if log:
            notes.append(f"the verifier's log:\n{log}")
        super().__init__([Diagnostic(Severity.ERROR, self.summary, None, tuple(notes))])

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
    """The verifier refused a program. `log` is all that it said, as it said it.

    `externs` are the names that the program's image leaves open.
    """

    def __init__(self, subject: str, number: int, log: str, externs: Sequence[str] = ()) -> None:
        self.log = log
        words = _last_words(log)
        explanation = _absent_function(words, externs)
        if explanation is None:
            verdict = f"the verifier says: {words}" if words else "the verifier refused it"
            explanation = Explanation(verdict, _remedy(words, log, read_situation()))
        super().__init__(Step.LOAD_PROGRAM, subject, number, explanation, log.rstrip("\n"))


def _last_words(log: str) -> str:
    """What the verifier said last, without its statistics."""
    lines = [line.strip() for line in log.splitlines()]
    said = [line for line in lines if line and not line.startswith(_STATISTICS)]
    return said[-1] if said else ""


_GPL_REMEDY = 'give the object a section `license` that says GPL: .section license,"aw",@progbits; .asciz "GPL"'
_REMEDIES = (
    ("cannot call GPL-restricted function from non-GPL compatible program", _GPL_REMEDY),
    ("cannot call kernel function from non-GPL compatible program", _GPL_REMEDY),
    (
        "calling kernel function",
        "programs may call only some of the kernel's functions (kfuncs), and each only from some types of program",
    ),
    (
        "failed to find the address for kernel symbol",
        "the kernel's list of symbols lacks it: kernels without CONFIG_KALLSYMS_ALL do not list variables",
    ),
    ("JIT is required for calling kernel function", "switch the JIT on: sysctl net.core.bpf_jit_enable=1"),
)
"""What is to be done about some of the verifier's words."""


_NO_SUCH_HELPER = re.compile(r"invalid func (?:\w+#)?(-?\d+)")
_HELPER_REFUSED = re.compile(r"(?:unknown func|program of this type cannot use helper) (?:\w+#)?(\d+)")
"""Of a helper that the kernel has. The words changed with Linux 6.10; 4.9 gave numbers without names."""


def _helper_remedy(words: str, situation: Situation) -> str:
    """What is to be done about words that refuse the call of a helper; empty if they are about something else."""
    match = _NO_SUCH_HELPER.fullmatch(words) or _HELPER_REFUSED.fullmatch(words)
    if not match:
        return ""
    helper = HELPERS_BY_NUMBER.get(int(match[1]))
    if not helper:
        return (
            f"no helper up to Linux {LATEST_RELEASE} has the number {match[1]}; `call` takes helpers by name, too"
        )
    if match.re is _NO_SUCH_HELPER:
        return f"{helper.name} came with Linux {helper.since}: use such a kernel, or do without it"
    lacking = [name.name for name in (Capability.CAP_BPF, Capability.CAP_PERFMON) if situation.lacks(name)]
    return (
        f"{helper.name} came with Linux {helper.since}, but this kernel, with its configuration, does not let "
        "programs of this type call it: use another type or helper, or a newer kernel"
        + (f"; or run it with {' and '.join(lacking)}, which some helpers ask for" if lacking else "")
    )


def _absent_function(words: str, externs: Sequence[str]) -> Explanation | None:
    """Of words that refuse the number which stands for a weak function that is missing: which function that is."""
    match = _NO_SUCH_HELPER.fullmatch(words)
    number = int(match[1]) - ABSENT_CALL if match else -1
    if not 0 <= number < len(externs):
        return None
    name = externs[number]
    return Explanation(
        f"the program calls '{name}', a weak function that nothing defines",
        f"test that it is there before the call, as in `if ({name})`; or give the object that defines it: "
        "bpf-load --with OTHER.o; or a kernel that has it",
    )


def _remedy(words: str, log: str, situation: Situation) -> str:
    for known, remedy in _REMEDIES:
        if known in log:
            return remedy
    if remedy := _helper_remedy(words, situation):
        return remedy
    remedy = "the log tells the path to the instruction at fault and the registers' contents there"
    if situation.lacks(Capability.CAP_PERFMON):
        return f"{remedy}; the process lacks CAP_PERFMON, with which the verifier permits more pointer arithmetic"
    return remedy


_STATISTICS = ("processed ", "verification time ", "stack depth ")


def explain(step: Step, number: int, program_types: Collection[ProgramType] = ()) -> Explanation:
    """What `errno` says after `step`; `program_types` are those of all programs at hand."""
    if (step, number) in _CAUSES:
        return _CAUSES[step, number]
    if number == errno.EPERM:
        return explain_eperm(read_situation(), program_types)
    return _GENERAL_CAUSES.get(number, Explanation(os.strerror(number)))
