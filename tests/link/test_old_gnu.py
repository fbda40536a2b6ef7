"""Objects of GNU as before 2.41, which Debian's bpf-gcc calls: they link like those of any other assembler.

What they mean is told by the same source assembled with bpf-as, and by running it. Objects of others must not be
taken for theirs, whatever GNU's tools have made of them.
"""

from __future__ import annotations

import os
import struct
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bpfas.asm import assemble
from bpfas.elf.constants import ByteOrder, SectionFlag
from bpfas.elf.reader import read_object
from bpfas.elf.writer import write_object
from bpfas.link.cli import main
from bpfas.loader import load
from bpfas.reloc import RELOCATION_TYPES, read_addend
from tests.link.linked_programs import HEADERS
from tests.peers import Peer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bpfas.objfile import ObjectFile

LIBRARY = """
int from_clang(int a);
int from_assembly(int a);
extern int clangs;
int unused = 9, first = 3, second = 7;
int table[4] = {1, 20, 300, 4000};
int zeros[3], counted;
const int fixed[] = {11, 12, 13}, last = 14;
static int own = 50;
static __attribute__((noinline)) int twice(int a) { own++; return a * 2 + own; }
__attribute__((noinline, weak)) int triple(int a) { return a * 3 + second; }
__attribute__((noinline)) int shift(int a) { return twice(a) * 10 + table[2] + zeros[1] + fixed[2] + last; }
__attribute__((noinline)) int mix(int a)
{
    counted += 2;
    return triple(a) + shift(a) + from_clang(a) + from_assembly(a) + clangs + first + counted;
}
"""
MAIN = """
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
int mix(int a);
extern int second, table[4];
int clangs = 100000;
__noinline int from_clang(int a) { return a + 1000; }
SEC("xdp") int entry(struct xdp_md *ctx) { return mix(4) + second + table[3]; }
char LICENSE[] SEC("license") = "GPL";
"""
ASSEMBLY = """
    .globl from_assembly
    .type from_assembly, @function
from_assembly:
    lddw %r2, first
    ldxw %r0, [%r2+0]
    add %r0, %r1
    exit
    .size from_assembly, .-from_assembly
"""
OWN = 51
SHIFT = (4 * 2 + OWN) * 10 + 300 + 0 + 13 + 14
ANSWER = (4 * 3 + 7) + SHIFT + (4 + 1000) + (3 + 4) + 100000 + 3 + 2 + 7 + 4000

POINTERS = """
extern int elsewhere, other(int);
int unused, first, second[2];
int *pointers[] = {&first, &second[1], &elsewhere, 0};
int (*functions[])(int) = {other, 0};
int use(void) { return *pointers[0] + second[1] + other(1); }
int use_more(void) { return use() + first; }
"""
SECOND = """
int padding[5], elsewhere;
int other(int a) { return a + elsewhere; }
"""

OPTIONS = [
    "-O2",
    "-O2 -g",
    "-O2 -gbtf",
    "-O0 -g",
    "-O2 -g -mbig-endian",
    "-O2 -ffunction-sections -fdata-sections",
]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with a folder `tools` where gcc's -B finds bpf-as."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(os.path.abspath, filter(None, sys.path))))
    command = Path("tools", "as")
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m bpfas.asm "$@"\n')
    command.chmod(0o755)
    return tmp_path


def gcc(name: str, source: str, options: str = "-O2", *, by_ours: bool = False) -> str:
    """The object NAME.o of gcc, by GNU as or by ours."""
    Path(f"{name}.c").write_text(source)
    Peer.GCC.run(*["-Btools/"] * by_ours, *options.split(), "-c", f"{name}.c", "-o", f"{name}.o")
    return f"{name}.o"


def clang(name: str, source: str, options: str = "-O2 -g") -> str:
    Path(f"{name}.c").write_text(source)
    Peer.CLANG.run("--target=bpf", *options.split(), HEADERS, "-c", f"{name}.c", "-o", f"{name}.o")
    return f"{name}.o"


def gnu_as(name: str, source: str) -> str:
    Path(f"{name}.s").write_text(source)
    Peer.GNU_AS.run(f"{name}.s", "-o", f"{name}.o")
    return f"{name}.o"


