"""The options of bpf-as that GNU as has too: how they are written, what they do, and which are refused."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis.strategies import builds, lists, sampled_from, text

from bpfas.asm.cli import main
from bpfas.asm.command_line import LONG_OPTIONS, REFUSED_OPTIONS, SHORT_OPTIONS, parse
from bpfas.diag import BpfasError
from bpfas.elf.reader import read_object
from tests.peers import Peer

if TYPE_CHECKING:
    from bpfas.objfile import ObjectFile

IGNORED = [
    "-D",
    "-f",
    "-J",
    "-K",
    "-w",
    "-X",
    "-Z",
    "-DfJK",
    "--gdwarf-sections",
    "--info",
    "--no-info",
    "-no-pad-sections",
    "--nocompress-debug-sections",
    "-nocpp",
    "--noexecstack",
    "--reduce-memory-overheads",
    "--traditional-format",
    "--hash-size=77",
    "--hash-size",
    "77",
    "--compress-debug-sections",
    "--compress-debug-sections=zlib",
    "--gdwarf-cie-version=3",
    "--elf-stt-common=no",
    "--generate-missing-build-notes=no",
    "--multibyte-handling=allow",
]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current directory with a.s."""
    monkeypatch.chdir(tmp_path)
    Path("a.s").write_text("f: exit\n.set k, 4\n.Llabel: ja .Llabel\n")
    return tmp_path


def assembled(*arguments: str, source: str | None = None) -> ObjectFile:
    """The object that the arguments make of a.s."""
    if source is not None:
        Path("a.s").write_text(source)
    assert main([*arguments, "-EL", "a.s"]) == 0
    return read_object(Path("a.out").read_bytes(), "a.out")


def names(obj: ObjectFile) -> list[str]:
    return [symbol.name for symbol in obj.symbols]


def code(obj: ObjectFile, name: str = ".text") -> str:
    section = obj.section(name)
    assert section
    return bytes(section.data).hex()


def test_options_that_change_nothing() -> None:
    plain = assembled()
    other = assembled(*IGNORED)
    assert (code(other), names(other)) == (code(plain), names(plain))


@pytest.mark.peer
def test_gnu_as_takes_the_options_that_change_nothing() -> None:
    later = {"--info", "--no-info"}  # than version 2.40
    not_for_bpf = {"-K", "-DfJK"}
    theirs = [option for option in IGNORED if option not in later | not_for_bpf]
    Peer.GNU_AS.run(*theirs, "-o", "gnu.o", "a.s")


@pytest.mark.parametrize("options", [["-oa.o"], ["-o", "a.o"], ["-Wf", "-oa.o"]])
def test_the_argument_of_a_short_option_may_be_joined(options: list[str]) -> None:
    assert main([*options, "a.s"]) == 0
    assert Path("a.o").exists()


@pytest.mark.parametrize("options", [["-Iinc"], ["-I", "inc"], ["-I", "other", "-Iinc"]])
def test_included_files_are_looked_for(options: list[str]) -> None:
    Path("inc").mkdir()
    Path("inc/one.i").write_text("r1 = 1\n")
    assert code(assembled(*options, source='.include "one.i"\n')) == "b701000001000000"


def test_symbols_of_the_command_line_are_expressions() -> None:
    source = ".quad A, B\n.ifdef A\n.quad 9\n.endif\n"
    obj = assembled("--defsym", "A=1+2*3", "--defsym=B=A<<4", source=source)
    assert code(obj) == "".join(number.to_bytes(8, "little").hex() for number in (7, 0x70, 9))
    assert names(obj) == ["A", "B"]


