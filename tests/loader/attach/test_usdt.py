"""USDT: probes of a library driven for real, their notes, and how arguments of each machine are fetched."""

from __future__ import annotations

import ctypes
import os
import platform
import re
import struct
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from bpfas.elf.reader import read_object
from bpfas.loader import load, syscall
from bpfas.loader.attach.binary import open_binary
from bpfas.loader.attach.link import LinkGroup
from bpfas.loader.attach.table import attach
from bpfas.loader.attach.uprobe import UserPlace
from bpfas.loader.attach.usdt import mapped_addresses
from bpfas.loader.attach.usdt_arguments import (
    FORMS,
    ArgumentKind,
    UsdtArgument,
    UsdtArgumentError,
    parse_arguments,
)
from bpfas.loader.attach.usdt_notes import usdt_notes
from bpfas.loader.attach.usdt_specs import KNOWN_LAYOUTS, UsdtSpec, layout_of
from bpfas.loader.errors import AttachError
from bpfas.loader.image.build import build_image
from tests.loader.attach_support import Library, compile_library
from tests.loader.kernel_support import Need, needs

if TYPE_CHECKING:
    from collections.abc import Callable

    from bpfas.loader import Collection

X86_64 = pytest.mark.skipif(platform.machine() != "x86_64", reason="the library is written for x86-64")
USES_PEERS = pytest.mark.peer
CONST, REGISTER, DEREFERENCE, INDEXED = ArgumentKind

LIBRARY = r"""
#define NOTE(name, semaphore, arguments, ...) __asm__ volatile( \
  "990: nop\n.pushsection .note.stapsdt,\"?\",\"note\"\n.balign 4\n.4byte 992f-991f,994f-993f,3\n" \
  "991: .asciz \"stapsdt\"\n992: .balign 4\n993: .8byte 990b\n.8byte _.stapsdt.base\n.8byte " semaphore "\n" \
  ".asciz \"app\"\n.asciz \"" name "\"\n.asciz \"" arguments "\"\n994: .balign 4\n.popsection\n" \
  ".ifndef _.stapsdt.base\n.pushsection .stapsdt.base,\"aG\",\"progbits\",.stapsdt.base,comdat\n" \
  ".weak _.stapsdt.base\n.hidden _.stapsdt.base\n_.stapsdt.base: .space 1\n.size _.stapsdt.base,1\n" \
  ".popsection\n.endif\n" :: __VA_ARGS__)
__attribute__((section(".probes"))) volatile unsigned short app_armed_semaphore;
long table[4] = {10, -20, 30, 40};
static int global = -77;
__attribute__((noinline)) void values(long a, int b)
{
    volatile struct { int x, y; } local = {5, -6};
    NOTE("values", "0", "8@%0 -4@%1 -4@$-9 2@$65535 1@%b0 -4@%2", "r"(a), "r"(b), "m"(local.y));
}
__attribute__((noinline)) void indexed(long i)
{ NOTE("indexed", "0", "-8@(%0,%1,8) -8@8(%0) -4@global(%%rip)", "r"(table), "r"(i), "m"(global)); }
__attribute__((noinline)) int armed(void)
{
    if (!app_armed_semaphore) return 0;
    NOTE("armed", "app_armed_semaphore", "-4@%0", "r"((int)app_armed_semaphore));
    return 1;
}
__attribute__((noinline)) void thrice(int a)
{
    NOTE("thrice", "0", "-4@%0", "r"(a)); NOTE("thrice", "0", "-4@%0", "r"(a));
    NOTE("thrice", "0", "-4@%0 8@$1", "r"(a));
}
__attribute__((noinline)) void nothing(void) { NOTE("nothing", "0", ""); }
__attribute__((noinline)) void floating(void) { NOTE("floating", "0", "8f@%%xmm0"); }
"""

