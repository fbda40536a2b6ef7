"""What the four commands share: outputs whole or not at all, and exit statuses."""

from __future__ import annotations

import gc
import os
from typing import TYPE_CHECKING

import pytest

from bpfas.cli import map_input, read_input, report, run, write_output
from bpfas.diag import BpfasError, Diagnostic, Severity

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def test_an_output_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"old")
    path.chmod(0o640)
    write_output(str(path), b"new")
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"new", 0o640)


def test_a_new_output_has_the_mode_that_the_umask_leaves(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        write_output(str(tmp_path / "out"), b"new")
    finally:
        os.umask(old)
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o640


def test_a_failure_leaves_the_old_output_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(BpfasError, match=r"cannot write .*: No space left on device"):
        write_output(str(path), b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("size", [0, 1, (1 << 16) - 1, 1 << 16, 3 << 16])
def test_an_input_that_is_mapped_is_the_file(tmp_path: Path, size: int) -> None:
    path = tmp_path / "input"
    path.write_bytes(bytes(number % 251 for number in range(size)))
    mapped = map_input(str(path))
    assert bytes(mapped) == path.read_bytes() == read_input(str(path))
    path.unlink()
    assert len(bytes(mapped)) == size


def test_an_input_that_cannot_be_mapped_is_read_or_refused(tmp_path: Path) -> None:
    assert bytes(map_input("/dev/null")) == b""
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(BpfasError, match=f"cannot read {path}"):
            map_input(str(path))


@pytest.mark.parametrize(
    ("raised", "status", "message"),
    [
        (KeyboardInterrupt(), 130, ""),
        (BpfasError.of("what is wrong"), 1, "tool: error: what is wrong\n"),
        (BpfasError.of("what is wrong", "a.o"), 1, "a.o: error: what is wrong\n"),
        (RecursionError(), 1, "tool: error: the input is nested too deeply\n"),
        (MemoryError(), 1, "tool: error: there is not enough memory for this input\n"),
        (
            UnicodeEncodeError("ascii", "é", 0, 1, "why"),
            1,
            (
                "tool: error: cannot write the output: 'ascii' codec can't encode character '\\xe9' in position "
                "0: why; set PYTHONIOENCODING=utf-8\n"
            ),
        ),
    ],
)
def test_what_ends_a_command_decides_about_its_status(
    raised: BaseException, status: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def command(arguments: Sequence[str]) -> int:
        assert list(arguments) == ["argument"]
        raise raised

    assert run("tool", command, ["argument"]) == status
    assert capsys.readouterr().err == message
    assert gc.isenabled()


def test_names_in_messages_do_not_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    found = Diagnostic(Severity.ERROR, "undefined symbol: \x1b[2J\x9b\tx", "a.o:(\r)")
    report("bpf-ld", [found], as_json=False)
    assert capsys.readouterr().err == "a.o:(\\x0d): error: undefined symbol: \\x1b[2J\\x9b\tx\n"
