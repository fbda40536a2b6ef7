"""What bpf-load says when the process lacks capabilities: they are dropped for real, in a child process."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from pathlib import Path

import pytest

from bpfas.elf.writer import write_object
from bpfas.loader.privilege import Capability
from tests.loader.builders import PASS, code, data, function, obj, variable, words

pytestmark = pytest.mark.kernel

PR_CAPBSET_DROP = 24
ROOT = Path(__file__).parents[3]


def drop(capabilities: list[Capability]) -> None:
    """Have this process, once it runs another program, be without `capabilities`."""
    for capability in capabilities:
        ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, int(capability), 0, 0, 0)


def load_without(capabilities: list[Capability]) -> tuple[int, str]:
    """Exit status and messages of bpf-load in a process without `capabilities`."""
    xdp, maps = code("xdp", PASS), data("maps", words(2, 4, 8, 1))
    parts = (xdp, function("prog", xdp), maps, variable("m", maps))

    command = [sys.executable, "-m", "bpfas.loader", "-"]
    source = write_object(obj(*parts))
    done = subprocess.run(
        command, input=source, capture_output=True, check=False, cwd=ROOT, preexec_fn=lambda: drop(capabilities)
    )
    return done.returncode, done.stderr.decode()


def test_the_capabilities_for_map_and_program_are_named_together() -> None:
    missing = [Capability.CAP_BPF, Capability.CAP_NET_ADMIN, Capability.CAP_SYS_ADMIN]
    status, errors = load_without(missing)
    assert status == 1
    assert "map m: creating the map failed with EPERM: the process lacks CAP_BPF, CAP_NET_ADMIN\n" in errors


def test_the_capability_for_the_program_is_named() -> None:
    status, errors = load_without([Capability.CAP_NET_ADMIN, Capability.CAP_SYS_ADMIN])
    assert status == 1
    assert "program prog: loading the program failed with EPERM: the process lacks CAP_NET_ADMIN\n" in errors
    assert ">>> remedy: run it as root" in errors


def test_sys_admin_is_enough() -> None:
    assert load_without([Capability.CAP_BPF, Capability.CAP_NET_ADMIN]) == (0, "")


def test_a_missing_perfmon_is_named_when_the_verifier_refuses() -> None:
    # Without it a comparison of pointers gives no number: r0 = data_end - data.
    done = subprocess.run(
        [sys.executable, "examples/demo.py"],
        capture_output=True,
        check=False,
        cwd=ROOT,
        preexec_fn=lambda: drop([Capability.CAP_PERFMON, Capability.CAP_SYS_ADMIN]),
    )
    assert done.returncode == 1
    assert b"pointer prohibited" in done.stdout
    assert b"the process lacks CAP_PERFMON" in done.stdout
    assert b"Traceback" not in done.stderr


def run_without(capabilities: list[Capability], *arguments: str) -> tuple[int, str]:
    """Exit status and all output of bpf-load in a process without `capabilities`."""
    command = [sys.executable, "-m", "bpfas.loader", *arguments]
    done = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        cwd=ROOT,
        preexec_fn=lambda: drop(capabilities),
    )
    return done.returncode, done.stdout


def test_what_is_in_the_kernel_takes_sys_admin() -> None:
    for arguments in (["maps"], ["progs"], ["maps", "dump", "id:1"]):
        status, output = run_without([Capability.CAP_SYS_ADMIN], *arguments)
        assert status == 1
        assert "EPERM: the process lacks CAP_SYS_ADMIN, which listing" in output
        assert "paths of pins do without" in output


def test_the_doctor_is_not_well_without_capabilities_whatever_is_asked() -> None:
    status, output = run_without([*Capability], "doctor", "--failing", "machine")
    assert status == 2
    assert " 0 of " not in output
    assert "map types" not in output