PROGRAM = """
#include <linux/ptrace.h>
#include <stdbool.h>
#include <bpf/bpf_tracing.h>
#include <bpf/usdt.bpf.h>
struct result { unsigned long long hits; long long cookie; long count, arguments[12], errors[12]; };
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, int);
         __type(value, struct result); } results SEC(".maps");
SEC("usdt") int probe(struct pt_regs *ctx)
{
    int key = 0;
    struct result *result = bpf_map_lookup_elem(&results, &key);
    if (!result) return 0;
    result->hits++;
    result->cookie = bpf_usdt_cookie(ctx);
    result->count = bpf_usdt_arg_cnt(ctx);
    for (int i = 0; i < 12; i++) {
        long value;
        result->errors[i] = bpf_usdt_arg(ctx, i, &value);
        result->arguments[i] = value;
    }
    return 0;
}
SEC("usdt/libtarget.so:app:values") int of_section(struct pt_regs *ctx) { return probe(ctx); }
SEC("usdt/libtarget.so:app") int malformed(struct pt_regs *ctx) { return probe(ctx); }
"""
FLAGS = ("-g", "-D__TARGET_ARCH_x86")
RESULT = struct.Struct("=Qqq12q12q")


class Result(NamedTuple):
    hits: int
    cookie: int
    arguments: tuple[int, ...]
    errors: tuple[int, ...]


def result(app: Collection) -> Result:
    row = RESULT.unpack(syscall.map_lookup_elem(app.maps["results"].fd, bytes(4), RESULT.size))
    count = max(0, row[2])
    return Result(row[0], row[1], row[3 : 3 + count], row[15 : 15 + count])


def taken_specs(app: Collection) -> int:
    specs = app.maps["__bpf_usdt_specs"]
    keys = (struct.pack("=I", number) for number in range(256))
    return sum(any(syscall.map_lookup_elem(specs.fd, key, specs.value_size)) for key in keys)


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Library:
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    return Library(compile_library(tmp_path, LIBRARY))


LIVE = [X86_64, pytest.mark.kernel, USES_PEERS, needs(Need.UPROBES), pytest.mark.usefixtures("no_leaks")]


def live(test: Any) -> Any:
    for mark in LIVE:
        test = mark(test)
    return test


@live
@pytest.mark.parametrize(
    ("name", "given", "arguments"),
    [
        ("values", (ctypes.c_long(0x1234567890), -3), (0x1234567890, -3, -9, 65535, 0x90, -6)),
        ("thrice", (3,), (3, 1)),
        ("nothing", (), ()),
    ],
)
def test_arguments_and_cookie(
    compile_c: Callable[..., str], library: Library, name: str, given: tuple[Any, ...], arguments: tuple[int, ...]
) -> None:
    with load(compile_c(PROGRAM, *FLAGS)) as app:
        with attach(app.programs["probe"], path=library.path, provider="app", name=name, pid=0, cookie=-5):
            library.functions[name](*given)
            seen = result(app)
            assert seen.arguments == arguments
            assert not any(seen.errors)
            assert seen.cookie == -5
            assert taken_specs(app) == (2 if name == "thrice" else bool(arguments) or 1)
        library.functions[name](*given)
        assert result(app).hits == seen.hits
        assert taken_specs(app) == 0


@live
def test_argument_by_register_and_index_is_refused_by_old_headers_alone(
    compile_c: Callable[..., str], library: Library
) -> None:
    with (
        load(compile_c(PROGRAM, *FLAGS)) as app,
        attach(app.programs["probe"], path=library.path, provider="app", name="indexed", pid=0),
    ):
        library.functions.indexed(ctypes.c_long(1))
        seen = result(app)
        assert seen.arguments[1:] == (-20, -77)
        assert (seen.arguments[0], seen.errors[0]) in [(-20, 0), (0, -22)]


