"""Findings about machines that files describe, and how findings are shown."""

from __future__ import annotations

import errno
import json
from typing import TYPE_CHECKING

import pytest

from bpfas.loader.doctor import Finding, Group, State, as_text, is_well
from bpfas.loader.doctor import finding as findings
from bpfas.loader.doctor.finding import Need, reason, tried
from bpfas.loader.doctor.machine import examine_machine, examine_settings, mounts
from bpfas.loader.kernel.version import kernel_version
from bpfas.loader.kinds import ProgramType

if TYPE_CHECKING:
    from pathlib import Path

FILES = {
    "proc/self/status": "CapEff:\t000001ffffffffff\nCapBnd:\t000001ffffffffff\nSeccomp:\t0\n",
    "proc/self/uid_map": "0 0 4294967295\n",
    "proc/self/limits": "Max locked memory         65536                65536                bytes\n",
    "proc/self/mounts": "bpf /sys/fs/bpf bpf rw 0 0\ncgroup2 /cg cgroup2 ro,nosuid 0 0\n",
    "proc/sys/kernel/osrelease": "6.1.0-13-amd64\n",
    "proc/sys/kernel/unprivileged_bpf_disabled": "2\n",
    "proc/sys/kernel/kptr_restrict": "2\n",
    "proc/sys/net/core/bpf_jit_enable": "0\n",
    "proc/kallsyms": "ffffffff81000000 T _stext\nffffffff82000000 D jiffies\n",
    "sys/kernel/security/lsm": "lockdown,capability\n",
    "sys/kernel/security/lockdown": "none [integrity] confidentiality\n",
}


def examined(tmp_path: Path, changes: dict[str, str | None]) -> dict[str, Finding]:
    """What is found on a machine with these files, None for one that is missing."""
    for name, text in (FILES | changes).items():
        if text is not None:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
    found = [*examine_machine(tmp_path), *examine_settings(tmp_path)]
    return {finding.subject: finding for finding in found}


@pytest.mark.parametrize(
    ("changes", "subject", "state", "words"),
    [
        ({}, "CAP_BPF", State.WORKS, "maps, programs"),
        ({"proc/self/status": "CapEff:\t0\nCapBnd:\t0\n"}, "CAP_BPF", State.FAILS, "lacks it, nor can root here"),
        ({"proc/self/status": "CapEff:\t0\n"}, "CAP_PERFMON", State.FAILS, "the process lacks it: programs that"),
        ({"proc/self/uid_map": "0 1000 1\n"}, "CAP_BPF", State.FAILS, "in a user namespace"),
        ({"proc/self/status": "CapEff:\t0\nSeccomp:\t2\n"}, "seccomp", State.LIMITED, "may refuse bpf(2)"),
        ({}, "RLIMIT_MEMLOCK", State.WORKS, "65536 bytes; maps and programs do not count"),
        ({"proc/sys/kernel/osrelease": "5.10.0"}, "RLIMIT_MEMLOCK", State.LIMITED, "before Linux 5.11"),
        ({}, "kallsyms", State.WORKS, "2 symbols"),
        ({"proc/kallsyms": None}, "kallsyms", State.FAILS, "there is no /proc/kallsyms"),
        ({"proc/kallsyms": "0000 T _stext\n"}, "kallsyms", State.LIMITED, "the addresses are hidden"),
        ({"proc/kallsyms": "ff00 T _stext\n"}, "kallsyms", State.LIMITED, "functions only"),
        ({}, "bpf", State.WORKS, "mounted at /sys/fs/bpf"),
        ({}, "tracefs", State.FAILS, "it is not mounted"),
        ({}, "cgroup2", State.LIMITED, "mounted at /cg, but /cg is read-only"),
        ({"proc/self/mounts": "b /m bpf rw 0 0\nt /m tmpfs rw 0 0\n"}, "bpf", State.FAILS, "mounted over it: /m"),
        ({"proc/self/mounts": "b /m bpf rw,delegate_cmds=any 0 0\n"}, "tokens", State.WORKS, "/m delegates"),
        ({}, "net.core.bpf_jit_enable", State.LIMITED, "0: programs are interpreted"),
        ({}, "kernel.unprivileged_bpf_disabled", State.WORKS, "2: bpf(2) takes CAP_BPF"),
        ({}, "kernel.kptr_restrict", State.LIMITED, "2: kernel addresses are hidden"),
        ({}, "kernel.ftrace_enabled", State.UNKNOWN, "does not show it"),
        ({}, "lockdown", State.LIMITED, "integrity: programs may not write user memory"),
        ({"sys/kernel/security/lockdown": "[none] integrity\n"}, "lockdown", State.WORKS, "none"),
        (
            {"sys/kernel/security/lockdown": "none [confidentiality]\n"},
            "lockdown",
            State.LIMITED,
            "confid",
        ),
        ({"sys/kernel/security/lockdown": None}, "lockdown", State.UNKNOWN, "does not show it"),
        ({}, "security modules", State.LIMITED, "lockdown,capability: bpf is not among them"),
        ({"sys/kernel/security/lsm": "capability,bpf\n"}, "security modules", State.WORKS, "capability,bpf"),
        ({"sys/kernel/security/lsm": ""}, "security modules", State.WORKS, "none is active"),
    ],
)
def test_what_files_tell(
    tmp_path: Path, changes: dict[str, str | None], subject: str, state: State, words: str
) -> None:
    finding = examined(tmp_path, changes)[subject]
    assert finding.state is state
    assert words in finding.detail
    assert finding.remedy or state not in {State.LIMITED, State.FAILS}


