"""Which declarations fit which definitions, and what becomes of the symbol: all as libbpf's linker has it."""

from __future__ import annotations

import itertools
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from bpfas.diag import BpfasError
from bpfas.elf.reader import read_object
from bpfas.link.options import LinkOptions, Unresolved
from tests.link.linked_programs import link_files
from tests.peers import Peer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from bpfas.objfile import ObjectFile

pytestmark = pytest.mark.peer

PRELUDE = """\
#define SEC(name) __attribute__((section(name), used))
#define __uint(name, value) int (*name)[value]
#define __type(name, type) typeof(type) *name
#define __array(name, type) typeof(type) *name[]
"""

VARIABLES = [
    "int v",
    "unsigned v",
    "long v",
    "_Bool v",
    "float v",
    "const volatile int v",
    "int *v",
    "void *v",
    "struct s *v",
    "const struct s { int a; } *v",
    "struct s { int a; } v",
    "struct s { int b; } v",
    "struct other { int a; } v",
    "typeof(struct s { int a; }) v",
    "union t { int a; } v",
    "enum e { A } v",
    "enum e { B, C } v",
    "enum wide { W = 0x123456789 } v",
    "int v[4]",
    "int v[5]",
    "long v[4]",
    "int (*v)(int)",
    "int (*v)(int, int)",
    "struct bits { int a : 3; int b : 5; } v",
    "struct bits { int a : 4; int b : 4; } v",
    "struct { int a; } v",
]

FUNCTIONS = [
    "int f(int x)",
    "int f(unsigned y)",
    "long f(int x)",
    "void f(int x)",
    "int f(long x)",
    "int f(int x, int y)",
    "int f(void)",
    "int f(void *x)",
    "int f(struct s *x)",
    "struct s { int a; }; int f(const struct s *x)",
    "struct other; int f(struct other *x)",
    "enum e { A }; int f(enum e x)",
]

_TYPES = "__type(key, int); __type(value, long);"
_HASH = "__uint(type, 1); __uint(max_entries, 4);"
_INNER = "struct {{ __uint(type, 2); __uint(max_entries, {}); __type(key, int); __type(value, int); }}"
MAPS = [
    _HASH + _TYPES,
    _TYPES + _HASH,
    _HASH + _TYPES + "__uint(map_flags, 0);",
    _HASH + _TYPES + "__uint(map_flags, 1);",
    _HASH + _TYPES + "__uint(pinning, 0);",
    _HASH + _TYPES + "__uint(pinning, 1);",
    _HASH + _TYPES + "__uint(map_extra, 1);",
    _HASH + _TYPES + "__uint(key_size, 4);",
    _HASH + "__type(key, int); __uint(value_size, 8);",
    _HASH + "__uint(key_size, 4); __uint(value_size, 8);",
    _HASH + "__type(key, unsigned); __type(value, long);",
    _HASH + "__type(key, int); __type(value, struct { int a; int b; });",
    "__uint(type, 9); __uint(max_entries, 4);" + _TYPES,
    "__uint(type, 1); __uint(max_entries, 5);" + _TYPES,
    "__uint(type, 1);" + _TYPES,
    "__uint(max_entries, 4);" + _TYPES,
    _HASH + _TYPES + "__uint(strange, 1);",
    f"__uint(type, 12); __uint(max_entries, 4); __type(key, int); __array(values, {_INNER.format(1)});",
    f"__uint(type, 12); __uint(max_entries, 4); __type(key, int); __array(values, {_INNER.format(2)});",
    "__uint(type, 12); __uint(max_entries, 4); __type(key, int); __uint(value_size, 4);",
    "__uint(type, 3); __uint(max_entries, 4); __uint(key_size, 4); __array(values, int(void *));",
    "__uint(type, 3); __uint(max_entries, 4); __uint(key_size, 4); __uint(value_size, 4);",
]

BINDINGS = ["strong", "weak", "extern", "weak extern"]
VISIBILITIES = ["default", "hidden"]


def compiled(folder: Path, sources: Mapping[str, str]) -> dict[str, Path]:
    """The objects of these sources."""

    def compile_one(name: str) -> Path:
        source = folder / f"{name}.c"
        source.write_text(PRELUDE + sources[name])
        output = source.with_suffix(".o")
        Peer.CLANG.run("--target=bpfel", "-mcpu=v3", "-O2", "-g", "-w", "-c", source, "-o", output)
        return output

    with ThreadPoolExecutor(os.cpu_count()) as workers:
        return dict(zip(sources, workers.map(compile_one, sources), strict=True))


def linked_by_libbpf(folder: Path, pairs: Iterable[tuple[Path, Path]]) -> list[ObjectFile | None]:
    """What libbpf's linker makes of each pair of files, None of what it refuses."""

    def link_one(numbered: tuple[int, tuple[Path, Path]]) -> ObjectFile | None:
        output = folder / f"{numbered[0]}.linked.o"
        result = Peer.BPFTOOL.run("gen", "object", output, *numbered[1], check=False)
        return None if result.status else read_object(output.read_bytes(), output.name)

    with ThreadPoolExecutor(os.cpu_count()) as workers:
        return list(workers.map(link_one, enumerate(pairs)))