@live
def test_semaphore_is_raised_while_attached(compile_c: Callable[..., str], library: Library) -> None:
    with load(compile_c(PROGRAM, *FLAGS)) as app:
        assert not library.functions.armed()
        with attach(app.programs["probe"], path=library.path, provider="app", name="armed"):
            assert library.functions.armed()
            assert result(app).arguments == (1,)
        assert not library.functions.armed()


@live
def test_probe_of_the_section(compile_c: Callable[..., str], library: Library) -> None:
    with load(compile_c(PROGRAM, *FLAGS)) as app, attach(app.programs["of_section"]) as link:
        library.functions.values(ctypes.c_long(1), 2)
        assert result(app).arguments[:2] == (1, 2)
        assert link.target == "USDT libtarget.so:app:values"


@live
def test_link_of_several_sites_is_a_group_or_one_of_many(compile_c: Callable[..., str], library: Library) -> None:
    with (
        load(compile_c(PROGRAM, *FLAGS)) as app,
        attach(app.programs["probe"], path=library.path, provider="app", name="thrice") as link,
    ):
        if isinstance(link, LinkGroup):
            assert len(link.links) == 3
            with pytest.raises(AttachError, match="without one link"):
                link.pin("/sys/fs/bpf/bpfas_never")
        else:
            assert link.fd >= 0


@live
@pytest.mark.parametrize(
    ("program", "how", "words"),
    [
        ("probe", {"name": "valeus"}, "no USDT probe 'app:valeus'(?s:.*)nearest: app:values"),
        ("probe", {"name": "floating"}, "'%xmm0', is a floating point number"),
        ("probe", {"path": "libc.so.6", "name": "values"}, "'app:values'|has no USDT probes"),
        ("probe", {"path": "/etc/passwd", "name": "values"}, "/etc/passwd is no ELF file"),
    ],
)
def test_probes_that_there_are_not(
    compile_c: Callable[..., str], library: Library, program: str, how: dict[str, Any], words: str
) -> None:
    with load(compile_c(PROGRAM, *FLAGS)) as app, pytest.raises(AttachError, match=words):
        attach(app.programs[program], **{"path": library.path, "provider": "app", **how})


@live
def test_sections_that_do_not_say_enough(compile_c: Callable[..., str]) -> None:
    with load(compile_c(PROGRAM, *FLAGS)) as app:
        with pytest.raises(AttachError, match="usdt/PATH:PROVIDER:NAME"):
            attach(app.programs["probe"])
        with pytest.raises(AttachError, match="not of the form PATH:PROVIDER:NAME"):
            attach(app.programs["malformed"])
        with pytest.raises(TypeError, match="path, provider and name together"):
            attach(app.programs["probe"], path="libc.so.6")


@live
def test_table_without_room(compile_c: Callable[..., str], library: Library) -> None:
    with load(compile_c(PROGRAM, *FLAGS, "-DBPF_USDT_MAX_SPEC_CNT=1")) as app:
        program = app.programs["probe"]
        with pytest.raises(AttachError, match="has room for 1 sites with different arguments"):
            attach(program, path=library.path, provider="app", name="thrice")
        attach(program, path=library.path, provider="app", name="nothing").close()


@X86_64
@USES_PEERS
def test_notes_are_those_that_readelf_lists(tmp_path: Path) -> None:
    library = compile_library(tmp_path, LIBRARY)
    listing = subprocess.run(
        ["/usr/bin/readelf", "-nW", library], capture_output=True, text=True, check=True
    ).stdout
    pattern = r"Name: (\w+)\s+Location: (0x\w+), Base: \w+, Semaphore: (0x\w+)\s+Arguments: (.*)"
    expected = [
        (name, int(at, 16), int(armed, 16), text) for name, at, armed, text in re.findall(pattern, listing)
    ]
    with open_binary(str(library)) as binary:
        found = [(note.name, note.address, note.semaphore, note.arguments) for note in usdt_notes(binary)]
    assert found == expected
    assert len(found) == 8


