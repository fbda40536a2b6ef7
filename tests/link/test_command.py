"""The command `bpf-ld`: options, inputs, outputs, exit statuses."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bpfas.elf.constants import ByteOrder
from bpfas.elf.reader import read_object
from bpfas.elf.writer import write_object
from bpfas.link.cli import main
from tests.link.builders import CALL, EXIT, call, code, extern, glob, obj, relocated

if TYPE_CHECKING:
    from bpfas.objfile import ObjectFile


def user() -> ObjectFile:
    return obj("a.o", relocated(code("xdp", call(), EXIT), (0, CALL, extern("helper"))))


def helper() -> ObjectFile:
    text = code()
    return obj("b.o", text, glob("helper", text))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current directory with a.o, which uses what b.o defines."""
    monkeypatch.chdir(tmp_path)
    for made in (user(), helper()):
        Path(made.name).write_bytes(write_object(made))
    return tmp_path


def test_two_objects_become_one(here: Path) -> None:
    assert main(["a.o", "b.o", "-o", "app.o"]) == 0
    linked = read_object((here / "app.o").read_bytes(), "app.o")
    assert [section.name for section in linked.sections] == ["xdp", ".text"]


def test_the_output_is_called_a_out_by_default(here: Path) -> None:
    assert main(["a.o", "b.o"]) == 0
    assert (here / "a.out").exists()


def test_the_same_inputs_give_the_same_bytes(here: Path) -> None:
    main(["a.o", "b.o", "-o", "1.o"])
    main(["a.o", "b.o", "-o", "2.o"])
    assert (here / "1.o").read_bytes() == (here / "2.o").read_bytes()


def test_a_failed_link_leaves_the_output_as_it_was(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "app.o").write_text("before")
    assert main(["a.o", "-o", "app.o"]) == 1
    assert (here / "app.o").read_text() == "before"
    assert sorted(os.listdir(here)) == ["a.o", "app.o", "b.o"]
    assert capsys.readouterr().err == (
        "bpf-ld: error: undefined symbol: helper\n>>> referenced by a.o:(xdp+0x0)\n"
    )


@pytest.mark.parametrize("option", [["-r"], ["--relocatable"], ["--unresolved-symbols=ignore-all"]])
def test_names_may_stay_undefined_when_asked_for(here: Path, option: list[str]) -> None:
    assert main([*option, "a.o"]) == 0
    assert (here / "a.out").exists()


@pytest.mark.parametrize("option", ["--no-undefined", "--unresolved-symbols=report-all"])
def test_undefined_names_are_errors_even_with_r_when_asked_for(here: Path, option: str) -> None:
    assert main(["-r", option, "a.o"]) == 1
    assert not (here / "a.out").exists()


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("option", [["-z", "muldefs"], ["-zmuldefs"], ["--allow-multiple-definition"]])
def test_the_first_of_two_definitions_is_taken_when_asked_for(option: list[str]) -> None:
    assert main(["b.o", "b.o"]) == 1
    assert main([*option, "b.o", "b.o"]) == 0


@pytest.mark.usefixtures("here")
def test_an_unknown_option_is_refused_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["a.o", "b.o", "--frobnicate"]) == 1
    assert capsys.readouterr().err == ("bpf-ld: error: unrecognized arguments: --frobnicate; try bpf-ld --help\n")


def test_a_link_of_nothing_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 1
    assert capsys.readouterr().err == "bpf-ld: error: no input files\n"


@pytest.mark.usefixtures("here")
def test_all_inputs_that_cannot_be_read_are_reported_in_one_run(capsys: pytest.CaptureFixture[str]) -> None:
    Path("text.o").write_text("exit\n")
    assert main(["missing.o", "text.o", "a.o", "gone.o"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "bpf-ld: error: cannot read missing.o: No such file or directory"
    assert lines[1].startswith("text.o: error: is not an ELF file")
    assert lines[2] == "bpf-ld: error: cannot read gone.o: No such file or directory"


@pytest.mark.usefixtures("here")
def test_an_output_that_cannot_be_written_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["a.o", "b.o", "-o", "no/such/dir.o"]) == 1
    assert "cannot write no/such/dir.o: No such file or directory" in capsys.readouterr().err


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(("option", "other"), [("-EB", "little"), ("-EL", "big")])
def test_a_byte_order_that_was_asked_for_is_checked(
    option: str, other: str, capsys: pytest.CaptureFixture[str]
) -> None:
    order = ByteOrder.LITTLE if other == "little" else ByteOrder.BIG
    Path("x.o").write_bytes(write_object(obj("x.o", code(), order=order)))
    assert main([option, "x.o"]) == 1
    assert capsys.readouterr().err == f"x.o: error: is {other}-endian, but {option} was given\n"
    assert main(["-EL" if order is ByteOrder.LITTLE else "-EB", "x.o"]) == 0


def test_standard_input_and_output(here: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bpfas.link", "-", here / "b.o", "-o", "-"],
        input=(here / "a.o").read_bytes(),
        capture_output=True,
        check=True,
    )
    assert [section.name for section in read_object(done.stdout, "out").sections] == ["xdp", ".text"]


def test_standard_input_is_named_in_messages(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"garbage")))
    assert main(["-"]) == 1
    assert capsys.readouterr().err.startswith("<stdin>: error: is not an ELF file")


def test_help_fits_a_screen_and_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["--help"])
    text = capsys.readouterr().out
    assert exit_.value.code == 0
    assert len(text.splitlines()) <= 40
    assert "bpf-ld main.o helpers.o -o app.o" in text


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["--version"])
    assert exit_.value.code == 0
    assert capsys.readouterr().out.startswith("bpf-ld ")


def test_v_prints_the_version_and_goes_on(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-v"]) == 0
    assert main(["-v", "a.o", "b.o"]) == 0
    assert capsys.readouterr().err.count("bpf-ld ") == 2
    assert (here / "a.out").exists()
