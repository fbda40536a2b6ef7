"""Links of objects from clang and LLVM's assembler, in the hands of other tools."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bpfas.elf.reader import read_object
from bpfas.link.cli import main
from tests.link.builders import imm_at, section_of, symbol_of
from tests.peers import Peer

pytestmark = pytest.mark.peer

LICENSE = 'char LICENSE[] __attribute__((section("license"))) = "GPL";\n'
MAIN_C = (
    LICENSE
    + """
static int calls = 3;
int total;
extern int scale(int);
__attribute__((noinline)) static int twice(int x) { calls++; return x * 2 + total; }
__attribute__((section("xdp"))) int prog(void *ctx) { return twice(calls) + scale(total); }
"""
)
SCALE_C = (
    LICENSE
    + """
static int factor = 5;
__attribute__((noinline)) static int keep(int x) { factor += x; return factor; }
int scale(int x) { return keep(x) * factor; }
"""
)
TARGETS = ["bpfel", "bpfeb"]


def compiled(path: Path, source: str, *options: str, target: str = "bpfel") -> Path:
    arguments = [f"--target={target}", "-O2", *options, "-c", "-x", "c", "-", "-o", str(path)]
    Peer.CLANG.run(*arguments, stdin=source.encode())
    return path


def assembled(path: Path, source: str) -> Path:
    Peer.LLVM_MC.run("--triple=bpfel", "-mcpu=v4", "--filetype=obj", "-o", path, stdin=source.encode())
    return path


@pytest.fixture(params=TARGETS)
def application(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Two objects of clang, with debug information, linked."""
    main_o = compiled(tmp_path / "main.o", MAIN_C, "-g", target=request.param)
    scale_o = compiled(tmp_path / "scale.o", SCALE_C, "-g", target=request.param)
    output = tmp_path / "app.o"
    assert main([str(main_o), str(scale_o), "-o", str(output)]) == 0
    return output


@pytest.mark.parametrize("tool", [Peer.LLVM_READELF, Peer.GNU_READELF])
def test_readelf_has_nothing_to_complain_of(tool: Peer, application: Path) -> None:
    assert tool.run("-aW", application).errors == ""


def test_joined_debug_information_is_consistent(application: Path) -> None:
    assert "No errors." in Peer.LLVM_DWARFDUMP.run("--verify", application).text
    lines = Peer.LLVM_DWARFDUMP.run("--debug-info", application).text
    assert re.findall(r'DW_AT_name\t\("(\w+)"\)', lines).count("factor") == 1


def test_llvm_disassembles_functions_of_both_objects(application: Path) -> None:
    text = Peer.LLVM_OBJDUMP.run("-dr", application).text
    assert all(f"<{name}>:" in text for name in ("prog", "twice", "scale", "keep"))


def test_static_data_of_the_second_object_is_addressed_behind_the_firsts(application: Path) -> None:
    linked = read_object(application.read_bytes(), "app.o")
    factor = symbol_of(linked, "factor")
    assert factor.st_value == 4
    text = section_of(linked, ".text")
    loads = {
        imm
        for reloc in text.relocations
        if reloc.symbol.section is factor.section
        for imm in (int.from_bytes(text.data[reloc.r_offset + 4 :][:4], linked.byte_order.name_for_int),)
    }
    assert loads == {0, 4}


def test_bpftool_links_the_same_code_and_data(tmp_path: Path) -> None:
    # Without calls inside one section, which libbpf leaves to the loader, both give the same bytes.
    first = compiled(tmp_path / "1.o", MAIN_C, "-g")
    second = compiled(tmp_path / "2.o", SCALE_C.replace("__attribute__((noinline))", "inline"), "-g")
    ours, theirs = tmp_path / "ours.o", tmp_path / "theirs.o"
    assert main([str(first), str(second), "-o", str(ours)]) == 0
    Peer.BPFTOOL.run("gen", "object", theirs, first, second)
    mine = read_object(ours.read_bytes(), "ours.o")
    reference = read_object(theirs.read_bytes(), "theirs.o")
    for name in (".text", "xdp", ".data", ".bss", "license"):
        assert section_of(mine, name).data == section_of(reference, name).data
        assert [
            (reloc.r_offset, reloc.r_type, reloc.symbol.section.name, reloc.symbol.st_value)
            for reloc in section_of(mine, name).relocations
        ] == [
            (reloc.r_offset, reloc.r_type, reloc.symbol.section.name, reloc.symbol.st_value)
            for reloc in section_of(reference, name).relocations
        ]
    defined = ("prog", "twice", "scale", "calls", "factor", "total", "LICENSE")
    for symbol in defined:
        ours_, theirs_ = symbol_of(mine, symbol), symbol_of(reference, symbol)
        assert (ours_.st_value, ours_.st_size, ours_.st_type) == (
            theirs_.st_value,
            theirs_.st_size,
            theirs_.st_type,
        )