@X86_64
@USES_PEERS
def test_notes_of_a_prelinked_file_move_with_it(tmp_path: Path) -> None:
    library = compile_library(tmp_path, LIBRARY)
    moved = tmp_path / "moved.so"
    subprocess.run(
        ["/usr/bin/objcopy", "--change-section-address", ".stapsdt.base+0x1000", library, moved],
        check=True,
        capture_output=True,
    )
    with open_binary(str(library)) as before, open_binary(str(moved)) as after:
        (base, new_base) = (each.section_named(".stapsdt.base") for each in (before, after))
        assert base
        assert new_base
        difference = new_base.address - base.address
        pairs = zip(usdt_notes(before), usdt_notes(after), strict=True)
        assert {second.address - first.address for first, second in pairs} == {difference}


def test_where_a_process_has_a_place() -> None:
    maps = Path("/proc/self/maps").read_text().splitlines()
    line = next(line for line in maps if re.search(r" r-xp .*libc\.so", line))
    start, _, offset = (int(number, 16) for number in re.match(r"(\w+)-(\w+) \S+ (\w+)", line).groups())  # type: ignore[union-attr]
    place = UserPlace(line.split(maxsplit=5)[5], offset + 0x123, "")
    assert list(mapped_addresses(os.getpid(), place)) == [start + 0x123]


def parse(text: str, machine: tuple[str, int]) -> list[UsdtArgument]:
    return parse_arguments(text, FORMS[machine], {"known": 0x100}.get)


X86, ARM64, S390, RISCV, ARM = ("x86_64", 62), ("aarch64", 183), ("s390x", 22), ("riscv64", 243), ("arm", 40)


@pytest.mark.parametrize(
    ("machine", "text", "expected"),
    [
        (X86, "-4@$-9", UsdtArgument(4, True, CONST, -9)),
        (X86, "8@$0x10", UsdtArgument(8, False, CONST, 16)),
        (X86, "-4@%esi", UsdtArgument(4, True, REGISTER, 0, 104)),
        (X86, "1@%ah", UsdtArgument(1, False, REGISTER, 0, 81)),
        (X86, "1@%sil", UsdtArgument(1, False, REGISTER, 0, 104)),
        (X86, "2@%r9w", UsdtArgument(2, False, REGISTER, 0, 64)),
        (X86, "8@%r15", UsdtArgument(8, False, REGISTER, 0, 0)),
        (X86, "-4@-20(%rbp)", UsdtArgument(4, True, DEREFERENCE, -20, 32)),
        (X86, "8@(%rsp)", UsdtArgument(8, False, DEREFERENCE, 0, 152)),
        (X86, "1@-96(%rbp,%rax,8)", UsdtArgument(1, False, INDEXED, -96, 32, 80, 3)),
        (X86, "1@(%rbp, %rax)", UsdtArgument(1, False, INDEXED, 0, 32, 80, 0)),
        (X86, "4@8(,%rax,1)", UsdtArgument(4, False, DEREFERENCE, 8, 80)),
        (X86, "8@known(%rip)", UsdtArgument(8, False, DEREFERENCE, 0x100, 128)),
        (X86, "8@known+8(%rip)", UsdtArgument(8, False, DEREFERENCE, 0x108, 128)),
        (X86, "8@8+known(%rip)", UsdtArgument(8, False, DEREFERENCE, 0x108, 128)),
        (ARM64, "-4@[sp, 96]", UsdtArgument(4, True, DEREFERENCE, 96, 248)),
        (ARM64, "8@[x0,#-8]", UsdtArgument(8, False, DEREFERENCE, -8, 0)),
        (ARM64, "8@[x3]", UsdtArgument(8, False, DEREFERENCE, 0, 24)),
        (ARM64, "8@[x3, x4, lsl 3]", UsdtArgument(8, False, INDEXED, 0, 24, 32, 3)),
        (ARM64, "-4@w7", UsdtArgument(4, True, REGISTER, 0, 56)),
        (ARM64, "-8@5", UsdtArgument(8, True, CONST, 5)),
        (S390, "-4@%r2", UsdtArgument(4, True, REGISTER, 0, 40)),
        (S390, "8@160(%r15)", UsdtArgument(8, False, DEREFERENCE, 160, 144)),
        (S390, "-4@7", UsdtArgument(4, True, CONST, 7)),
        (RISCV, "-8@-88(s0)", UsdtArgument(8, True, DEREFERENCE, -88, 64)),
        (RISCV, "8@a0", UsdtArgument(8, False, REGISTER, 0, 80)),
        (ARM, "-4@[fp, #-16]", UsdtArgument(4, True, DEREFERENCE, -16, 44)),
        (ARM, "4@r3", UsdtArgument(4, False, REGISTER, 0, 12)),
        (ARM, "4@#5", UsdtArgument(4, False, CONST, 5)),
    ],
)
def test_form_of_an_argument(machine: tuple[str, int], text: str, expected: UsdtArgument) -> None:
    assert parse(text, machine) == [expected]
    assert parse(f" {text}  {text} ", machine) == [expected, expected]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("4@%xyz", "'%xyz' is in 'xyz', which is none of the general registers"),
        ("4@%eax 4@", "argument 1, '4@', is of no known form"),
        ("3@%eax", "has 3 bytes"),
        ("8f@%xmm0", "floating point"),
        ("8@unknown(%rip)", "at the symbol 'unknown'"),
        ("1@(%rax,%rbx,3)", "scale 3"),
        ("1@(,%rbx,4)", "no base register"),
        ("%eax", "argument 0, '%eax', is of no known form"),
        ("4@%eax,4@%ebx", "no known form"),
        (" ".join(["4@%eax"] * 13), "13 arguments; there is room for 12"),
    ],
)
def test_argument_that_cannot_be_fetched(text: str, words: str) -> None:
    with pytest.raises(UsdtArgumentError, match=re.escape(words)):
        parse(text, X86)


