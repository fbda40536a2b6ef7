"""What `-g` makes of a source: other tools find the lines of its instructions, and a unit without fault."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any

import pytest
from elftools.elf.elffile import ELFFile

from bpfas.asm import Options, Reading, assemble_sources
from bpfas.diag import BpfasError, Source
from bpfas.elf.constants import ByteOrder
from bpfas.elf.reader import read_object
from bpfas.elf.writer import write_object
from bpfas.link.linker import link
from bpfas.loader import load
from tests.peers import Peer

if TYPE_CHECKING:
    from pathlib import Path

VERSIONS = [2, 3, 4, 5]
every_version = pytest.mark.parametrize("version", VERSIONS)
every_order = pytest.mark.parametrize("order", ByteOrder)

SOURCE = """\
.globl first
.type first, @function
first:
    mov %r1, 1
    .byte 0, 0, 0, 0, 0, 0, 0, 0
inner: mov %r2, 2; mov %r3, 3
.Lhidden:
    exit
.size first, . - first
.macro twice register
    mov \\register, 1
    mov \\register, 2
.endm
    twice %r4
.macro wrapped
    twice %r5
.endm
    wrapped
.rept 2
    mov %r6, 6
    twice %r7
.endr
.irp register, %r1, %r2
    mov \\register, 3
.endr
    .include "sub.inc"
    mov %r0, 0
# 90 "other.c"
    mov %r0, 1
    exit
.section other, "ax"
    mov %r0, 2
# 40 ""
    exit
.data
.quad first
"""
INCLUDED = """\
# nothing
    mov %r8, 8
    twice %r9
"""
TEXT_LINES = [
    *(("main.s", 4), ("main.s", 6), ("main.s", 6), ("main.s", 8), ("main.s", 14), ("main.s", 14)),
    *(("main.s", 18), ("main.s", 18)),
    *[("main.s", 20), ("main.s", 21), ("main.s", 21)] * 2,
    *(("main.s", 24), ("main.s", 24), ("sub.inc", 2), ("sub.inc", 3), ("sub.inc", 3), ("main.s", 27)),
    *(("other.c", 90), ("other.c", 91)),
]
OTHER_LINES = [("other.c", 93), ("main.s", 34)]


def assembled(
    text: str,
    version: int | None = 5,
    order: ByteOrder = ByteOrder.LITTLE,
    *,
    name: str = "main.s",
    prefixes: tuple[tuple[str, str], ...] = (),
    reading: Reading = Reading.BEST,
) -> bytes:
    options = Options(order, debug_version=version, debug_prefixes=prefixes, reading=reading)
    return write_object(assemble_sources([Source(name, text)], "main.o", options).object_file)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory to work in that has the source and what it includes."""
    (tmp_path / "main.s").write_text(SOURCE)
    (tmp_path / "sub.inc").write_text(INCLUDED)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def rows(obj: bytes) -> list[list[tuple[int, str, int]]]:
    """Address, file and line of every row, by sequence, as LLVM reads them."""
    dumped = Peer.LLVM_DWARFDUMP.run("--debug-line", "-", stdin=obj).text
    names = {int(number): name for number, name in re.findall(r'file_names\[ *(\d+)\]:\n +name: "(.*)"', dumped)}
    sequences: list[list[tuple[int, str, int]]] = [[]]
    for row in re.findall(r"^0x[0-9a-f]{16} .*$", dumped, re.MULTILINE):
        address, line, column, file, _ = row.split(maxsplit=4)
        if "end_sequence" in row:
            sequences.append([])
        else:
            assert "is_stmt" in row
            assert column == "0"
            sequences[-1].append((int(address, 16), names[int(file)], int(line)))
    return sequences[:-1]


def without_repeats(sequence: list[tuple[int, str, int]]) -> list[tuple[int, str, int]]:
    """The rows that say something new."""
    return [row for index, row in enumerate(sequence) if not index or row[1:] != sequence[index - 1][1:]]


@pytest.mark.peer
@every_order
@every_version
@pytest.mark.parametrize("reading", [Reading.PLAIN, Reading.SHAPES, Reading.BATCHES])
@pytest.mark.usefixtures("here")
def test_every_instruction_has_the_line_that_it_stands_on(
    version: int, order: ByteOrder, reading: Reading
) -> None:
    text, other = rows(assembled(SOURCE, version, order, reading=reading))
    assert [row[1:] for row in text] == TEXT_LINES
    assert [row[1:] for row in other] == OTHER_LINES
    # The datum behind the first instruction has no row.
    assert [row[0] for row in text] == [0, *range(16, 8 * len(TEXT_LINES) + 8, 8)]


@pytest.mark.peer
def test_the_lines_are_gnus(here: Path) -> None:
    # To GNU as 2.40 the one is a file without a name, and the other a comment.
    text = SOURCE.replace('# 40 ""', "#").replace("; mov %r3, 3", "")
    (here / "main.s").write_text(text)
    Peer.GNU_AS.run("-g", "-EL", "main.s", "-o", "gnu.o")
    theirs = rows((here / "gnu.o").read_bytes())
    assert [without_repeats(sequence) for sequence in rows(assembled(text, 3))] == theirs


