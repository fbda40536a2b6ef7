"""The command: what is shown, as text and as JSON, and what is said of bad input."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpfas.asm import assemble
from bpfas.diag import BpfasError
from bpfas.elf.reader import read_object
from bpfas.elf.writer import write_object
from bpfas.isa import Dialect
from bpfas.objdump.cli import main
from bpfas.objdump.disassemble import disassemble

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = """
    .section maps,"aw",@progbits
    .globl table
    table: .long 1, 4, 8, 16
    .section xdp,"ax",@progbits
    .globl prog
    .type prog, @function
    prog:
        lddw %r1, %map(table)
        call helper
        mov %r0, 2
        exit
    .size prog, .-prog
    .bss
    .skip 8
"""


@pytest.fixture
def prog(tmp_path: Path) -> str:
    path = tmp_path / "prog.o"
    path.write_bytes(write_object(assemble(SOURCE)))
    return str(path)


def output(capfd: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> str:
    """What the command writes to standard output."""
    assert main(arguments) == status
    return capfd.readouterr().out


def test_tables(prog: str, capfd: pytest.CaptureFixture[str]) -> None:
    text = output(capfd, "-h", "-t", "-r", prog)
    assert text == f"{prog}: BPF object, little-endian\n" + TABLES


TABLES = """\
Sections: 3
  index  name  type      flags  size  align  relocations
      1  maps  progbits  aw       16      1            0
      2  xdp   progbits  ax       40      8            2
      3  .bss  nobits    aw        8      1            0
Symbols: 3
  value  size  type    binding  visibility  section  name
    0x0     0  notype  global   default     maps     table
    0x0    40  func    global   default     xdp      prog
    0x0     0  notype  global   default     *UNDEF*  helper
Relocations: 2
  section  offset  type         symbol  addend
  xdp         0x0  R_BPF_64_64  table        0
  xdp        0x10  R_BPF_64_32  helper       0
"""


def test_contents(prog: str, capfd: pytest.CaptureFixture[str]) -> None:
    text = output(capfd, "-s", prog)
    assert "Contents of section maps: 16 bytes\n  000000  01000000 04000000 08000000 10000000  ......" in text
    assert "Contents of section .bss: 8 zero bytes, not in the file" in text


@pytest.mark.parametrize("options", [["-d"], ["-D", "-htr"], ["-d", "-s", "--dialect=pseudoc"]])
def test_disassembly_is_source_whatever_else_is_shown(
    options: list[str], prog: str, capfd: pytest.CaptureFixture[str]
) -> None:
    again = assemble(output(capfd, *options, prog))
    found, expected = again.section("xdp"), assemble(SOURCE).section("xdp")
    assert found
    assert expected
    assert bytes(found.data) == bytes(expected.data)


def test_dialect(prog: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert "\n    mov %r0, 2 " in output(capfd, "-d", prog)
    assert "\n    r0 = 2 " in output(capfd, "-d", "--dialect=pseudoc", prog)


def test_json(prog: str, capfd: pytest.CaptureFixture[str]) -> None:
    (data,) = json.loads(output(capfd, "-h", "-t", "-r", "--json", prog))
    assert data["byte_order"] == "little"
    assert {"table", "prog", "helper"} <= {symbol["name"] for symbol in data["symbols"]}
    assert [relocation["type"] for relocation in data["relocations"]] == ["R_BPF_64_64", "R_BPF_64_32"]
    assert {"index", "name", "type", "flags", "size", "align", "relocations", "group", "link"} == data["sections"][
        0
    ].keys()


def test_help_fits_a_screen_and_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    text = capsys.readouterr().out
    assert caught.value.code == 0
    assert "examples:" in text
    assert len(text.splitlines()) <= 40


@pytest.mark.parametrize("arguments", [[], ["x.o"], ["-d"], ["-d", "--dialect=c", "x.o"]])
def test_wrong_usage_has_status_1(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith("bpf-objdump: error: ")
    assert error.endswith("try bpf-objdump --help\n")


def test_json_is_for_tables_only(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-d", "--json", "x.o"]) == 1
    assert json.loads(capsys.readouterr().err)["message"].startswith("--json goes with -h, -t and -r only")


def test_every_bad_file_is_named_and_the_good_ones_are_shown(
    prog: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text.o").write_text("no object")
    assert main(["-d", str(tmp_path / "missing.o"), prog, str(tmp_path / "text.o")]) == 1
    captured = capfd.readouterr()
    assert "prog:" in captured.out
    assert "missing.o: No such file or directory" in captured.err
    assert "text.o: error: is not an ELF file" in captured.err


@given(st.data())
def test_damaged_objects_are_refused_or_shown(data: st.DataObject) -> None:
    """A byte or two changed anywhere: either the reader says what is wrong or there is a disassembly."""
    contents = bytearray(write_object(assemble(SOURCE)))
    for _ in range(data.draw(st.integers(1, 3))):
        contents[data.draw(st.integers(0, len(contents) - 1))] = data.draw(st.integers(0, 255))
    try:
        obj = read_object(bytes(contents), "damaged.o")
    except BpfasError:
        return
    for dialect in Dialect:
        assert disassemble(obj, dialect, everything=True)
