"""C headers: the same interface as bpftool's, whatever the object; text that every compiler takes."""

from __future__ import annotations

import itertools
import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from bpfas.diag import BpfasError
from bpfas.elf.constants import HOST_ORDER
from bpfas.loader import open_image
from bpfas.loader.gen.c.data import constant
from tests.loader.gen.c.support import COMPILERS, WARNINGS, bpftool_header, check_compiles, header_of, interface
from tests.loader.gen.machine.corpus import SOURCES, object_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DECLARATIONS = """
struct point { int x; char y; long z[3]; };
enum color { RED, GREEN = 5 };
typedef unsigned long word_t;
enum libbpf_tristate { TRI_NO, TRI_YES, TRI_MODULE };
"""
"""What whoever includes the header of TYPES has to declare."""

TYPES = """
struct point { int x; char y; const volatile long z[3]; };
enum color { RED, GREEN = 5 };
typedef unsigned long word_t;
int counter = 7;
long big[4];
static volatile int hidden = 3;
const volatile int threshold = 9;
const volatile char text[13] = "hello";
struct point origin = {1, 2};
enum color shade;
word_t word;
struct {
    int a;
    union { int b; char c; };
    struct { int z : 3; unsigned w : 5; } bits;
    int q : 3;
} nameless;
union { long l; char bytes[5]; } either;
volatile int *pointer;
int (*callback)(int, char *);
int (*with_struct)(struct nowhere *, const struct point *);
void *(*(*nested)(void))[3];
SEC(".data.foo") int custom = 3;
SEC(".rodata.x-y") const volatile int dashed = 4;
_Bool truth;
struct point *points[3];
struct point matrix[2][3];
struct __attribute__((packed)) { char a; long b; struct point *p; } packed = {1, 2};
const char *const volatile strings[2];
enum { SMALL, LARGE = 7 } plain;
enum { NEGATIVE = -5 } signed_values;
enum { HUGE = 0x1234567890 } wide;
enum { CLOSED, OPEN } door, doors[2];
struct { enum { UP, DOWN } way; } lift, other_lift;
char alone;
long aligned __attribute__((aligned(64)));
__int128 wide_number;
struct { char c; } tiny;
char trailing;
SEC("socket") int reads(struct __sk_buff *skb) {
    counter++; hidden++; big[1] += threshold + text[skb->len & 7]; word++; custom++; origin.x += dashed;
    shade = GREEN; aligned++; alone++; matrix[1][2].x = 3; points[1] = 0; truth = 1; packed.b++; plain = LARGE;
    nameless.a++; pointer = 0; callback = 0; with_struct = 0; nested = 0; either.l++; signed_values = NEGATIVE;
    wide = HUGE; wide_number++; tiny.c++; trailing++;
    door = OPEN; doors[skb->len & 1] = OPEN; lift.way = DOWN; other_lift.way = DOWN;
    return strings[skb->len & 1] != 0;
}
"""
"""Variables of types of every shape."""

ATTACHED = """
SEC("raw_tp/sys_enter") int raw(void *ctx) { return 0; }
SEC("raw_tracepoint.w/sys_enter") int writable(void *ctx) { return 0; }
SEC("iter/bpf_map") int walk(void *ctx) { return 0; }
SEC("fentry/bpf_fentry_test1") int enter(void *ctx) { return 0; }
SEC("fexit/bpf_fentry_test1") int leave(void *ctx) { return 0; }
SEC("tp_btf/sys_enter") int typed(void *ctx) { return 0; }
SEC("lsm/file_open") int hook(void *ctx) { return 0; }
SEC("kprobe/do_exit") int probe(void *ctx) { return 0; }
SEC("tracepoint/syscalls/sys_enter_getpid") int point(void *ctx) { return 0; }
SEC("xdp") int packets(struct xdp_md *ctx) { return 2; }
SEC("cgroup_skb/egress") int leaving(struct __sk_buff *skb) { return 1; }
SEC("sk_msg") int message(struct sk_msg_md *ctx) { return 1; }
"""
"""A program for each way of attaching."""

NO_PROGRAMS = """
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, int); __type(value, int); }
    alone SEC(".maps");
"""

SAME_AS_BPFTOOL = {
    **{name: source for name, source in SOURCES.items() if source},
    "no_programs": NO_PROGRAMS,
    "c_types": TYPES,
    "c_at": ATTACHED,
}
NOT_BY_BPFTOOL = {
    "kernel_addresses": "a name that this kernel does not have is an error to bpftool",
    "kernel_functions": "libbpf 1.1 looks for functions of the kernel that generates",
}


@pytest.fixture
def object_path(compile_c: Callable[..., str], tmp_path: Path) -> Callable[[str], str]:
    """A function that compiles one of the sources and gives the object's path."""

    def make(name: str) -> str:
        if name in SOURCES:
            return str(object_of(name, tmp_path))
        return compile_c(SAME_AS_BPFTOOL[name], "-g", "-Wno-everything", name=name)

    return make


@pytest.mark.peer
@pytest.mark.parametrize("name", [name for name in SAME_AS_BPFTOOL if name not in NOT_BY_BPFTOOL])
def test_interface_is_that_of_bpftool(name: str, object_path: Callable[[str], str]) -> None:
    path = object_path(name)
    ours, theirs = interface(header_of(path)), interface(bpftool_header(path))
    assert ours.struct == theirs.struct
    assert set(theirs.functions) <= set(ours.functions)
    assert ours.attaching == theirs.attaching
    assert theirs.sizes <= ours.sizes