def test_bpftool_takes_what_we_linked_from_one_object(tmp_path: Path) -> None:
    source = compiled(tmp_path / "1.o", SCALE_C, "-g")
    ours = tmp_path / "ours.o"
    assert main([str(source), "-o", str(ours)]) == 0
    Peer.BPFTOOL.run("gen", "object", tmp_path / "1.out", source)
    Peer.BPFTOOL.run("gen", "object", tmp_path / "2.out", ours)
    assert (tmp_path / "1.out").read_bytes() == (tmp_path / "2.out").read_bytes()


def test_calls_across_objects_of_the_assembler(tmp_path: Path) -> None:
    first = assembled(
        tmp_path / "1.o", '.section xdp,"ax",@progbits\n.globl prog\nprog: call near\ncall far\nexit\n'
    )
    second = assembled(
        tmp_path / "2.o",
        '.section xdp,"ax",@progbits\nexit\n.globl near\nnear: exit\n.text\nexit\n.globl far\nfar: exit\n',
    )
    output = tmp_path / "app.o"
    assert main([str(first), str(second), "-o", str(output)]) == 0
    linked = read_object(output.read_bytes(), "app.o")
    program = section_of(linked, "xdp")
    assert imm_at(program, 0) == 3
    assert [(reloc.r_offset, reloc.symbol.name) for reloc in program.relocations] == [(8, "far")]


def test_an_undefined_name_is_reported_with_its_source_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("prog.h").write_text("static inline int call_it(void) {\n  return bad(1);\n}\n")
    source = 'extern int bad(int);\n#include "prog.h"\nint a(void) { return call_it(); }\n'
    Path("prog.c").write_text(source + '__attribute__((section("tc"))) int b(void) {\n  return 1 +\n bad(2);\n}\n')
    for options in (["-gdwarf-5"], ["-gdwarf-4"]):
        Peer.CLANG.run("--target=bpf", "-O2", *options, "-c", "prog.c", "-o", "prog.o")
        assert main(["prog.o"]) == 1
        assert capsys.readouterr().err.startswith(
            "bpf-ld: error: undefined symbol: bad\n"
            ">>> referenced by ./prog.h:2 (prog.o:(.text+0x8))\n"
            ">>> referenced by prog.c:6 (prog.o:(tc+0x8))\n"
        )


def test_the_end_of_one_section_is_not_the_start_of_the_next(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = (
        "extern int bad(void);\n"
        '__attribute__((section("tc"))) int b(void) { return bad() + 1; }\n'
        "int a(void) { return 1; }\n"
    )
    path = compiled(tmp_path / "prog.o", source, "-g")
    assert main([str(path)]) == 1
    assert f">>> referenced by <stdin>:2 ({path}:(tc+0x0))" in capsys.readouterr().err


def test_code_behind_the_last_line_has_no_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = compiled(tmp_path / "1.o", "int a(void) { return 1; }", "-g")
    second = assembled(tmp_path / "2.o", ".text\ncall bad\nexit\n")
    both = tmp_path / "both.o"
    assert main(["-r", str(first), str(second), "-o", str(both)]) == 0
    capsys.readouterr()
    assert main([str(both)]) == 1
    assert f">>> referenced by {both}:(.text+0x10)\n" in capsys.readouterr().err


def test_a_kernel_function_may_stay_undefined(tmp_path: Path) -> None:
    source = 'extern int kfunc(int) __attribute__((section(".ksyms")));\nint f(void) { return kfunc(1); }\n'
    output = tmp_path / "out.o"
    assert main([str(compiled(tmp_path / "1.o", source, "-g")), "-o", str(output)]) == 0
    assert not symbol_of(read_object(output.read_bytes(), "out.o"), "kfunc").is_defined
    assert main([str(compiled(tmp_path / "2.o", source)), "-o", str(output)]) == 1
