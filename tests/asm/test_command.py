"""The command `bpf-as`: options, inputs, outputs, exit statuses, and inputs that are wrong in every way."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bpfas.asm.cli import main
from bpfas.elf.constants import ByteOrder
from bpfas.elf.reader import read_object

EXIT = bytes.fromhex("9500000000000000")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current directory with a.s, which is right, and wrong.s."""
    monkeypatch.chdir(tmp_path)
    Path("a.s").write_text("exit\n")
    Path("wrong.s").write_text("frobnicate\n")
    return tmp_path


def text_section(path: Path) -> bytes:
    section = read_object(path.read_bytes(), str(path)).section(".text")
    assert section
    return bytes(section.data)


def errors_of(source: str | bytes, capsys: pytest.CaptureFixture[str]) -> str:
    """What is said of a source that must be refused with status 1, and without an output."""
    Path("x.s").write_bytes(source if isinstance(source, bytes) else source.encode())
    assert main(["x.s", "-o", "x.o"]) == 1
    assert not Path("x.o").exists()
    return capsys.readouterr().err


def test_a_source_becomes_an_object(here: Path) -> None:
    assert main(["a.s", "-o", "a.o"]) == 0
    assert text_section(here / "a.o") == EXIT


def test_the_output_is_called_a_out_by_default(here: Path) -> None:
    assert main(["a.s"]) == 0
    assert text_section(here / "a.out") == EXIT


def test_several_sources_are_one_text(here: Path) -> None:
    Path("b.s").write_text("goto here\n.data")
    Path("c.s").write_text(".byte 7\n.text\nhere: exit\n")
    assert main(["b.s", "c.s", "-o", "bc.o"]) == 0
    assert text_section(here / "bc.o").hex() == "05000000000000009500000000000000"


def test_errors_of_several_sources_name_each(here: Path, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: ARG001
    Path("b.s").write_text("\nbogus\n")
    assert main(["wrong.s", "b.s"]) == 1
    places = [line.split(" ")[0] for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert places == ["wrong.s:1:1:", "b.s:2:1:"]


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("option", "order"),
    [
        ("-EL", ByteOrder.LITTLE),
        ("--EL", ByteOrder.LITTLE),
        ("-EB", ByteOrder.BIG),
        ("--EB", ByteOrder.BIG),
    ],
)
def test_byte_order(option: str, order: ByteOrder) -> None:
    assert main([option, "a.s", "-o", "a.o"]) == 0
    assert read_object(Path("a.o").read_bytes(), "a.o").byte_order is order


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("dialect", "allowed", "refused"), [("normal", "mov %r1, 1", "r1 = 1"), ("pseudoc", "r1 = 1", "mov %r1, 1")]
)
def test_a_dialect_can_be_demanded(
    dialect: str, allowed: str, refused: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("x.s").write_text(f"exit\n{allowed}\n")
    assert main([f"-mdialect={dialect}", "x.s"]) == 0
    Path("x.s").write_text(f"exit\n{refused}\n")
    assert main([f"-mdialect={dialect}", "x.s"]) == 1
    assert f"-mdialect={dialect} excludes this way to write the instruction" in capsys.readouterr().err


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("statement", "least"),
    [("jlt %r1, 1, +0", "v2"), ("w1 = 1; if w1 == 1 goto +0", "v3"), ("gotol +0", "v4"), ("brkpt", "xbpf")],
)
def test_a_version_of_the_instruction_set_can_be_demanded(statement: str, least: str) -> None:
    Path("x.s").write_text(f"{statement}\n")
    versions = ["v1", "v2", "v3", "v4", "xbpf"]
    statuses = [main([f"-misa-spec={version}", "x.s"]) for version in versions]
    assert statuses == [int(version < least) for version in versions]


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    "option",
    ["-mdialect=att", "-misa-spec=v9", "--frobnicate", "-EL -EB"],
    ids=["dialect", "isa", "other", "both"],
)
def test_a_wrong_option_is_refused(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*option.split(), "a.s"]) == 1
    assert option.split()[-1].partition("=")[0] in capsys.readouterr().err
    assert not Path("a.out").exists()


def run_as_process(*arguments: str, stdin: bytes) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "bpfas.asm", *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, check=False)


def test_standard_input_and_output() -> None:
    done = run_as_process("-", "-o", "-", stdin=b"exit\n")
    section = read_object(done.stdout, "out").section(".text")
    assert section
    assert (done.returncode, done.stderr, bytes(section.data)) == (0, b"", EXIT)


def test_errors_leave_nothing_on_standard_output() -> None:
    done = run_as_process("-o", "-", stdin=b"exit\nbogus\n")
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.startswith(b"<stdin>:2:1: error: unknown instruction `bogus`")