def bpf_as(name: str, source: str) -> str:
    Path(f"{name}.o").write_bytes(write_object(assemble(source, byte_order=ByteOrder.LITTLE)))
    return f"{name}.o"


def link(*arguments: str) -> ObjectFile:
    """What bpf-ld makes of these, which must succeed."""
    assert main([*arguments, "-o", "linked.o"]) == 0
    return read_object(Path("linked.o").read_bytes(), "linked.o")


Reference = tuple[str, int, int, str, int]


def references(obj: ObjectFile, *, loaded: bool = True) -> set[Reference]:
    """All that sections refer to: the place, the type, what is named, and the addend from there."""
    return {
        (
            section.name,
            reloc.r_offset,
            reloc.r_type,
            reloc.symbol.name or reloc.symbol.section.name,
            read_addend(RELOCATION_TYPES[reloc.r_type], section.data, reloc.r_offset, obj.byte_order),
        )
        for section in obj.sections
        if bool(section.sh_flags & SectionFlag.ALLOC) is loaded
        for reloc in section.relocations
    }


def contents(obj: ObjectFile) -> dict[str, bytes]:
    """The bytes of what is loaded, without what GNU as fills sections up with."""
    return {
        section.name: bytes(section.data).rstrip(b"\0")
        for section in obj.sections
        if section.sh_flags & SectionFlag.ALLOC and section.data
    }


def own_fields(obj: ObjectFile) -> Iterator[tuple[str, int]]:
    """What debugging information says of variables: their names, and the addend from there."""
    for section, _, _, name, addend in references(obj, loaded=False):
        if section == ".debug_info" and obj.symbol(name):
            yield name, addend


@pytest.mark.peer
@pytest.mark.kernel
@pytest.mark.parametrize("options", [option for option in OPTIONS if "big" not in option])
def test_gnus_objects_run_among_those_of_clang_and_ours(options: str) -> None:
    paths = [gcc("library", LIBRARY, options), clang("main", MAIN), bpf_as("assembly", ASSEMBLY)]
    for order in (paths, paths[::-1]):
        link(*order)
        with load("linked.o") as loaded:
            assert loaded.programs["entry"].test_run(bytes(64)).retval == ANSWER


@pytest.mark.peer
@pytest.mark.parametrize("options", OPTIONS)
def test_gnus_objects_link_like_ours(options: str, capsys: pytest.CaptureFixture[str]) -> None:
    theirs = link(gcc("first", POINTERS, options), gcc("second", SECOND, options))
    have_values = "-fdata-sections" not in options
    assert ("first.o: warning: assembled by GNU as before 2.41" in capsys.readouterr().err) is have_values
    ours = link(gcc("first", POINTERS, options, by_ours=True), gcc("second", SECOND, options, by_ours=True))
    assert not capsys.readouterr().err
    assert references(theirs) == references(ours)
    assert contents(theirs) == contents(ours)
    assert sorted(own_fields(theirs)) == sorted(own_fields(ours))
    assert bool(list(own_fields(ours))) is ("-g" in options.split())


@pytest.mark.peer
@pytest.mark.parametrize("strip", ["", "-S"])
def test_debugging_information_of_gnus_objects_tells_lines(strip: str, capsys: pytest.CaptureFixture[str]) -> None:
    gcc("first", POINTERS, "-O2 -g")
    assert main([*filter(None, [strip]), "first.o", "-o", "linked.o"]) == 1
    assert ">>> referenced by first.c:6 (first.o:(.text+0x" in capsys.readouterr().err


@pytest.mark.peer
@pytest.mark.parametrize(
    "instruction", ["mov %r1, there", "mov %r1, there+8", "ja there", "call there", "ja there+8"]
)
@pytest.mark.parametrize("is_global", [True, False])
def test_relocations_of_instructions(instruction: str, is_global: bool) -> None:
    source = (
        f'.text\nexit\n{".globl there" * is_global}\nthere: exit\nexit\n.section xdp,"ax"\n{instruction}\nexit\n'
    )
    if instruction.startswith("ja"):
        source = source.replace("xdp", ".text").replace("there:", "near:").replace(".globl there", "")
    other = ".globl there\nexit\nexit\nthere: exit\nexit\n"
    others = [bpf_as("other", other)] if "near" in source else []
    theirs, ours = link(gnu_as("them", source), *others), link(bpf_as("us", source), *others)
    assert references(theirs) == references(ours)
    assert contents(theirs) == contents(ours)


