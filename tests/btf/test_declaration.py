"""Types are shown as the C that they were written in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bpfas.btf.declaration import declaration
from bpfas.btf.kinds import Kind, Linkage
from bpfas.btf.reader import read_btf
from bpfas.elf.reader import read_object
from tests.btf.builders import Types
from tests.peers import Peer

if TYPE_CHECKING:
    from pathlib import Path

DECLARATIONS = (
    "int x1",
    "static int x2",
    "const volatile int x3",
    "int *const x4",
    "const int *x5",
    "char x6[4][2]",
    "int (*x7)[3]",
    "int (*x8)(struct s *, long, ...)",
    "int (*(*x9)(void))(char)",
    "int (*x10[2])(void)",
    "struct s *x11",
    "union u *x12",
    "enum e x13",
    "t x14",
    "struct { int a; struct { char b : 3; }; } x15",
    "void *x16",
    'int __attribute__((btf_type_tag("user"))) *x17',
    "const char *const *x18",
)
HEAD = "struct s; union u; enum e { A = -1, B }; typedef unsigned short t;\n"


@pytest.mark.peer
def test_what_clang_was_given_is_what_is_shown(tmp_path: Path) -> None:
    source = tmp_path / "a.c"
    uses = "".join(f" use(&{text})" for text in [f"x{number + 1}" for number in range(len(DECLARATIONS))])
    source.write_text(
        HEAD
        + "".join(f"{text};\n" for text in DECLARATIONS)
        + f"void use(const void *);\nint f(struct s *p, t n) {{{uses.replace(' use', '; use')[1:]}; return 0; }}\n"
        + 'static __attribute__((noinline)) long g(void) { asm volatile(""); return x1; }\nlong h(int a, ...);\n'
        + "long k(void) { return g() + h(1, 2); }\n"
    )
    Peer.CLANG.run("-w", "-target", "bpf", "-O2", "-g", "-c", source, "-o", tmp_path / "a.o")
    section = read_object((tmp_path / "a.o").read_bytes(), "a.o").section(".BTF")
    assert section is not None
    order = read_object((tmp_path / "a.o").read_bytes(), "a.o").byte_order
    btf = read_btf(bytes(section.data), order, "a.o")
    shown = {btf.name(type_id): declaration(btf, type_id) for type_id in btf.ids_of_kind(Kind.VAR)}
    assert [shown[f"x{number + 1}"] for number in range(len(DECLARATIONS))] == list(DECLARATIONS)
    functions = {btf.name(type_id): declaration(btf, type_id) for type_id in btf.ids_of_kind(Kind.FUNC)}
    assert functions["f"] == "int f(struct s *p, t n)"
    assert functions["g"] == "static long g(void)"
    assert functions["h"] == "extern long h(int, ...)"


def test_bodies_are_shown_when_asked_for() -> None:
    made = Types()
    number = made.integer()
    struct_ = made.struct("s", 8, [("a", number, 0), ("b", number, 3 << 24 | 32)], kflag=True)
    enum = made.enum("e", [("A", 1), ("B", 2)])
    typedef = made.typedef("t", struct_)
    variable = made.var("x", struct_, Linkage.EXTERN)
    btf = made.read()
    assert declaration(btf, struct_) == "struct s"
    assert declaration(btf, struct_, with_body=True) == "struct s { int a; int b : 3; }"
    assert declaration(btf, enum, with_body=True) == "enum e { A = 1, B = 2 }"
    assert declaration(btf, typedef, with_body=True) == "typedef struct s { int a; int b : 3; } t"
    assert declaration(btf, variable, with_body=True) == "extern struct s { int a; int b : 3; } x"
    assert declaration(btf, 0) == "void"


def test_a_map_is_shown_as_it_is_written() -> None:
    made = Types()
    number = made.integer()
    eight = made.pointer(made.array(number, number, 8))
    inner = made.struct("inner", 8, [("type", eight, 0)])
    values = made.array(made.pointer(inner), number, 0)
    definition = made.struct(
        "", 16, [("type", eight, 0), ("key", made.pointer(number), 64), ("values", values, 128)]
    )
    variable = made.var("m", definition)
    made.datasec(".maps", [(variable, 0, 16)])
    made.datasec("other", [(made.var("n", definition), 0, 16)])
    btf = made.read()
    text = 'struct { __uint(type, 8); __type(key, int); __array(values, struct inner); } m SEC(".maps")'
    assert declaration(btf, variable) == text
    assert declaration(btf, variable + 2) == "struct { int (*type)[8]; int *key; struct inner *values[]; } n"


def test_what_goes_on_without_end_is_cut() -> None:
    made = Types()
    target = made.integer()
    for _ in range(3_000):
        target = made.pointer(target)
    made.var("x", target)
    made.var("y", made.struct("", 4, [(f"m{number}", 1, 0) for number in range(5_000)]))
    text = declaration(made.read(), 3_002)
    assert text.startswith("… *")
    assert text.endswith("*x")
    assert len(text) < 100
    text = declaration(made.read(), 3_004)
    assert text.startswith("struct { int m0; int m1; ")
    assert text.endswith(" …; } y")
    assert len(text) < 10_000


def test_prototypes_of_prototypes_are_cut() -> None:
    made = Types()
    made.integer()
    for _ in range(60):
        target = made.count
        made.prototype(target, [("a", target), ("b", target), ("c", target)])
    assert len(declaration(made.read(), 61)) < 20_000