def linked_by_us(pair: tuple[Path, Path]) -> ObjectFile | None:
    """What we make of two files, None of what we refuse."""
    try:
        return link_files(pair, LinkOptions(unresolved=Unresolved.IGNORE))
    except BpfasError:
        return None


def assert_equal_verdicts(folder: Path, names: list[str], sources: Mapping[str, str]) -> None:
    """Files that define something and files that declare it: accepted by both linkers, or refused by both.

    Each goes with the first, with its like and with its neighbours.
    """
    objects = compiled(folder, sources)
    numbers = range(len(names))
    chosen = [(i, j) for i, j in itertools.product(numbers, numbers) if not i or not j or abs(i - j) < 2]
    pairs = [(objects[f"define{i}"], objects[f"declare{j}"]) for i, j in chosen]
    theirs = linked_by_libbpf(folder, pairs)
    differing = [
        f"{names[i]} with {names[j]}: {'refused by us only' if expected else 'linked by us only'}"
        for (i, j), pair, expected in zip(chosen, pairs, theirs, strict=True)
        if (linked_by_us(pair) is None) is not (expected is None)
    ]
    assert not differing


def test_variables(tmp_path: Path) -> None:
    sources = {}
    for number, text in enumerate(VARIABLES):
        sources[f"define{number}"] = f'struct s;\n{text} __attribute__((section(".data")));\n'
        sources[f"declare{number}"] = f'extern {text};\nSEC("xdp") void *use(void *c) {{ return (void *)&v; }}\n'
    assert_equal_verdicts(tmp_path, VARIABLES, sources)


def test_functions(tmp_path: Path) -> None:
    sources = {}
    for number, text in enumerate(FUNCTIONS):
        sources[f"define{number}"] = f"struct s;\n{text} {{ for (;;); }}\n"
        sources[f"declare{number}"] = f'struct s;\n{text};\nSEC("xdp") int use(void *c) {{ return (long)f; }}\n'
    assert_equal_verdicts(tmp_path, FUNCTIONS, sources)


def test_maps(tmp_path: Path) -> None:
    sources = {}
    for number, text in enumerate(MAPS):
        sources[f"define{number}"] = f'struct {{ {text} }} m SEC(".maps");\n'
        sources[f"declare{number}"] = (
            f'extern struct {{ {text} }} m SEC(".maps");\nSEC("xdp") void *use(void *c) {{ return (void *)&m; }}\n'
        )
    assert_equal_verdicts(tmp_path, MAPS, sources)


DECLARATIONS = {
    "function": ("int {0}(int x)", ' { asm volatile(""); return x; }', "return {0}(1);"),
    "variable": ("int {0}", " = 4;", "return {0};"),
    "map": ("struct {{ " + _HASH + _TYPES + ' }} {0} SEC(".maps")', ";", "return (long)&{0};"),
}


@pytest.mark.parametrize("kind", DECLARATIONS)
def test_the_symbol_of_two(kind: str, tmp_path: Path) -> None:
    """Binding, visibility, type and section of a symbol, however two files have it."""
    head, definition, use = DECLARATIONS[kind]
    states = list(itertools.product(BINDINGS, VISIBILITIES))
    sources = {}
    for file, (binding, visibility) in itertools.product((1, 2), states):
        attributes = "__attribute__((weak)) " * binding.startswith("weak")
        attributes += f'__attribute__((visibility("{visibility}"))) __attribute__((noinline)) '
        text = f"{attributes}{head.format('name')}"
        if binding.endswith("extern"):
            text = f'extern {text};\nSEC("xdp") int use_{file}(void *c) {{ {use.format("name")} }}\n'
        else:
            text += definition
        sources[f"{file} {binding} {visibility}"] = text
    objects = compiled(tmp_path, sources)
    combinations = list(itertools.product(states, repeat=2))
    pairs = [(objects[f"1 {' '.join(one)}"], objects[f"2 {' '.join(two)}"]) for one, two in combinations]
    theirs = [symbol_facts(obj) for obj in linked_by_libbpf(tmp_path, pairs)]
    ours = [symbol_facts(linked_by_us(pair)) for pair in pairs]
    assert dict(zip(combinations, ours, strict=True)) == dict(zip(combinations, theirs, strict=True))


def symbol_facts(obj: ObjectFile | None) -> list[tuple[str, ...]] | None:
    """What the symbols called `name` are; None if there is no object."""
    if obj is None:
        return None
    return [
        (symbol.section.name, symbol.st_bind.name, symbol.st_type.name, symbol.st_visibility.name)
        for symbol in obj.symbols
        if symbol.name == "name"
    ]
