"""Files that do not fit together: what the message says of both sides, where each is, and what to do.

Each case is the C of two files, and the parts that the message must have, in their order. `a.c:3` is a line of the
first file, wherever the message has it from (debugging information or .BTF.ext).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from bpfas.diag import BpfasError
from bpfas.link.options import DEFAULT_OPTIONS, LinkOptions
from tests.link.linked_programs import link_files
from tests.peers import Peer

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.peer

# What bpf_helpers.h has; with that itself, compiling takes three times as long.
PRELUDE = """\
#define SEC(name) __attribute__((section(name), used))
#define __weak __attribute__((weak))
#define __hidden __attribute__((visibility("hidden")))
#define __noinline __attribute__((noinline))
#define __kconfig SEC(".kconfig")
#define __ksym SEC(".ksyms")
#define __uint(name, value) int (*name)[value]
#define __type(name, type) typeof(type) *name
#define __array(name, type) typeof(type) *name[]
static void *(*const lookup)(void *map, const void *key) = (void *)1;
#line 1
"""


@dataclass(frozen=True, slots=True)
class Case:
    """Two files, a.c and b.c, that cannot be linked."""

    name: str
    first: str
    second: str
    parts: tuple[str, ...]
    options: LinkOptions = DEFAULT_OPTIONS


def map_of(inside: str, name: str = "m", storage: str = "", attribute: str = "") -> str:
    return f'{storage} struct {{ {inside} }} {name} SEC(".maps") {attribute};\n'


HASH = "__uint(type, 1); __uint(max_entries, 4); __type(key, int); __type(value, long);"
INNER = "struct inner { __uint(type, 2); __uint(max_entries, 1); __type(key, int); __type(value, %s); };"
OUTER = "__uint(type, 12); __uint(max_entries, 2); __type(key, int); __array(values, struct inner);"
USE_MAP = 'SEC("xdp") int use(void *c) { int k = 1; return lookup(&m, &k) != 0; }\n'


def map_case(name: str, mine: str, other: str, *parts: str) -> Case:
    """Two maps called m that differ."""
    return Case(
        f"maps: {name}",
        map_of(mine),
        map_of(other, storage="extern") + USE_MAP,
        ("m", *parts),
    )


FUNCTIONS = [
    Case(
        "another return type",
        "__hidden int f(int x)\n{\n return x; }\n",
        'long f(int x);\nSEC("xdp") int use(void *c) {\n return f(1); }\n',
        ("f", "int f(int x)", "a.c:1 (a.o:(.text+0x0))", "long f(int)", "b.c:1", "b.o", "header"),
    ),
    Case(
        "another parameter",
        "struct one { int x; };\nint f(struct one *p) {\n return p->x; }\n",
        'struct two { int x; };\nint f(struct two *p);\nSEC("xdp") int use(void *c) {\n return f(c); }\n',
        ("f", "parameter 1", "struct one", "a.c:2", "a.o", "struct two", "b.c:2", "b.o"),
    ),
    Case(
        "more parameters",
        "int f(int x) { return x; }\n",
        'int f(int x, int y);\nSEC("xdp") int use(void *c) { return f(1, 2); }\n',
        ("f", "1 and 2 parameters", "int f(int x)", "a.c:1", "a.o", "int f(int, int)", "b.c:1", "b.o"),
    ),
    Case(
        "a variable here, a function there",
        "int f = 3;\n",
        'int f(int x);\nSEC("xdp") int use(void *c) { return f(1); }\n',
        ("f", "int f", "a.c:1", "a.o", "int f(int)", "b.c:1", "b.o"),
    ),
    Case(
        "two weak ones that differ",
        "__weak int f(int x) { return x; }\n",
        "__weak long f(int x) { return x; }\n",
        ("f", "return type", "int f(int x)", "a.c:1", "a.o", "long f(int x)", "b.c:1", "b.o"),
    ),
]

VARIABLES = [
    Case(
        "another size",
        "int v = 1;\n",
        'extern long v;\nSEC("xdp") int use(void *c) {\n return v; }\n',
        ("v", "int v", "a.c:1", "a.o", "long v", "b.c:1", "b.o", "header"),
    ),
    Case(
        "another member",
        "struct s { int x, y; };\nstruct s v = { 1 };\n",
        'struct s { int x, z; };\nextern struct s v;\nSEC("xdp") int use(void *c) { return v.x; }\n',
        ("v", "struct s", "y", "z", "struct s", "a.c:2", "a.o", "struct s", "b.c:2", "b.o"),
    ),
    Case(
        "another place of a member",
        "struct s { int x; int y; };\nstruct s v = { 1 };\n",
        'struct s { int x; long y; };\nextern struct s v;\nSEC("xdp") int use(void *c) { return v.x; }\n',
        ("v", "y", "32", "64", "a.c:2", "a.o", "b.c:2", "b.o"),
    ),
    Case(
        "another section",
        'int v SEC(".data.one") = 1;\n',
        'extern int v SEC(".data.two");\nSEC("xdp") int use(void *c) { return v; }\n',
        ("v", ".data.one", "a.o", ".data.two", "b.o", "a.c:1", "b.c:1"),
    ),
    Case(
        "defined, and one of the kernel's",
        "int v = 1;\n",
        'extern int v __ksym;\nSEC("xdp") int use(void *c) { return v; }\n',
        ("v", ".data", "a.o", ".ksyms", "b.o", "a.c:1", "b.c:1"),
    ),
    Case(
        "configuration of two types",
        'extern int CONFIG_X __kconfig;\nSEC("xdp") int first(void *c) { return CONFIG_X; }\n',
        'extern char CONFIG_X __kconfig;\nSEC("tc") int second(void *c) { return CONFIG_X; }\n',
        ("CONFIG_X", "int CONFIG_X", "a.o", "char CONFIG_X", "b.o"),
    ),
]

MAPS = [
    map_case("type", HASH, HASH.replace("type, 1", "type, 9"), "type is", "1", "9"),
    map_case(
        "max_entries", HASH, HASH.replace("entries, 4", "entries, 5"), "max_entries is 4 and 5", "a.o", "b.o"
    ),
    map_case(
        "key", HASH, HASH.replace("key, int", "key, long"), "key", "int", "long", "a.c:1", "a.o", "b.c:1", "b.o"
    ),
    map_case("value", HASH, HASH.replace("value, long", "value, int"), "value", "long", "int"),
    map_case("map_flags", HASH + "__uint(map_flags, 1);", HASH, "map_flags", "1", "a.o", "b.o"),
    map_case("pinning", HASH + "__uint(pinning, 1);", HASH, "pinning", "1", "a.o", "b.o"),
    map_case("numa_node", HASH + "__uint(numa_node, 1);", HASH, "numa_node", "1", "a.o", "b.o"),
    map_case(
        "sizes given for types",
        HASH,
        HASH.replace("__type(key, int)", "__uint(key_size, 4)"),
        "type of the key is given in one of them only",
        "a.c:1",
        "b.c:1",
    ),
    Case(
        "maps: inner maps that differ",
        INNER % "int" + map_of(OUTER),
        INNER % "long" + map_of(OUTER, storage="extern") + USE_MAP,
        ("m", "inner map", "value", "int", "long", "a.c:1", "a.o", "b.c:1", "b.o"),
    ),
    Case(
        "maps: a map and a variable",
        map_of(HASH),
        'extern int m;\nSEC("xdp") int use(void *c) { return m; }\n',
        ("m", ".maps", "a.c:1", "a.o", "int m", "b.c:1", "b.o"),
    ),
]

NAMES = [
    Case(
        "two strong functions",
        "int f(int x) {\n return x; }\n",
        "int f(int x) {\n return x + 1; }\n",
        ("duplicate symbol: f", "a.c:1", "a.o", "b.c:1", "b.o", "weak", "static"),
    ),
    Case(
        "two strong variables",
        "int v = 1;\n",
        "int w;\nint v = 2;\n",
        ("duplicate symbol: v", "a.c:1", "a.o", "b.c:2", "b.o", "extern"),
    ),
    Case(
        "two strong maps",
        map_of(HASH),
        map_of(HASH),
        ("duplicate symbol: m", "a.o", "b.o", "extern"),
    ),
    Case(
        "nobody defines it",
        'int far_call(int x);\nSEC("xdp") int use(void *c) {\n return far_call(1); }\n',
        "int far_cal(int x) { return x; }\n",
        ("undefined symbol: far_call", "a.c:3", "a.o", "did you mean: far_cal"),
    ),
    Case(
        "nobody defines the variable",
        'extern int v;\nSEC("xdp") int use(void *c) {\n return v; }\n',
        "int w;\n",
        ("undefined symbol: v", "a.c:3", "a.o"),
    ),
    Case(
        "nobody defines the map",
        map_of(HASH, storage="extern") + USE_MAP,
        "int w;\n",
        ("undefined symbol: m", "a.c:2", "a.o"),
    ),
    Case(
        "only a static one of that name",
        'int far_call(int x);\nSEC("xdp") int use(void *c) {\n return far_call(1); }\n',
        'static __noinline int far_call(int x) { asm volatile("" : "+r"(x)); return x; }\n'
        'SEC("xdp") int other(void *c) { return far_call(2); }\n',
        ("undefined symbol: far_call", "a.c:3", "a.o", "b.c:1", "b.o", "static", "make it global"),
    ),
]

SECTIONS = [
    Case(
        "other licenses",
        'char l[] SEC("license") = "GPL";\n',
        'char l[] SEC("license") = "MIT";\n',
        ("b.o", "license", "MIT", "GPL", "a.o", "same license"),
    ),
    Case(
        "other versions",
        'int v SEC("version") = 1;\n',
        'int v SEC("version") = 2;\n',
        ("b.o", "version", "02", "01", "a.o"),
    ),
    Case(
        "code and data in sections of one name",
        'SEC("own") int f(int x) { return x; }\n',
        'int v SEC("own") = 1;\n',
        ("b.o", "own", "a.o", "another name"),
    ),
]

CASES = [*FUNCTIONS, *VARIABLES, *MAPS, *NAMES, *SECTIONS]


@pytest.fixture
def files(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The two objects of a case."""
    case: Case = request.getfixturevalue("case")
    monkeypatch.chdir(tmp_path)
    objects = []
    for name, source in (("a", case.first), ("b", case.second)):
        (tmp_path / f"{name}.c").write_text(PRELUDE + source)
        objects.append(tmp_path / f"{name}.o")
    Peer.CLANG.run("--target=bpfel", "-mcpu=v3", "-O2", "-g", "-c", "a.c", "b.c", directory=tmp_path)
    return objects


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "_"))
def test_what_does_not_fit_is_explained(case: Case, files: list[Path]) -> None:
    with pytest.raises(BpfasError) as caught:
        link_files(files, case.options)
    message = str(caught.value)
    place = 0
    for part in case.parts:
        assert part in message[place:], f"no {part!r} (in this order) in:\n{message}"
        place = message.index(part, place)
    with pytest.raises(BpfasError, match=r"(?s)(a\.o.*b\.o)|(b\.o.*a\.o)" if "b.o" in case.parts else None):
        link_files(files[::-1], case.options)