def test_a_missing_source_is_named(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["missing.s", "-o", "a.o"]) == 1
    assert capsys.readouterr().err == "bpf-as: error: cannot read missing.s: No such file or directory\n"
    assert sorted(os.listdir(here)) == ["a.s", "wrong.s"]


@pytest.mark.usefixtures("here")
def test_all_sources_that_cannot_be_read_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["missing.s", "a.s", "."]) == 1
    assert capsys.readouterr().err.splitlines() == [
        "bpf-as: error: cannot read missing.s: No such file or directory",
        "bpf-as: error: cannot read .: Is a directory",
    ]


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("path", ["no/such/directory.o", "."])
def test_an_output_that_cannot_be_written_is_named(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["a.s", "-o", path]) == 1
    assert capsys.readouterr().err.startswith(f"bpf-as: error: cannot write {path}: ")


def test_errors_leave_an_existing_output_as_it_was(here: Path) -> None:
    Path("a.o").write_text("before")
    assert main(["wrong.s", "-o", "a.o"]) == 1
    assert Path("a.o").read_text() == "before"
    assert sorted(os.listdir(here)) == ["a.o", "a.s", "wrong.s"]


def test_an_output_is_replaced_and_nothing_else_is_left(here: Path) -> None:
    Path("a.o").write_text("before")
    assert main(["a.s", "-o", "a.o"]) == 0
    assert text_section(here / "a.o") == EXIT
    assert sorted(os.listdir(here)) == ["a.o", "a.s", "wrong.s"]


def test_a_device_is_written_in_place() -> None:
    assert run_as_process("-o", "/dev/null", stdin=b"exit").returncode == 0
    assert not os.path.isfile("/dev/null")


def test_the_same_source_gives_the_same_bytes(here: Path) -> None:
    Path("a.s").write_text(".globl f, g\nf: call g\nr1 = m ll\n.data\nm: .quad f, g\n")
    assert main(["a.s", "-o", "1.o"]) == main(["a.s", "-o", "2.o"]) == 0
    assert (here / "1.o").read_bytes() == (here / "2.o").read_bytes()


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("source", [b"", b"\n\n", b"# nothing\n", b"\xef\xbb\xbfexit\n", b"\r\n"])
def test_sources_with_nothing_in_them_are_right(source: bytes) -> None:
    Path("x.s").write_bytes(source)
    assert main(["x.s", "-o", "x.o"]) == 0
    assert read_object(Path("x.o").read_bytes(), "x.o").e_flags == 0