@pytest.mark.peer
@every_order
@pytest.mark.parametrize("version", [4, 5])
def test_the_lines_are_llvms(version: int, order: ByteOrder, here: Path) -> None:
    text = """\
.macro twice
    r1 = 1
    r2 = 2
.endm
start:
    r0 = 0
    twice
    r4 = 5 ll; r5 = 5
    .fill 300, 8, 0
    twice
# 200 "other.c"
    r0 = 1
    exit
.section other,"ax"
    exit
"""
    if version == 5:  # LLVM takes any line marker to name the main file
        text = text.replace('# 200 "other.c"', "#")
    (here / "main.s").write_text(text)
    triple = f"-triple=bpf{'el' if order is ByteOrder.LITTLE else 'eb'}"
    theirs = Peer.LLVM_MC.run(triple, "-g", f"-dwarf-version={version}", "-filetype=obj", "main.s").output
    assert rows(assembled(text, version, order)) == rows(theirs)


@pytest.mark.peer
@every_order
@every_version
@pytest.mark.usefixtures("here")
def test_llvm_finds_no_fault(version: int, order: ByteOrder) -> None:
    verified = Peer.LLVM_DWARFDUMP.run("--verify", "-", stdin=assembled(SOURCE, version, order))
    assert "No errors" in verified.text
    assert "warning" not in verified.text + verified.errors


@pytest.mark.peer
@every_version
def test_tools_show_the_source(version: int, here: Path) -> None:
    path = here / "main.o"
    path.write_bytes(assembled(SOURCE, version))
    assert "; inner: mov %r2, 2; mov %r3, 3" in Peer.LLVM_OBJDUMP.run("-d", "-S", path).text
    assert f"; {here}/sub.inc:3" in Peer.LLVM_OBJDUMP.run("-d", "-l", path).text
    shown = Peer.GNU_OBJDUMP.run("-d", "-l", path).text
    assert f"{here}/main.s:14\n" in shown
    assert f"{here}/sub.inc:2\n" in shown
    asked = Peer.LLVM_SYMBOLIZER.run(f"--obj={path}", "0x0", "0x80", "0x88").text
    assert asked.split()[1::2] == [f"{here}/main.s:4:0", f"{here}/main.s:24:0", f"{here}/sub.inc:2:0"]


@every_order
@every_version
@pytest.mark.usefixtures("here")
def test_pyelftools_reads_rows_and_functions(version: int, order: ByteOrder) -> None:
    unit = only_unit(assembled(SOURCE, version, order))
    program = unit.dwarfinfo.line_program_for_CU(unit)
    states = [entry.state for entry in program.get_entries() if entry.state and not entry.state.end_sequence]
    first = 0 if version == 5 else 1
    names = [program["file_entry"][state.file - first].name.decode() for state in states]
    lines = [state.line for state in states]
    assert list(zip(names, lines, strict=True)) == TEXT_LINES + OTHER_LINES
    assert not any(state.address % 8 for state in states)
    _, function = unit.get_top_DIE().iter_children()
    assert named(function) == ("DW_TAG_subprogram", b"first", 3)
    assert function.attributes["DW_AT_high_pc"].value == 40
    assert [named(child) for child in function.iter_children()] == [("DW_TAG_label", b"inner", 6)]


def only_unit(obj: bytes) -> Any:  # pyelftools has no types
    """The compile unit of an object with one."""
    (unit,) = ELFFile(io.BytesIO(obj)).get_dwarf_info().iter_CUs()
    return unit


def named(entry: Any) -> tuple[str, bytes, int]:
    attributes = entry.attributes
    return entry.tag, attributes["DW_AT_name"].value, attributes["DW_AT_decl_line"].value


@pytest.mark.usefixtures("here")
def test_without_the_option_there_is_nothing_for_debuggers() -> None:
    sections = read_object(assembled(SOURCE, None), "main.o").sections
    assert not [section.name for section in sections if section.name.startswith(".debug")]


def test_a_source_without_instructions_has_no_unit() -> None:
    sections = read_object(assembled(".data\nlabel: .long 5\n.section x\nexit\n"), "main.o").sections
    assert not [section.name for section in sections if section.name.startswith(".debug")]


@pytest.mark.parametrize("size", ["later - first", "-1", "missing"])
def test_a_function_whose_size_is_at_fault_is_reported_once(size: str) -> None:
    text = f".type first, @function\nfirst: exit\n.data\nlater:\n.text\n.size first, {size}\n"
    with pytest.raises(BpfasError, match="first: ") as raised:
        assembled(text)
    assert str(raised.value).count("error:") == 1


LOCATED = """\
.file 1 "/source" "main.c"
start:
    mov %r0, 1
    .loc 1 7 3
    mov %r0, 2
    exit
.type start, @function
.size start, . - start
"""


