"""Why the kernel refuses bpf(2) to this process: what can be read from /proc and /sys, in words.

Reads text files only. Sources: capabilities(7), bpf(2), user_namespaces(7), kernel_lockdown(7), getrlimit(2), and
the kernel's documents on unprivileged_bpf_disabled.
"""

from __future__ import annotations

import enum
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bpfas.loader.kernel.version import kernel_version, parse_version
from bpfas.loader.kinds import ProgramType

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

_PROC_STATUS = "proc/self/status"
_WHOLE_UID_RANGE = 0xFFFFFFFF
_WITHOUT_MEMLOCK = kernel_version(5, 11)
_MEMLOCK = re.compile(r"^Max locked memory\s+(\d+)", re.MULTILINE)
_MEDIATING_MODULES = ("selinux", "smack", "apparmor", "tomoyo", "bpf")
"""Security modules that can refuse bpf(2), or the capabilities for it; those that look at bpf(2) itself first."""


class Capability(enum.IntEnum):
    """The capabilities that bpf(2) asks for."""

    CAP_NET_ADMIN = 12
    CAP_SYS_ADMIN = 21
    CAP_PERFMON = 38
    CAP_BPF = 39


_UNPRIVILEGED_TYPES = frozenset({ProgramType.SOCKET_FILTER, ProgramType.CGROUP_SKB})
_TRACING_TYPES = frozenset(
    {
        ProgramType.KPROBE,
        ProgramType.TRACEPOINT,
        ProgramType.PERF_EVENT,
        ProgramType.RAW_TRACEPOINT,
        ProgramType.RAW_TRACEPOINT_WRITABLE,
        ProgramType.TRACING,
        ProgramType.LSM,
        ProgramType.STRUCT_OPS,
        ProgramType.EXT,
    }
)
_TRAMPOLINE_TYPES = frozenset({ProgramType.TRACING, ProgramType.LSM, ProgramType.EXT})
_BPF_ONLY_TYPES = frozenset({ProgramType.SK_REUSEPORT, ProgramType.LIRC_MODE2, ProgramType.SYSCALL})


class Explanation(NamedTuple):
    """Why the kernel has refused, and what to do about it; either may be empty."""

    cause: str
    remedy: str = ""


class Situation(NamedTuple):
    """What decides about bpf(2) for this process. None where the kernel does not say.

    `bounding_capabilities` are those that the process and its children can have at all. `memlock_limit` is in
    bytes, None for no limit. `version` is KERNEL_VERSION of the kernel, 0 if it is not known.
    """

    effective_capabilities: int
    is_in_user_namespace: bool
    unprivileged_bpf_disabled: int | None
    lockdown: str | None
    has_seccomp_filter: bool
    bounding_capabilities: int | None = None
    memlock_limit: int | None = None
    security_modules: tuple[str, ...] = ()
    version: int = 0

    def lacks(self, capability: Capability) -> bool:
        """Whether the process has neither `capability` nor CAP_SYS_ADMIN, which includes it."""
        return not self.effective_capabilities & _accepted(capability)

    def can_never_have(self, capability: Capability) -> bool:
        """Whether even root, where this process runs, is without `capability`."""
        return self.bounding_capabilities is not None and not self.bounding_capabilities & _accepted(capability)

    @property
    def counts_locked_memory(self) -> bool:
        """Whether maps and programs count as locked memory, of which the process may have so much only."""
        return 0 < self.version < _WITHOUT_MEMLOCK and self.memlock_limit is not None


def _accepted(capability: Capability) -> int:
    return 1 << capability | 1 << Capability.CAP_SYS_ADMIN


def read_situation(root: Path = Path("/")) -> Situation:
    """The situation of this process, from the files below `root`."""
    status = {
        name: value.strip()
        for name, _, value in (line.partition(":") for line in _read(root / _PROC_STATUS).splitlines())
    }
    uid_map = _read(root / "proc/self/uid_map").split()
    disabled = _read(root / "proc/sys/kernel/unprivileged_bpf_disabled").strip()
    lockdown = _read(root / "sys/kernel/security/lockdown")
    memlock = _MEMLOCK.search(_read(root / "proc/self/limits"))
    modules = _read(root / "sys/kernel/security/lsm").strip()
    return Situation(
        effective_capabilities=int(status.get("CapEff", "0"), 16),
        is_in_user_namespace=bool(uid_map) and uid_map != ["0", "0", str(_WHOLE_UID_RANGE)],
        unprivileged_bpf_disabled=int(disabled) if disabled else None,
        lockdown=lockdown.partition("[")[2].partition("]")[0] or None,
        has_seccomp_filter=status.get("Seccomp") == "2",
        bounding_capabilities=int(status["CapBnd"], 16) if "CapBnd" in status else None,
        memlock_limit=int(memlock[1]) if memlock else None,
        security_modules=tuple(modules.split(",")) if modules else (),
        version=parse_version(_read(root / "proc/sys/kernel/osrelease")),
    )


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def needed_capabilities(program_types: Collection[ProgramType]) -> list[Capability]:
    """What creating maps and loading programs of these types takes."""
    types = set(program_types)
    needed = [Capability.CAP_BPF]
    if types & _TRACING_TYPES:
        needed.append(Capability.CAP_PERFMON)
    # A program that replaces another may be of any type.
    if types - _TRACING_TYPES - _UNPRIVILEGED_TYPES - _BPF_ONLY_TYPES or ProgramType.EXT in types:
        needed.append(Capability.CAP_NET_ADMIN)
    return needed


