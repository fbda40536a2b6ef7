"""Why the kernel refuses bpf(2) to this process: what can be read from /proc and /sys, in words.

Reads text files only. Sources: capabilities(7), bpf(2), user_namespaces(7), kernel_lockdown(7), and the kernel's
documents on unprivileged_bpf_disabled.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bpfas.loader.kinds import ProgramType

if TYPE_CHECKING:
    from collections.abc import Collection

_PROC_STATUS = "proc/self/status"
_WHOLE_UID_RANGE = 0xFFFFFFFF


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
_BPF_ONLY_TYPES = frozenset({ProgramType.SK_REUSEPORT, ProgramType.LIRC_MODE2, ProgramType.SYSCALL})


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why the kernel has refused, and what to do about it; either may be empty."""

    cause: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Situation:
    """What decides about bpf(2) for this process. None where the kernel does not say."""

    effective_capabilities: int
    is_in_user_namespace: bool
    unprivileged_bpf_disabled: int | None
    lockdown: str | None
    has_seccomp_filter: bool

    def lacks(self, capability: Capability) -> bool:
        """Whether the process has neither `capability` nor CAP_SYS_ADMIN, which includes it."""
        accepted = 1 << capability | 1 << Capability.CAP_SYS_ADMIN
        return not self.effective_capabilities & accepted


def read_situation(root: Path = Path("/")) -> Situation:
    """The situation of this process, from the files below `root`."""
    status = {
        name: value.strip()
        for name, _, value in (line.partition(":") for line in _read(root / _PROC_STATUS).splitlines())
    }
    uid_map = _read(root / "proc/self/uid_map").split()
    disabled = _read(root / "proc/sys/kernel/unprivileged_bpf_disabled").strip()
    lockdown = _read(root / "sys/kernel/security/lockdown")
    return Situation(
        effective_capabilities=int(status.get("CapEff", "0"), 16),
        is_in_user_namespace=bool(uid_map) and uid_map != ["0", "0", str(_WHOLE_UID_RANGE)],
        unprivileged_bpf_disabled=int(disabled) if disabled else None,
        lockdown=lockdown.partition("[")[2].partition("]")[0] or None,
        has_seccomp_filter=status.get("Seccomp") == "2",
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
    return [capability.name for capability in needed_capabilities(program_types) if situation.lacks(capability)]


def explain_eperm(situation: Situation, program_types: Collection[ProgramType]) -> Explanation:
    """Why creating a map or loading a program of an object with programs of these types gave EPERM."""
    missing = missing_capabilities(situation, program_types)
    if missing:
        cause = f"the process lacks {', '.join(missing)}"
        if _UNPRIVILEGED_TYPES.issuperset(program_types) and situation.unprivileged_bpf_disabled:
            cause += f", and kernel.unprivileged_bpf_disabled is {situation.unprivileged_bpf_disabled}"
        remedy = "run it as root (sudo), or give the process these capabilities; before Linux 5.8 CAP_SYS_ADMIN"
        return Explanation(cause, remedy)
    if situation.is_in_user_namespace:
        return Explanation(
            "the process is in a user namespace, whose capabilities do not count for bpf(2)",
            "run it outside (not in a rootless container), or delegate by a BPF token",
        )
    if _TRACING_TYPES.intersection(program_types) and situation.lockdown == "confidentiality":
        return Explanation(
            "the kernel is locked down (confidentiality), which forbids programs that read kernel memory",
            "boot with lockdown=integrity or without lockdown= and Secure Boot",
        )
    if situation.has_seccomp_filter:
        return Explanation(
            "the process has the capabilities, but runs under a seccomp filter, which may refuse bpf(2)",
            "allow bpf in the container's seccomp profile",
        )
    if ProgramType.EXT in program_types:
        return Explanation(
            "the process has the capabilities, but the kernel refuses, before it verifies them, programs that "
            "replace functions: some kernels do not let running code be patched (by BPF trampolines)",
            "use a kernel that also loads fentry programs, or link the function instead (bpf-ld)",
        )
    return Explanation(
        "the process has the capabilities; a security module, or a kernel that can do no such program, refused",
        "see the kernel's messages (dmesg) and the security module's audit log; before Linux 5.11 raise ulimit -l",
    )