@pytest.mark.peer
@pytest.mark.parametrize(
    ("statement", "name"),
    [
        ("stxdw [%r1+there], %r2", "R_BPF_INSN_16"),
        (".data\n.byte there", "R_BPF_DATA_8"),
        (".data\n.short there", "R_BPF_DATA_16"),
        (".data\n.long there-.", "R_BPF_DATA_32_PCREL"),
        (".data\n.quad there-.", "R_BPF_DATA_64_PCREL"),
    ],
)
def test_relocations_without_a_type_of_today(
    statement: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    gnu_as("them", f"{statement}\n")
    assert main(["them.o", "-o", "linked.o"]) == 1
    section = ".data" if ".data" in statement else ".text"
    assert capsys.readouterr().err.startswith(
        f"them.o:({section}+0x0): error: {name} (GNU as before 2.41) against there has no type of today"
    )
    assert not Path("linked.o").exists()


@pytest.mark.peer
def test_addends_to_local_symbols_of_strings() -> None:
    source = """
        .section .rodata.str1.1,"aMS",@progbits,1
        .string "abc"
    there: .string "def"
        .data
        .long 1
        .quad there, there+1
        .text
        lddw %r1, there+2
    """
    theirs, ours = link(gnu_as("them", source)), link(bpf_as("us", source))

    def strings(obj: ObjectFile) -> list[bytes]:
        found = obj.section(".rodata.str1.1")
        assert found is not None
        values = {name: obj.symbol(name) for *_, name, _ in references(obj)}
        places = [
            (symbol.st_value if (symbol := values[name]) else 0) + addend
            for *_, name, addend in sorted(references(obj))
        ]
        return [bytes(found.data[at:]).split(b"\0")[0] for at in places]

    assert strings(theirs) == strings(ours) == [b"def", b"ef", b"f"]


TOOLS = [
    (Peer.GNU_OBJCOPY, ""),
    (Peer.GNU_STRIP, "-g"),
    (Peer.GNU_STRIP, "--strip-unneeded"),
    (Peer.LLVM_OBJCOPY, ""),
    (Peer.LLVM_STRIP, "-g"),
    (Peer.LLVM_STRIP, "--strip-unneeded"),
]
PLAIN = "int unused, first; int use(void) { return first; } int use_more(void) { return use() + 2 * first; }"
CALLS = PLAIN.replace("int use(", '__attribute__((noinline, section("other"))) int use(')
AWKWARD = "int unused, first, second[2]; int use(void) { return second[1] + first; }"
SOURCES = [POINTERS, PLAIN, CALLS, AWKWARD]


def apply(tool: Peer, options: str, path: str) -> str:
    tool.run(*options.split(), path, *([] if "strip" in tool.value else ["copy.o"]))
    return path if "strip" in tool.value else "copy.o"


@pytest.mark.peer
@pytest.mark.parametrize(("tool", "options"), TOOLS, ids=lambda value: getattr(value, "name", value))
@pytest.mark.parametrize("source", SOURCES, ids=["pointers", "plain", "calls", "awkward"])
def test_what_other_tools_made_of_gnus_objects(source: str, tool: Peer, options: str) -> None:
    expected = link(gcc("second", SECOND), gcc("first", source))
    found = link("second.o", apply(tool, options, "first.o"))
    assert references(found) == references(expected)
    assert contents(found) == contents(expected)


@pytest.mark.peer
@pytest.mark.parametrize(("tool", "options"), TOOLS, ids=lambda value: getattr(value, "name", value))
@pytest.mark.parametrize("source", SOURCES, ids=["pointers", "plain", "calls", "awkward"])
@pytest.mark.parametrize("compiler", ["clang", "clang -g", "gcc and bpf-as"])
def test_objects_of_others_are_left_as_they_are(
    compiler: str, source: str, tool: Peer, options: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def compiled(name: str, text: str) -> str:
        if compiler.startswith("clang"):
            return clang(name, text, f"-O2 {compiler.removeprefix('clang')}")
        return gcc(name, text, by_ours=True)

    expected = link(compiled("second", SECOND), compiled("first", source))
    found = link("second.o", apply(tool, options, "first.o"))
    assert references(found) == references(expected)
    assert contents(found) == contents(expected)
    assert not capsys.readouterr().err


@pytest.mark.peer
@pytest.mark.parametrize(("assembler", "element"), [(gnu_as, "numbers"), (bpf_as, "numbers+4")])
def test_what_cannot_be_told_is_warned_of(
    assembler: Callable[[str, str], str], element: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without the symbols that strip removes, both are the same."""
    source = f".data\n.long 1\n.globl numbers\nnumbers: .quad 2\n.text\nlddw %r1, {element}\nexit\n"
    expected = references(read_object(Path(assembler("first", source)).read_bytes(), "first.o"))
    link("first.o")
    assert "each addend" not in capsys.readouterr().err
    Peer.GNU_STRIP.run("--strip-unneeded", "first.o")
    assert references(link("first.o")) == expected
    assert "first.o: warning: each addend is the value of the symbol that it belongs to" in capsys.readouterr().err


@pytest.mark.peer
def test_what_gnu_ld_has_joined_is_warned_of(capsys: pytest.CaptureFixture[str]) -> None:
    Peer.GNU_LD.run("-r", gcc("second", SECOND), gcc("first", POINTERS), "-o", "joined.o")
    link("joined.o")
    assert "link the objects that it was given, not its output" in capsys.readouterr().err


@pytest.mark.peer
def test_the_warning_is_one_for_all_objects(capsys: pytest.CaptureFixture[str]) -> None:
    link(*(gcc(f"f{n}", f"int a{n}, b{n}; int f{n}(void) {{ return a{n} + b{n}; }}") for n in range(6)))
    told = capsys.readouterr().err
    assert told.count("warning: ") == 1
    assert told.endswith(">>> so is f1.o\n>>> so is f2.o\n>>> so is f3.o\n>>> and 2 more\n")


@pytest.mark.peer
def test_members_of_archives(capsys: pytest.CaptureFixture[str]) -> None:
    Peer.GNU_AR.run("rc", "lib.a", gcc("first", POINTERS), gcc("unused", "int a, b; int f(void) { return b; }"))
    found = link(gcc("second", SECOND), "-u", "use_more", "lib.a")
    assert "lib.a(first.o): warning: " in capsys.readouterr().err
    assert references(found) == references(link("second.o", "first.o"))


@pytest.mark.peer
@pytest.mark.parametrize("options", ["-O2", "-O2 -g"])
def test_wrong_numbers_in_relocations_are_errors(options: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every type and wrong places in relocations of each section."""
    path = gcc("first", POINTERS + SECOND.replace("int padding[5], elsewhere;", "int elsewhere = 1;"), options)
    image = bytearray(Path(path).read_bytes())
    obj = read_object(bytes(image), path)
    rows = [
        (image.index(struct.pack("<QI", reloc.r_offset, reloc.r_type)), section.sh_size)
        for section in obj.sections
        for reloc in section.relocations[:3]
    ]
    for row, size in rows:
        whole = image[row : row + 16]
        for r_type in range(16):
            for r_offset in (int.from_bytes(whole[:8], "little"), 1, size - 1, 1 << 63):
                image[row : row + 12] = struct.pack("<QI", r_offset, r_type)
                # File systems may wait for the disk where a file is replaced, but not for a new one.
                for name in ("wrong.o", "linked.o"):
                    Path(name).unlink(missing_ok=True)
                Path("wrong.o").write_bytes(image)
                status = main(["wrong.o", "-o", "linked.o"])
                told = capsys.readouterr().err
                assert status == 0 or "error: " in told
        image[row : row + 16] = whole
