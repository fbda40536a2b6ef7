"""Why the kernel refuses: read from files that look like /proc and /sys."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

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
) -> Situation:
    return Situation(capabilities, is_in_user_namespace, unprivileged_bpf_disabled, lockdown, has_seccomp_filter)


def test_the_situation_is_read_from_files(tmp_path: Path) -> None:
    files = {
        "proc/self/status": "Name:\tpython\nCapEff:\t000000c000000000\nSeccomp:\t2\n",
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
    ],
)
def test_the_cause_of_a_refusal(given: Situation, types: list[ProgramType], cause: str) -> None:
    explanation = explain_eperm(given, types)
    assert cause in explanation.cause
    assert explanation.remedy
