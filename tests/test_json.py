"""Messages as JSON: what every command prints with --json, a line for each message (docs/diagnostics.md)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bpfas.asm.cli import main as bpf_as
from bpfas.link.cli import main as bpf_ld
from bpfas.loader.cli import main as bpf_load
from bpfas.objdump.cli import main as bpf_objdump


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def messages(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


NOWHERE = dict.fromkeys(("file", "line", "column", "end_line", "end_column", "place"))


def test_a_place_in_a_source(capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.s").write_text("f: exit\n  mov %r1, 0x1ffffffff\nf:\n")
    assert bpf_as(["--json", "a.s"]) == 1
    first, second = messages(capsys)
    assert first == {
        "program": "bpf-as",
        "severity": "error",
        "message": "immediate 8589934591 is out of range -2147483648 to 4294967295; "
        "`lddw` (`ldimm64`, `rN = … ll`) loads 64 bits",
        "file": "a.s",
        "line": 2,
        "column": 12,
        "end_line": 2,
        "end_column": 23,
        "place": "a.s:2:12",
        "notes": [],
        "chain": [],
    }
    assert (second["line"], second["notes"]) == (3, ["first defined at a.s:1:1"])


def test_the_chain_by_which_a_place_was_come_to(capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.i").write_text(".macro m\n nop\n bogus\n.endm\n\n m\n")
    Path("a.s").write_text('\n.include "a.i"\n')
    assert bpf_as(["--json", "a.s"]) == 1
    found = [item for item in messages(capsys) if "bogus" in item["message"]]
    (message,) = found
    assert (message["file"], message["line"], message["column"]) == ("a.i", 3, 2)
    assert message["chain"] == [
        {
            "what": "in the expansion of macro `m` at",
            "file": "a.i",
            "line": 6,
            "column": 2,
            "end_line": 6,
            "end_column": 3,
        },
        {"what": "included from", "file": "a.s", "line": 2, "column": 1, "end_line": 2, "end_column": 15},
    ]


def test_warnings_are_messages_too(capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.s").write_text('.warning "mind"\n')
    assert bpf_as(["--json", "a.s"]) == 0
    (message,) = messages(capsys)
    assert (message["severity"], message["message"]) == ("warning", "mind")


def test_options_and_files_are_at_no_place(capsys: pytest.CaptureFixture[str]) -> None:
    assert bpf_as(["--frobnicate", "-o", "--json"]) == 1
    assert bpf_as(["--json", "missing.s"]) == 1
    found = messages(capsys)
    assert [item["message"] for item in found] == [
        "unknown option `--frobnicate`; try --help",
        "cannot read missing.s: No such file or directory",
    ]
    for item in found:
        assert item.items() >= NOWHERE.items()


def test_the_option_may_come_from_a_response_file(capsys: pytest.CaptureFixture[str]) -> None:
    Path("r").write_text("--json missing.s")
    assert bpf_as(["@r"]) == 1
    assert len(messages(capsys)) == 1


def test_what_stands_behind_two_dashes_is_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert bpf_as(["--", "--json"]) == 1
    assert capsys.readouterr().err == "bpf-as: error: cannot read --json: No such file or directory\n"


def test_names_that_are_no_text_are_no_invalid_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert bpf_as(["--json", "\udcff.s"]) == 1
    (message,) = messages(capsys)
    assert message["message"] == "cannot read \ufffd.s: No such file or directory"


@pytest.mark.parametrize(("program", "main"), [("bpf-ld", bpf_ld), ("bpf-objdump", bpf_objdump)])
def test_other_commands(program: str, main: Any, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["-t"] if program == "bpf-objdump" else []
    assert main([*options, "--json", "missing.o"]) == 1
    (message,) = messages(capsys)
    assert (message["program"], message["message"]) == (
        program,
        "cannot read missing.o: No such file or directory",
    )


def test_the_loader(capsys: pytest.CaptureFixture[str]) -> None:
    assert bpf_load(["--json", "missing.o"]) == 1
    (message,) = messages(capsys)
    assert message["program"] == "bpf-load"


def test_a_place_in_an_object(capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.o").write_bytes(b"no object")
    assert bpf_ld(["--json", "a.o"]) == 1
    (message,) = messages(capsys)
    assert (message["file"], message["line"], message["place"]) == ("a.o", None, "a.o")
