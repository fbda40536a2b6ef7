"""The doctor on this machine, for real, and compared with what bpftool finds."""

from __future__ import annotations

import ctypes
import functools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bpfas.loader import syscall
from bpfas.loader.cli import main
from bpfas.loader.doctor import Finding, Group, State, examine
from bpfas.loader.doctor.machine import mounts
from bpfas.loader.errors import errno_name
from bpfas.loader.kinds import MapType, ProgramType
from tests.loader.kernel_support import Need, needs
from tests.peers import Peer

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("no_leaks")]


@functools.cache
def found(group: Group) -> dict[str, Finding]:
    """The findings of a group by subject."""
    return {finding.subject: finding for finding in examine([group])}


@pytest.mark.parametrize("group", Group)
def test_each_group_is_examined_without_leaving_anything(group: Group) -> None:
    programs = set(syscall.ids(syscall.Command.PROG_GET_FD_BY_ID))
    interfaces = os.listdir("/sys/class/net")
    findings = examine([group])
    assert findings
    assert len({finding.subject for finding in findings}) == len(findings)
    assert {finding.group for finding in findings} == {group}
    assert os.listdir("/sys/class/net") == interfaces
    cgroups = [mount.place for mount in mounts() if mount.kind == "cgroup2"]
    assert not [path for place in cgroups for path in Path(place).glob("bpfas-doctor-*")]
    new = set(syscall.ids(syscall.Command.PROG_GET_FD_BY_ID)) - programs
    assert not [name for name in map(_name, new) if name.startswith("bpfas")]


def _name(program_id: int) -> str:
    try:
        fd = syscall.prog_get_fd_by_id(program_id)
    except FileNotFoundError:
        return ""
    try:
        return syscall.prog_info(fd).name
    finally:
        os.close(fd)


@pytest.mark.parametrize("group", Group)
def test_what_does_not_work_has_a_reason(group: Group) -> None:
    for finding in found(group).values():
        if finding.state is not State.WORKS:
            assert finding.detail


def test_every_type_in_the_tables_is_tried() -> None:
    programs = {subject.partition(":")[0] for subject in found(Group.PROGRAM_TYPES)}
    assert programs == {kind.name.lower() for kind in ProgramType if kind}
    assert set(found(Group.MAP_TYPES)) == {kind.name.lower() for kind in MapType if kind}


@pytest.mark.parametrize(
    ("group", "subjects"),
    [
        (Group.PROGRAM_TYPES, ("xdp", "socket_filter", "kprobe", "tracing: iter")),
        (Group.MAP_TYPES, ("hash", "ringbuf", "sk_storage", "struct_ops")),
        (Group.HELPERS, ("bpf_map_lookup_elem", "bpf_probe_read_kernel")),
        (Group.ATTACHING, ("test run", "raw tracepoint", "tp_btf", "xdp: link", "cgroup: link")),
    ],
)
def test_what_every_kernel_has_works(group: Group, subjects: Sequence[str]) -> None:
    assert {subject: found(group)[subject].state for subject in subjects} == dict.fromkeys(subjects, State.WORKS)


@needs(Need.TRAMPOLINES)
def test_trampolines_can_be_attached() -> None:
    subjects = ("fentry", "fexit", "fmod_ret", "freplace", "struct_ops", "iterator", "tp_btf")
    assert {subject: errno_name(found(Group.ATTACHING)[subject].errno) for subject in subjects} == dict.fromkeys(
        subjects, "0"
    )


@needs(Need.KPROBES)
def test_kprobes_can_be_attached() -> None:
    assert found(Group.ATTACHING)["kprobe: perf"].state is State.WORKS
    assert found(Group.ATTACHING)["uprobe: perf"].state is State.WORKS


@needs(Need.TCX)
def test_tcx_can_be_attached() -> None:
    assert found(Group.ATTACHING)["tc: tcx"].state is State.WORKS


@needs(Need.NETKIT)
def test_netkit_can_be_attached() -> None:
    assert found(Group.ATTACHING)["tc: netkit"].state is State.WORKS