@pytest.mark.parametrize(
    ("definition", "message"),
    [
        ("A", "bpf-as: error: --defsym A: a definition is written NAME=VALUE"),
        ("A=", "--defsym:1:3: error: unexpected end of the statement"),
        ("A=B", "--defsym:1:3: error: the value must be a number that is known here"),
        ("r1=5", "--defsym:1:1: error: a definition is written NAME=VALUE, where NAME is no register"),
        ("A=1;B=2", "--defsym:1:4: error: unexpected `;`"),
        (".=2", "--defsym:1:1: error: a definition is written NAME=VALUE"),
        ("A=1/0", "--defsym:1:3: error: division by zero"),
    ],
)
def test_definitions_that_are_wrong(definition: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--defsym", definition, "a.s"]) == 1
    assert message in capsys.readouterr().err


def test_all_wrong_options_are_reported_in_one_run(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        "--fatal-warning", "-mdialect=att", "--statistics=3", "-Q", "--listing-lhs-width=0", "--MD=",
        "--debug-prefix-map=a", "--gdwarf-9", "-M", "-o",
    ]  # fmt: skip
    assert main(arguments) == 1
    assert capsys.readouterr().err.splitlines() == [
        f"bpf-as: error: {message}"
        for message in (
            "unknown option `--fatal-warning`; did you mean `--fatal-warnings`?",
            "-mdialect=att: `att` is not one of normal, pseudoc",
            "--statistics=3: this option takes no argument",
            "unknown option `-Q`; try --help",
            "--listing-lhs-width=0: `0` is not a number from 1 to 999999",
            "--MD=: the FILE is empty",
            "--debug-prefix-map=a: a map is written OLD=NEW",
            "unknown option `--gdwarf-9`; did you mean `--gdwarf-5`?",
            "-M is not supported: it is for sources of a 68000 assembler",
            "-o needs an argument (FILE); try --help",
        )
    ]


def test_wrong_definitions_and_files_are_reported_in_one_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--defsym", "A=", "missing.s"]) == 1
    errors = capsys.readouterr().err
    assert "--defsym:1:3: error" in errors
    assert "cannot read missing.s" in errors


def test_every_option_is_documented() -> None:
    documented = (Path(__file__).parent.parent.parent / "docs" / "options.md").read_text()
    between = {"gdwarf-3", "gdwarf-4"}
    for name in {*LONG_OPTIONS, *SHORT_OPTIONS, *REFUSED_OPTIONS} - between:
        assert re.search(rf"`-{{1,2}}{re.escape(name)}(?![\w-])", documented), name


def test_two_dashes_end_the_options() -> None:
    Path("-a.s").write_text("exit\n")
    assert main(["-o", "a.o", "--", "-a.s"]) == 0


@pytest.mark.parametrize(
    ("options", "version"),
    [
        ([], None),
        (["-g"], 5),
        (["--gen-debug"], 5),
        (["-g", "-gdwarf-4"], 4),
        (["-gdwarf-4", "-g"], 4),
        (["--gdwarf-2"], 2),
        (["-gdwarf-3"], 3),
    ],
)
def test_the_version_of_debug_information(options: list[str], version: int | None) -> None:
    assert parse([*options, "a.s"]).debug_version == version


def test_prefixes_are_mapped_in_the_order_given() -> None:
    command = parse(["--debug-prefix-map", "/a=/b", "--debug-prefix-map=c=d=e"])
    assert command.debug_prefixes == [("/a", "/b"), ("c", "d=e")]


def test_local_labels_are_kept_on_demand() -> None:
    assert names(assembled()) == ["f", "k"]
    assert names(assembled("-L")) == names(assembled("--keep-locals")) == ["f", "k", ".Llabel"]


def test_names_of_numbers_are_stripped_on_demand() -> None:
    source = ".set k, 4\n.local l\nl = 5\n.globl g\ng = 6\nf: exit\n.set e, f\n"
    assert names(assembled("--strip-local-absolute", source=source)) == ["f", "e", "g"]


def test_a_size_that_is_no_number_can_be_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    source = "f: exit\n.size f, elsewhere\n"
    (symbol,) = assembled("--size-check=warning", source=source).symbols
    assert (symbol.name, symbol.st_size) == ("f", 0)
    assert "warning: f: its size is not a number but the address of `elsewhere`" in capsys.readouterr().err
    assert main(["--size-check=error", "a.s"]) == 1


def test_names_of_sections_are_substituted_on_demand() -> None:
    source = (
        '.section xdp,"ax"\n.pushsection %S.cold,"ax"\n.byte 1\n.popsection\n.section "%S.hot","ax"\n.byte 2\n'
    )
    sections = [section.name for section in assembled("--sectname-subst", source=source).sections]
    assert sections == ["xdp.cold", "xdp.hot"]
    assert [section.name for section in assembled(source=source).sections] == ["%S.cold", "%S.hot"]


def test_reading_can_begin_in_the_alternate_mode() -> None:
    source = ".macro m n\n.byte n\n.endm\nm %1+1\n"
    assert code(assembled("--alternate", source=source)) == "02"


def test_the_version_can_be_shown_before_going_on(capsys: pytest.CaptureFixture[str]) -> None:
    assembled("-v")
    captured = capsys.readouterr()
    assert captured.err.startswith("bpf-as ")
    assert captured.out == ""


def test_statistics_go_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    assembled("--statistics")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("bpf-as: total time in assembly: ")
    assert "bpf-as: symbols: 2; relocations: 0" in lines


# Warnings

WARNING = '.warning "mind this"\nexit\n'


def test_warnings_are_shown_and_do_no_harm(capsys: pytest.CaptureFixture[str]) -> None:
    assert code(assembled(source=WARNING)) == "9500000000000000"
    assert capsys.readouterr().err.startswith("a.s:1:1: warning: mind this\n")


@pytest.mark.parametrize("options", [["-W"], ["--no-warn"], ["--fatal-warnings", "-W"], ["--warn", "-W"]])
def test_warnings_can_be_silent(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assembled(*options, source=WARNING)
    assert capsys.readouterr().err == ""


def test_warnings_are_silent_beside_errors_too(capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.s").write_text(f"{WARNING}bogus\n")
    assert main(["-W", "a.s"]) == 1
    errors = capsys.readouterr().err
    assert "mind this" not in errors
    assert "bogus" in errors


def test_fatal_warnings_leave_no_output(capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.s").write_text(WARNING)
    assert main(["--fatal-warnings", "--MD", "a.d", "a.s"]) == 1
    errors = capsys.readouterr().err.splitlines()
    assert errors[0] == "a.s:1:1: warning: mind this"
    assert errors[-1] == "bpf-as: error: --fatal-warnings takes the warning for an error"
    assert not Path("a.out").exists()
    assert not Path("a.d").exists()
    assert main(["--fatal-warnings", "--warn", "a.s"]) == 0


def test_code_that_is_no_whole_number_of_instructions_is_warned_of(capsys: pytest.CaptureFixture[str]) -> None:
    assembled(source='.section xdp,"ax"\nexit\n.byte 1\n')
    assert capsys.readouterr().err.startswith(
        "a.s:1:1: warning: section `xdp` is for code, but its 9 bytes are no whole number of 8-byte instructions\n"
    )
    assembled(source="exit\n.data\n.byte 1\n")
    assert capsys.readouterr().err == ""


# Dependencies


def test_the_rule_for_make_names_all_files() -> None:
    Path("sub").mkdir()
    Path("sub/b.i").write_text('.include "c.i"\n')
    Path("sub/c.i").write_text("exit\n")
    Path("b.s").write_text('.include "sub/b.i"\n.include "sub/c.i"\n')
    assert main(["--MD", "a.d", "-o", "a.o", "a.s", "b.s"]) == 0
    assert Path("a.d").read_text() == "a.o: a.s b.s sub/b.i sub/c.i\n"


@pytest.mark.peer
def test_the_rule_for_make_is_written_as_gnu_as_writes_it() -> None:
    included = [f"some dir/file${number}:x.i" for number in range(12)]
    Path("some dir").mkdir()
    for name in included:
        Path(name).touch()
    Path("a.s").write_text("".join(f'.include "{name}"\n' for name in included))
    assert main(["--MD", "ours.d", "-o", "a.o", "a.s"]) == 0
    Peer.GNU_AS.run("--MD", "theirs.d", "-o", "a.o", "a.s")

    def files(path: str) -> set[str]:
        text = Path(path).read_text()
        assert max(map(len, text.splitlines())) <= 72
        return set(text.replace(" \\\n", " ").split("some\\ "))

    ours, theirs = files("ours.d"), files("theirs.d")
    assert {name.strip() for name in ours} >= {f"dir/file$${number}:x.i" for number in range(12)}
    assert {name.replace("a.s", "").strip() for name in ours} == {
        name.replace("a.s", "").strip() for name in theirs
    }


def test_errors_leave_no_rule() -> None:
    Path("a.s").write_text("bogus\n")
    assert main(["--MD", "a.d", "a.s"]) == 1
    assert not Path("a.d").exists()


@pytest.mark.parametrize("option", ["-o", "--MD"])
def test_an_included_file_is_not_overwritten(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("b.i").write_text("exit\n")
    Path("a.s").write_text('.include "b.i"\n')
    assert main([option, "b.i", "a.s"]) == 1
    assert "the output b.i is also an input" in capsys.readouterr().err
    assert Path("b.i").read_text() == "exit\n"


def test_outputs_do_not_overwrite_one_another(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-o", "x", "--MD", "x", "a.s"]) == 1
    assert "x is the file of two outputs" in capsys.readouterr().err
    assert not Path("x").exists()


@pytest.mark.peer
@pytest.mark.parametrize(
    "options",
    [
        "-g -v",
        "-w -gz",
        "-mxbpf -pipe",
        "-mbig-endian",
        "-Wa,--fatal-warnings,-L,--MD,c.d",
        "-I inc -x assembler-with-cpp",
    ],
)
def test_gcc_calls_with_options_that_are_taken(options: str) -> None:
    Path("tools").mkdir()
    wrapper = Path("tools/as")
    wrapper.write_text(f'#!/bin/sh\nexec {sys.executable} -m bpfas.asm "$@"\n')
    wrapper.chmod(0o755)
    Path("inc").mkdir()
    Path("c.c").write_text("" if "assembler" in options else "int g; int f(int a) { return a + g; }\n")
    Peer.GCC.run("-B", "tools/", *options.split(), "-c", "c.c", "-o", "c.o")
    assert read_object(Path("c.o").read_bytes(), "c.o")
    if "--MD" in options:
        assert Path("c.d").read_text().startswith("c.o: ")


WORDS = sampled_from([*LONG_OPTIONS, *SHORT_OPTIONS, *REFUSED_OPTIONS, "a", "aln", "-", "x.s", "A=1", ""])
ARGUMENTS = lists(
    builds("{}{}{}".format, sampled_from(["", "-", "--"]), WORDS, sampled_from(["", "=", "=1"]) | text())
)


@given(ARGUMENTS)
def test_arguments_are_taken_or_refused(arguments: list[str]) -> None:
    try:
        command = parse(arguments)
    except BpfasError:
        return
    assert set(command.sources) <= set(arguments)


@pytest.mark.peer
def test_data_is_folded_into_text(tmp_path: Path) -> None:
    source, output = str(tmp_path / "x.s"), str(tmp_path / "x.o")
    Path(source).write_text(
        ".text\n.byte 1\n.data\n.byte 2\n.data 1\n.byte 4\n.data\na: .byte 3\n.text\n.byte 5\n"
        ".section .data\n.byte 6\n.lcomm x, 4\n"
    )

    def contents() -> bytes:
        obj = read_object(Path(output).read_bytes(), output)
        text, data = obj.section(".text"), obj.section(".data")
        assert text is not None
        assert data is None or not data.data
        return bytes(text.data)

    assert main(["-EL", "-R", source, "-o", output]) == 0
    assert contents() == b"\1\5\2\3\4\6"
    Peer.GNU_AS.run("-EL", "-R", source, "-o", output)
    assert contents() == b"\1\5\2\3\4\6"