def test_mounts_are_listed_with_place_and_options(tmp_path: Path) -> None:
    (tmp_path / "mounts").write_text("bpf /sys/fs/bpf bpf rw,mode=700 0 0\nbroken\n")
    assert mounts(tmp_path / "mounts") == [("bpf", "/sys/fs/bpf", "rw,mode=700")]
    assert mounts(tmp_path / "missing") == []


@pytest.fixture
def old_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Linux 5.10 without CONFIG_FPROBE."""
    monkeypatch.setattr(findings, "running_version", lambda: kernel_version(5, 10))
    monkeypatch.setattr(findings, "running_config", lambda: ("CONFIG_BPF=y\n", "config"))


@pytest.mark.usefixtures("old_kernel")
@pytest.mark.parametrize(
    ("number", "need", "cause", "remedy"),
    [
        (errno.EINVAL, Need("5.18", ("CONFIG_FPROBE",)), "it came with Linux 5.18", "use Linux 5.18 or a later"),
        (errno.EINVAL, Need("5.8", ("CONFIG_FPROBE",)), "built without CONFIG_FPROBE", "with CONFIG_FPROBE=y"),
        (
            errno.EINVAL,
            Need("5.8", ("CONFIG_FPROBE", "CONFIG_BPF")),
            "says EINVAL (Invalid argument)",
            "",
        ),
        (524, Need(), "the kernel says ENOTSUPP (the kernel does not support it)", ""),
    ],
)
def test_the_reason_is_the_release_or_the_configuration(number: int, need: Need, cause: str, remedy: str) -> None:
    why = reason(number, need)
    assert cause in why.cause
    assert remedy in why.remedy
    assert bool(why.remedy) is not why.is_general


def test_what_is_tried_is_told_with_the_errno() -> None:
    def refuse() -> int:
        raise OSError(errno.ENOENT, "no")

    works = tried(Group.ATTACHING, "a", "it was tried", lambda: 0)
    assert works == Finding(Group.ATTACHING, "a", State.WORKS, tried="it was tried")
    fails = tried(Group.ATTACHING, "a", "it was tried", refuse, program_types=(ProgramType.XDP,))
    assert (fails.state, fails.errno, fails.tried) == (State.FAILS, errno.ENOENT, "it was tried")


FINDINGS = [
    Finding(Group.MAP_TYPES, "hash", State.WORKS, tried="the smallest map was created"),
    Finding(Group.MAP_TYPES, "insn_array", State.FAILS, "it came with Linux 6.19", "use it", "x", errno.EINVAL),
    Finding(Group.MACHINE, "BTF", State.UNKNOWN, "word " * 30),
]


def test_findings_are_shown_by_group() -> None:
    text = as_text(FINDINGS, 60)
    assert text.startswith("machine and process: 0 of 1 work\n  ?    BTF  word word")
    assert "types of maps: 1 of 2 work\n  yes  hash\n" in text
    assert "  no   insn_array  it came with Linux 6.19\n                   -> use it" in text
    assert all(len(line) <= 60 for line in text.splitlines())
    assert as_text([]) == ""
    assert "\x1b[31mno  \x1b[m insn_array" in as_text(FINDINGS, is_colored=True)


def test_findings_can_be_json() -> None:
    data = [finding.as_data() for finding in FINDINGS]
    assert json.loads(json.dumps(data))[1] == {
        "group": "map_types",
        "subject": "insn_array",
        "state": "fails",
        "works": False,
        "detail": "it came with Linux 6.19",
        "remedy": "use it",
        "tried": "x",
        "errno": "EINVAL",
    }


@pytest.mark.parametrize(("state", "well"), [(State.WORKS, True), (State.FAILS, False), (State.UNKNOWN, False)])
def test_a_machine_is_well_if_maps_and_programs_can_be_made(state: State, well: bool) -> None:
    assert is_well([Finding(Group.MAP_TYPES, "array", state), *FINDINGS]) is well