@functools.cache
def bpftool() -> Any:
    """What bpftool finds. It says nothing of types that came after it."""
    return json.loads(Peer.BPFTOOL.run("feature", "probe", "-j", check=False).output)


def assert_same(theirs: dict[str, bool], group: Group) -> None:
    """Both find the same of what both know."""
    mine = {name: finding.state is State.WORKS for name, finding in found(group).items()}
    shared = theirs.keys() & mine.keys()
    assert len(shared) > 25
    assert {name: theirs[name] for name in shared} == {name: mine[name] for name in shared}


@pytest.mark.peer
def test_types_of_programs_are_those_that_bpftool_finds() -> None:
    names = bpftool()["program_types"].items()
    theirs = {name.removeprefix("have_").removesuffix("_prog_type"): there for name, there in names}
    assert_same(theirs, Group.PROGRAM_TYPES)


@pytest.mark.peer
def test_types_of_maps_are_those_that_bpftool_finds() -> None:
    names = bpftool()["map_types"].items()
    theirs = {name.removeprefix("have_").removesuffix("_map_type"): there for name, there in names}
    assert_same(theirs, Group.MAP_TYPES)


SILENT = {"bpf_trace_printk", "bpf_trace_vprintk", "bpf_probe_write_user"}
"""Helpers that bpftool does not try, for the kernel writes a line about them into its log."""


@pytest.mark.peer
def test_helpers_that_work_are_found_by_bpftool() -> None:
    # The other way round it takes the words of kernels since 6.10 for a helper that is there.
    theirs = {
        name.removesuffix("_available_helpers"): set(helpers) for name, helpers in bpftool()["helpers"].items()
    }
    known = set().union(*theirs.values()) - SILENT
    compared = 0
    for name, finding in found(Group.HELPERS).items():
        program_type = finding.detail.removeprefix("in ")
        if finding.state is State.WORKS and name in known and theirs.get(program_type):
            compared += 1
            assert name in theirs[program_type], program_type
    assert compared > 40


@pytest.mark.peer
def test_options_are_those_that_bpftool_reads() -> None:
    theirs = {name: value for name, value in bpftool()["system_config"].items() if name.startswith("CONFIG_")}
    settings = found(Group.SETTINGS)
    shared = theirs.keys() & settings.keys()
    assert len(shared) > 10
    for name in shared:
        expected = (f"{theirs[name]}: ",) if theirs[name] else ("not set: ", "n: ")
        assert settings[name].detail.startswith(expected), name


def test_the_command_shows_what_was_found(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "map-types"]) == 0
    assert capsys.readouterr().out.startswith("types of maps: ")
    assert main(["doctor", "--json", "machine", "map-types"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["well"] is True
    assert {finding["group"] for finding in data["findings"]} == {"machine", "map_types"}


def test_the_command_knows_its_groups(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "maps"]) == 1
    assert "there is no group 'maps'; there are machine, settings" in capsys.readouterr().err


def test_a_process_without_capabilities_is_told_so() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bpfas.loader", "doctor", "--json"],
        capture_output=True,
        check=False,
        cwd=Path(__file__).parents[3],
        preexec_fn=drop_capabilities,
    )
    assert done.stderr == b""
    data = json.loads(done.stdout)
    if done.returncode == 0:
        pytest.skip("this kernel lets everybody load programs")
    assert done.returncode == 2
    assert data["well"] is False
    findings = {(finding["group"], finding["subject"]): finding for finding in data["findings"]}
    assert findings["machine", "CAP_BPF"]["works"] is False
    assert findings["program_types", "xdp"]["detail"].startswith("the process lacks CAP_BPF")


def drop_capabilities() -> None:
    """Have this process, once it runs another program, be without any capability."""
    pr_capbset_drop = 24
    for capability in range(41):
        ctypes.CDLL(None).prctl(pr_capbset_drop, capability, 0, 0, 0)