def missing_capabilities(situation: Situation, program_types: Collection[ProgramType]) -> list[str]:
    """The names of the capabilities that this process lacks for it."""
    return [capability.name for capability in _missing(situation, program_types)]


def explain_eperm(situation: Situation, program_types: Collection[ProgramType]) -> Explanation:
    """Why creating a map or loading a program of an object with programs of these types gave EPERM.

    The kernel does not say; the first of the possible causes is told that is certain, or else likely.
    """
    return next(found for cause in _CAUSES if (found := cause(situation, program_types)))


def _missing(situation: Situation, program_types: Collection[ProgramType]) -> list[Capability]:
    return [capability for capability in needed_capabilities(program_types) if situation.lacks(capability)]


def _no_capability(situation: Situation, program_types: Collection[ProgramType]) -> Explanation | None:
    missing = _missing(situation, program_types)
    if not missing:
        return None
    names = ", ".join(capability.name for capability in missing)
    cause = f"the process lacks {names}"
    if _UNPRIVILEGED_TYPES.issuperset(program_types) and situation.unprivileged_bpf_disabled:
        cause += f", and kernel.unprivileged_bpf_disabled is {situation.unprivileged_bpf_disabled}"
    remedy = "run it as root (sudo), or give the process these capabilities; before Linux 5.8 CAP_SYS_ADMIN"
    if any(situation.can_never_have(capability) for capability in missing):
        options = " ".join(f"--cap-add {capability.name}" for capability in missing)
        remedy += f"; here even root is without them: in a container, start it with {options}"
    return Explanation(cause, remedy)


def _user_namespace(situation: Situation, _program_types: Collection[ProgramType]) -> Explanation | None:
    if not situation.is_in_user_namespace:
        return None
    return Explanation(
        "the process is in a user namespace, whose capabilities do not count for bpf(2)",
        "run it outside (not in a rootless container), or delegate by a BPF token",
    )


def _locked_memory(situation: Situation, _program_types: Collection[ProgramType]) -> Explanation | None:
    if not situation.counts_locked_memory:
        return None
    return Explanation(
        f"before Linux 5.11 maps and programs count as locked memory, of which RLIMIT_MEMLOCK lets this process "
        f"have {situation.memlock_limit} bytes",
        "raise the limit: ulimit -l unlimited, LimitMEMLOCK=infinity of a service",
    )


def _lockdown(situation: Situation, program_types: Collection[ProgramType]) -> Explanation | None:
    if situation.lockdown != "confidentiality" or not _TRACING_TYPES.intersection(program_types):
        return None
    return Explanation(
        "the kernel is locked down (confidentiality), which forbids programs that read kernel memory",
        "boot with lockdown=integrity or without lockdown= and Secure Boot",
    )


def _seccomp(situation: Situation, _program_types: Collection[ProgramType]) -> Explanation | None:
    if not situation.has_seccomp_filter:
        return None
    return Explanation(
        "the process has the capabilities, but runs under a seccomp filter, which may refuse bpf(2)",
        "allow bpf in the container's seccomp profile",
    )


def _security_module(situation: Situation, program_types: Collection[ProgramType]) -> Explanation | None:
    modules = [module for module in _MEDIATING_MODULES if module in situation.security_modules]
    if modules[:1] != ["selinux"] and _TRAMPOLINE_TYPES.intersection(program_types):
        return None  # that kernels refuse trampolines is likelier
    if not modules:
        return None
    return Explanation(
        f"the process has the capabilities; {' or '.join(modules)}, a security module, may have refused",
        "see the kernel's messages and the audit log (dmesg; ausearch -m avc), and allow it in the policy",
    )


def _no_trampolines(_situation: Situation, program_types: Collection[ProgramType]) -> Explanation | None:
    if ProgramType.EXT in program_types:
        return Explanation(
            "the process has the capabilities, but the kernel refuses, before it verifies them, programs that "
            "replace functions: some kernels do not let running code be patched (by BPF trampolines)",
            "use a kernel that also loads fentry programs, or link the function instead (bpf-ld)",
        )
    if _TRAMPOLINE_TYPES.intersection(program_types):
        return Explanation(
            "the process has the capabilities, but the kernel refuses programs for this target: some kernels do "
            "not let running code be patched (by BPF trampolines), or the target is closed to them",
            "use another kernel, or kprobe, tp_btf and raw_tp programs, which do without trampolines",
        )
    return None


def _something_else(_situation: Situation, _program_types: Collection[ProgramType]) -> Explanation:
    return Explanation(
        "the process has the capabilities; a security module, or a kernel that can do no such program, refused",
        "see the kernel's messages (dmesg) and the security module's audit log; before Linux 5.11 raise ulimit -l",
    )


_CAUSES: tuple[Callable[[Situation, Collection[ProgramType]], Explanation | None], ...] = (
    _no_capability,
    _user_namespace,
    _locked_memory,
    _lockdown,
    _seccomp,
    _security_module,
    _no_trampolines,
    _something_else,
)
"""In the order in which they are asked."""