@pytest.mark.usefixtures("here")
def test_bytes_that_are_no_text_may_stand_in_comments_and_strings() -> None:
    Path("x.s").write_bytes(b'.data # \xff\xfe\n.ascii "\xe4\xff"\n')
    assert main(["x.s", "-o", "x.o"]) == 0
    section = read_object(Path("x.o").read_bytes(), "x.o").section(".data")
    assert section
    assert bytes(section.data) == b"\xe4\xff"


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("source", "message"),
    [
        (b"exit\n\xff\n", r"x.s:2:1: error: unexpected `\udcff`"),
        (b"mov %r1, \0\n", r"x.s:1:10: error: unexpected `\x00`"),
        (b"\x1b[31m\n", r"x.s:1:1: error: unexpected `\x1b[31m`"),
        (b"exit /* open\nexit\n", "x.s:1:6: error: the comment has no end `*/`"),
        (b'.ascii "open\nexit\n', "x.s:1:8: error: the string has no closing quote"),
        (b".zero 1<<40\n", "x.s:1:7: error: section `.text` would get 1099511627776 more bytes"),
        (b".fill 1<<40, 8, 1\n", "x.s:1:7: error: section `.text` would get 8796093022208 more bytes"),
        (b".fill -1\n", "x.s:1:7: error: the count -1 is negative"),
        (b".bss\n.zero 1<<62; .zero 1<<62\n", "x.s:2:20: error: section `.bss` would get"),
        (b"exit; .org 1<<40\n", "x.s:1:12: error: section `.text` would get"),
        (b"exit; .p2align 31\n", "x.s:1:16: error: alignment 2^31 is out of range"),
        (b".lcomm a, 1<<62; .lcomm b, 1\n", "x.s:1:18: error: section `.bss` would get 1 more bytes"),
        (b".quad " + b"(" * 10000 + b"1" + b")" * 10000, "the expression is nested more than 200 levels deep"),
        (b".quad " + b"(" * 10000, "unexpected end of the statement; expected"),
        (b".quad " + b"-" * 10000 + b"x", "the expression is nested more than 200 levels deep"),
        (b".quad 1" + b"+(1" * 10000 + b")" * 10000, "the expression is nested more than 200 levels deep"),
        (b".quad 0x" + b"f" * 10000, "a number may have 1000 characters, not 10002"),
        (b"mov %r" + b"1" * 10000 + b", 1", "there is no register with a number of 10000 digits"),
        (b".set a, b; .set b, a; .quad a", "symbol `a` is defined by itself"),
        (b".set a, b+4; .quad b-a; .set c, a; .set b, c", "symbol `b` is defined by itself: b -> c -> a -> b"),
        (b".set a, a + 1", "symbol `a` is defined by itself"),
        (b"f: .size f, -1", "its size is -1, which is negative"),
        (b'.section x,"a",0x1ffffffff', "a section cannot be given the type 0x1ffffffff"),
        (b'.section x,"a",2', "a section cannot be given the type 0x2"),
        (b'.section x,"aM",@progbits,-1', "the entry size is -1, but may be 1 to 4294967294"),
        (b'.section "a\\0b"', "a name cannot be empty or have control characters"),
        (b'.globl ""', "a name cannot be empty or have control characters"),
        (b'.file "\\000"', "a name cannot be empty or have control characters"),
        (b".: exit", "`.` is no symbol"),
    ],
)
def test_input_that_is_wrong(source: bytes, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert message in errors_of(source, capsys)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    "line",
    [b"a" * 1000000, b'"' * 999999, b'\\"' * 500000, b"r1 = 1;" * 1000 + b"x", b".byte " + b"1," * 20000 + b"$"],
    ids=["a word", "quotes", "escaped quotes", "statements", "numbers"],
)
def test_long_lines_that_are_wrong(line: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    message = errors_of(line, capsys)
    assert message.startswith("x.s:1:")
    assert len(message) < 3000


def test_symbols_set_to_sums_of_one_another_have_a_value(here: Path) -> None:
    """Each value is found once: there are 2 to the power of 60 ways down."""
    sums = "\n".join(f".set a{n}, a{n - 1} + a{n - 1}" for n in range(1, 61))
    (here / "x.s").write_text(f"{sums}\n.set a0, 1\n.quad a60\n")
    assert main(["-EB", "x.s", "-o", "x.o"]) == 0
    assert text_section(here / "x.o") == (1 << 60).to_bytes(8)


@pytest.mark.usefixtures("here")
def test_everything_wrong_is_reported_in_one_run_in_the_order_of_the_source(
    capsys: pytest.CaptureFixture[str],
) -> None:
    source = """\
r1 = r99
call .Lnowhere
mov %r1, 0x1ffffffff
bogus %r1
.bogus
x: exit
x: exit
.byte 1 2
.long y - x
goto 5b
.quad "text"
r1 += 5 5
.popsection
.short x
"""
    lines = [
        int(line.split(":")[1])
        for line in errors_of(source, capsys).splitlines()
        if line.startswith("x.s:") and ": error: " in line
    ]
    assert lines == [1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14]


def test_standard_input_is_named_in_messages(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"bogus")))
    assert main([]) == 1
    assert capsys.readouterr().err.startswith("<stdin>:1:1: error: ")


def test_help_fits_a_screen_and_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert len(text.splitlines()) <= 40
    assert "bpf-as prog.s -o prog.o" in text


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("option", ["--version", "-version"])
def test_version(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([option, "a.s"]) == 0
    assert capsys.readouterr().out.startswith("bpf-as ")
    assert not Path("a.out").exists()


def test_an_output_that_is_an_input_is_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["a.s", "-o", f"../{here.name}/a.s"]) == 1
    assert "is also an input; it would be overwritten" in capsys.readouterr().err
    assert Path("a.s").read_text() == "exit\n"


@pytest.mark.usefixtures("here")
def test_an_object_is_no_source(capsys: pytest.CaptureFixture[str]) -> None:
    errors = errors_of(b"\x7fELF\x02\x01" + bytes(1000), capsys)
    assert errors == "x.s: error: is an object, not a source; bpf-ld links objects, bpf-objdump -d shows them\n"


@pytest.mark.parametrize("package", ["asm", "link", "loader", "objdump"])
def test_every_command_runs_as_a_package(package: str) -> None:
    command = [sys.executable, "-m", f"bpfas.{package}", "--help"]
    assert subprocess.run(command, capture_output=True, check=True).stdout.startswith(b"usage: bpf-")


def test_a_full_device_is_an_error(here: Path) -> None:
    assert main(["a.s", "-o", "a.o"]) == 0
    with open("/dev/full", "wb") as full:
        command = [sys.executable, "-m", "bpfas.objdump", "-d", str(here / "a.o")]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr) == (1, b"bpf-objdump: error: cannot write -: No space left on device\n")


def test_a_closed_standard_output_is_an_error(here: Path) -> None:
    script = f"{sys.executable} -m bpfas.asm a.s -o - >&-"
    done = subprocess.run(["/bin/sh", "-c", script], cwd=here, capture_output=True, check=False, text=True)
    assert (done.returncode, done.stderr) == (1, "bpf-as: error: cannot write -: standard output is closed\n")