@pytest.mark.peer
@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("name", ["c_types", "c_at", "maps", "no_programs", "options"])
def test_compilers_take_it(name: str, compiler: str, object_path: Callable[[str], str], tmp_path: Path) -> None:
    check_compiles(header_of(object_path(name)), DECLARATIONS, tmp_path, compiler)


HOSTILE = """
int linux_ = 1;
SEC("socket") int class(struct __sk_buff *skb) { return linux_; }
SEC("socket") int new(struct __sk_buff *skb) { return 0; }
SEC("socket") int linux(struct __sk_buff *skb) { return 0; }
SEC("socket") int errno(struct __sk_buff *skb) { return 0; }
SEC("socket") int load(struct __sk_buff *skb) { return 0; }
SEC("socket") int ctx(struct __sk_buff *skb) { return 0; }
SEC("socket") int dotted(struct __sk_buff *skb) __asm__("dot.ted");
int dotted(struct __sk_buff *skb) { return 0; }
SEC("socket") int dot_ted(struct __sk_buff *skb) { return 0; }
SEC("socket") int word(struct __sk_buff *skb) __asm__("int");
int word(struct __sk_buff *skb) { return 0; }
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, int); __type(value, int); }
    data SEC(".maps"), template SEC(".maps");
"""


@pytest.mark.peer
@pytest.mark.parametrize("compiler", COMPILERS)
def test_names_that_are_no_identifiers(compiler: str, compile_c: Callable[..., str], tmp_path: Path) -> None:
    path = compile_c(HOSTILE, "-g", "-Ulinux")
    check_compiles(header_of(path), "", tmp_path, compiler)


def test_names_stay_where_the_language_allows(compile_c: Callable[..., str], tmp_path: Path) -> None:
    header = header_of(compile_c(HOSTILE, "-g", "-Ulinux"))
    members = ("class", "new", "int_", "linux", "dot_ted")
    uses = "".join(f"int {name}_fd(struct app *s) {{ return s->progs.{name}.prog_fd; }}\n" for name in members)
    (tmp_path / "uses.c").write_text(header + uses)
    tool, options = COMPILERS["gcc as C11"]
    tool.run(*options, "-fsyntax-only", "uses.c", directory=tmp_path)
    assert "struct bpf_prog_desc dot_ted;" in header
    assert "struct bpf_prog_desc dot_ted_2;" in header
    assert "struct bpf_map_desc data_2;" in header


@pytest.mark.peer
@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("name", ["int", "class", "linux", "a-b.c", "1st", "größe"])
def test_skeletons_of_any_name(name: str, compiler: str, compile_c: Callable[..., str], tmp_path: Path) -> None:
    check_compiles(header_of(compile_c(NO_PROGRAMS, "-g"), name), "", tmp_path, compiler)


HOSTILE_TARGET = """
SEC("freplace/*/ #error of a comment that has ended /* ö") int rep(struct __sk_buff *skb) { return 0; }
"""


@pytest.mark.peer
def test_comments_do_not_end_early(compile_c: Callable[..., str], tmp_path: Path) -> None:
    check_compiles(header_of(compile_c(HOSTILE_TARGET, "-g")), "", tmp_path, "gcc as C11")


def test_configuration_that_cannot_be_filled(compile_c: Callable[..., str]) -> None:
    source = 'extern int CONFIG_HZ __kconfig; SEC("socket") int p(struct __sk_buff *skb) { return CONFIG_HZ; }'
    image = open_image(compile_c(source, "-g"))
    image.set_map(".kconfig", map_flags=0)
    with pytest.raises(BpfasError, match="cannot be filled by a C header"):
        header_of(image)


def test_text_is_the_same_every_time(object_path: Callable[[str], str]) -> None:
    path = object_path("c_types")
    assert header_of(path) == header_of(path)


def test_sizes_are_of_no_machine(object_path: Callable[[str], str]) -> None:
    """Memory is mapped as long as it is, which every kernel rounds to its own pages."""
    assert "4096, PROT_READ" not in header_of(object_path("c_types"))


def test_zeros_are_not_written_out(compile_c: Callable[..., str]) -> None:
    source = 'char room[1 << 20]; SEC("socket") int p(struct __sk_buff *skb) { return room[skb->len & 1023]; }'
    header = header_of(compile_c(source, "-g"))
    assert len(header) < 50000
    assert re.search(r'app__prepare\(\s*"", 0, 1048576\)', header)


PIECES = (b"\1", b"\0" * 4095, b"\0" * 5000, bytes(range(256)) * 5, b"\0" * 100000, b"\xff" * 9)


@pytest.mark.peer
@pytest.mark.parametrize("compiler", COMPILERS)
def test_constants_are_the_bytes_that_they_are_made_of(compiler: str, tmp_path: Path) -> None:
    contents = [b"".join(pieces) for pieces in itertools.permutations(PIECES, 2)]
    definitions = "".join(constant(f"c{at}", data, HOST_ORDER, 0) for at, data in enumerate(contents))
    writes = "".join(f"fwrite(&c{at}, 1, {len(data)}, stdout);" for at, data in enumerate(contents))
    program = (
        f"#include <stdio.h>\ntypedef unsigned long long __u64;\n{definitions}int main(void) {{ {writes} }}\n"
    )
    (tmp_path / "main.c").write_text(program)
    tool, options = COMPILERS[compiler]
    tool.run(*options, *WARNINGS, "main.c", "-o", "main", directory=tmp_path)
    done = subprocess.run([tmp_path / "main"], capture_output=True, check=True)
    assert done.stdout == b"".join(contents)
