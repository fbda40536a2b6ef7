"""Why the kernel refuses: read from files that look like /proc and /sys."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bpfas.loader.kernel.version import kernel_version
from bpfas.loader.kinds import ProgramType
from bpfas.loader.privilege import Capability, Situation, explain_eperm, missing_capabilities, read_situation

if TYPE_CHECKING:
    from pathlib import Path

ALL = sum(1 << capability for capability in Capability)


def situation(
    capabilities: int = ALL,
    *,
    is_in_user_namespace: bool = False,
    unprivileged_bpf_disabled: int | None = 2,
    lockdown: str | None = None,
    has_seccomp_filter: bool = False,
    bounding: int = ALL,
    memlock_limit: int | None = None,
    security_modules: tuple[str, ...] = (),
    version: int = kernel_version(6, 1),
) -> Situation:
    return Situation(
        capabilities,
        is_in_user_namespace,
        unprivileged_bpf_disabled,
        lockdown,
        has_seccomp_filter,
        bounding,
        memlock_limit,
        security_modules,
        version,
    )


def test_the_situation_is_read_from_files(tmp_path: Path) -> None:
    files = {
        "proc/self/status": ("Name:\tpython\nCapEff:\t000000c000000000\nCapBnd:\t000000c000000001\nSeccomp:\t2\n"),
        "proc/self/limits": (
            "Limit                     Soft Limit           Hard Limit           Units\n"
            "Max locked memory         65536                unlimited            bytes\n"
        ),
        "proc/sys/kernel/osrelease": "5.10.0-30-amd64\n",
        "sys/kernel/security/lsm": "lockdown,capability,selinux,bpf\n",
        "proc/self/uid_map": "         0       1000          1\n",
        "proc/sys/kernel/unprivileged_bpf_disabled": "1\n",
        "sys/kernel/security/lockdown": "none integrity [confidentiality]\n",
    }
    for name, contents in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(contents)
    assert read_situation(tmp_path) == Situation(
        1 << Capability.CAP_BPF | 1 << Capability.CAP_PERFMON,
        is_in_user_namespace=True,
        unprivileged_bpf_disabled=1,
        lockdown="confidentiality",
        has_seccomp_filter=True,
        bounding_capabilities=1 << Capability.CAP_BPF | 1 << Capability.CAP_PERFMON | 1,
        memlock_limit=65536,
        security_modules=("lockdown", "capability", "selinux", "bpf"),
        version=kernel_version(5, 10),
    )


def test_files_may_be_missing(tmp_path: Path) -> None:
    assert read_situation(tmp_path) == Situation(
        0,
        is_in_user_namespace=False,
        unprivileged_bpf_disabled=None,
        lockdown=None,
        has_seccomp_filter=False,
    )


@pytest.mark.parametrize(
    ("types", "names"),
    [
        ([], ["CAP_BPF"]),
        ([ProgramType.SOCKET_FILTER, ProgramType.SYSCALL], ["CAP_BPF"]),
        ([ProgramType.XDP], ["CAP_BPF", "CAP_NET_ADMIN"]),
        ([ProgramType.KPROBE], ["CAP_BPF", "CAP_PERFMON"]),
        ([ProgramType.KPROBE, ProgramType.SCHED_CLS], ["CAP_BPF", "CAP_PERFMON", "CAP_NET_ADMIN"]),
        ([ProgramType.EXT], ["CAP_BPF", "CAP_PERFMON", "CAP_NET_ADMIN"]),
    ],
)
def test_types_need_capabilities(types: list[ProgramType], names: list[str]) -> None:
    assert missing_capabilities(situation(0), types) == names


def test_sys_admin_stands_for_the_others() -> None:
    assert missing_capabilities(situation(1 << Capability.CAP_SYS_ADMIN), [ProgramType.EXT]) == []


@pytest.mark.parametrize(
    ("given", "types", "cause"),
    [
        (situation(0), [ProgramType.XDP], "the process lacks CAP_BPF, CAP_NET_ADMIN"),
        (situation(1 << Capability.CAP_BPF), [ProgramType.XDP], "the process lacks CAP_NET_ADMIN"),
        (situation(0), [], "the process lacks CAP_BPF, and kernel.unprivileged_bpf_disabled is 2"),
        (situation(0, unprivileged_bpf_disabled=0), [], "the process lacks CAP_BPF"),
        (situation(is_in_user_namespace=True), [ProgramType.XDP], "in a user namespace"),
        (situation(lockdown="confidentiality"), [ProgramType.KPROBE], "locked down (confidentiality)"),
        (situation(lockdown="confidentiality", has_seccomp_filter=True), [ProgramType.XDP], "a seccomp filter"),
        (situation(lockdown="integrity"), [ProgramType.KPROBE], "a security module, or a kernel that can do no"),
        (situation(memlock_limit=65536, version=kernel_version(5, 10)), [], "lets this process have 65536 bytes"),
        (situation(memlock_limit=65536), [], "a security module, or a kernel that can do no"),
        (situation(version=kernel_version(5, 10)), [], "a security module, or a kernel that can do no"),
        (situation(security_modules=("yama", "selinux", "bpf")), [ProgramType.LSM], "selinux or bpf, a security"),
        (situation(security_modules=("apparmor",)), [ProgramType.XDP], "apparmor, a security module, may have"),
        (situation(security_modules=("apparmor",)), [ProgramType.LSM], "refuses programs for this target"),
        (situation(security_modules=("yama",)), [ProgramType.XDP], "; a security module, or a kernel"),
        (situation(), [ProgramType.TRACING], "do not let running code be patched"),
        (situation(), [ProgramType.EXT], "before it verifies them, programs that replace functions"),
    ],
)
def test_the_cause_of_a_refusal(given: Situation, types: list[ProgramType], cause: str) -> None:
    explanation = explain_eperm(given, types)
    assert cause in explanation.cause
    assert explanation.remedy


def test_a_capability_that_nobody_can_have_is_to_be_had_from_the_container() -> None:
    remedy = explain_eperm(situation(0, bounding=1 << Capability.CAP_PERFMON), [ProgramType.XDP]).remedy
    assert "even root is without them: in a container, start it with --cap-add CAP_BPF" in remedy
    assert "--cap-add" not in explain_eperm(situation(0), [ProgramType.KPROBE]).remedy