@pytest.mark.peer
@every_order
@every_version
def test_with_loc_there_are_only_its_rows(version: int, order: ByteOrder) -> None:
    obj = assembled(LOCATED, version, order)
    assert "No errors" in Peer.LLVM_DWARFDUMP.run("--verify", "-", stdin=obj).text
    dumped = Peer.LLVM_DWARFDUMP.run("--debug-line", "--debug-info", "-", stdin=obj).text
    assert re.findall(r"^(0x[0-9a-f]{16}) +(\d+) +(\d+)", dumped, re.MULTILINE) == [
        *(("0x0000000000000008", "7", "3"), ("0x0000000000000018", "7", "3")),
    ]
    assert f"version: {version}" in dumped
    assert 'DW_AT_name\t("/source/main.c")' in dumped
    assert 'DW_AT_name\t("start")' in dumped
    assert "DW_AT_decl_line" not in dumped


@pytest.mark.parametrize("line", ["", "    .loc 1 7 3\n"])
def test_a_source_with_a_unit_of_its_own_gets_no_other(line: str) -> None:
    text = f'.file 1 "main.c"\n{line}    exit\n.section .debug_info\n.long 5\n'
    assert assembled(text, 4) == assembled(text, None)


def test_a_source_with_a_line_table_of_its_own_gets_no_other() -> None:
    obj = read_object(assembled("    exit\n.section .debug_line\n.long 5\n"), "main.o")
    line = obj.section(".debug_line")
    assert line
    assert line.data == b"\5\0\0\0"
    assert obj.section(".debug_info") is None


@pytest.mark.parametrize("name", [".debug_abbrev", ".debug_line", ".debug_line_str", ".eh_frame"])
def test_a_section_without_contents_cannot_describe_a_source(name: str) -> None:
    frame = ".cfi_startproc\n.cfi_endproc\n" if name == ".eh_frame" else ""
    with pytest.raises(BpfasError) as raised:
        assembled(f'.section {name},"",@nobits\n.text\nexit\n{frame}')
    assert str(raised.value).startswith(f"main.s:1:1: error: section `{name}` is @nobits")
    assert len(raised.value.diagnostics) == 1


@pytest.mark.usefixtures("here")
def test_a_preprocessed_source_is_known_by_its_own_name() -> None:
    obj = assembled('# 0 "main.S"\n# 0 "<built-in>"\n# 1 "main.S"\n    exit\n', name="/tmp/x.s")
    top = only_unit(obj).get_top_DIE()
    assert top.attributes["DW_AT_name"].value == b"main.S"
    assert b"x.s" not in obj


@every_version
def test_prefixes_of_directories_are_replaced(version: int, here: Path) -> None:
    prefixes = ((str(here), "/first"), (str(here), "/build"), ("/sou", "/d"))
    obj = assembled(SOURCE, version, prefixes=prefixes)
    assert only_unit(obj).get_top_DIE().attributes["DW_AT_comp_dir"].value == b"/build"
    assert str(here).encode() not in obj
    located = assembled(LOCATED, version, prefixes=prefixes)
    assert b"/drce\0" in located
    assert b"/source\0" not in located


@pytest.mark.peer
def test_rows_follow_jumps_that_become_longer() -> None:
    text = "    if r1 == 0 goto far\n    r2 = 2\n    .fill 40000, 8, 0\nfar:\n    exit\n"
    assert rows(assembled(text)) == [[(0, "main.s", 1), (24, "main.s", 2), (32 + 320000, "main.s", 5)]]


@pytest.mark.peer
@pytest.mark.parametrize("versions", [(4, 4), (5, 5), (4, 5)])
def test_linked_objects_keep_their_lines(versions: tuple[int, int], here: Path) -> None:
    objects = [
        read_object(assembled(f"{text}    exit\n", version, name=name), name)
        for version, name, text in zip(
            versions, ("a.s", "b.s"), (".globl f\nf:\n    call g\n", ".globl g\n\ng:\n"), strict=True
        )
    ]
    path = here / "app.o"
    path.write_bytes(write_object(link(objects, "app.o")))
    assert "No errors" in Peer.LLVM_DWARFDUMP.run("--verify", path).text
    asked = Peer.LLVM_SYMBOLIZER.run(f"--obj={path}", "0x0", "0x8", "0x10").text
    assert asked.split()[1::2] == [f"{here}/a.s:3:0", f"{here}/a.s:4:0", f"{here}/b.s:4:0"]


@pytest.mark.kernel
@every_version
def test_the_kernel_loads_it(version: int) -> None:
    text = """\
.section xdp, "ax"
.globl pass
.type pass, @function
pass:
    r0 = 2
    exit
.size pass, . - pass
.section license, "aw"
.asciz "GPL"
"""
    with load(read_object(assembled(text, version), "main.o")) as collection:
        assert list(collection.programs) == ["pass"]


@pytest.mark.peer
def test_linefile_is_a_line_marker() -> None:
    text = '    r0 = 1\n.linefile 50 "made.c" 1\n    r0 = 2\n    exit\n'
    assert rows(assembled(text)) == [[(0, "main.s", 1), (8, "made.c", 50), (16, "made.c", 51)]]
