"""Objects loaded and run by libbpf, in a process of its own (`libbpf_runner.c`)."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.link.program_sets import ProgramSet, Register, Run, Step, Value

SOURCE = Path(__file__).with_name("libbpf_runner.c")
COMPILER = Path("/usr/bin/gcc")


def compile_runner(folder: Path) -> Path:
    """The runner's program; skips the running test where there is no compiler or no libbpf to build it with."""
    if not COMPILER.exists() or not Path("/usr/include/bpf/libbpf.h").exists():
        pytest.skip("gcc and libbpf-dev are not installed")
    output = folder / "libbpf_runner"
    subprocess.run([COMPILER, "-O1", "-Wall", SOURCE, "-o", output, "-lbpf"], check=True)
    return output


def run_steps(runner: Path, obj: Path, program_set: ProgramSet) -> list[str]:
    """What the steps of the set gave when libbpf loaded the file `obj`; a failure of libbpf's fails the test."""
    commands = [
        *(f"kconfig {line}" for line in program_set.kconfig),
        "load",
        *(command for command, _ in map(command_and_answer, program_set.steps)),
    ]
    done = subprocess.run(
        [runner, obj], input="\n".join(commands) + "\n", capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.fail(f"{obj}: {done.stdout}\n{done.stderr}")
    return done.stdout.splitlines()


def expected_answers(program_set: ProgramSet) -> list[str]:
    """What `run_steps` gives if all is well."""
    return [answer for _, answer in map(command_and_answer, program_set.steps)]


def command_and_answer(step: Step) -> tuple[str, str]:
    """What the runner is told for a step, and what it says when the step gives what it should."""
    match step:
        case Run(program, retval, data, context):
            return f"run {program} {data.hex() or '-'} {context.hex() or '-'}", f"run {program} {retval}"
        case Value(name, key, value):
            return f"lookup {name} {key.hex()}", f"lookup {name} {value.hex()}"
        case Register(name):
            return f"register {name}", f"register {name}"
