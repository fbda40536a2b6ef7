"""The processes of the installed commands: they end with everything written, and with the command's status."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from bpfas import entry
from bpfas.elf.constants import SymbolBinding
from bpfas.elf.writer import write_object
from bpfas.objfile import ObjectFile, SpecialSection, Symbol


def run(command: str, *arguments: str, text: str = "", stdout: int = subprocess.PIPE) -> tuple[int, str, str]:
    """Exit status, output and messages of a command, run as its installed script does."""
    code = f"import sys; from bpfas.entry import {command}; sys.exit({command}())"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        input=text,
        stdout=stdout,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="surrogateescape",
        env=os.environ | {"PYTHONIOENCODING": "utf-8:strict"},
        check=False,
    )
    return done.returncode, done.stdout or "", done.stderr


@pytest.mark.parametrize("command", ["bpf_as", "bpf_ld", "bpf_objdump", "bpf_load"])
def test_every_command_says_what_it_is(command: str) -> None:
    status, output, messages = run(command, "--version")
    assert (status, messages) == (0, "")
    assert output.startswith(command.replace("_", "-"))


def test_what_was_printed_before_an_error_is_written() -> None:
    status, output, messages = run("bpf_as", "-", "-o", "unused.o", text='.print "before"\n.err\n')
    assert (status, output) == (1, "before\n")
    assert "error" in messages


def test_a_text_that_cannot_be_written_is_an_error() -> None:
    with Path("/dev/full").open("w") as full:
        status, _, messages = run("bpf_as", "--help", stdout=full.fileno())
    assert status != 0
    assert "No space left on device" in messages


def test_names_that_are_no_text_are_printed_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "a.o"
    symbol = Symbol("caf\udce9", SpecialSection.ABS, st_bind=SymbolBinding.GLOBAL)
    path.write_bytes(write_object(ObjectFile("a.o", symbols=[symbol])))
    status, output, messages = run("bpf_ld", "--cref", str(path), "-o", str(tmp_path / "out.o"))
    assert (status, messages) == (0, "")
    assert "caf\udce9" in output


def test_the_installed_scripts_are_these() -> None:
    scripts = tomllib.loads(Path(__file__).parent.parent.joinpath("pyproject.toml").read_text())["project"][
        "scripts"
    ]
    assert scripts == {name: f"bpfas.entry:{name.replace('-', '_')}" for name in scripts}
    assert all(callable(getattr(entry, name.replace("-", "_"))) for name in scripts)