NEW_LAYOUT = """
struct argument {
    unsigned long long val_off;
    enum { CONST } arg_type : 8;
    unsigned short idx_reg_off : 12;
    unsigned short scale_bitshift : 4;
    unsigned char reserved : 8;
    short reg_off;
    _Bool arg_signed;
    char arg_bitshift;
};
struct spec { struct argument args[12]; unsigned long long usdt_cookie; short arg_cnt; };
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, int);
         __type(value, struct spec); } table SEC(".maps");
struct spec filled = { .args[1] = { .val_off = -96, .arg_type = 3, .idx_reg_off = 80, .scale_bitshift = 3,
    .reg_off = 32, .arg_signed = 1, .arg_bitshift = 56 }, .args[0] = { .val_off = 7, .arg_bitshift = 32 },
    .usdt_cookie = 0x1122334455667788, .arg_cnt = 2 };
SEC("socket") int filter(void *ctx) { return 0; }
"""


@USES_PEERS
def test_entry_is_laid_out_as_a_compiler_does(compile_c: Callable[..., str]) -> None:
    path = compile_c(NEW_LAYOUT, "-g")
    image = build_image(read_object(Path(path).read_bytes(), path))
    assert image.types
    table, filled = image.maps["table"], image.maps[".data"].contents
    layout = layout_of(image.types, table.value_type, table.value_size)
    arguments = (UsdtArgument(4, False, CONST, 7), UsdtArgument(1, True, INDEXED, -96, 32, 80, 3))
    assert filled
    packed = bytearray(layout.pack(UsdtSpec(arguments, 0x1122334455667788)))
    assert packed[: 2 * layout.argument_size] == filled[: 2 * layout.argument_size]
    assert packed[12 * layout.argument_size :] == filled[12 * layout.argument_size : layout.size]
    assert KNOWN_LAYOUTS[layout.size] == layout
